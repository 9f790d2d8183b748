//! The instance's metadata service and the container's endpoint, by hand-made requests and by the
//! AWS SDK, and what the credentials from there may do.

use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::lab::ec2_instance::{CONTAINER_PATH, INSTANCE_ID};
use rolekeeper::lab::roles::DEFAULT_ROLE;

use super::*;

const METADATA: &str = "/latest/meta-data";
pub const PROFILE: &str = "/latest/meta-data/iam/security-credentials";
pub const IDENTITY: &str =
    "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance";

/// As the documentation's `curl` sends it; `more` are further header lines.
async fn ask(lab: &Lab, line: &str, more: &str) -> Answer {
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {}\r\nUser-Agent: curl/8.5.0\r\nConnection: close\r\n{more}\r\n",
        lab.address()
    );
    exchange(lab.address(), request.as_bytes()).await.unwrap()
}

async fn open_session(lab: &Lab) -> String {
    let lifetime = "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n";
    let answer = ask(lab, "PUT /latest/api/token", lifetime).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for header in ["content-type: text/plain", "x-aws-ec2-metadata-token-ttl-seconds: 21600"] {
        assert!(answer.head.lines().any(|line| line == header), "{}", answer.head);
    }
    answer.body
}

async fn get(lab: &Lab, path: &str) -> Answer {
    let session = open_session(lab).await;
    ask(lab, &format!("GET {path}"), &format!("X-aws-ec2-metadata-token: {session}\r\n")).await
}

pub async fn told(lab: &Lab, path: &str) -> String {
    let answer = get(lab, path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// The document without what differs each time.
fn blanked(document: &str, members: &[&str]) -> String {
    let value = serde_json::from_str::<Value>(document).unwrap();
    members.iter().fold(document.to_owned(), |text, name| {
        text.replace(value[*name].as_str().unwrap(), &format!("<{name}>"))
    })
}

pub fn from_document(document: &str) -> Credentials {
    let value = serde_json::from_str::<Value>(document).unwrap();
    let text = |name: &str| value[name].as_str().unwrap();
    credentials(text("AccessKeyId"), text("SecretAccessKey"), Some(text("Token")))
}

async fn arn(lab: &Lab, credentials: Credentials) -> String {
    sts(lab, credentials).get_caller_identity().send().await.unwrap().arn().unwrap().to_owned()
}

#[tokio::test]
async fn the_documentations_session_works_as_written() {
    let lab = start().await;
    assert_eq!(told(&lab, "/latest/").await, "dynamic/\nmeta-data/");
    let listing = "ami-id\nhostname\niam/\nidentity-credentials/\ninstance-id\ninstance-type\n\
                   local-hostname\nlocal-ipv4\nplacement/";
    assert_eq!(told(&lab, &format!("{METADATA}/")).await, listing);
    assert_eq!(told(&lab, &format!("{METADATA}/instance-id")).await, "i-1234567890abcdef0");
    assert_eq!(told(&lab, &format!("{METADATA}/placement/region")).await, "us-east-1");
    let zone = told(&lab, &format!("{METADATA}/placement/availability-zone")).await;
    assert_eq!(zone, "us-east-1a");
    for path in [PROFILE.to_owned(), format!("{PROFILE}/")] {
        assert_eq!(told(&lab, &path).await, DEFAULT_ROLE);
    }
    let document = told(&lab, &format!("{PROFILE}/{DEFAULT_ROLE}")).await;
    let members = ["LastUpdated", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"];
    assert_eq!(
        blanked(&document, &members),
        r#"{
  "Code" : "Success",
  "LastUpdated" : "<LastUpdated>",
  "Type" : "AWS-HMAC",
  "AccessKeyId" : "<AccessKeyId>",
  "SecretAccessKey" : "<SecretAccessKey>",
  "Token" : "<Token>",
  "Expiration" : "<Expiration>"
}"#
    );
    let info = told(&lab, &format!("{METADATA}/iam/info")).await;
    assert_eq!(
        blanked(&info, &["LastUpdated"]),
        r#"{
  "Code" : "Success",
  "LastUpdated" : "<LastUpdated>",
  "InstanceProfileArn" : "arn:aws:iam::000000000000:instance-profile/SSMServiceRole",
  "InstanceProfileId" : "AIPAIOSFODNN7EXAMPLE"
}"#
    );
    let identity = told(&lab, "/latest/dynamic/instance-identity/document").await;
    let identity = serde_json::from_str::<Value>(&identity).unwrap();
    assert_eq!(identity["region"], "us-east-1");
    assert_eq!(identity["instanceId"], INSTANCE_ID);
    assert_eq!(identity["kernelId"], Value::Null);
    for proof in ["pkcs7", "rsa2048", "signature"] {
        let answer = get(&lab, &format!("/latest/dynamic/instance-identity/{proof}")).await;
        assert_eq!(answer.status, 404);
        assert!(answer.body.contains("the lab forges nothing"), "{}", answer.body);
    }
}

#[tokio::test]
async fn what_lacks_a_session_or_comes_from_elsewhere_is_refused() {
    let lab = start().await;
    let token = "X-aws-ec2-metadata-token";
    let lifetime = format!("{token}-ttl-seconds");
    let put = "PUT /latest/api/token";
    let path = format!("GET {METADATA}/instance-id");
    let session = open_session(&lab).await;
    for (line, more, status) in [
        (put, String::new(), 400),
        (put, format!("{lifetime}: 0\r\n"), 400),
        (put, format!("{lifetime}: 21601\r\n"), 400),
        (put, format!("{lifetime}: 60\r\nX-Forwarded-For: 192.0.2.1\r\n"), 403),
        (put, format!("{lifetime}: 60\r\nOrigin: http://evil.example\r\n"), 403),
        ("GET /latest/api/token", String::new(), 405),
        ("POST /latest/api/token", format!("{lifetime}: 60\r\nContent-Length: 0\r\n"), 405),
        (&path, String::new(), 401),
        (&path, format!("{token}: {}\r\n", "A".repeat(75)), 401),
        (&path, format!("{token}: {session}\r\nX-Forwarded-For: 192.0.2.1\r\n"), 403),
        (&path, format!("{token}: {session}\r\n"), 200),
        ("DELETE /latest/meta-data/", format!("{token}: {session}\r\n"), 405),
        ("GET /latest/user-data", format!("{token}: {session}\r\n"), 404),
        (
            "GET /latest/meta-data/iam/security-credentials/X",
            format!("{token}: {session}\r\n"),
            404,
        ),
    ] {
        let answer = ask(&lab, line, &more).await;
        assert_eq!(answer.status, status, "{line} {more} {}", answer.body);
        let allow = answer.head.lines().find_map(|line| line.strip_prefix("allow: "));
        assert_eq!(allow.is_some(), status == 405, "{}", answer.head);
    }
    let foreign = format!(
        "{put} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{lifetime}: 60\r\n\r\n"
    );
    let answer = exchange(lab.address(), foreign.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 403, "{}", answer.body);
}

#[tokio::test]
async fn a_session_ends_by_the_labs_clock() {
    let lab = start().await;
    let answer =
        ask(&lab, "PUT /latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n").await;
    let header = format!("X-aws-ec2-metadata-token: {}\r\n", answer.body);
    let line = format!("GET {METADATA}/instance-id");
    assert_eq!(ask(&lab, &line, &header).await.status, 200);
    lab.with_service(|service| {
        service.clock.forward(Duration::from_secs(61), SystemClock.now()).unwrap()
    });
    assert_eq!(ask(&lab, &line, &header).await.status, 401);
}

#[tokio::test]
async fn an_instances_credentials_do_what_its_role_may() {
    let lab = start().await;
    // Short, so that half of it is no skew that a signature would notice.
    lab.with_service(|service| service.token_lifetime = Duration::from_secs(480));
    let document = told(&lab, &format!("{PROFILE}/{DEFAULT_ROLE}")).await;
    let profile = from_document(&document);
    assert_eq!(
        arn(&lab, profile.clone()).await,
        "arn:aws:sts::000000000000:assumed-role/SSMServiceRole/i-1234567890abcdef0"
    );
    let listing = s3::ask(&lab, &profile, "GET /").await;
    assert!(listing.body.contains("<Name>rolekeeper-lab</Name>"), "{}", listing.body);
    let again = told(&lab, &format!("{PROFILE}/{DEFAULT_ROLE}")).await;
    assert_eq!(again, document, "young credentials are handed out again");
    lab.with_service(|service| {
        service.clock.forward(Duration::from_secs(241), SystemClock.now()).unwrap()
    });
    let renewed = told(&lab, &format!("{PROFILE}/{DEFAULT_ROLE}")).await;
    assert_ne!(renewed, document, "at half of their life there are new ones");
    assert!(arn(&lab, profile).await.ends_with(INSTANCE_ID), "the older live on to their end");
}

#[tokio::test]
async fn an_instances_identity_may_do_nothing_but_be_known() {
    let lab = start().await;
    let identity = from_document(&told(&lab, IDENTITY).await);
    assert_eq!(
        arn(&lab, identity.clone()).await,
        "arn:aws:sts::000000000000:assumed-role/aws:ec2-instance/i-1234567890abcdef0"
    );
    assert_eq!(s3::ask(&lab, &identity, "GET /").await.status, 403);
}

#[tokio::test]
async fn a_role_that_does_not_trust_ec2_is_told_as_ec2_does() {
    let lab = start().await;
    let trusting = |service: &str| {
        json!({ "role": [{
            "name": "Other",
            "trust_policy": { "Statement": {
                "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole",
            } },
        }] })
    };
    lab.with_service(|service| {
        let roles = Definitions::from_json(&trusting("ssm.amazonaws.com").to_string()).unwrap();
        roles.apply(service, &SystemEntropy).unwrap();
        service.instance.set_role(Some("Other".into()));
    });
    let document = told(&lab, &format!("{PROFILE}/Other")).await;
    assert_eq!(
        blanked(&document, &["LastUpdated"]),
        r#"{
  "Code" : "AssumeRoleUnauthorizedAccess",
  "Message" : "EC2 cannot assume the role Other: it must trust ec2.amazonaws.com.",
  "LastUpdated" : "<LastUpdated>"
}"#
    );
    let answer = ask_container(&lab, "Authorization").await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.body,
        r#"{"Code":"AccessDenied","Message":"The role Other does not trust ecs-tasks.amazonaws.com"}"#
    );
}

#[tokio::test]
async fn an_instance_without_a_role_has_an_identity_alone() {
    let lab = start().await;
    lab.with_service(|service| service.instance.set_role(None));
    for path in [PROFILE.to_owned(), format!("{PROFILE}/{DEFAULT_ROLE}")] {
        assert_eq!(get(&lab, &path).await.status, 404);
    }
    assert_eq!(get(&lab, IDENTITY).await.status, 200);
    assert_eq!(ask_container(&lab, "Authorization").await.status, 503);
}

/// The container's token under a header's name, right after the lab's start.
async fn ask_container(lab: &Lab, header: &str) -> Answer {
    let token = lab.with_service(|service| service.instance.container_token().expose().clone());
    ask(lab, &format!("GET {CONTAINER_PATH}"), &format!("{header}: {token}\r\n")).await
}

#[tokio::test]
async fn a_container_gets_credentials_for_its_token() {
    let lab = start().await;
    let answer = ask_container(&lab, "Authorization").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.head.contains("content-type: application/json\r\n"), "{}", answer.head);
    let members = ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"];
    assert_eq!(
        blanked(&answer.body, &members),
        r#"{"AccessKeyId":"<AccessKeyId>","SecretAccessKey":"<SecretAccessKey>","Token":"<Token>","Expiration":"<Expiration>","AccountId":"000000000000","RoleArn":"arn:aws:iam::000000000000:role/SSMServiceRole"}"#
    );
    let credentials = from_document(&answer.body);
    assert!(arn(&lab, credentials.clone()).await.contains(":assumed-role/SSMServiceRole/"));
    assert_eq!(s3::ask(&lab, &credentials, "GET /").await.status, 200);
}

#[tokio::test]
async fn a_containers_request_without_its_token_is_refused() {
    let lab = start().await;
    let line = format!("GET {CONTAINER_PATH}");
    let missing = r#"{"Code":"MissingAuthenticationToken","Message":"send the authorization token in the Authorization header"}"#;
    let answer = ask(&lab, &line, "").await;
    assert_eq!((answer.status, answer.body.as_str()), (401, missing));
    let answer = ask_container(&lab, "X-Authorization").await;
    assert_eq!((answer.status, answer.body.as_str()), (401, missing));
    let wrong = r#"{"Code":"AccessDenied","Message":"the authorization token is not the one of this endpoint"}"#;
    let answer = ask(&lab, &line, "Authorization: lab-wrong\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (403, wrong));
    let answer = ask_container(&lab, "Origin: null\r\nAuthorization").await;
    assert_eq!(answer.status, 403, "{}", answer.body);
}

#[tokio::test]
async fn a_fault_and_the_ledger_know_both_endpoints() {
    let lab = start().await;
    let throttled = Effect::Status { status: 503, code: None };
    let operation = Some(Operation::ContainerCredentials);
    lab.with_service(|service| {
        let fault = Fault { operation, ..Fault::always(throttled).times(1) };
        service.faults.add(fault).unwrap();
    });
    let session = open_session(&lab).await;
    assert!(!session.is_empty());
    let answer = ask_container(&lab, "Authorization").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["Code"], "ServiceUnavailableException");
    assert_eq!(ask_container(&lab, "Authorization").await.status, 200);
    assert_eq!(ask_container(&lab, "X").await.status, 401);
    lab.with_service(|service| {
        let count = |outcome| service.ledger.count(Operation::ContainerCredentials, &outcome);
        assert_eq!(count(Outcome::Done), 1);
        assert_eq!(count(Outcome::Refused("401".into())), 1);
        assert_eq!(service.ledger.count(Operation::InstanceMetadata, &Outcome::Done), 1);
    });
}

#[tokio::test]
async fn a_bucket_may_be_called_latest() {
    let lab = start().await;
    let buckets = json!({ "bucket": [{ "name": "latest", "objects": { "a": 1 } }] });
    lab.with_service(|service| {
        let buckets = Definitions::from_json(&buckets.to_string()).unwrap();
        buckets.apply(service, &SystemEntropy).unwrap();
    });
    let listing = s3::ask(&lab, &admin(&lab), "GET /latest?list-type=2").await;
    assert!(listing.body.contains("<Key>a</Key>"), "{}", listing.body);
}
