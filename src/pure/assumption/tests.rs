use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const POLICY: &str = r#"{"Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}"#;

fn arn(name: &str) -> RoleArn {
    format!("arn:aws:iam::111122223333:role/{name}").parse().unwrap()
}

fn tags(tags: &[(&str, &str)]) -> Result<SessionTags, MalformedTags> {
    let owned = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    SessionTags::new(owned.collect::<BTreeMap<_, _>>())
}

#[test]
fn each_request_of_a_chain_carries_its_own_part() {
    let chain = RoleChain::try_from(vec![arn("hub"), arn("spoke"), arn("leaf")]).unwrap();
    let mut assumption = Assumption::along(chain);
    assumption.external_id = Some("ours".parse().unwrap());
    assumption.source_identity = Some("alice".parse().unwrap());
    assumption.tags = tags(&[("Team", "a"), ("Job", "b")]).unwrap();
    assumption.tags = assumption.tags.with_transitive(&["tEAM".to_owned()]).unwrap();
    assumption.duration = "30m".parse().unwrap();
    assumption.policy = Some(POLICY.parse().unwrap());
    assumption.policy_arns = vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".parse().unwrap()];
    assert_eq!(assumption.role(), &arn("leaf"));

    let name = SessionName::of_instance(&"mi-0123456789abcdef0".parse().unwrap());
    let steps = assumption.steps(&name);
    let [first, middle, last] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!((first.role, middle.role, last.role), (&arn("hub"), &arn("spoke"), &arn("leaf")));
    for step in &steps {
        assert_eq!(step.session_name.as_str(), "mi-0123456789abcdef0");
        assert_eq!(step.external_id, assumption.external_id.as_ref());
    }
    assert_eq!(first.source_identity, assumption.source_identity.as_ref());
    assert_eq!((&first.tags[..], &first.transitive[..]), (&[("Team", "a")][..], &["Team"][..]));
    assert!(middle.tags.is_empty() && middle.transitive.is_empty());
    assert_eq!((&last.tags[..], last.transitive.len()), (&[("Job", "b")][..], 0));
    assert_eq!((middle.source_identity, last.source_identity), (None, None));
    let minutes = [first, middle, last].map(|step| step.duration.as_secs() / 60);
    assert_eq!(minutes, [15, 15, 30]);
    assert_eq!((first.policy, last.policy), (None, assumption.policy.as_ref()));
    assert_eq!((first.policy_arns.len(), last.policy_arns.len()), (0, 1));
}

#[test]
fn a_single_role_is_first_and_last() {
    let mut assumption = Assumption::of(arn("backup"));
    assumption.session_name = Some("nightly".parse().unwrap());
    let tags = tags(&[("a", "1"), ("b", "2")]).unwrap();
    assumption.tags = tags.with_transitive(&["a".to_owned()]).unwrap();
    let name = "other".parse().unwrap();
    let steps = assumption.steps(&name);
    let [step] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!(step.session_name.as_str(), "nightly");
    assert_eq!(step.tags, [("a", "1"), ("b", "2")]);
    assert_eq!((&step.transitive[..], step.duration.as_secs()), (&["a"][..], 3600));
}

#[test]
fn a_chain_has_a_role() {
    assert_eq!(RoleChain::try_from(Vec::new()), Err(EmptyChain));
}

#[test]
fn arns_of_roles_and_policies_are_told_from_others() {
    for good in [
        "arn:aws:iam::111122223333:role/backup",
        "arn:aws-cn:iam::111122223333:role/service-role/a/b_+=,.@-",
        "arn:aws-us-gov:iam::111122223333:role/x",
    ] {
        assert_eq!(good.parse::<RoleArn>().unwrap().as_str(), good);
    }
    for bad in [
        "",
        "backup",
        "arn:aws:iam::1111:role/backup",
        "arn:aws:iam::111122223333:user/backup",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::111122223333:role/a/",
        "arn:aws:iam::111122223333:role/a b",
        "arn:aws:iam::111122223333:role/a\n",
        "arn:aws:sts::111122223333:assumed-role/backup/x",
        "arn:aws:iam:eu-central-1:111122223333:role/backup",
        "arn:example:iam::111122223333:role/backup",
    ] {
        let error = bad.parse::<RoleArn>().unwrap_err().to_string();
        assert!(error.contains("expected an ARN"), "{error}");
    }
    assert!("arn:aws:iam::aws:policy/job-function/ViewOnlyAccess".parse::<PolicyArn>().is_ok());
    assert!("arn:aws:iam::aws:role/x".parse::<PolicyArn>().is_err());
}

#[test]
fn a_duration_beyond_an_hour_is_refused_with_the_reason() {
    for (text, reason) in [
        ("61m", "an hour at most"),
        ("12h", "an hour at most"),
        ("14m", "less than 15 minutes"),
        ("3600", "needs a unit"),
    ] {
        let error = text.parse::<SessionDuration>().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    for text in ["15m", "1h", "59m59s"] {
        assert_eq!(text.parse::<SessionDuration>().unwrap().to_string(), text);
    }
}

#[test]
fn a_policy_loses_its_blanks_and_nothing_else() {
    let text = "{\n  \"Version\": \"2012-10-17\",\r\n\t\"Statement\": [ { \"Sid\": \"a \\\" b\\\\\" } ]\n}\n";
    let policy = text.parse::<SessionPolicy>().unwrap();
    assert_eq!(policy.as_str(), r#"{"Version":"2012-10-17","Statement":[{"Sid":"a \" b\\"}]}"#);
}

#[test]
fn a_policy_is_checked_before_it_is_used() {
    let long = |length: usize| {
        let frame = r#"{"Statement":[],"Id":""}"#.len();
        format!(r#"{{"Statement":[],"Id":"{}"}}"#, "x".repeat(length - frame))
    };
    assert!(long(LONGEST_SESSION_POLICY).parse::<SessionPolicy>().is_ok());
    assert!((long(LONGEST_SESSION_POLICY) + &"\n".repeat(100)).parse::<SessionPolicy>().is_ok());
    for (text, reason) in [
        (String::new(), "is not JSON (line 1, column 0)"),
        ("{\n \"Statement\": [,]}".to_owned(), "is not JSON (line 2"),
        (POLICY.to_owned() + "}", "is not JSON"),
        ("[]".to_owned(), "not an object with a Statement"),
        (format!("[{POLICY}]"), "not an object with a Statement"),
        ("[{\"Effect\":\"Allow\"}]".to_owned(), "not an object with a Statement"),
        ("\"Statement\"".to_owned(), "not an object with a Statement"),
        ("{}".to_owned(), "not an object with a Statement"),
        (r#"{"Statement":[],"Id":"€"}"#.to_owned(), "'€'"),
        (long(LONGEST_SESSION_POLICY + 1), "2049 characters"),
    ] {
        let error = text.parse::<SessionPolicy>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn tags_that_the_service_would_refuse_are_refused() {
    let long = "x".repeat(129);
    for (odd, reason) in [
        (tags(&[("", "x")]), "a key has"),
        (tags(&[(&long, "x")]), "a key has"),
        (tags(&[("aws:x", "x")]), "a key has"),
        (tags(&[("a", "x\n")]), "a value has"),
        // What Rust calls alphabetic and Unicode no letter: a circled A, a vowel sign.
        (tags(&[("\u{24b6}", "x")]), "a key has"),
        (tags(&[("a", "\u{93f}")]), "a value has"),
        (tags(&[("a", "x\u{85}")]), "a value has"),
        (tags(&[("a\u{200b}", "x")]), "a key has"),
        (tags(&[("a", &long.repeat(2))]), "a value has"),
        (tags(&[("Team", "x"), ("team", "y")]), "'Team' and 'team'"),
    ] {
        let error = odd.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let many = (0..51).map(|n| (format!("k{n}"), String::new())).collect();
    assert_eq!(SessionTags::new(many), Err(MalformedTags::TooMany(51)));
    let unknown = tags(&[("a", "x")]).unwrap().with_transitive(&["b".to_owned()]);
    assert_eq!(unknown, Err(MalformedTags::Unknown("b".to_owned())));
    assert!(tags(&[("Größe", "1 m")]).is_ok());
}

#[test]
fn an_instance_id_of_any_length_makes_a_session_name() {
    let id = format!("mi-{}", "0".repeat(121)).parse().unwrap();
    let name = SessionName::of_instance(&id);
    assert_eq!(name.as_str().len(), 64);
    assert_eq!(name.as_str().parse::<SessionName>(), Ok(name));
}

proptest! {
    #[test]
    fn any_text_is_survived_and_what_is_taken_is_taken_again(text in ".{0,300}") {
        let policy = text.parse::<SessionPolicy>();
        if let Ok(policy) = &policy {
            prop_assert_eq!(&policy.as_str().parse::<SessionPolicy>(), &Ok(policy.clone()));
        }
        let name = text.parse::<SessionName>();
        prop_assert!(name.is_err() || name.unwrap().as_str() == text);
        let role = text.parse::<RoleArn>();
        prop_assert!(role.is_err() || role.unwrap().as_str() == text);
    }

    #[test]
    fn a_compact_policy_means_what_the_text_meant(
        values in prop::collection::vec("[ -~\\t]{0,12}", 1..6),
    ) {
        let document = serde_json::json!({ "Statement": values });
        let text = serde_json::to_string_pretty(&document).unwrap();
        let policy = text.parse::<SessionPolicy>().unwrap();
        prop_assert_eq!(policy.as_str(), serde_json::to_string(&document).unwrap());
    }
}
