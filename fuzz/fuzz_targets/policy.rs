//! Any text as a policy of a role, and as its trust policy: no panic; what is refused says why in one
//! line; in what is taken an explicit deny wins, and nothing is allowed that no statement mentions.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rolekeeper::lab::policy::{Asker, Decision, Policy, Trust, TrustPolicy};
use serde_json::{Value, json};

const ACTION: &str = "s3:ListBucket";
const RESOURCE: &str = "arn:aws:s3:::backups";

fuzz_target!(|text: &str| {
    match text.parse::<Policy>() {
        Ok(_) => deny_wins(text),
        Err(error) => one_line(&error.to_string()),
    }
    match text.parse::<TrustPolicy>() {
        Ok(trust) => {
            let names = ["arn:aws:iam::000000000000:role/Web".to_owned()];
            for asker in [Asker::Service("ssm.amazonaws.com"), Asker::Identity(&names)] {
                let decision = trust.decide("sts:AssumeRole", asker, None);
                let with_id = trust.decide("sts:AssumeRole", asker, Some("id"));
                // An id that was not asked for opens nothing that is shut without one, unless the
                // policy wants that very id.
                assert!(decision != Trust::Denied || with_id != Trust::Unmentioned);
            }
        }
        Err(error) => one_line(&error.to_string()),
    }
});

fn deny_wins(text: &str) {
    let mut document = serde_json::from_str::<Value>(text).expect("a policy is JSON");
    let mut statements = match document["Statement"].take() {
        Value::Array(statements) => statements,
        one => vec![one],
    };
    statements.push(json!({ "Effect": "Deny", "Action": "*", "Resource": "*" }));
    document["Statement"] = statements.into();
    let policy = Policy::from_json(&document).expect("one more statement is a policy still");
    assert_eq!(policy.decide(ACTION, RESOURCE), Decision::Denied);
}

fn one_line(message: &str) {
    assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
}
