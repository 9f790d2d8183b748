//! Signatures against the world: requests captured from the reference agent, one made with OpenSSL,
//! a second implementation of RSA-PSS (aws-lc-rs) and one of SigV4 (aws-sigv4).
//!
//! What is expected comes from outside in every test; nothing here is compared with itself.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use rolekeeper::keys::{PublicKey, SigningKey};
use rolekeeper::pure::secret::Secret;
use rolekeeper::pure::signing::{
    Authorization, CredentialScope, SignedParts, amz_date, canonical_request, parse_amz_date,
    sha256_hex, sigv4_signature, string_to_sign,
};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::rand_core::OsRng;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use serde::Deserialize;
use time::UtcDateTime;

#[test]
fn canonical_request_and_string_to_sign_are_those_of_the_captures() {
    let mut seen = 0;
    for vectors in all() {
        for request in vectors.signed() {
            assert_eq!(request.canonical(), *request.canonical_request.as_ref().unwrap());
            assert_eq!(request.text(), *request.string_to_sign.as_ref().unwrap());
            seen += 1;
        }
    }
    assert_eq!(seen, 10);
}

#[test]
fn every_captured_rsa_signature_verifies() {
    let mut seen = 0;
    for vectors in all() {
        for (request, key) in vectors.signed_by_keys() {
            let signature = request.authorization().signature;
            assert!(key.verify(&request.text(), &signature), "{}", request.name);
            assert!(second_opinion(&key, &request.text(), &signature), "{}", request.name);
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
}

#[test]
fn every_captured_sigv4_signature_is_recomputed() {
    let mut seen = 0;
    for vectors in all() {
        for request in vectors.signed() {
            let authorization = request.authorization();
            if let Some(secret) = vectors.credentials.get(&authorization.credential_id) {
                let signature = sigv4_signature(
                    &Secret::new(secret.clone()),
                    &authorization.scope,
                    &request.text(),
                );
                assert_eq!(signature, authorization.signature, "{}", request.name);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 2);
}

#[test]
fn a_captured_request_that_was_changed_in_any_signed_place_no_longer_verifies() {
    for vectors in all() {
        for (request, key) in vectors.signed_by_keys() {
            let signature = request.authorization().signature;
            let refused = |change: &dyn Fn(&mut Request)| {
                let mut changed = request.clone();
                change(&mut changed);
                !key.verify(&changed.text(), &signature)
            };
            assert!(refused(&|r| r.body = r.body.replacen('f', "e", 1)), "{}", request.name);
            for name in request.authorization().signed_headers {
                assert!(refused(&|r| r.header_mut(&name).push('x')), "{}: {name}", request.name);
            }
            let elsewhere = |r: &mut Request| {
                let authorization = r.header_mut("authorization");
                *authorization = authorization.replace("/us-east-1/", "/us-east-2/");
            };
            assert!(refused(&elsewhere), "{}: scope", request.name);
        }
    }
}

#[test]
fn a_captured_signature_is_no_other_keys_and_of_no_other_request() {
    let vectors = reference_agent();
    let keys = vectors.keys.values().map(Key::public).collect::<Vec<_>>();
    for (request, signer) in vectors.signed_by_keys() {
        let signature = request.authorization().signature;
        for key in keys.iter().filter(|key| **key != signer) {
            assert!(!key.verify(&request.text(), &signature), "{}", request.name);
        }
        for other in vectors.signed().filter(|other| other.text() != request.text()) {
            assert!(!signer.verify(&other.text(), &signature), "{}", request.name);
        }
    }
}

#[test]
fn a_salt_of_another_length_is_refused() {
    let (private, public) = first_key();
    for salt in [0, 20, 31, 33, 222] {
        let signer =
            rsa::pss::BlindedSigningKey::<sha2::Sha256>::new_with_salt_len(private.clone(), salt);
        let signature = STANDARD.encode(signer.sign_with_rng(&mut OsRng, b"text").to_bytes());
        assert!(!public.verify("text", &signature), "salt of {salt} bytes");
        assert!(!second_opinion(&public, "text", &signature), "salt of {salt} bytes");
    }
}

#[test]
fn the_older_padding_is_refused() {
    let (private, public) = first_key();
    let signer = rsa::pkcs1v15::SigningKey::<sha2::Sha256>::new(private);
    let signature = STANDARD.encode(signer.sign_with_rng(&mut OsRng, b"text").to_bytes());
    assert!(!public.verify("text", &signature));
}

#[test]
fn what_is_no_signature_is_refused() {
    let (_, public) = first_key();
    for signature in ["", "=", "AAAA", &STANDARD.encode([0; 256]), &STANDARD.encode([0xff; 256])] {
        assert!(!public.verify("text", signature), "{signature:?}");
    }
}

#[test]
fn our_rsa_signatures_verify_with_another_implementation() {
    let vectors = reference_agent();
    for key in vectors.keys.values() {
        let signing = key.signing();
        assert_eq!(signing.public_key(), key.public());
        for request in vectors.signed() {
            let text = request.text();
            let signature = signing.sign(&text);
            assert!(second_opinion(&key.public(), &text, &signature));
            assert!(!second_opinion(&key.public(), &format!("{text} "), &signature));
        }
    }
}

#[test]
fn a_fresh_key_signs_for_another_implementation_too() {
    let key = SigningKey::generate().unwrap();
    assert!(second_opinion(&key.public_key(), "text", &key.sign("text")));
}

#[test]
fn a_captured_private_key_keeps_its_bytes() {
    for key in reference_agent().keys.values() {
        assert_eq!(key.signing().encode().expose(), key.private_key.as_ref().unwrap());
        assert_eq!(key.public().encode(), key.public_key);
    }
}

proptest! {
    /// Whatever we could send, the AWS SDK's own signer signs it alike.
    #[test]
    fn our_sigv4_is_the_sdks(
        secret in "[!-~]{1,64}",
        token in proptest::option::of("[!-~]{1,200}"),
        region in "[a-z]{2}-[a-z]{1,9}-[1-9]",
        service in "ssm|sts",
        host in "[a-z]{1,20}(\\.[a-z]{1,20}){1,3}(:[1-9][0-9]{3})?",
        seconds in 0_u64..4_102_444_800, // until 2100
        sent in proptest::collection::vec(("[Xx]-[A-Ca-c]{1,2}", "[ -~\t]{0,24}"), 0..6),
        body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let at = UtcDateTime::from_unix_timestamp(seconds as i64).unwrap();
        let (theirs, signed_headers) = sdk_signature(
            &secret, token.as_deref(), &region, &service, &host, seconds, &sent, &body,
        );

        let date = amz_date(at);
        let mut headers = sent.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>();
        headers.extend([("Host", host.as_str()), ("X-Amz-Date", &date)]);
        headers.extend(token.as_deref().map(|token| ("X-Amz-Security-Token", token)));
        let scope = CredentialScope::new(at, &region, &service);
        let canonical = canonical_request(&SignedParts {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            signed_headers: &signed_headers.split(';').collect::<Vec<_>>(),
            payload_sha256: &sha256_hex(&body),
        });
        let ours = sigv4_signature(&Secret::new(secret), &scope, &string_to_sign(&date, &scope, &canonical));
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn any_moment_reads_back_from_its_header(seconds in 0_i64..253_402_300_800) {
        let at = UtcDateTime::from_unix_timestamp(seconds).unwrap();
        prop_assert_eq!(parse_amz_date(&amz_date(at)), Some(at));
    }

    #[test]
    fn no_header_makes_the_parser_panic(header in "(AWS4-HMAC-SHA256 )?([ -~]|(Credential=a/b/c/d/aws4_request, )|(SignedHeaders=host;x, )|(Signature=)){0,40}") {
        if let Ok(read) = Authorization::parse(&header) {
            prop_assert_eq!(Authorization::parse(&read.to_string()), Ok(read));
        }
    }
}

/// A file of `tests/vectors/`.
#[derive(Deserialize)]
struct Vectors {
    keys: BTreeMap<String, Key>,
    /// Access key id to secret access key.
    credentials: BTreeMap<String, String>,
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Key {
    private_key: Option<String>,
    public_key: String,
}

#[derive(Clone, Deserialize)]
struct Request {
    name: String,
    headers: Vec<(String, String)>,
    body: String,
    /// The signing key's name; absent for SigV4 and for what is not signed.
    key: Option<String>,
    canonical_request: Option<String>,
    string_to_sign: Option<String>,
}

impl Vectors {
    fn signed(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(|request| request.string_to_sign.is_some())
    }

    fn signed_by_keys(&self) -> impl Iterator<Item = (&Request, PublicKey)> {
        self.signed().filter_map(|request| {
            Some((request, self.keys.get(request.key.as_ref()?).unwrap().public()))
        })
    }
}

impl Key {
    fn public(&self) -> PublicKey {
        PublicKey::decode(&self.public_key).unwrap()
    }

    fn signing(&self) -> SigningKey {
        SigningKey::decode(&Secret::new(self.private_key.clone().unwrap())).unwrap()
    }
}

impl Request {
    /// The string to sign, from nothing but what arrived: as a service rebuilds it.
    fn text(&self) -> String {
        string_to_sign(self.header("x-amz-date"), &self.authorization().scope, &self.canonical())
    }

    fn canonical(&self) -> String {
        let authorization = self.authorization();
        let headers =
            self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>();
        let signed_headers =
            authorization.signed_headers.iter().map(String::as_str).collect::<Vec<_>>();
        canonical_request(&SignedParts {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            signed_headers: &signed_headers,
            payload_sha256: &sha256_hex(self.body.as_bytes()),
        })
    }

    fn authorization(&self) -> Authorization {
        Authorization::parse(self.header("authorization")).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(sent, _)| sent.eq_ignore_ascii_case(name));
        &found.unwrap_or_else(|| panic!("{}: no {name}", self.name)).1
    }

    fn header_mut(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(sent, _)| sent.eq_ignore_ascii_case(name));
        &mut found.unwrap().1
    }
}

fn reference_agent() -> Vectors {
    serde_json::from_str(include_str!("vectors/reference-agent.json")).unwrap()
}

fn all() -> [Vectors; 2] {
    [reference_agent(), serde_json::from_str(include_str!("vectors/openssl.json")).unwrap()]
}

fn first_key() -> (rsa::RsaPrivateKey, PublicKey) {
    let vectors = reference_agent();
    let key = &vectors.keys["key1"];
    let der = STANDARD.decode(key.private_key.as_ref().unwrap()).unwrap();
    (rsa::RsaPrivateKey::from_pkcs1_der(&der).unwrap(), key.public())
}

/// RSASSA-PSS (SHA-256, salt of 32 bytes) as AWS-LC verifies it.
fn second_opinion(key: &PublicKey, text: &str, signature: &str) -> bool {
    let key = STANDARD.decode(key.encode()).unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
        .verify(text.as_bytes(), &signature)
        .is_ok()
}

/// The signature that the SDK makes, and the headers that it covers.
#[expect(clippy::too_many_arguments, reason = "one for each thing that a signature covers")]
fn sdk_signature(
    secret: &str,
    token: Option<&str>,
    region: &str,
    service: &str,
    host: &str,
    seconds: u64,
    headers: &[(String, String)],
    body: &[u8],
) -> (String, String) {
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};

    let identity = aws_credential_types::Credentials::new(
        "AKIDEXAMPLE",
        secret,
        token.map(str::to_owned),
        None,
        "test",
    )
    .into();
    let params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let request = SignableRequest::new(
        "POST",
        format!("https://{host}/"),
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        SignableBody::Bytes(body),
    )
    .unwrap();
    let (instructions, signature) = sign(request, &params).unwrap().into_parts();
    let (_, authorization) = instructions
        .headers()
        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .unwrap();
    (signature, Authorization::parse(authorization).unwrap().signed_headers.join(";"))
}
