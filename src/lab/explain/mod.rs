//! Explains a captured request: what its `Authorization` header says, what it should have signed,
//! whose signature it is, and where it departs from a request that would verify.
//!
//! ```text
//! bytes → capture ──> rules         what no key could mend
//!                 ──> signature     hex or base64, RSA or HMAC
//!                 ──> judge ─┬──── padding        an RSA signature tells its key and its salt
//!                            └──── alternatives   what else may have been signed
//! ```

mod alternatives;
mod capture;
mod departure;
mod judge;
mod padding;
mod rules;
mod signature;

use time::UtcDateTime;

use super::message::Request;
use super::signed_text::named_twice;
use crate::pure::signing::{Authorization, MalformedAuthorization};

use alternatives::Reading;

pub use capture::{Capture, Framing, MalformedCapture};
pub use departure::{Departure, Part};
pub use judge::{Finding, Key, Secrecy};
pub use signature::{Signature, Writing};

/// What can be said about a request.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// None when there is no such header, or it cannot be read.
    pub signed: Option<Signed>,
    /// What each key says, in the order they were given.
    pub findings: Vec<Finding>,
    pub departures: Vec<Departure>,
}

/// A request whose `Authorization` header can be read.
#[derive(Debug, Clone)]
pub struct Signed {
    pub authorization: Authorization,
    pub signer: Signer,
    pub signature: Signature,
    pub writing: Writing,
    /// With the session token shortened: [`super::signed_text`].
    pub canonical_request: String,
    pub string_to_sign: String,
}

/// Whose id a credential id is, by its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    ManagedInstance,
    Ec2Instance,
    /// `AKIA…`
    LongTermKey,
    /// `ASIA…`
    TemporaryKey,
    Unknown,
}

/// Explains `capture` by `keys`; `at` is when it arrived, if its date is to be judged.
pub fn explain(capture: &Capture, keys: &[Key], at: Option<UtcDateTime>) -> Explanation {
    let authorization = match authorization(&capture.request) {
        Ok(authorization) => authorization,
        Err(why) => {
            let departures = vec![Departure::new(Part::Authorization, why)];
            return Explanation { signed: None, findings: Vec::new(), departures };
        }
    };
    let reading = Reading::of(&capture.request, &authorization);
    let (signature, writing, oddities) = Signature::read(&authorization.signature);
    let signer = Signer::of(&authorization.credential_id);
    let mut departures = rules::departures(capture, &authorization, &reading, at);
    departures.extend(oddities);
    departures.extend(rules::kind(signer, &signature));
    let verdict = judge::judge(&signature, &reading, capture, keys);
    departures.extend(verdict.departures);
    let signed = Signed {
        canonical_request: reading.shown(),
        string_to_sign: reading.text().string_to_sign,
        authorization,
        signer,
        signature,
        writing,
    };
    Explanation { signed: Some(signed), findings: verdict.findings, departures }
}

impl Explanation {
    /// Whether one of the keys signed this very text, and nothing else departs. None when no key was
    /// given and nothing departs.
    pub fn verifies(&self) -> Option<bool> {
        if !self.departures.is_empty() {
            return Some(false);
        }
        match self.findings.as_slice() {
            [] => None,
            findings => Some(findings.contains(&Finding::Signed)),
        }
    }
}

impl Signer {
    fn of(credential_id: &str) -> Self {
        match credential_id.get(..4).unwrap_or_default() {
            "AKIA" => Signer::LongTermKey,
            "ASIA" => Signer::TemporaryKey,
            start if start.starts_with("mi-") => Signer::ManagedInstance,
            start if start.starts_with("i-") => Signer::Ec2Instance,
            _ => Signer::Unknown,
        }
    }

    /// What it is, and what it signs with.
    pub fn description(self) -> &'static str {
        match self {
            Signer::ManagedInstance => "a managed instance, which signs with its RSA key",
            Signer::Ec2Instance => "an EC2 instance, which signs with an RSA key",
            Signer::LongTermKey => "a long-term access key, whose secret keys an HMAC",
            Signer::TemporaryKey => "a temporary access key, whose secret keys an HMAC",
            Signer::Unknown => "of no kind that is known here",
        }
    }
}

fn authorization(request: &Request) -> Result<Authorization, String> {
    let presigned = request.query.contains("X-Amz-Signature=");
    match request.header("authorization") {
        Some(header) => {
            let authorization = Authorization::parse(header.trim()).map_err(|error| {
                // One word alone may be a credential; before another it names the scheme.
                match (error, header.trim().split_once(' ')) {
                    (MalformedAuthorization::Algorithm, Some((named, _))) => {
                        format!("{error}, but '{}'", named.chars().take(40).collect::<String>())
                    }
                    _ => error.to_string(),
                }
            })?;
            match named_twice(&authorization) {
                Some(name) => Err(format!("SignedHeaders names '{name}' twice")),
                None => Ok(authorization),
            }
        }
        None if request.has_header("authorization") => {
            Err("there is more than one Authorization header".to_owned())
        }
        None if presigned => {
            Err("the signature is in the query string: presigned URLs are not read here".to_owned())
        }
        None => Err("there is no Authorization header: the request is not signed".to_owned()),
    }
}
