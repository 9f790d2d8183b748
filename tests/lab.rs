//! The lab over real sockets, called by the AWS SDK, by hand-made requests and by its own commands.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_ssm::config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_ssm::error::ProvideErrorMetadata;
use rolekeeper::host::clock::{Clock, SystemClock, timeout};
use rolekeeper::keys::SigningKey;
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::ledger::Outcome;
use rolekeeper::lab::operation::Operation;
use rolekeeper::lab::{Lab, LabSettings};
use rolekeeper::pure::identity::InstanceId;
use rolekeeper::pure::signing::{
    Authorization, CredentialScope, SignedParts, amz_date, canonical_request, sha256_hex,
    string_to_sign,
};
use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "lab/default_host.rs"]
mod default_host;
#[path = "lab/ec2.rs"]
mod ec2;
#[path = "lab/fakes.rs"]
mod fakes;
#[path = "lab/faults.rs"]
mod faults;
#[path = "lab/roles.rs"]
mod roles;
#[path = "lab/s3.rs"]
mod s3;

const FINGERPRINT: &str = "f6699b39-9f9a-4a34-8cea-d81c17d5fa4d";

/// A guard against waiting for ever; no test depends on how long anything takes.
const GUARD: Duration = Duration::from_secs(60);

async fn start() -> Lab {
    Lab::start(LabSettings::default()).await.unwrap()
}

fn credentials(id: &str, secret: &str, session_token: Option<&str>) -> Credentials {
    Credentials::new(id, secret, session_token.map(str::to_owned), None, "test")
}

/// The credentials of an answer to `RequestManagedInstanceRoleToken`.
fn issued(token: &Value) -> Credentials {
    let text = |name: &str| token[name].as_str().unwrap();
    credentials(text("AccessKeyId"), text("SecretAccessKey"), Some(text("SessionToken")))
}

fn admin(lab: &Lab) -> Credentials {
    let admin = lab.admin();
    credentials(&admin.access_key_id, admin.secret_access_key.expose(), None)
}

fn ssm(lab: &Lab) -> aws_sdk_ssm::Client {
    aws_sdk_ssm::Client::from_conf(
        aws_sdk_ssm::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(lab.endpoint_url())
            .retry_config(RetryConfig::disabled())
            .credentials_provider(admin(lab))
            .build(),
    )
}

fn sts(lab: &Lab, credentials: Credentials) -> aws_sdk_sts::Client {
    aws_sdk_sts::Client::from_conf(
        aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(lab.endpoint_url())
            .retry_config(RetryConfig::disabled())
            .credentials_provider(credentials)
            .build(),
    )
}

/// A machine that registered, with an activation made through the SDK.
struct Machine {
    id: InstanceId,
    key: SigningKey,
}

impl Machine {
    async fn register(lab: &Lab) -> Self {
        let activation = ssm(lab)
            .create_activation()
            .iam_role("service-role/Rehearsal")
            .registration_limit(1)
            .send()
            .await
            .unwrap();
        let key = SigningKey::generate().unwrap();
        let body = json!({
            "ActivationId": activation.activation_id(),
            "ActivationCode": activation.activation_code(),
            "Fingerprint": FINGERPRINT,
            "PublicKey": key.public_key().encode(),
            "PublicKeyType": "Rsa",
        });
        let request = head(lab.address(), "RegisterManagedInstance", "")
            + &format!("Content-Length: {}\r\n\r\n{body}", body.to_string().len());
        let answer = exchange(lab.address(), request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        Self { id: answer.json()["InstanceId"].as_str().unwrap().parse().unwrap(), key }
    }

    /// `RequestManagedInstanceRoleToken`, chunked and signed as the reference agent does it.
    fn token_request(&self, lab: &Lab, at: UtcDateTime) -> String {
        let (host, date) = (lab.address().to_string(), amz_date(at));
        let target = "AmazonSSM.RequestManagedInstanceRoleToken";
        let body = json!({ "Fingerprint": FINGERPRINT }).to_string();
        let signed_headers = ["content-type", "host", "x-amz-date", "x-amz-target"];
        let payload_sha256 = sha256_hex(body.as_bytes());
        let canonical = canonical_request(&SignedParts {
            method: "POST",
            path: "/",
            query: "",
            headers: &[
                ("Content-Type", "application/x-amz-json-1.1"),
                ("Host", &host),
                ("X-Amz-Date", &date),
                ("X-Amz-Target", target),
            ],
            signed_headers: &signed_headers,
            payload_sha256: &payload_sha256,
        });
        let scope = CredentialScope::new(at, "us-east-1", "ssm");
        let authorization = Authorization {
            credential_id: self.id.to_string(),
            signature: self.key.sign(&string_to_sign(&date, &scope, &canonical)),
            scope,
            signed_headers: signed_headers.map(str::to_owned).to_vec(),
        };
        let signature = format!(
            "X-Amz-Date: {date}\r\nX-Amz-Content-Sha256: {payload_sha256}\r\n\
             Authorization: {authorization}\r\nTransfer-Encoding: chunked\r\n"
        );
        let (first, second) = body.split_at(7);
        head(lab.address(), "RequestManagedInstanceRoleToken", &signature)
            + &format!(
                "\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
                first.len(),
                second.len()
            )
    }

    async fn token(&self, lab: &Lab) -> Answer {
        let request = self.token_request(lab, SystemClock.now());
        exchange(lab.address(), request.as_bytes()).await.unwrap()
    }
}

/// A request's head without its end: `more` are further header lines.
fn head(host: SocketAddr, operation: &str, more: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: AmazonSSM.{operation}\r\n{more}"
    )
}

struct Answer {
    status: u16,
    /// In lower case.
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn code(&self) -> String {
        self.json()["__type"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends bytes and reads until the other side ends the connection.
async fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    let received = raw_exchange(address, request).await?;
    let text = String::from_utf8(received).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.ok_or(io::ErrorKind::InvalidData)?,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

async fn raw_exchange(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    timeout(GUARD, async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await?;
        Ok(received)
    })
    .await
    .expect("the lab must not leave a client waiting")
}

#[tokio::test]
async fn the_sdk_manages_activations_and_nodes() {
    let lab = start().await;
    let client = ssm(&lab);
    let machine = Machine::register(&lab).await;
    client.create_activation().iam_role("Spare").send().await.unwrap();
    let activations = client.describe_activations().send().await.unwrap();
    let used = activations
        .activation_list()
        .iter()
        .map(|one| (one.iam_role().unwrap(), one.registrations_count(), one.expired()))
        .collect::<Vec<_>>();
    assert_eq!(used, [("service-role/Rehearsal", Some(1), false), ("Spare", Some(0), false)]);
    let nodes = client.describe_instance_information().send().await.unwrap();
    assert_eq!(nodes.instance_information_list()[0].instance_id(), Some(machine.id.as_str()));
    let id = activations.activation_list()[1].activation_id().unwrap();
    client.delete_activation().activation_id(id).send().await.unwrap();
    let left = client.describe_activations().send().await.unwrap();
    assert_eq!(left.activation_list().len(), 1);
    let deregister = || client.deregister_managed_instance().instance_id(machine.id.as_str());
    deregister().send().await.unwrap();
    let error = deregister().send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidInstanceId"));
    assert_eq!(machine.token(&lab).await.code(), "InvalidInstanceId");
}

#[tokio::test]
async fn issued_credentials_work_with_the_sdk() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    let answer = machine.token(&lab).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for header in ["content-type: application/x-amz-json-1.1", "x-amzn-requestid: ", "\r\ndate: "] {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
    let identity = sts(&lab, issued(&answer.json())).get_caller_identity().send().await.unwrap();
    let arn = format!("arn:aws:sts::000000000000:assumed-role/Rehearsal/{}", machine.id);
    assert_eq!(identity.arn(), Some(arn.as_str()));
}

#[tokio::test]
async fn expired_credentials_are_called_expired() {
    let lab = start().await;
    lab.with_service(|service| service.token_lifetime = Duration::ZERO);
    let machine = Machine::register(&lab).await;
    let token = machine.token(&lab).await.json();
    let error = sts(&lab, issued(&token)).get_caller_identity().send().await.unwrap_err();
    assert_eq!(error.code(), Some("ExpiredToken"));
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_key_are_told_apart() {
    let lab = start().await;
    let admin = lab.admin().access_key_id.clone();
    let wrong = credentials(&admin, "wrong", None);
    let error = sts(&lab, wrong).get_caller_identity().send().await.unwrap_err();
    assert_eq!(error.code(), Some("SignatureDoesNotMatch"));
    let message = error.message().unwrap();
    assert!(message.contains("The Canonical String for this request should have been\n'POST\n/\n"));
    assert!(message.contains("The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n"));
    let unknown = credentials("AKIAIOSFODNN7EXAMPLE", "wrong", None);
    let error = sts(&lab, unknown).get_caller_identity().send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidClientTokenId"));
}

#[tokio::test]
async fn bad_signatures_and_stale_dates_get_a_reason() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    let stale = machine.token_request(&lab, SystemClock.now() - Duration::from_secs(3600));
    let answer = exchange(lab.address(), stale.as_bytes()).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (400, "InvalidSignatureException"));
    assert!(answer.body.contains("Signature expired"), "{}", answer.body);
    let other = Machine { id: machine.id.clone(), key: SigningKey::generate().unwrap() };
    let answer = other.token(&lab).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "InvalidSignatureException"));
}

#[tokio::test]
async fn malformed_requests_are_answered_and_do_not_hang() {
    let lab = start().await;
    let host = lab.address();
    let broken_chunk =
        head(host, "RegisterManagedInstance", "Transfer-Encoding: chunked\r\n\r\nzz\r\n");
    let broken_json = head(host, "RegisterManagedInstance", "Content-Length: 1\r\n\r\n{");
    let not_utf8 = [head(host, "CreateActivation", "X: ").as_bytes(), b"\xff\r\n\r\n"].concat();
    // Twice what is read at once: what fits is judged as it is.
    let endless = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(900_000));
    let far = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    for (request, expected, why) in [
        (&b"G\x01T / HTTP/1.1\r\n\r\n"[..], 400, "invalid HTTP method"),
        (b"\x16\x03\x01 TLS?\r\n\r\n", 400, "without TLS"),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "invalid content-length"),
        (b"POST / HTTP/3.0\r\n\r\n", 400, "invalid HTTP version"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP version"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "invalid HTTP header"),
        (endless.as_bytes(), 431, "head is too large"),
        (far.as_bytes(), 414, "URI too long"),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "no Host header"),
        (b"GET /favicon.ico HTTP/1.1\r\nConnection: close\r\n\r\n", 404, "Send X-Amz-Target"),
        (broken_chunk.as_bytes(), 400, "the body is broken"),
        (broken_json.as_bytes(), 400, "line 1, column 1"),
        (&not_utf8, 400, "Missing Authentication Token"),
    ] {
        let answer = exchange(host, request).await.unwrap();
        assert_eq!(answer.status, expected, "{}", String::from_utf8_lossy(request));
        assert!(answer.body.contains(why), "{}", answer.body);
    }
    let answer = exchange(host, broken_json.as_bytes()).await.unwrap();
    assert_eq!(answer.code(), "SerializationException");
    let answer = exchange(host, broken_chunk.as_bytes()).await.unwrap();
    assert!(answer.body.contains("the body is broken"), "{}", answer.body);
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused() {
    let lab = start().await;
    let length = format!("Content-Length: {}\r\n\r\n", 1024 * 1024 + 1);
    let request = head(lab.address(), "CreateActivation", &length);
    // The lab must not wait for a body that it will not read: only the head is sent.
    let answer = exchange(lab.address(), request.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 413, "{}", answer.body);
    assert!(answer.body.contains("larger than 1 MiB"), "{}", answer.body);
}

#[tokio::test]
async fn a_lab_that_is_away_refuses_and_comes_back_with_all_it_knew() {
    let mut lab = start().await;
    let machine = Machine::register(&lab).await;
    let mut idle = TcpStream::connect(lab.address()).await.unwrap();
    // Answered means accepted: connections are accepted in their order.
    assert_eq!(machine.token(&lab).await.status, 200);
    lab.stop_listening().await.unwrap();
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).await.unwrap_or(0), 0);
    let refused = TcpStream::connect(lab.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    lab.stop_listening().await.unwrap();
    lab.resume_listening().unwrap();
    lab.resume_listening().unwrap();
    assert_eq!(machine.token(&lab).await.status, 200);
    let done = lab.with_service(|service| {
        service.ledger.count(Operation::RequestManagedInstanceRoleToken, &Outcome::Done)
    });
    assert_eq!(done, 2);
}
