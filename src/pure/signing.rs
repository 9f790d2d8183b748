//! What is signed, to the byte: canonical request, string to sign, `Authorization` header.
//!
//! Role-token requests and ordinary AWS requests share all of it, label included, and differ in the
//! signature alone: RSASSA-PSS by the machine's own key in base64, or SigV4's HMAC chain in hex.
//! Source: AWS General Reference, "Create a signed AWS API request", and requests captured from the
//! reference agent (`tests/vectors`).

use std::fmt::{self, Write};

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use time::{UtcDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::secret::Secret;

/// The label on both kinds of signature; the reference agent sends it over RSA signatures too.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// `x-amz-date`: `20261122T000052Z`.
const AMZ_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

const SCOPE_DATE: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]");

/// The parts of a request that a signature can cover.
#[derive(Debug, Clone, Copy)]
pub struct SignedParts<'a> {
    pub method: &'a str,
    /// The path, already escaped; `/` for Systems Manager and STS.
    pub path: &'a str,
    /// The query string in canonical form; empty for everything that we send.
    pub query: &'a str,
    /// Names in any case and order; several values of one name in the order they were sent.
    pub headers: &'a [(&'a str, &'a str)],
    /// Lower-case names, sorted: which of the headers are covered.
    pub signed_headers: &'a [&'a str],
    /// Lower-case hex SHA-256 of the body.
    pub payload_sha256: &'a str,
}

/// `20261122/eu-central-1/ssm/aws4_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialScope {
    /// `YYYYMMDD`.
    pub date: String,
    pub region: String,
    pub service: String,
}

/// An `Authorization` header, taken apart. The signature is still text: hex or base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// An access key id, or the managed instance id.
    pub credential_id: String,
    pub scope: CredentialScope,
    pub signed_headers: Vec<String>,
    pub signature: String,
}

/// Why an `Authorization` header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedAuthorization {
    #[error("the algorithm is not {ALGORITHM}")]
    Algorithm,
    #[error("Credential= is missing or is not ID/DATE/REGION/SERVICE/aws4_request")]
    Credential,
    #[error("SignedHeaders= is missing or empty")]
    SignedHeaders,
    #[error("Signature= is missing or empty")]
    Signature,
}

/// The first of the two texts: method, path, query, header block, signed header names, body hash.
pub fn canonical_request(parts: &SignedParts<'_>) -> String {
    let mut text = format!("{}\n{}\n{}\n", parts.method, parts.path, parts.query);
    for name in parts.signed_headers {
        let values = parts
            .headers
            .iter()
            .filter(|(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| collapse_spaces(value))
            .collect::<Vec<_>>();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}:{}", values.join(","));
    }
    let _ = write!(text, "\n{}\n{}", parts.signed_headers.join(";"), parts.payload_sha256);
    text
}

/// The second text, which is what gets signed. `amz_date` is the `x-amz-date` header as sent.
pub fn string_to_sign(amz_date: &str, scope: &CredentialScope, canonical_request: &str) -> String {
    format!("{ALGORITHM}\n{amz_date}\n{scope}\n{}", sha256_hex(canonical_request.as_bytes()))
}

/// SigV4's signature: an HMAC chain over date, region and service keys the text. Hex, 64 digits.
pub fn sigv4_signature(
    secret_access_key: &Secret<String>,
    scope: &CredentialScope,
    string_to_sign: &str,
) -> String {
    let first = Secret::new(format!("AWS4{}", secret_access_key.expose()));
    let date = hmac_sha256(first.expose().as_bytes(), scope.date.as_bytes());
    let region = hmac_sha256(date.expose(), scope.region.as_bytes());
    let service = hmac_sha256(region.expose(), scope.service.as_bytes());
    let key = hmac_sha256(service.expose(), b"aws4_request");
    hex::encode(hmac_sha256(key.expose(), string_to_sign.as_bytes()).expose())
}

/// `x-amz-date` for a moment.
pub fn amz_date(at: UtcDateTime) -> String {
    // The format has no component that a UtcDateTime lacks, so formatting cannot fail.
    at.format(AMZ_DATE).unwrap_or_default()
}

/// The moment that an `x-amz-date` names.
pub fn parse_amz_date(text: &str) -> Option<UtcDateTime> {
    time::PrimitiveDateTime::parse(text, AMZ_DATE).ok().map(|at| at.as_utc())
}

/// Lower-case hex SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl CredentialScope {
    pub fn new(at: UtcDateTime, region: &str, service: &str) -> Self {
        Self {
            date: at.format(SCOPE_DATE).unwrap_or_default(),
            region: region.to_owned(),
            service: service.to_owned(),
        }
    }
}

impl fmt::Display for CredentialScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

impl Authorization {
    /// Reads a header. Parts are split at `, ` and at their first `=` only: an RSA signature has
    /// `=`, `+` and `/` of its own.
    pub fn parse(header: &str) -> Result<Self, MalformedAuthorization> {
        let parts = header
            .strip_prefix(ALGORITHM)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or(MalformedAuthorization::Algorithm)?;
        let part = |name: &str| {
            parts
                .split(',')
                .filter_map(|part| part.trim().split_once('='))
                .find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
        };
        let credential = part("Credential").ok_or(MalformedAuthorization::Credential)?;
        let &[credential_id, date, region, service, "aws4_request"] =
            credential.split('/').collect::<Vec<_>>().as_slice()
        else {
            return Err(MalformedAuthorization::Credential);
        };
        let signed_headers = part("SignedHeaders").ok_or(MalformedAuthorization::SignedHeaders)?;
        let signature = part("Signature").ok_or(MalformedAuthorization::Signature)?;
        Ok(Self {
            credential_id: credential_id.to_owned(),
            scope: CredentialScope {
                date: date.to_owned(),
                region: region.to_owned(),
                service: service.to_owned(),
            },
            signed_headers: signed_headers.split(';').map(str::to_owned).collect(),
            signature: signature.to_owned(),
        })
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
            self.credential_id,
            self.scope,
            self.signed_headers.join(";"),
            self.signature
        )
    }
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Secret<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    Secret::new(mac.finalize().into_bytes().to_vec())
}

/// Leading and trailing spaces go, runs of spaces become one; a tab is not a space.
fn collapse_spaces(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_header_reads_back_as_written() {
        let header = "AWS4-HMAC-SHA256 Credential=mi-0123456789abcdef0/20241015/us-east-1/ssm/aws4_request, \
                      SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=a+b/c==";
        let parsed = Authorization::parse(header).unwrap();
        assert_eq!(parsed.credential_id, "mi-0123456789abcdef0");
        assert_eq!(parsed.signature, "a+b/c==");
        assert_eq!(parsed.to_string(), header);
    }

    #[test]
    fn broken_headers_are_told_apart() {
        use MalformedAuthorization as E;
        for (header, expected) in [
            ("", E::Algorithm),
            ("Bearer x", E::Algorithm),
            ("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=s", E::Credential),
            ("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, Signature=s", E::SignedHeaders),
            (
                "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=",
                E::Signature,
            ),
        ] {
            assert_eq!(Authorization::parse(header), Err(expected), "{header}");
        }
    }

    #[test]
    fn dates_read_back() {
        let at = parse_amz_date("20241015T212205Z").unwrap();
        assert_eq!(amz_date(at), "20241015T212205Z");
        assert_eq!(CredentialScope::new(at, "r", "s").date, "20241015");
        assert!(parse_amz_date("2024-10-15").is_none());
    }
}
