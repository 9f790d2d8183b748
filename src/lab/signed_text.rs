//! The two texts that a signature covers, from what arrived.

use super::message::Request;
use crate::pure::signing::{Authorization, SignedParts, canonical_request, string_to_sign};

/// Headers whose values let their holder in. What is shown keeps their first characters only.
const CREDENTIALS: [&str; 2] = ["x-amz-security-token", "authorization"];

/// How much of a credential is shown: enough to tell one from another.
const SHOWN: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedText {
    /// To the byte, credentials included.
    pub canonical_request: String,
    pub string_to_sign: String,
}

impl SignedText {
    /// `date` is the `x-amz-date` as sent, `payload_sha256` what stands for the body.
    pub fn of(
        request: &Request,
        authorization: &Authorization,
        date: &str,
        payload_sha256: &str,
    ) -> Self {
        let canonical_request = canonical(request, authorization, payload_sha256);
        let string_to_sign = string_to_sign(date, &authorization.scope, &canonical_request);
        Self { canonical_request, string_to_sign }
    }
}

/// A name that is in the list twice. Nothing is computed then: each would repeat its header's value,
/// and a short request could grow without bound.
pub fn named_twice(authorization: &Authorization) -> Option<&str> {
    let mut names = authorization.signed_headers.iter().collect::<Vec<_>>();
    names.sort();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].as_str())
}

/// The canonical request as it may be shown: a session token is shortened, all else is to the byte.
pub fn shown_canonical_request(
    request: &Request,
    authorization: &Authorization,
    payload_sha256: &str,
) -> String {
    let mut request = request.clone();
    for (name, value) in &mut request.headers {
        if CREDENTIALS.iter().any(|credential| name.eq_ignore_ascii_case(credential)) {
            *value = shortened(value);
        }
    }
    request.query = shown_query(&request.query);
    canonical(&request, authorization, payload_sha256)
}

/// A presigned URL has its session token among its parameters.
fn shown_query(query: &str) -> String {
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case(CREDENTIALS[0]) => {
            format!("{name}={}", shortened(value))
        }
        _ => parameter.to_owned(),
    });
    parameters.collect::<Vec<_>>().join("&")
}

/// By name and value; a parameter without `=` gets one. Escapes stay as they were sent.
fn canonical_query(query: &str) -> String {
    let mut parameters = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .collect::<Vec<_>>();
    parameters.sort_unstable();
    let pairs = parameters.into_iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("&")
}

fn shortened(value: &str) -> String {
    let start = value.chars().take(SHOWN).collect::<String>();
    format!("{start}...({} characters)", value.chars().count())
}

fn canonical(request: &Request, authorization: &Authorization, payload_sha256: &str) -> String {
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect::<Vec<_>>();
    let signed_headers =
        authorization.signed_headers.iter().map(String::as_str).collect::<Vec<_>>();
    canonical_request(&SignedParts {
        method: &request.method,
        path: &request.path,
        query: &canonical_query(&request.query),
        headers: &headers,
        signed_headers: &signed_headers,
        payload_sha256,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::signing::sha256_hex;

    #[test]
    fn a_session_token_is_signed_whole_and_shown_short() {
        let token = "FwoGZXIvYXdzE".repeat(20);
        let request = Request {
            method: "POST".into(),
            path: "/".into(),
            headers: vec![("X-Amz-Security-Token".into(), token.clone())],
            ..Request::default()
        };
        let header = "AWS4-HMAC-SHA256 Credential=A/20261122/r/s/aws4_request, \
                      SignedHeaders=x-amz-security-token, Signature=0";
        let authorization = Authorization::parse(header).unwrap();
        let text = SignedText::of(&request, &authorization, "20261122T000052Z", "hash");
        assert!(text.canonical_request.contains(&token));
        assert!(text.string_to_sign.ends_with(&sha256_hex(text.canonical_request.as_bytes())));
        let shown = shown_canonical_request(&request, &authorization, "hash");
        assert!(shown.contains("x-amz-security-token:FwoGZXIv...(260 characters)\n"), "{shown}");
        assert!(!shown.contains(&token[..9]));
    }
    #[test]
    fn a_query_is_put_in_order() {
        assert_eq!(canonical_query(""), "");
        assert_eq!(
            canonical_query("prefix=&list-type=2&acl&a=2&a=1"),
            "a=1&a=2&acl=&list-type=2&prefix="
        );
        assert_eq!(
            shown_query("a=1&X-Amz-Security-Token=FwoGZXIvYXdzE"),
            "a=1&X-Amz-Security-Token=FwoGZXIv...(13 characters)"
        );
    }
}
