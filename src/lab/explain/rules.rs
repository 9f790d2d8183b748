//! What the service asks of every signed request, whatever its key.

use time::{Duration, UtcDateTime};

use super::Signer;
use super::alternatives::{Reading, region_of};
use super::capture::{Capture, Framing};
use super::departure::{Departure, Part};
use super::signature::Signature;
use crate::lab::operation::requested;
use crate::pure::identity::InstanceId;
use crate::pure::signing::{Authorization, amz_date, parse_amz_date};

/// As the lab judges dates (AWS General Reference: five minutes for most services).
const TOLERANCE: Duration = Duration::minutes(5);

pub fn departures(
    capture: &Capture,
    authorization: &Authorization,
    reading: &Reading,
    at: Option<UtcDateTime>,
) -> Vec<Departure> {
    let mut found = Vec::new();
    found.extend(credential_id(&authorization.credential_id));
    signed_headers(capture, authorization, &mut found);
    found.extend(authority(capture));
    date(capture, authorization, at, &mut found);
    scope(capture, authorization, &mut found);
    found.extend(body(capture));
    found.extend(body_hash(capture, reading));
    found
}

/// A signature of the other kind than the credential id's.
pub fn kind(signer: Signer, signature: &Signature) -> Option<Departure> {
    let text = match (signer, signature) {
        (Signer::ManagedInstance | Signer::Ec2Instance, Signature::Hmac(_)) => {
            "an instance's id, and an HMAC: an instance signs with its RSA key"
        }
        (Signer::LongTermKey | Signer::TemporaryKey, Signature::Rsa(_)) => {
            "an access key's id, and an RSA signature: a secret access key makes an HMAC"
        }
        _ => return None,
    };
    Some(Departure::new(Part::SignatureForm, text))
}

fn credential_id(id: &str) -> Option<Departure> {
    let wrong = match Signer::of(id) {
        Signer::ManagedInstance => id.parse::<InstanceId>().is_err(),
        // 16 to 128 word characters by the IAM API reference.
        _ => {
            !(16..=128).contains(&id.len())
                || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        }
    };
    wrong
        .then(|| Departure::new(Part::CredentialId, "neither an instance's id nor an access key's"))
}

fn signed_headers(capture: &Capture, authorization: &Authorization, found: &mut Vec<Departure>) {
    let request = &capture.request;
    let signed = &authorization.signed_headers;
    for name in ["host", "x-amz-date"] {
        if !signed.iter().any(|signed| signed == name) {
            let text = format!("'{name}' must be signed, and SignedHeaders does not name it");
            found.push(Departure::new(Part::SignedHeaders, text));
        }
    }
    for name in ["host", "x-amz-date"] {
        if request.has_header(name) && request.header(name).is_none() {
            let text = format!("'{name}' was sent more than once");
            found.push(Departure::new(Part::SignedHeaders, text));
        }
    }
    if !signed.is_sorted() || signed.iter().any(|name| name.bytes().any(|b| b.is_ascii_uppercase()))
    {
        let text = "SignedHeaders must be in lower case and in alphabetical order";
        found.push(Departure::new(Part::SignedHeaders, text));
    }
    for name in signed.iter().filter(|name| !request.has_header(name)) {
        let text = format!("SignedHeaders names '{name}', which was not sent");
        found.push(Departure::new(Part::MissingHeader, text));
    }
}

fn authority(capture: &Capture) -> Option<Departure> {
    let (authority, host) = (capture.authority.as_deref()?, capture.request.header("host")?);
    (authority != host).then(|| {
        let text = format!("the request line is for '{authority}', the Host header for '{host}'");
        Departure::new(Part::Host, text)
    })
}

fn date(
    capture: &Capture,
    authorization: &Authorization,
    at: Option<UtcDateTime>,
    found: &mut Vec<Departure>,
) {
    let Some(date) = capture.request.header("x-amz-date") else { return };
    let Some(sent) = parse_amz_date(date) else {
        let text = format!("x-amz-date is '{date}', and must look like 20261122T000052Z");
        return found.push(Departure::new(Part::Date, text));
    };
    if !date.starts_with(&authorization.scope.date) || authorization.scope.date.len() != 8 {
        let scope = &authorization.scope.date;
        let text = format!("the scope's date is '{scope}', and x-amz-date is '{date}'");
        found.push(Departure::new(Part::Scope, text));
    }
    let Some(at) = at else { return };
    let off = sent - at;
    if off.abs() > TOLERANCE {
        let direction = if off.is_negative() { "before" } else { "after" };
        let seconds = off.whole_seconds().unsigned_abs();
        let text = format!(
            "{date} is {seconds} s {direction} {}, when it arrived; five minutes are allowed",
            amz_date(at)
        );
        found.push(Departure::new(Part::Date, text));
    }
}

fn scope(capture: &Capture, authorization: &Authorization, found: &mut Vec<Departure>) {
    let scope = &authorization.scope;
    let host = capture.request.header("host").unwrap_or_default();
    if let Some(region) = region_of(host).filter(|region| *region != scope.region) {
        let text =
            format!("the scope's region is '{}', and the host's is '{region}'", scope.region);
        found.push(Departure::new(Part::Scope, text));
    }
    if let (_, Ok(operation)) = requested(&capture.request)
        && operation.service() != scope.service
    {
        let (asked, service) = (&scope.service, operation.service());
        let text = format!("the scope's service is '{asked}', and {operation} is of '{service}'");
        found.push(Departure::new(Part::Scope, text));
    }
}

fn body(capture: &Capture) -> Option<Departure> {
    let text = match capture.framing {
        Framing::Length { declared, there } if there < declared => {
            format!("Content-Length is {declared}, and {there} bytes are there")
        }
        Framing::ChunkedTorn => "the body ends before its last chunk".to_owned(),
        _ => return None,
    };
    Some(Departure::new(Part::Body, text))
}

fn body_hash(capture: &Capture, reading: &Reading) -> Option<Departure> {
    let sent = capture.request.header("x-amz-content-sha256")?;
    let computed = reading.payload_sha256();
    (sent != computed).then(|| {
        let text = format!("x-amz-content-sha256 is {sent}, and the body's SHA-256 is {computed}");
        Departure::new(Part::BodyHash, text)
    })
}
