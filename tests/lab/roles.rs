//! Roles from roles: the AWS SDK assumes them, and the lab decides as their policies say.

use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::types::Tag;
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::roles::RoleDefinition;
use rolekeeper::lab::tokens::Holder;

use super::*;

pub const NODE_ROLE: &str = "arn:aws:iam::000000000000:role/service-role/Rehearsal";
const BACKUP: &str = "arn:aws:iam::000000000000:role/Backup";

/// A lab with the role of [`Machine`], which may become `Backup` and no other.
pub async fn start_with_roles(backup_trust: Value) -> Lab {
    let lab = start().await;
    let by_service = json!({ "Effect": "Allow", "Principal": { "Service": "ssm.amazonaws.com" },
        "Action": "sts:AssumeRole" });
    let may_assume = json!({ "Effect": "Allow", "Action": "sts:*", "Resource": BACKUP });
    let may_list = json!([
        { "Effect": "Allow", "Action": ["s3:List*", "sts:*"], "Resource": "*" },
        { "Effect": "Allow", "Action": "ssm:DescribeActivations", "Resource": "*" },
    ]);
    let document = |statement: Value| json!({ "Version": "2012-10-17", "Statement": statement });
    let path = Some("/service-role/".to_owned());
    define(&lab, "Rehearsal", path, document(by_service), document(may_assume), None);
    let longest = Some("2h".to_owned());
    define(&lab, "Backup", None, document(backup_trust), document(may_list), longest);
    lab
}

fn define(
    lab: &Lab,
    name: &str,
    path: Option<String>,
    trust_policy: Value,
    policy: Value,
    longest_session: Option<String>,
) {
    let (name, policy) = (name.to_owned(), Some(policy));
    let definition = RoleDefinition { name, path, trust_policy, policy, longest_session };
    let role = definition.role(&SystemEntropy).unwrap();
    lab.with_service(|service| service.roles.insert(role));
}

pub fn trusting(principal: &Value) -> Value {
    json!({ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": "sts:*" })
}

/// A client with the role credentials of a machine that has just registered.
pub async fn node(lab: &Lab) -> (Machine, aws_sdk_sts::Client) {
    let machine = Machine::register(lab).await;
    let token = machine.token(lab).await;
    assert_eq!(token.status, 200, "{}", token.body);
    (machine, sts(lab, issued(&token.json())))
}

pub fn backup(client: &aws_sdk_sts::Client) -> AssumeRoleFluentBuilder {
    client.assume_role().role_arn(BACKUP).role_session_name("nightly")
}

async fn refused(asked: AssumeRoleFluentBuilder, code: &str, message: &str) {
    let error = asked.send().await.unwrap_err();
    let said = error.message().unwrap_or_default();
    assert_eq!(error.code(), Some(code), "{said}");
    assert!(said.contains(message), "{said}");
}

pub async fn session(asked: AssumeRoleFluentBuilder) -> Credentials {
    let answer = asked.send().await.unwrap();
    let issued = answer.credentials().unwrap();
    credentials(issued.access_key_id(), issued.secret_access_key(), Some(issued.session_token()))
}

#[tokio::test]
async fn a_node_assumes_a_role_that_trusts_its_own() {
    for principal in [json!(NODE_ROLE), json!("000000000000")] {
        let lab = start_with_roles(trusting(&principal)).await;
        let (_, client) = node(&lab).await;
        let before = SystemClock.now().unix_timestamp();
        let asked = backup(&client).duration_seconds(900).source_identity("alice");
        let asked = asked.tags(Tag::builder().key("job").value("a b").build().unwrap());
        let answer = asked.send().await.unwrap();
        let arn = "arn:aws:sts::000000000000:assumed-role/Backup/nightly";
        let user = answer.assumed_role_user().unwrap();
        assert_eq!(user.arn(), arn);
        assert_eq!(answer.source_identity(), Some("alice"));
        let given = answer.credentials().unwrap();
        let life = given.expiration().secs() - before;
        assert!((900..960).contains(&life), "{life}");
        let given = credentials(
            given.access_key_id(),
            given.secret_access_key(),
            given.session_token().into(),
        );
        let identity = sts(&lab, given).get_caller_identity().send().await.unwrap();
        assert_eq!(identity.arn(), Some(arn));
        assert_eq!(identity.user_id(), Some(user.assumed_role_id()));
    }
}

#[tokio::test]
async fn a_role_that_does_not_trust_the_caller_is_denied() {
    let lab = start_with_roles(trusting(&json!("arn:aws:iam::000000000000:role/Other"))).await;
    let (machine, client) = node(&lab).await;
    let caller = format!("assumed-role/Rehearsal/{}", machine.id);
    refused(backup(&client), "AccessDenied", &caller).await;
    refused(backup(&client), "AccessDenied", "because no resource-based policy allows").await;
    let absent = client.assume_role().role_session_name("x1");
    let arn = "arn:aws:iam::000000000000:role/service-role/Absent";
    refused(absent.role_arn(arn), "AccessDenied", arn).await;
}

#[tokio::test]
async fn trust_of_the_account_leaves_it_to_the_callers_policy() {
    let lab = start_with_roles(trusting(&json!(NODE_ROLE))).await;
    let trust = json!({ "Statement": trusting(&json!("000000000000")) });
    let nothing = json!({ "Statement": { "Effect": "Deny", "Action": "*", "Resource": "*" } });
    define(&lab, "Other", None, trust, nothing, None);
    let other = |client: &aws_sdk_sts::Client| {
        backup(client).role_arn("arn:aws:iam::000000000000:role/Other")
    };
    let (_, client) = node(&lab).await;
    refused(other(&client), "AccessDenied", "because no identity-based policy allows").await;
    let denied = sts(&lab, session(other(&sts(&lab, admin(&lab)))).await);
    refused(other(&denied), "AccessDenied", "with an explicit deny in an identity-based").await;
}

#[tokio::test]
async fn an_external_id_that_is_wanted_must_come() {
    let mut trust = trusting(&json!(NODE_ROLE));
    trust["Condition"] = json!({ "StringEquals": { "sts:ExternalId": "our-secret" } });
    let lab = start_with_roles(trust).await;
    let (_, client) = node(&lab).await;
    refused(backup(&client), "AccessDenied", "sts:AssumeRole").await;
    refused(backup(&client).external_id("other"), "AccessDenied", "sts:AssumeRole").await;
    session(backup(&client).external_id("our-secret")).await;
}

#[tokio::test]
async fn a_session_lasts_as_long_as_the_role_and_the_chain_permit() {
    let lab = start_with_roles(trusting(&json!("000000000000"))).await;
    let (_, client) = node(&lab).await;
    let lasting = |seconds| backup(&client).duration_seconds(seconds);
    refused(lasting(899), "ValidationError", "greater than or equal to 900").await;
    refused(lasting(43_201), "ValidationError", "less than or equal to 43200").await;
    refused(lasting(7201), "ValidationError", "MaxSessionDuration").await;
    refused(lasting(7200), "ValidationError", "role chaining").await;
    session(lasting(3600)).await;
    let administrator = sts(&lab, admin(&lab));
    session(backup(&administrator).duration_seconds(7200)).await;
}

#[tokio::test]
async fn what_a_session_is_named_and_given_is_checked() {
    let lab = start_with_roles(trusting(&json!(NODE_ROLE))).await;
    let (_, client) = node(&lab).await;
    let tag = |key: &str| Tag::builder().key(key).value("x").build().unwrap();
    for (asked, code, message) in [
        (backup(&client).role_session_name("a b"), "ValidationError", "'roleSessionName'"),
        (backup(&client).role_session_name("a"), "ValidationError", "greater than or equal to 2"),
        (backup(&client).role_arn("arn"), "ValidationError", "'roleArn'"),
        (backup(&client).external_id("a b"), "ValidationError", "'externalId'"),
        (backup(&client).source_identity("a:b"), "ValidationError", "'sourceIdentity'"),
        (backup(&client).tags(tag("k")).tags(tag("K")), "InvalidParameterValue", "Duplicate"),
        (backup(&client).transitive_tag_keys("k"), "ValidationError", "included in the requested"),
        (backup(&client).policy("{"), "MalformedPolicyDocument", "is not JSON"),
        (
            backup(&client).policy(r#"{"Statement": {"Effect": "Allow", "NotAction": "s3:*"}}"#),
            "MalformedPolicyDocument",
            "statement 1 has NotAction",
        ),
        (backup(&client).policy(" ".repeat(2049)), "PackedPolicyTooLarge", "2048"),
    ] {
        refused(asked, code, message).await;
    }
}

#[tokio::test]
async fn tags_and_source_identities_need_trust_of_their_own() {
    let mut trust = trusting(&json!(NODE_ROLE));
    trust["Action"] = "sts:AssumeRole".into();
    let lab = start_with_roles(trust).await;
    let (_, client) = node(&lab).await;
    let tag = Tag::builder().key("job").value("x").build().unwrap();
    refused(backup(&client).tags(tag), "AccessDenied", "sts:TagSession").await;
    refused(backup(&client).source_identity("alice"), "AccessDenied", "sts:SetSourceIdentity")
        .await;
}

#[tokio::test]
async fn a_source_identity_stays_along_the_chain() {
    let lab = start_with_roles(trusting(&json!("000000000000"))).await;
    let (_, client) = node(&lab).await;
    let first = sts(&lab, session(backup(&client).source_identity("alice")).await);
    refused(backup(&first).source_identity("mallory"), "AccessDenied", "another source identity")
        .await;
    let second = backup(&first).send().await.unwrap();
    assert_eq!(second.source_identity(), Some("alice"));
}

#[tokio::test]
async fn transitive_tags_are_inherited_along_the_chain_and_stay_what_they_are() {
    let lab = start_with_roles(trusting(&json!("000000000000"))).await;
    let (_, client) = node(&lab).await;
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build().unwrap();
    let tagged = backup(&client).tags(tag("Team", "a")).tags(tag("Job", "b"));
    let first = sts(&lab, session(tagged.transitive_tag_keys("team")).await);
    let other = backup(&first).tags(tag("team", "c"));
    refused(other, "InvalidParameterValue", "from the calling session").await;
    let second = session(backup(&first).tags(tag("Job", "d"))).await;
    let issued = lab.with_service(|service| service.tokens.get(second.access_key_id()).unwrap());
    let Some(Holder::Session(session)) = issued.map(|token| token.holder) else { panic!() };
    let tags = session.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
    assert_eq!(tags.collect::<Vec<_>>(), [("Job", "d"), ("Team", "a")]);
}

#[tokio::test]
async fn a_session_does_in_systems_manager_what_its_role_may() {
    let lab = start_with_roles(trusting(&json!(NODE_ROLE))).await;
    let (_, client) = node(&lab).await;
    let as_session = |credentials| {
        let config = ssm(&lab).config().to_builder().credentials_provider(credentials).build();
        aws_sdk_ssm::Client::from_conf(config)
    };
    let plain = as_session(session(backup(&client)).await);
    let listed = plain.describe_activations().send().await.unwrap();
    assert_eq!(listed.activation_list().len(), 1);
    let error = plain.create_activation().iam_role("Web").send().await.unwrap_err();
    assert_eq!(error.code(), Some("AccessDeniedException"));
    let less = r#"{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#;
    let less = as_session(session(backup(&client).policy(less)).await);
    let error = less.describe_activations().send().await.unwrap_err();
    let message = error.message().unwrap_or_default();
    assert!(message.contains("because no session policy allows the ssm:Describe"), "{message}");
}

#[tokio::test]
async fn a_role_that_systems_manager_may_not_hand_out_is_not_handed_out() {
    let lab = start().await;
    let machine = Machine::register(&lab).await;
    let trust = json!({ "Statement": trusting(&json!("000000000000")) });
    let none = json!({ "Statement": { "Effect": "Deny", "Action": "*", "Resource": "*" } });
    define(&lab, "Rehearsal", None, trust, none, None);
    let answer = machine.token(&lab).await;
    assert_eq!(answer.code(), "AccessDeniedException");
    assert!(answer.body.contains("does not trust ssm.amazonaws.com"), "{}", answer.body);
    // Nor is it promised to machines that are still to come.
    let wish = ssm(&lab).create_activation().iam_role("service-role/Rehearsal");
    let error = wish.send().await.unwrap_err();
    assert_eq!(error.code(), Some("ValidationException"));
    let message = error.message().unwrap_or_default();
    assert!(message.contains("missing ssm service principal"), "{message}");
}
