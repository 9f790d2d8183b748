//! Where a request departs from one that would verify.

use std::fmt;

use serde::Serialize;

/// One departure: what it is about, and what was expected and seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Departure {
    pub part: Part,
    pub text: String,
}

/// What a departure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The Authorization header itself.
    Authorization,
    /// What comes before the scope.
    CredentialId,
    /// Date, region or service of the scope.
    Scope,
    /// The list of what is signed.
    SignedHeaders,
    /// A header that is signed and was not sent.
    MissingHeader,
    Host,
    /// `X-Amz-Date`.
    Date,
    /// The value of another signed header.
    Header,
    /// Blanks in a value that one side kept and the other did not.
    Whitespace,
    /// `X-Amz-Content-Sha256` against the body.
    BodyHash,
    /// The body's bytes or their number.
    Body,
    /// Hex or base64, and how long.
    SignatureForm,
    /// PSS with a salt of another length than 32 bytes.
    Salt,
    /// RSA, and not PSS.
    Padding,
    /// Another key than those given.
    Key,
    /// The right key, over something else that cannot be named.
    SignedText,
    /// Another key, or something else was signed: an HMAC does not tell which.
    KeyOrSignedText,
}

impl Departure {
    pub fn new(part: Part, text: impl Into<String>) -> Self {
        Self { part, text: text.into() }
    }
}

impl Part {
    /// As in the JSON form: `body-hash`.
    pub fn name(self) -> &'static str {
        match self {
            Part::Authorization => "authorization",
            Part::CredentialId => "credential-id",
            Part::Scope => "scope",
            Part::SignedHeaders => "signed-headers",
            Part::MissingHeader => "missing-header",
            Part::Host => "host",
            Part::Date => "date",
            Part::Header => "header",
            Part::Whitespace => "whitespace",
            Part::BodyHash => "body-hash",
            Part::Body => "body",
            Part::SignatureForm => "signature-form",
            Part::Salt => "salt",
            Part::Padding => "padding",
            Part::Key => "key",
            Part::SignedText => "signed-text",
            Part::KeyOrSignedText => "key-or-signed-text",
        }
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part.name(), self.text)
    }
}
