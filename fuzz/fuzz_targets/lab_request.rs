//! Any body to any operation of the lab, unsigned and signed by its administrator: no panic, and an
//! answer that AWS could have given. The first byte chooses the operation, the second the signature;
//! requests follow one another in one service, 0xFF between them.

#![no_main]

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rolekeeper::host::entropy::Entropy;
use rolekeeper::lab::message::Request;
use rolekeeper::lab::operation::Operation;
use rolekeeper::lab::service::Service;
use rolekeeper::pure::signing::{
    Authorization, CredentialScope, SignedParts, amz_date, canonical_request, sha256_hex,
    sigv4_signature, string_to_sign,
};
use time::UtcDateTime;
use time::macros::utc_datetime;

const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);
const REGION: &str = "eu-central-1";

/// Draws 0, 1, 2, …: a run repeats itself.
#[derive(Debug, Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let entropy = Counting::default();
    let region = REGION.parse().expect("the region is well formed");
    let mut service = Service::new(region, Duration::from_secs(3600), &entropy);
    for bytes in bytes.split(|byte| *byte == 0xFF).take(8) {
        let [operation, signed, body @ ..] = bytes else { continue };
        let operation = Operation::ALL[usize::from(*operation) % Operation::ALL.len()];
        let mut request = request(operation, body);
        if signed % 2 == 1 {
            sign(&mut request, operation.service(), &service);
        }
        let reply = service.answer(&request, &entropy, NOW);
        assert!(matches!(reply.status, 200 | 400..=599), "{reply:?}");
        assert!(reply.header("x-amzn-requestid").is_some() && reply.header("date").is_some());
        assert_ne!(reply.status, 500, "{reply:?}");
    }
});

fn request(operation: Operation, body: &[u8]) -> Request {
    let headers = match operation.service() {
        "sts" => vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
        _ => vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", format!("AmazonSSM.{operation}")),
        ],
    };
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value));
    Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        headers: headers.chain([("host".to_owned(), "127.0.0.1:4599".to_owned())]).collect(),
        body: body.to_vec(),
        ..Request::default()
    }
}

fn sign(request: &mut Request, service_name: &str, service: &Service) {
    request.headers.push(("x-amz-date".to_owned(), amz_date(NOW)));
    request.headers.sort();
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = headers.collect::<Vec<_>>();
    let signed_headers = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let scope = CredentialScope::new(NOW, REGION, service_name);
    let canonical = canonical_request(&SignedParts {
        method: &request.method,
        path: &request.path,
        query: "",
        headers: &headers,
        signed_headers: &signed_headers,
        payload_sha256: &sha256_hex(&request.body),
    });
    let to_sign = string_to_sign(&amz_date(NOW), &scope, &canonical);
    let authorization = Authorization {
        credential_id: service.admin().access_key_id.clone(),
        signature: sigv4_signature(&service.admin().secret_access_key, &scope, &to_sign),
        scope,
        signed_headers: signed_headers.iter().map(|name| (*name).to_owned()).collect(),
    };
    request.headers.push(("authorization".to_owned(), authorization.to_string()));
}
