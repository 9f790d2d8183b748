//! `rolekeeper-lab explain` on what the reference agent sent: every captured request verifies in any
//! form that a capture can have, and each change to it is named.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use rolekeeper::keys::PublicKey;
use rolekeeper::lab::explain::{Capture, Explanation, Key, Part, Secrecy, explain};
use rolekeeper::pure::secret::Secret;
use rolekeeper::pure::signing::{Authorization, amz_date, parse_amz_date, string_to_sign};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::rand_core::OsRng;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use serde::Deserialize;
use serde_json::Value;

const LAB: &str = env!("CARGO_BIN_EXE_rolekeeper-lab");

#[test]
fn every_captured_request_verifies_in_every_form_of_a_capture() {
    let vectors = vectors();
    let mut seen = 0;
    for request in vectors.signed() {
        for text in [request.text("\r\n"), request.text("\n"), request.unchunked()] {
            let explanation = request.explained(&text, &[vectors.key_of(request)]);
            assert_eq!(explanation.verifies(), Some(true), "{text}\n{:?}", explanation.departures);
            let signed = explanation.signed.unwrap();
            assert_eq!(&signed.string_to_sign, request.string_to_sign.as_ref().unwrap());
            seen += 1;
        }
    }
    assert_eq!(seen, 27);
}

#[test]
fn the_canonical_request_is_the_captures_with_its_token_shortened() {
    let vectors = vectors();
    for request in vectors.signed() {
        let signed = request.explained(&request.text("\n"), &[]).signed.unwrap();
        let expected = request.canonical_request.as_ref().unwrap();
        match request.headers.iter().find(|(name, _)| name == "X-Amz-Security-Token") {
            None => assert_eq!(&signed.canonical_request, expected),
            Some((_, token)) => {
                let short = format!("{}...({} characters)", &token[..8], token.len());
                assert_eq!(signed.canonical_request, expected.replace(token, &short));
            }
        }
    }
}

#[test]
fn without_a_key_nothing_is_claimed() {
    for request in vectors().signed() {
        let explanation = request.explained(&request.text("\n"), &[]);
        assert_eq!((explanation.verifies(), explanation.departures), (None, vec![]));
    }
}

#[test]
fn each_change_is_named() {
    let vectors = vectors();
    for request in vectors.signed() {
        let name = &request.name;
        let key = [vectors.key_of(request)];
        let parts = |change: &dyn Fn(&mut Captured)| {
            let mut changed = request.clone();
            change(&mut changed);
            let explanation = changed.explained(&changed.text("\n"), &key);
            assert_eq!(explanation.verifies(), Some(false), "{name}");
            explanation.departures.iter().map(|departure| departure.part).collect::<Vec<_>>()
        };
        let rsa = request.key.is_some();
        let body = parts(&|r| r.body = r.body.replacen('4', "5", 1));
        let expected =
            if rsa { vec![Part::BodyHash, Part::Body] } else { vec![Part::KeyOrSignedText] };
        assert_eq!(body, expected, "{name}");
        assert_eq!(parts(&|r| r.header_mut("host").push_str(":81")), [Part::Host], "{name}");
        assert_eq!(
            parts(&|r| r.header_mut("content-type").push_str("; a")),
            [Part::Header],
            "{name}"
        );
        let stale = |r: &mut Captured| {
            let date = r.header_mut("x-amz-date");
            *date = amz_date(parse_amz_date(date).unwrap() + Duration::from_secs(600));
        };
        assert_eq!(parts(&stale), [Part::Date], "{name}");
        let region = |r: &mut Captured| {
            let authorization = r.header_mut("authorization");
            *authorization = authorization.replace("/us-east-1/", "/us-east-2/");
        };
        let named = parts(&region);
        let of_aws = request.header("host").ends_with(".amazonaws.com");
        let expected = match of_aws {
            true => vec![Part::Scope, Part::Scope],
            false => vec![Part::SignedText],
        };
        assert_eq!(named, expected, "{name}");
        let service = |r: &mut Captured| {
            let authorization = r.header_mut("authorization");
            *authorization = authorization.replace("/ssm/", "/sts/");
        };
        assert_eq!(parts(&service), [Part::Scope, Part::Scope], "{name}");
        let unsent = |r: &mut Captured| r.headers.retain(|(name, _)| name != "Content-Type");
        assert!(parts(&unsent).contains(&Part::MissingHeader), "{name}");
        let unsigned = |r: &mut Captured| {
            let authorization = r.header_mut("authorization");
            *authorization = authorization.replace(";host;", ";");
        };
        assert!(parts(&unsigned).contains(&Part::SignedHeaders), "{name}");
    }
}

#[test]
fn a_date_is_judged_by_when_the_request_arrived() {
    let vectors = vectors();
    let request = vectors.named("role-token-default-endpoint");
    let capture = Capture::parse(request.text("\n").as_bytes()).unwrap();
    let parts = |at: &str| {
        let explanation = explain(&capture, &[vectors.key_of(request)], parse_amz_date(at));
        explanation.departures.iter().map(|departure| departure.part).collect::<Vec<_>>()
    };
    assert_eq!(parts("20261122T000552Z"), []);
    assert_eq!(parts("20261122T000553Z"), [Part::Date]);
    assert_eq!(parts("20261121T235551Z"), [Part::Date]);
}

#[test]
fn other_keys_and_other_ways_to_sign_are_told_apart() {
    let vectors = vectors();
    let request = vectors.named("role-token-default-endpoint");
    let (right, other) = (vectors.key_of(request), vectors.public("key2"));
    let text = request.text("\n");
    let explanation = request.explained(&text, std::slice::from_ref(&other));
    assert_eq!(only_part(&explanation), Part::Key);
    assert_eq!(request.explained(&text, &[other, right.clone()]).verifies(), Some(true));
    let sigv4 = vectors.named("update-instance-information-boot");
    let secret = Key { name: "s".into(), secrecy: Secrecy::Secret(Secret::new("other".into())) };
    let explanation = sigv4.explained(&sigv4.text("\n"), &[secret]);
    assert_eq!(only_part(&explanation), Part::KeyOrSignedText);
    assert_eq!(
        only_part(&sigv4.explained(&sigv4.text("\n"), std::slice::from_ref(&right))),
        Part::Key
    );

    let private = vectors.private("key1");
    let message = request.string_to_sign.as_ref().unwrap().as_bytes();
    let signed_anew = |signature: &str| {
        let mut changed = request.clone();
        let authorization = changed.header_mut("authorization");
        let start = authorization.find("Signature=").unwrap() + "Signature=".len();
        authorization.replace_range(start.., signature);
        changed.explained(&changed.text("\n"), std::slice::from_ref(&right))
    };
    let pss = |salt| {
        let key =
            rsa::pss::BlindedSigningKey::<sha2::Sha256>::new_with_salt_len(private.clone(), salt);
        key.sign_with_rng(&mut OsRng, message).to_vec()
    };
    assert_eq!(signed_anew(&STANDARD.encode(pss(32))).verifies(), Some(true));
    let short = signed_anew(&STANDARD.encode(pss(20)));
    assert_eq!(only_part(&short), Part::Salt);
    assert!(short.departures[0].text.contains("20 bytes"));
    assert_eq!(only_part(&signed_anew(&hex::encode(pss(32)))), Part::SignatureForm);
    let older = rsa::pkcs1v15::SigningKey::<sha2::Sha256>::new(private.clone());
    let older = older.sign_with_rng(&mut OsRng, message).to_vec();
    assert_eq!(only_part(&signed_anew(&STANDARD.encode(older))), Part::Padding);
}

#[test]
fn blanks_and_line_ends_that_one_side_kept_are_named() {
    let vectors = vectors();
    let request = vectors.named("role-token-default-endpoint");
    let key = [vectors.public("key1")];
    let signer = rsa::pss::BlindedSigningKey::<sha2::Sha256>::new(vectors.private("key1"));
    let json = "application/x-amz-json-1.1";
    for (sent, signed) in [("; a=1;  b=2", "; a=1;  b=2"), ("; a=1;\tb=2", "; a=1; b=2")] {
        let mut changed = request.clone();
        changed.header_mut("content-type").push_str(sent);
        let header = changed.header_mut("authorization");
        let start = header.find("Signature=").unwrap() + "Signature=".len();
        let scope = Authorization::parse(header).unwrap().scope;
        let canonical = request.canonical_request.as_ref().unwrap();
        let canonical = canonical.replace(json, &format!("{json}{signed}"));
        let text = string_to_sign("20261122T000052Z", &scope, &canonical);
        let signature = signer.sign_with_rng(&mut OsRng, text.as_bytes()).to_vec();
        header.replace_range(start.., &STANDARD.encode(signature));
        let explanation = changed.explained(&changed.text("\n"), &key);
        assert_eq!(only_part(&explanation), Part::Whitespace, "{sent:?}");
    }
    let explanation = request.explained(&format!("{}\n", request.unchunked()), &key);
    assert!(explanation.departures.iter().any(|departure| departure.text.contains("line end")));
}

#[test]
fn a_request_without_a_readable_authorization_says_why() {
    let vectors = vectors();
    let register = vectors.named("register");
    let explanation = register.explained(&register.text("\n"), &[]);
    assert_eq!(only_part(&explanation), Part::Authorization);
    let twice =
        "AWS4-HMAC-SHA256 Credential=A/2/r/s/aws4_request, SignedHeaders=a;b;a, Signature=0";
    for (authorization, why) in [
        ("Bearer hunter2", "but 'Bearer'"),
        ("hunter2", "algorithm is not AWS4-HMAC-SHA256"),
        ("AWS4-HMAC-SHA256 Credential=a/b", "Credential="),
        ("", "algorithm"),
        (twice, "names 'a' twice"),
    ] {
        let text = format!("POST / HTTP/1.1\nAuthorization: {authorization}\n\n");
        let explanation = register.explained(&text, &[]);
        assert_eq!(only_part(&explanation), Part::Authorization);
        let said = &explanation.departures[0].text;
        assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn the_command_explains_verifies_and_refuses() {
    let vectors = vectors();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let run = |arguments: &[&str], request: &str| -> Output {
        let capture = write("request.http", request);
        let mut command = Command::new(LAB);
        command.env_clear().arg("explain").args(arguments).stdin(fs::File::open(capture).unwrap());
        command.output().unwrap()
    };
    let pem = PublicKey::decode(&vectors.keys["key1"].public_key).unwrap().encode();
    let pem = pem.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
    let pem = pem.collect::<Vec<_>>().join("\n");
    let pem =
        write("k.pem", &format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n"));
    let pem = pem.to_str().unwrap();
    let secret = vectors.credentials.values().next().unwrap();
    let secret_file = write("secret", &format!("{secret}\n"));
    let secret_file = secret_file.to_str().unwrap();

    let rsa = vectors.named("role-token-default-endpoint");
    let sigv4 = vectors.named("update-instance-information-boot");
    let good = run(&["--public-key", pem], &rsa.text("\r\n"));
    let words = String::from_utf8(good.stdout).unwrap();
    assert_eq!(good.status.code(), Some(0), "{words}");
    assert!(words.contains("mi-f52168f4aefc72946, a managed instance"), "{words}");
    assert!(words.contains("RSA-2048 signature, 256 bytes, in base64, 344 characters"), "{words}");
    assert!(words.ends_with("\nIt verifies.\n"), "{words}");

    let good = run(&["--secret-access-key-file", secret_file, "--json"], &sigv4.text("\n"));
    assert_eq!(good.status.code(), Some(0));
    let shown = String::from_utf8(good.stdout).unwrap();
    assert!(!shown.contains(secret) && !shown.contains(sigv4.header("x-amz-security-token")));
    let shown = serde_json::from_str::<Value>(&shown).unwrap();
    assert_eq!(shown["verifies"], true);
    assert_eq!(shown["authorization"]["signature"]["kind"], "hmac");
    assert_eq!(shown["keys"][0]["signed"], true);

    let torn = rsa.text("\n").replace("Fingerprint", "fingerprint");
    let bad = run(&["--public-key", pem, "--json"], &torn);
    let shown = serde_json::from_slice::<Value>(&bad.stdout).unwrap();
    assert_eq!(shown["departures"][0]["part"], "body-hash");
    assert_refused(&bad, 65, "body-hash, body");

    assert_refused(&run(&[], &rsa.text("\n")), 65, "without its key");
    assert_refused(&run(&[], "GET\n"), 65, "no HTTP/1.1 request: line 1");
    assert_refused(&run(&["--public-key", secret_file], "GET\n"), 65, "no key that can be tried");
    assert_refused(&run(&["--public-key", "/none"], "GET\n"), 64, "cannot read /none");
    assert_refused(&run(&["/none"], ""), 64, "cannot read /none");
    assert_refused(&run(&["--at", "now"], ""), 64, "expected a moment");
}

fn assert_refused(output: &Output, status: i32, message: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    let lines = error.lines().collect::<Vec<_>>();
    assert_eq!(output.status.code(), Some(status), "{error}");
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].contains(message) && lines[1].starts_with("try: "), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(capture) = Capture::parse(&bytes) {
            explain(&capture, &[], None);
        }
    }

    /// A captured request with a few bytes replaced, removed or repeated.
    #[test]
    fn no_damage_makes_it_panic(
        which in 0_usize..10,
        damage in proptest::collection::vec((any::<u16>(), any::<u8>(), 0_u8..3), 1..6),
    ) {
        let vectors = vectors();
        let request = &vectors.requests[which];
        let mut bytes = request.text("\r\n").into_bytes();
        for (at, byte, way) in damage {
            let at = usize::from(at) % bytes.len();
            match way {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let keys = [vectors.public("key1"), vectors.public("key3")];
        if let Ok(capture) = Capture::parse(&bytes) {
            explain(&capture, &keys, parse_amz_date("20261122T000052Z"));
        }
    }
}

fn only_part(explanation: &Explanation) -> Part {
    assert_eq!(explanation.verifies(), Some(false));
    assert_eq!(explanation.departures.len(), 1, "{:?}", explanation.departures);
    explanation.departures[0].part
}

#[derive(Deserialize)]
struct Vectors {
    keys: BTreeMap<String, KeyPair>,
    credentials: BTreeMap<String, String>,
    requests: Vec<Captured>,
}

#[derive(Deserialize)]
struct KeyPair {
    private_key: String,
    public_key: String,
}

#[derive(Clone, Deserialize)]
struct Captured {
    name: String,
    headers: Vec<(String, String)>,
    body: String,
    key: Option<String>,
    canonical_request: Option<String>,
    string_to_sign: Option<String>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/reference-agent.json")).unwrap()
}

impl Vectors {
    fn signed(&self) -> impl Iterator<Item = &Captured> {
        self.requests.iter().filter(|request| request.string_to_sign.is_some())
    }

    fn named(&self, name: &str) -> &Captured {
        self.requests.iter().find(|request| request.name == name).unwrap()
    }

    fn public(&self, name: &str) -> Key {
        let key = PublicKey::decode(&self.keys[name].public_key).unwrap();
        Key { name: name.to_owned(), secrecy: Secrecy::Public(key) }
    }

    fn private(&self, name: &str) -> rsa::RsaPrivateKey {
        let der = STANDARD.decode(&self.keys[name].private_key).unwrap();
        rsa::RsaPrivateKey::from_pkcs1_der(&der).unwrap()
    }

    fn key_of(&self, request: &Captured) -> Key {
        match &request.key {
            Some(name) => self.public(name),
            None => {
                let secret = self.credentials.values().next().unwrap().clone();
                Key { name: "secret".to_owned(), secrecy: Secrecy::Secret(Secret::new(secret)) }
            }
        }
    }
}

impl Captured {
    /// As it went over the wire, with this line end.
    fn text(&self, end: &str) -> String {
        let body = match self.is_chunked() {
            true => {
                let (first, second) = self.body.split_at(self.body.len() / 2);
                let chunk = |part: &str| format!("{:x}{end}{part}{end}", part.len());
                format!("{}{}0{end}{end}", chunk(first), chunk(second))
            }
            false => self.body.clone(),
        };
        format!("{}{end}{body}", self.head(end))
    }

    /// As some proxies show it: the head as it was, the body put together.
    fn unchunked(&self) -> String {
        format!("{}\n{}", self.head("\n"), self.body)
    }

    fn head(&self, end: &str) -> String {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}{end}"));
        format!("POST / HTTP/1.1{end}{}", headers.collect::<String>())
    }

    fn is_chunked(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == "Transfer-Encoding")
    }

    fn explained(&self, text: &str, keys: &[Key]) -> Explanation {
        explain(&Capture::parse(text.as_bytes()).unwrap(), keys, None)
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(sent, _)| sent.eq_ignore_ascii_case(name));
        &found.unwrap().1
    }

    fn header_mut(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(sent, _)| sent.eq_ignore_ascii_case(name));
        &mut found.unwrap().1
    }
}
