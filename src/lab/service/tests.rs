//! The service without sockets, called by clients that sign with real keys.

mod control_plane;
mod faults;

use std::sync::LazyLock;

use serde_json::json;
use time::macros::utc_datetime;

use super::super::client::sign;
use super::super::conduct::Conduct;
use super::super::faults::{Effect, Fault};
use super::super::roles::RoleDefinition;
use super::super::signatures::Finding;
use super::*;
use crate::host::entropy::SystemEntropy;
use crate::keys::SigningKey;
use crate::pure::signing::{
    Authorization, CredentialScope, SignedParts, amz_date, canonical_request, sha256_hex,
    string_to_sign,
};

const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00:52);
const HOUR: Duration = Duration::from_secs(3600);
const FINGERPRINT: &str = "f6699b39-9f9a-4a34-8cea-d81c17d5fa4d";
const RSA_HEADERS: [&str; 4] = ["content-type", "host", "x-amz-date", "x-amz-target"];

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());
static OTHER_KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

/// A service, and one machine that registered with [`KEY`].
struct Scene {
    service: Service,
    node: InstanceId,
}

/// Status, error code (or empty) and body.
type Seen = (u16, String, Value);

impl Scene {
    fn new() -> Self {
        let region = "us-east-1".parse().unwrap();
        let mut service = Service::new(region, HOUR, &SystemEntropy);
        let registration = registration(&mut service, json!({ "IamRole": "service-role/Role" }));
        let (status, _, answer) = seen(&service.answer(&registration, &SystemEntropy, NOW));
        assert_eq!(status, 200, "{answer}");
        Self { node: answer["InstanceId"].as_str().unwrap().parse().unwrap(), service }
    }

    fn ask(&mut self, request: &Request, now: UtcDateTime) -> Seen {
        seen(&self.service.answer(request, &SystemEntropy, now))
    }

    fn token_request(&self, key: &SigningKey, now: UtcDateTime) -> Request {
        let body = json!({ "Fingerprint": FINGERPRINT });
        rsa_signed(
            plain(Operation::RequestManagedInstanceRoleToken, &body),
            &self.node,
            key,
            &RSA_HEADERS,
            now,
        )
    }

    fn token(&mut self, now: UtcDateTime) -> Value {
        let request = self.token_request(&KEY, now);
        let (status, _, answer) = self.ask(&request, now);
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

/// `RegisterManagedInstance` with [`KEY`], for a new activation.
fn registration(service: &mut Service, activation: Value) -> Request {
    let asked = admin_signed(service, Operation::CreateActivation, &activation, NOW);
    let (_, _, answer) = seen(&service.answer(&asked, &SystemEntropy, NOW));
    plain(
        Operation::RegisterManagedInstance,
        &json!({
            "ActivationId": answer["ActivationId"], "ActivationCode": answer["ActivationCode"],
            "Fingerprint": FINGERPRINT, "PublicKey": KEY.public_key().encode(),
            "PublicKeyType": "Rsa",
        }),
    )
}

fn plain(operation: Operation, body: &Value) -> Request {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: vec![
            header("Host", "127.0.0.1:4599"),
            header("Content-Type", "application/x-amz-json-1.1"),
            header("X-Amz-Target", &format!("AmazonSSM.{operation}")),
        ],
        body: body.to_string().into_bytes(),
        finding: None,
    }
}

fn admin_signed(
    service: &Service,
    operation: Operation,
    body: &Value,
    now: UtcDateTime,
) -> Request {
    let mut request = plain(operation, body);
    sign(&mut request, service.admin(), "us-east-1", "ssm", now);
    request
}

fn role_signed(token: &Value, mut request: Request, service: &str, now: UtcDateTime) -> Request {
    let text = |name: &str| token[name].as_str().unwrap().to_owned();
    let credentials = AdminCredentials {
        access_key_id: text("AccessKeyId"),
        secret_access_key: Secret::new(text("SecretAccessKey")),
    };
    request.headers.push(("x-amz-security-token".to_owned(), text("SessionToken")));
    sign(&mut request, &credentials, "us-east-1", service, now);
    request
}

fn rsa_signed(
    mut request: Request,
    node: &InstanceId,
    key: &SigningKey,
    signed_headers: &[&str],
    now: UtcDateTime,
) -> Request {
    let date = amz_date(now);
    request.headers.push(("X-Amz-Date".to_owned(), date.clone()));
    let headers = request.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>();
    let canonical = canonical_request(&SignedParts {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        signed_headers,
        payload_sha256: &sha256_hex(&request.body),
    });
    let scope = CredentialScope::new(now, "us-east-1", "ssm");
    let authorization = Authorization {
        credential_id: node.to_string(),
        signature: key.sign(&string_to_sign(&date, &scope, &canonical)),
        scope,
        signed_headers: signed_headers.iter().map(|name| (*name).to_owned()).collect(),
    };
    request.headers.push(("Authorization".to_owned(), authorization.to_string()));
    request
}

fn caller_identity() -> Request {
    Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        headers: vec![
            ("host".to_owned(), "127.0.0.1:4599".to_owned()),
            ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
        ],
        body: b"Action=GetCallerIdentity&Version=2011-06-15".to_vec(),
        ..Request::default()
    }
}

fn seen(reply: &Reply) -> Seen {
    assert!(reply.header("date").is_some() && reply.header("x-amzn-requestid").is_some());
    let body = serde_json::from_slice::<Value>(&reply.body)
        .unwrap_or_else(|_| Value::String(String::from_utf8(reply.body.clone()).unwrap()));
    (reply.status, body["__type"].as_str().unwrap_or_default().to_owned(), body)
}

#[test]
fn a_machine_registers_and_gets_all_five_members() {
    let mut scene = Scene::new();
    let answer = scene.token(NOW);
    assert!(answer["AccessKeyId"].as_str().unwrap().starts_with("ASIA"));
    assert_eq!(answer["SecretAccessKey"].as_str().unwrap().len(), 40);
    assert!(answer["SessionToken"].as_str().unwrap().contains("lab"));
    assert_eq!(answer["TokenExpirationDate"], NOW.unix_timestamp() + 3600);
    assert_eq!(answer["UpdateKeyPair"], false);
}

#[test]
fn an_activation_admits_no_more_than_its_limit() {
    let mut scene = Scene::new();
    let request = registration(&mut scene.service, json!({ "IamRole": "Role" }));
    let mut body = serde_json::from_slice::<Value>(&request.body).unwrap();
    let (_, code, _) = scene.ask(&request, NOW);
    assert_eq!(code, "PublicKeyAlreadyRegistered");
    body["PublicKey"] = OTHER_KEY.public_key().encode().into();
    let fresh_key = Request { body: body.to_string().into_bytes(), ..request.clone() };
    assert_eq!(scene.ask(&fresh_key, NOW).0, 200, "a refused key must not use the activation up");
    assert_eq!(scene.ask(&fresh_key, NOW).1, "RegistrationLimitExceeded");
    assert_eq!(scene.ask(&fresh_key, NOW + Duration::from_secs(86_400)).1, "ActivationExpired");
    body["ActivationCode"] = "12345678901234567890".into();
    let wrong_code = Request { body: body.to_string().into_bytes(), ..request };
    assert_eq!(scene.ask(&wrong_code, NOW).1, "InvalidActivation");
}

#[test]
fn a_key_that_is_no_rsa_2048_key_is_refused() {
    let mut scene = Scene::new();
    let request = registration(&mut scene.service, json!({ "IamRole": "Role" }));
    let mut body = serde_json::from_slice::<Value>(&request.body).unwrap();
    body["PublicKey"] = "A".repeat(392).into();
    let request = Request { body: body.to_string().into_bytes(), ..request };
    assert_eq!(scene.ask(&request, NOW).1, "InvalidPublicKey");
}

#[test]
fn the_same_signature_is_taken_again() {
    let mut scene = Scene::new();
    let request = scene.token_request(&KEY, NOW);
    assert_eq!(scene.ask(&request, NOW).0, 200);
    assert_eq!(scene.ask(&request, NOW + Duration::from_secs(60)).0, 200);
}

#[test]
fn signed_headers_are_taken_as_sent() {
    let mut scene = Scene::new();
    let mut request =
        plain(Operation::RequestManagedInstanceRoleToken, &json!({ "Fingerprint": FINGERPRINT }));
    let hash = sha256_hex(&request.body);
    request.headers.push(("X-Amz-Content-Sha256".to_owned(), hash));
    let headers = ["content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-target"];
    let request = rsa_signed(request, &scene.node, &KEY, &headers, NOW);
    assert_eq!(scene.ask(&request, NOW).0, 200);
}

#[test]
fn what_the_signature_does_not_fit_is_refused() {
    let mut scene = Scene::new();
    let good = scene.token_request(&KEY, NOW);
    let mut body_changed = good.clone();
    body_changed.body = json!({ "Fingerprint": "other" }).to_string().into_bytes();
    let mut host_changed = good.clone();
    host_changed.headers[0].1 = "127.0.0.1:4600".to_owned();
    let mut hash_wrong = good.clone();
    hash_wrong.headers.push(("x-amz-content-sha256".to_owned(), "00".to_owned()));
    for request in [body_changed, host_changed, hash_wrong, scene.token_request(&OTHER_KEY, NOW)] {
        assert_eq!(scene.ask(&request, NOW).1, "InvalidSignatureException");
    }
}

#[test]
fn what_was_found_out_beforehand_counts_for_that_key_and_that_request_alone() {
    let mut scene = Scene::new();
    let finding = |request: &Request, key: &SigningKey| Finding::of(request, key.public_key());
    let good = scene.token_request(&KEY, NOW);
    let found = |request: &Request, finding| Request { finding, ..request.clone() };
    assert_eq!(scene.ask(&found(&good, finding(&good, &KEY)), NOW).0, 200);
    // By the key of another machine it does not hold, which says nothing about this one's.
    assert_eq!(scene.ask(&found(&good, finding(&good, &OTHER_KEY)), NOW).0, 200);
    let bad = scene.token_request(&OTHER_KEY, NOW);
    for finding in [finding(&bad, &KEY), finding(&bad, &OTHER_KEY), finding(&good, &KEY), None] {
        assert_eq!(scene.ask(&found(&bad, finding), NOW).1, "InvalidSignatureException");
    }
    let key = signatures::claimed_key(&bad, &scene.service.nodes);
    assert_eq!(key, Some(KEY.public_key()));
}

#[test]
fn host_and_date_must_be_signed() {
    let mut scene = Scene::new();
    for headers in [["content-type", "x-amz-date"], ["content-type", "host"]] {
        let body = json!({ "Fingerprint": FINGERPRINT });
        let request = plain(Operation::RequestManagedInstanceRoleToken, &body);
        let request = rsa_signed(request, &scene.node, &KEY, &headers, NOW);
        let (_, code, answer) = scene.ask(&request, NOW);
        assert_eq!(code, "InvalidSignatureException");
        assert!(answer["message"].as_str().unwrap().contains("must be a 'SignedHeader'"));
    }
}

#[test]
fn a_signed_header_that_was_not_sent_or_is_named_twice_is_refused() {
    let mut scene = Scene::new();
    let request = plain(Operation::RequestManagedInstanceRoleToken, &json!({}));
    for headers in [["absent", "host", "x-amz-date"], ["host", "host", "x-amz-date"]] {
        let request = rsa_signed(request.clone(), &scene.node, &KEY, &headers, NOW);
        assert_eq!(scene.ask(&request, NOW).1, "IncompleteSignatureException");
    }
}

#[test]
fn a_refused_signature_comes_with_what_should_have_been_signed() {
    let mut scene = Scene::new();
    let mut request = scene.token_request(&KEY, NOW);
    request.body.push(b' ');
    let (_, code, answer) = scene.ask(&request, NOW);
    let message = answer["message"].as_str().unwrap();
    assert_eq!(code, "InvalidSignatureException");
    let body = sha256_hex(&request.body);
    let canonical = message
        .split("\n\nThe Canonical String for this request should have been\n'POST\n/\n\n")
        .nth(1)
        .unwrap_or_else(|| panic!("{message}"));
    assert!(canonical.contains(&format!("\n{body}'\n\nThe String-to-Sign should have been\n'")));
    assert!(canonical.contains("\n20261122T000052Z\n20261122/us-east-1/ssm/aws4_request\n"));
    assert!(canonical.ends_with("'\n"));
}

#[test]
fn a_refusal_shows_a_session_token_only_in_part() {
    let mut scene = Scene::new();
    let token = scene.token(NOW);
    let mut request = role_signed(&token, caller_identity(), "sts", NOW);
    request.body.push(b'&');
    let (status, _, answer) = scene.ask(&request, NOW);
    let text = answer.as_str().unwrap();
    let session_token = token["SessionToken"].as_str().unwrap();
    assert!(status == 403 && text.contains("<Code>SignatureDoesNotMatch</Code>"), "{text}");
    assert!(text.contains("\nx-amz-security-token:"), "{text}");
    assert!(!text.contains(&session_token[..9]), "{text}");
}

#[test]
fn dates_may_be_five_minutes_off_and_no_more() {
    let mut scene = Scene::new();
    let request = scene.token_request(&KEY, NOW);
    let bound = Duration::from_secs(300);
    let beyond = Duration::from_secs(301);
    assert_eq!(scene.ask(&request, NOW + bound).0, 200);
    assert_eq!(scene.ask(&request, NOW - bound).0, 200);
    let (_, code, late) = scene.ask(&request, NOW + beyond);
    assert_eq!(code, "InvalidSignatureException");
    assert_eq!(
        late["message"],
        "Signature expired: 20261122T000052Z is now earlier than 20261122T000053Z \
         (20261122T000553Z - 5 min.)"
    );
    let (_, _, early) = scene.ask(&request, NOW - beyond);
    assert!(early["message"].as_str().unwrap().starts_with("Signature not yet current: "));
}

#[test]
fn a_lab_whose_clock_is_off_shows_it_and_judges_by_it() {
    let mut scene = Scene::new();
    scene.service.clock = LabClock::skewed(time::Duration::hours(2));
    let request = scene.token_request(&KEY, NOW);
    let reply = scene.service.answer(&request, &SystemEntropy, NOW);
    assert_eq!(seen(&reply).1, "InvalidSignatureException");
    assert_eq!(reply.header("date"), Some("Sun, 22 Nov 2026 02:00:52 GMT"));
    let corrected = scene.token_request(&KEY, NOW + Duration::from_secs(7200));
    assert_eq!(scene.ask(&corrected, NOW).0, 200);
}

#[test]
fn time_can_be_set_forward_over_http_by_the_administrator_alone() {
    let mut scene = Scene::new();
    let token = scene.token(NOW);
    let unsigned = |body: &Value| Request {
        method: "POST".to_owned(),
        path: control::CLOCK.to_owned(),
        headers: vec![("host".to_owned(), "127.0.0.1:4599".to_owned())],
        body: body.to_string().into_bytes(),
        ..Request::default()
    };
    let set = |scene: &mut Scene, body: Value, at| {
        let mut request = unsigned(&body);
        sign(&mut request, scene.service.admin(), "us-east-1", control::SERVICE, at);
        scene.ask(&request, NOW)
    };
    let by_role = role_signed(&token, unsigned(&json!({ "Rate": 2 })), control::SERVICE, NOW);
    assert_eq!(scene.ask(&by_role, NOW).1, "AccessDeniedException");
    let (status, _, shown) = set(&mut scene, json!({ "Forward": "59m" }), NOW);
    assert_eq!((status, &shown["Now"]), (200, &json!("2026-11-22T00:59:52Z")));
    let later = NOW + Duration::from_secs(59 * 60);
    let refused = set(&mut scene, json!({ "To": "2026-11-22T00:59:51Z" }), later);
    assert_eq!(refused.1, "ValidationException");
    assert_eq!(set(&mut scene, json!({ "Back": "1h" }), later).1, "SerializationException");
    // By the lab's clock the credentials have a minute to live, and then none.
    let by = |at| role_signed(&token, caller_identity(), "sts", at);
    assert_eq!(scene.ask(&by(later), NOW).0, 200);
    assert_eq!(set(&mut scene, json!({ "Forward": "1m" }), later).0, 200);
    assert_eq!(scene.ask(&by(NOW + HOUR), NOW).0, 403);
}

#[test]
fn a_month_passes_in_a_minute_and_signatures_still_arrive_in_time() {
    const RATE: u32 = 30 * 24 * 60;
    let mut scene = Scene::new();
    let month = json!({ "IamRole": "Role", "RegistrationLimit": 2,
        "ExpirationDate": NOW.unix_timestamp() + 30 * 24 * 3600 });
    let request = registration(&mut scene.service, month);
    let mut body = serde_json::from_slice::<Value>(&request.body).unwrap();
    body["PublicKey"] = OTHER_KEY.public_key().encode().into();
    let request = Request { body: body.to_string().into_bytes(), ..request };
    scene.service.set_clock(&ClockSetting::Rate(RATE), NOW).unwrap();
    let at = |seconds| NOW + Duration::from_secs(seconds);
    assert_eq!(scene.ask(&request, at(59)).0, 200);
    assert_eq!(scene.ask(&request, at(60)).1, "ActivationExpired");
    // Signed by the Date of an answer, a machine's second or even minutes ago.
    let heard = scene.service.clock.now(at(60));
    let request = scene.token_request(&KEY, heard);
    assert_eq!(scene.ask(&request, at(60 + 300)).0, 200);
    let (_, code, answer) = scene.ask(&request, at(60 + 301));
    let message = answer["message"].as_str().unwrap();
    assert_eq!(code, "InvalidSignatureException");
    assert!(message.ends_with(&format!(" - {} min.)", 5 * RATE)), "{message}");
}

#[test]
fn faults_and_the_ledger_go_by_the_labs_clock() {
    let mut scene = Scene::new();
    let until = Some(NOW + HOUR);
    scene.service.faults.add(Fault { until, ..Fault::always(Effect::Hang) }).unwrap();
    let request = scene.token_request(&KEY, NOW + HOUR);
    assert_eq!(scene.service.receive(&request, &SystemEntropy, NOW), Conduct::Hang);
    scene.service.set_clock(&ClockSetting::Forward("1h".to_owned()), NOW).unwrap();
    let conduct = scene.service.receive(&request, &SystemEntropy, NOW);
    assert!(matches!(conduct, Conduct::Answer(reply) if reply.status == 200));
    let last = scene.service.ledger.entries().rev().take(2).map(|entry| entry.at);
    assert_eq!(last.collect::<Vec<_>>(), [NOW + HOUR, NOW]);
}

#[test]
fn a_store_that_fails_is_the_services_own_fault_and_changes_nothing() {
    let store = Store::in_memory(&"us-east-1".parse().unwrap()).unwrap();
    let open = || Service::open(store.clone(), "us-east-1".parse().unwrap(), HOUR, &SystemEntropy);
    let mut service = open().unwrap();
    let request = registration(&mut service, json!({ "IamRole": "Role" }));
    store.fail();
    let (status, code, answer) = seen(&service.answer(&request, &SystemEntropy, NOW));
    assert_eq!((status, code.as_str()), (500, "InternalServerError"));
    let message = answer["message"].as_str().unwrap();
    assert!(message.starts_with("the lab's data cannot be read or written: "), "{message}");
    store.mend();
    assert_eq!(seen(&service.answer(&request, &SystemEntropy, NOW)).0, 200, "it was not used up");
    // What one service answered, the next one knows.
    let again = seen(&open().unwrap().answer(&request, &SystemEntropy, NOW)).1;
    assert_eq!(again, "RegistrationLimitExceeded");
}

#[test]
fn a_scope_of_another_region_service_or_day_is_refused() {
    let mut scene = Scene::new();
    let admin = scene.service.admin().clone();
    for (region, service) in [("eu-central-1", "ssm"), ("us-east-1", "sts")] {
        let mut request = plain(Operation::DescribeActivations, &json!({}));
        sign(&mut request, &admin, region, service, NOW);
        assert_eq!(scene.ask(&request, NOW).1, "InvalidSignatureException");
    }
    let mut request = scene.token_request(&KEY, NOW);
    let authorization = &mut request.headers.last_mut().unwrap().1;
    *authorization = authorization.replace("/20261122/", "/20261121/");
    assert_eq!(scene.ask(&request, NOW).1, "InvalidSignatureException");
}

#[test]
fn unsigned_malformed_and_unknown_callers_are_told_apart() {
    let mut scene = Scene::new();
    let unsigned = plain(Operation::CreateActivation, &json!({}));
    assert_eq!(scene.ask(&unsigned, NOW).1, "MissingAuthenticationTokenException");
    let mut malformed = unsigned.clone();
    malformed.headers.push(("Authorization".to_owned(), "Bearer x".to_owned()));
    assert_eq!(scene.ask(&malformed, NOW).1, "IncompleteSignatureException");
    let stranger = AdminCredentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        ..scene.service.admin().clone()
    };
    let mut unknown = unsigned;
    sign(&mut unknown, &stranger, "us-east-1", "ssm", NOW);
    assert_eq!(scene.ask(&unknown, NOW).1, "UnrecognizedClientException");
    let nobody = "mi-00000000000000000".parse().unwrap();
    let request = plain(Operation::RequestManagedInstanceRoleToken, &json!({}));
    let request = rsa_signed(request, &nobody, &KEY, &RSA_HEADERS, NOW);
    assert_eq!(scene.ask(&request, NOW).1, "InvalidInstanceId");
}

#[test]
fn a_clone_with_another_fingerprint_is_refused() {
    let mut scene = Scene::new();
    let body = json!({ "Fingerprint": "00000000-0000-4000-8000-000000000000" });
    let request = plain(Operation::RequestManagedInstanceRoleToken, &body);
    let request = rsa_signed(request, &scene.node, &KEY, &RSA_HEADERS, NOW);
    assert_eq!(scene.ask(&request, NOW).1, "MachineFingerprintDoesNotMatch");
}

#[test]
fn a_new_key_is_asked_for_until_it_comes() {
    let mut scene = Scene::new();
    let node = scene.node.clone();
    assert!(scene.service.nodes.ask_for_new_key(&node).unwrap());
    assert_eq!(scene.token(NOW)["UpdateKeyPair"], true);
    assert_eq!(scene.token(NOW)["UpdateKeyPair"], true);
    let body =
        json!({ "NewPublicKey": OTHER_KEY.public_key().encode(), "NewPublicKeyType": "Rsa" });
    let update = plain(Operation::UpdateManagedInstancePublicKey, &body);
    let by_new = rsa_signed(update.clone(), &node, &OTHER_KEY, &RSA_HEADERS, NOW);
    assert_eq!(scene.ask(&by_new, NOW).1, "InvalidSignatureException");
    let by_old = rsa_signed(update, &node, &KEY, &RSA_HEADERS, NOW);
    assert_eq!(scene.ask(&by_old, NOW).0, 200);
    let old = scene.token_request(&KEY, NOW);
    assert_eq!(scene.ask(&old, NOW).1, "InvalidSignatureException");
    let new = scene.token_request(&OTHER_KEY, NOW);
    assert_eq!(scene.ask(&new, NOW).2["UpdateKeyPair"], false);
    assert_eq!(scene.service.nodes.get(&node).unwrap().unwrap().key_changes, 1);
}

#[test]
fn role_credentials_name_their_role_and_die_in_time() {
    let mut scene = Scene::new();
    let token = scene.token(NOW);
    let at = |now| role_signed(&token, caller_identity(), "sts", now);
    let (status, _, text) = scene.ask(&at(NOW), NOW);
    assert_eq!(status, 200);
    let arn = format!("<Arn>arn:aws:sts::000000000000:assumed-role/Role/{}</Arn>", scene.node);
    assert!(text.as_str().unwrap().contains(&arn), "{text}");
    let end = NOW + HOUR;
    let (status, _, text) = scene.ask(&at(end), end);
    assert_eq!(status, 403);
    assert!(text.as_str().unwrap().contains("<Code>ExpiredToken</Code>"), "{text}");
    let body = json!({ "InstanceId": scene.node.as_str() });
    let ping = plain(Operation::UpdateInstanceInformation, &body);
    assert_eq!(scene.ask(&role_signed(&token, ping, "ssm", end), end).1, "ExpiredTokenException");
}

#[test]
fn a_session_token_belongs_to_its_key() {
    let mut scene = Scene::new();
    let mut token = scene.token(NOW);
    token["SessionToken"] = scene.token(NOW)["SessionToken"].clone();
    let (status, _, text) = scene.ask(&role_signed(&token, caller_identity(), "sts", NOW), NOW);
    assert_eq!(status, 403);
    assert!(text.as_str().unwrap().contains("<Code>InvalidClientTokenId</Code>"), "{text}");
}

#[test]
fn a_ping_shows_in_the_list_and_fades() {
    let mut scene = Scene::new();
    let token = scene.token(NOW);
    let ping = |id: &str| {
        let body = json!({
            "InstanceId": id, "AgentName": "rolekeeper", "AgentVersion": "0.1.0",
            "PlatformType": "Linux", "IPAddress": "192.0.2.1",
        });
        role_signed(&token, plain(Operation::UpdateInstanceInformation, &body), "ssm", NOW)
    };
    let own = ping(scene.node.as_str());
    assert_eq!(scene.ask(&own, NOW).0, 200);
    assert_eq!(scene.ask(&ping("mi-00000000000000000"), NOW).1, "AccessDeniedException");
    let mut status = |now| {
        let list =
            json!({ "Filters": [{ "Key": "InstanceIds", "Values": [scene.node.as_str()] }] });
        let operation = Operation::DescribeInstanceInformation;
        let request = admin_signed(&scene.service, operation, &list, now);
        let (_, _, answer) = scene.ask(&request, now);
        let shown = &answer["InstanceInformationList"][0];
        assert_eq!(shown["IPAddress"], "192.0.2.1");
        assert_eq!(shown["IamRole"], "service-role/Role");
        shown["PingStatus"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(NOW), "Online");
    assert_eq!(status(NOW + HOUR), "ConnectionLost");
}

#[test]
fn a_role_may_deregister_itself_and_nothing_else() {
    let mut scene = Scene::new();
    let token = scene.token(NOW);
    let create = plain(Operation::CreateActivation, &json!({ "IamRole": "Role" }));
    let create = role_signed(&token, create, "ssm", NOW);
    assert_eq!(scene.ask(&create, NOW).1, "AccessDeniedException");
    let deregister = |id: &str| {
        let body = json!({ "InstanceId": id });
        role_signed(&token, plain(Operation::DeregisterManagedInstance, &body), "ssm", NOW)
    };
    let other = deregister("mi-00000000000000000");
    assert_eq!(scene.ask(&other, NOW).1, "AccessDeniedException");
    let own = deregister(scene.node.as_str());
    assert_eq!(scene.ask(&own, NOW).0, 200);
    let request = scene.token_request(&KEY, NOW);
    assert_eq!(scene.ask(&request, NOW).1, "InvalidInstanceId");
}

#[test]
fn the_administrator_may_not_have_role_tokens() {
    let mut scene = Scene::new();
    let body = json!({ "Fingerprint": FINGERPRINT });
    let operation = Operation::RequestManagedInstanceRoleToken;
    let request = admin_signed(&scene.service, operation, &body, NOW);
    assert_eq!(scene.ask(&request, NOW).1, "AccessDeniedException");
}

#[test]
fn what_cannot_be_read_gets_a_reason() {
    let mut scene = Scene::new();
    let admin = scene.service.admin().clone();
    let mut broken = plain(Operation::DescribeActivations, &json!({}));
    broken.body = b"{\"Filters\":".to_vec();
    sign(&mut broken, &admin, "us-east-1", "ssm", NOW);
    assert_eq!(scene.ask(&broken, NOW).1, "SerializationException");
    let mut unknown = plain(Operation::DescribeActivations, &json!({}));
    unknown.headers[2].1 = "AmazonSSM.SendCommand".to_owned();
    let (status, code, _) = scene.ask(&unknown, NOW);
    assert_eq!((status, code.as_str()), (400, "UnknownOperationException"));
    let nothing = Request { method: "GET".into(), path: "/x".into(), ..Request::default() };
    assert_eq!(scene.ask(&nothing, NOW).0, 404);
}

#[test]
fn a_fault_answers_first_and_is_written_down() {
    let mut scene = Scene::new();
    let effect = Effect::Status { status: 500, code: None };
    let fault = Fault::always(effect).on(Operation::RequestManagedInstanceRoleToken).times(1);
    scene.service.faults.add(fault).unwrap();
    let request = scene.token_request(&KEY, NOW);
    let Conduct::Answer(reply) = scene.service.receive(&request, &SystemEntropy, NOW) else {
        panic!("a status is an answer");
    };
    assert_eq!(seen(&reply).1, "InternalServerError");
    let Conduct::Answer(reply) = scene.service.receive(&request, &SystemEntropy, NOW) else {
        panic!("the fault has run out");
    };
    assert_eq!(reply.status, 200);
    let last = scene.service.ledger.entries().rev().take(2).collect::<Vec<_>>();
    assert_eq!(last[0].outcome, Outcome::Done);
    assert_eq!(last[1].outcome, Outcome::Disturbed("status"));
    assert_eq!(last[1].node.as_ref(), Some(&scene.node));
}

#[test]
fn a_torn_answer_was_a_deed() {
    let mut scene = Scene::new();
    scene.service.faults.add(Fault::always(Effect::TornBody).times(1)).unwrap();
    let request = scene.token_request(&KEY, NOW);
    let conduct = scene.service.receive(&request, &SystemEntropy, NOW);
    assert!(matches!(conduct, Conduct::Tear(reply) if reply.status == 200));
    assert_eq!(scene.service.tokens.count().unwrap(), 1);
}

#[test]
fn control_is_the_administrators_and_is_never_disturbed() {
    let mut scene = Scene::new();
    scene.service.faults.add(Fault::always(Effect::Hang)).unwrap();
    let mut request = Request {
        method: "DELETE".to_owned(),
        path: control::FAULTS.to_owned(),
        headers: vec![("host".to_owned(), "127.0.0.1:4599".to_owned())],
        ..Request::default()
    };
    let Conduct::Answer(reply) = scene.service.receive(&request, &SystemEntropy, NOW) else {
        panic!("control must be answered");
    };
    assert_eq!(seen(&reply).1, "MissingAuthenticationTokenException");
    sign(&mut request, &scene.service.admin().clone(), "us-east-1", control::SERVICE, NOW);
    assert_eq!(scene.ask(&request, NOW).2["Cleared"], 1);
}

/// The kernel's chance, but the next instance id is the one of the captured request.
#[derive(Debug)]
struct CapturedId;

impl Entropy for CapturedId {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() == 9 {
            bytes.copy_from_slice(&[0xf5, 0x21, 0x68, 0xf4, 0xae, 0xfc, 0x72, 0x94, 0x60]);
        } else {
            SystemEntropy.fill(bytes);
        }
    }
}

/// Captured from amazon-ssm-agent 3.3.0.0; the key was thrown away.
#[test]
fn a_request_of_the_reference_agent_is_understood() {
    const PUBLIC_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAz85zXtqtiLpL0CmS1hxcWsbVU7ofKxeEAMvjvyfH1Liz\
    dIe7cfn3uge3HwnoD59loEUmIi+oUJCcx9jgU4Ue7/7V+l68IUClfOKMAFgvnvx5oKxjQSiznXWFMz8foinUbspc\
    7f8/ZCSSZ1uEBsahIt8QarJ3TQH/LqwaoDMJcPSZkHjQzykdoao5LTVE/gF+b1Ud8DOlGiJUyHU7jveP5tLGPboG\
    lv8HDmOpATHjkmXVwJBjPOQUxuRcK9e8talOsDMrYtYILf2qMMlm5Cv9KJi2FEcAy27zd35YAcKjO82MvCo/QuHR\
    ZfrMzak/7f984nPLfo0JKxrPWjWmuZY1nQIDAQAB";
    const SIGNATURE: &str = "PxPUUp8mEgvyjicHkxozSJUaR1LSK/68We5MeN1kSkqx19RcX3QaWABsESQJvXM6ZEQS3nu5EM8CB8HvW0UZMtjl\
    TMFNUeVnHemOG9Mhrcjs+iV8QIwzvRRhZ5a2g3xEooYMizKRUXfswKG9NwoQw21y7pVcR7Ueo7KmHwBk5hmfubPW\
    YAqYypvlylT8zvcLDk1BxnddYm4INC1pSPRKzofHod1i6YJ5dtef/W2Wxy1OtSG+m6sotsXkm92ifEQ1SwddqO57\
    StwL/IE75FImyxVLs6u5CBfPcKs5h9zdjuLOnINBgESjB4e1tMhef7EbrYlKeVWHHC4+N67ogJ16EQ==";
    let mut service = Service::new("us-east-1".parse().unwrap(), HOUR, &SystemEntropy);
    let mut registration = registration(&mut service, json!({ "IamRole": "Role" }));
    let mut body = serde_json::from_slice::<Value>(&registration.body).unwrap();
    body["PublicKey"] = PUBLIC_KEY.into();
    registration.body = body.to_string().into_bytes();
    let (_, _, answer) = seen(&service.answer(&registration, &CapturedId, NOW));
    assert_eq!(answer["InstanceId"], "mi-f52168f4aefc72946");
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut request = Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: vec![
            header("Host", "127.0.0.1:8080"),
            header(
                "Authorization",
                &format!(
                    "AWS4-HMAC-SHA256 Credential=mi-f52168f4aefc72946/20261122/us-east-1/ssm/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={SIGNATURE}"
                ),
            ),
            header("Content-Type", "application/x-amz-json-1.1"),
            header(
                "X-Amz-Content-Sha256",
                "90338bfc72fce338381cf6f4d2bf67322bf6b0a26b56964a4b4534b220c952f6",
            ),
            header("X-Amz-Date", "20261122T000206Z"),
            header("X-Amz-Target", "AmazonSSM.RequestManagedInstanceRoleToken"),
        ],
        body: br#"{"Fingerprint":"f6699b39-9f9a-4a34-8cea-d81c17d5fa4d"}"#.to_vec(),
        finding: None,
    };
    let (status, _, answer) = seen(&service.answer(&request, &SystemEntropy, NOW));
    assert_eq!(status, 200, "{answer}");
    request.headers[0].1 = "127.0.0.1".to_owned();
    let (_, code, _) = seen(&service.answer(&request, &SystemEntropy, NOW));
    assert_eq!(code, "InvalidSignatureException");
}

proptest::proptest! {
    #[test]
    fn no_request_is_too_odd_to_be_refused(
        operation in proptest::sample::select(&Operation::ALL),
        method in "[A-Z]{0,5}|POST",
        path in "/|/.*",
        authorization in "(AWS4-HMAC-SHA256 )?(Credential=(mi-|AKIA)[0-9a-f/_]*, )?.*",
        date in "[0-9TZ]{0,17}|20261122T000052Z",
        body in ".*|\\{\"(ActivationId|InstanceId|PublicKey|Tags)\":.*\\}",
    ) {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let request = Request {
            method,
            path,
            query: String::new(),
            headers: vec![
                header("host", "127.0.0.1"),
                header("x-amz-target", &format!("AmazonSSM.{operation}")),
                header("x-amz-date", &date),
                header("authorization", &authorization),
            ],
            body: body.into_bytes(),
            finding: None,
        };
        let region = "us-east-1".parse().unwrap();
        let mut service = Service::new(region, HOUR, &SystemEntropy);
        let (status, code, _) = seen(&service.answer(&request, &SystemEntropy, NOW));
        proptest::prop_assert!(status >= 400 && !code.is_empty());
    }
}

#[test]
fn a_sessions_credentials_are_accepted_until_they_expire() {
    let mut scene = Scene::new();
    let trust = json!({ "Statement": {
        "Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole" } });
    let definition = RoleDefinition {
        name: "Backup".to_owned(),
        path: None,
        trust_policy: trust,
        policy: None,
        longest_session: None,
    };
    scene.service.roles.insert(definition.role(&SystemEntropy).unwrap());
    let mut request = Request {
        body: b"Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2FBackup\
                &RoleSessionName=nightly&DurationSeconds=900"
            .to_vec(),
        ..caller_identity()
    };
    sign(&mut request, scene.service.admin(), "us-east-1", "sts", NOW);
    let (status, _, answer) = scene.ask(&request, NOW);
    assert_eq!(status, 200, "{answer}");
    let text = |name: &str| {
        let (_, rest) = answer.as_str().unwrap().split_once(&format!("<{name}>")).unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    };
    assert_eq!(text("Expiration"), "2026-11-22T00:15:52Z");
    let token = json!({
        "AccessKeyId": text("AccessKeyId"), "SecretAccessKey": text("SecretAccessKey"),
        "SessionToken": text("SessionToken"),
    });
    for (seconds, expected) in [(899, 200), (900, 403)] {
        let at = NOW + Duration::from_secs(seconds);
        let asked = role_signed(&token, caller_identity(), "sts", at);
        let (status, _, answer) = scene.ask(&asked, at);
        assert_eq!(status, expected, "{answer}");
        assert_eq!(answer.to_string().contains("ExpiredToken"), expected == 403, "{answer}");
    }
}
