//! Policies: what they decide, and which are refused.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const BUCKET: &str = "arn:aws:s3:::backups";

fn policy(statements: Value) -> Policy {
    Policy::from_json(&json!({ "Version": "2012-10-17", "Statement": statements })).unwrap()
}

fn trust(statements: Value) -> TrustPolicy {
    TrustPolicy::from_json(&json!({ "Version": "2012-10-17", "Statement": statements })).unwrap()
}

#[test]
fn what_nobody_mentions_is_not_allowed() {
    let policy = policy(
        json!({ "Effect": "Allow", "Action": "s3:List*", "Resource": "arn:aws:s3:::back?ps" }),
    );
    assert_eq!(policy.decide("s3:ListBucket", BUCKET), Decision::Allowed);
    assert_eq!(policy.decide("S3:listbucket", BUCKET), Decision::Allowed);
    assert_eq!(policy.decide("s3:GetObject", BUCKET), Decision::Unmentioned);
    assert_eq!(policy.decide("s3:ListBucket", "arn:aws:s3:::Backups"), Decision::Unmentioned);
    assert_eq!(policy.decide("s3:ListBucket", "arn:aws:s3:::backups2"), Decision::Unmentioned);
}

#[test]
fn a_trust_policy_tells_the_caller_from_its_account() {
    let role = "arn:aws:iam::000000000000:role/Web".to_owned();
    let asker = Asker::Identity(std::slice::from_ref(&role));
    let assume = |principal: Value| {
        trust(json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" }))
            .decide("sts:AssumeRole", asker, None)
    };
    assert_eq!(assume(json!({ "AWS": role })), Trust::Caller);
    assert_eq!(assume(json!({ "AWS": ["000000000000", role] })), Trust::Caller);
    assert_eq!(assume(json!({ "AWS": "arn:aws:iam::000000000000:root" })), Trust::Account);
    assert_eq!(assume(json!("*")), Trust::Account);
    assert_eq!(assume(json!({ "Service": "ssm.amazonaws.com" })), Trust::Unmentioned);
    assert_eq!(assume(json!({ "AWS": "arn:aws:iam::111122223333:root" })), Trust::Unmentioned);
}

#[test]
fn an_external_id_must_be_one_of_those_named() {
    let policy = trust(json!({
        "Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole",
        "Condition": { "StringEquals": { "sts:ExternalId": ["one", "two"] } },
    }));
    let decide = |id| policy.decide("sts:AssumeRole", Asker::Identity(&[]), id);
    assert_eq!(decide(Some("two")), Trust::Account);
    assert_eq!(decide(Some("Two")), Trust::Unmentioned);
    assert_eq!(decide(None), Trust::Unmentioned);
}

#[test]
fn a_denial_of_trust_wins_wherever_it_stands() {
    let allow = json!({ "Effect": "Allow", "Principal": "*", "Action": "sts:*" });
    let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": "sts:TagSession" });
    for statements in [json!([allow, deny]), json!([deny, allow])] {
        let policy = trust(statements);
        let decide = |action| policy.decide(action, Asker::Identity(&[]), None);
        assert_eq!(decide("sts:TagSession"), Trust::Denied);
        assert_eq!(decide("sts:AssumeRole"), Trust::Account);
    }
}

#[test]
fn what_the_lab_does_not_evaluate_is_refused_by_the_statements_name() {
    let good = json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "*" });
    for (name, value, message) in [
        ("NotAction", json!("s3:*"), "has NotAction, which the lab does not evaluate"),
        ("Condition", json!({}), "has Condition"),
        ("Principal", json!("*"), "has Principal"),
        ("Effect", json!("allow"), "needs an Effect"),
        ("Action", json!([]), "needs an Action"),
        ("Action", json!("s3"), "has the Action 's3'"),
        ("Resource", json!("bucket"), "has the Resource 'bucket'"),
        ("Resource", json!("arn:aws:s3:::${aws:username}"), "policy variable"),
        ("Resource", json!(7), "needs a Resource"),
    ] {
        let mut odd = good.clone();
        odd["Sid"] = "Odd".into();
        odd[name] = value;
        let document = json!({ "Version": "2012-10-17", "Statement": [good, odd] });
        let error = Policy::from_json(&document).unwrap_err().to_string();
        assert!(error.starts_with("statement 2 ('Odd') ") && error.contains(message), "{error}");
    }
}

#[test]
fn trust_is_not_read_loosely_either() {
    let good = json!({ "Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole" });
    for (name, value, message) in [
        ("Resource", json!("*"), "has Resource"),
        ("Principal", json!({}), "needs a Principal"),
        ("Principal", json!({ "Federated": "x" }), "of kind Federated"),
        ("Principal", json!({ "AWS": "arn:aws:iam::000000000000:role/*" }), "no wildcard"),
        ("Principal", json!({ "AWS": "alice" }), "no ARN"),
        ("Condition", json!({}), "has a Condition other than"),
        ("Condition", json!({ "StringLike": { "sts:ExternalId": "x" } }), "has a Condition"),
        ("Condition", json!({ "StringEquals": { "aws:PrincipalTag/a": "x" } }), "has a Condition"),
        (
            "Condition",
            json!({ "StringEquals": { "sts:ExternalId": "x", "aws:SourceIp": "y" } }),
            "has a Condition",
        ),
    ] {
        let mut odd = good.clone();
        odd[name] = value;
        let error = TrustPolicy::from_json(&json!({ "Statement": odd })).unwrap_err().to_string();
        assert!(error.starts_with("statement 1 ") && error.contains(message), "{error}");
    }
}

#[test]
fn a_document_that_is_no_policy_is_refused() {
    for (text, message) in [
        ("{", "is not JSON (line 1, column 1)"),
        ("[]", "is no JSON object"),
        ("{}", "has no Statement"),
        (r#"{"Statement": []}"#, "has no Statement"),
        (r#"{"Version": "2012-10-18", "Statement": {}}"#, "has a Version"),
        (r#"{"Statements": []}"#, "has Statements"),
        (r#"{"Statement": [1]}"#, "statement 1 is no JSON object"),
    ] {
        let error = text.parse::<Policy>().unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

/// What the two wildcards mean, said as shortly as can be.
fn reference_match(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), here) => {
            reference_match(rest, text)
                || here.is_some_and(|(_, further)| reference_match(pattern, further))
        }
        (Some((wanted, rest)), Some((found, further))) => {
            (*wanted == '?' || wanted == found) && reference_match(rest, further)
        }
        _ => false,
    }
}

fn statement() -> impl Strategy<Value = Value> {
    let action = prop_oneof!["s3:[LG*?][a*?]{0,2}", Just("*".to_owned())];
    let resource = prop_oneof!["arn:aws:s3:::[ab*?]{0,3}", Just("*".to_owned())];
    ("Allow|Deny", prop::collection::vec(action, 1..3), prop::collection::vec(resource, 1..3))
        .prop_map(|(effect, actions, resources)| {
            json!({ "Effect": effect, "Action": actions, "Resource": resources })
        })
}

#[test]
fn what_is_quoted_keeps_a_reason_on_one_line() {
    let odd = json!({ "Statement": { "Effect": "Allow", "Act\nion": "*", "Resource": "*" } });
    let error = Policy::from_json(&odd).unwrap_err().to_string();
    assert_eq!(error, "statement 1 has Act ion, which the lab does not evaluate here");
}

proptest! {
    #[test]
    fn wildcards_match_as_the_reference_does(
        pattern in "[abé*?]{0,8}",
        text in "[abé]{0,10}",
    ) {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let expected = reference_match(&chars(&pattern), &chars(&text));
        prop_assert_eq!(wildcard_match(&pattern, &text), expected);
    }

    #[test]
    fn an_explicit_deny_wins_over_everything(
        statements in prop::collection::vec(statement(), 0..6),
        at in any::<prop::sample::Index>(),
        action in "s3:[LG][a]{0,2}",
        bucket in "[ab]{0,3}",
    ) {
        let resource = format!("arn:aws:s3:::{bucket}");
        let mut statements = statements;
        let deny = json!({ "Effect": "Deny", "Action": action, "Resource": resource });
        statements.insert(at.index(statements.len() + 1), deny);
        prop_assert_eq!(policy(json!(statements)).decide(&action, &resource), Decision::Denied);
    }

    #[test]
    fn the_order_of_statements_does_not_matter(
        statements in prop::collection::vec(statement(), 1..6),
        action in "s3:[LG][a]{0,2}",
        bucket in "[ab]{0,3}",
    ) {
        let resource = format!("arn:aws:s3:::{bucket}");
        let forwards = policy(json!(statements)).decide(&action, &resource);
        let backwards = statements.iter().rev().collect::<Vec<_>>();
        prop_assert_eq!(policy(json!(backwards)).decide(&action, &resource), forwards);
    }

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC{0,200}") {
        prop_assert!(text.parse::<Policy>().is_err());
        let odd = json!({ "Statement": { "Effect": "Allow", "Action": text, "Resource": text } });
        prop_assert_eq!(Policy::from_json(&odd).is_ok(), text == "*");
    }
}
