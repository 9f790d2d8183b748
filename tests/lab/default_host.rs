//! Default Host Management: an instance whose own role may not speak to Systems Manager registers by
//! its identity, and gets credentials of the account's role by a double signature.

use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::lab::ec2_instance::INSTANCE_ID;
use rolekeeper::lab::roles::HOST_ROLE;
use rolekeeper::pure::secret::Secret;
use rolekeeper::pure::signing::sigv4_signature;

use super::ec2::{IDENTITY, PROFILE, from_document, told};
use super::*;

const SETTING: &str = "/ssm/managed-instance/default-ec2-instance-management-role";

/// Signed by SigV4 as the reference agent does it, and by `key` over the Authorization header.
/// `earlier` is a proof that was sent before: the agent's retries sign it with the rest.
fn signed(
    lab: &Lab,
    caller: &Credentials,
    operation: &str,
    body: &Value,
    key: Option<&SigningKey>,
    earlier: Option<&str>,
) -> String {
    let (at, host) = (SystemClock.now(), lab.address().to_string());
    let (date, body) = (amz_date(at), body.to_string());
    let (length, target) = (body.len().to_string(), format!("AmazonSSM.{operation}"));
    let mut headers = vec![
        ("content-length", length.as_str()),
        ("content-type", "application/x-amz-json-1.1"),
        ("host", &host),
    ];
    headers.extend(earlier.map(|proof| ("ssm-asymmetrickeyauthorization", proof)));
    headers.push(("x-amz-date", &date));
    headers.push(("x-amz-security-token", caller.session_token().unwrap()));
    headers.push(("x-amz-target", &target));
    let signed_headers = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let canonical = canonical_request(&SignedParts {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        signed_headers: &signed_headers,
        payload_sha256: &sha256_hex(body.as_bytes()),
    });
    let scope = CredentialScope::new(at, "us-east-1", "ssm");
    let secret = Secret::new(caller.secret_access_key().to_owned());
    let authorization = Authorization {
        credential_id: caller.access_key_id().to_owned(),
        signature: sigv4_signature(&secret, &scope, &string_to_sign(&date, &scope, &canonical)),
        scope,
        signed_headers: signed_headers.into_iter().map(str::to_owned).collect(),
    }
    .to_string();
    let mut text =
        format!("POST / HTTP/1.1\r\nConnection: close\r\nAuthorization: {authorization}\r\n");
    if let Some(key) = key {
        // Go writes the exact spelling before the canonical one.
        let proof = key.sign(&authorization);
        text += &format!("SSM-AsymmetricKeyAuthorization: Signature={proof}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + "\r\n" + &body
}

/// An instance, as its agent sees it.
struct Host {
    identity: Credentials,
    key: SigningKey,
}

impl Host {
    async fn of(lab: &Lab) -> Self {
        let identity = from_document(&told(lab, IDENTITY).await);
        Self { identity, key: SigningKey::generate().unwrap() }
    }

    async fn register(&self, lab: &Lab) -> Answer {
        self.register_as(lab, &self.identity, INSTANCE_ID).await
    }

    async fn register_as(&self, lab: &Lab, caller: &Credentials, fingerprint: &str) -> Answer {
        let body = json!({
            "Fingerprint": fingerprint,
            "PublicKey": self.key.public_key().encode(),
            "PublicKeyType": "Rsa",
        });
        send(lab, &signed(lab, caller, "RegisterManagedInstance", &body, None, None)).await
    }

    async fn token(&self, lab: &Lab) -> Answer {
        self.token_by(lab, Some(&self.key), INSTANCE_ID).await
    }

    async fn token_by(&self, lab: &Lab, key: Option<&SigningKey>, fingerprint: &str) -> Answer {
        let body = json!({ "Fingerprint": fingerprint });
        let operation = "RequestManagedInstanceRoleToken";
        send(lab, &signed(lab, &self.identity, operation, &body, key, None)).await
    }
}

async fn send(lab: &Lab, request: &str) -> Answer {
    exchange(lab.address(), request.as_bytes()).await.unwrap()
}

async fn ping(lab: &Lab, caller: &Credentials, instance: &str) -> Answer {
    let body = json!({
        "AgentName": "amazon-ssm-agent", "AgentVersion": "3.3.987.0", "InstanceId": instance,
        "PlatformType": "Linux",
    });
    send(lab, &signed(lab, caller, "UpdateInstanceInformation", &body, None, None)).await
}

async fn set_role(lab: &Lab, role: &str) {
    ssm(lab).update_service_setting().setting_id(SETTING).setting_value(role).send().await.unwrap();
}

fn assert_refused(answer: &Answer, code: &str, message: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (400, code), "{}", answer.body);
    let said = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(said.contains(message), "{said}");
}

/// The agent's own order: register, try the instance profile, fall back to the account's role.
#[tokio::test]
async fn an_instance_walks_from_its_identity_to_the_accounts_role() {
    let lab = start().await;
    let host = Host::of(&lab).await;
    let answer = host.register(&lab).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "InstanceId": INSTANCE_ID })));

    let profile = from_document(&told(&lab, &format!("{PROFILE}/SSMServiceRole")).await);
    let answer = ping(&lab, &profile, INSTANCE_ID).await;
    assert_refused(&answer, "AccessDeniedException", "ssm:UpdateInstanceInformation");

    let unset = "Systems Manager's instance management role is not configured for account: \
                 000000000000";
    assert_refused(&host.token(&lab).await, "AccessDeniedException", unset);
    set_role(&lab, &format!("service-role/{HOST_ROLE}")).await;
    let answer = host.token(&lab).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let token = answer.json();
    assert_eq!(token.as_object().unwrap().len(), 5, "{token}");
    assert_eq!(token["UpdateKeyPair"], false);
    let left =
        token["TokenExpirationDate"].as_f64().unwrap() - SystemClock.now().unix_timestamp() as f64;
    assert!((3000.0..=3601.0).contains(&left), "{left}");

    let identity = sts(&lab, issued(&token)).get_caller_identity().send().await.unwrap();
    let arn = format!("arn:aws:sts::000000000000:assumed-role/{HOST_ROLE}/{INSTANCE_ID}");
    assert_eq!(identity.arn(), Some(arn.as_str()));
    let answer = ping(&lab, &issued(&token), INSTANCE_ID).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    let host = lab.with_service(|service| service.hosts.get(INSTANCE_ID).unwrap().unwrap());
    let agent = host.last_ping.unwrap().said.agent_version;
    assert_eq!(agent.as_deref(), Some("3.3.987.0"));
    let other = ping(&lab, &issued(&token), "i-00000000000000000").await;
    assert_refused(&other, "AccessDeniedException", "UpdateInstanceInformation");
}

#[tokio::test]
async fn only_the_instances_identity_registers_it_and_only_once() {
    let lab = start().await;
    let host = Host::of(&lab).await;
    let profile = from_document(&told(&lab, &format!("{PROFILE}/SSMServiceRole")).await);
    let answer = host.register_as(&lab, &profile, INSTANCE_ID).await;
    assert_refused(&answer, "AccessDeniedException", "RegisterManagedInstance");
    let answer = host.register_as(&lab, &host.identity, FINGERPRINT).await;
    assert_refused(&answer, "ValidationException", "instance id");
    assert_eq!(host.register(&lab).await.status, 200);
    assert_refused(&host.register(&lab).await, "InstanceAlreadyRegistered", "already");
    let other = Host { key: SigningKey::generate().unwrap(), identity: host.identity.clone() };
    assert_refused(&other.register(&lab).await, "InstanceAlreadyRegistered", "already");
}

#[tokio::test]
async fn the_key_must_be_proven_over_this_very_request() {
    let lab = start().await;
    let host = Host::of(&lab).await;
    set_role(&lab, HOST_ROLE).await;
    assert_refused(&host.token(&lab).await, "InvalidInstanceId", "no such managed instance");
    host.register(&lab).await;
    let answer = host.token_by(&lab, None, INSTANCE_ID).await;
    assert_refused(&answer, "AccessDeniedException", "SSM-AsymmetricKeyAuthorization");
    let wrong = SigningKey::generate().unwrap();
    let answer = host.token_by(&lab, Some(&wrong), INSTANCE_ID).await;
    assert_refused(&answer, "InvalidSignatureException", "SSM-AsymmetricKeyAuthorization");
    let answer = host.token_by(&lab, Some(&host.key), FINGERPRINT).await;
    assert_refused(&answer, "MachineFingerprintDoesNotMatch", "instance's id");

    let body = json!({ "Fingerprint": INSTANCE_ID });
    let operation = "RequestManagedInstanceRoleToken";
    let request = signed(&lab, &host.identity, operation, &body, Some(&host.key), None);
    let answer = send(&lab, &request.replace("Authorization: AWS4", "Authorization:  AWS4")).await;
    assert_eq!(answer.status, 200, "blanks before a value are none of it: {}", answer.body);
    let proof =
        request.lines().find_map(|line| line.strip_prefix("SSM-AsymmetricKeyAuthorization: "));
    let other = signed(&lab, &host.identity, operation, &json!({}), None, proof);
    let answer = send(&lab, &other).await;
    assert_refused(&answer, "InvalidSignatureException", "SSM-AsymmetricKeyAuthorization");
    let torn = request.replace("Signature=", "Signatur=");
    let answer = send(&lab, &torn).await;
    assert!(answer.status == 400, "{}", answer.body);
}

/// The agent's SDK keeps the first proof among the headers and signs it with them.
#[tokio::test]
async fn a_retry_may_carry_and_sign_the_proof_of_the_first_try() {
    let lab = start().await;
    let host = Host::of(&lab).await;
    set_role(&lab, HOST_ROLE).await;
    host.register(&lab).await;
    let body = json!({ "Fingerprint": INSTANCE_ID });
    let operation = "RequestManagedInstanceRoleToken";
    let first = format!("Signature={}", host.key.sign("the first Authorization"));
    let retry = signed(&lab, &host.identity, operation, &body, Some(&host.key), Some(&first));
    assert_eq!(send(&lab, &retry).await.status, 200);
    let unsigned = retry.replace("ssm-asymmetrickeyauthorization: ", "x-dropped: ");
    assert_refused(&send(&lab, &unsigned).await, "IncompleteSignatureException", "not sent");
}

#[tokio::test]
async fn the_accounts_role_must_trust_systems_manager() {
    let lab = start().await;
    let host = Host::of(&lab).await;
    host.register(&lab).await;
    let roles = json!({ "role": [{
        "name": "Other",
        "trust_policy": { "Statement": {
            "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" },
            "Action": "sts:AssumeRole",
        } },
    }] });
    lab.with_service(|service| {
        let roles = Definitions::from_json(&roles.to_string()).unwrap();
        roles.apply(service, &SystemEntropy).unwrap();
    });
    set_role(&lab, "Other").await;
    let answer = host.token(&lab).await;
    assert_refused(&answer, "AccessDeniedException", "does not trust ssm.amazonaws.com");
}
