use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::pure::advice::Advice;

const KEYS: &str = "aws_access_key_id = ASIAEXAMPLE00000FILE\naws_secret_access_key = s\n";
const OURS: &str = "credential_process = /usr/bin/rolekeeper credential-process\n";
const ENVIRONMENT_KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE00000ENVI"), ("AWS_SECRET_ACCESS_KEY", "s")];

fn surroundings(environment: &[(&str, &str)], credentials: &str, config: &str) -> Surroundings {
    let file = |path: &str, kind, text: &str| match text {
        "" => SharedFile::absent(Some(path.into())),
        _ => SharedFile::of_bytes(path.into(), kind, text.as_bytes()),
    };
    Surroundings {
        environment: Environment::of_pairs(environment.iter().copied()),
        credentials: file("/home/a/.aws/credentials", Kind::Credentials, credentials),
        config: file("/home/a/.aws/config", Kind::Config, config),
        missing: Vec::new(),
        not_run: Vec::new(),
    }
}

fn section(name: &str, keys: &str) -> String {
    format!("[{name}]\n{keys}")
}

/// One of our targets, and both endpoints.
fn installation() -> Installation {
    Installation {
        outlets: vec![Outlet {
            name: "default".into(),
            path: "/run/rolekeeper/credentials".into(),
            profile: "default".into(),
            binding: Binding::Name,
        }],
        container: Some("127.0.0.1:1338".parse().unwrap()),
        metadata: Some("127.0.0.1:1339".parse().unwrap()),
        network: Network::Shared,
    }
}

/// What is used, and if nothing is, why.
fn used(sdk: Sdk, surroundings: &Surroundings) -> String {
    let walk = walk(sdk, surroundings);
    match (walk.used(), walk.end()) {
        (Some(found), None) => found.describe(),
        (None, Some(why)) => format!("fails: {why}"),
        (found, why) => panic!("{found:?}, {why:?}"),
    }
}

/// The same for each SDK, checked by what it begins with.
fn all_use(surroundings: &Surroundings, expected: &[(&[Sdk], &str)]) {
    for sdk in Sdk::ALL {
        let (_, expected) = expected.iter().find(|(sdks, _)| sdks.contains(&sdk)).unwrap();
        let found = used(sdk, surroundings);
        assert!(found.contains(expected), "{sdk}: {found}, not {expected}");
    }
}

/// As [`all_use`] names whoever was not named before.
const OTHERS: &[Sdk] = &Sdk::ALL;

#[test]
fn with_nothing_set_everybody_ends_at_the_metadata_service() {
    let nothing = surroundings(&[], "", "");
    all_use(&nothing, &[(OTHERS, "http://169.254.169.254/, if anything answers there")]);
    for sdk in Sdk::ALL {
        let judgement = judge(&walk(sdk, &nothing), &installation());
        assert_eq!(judgement.name(), "nothing", "{sdk}");
        assert_eq!(walk(sdk, &nothing).shadowed().count(), 0);
    }
    let disabled = surroundings(&[("AWS_EC2_METADATA_DISABLED", "TRUE")], "", "");
    assert_eq!(walk(Sdk::Go, &disabled).used(), None);
}

#[test]
fn keys_in_the_environment_come_first_and_hide_the_rest() {
    let all = surroundings(&ENVIRONMENT_KEYS, &section("default", KEYS), &section("default", OURS));
    all_use(&all, &[(OTHERS, "AWS_ACCESS_KEY_ID (access key id ..ENVI, a user's own")]);
    let walk = walk(Sdk::Boto3, &all);
    let hidden = walk.shadowed().map(Found::describe).collect::<Vec<_>>();
    assert_eq!(
        hidden,
        [
            "[default] of /home/a/.aws/credentials (access key id ..FILE, temporary)",
            "what /usr/bin/rolekeeper prints"
        ]
    );
}

#[test]
fn a_stale_default_hides_our_process_from_some_and_not_from_others() {
    let both = surroundings(&[], &section("default", KEYS), &section("default", OURS));
    let process_first = &[Sdk::Java, Sdk::Rust];
    all_use(
        &both,
        &[
            (process_first, "what /usr/bin/rolekeeper prints"),
            (&[Sdk::DotNet], "http://169.254.169.254/"),
            (OTHERS, "[default] of /home/a/.aws/credentials"),
        ],
    );
    let dot_net = walk(Sdk::DotNet, &both);
    let why = "[default] is configured in two ways at once, and this SDK takes neither".to_owned();
    assert!(dot_net.links.iter().any(|link| link.verdict == Verdict::PassedOver(why.clone())));
}

#[test]
fn our_process_is_found_by_all_but_phps_bare_section() {
    let bare = surroundings(&[], "", &section("default", OURS));
    all_use(&bare, &[(&[Sdk::Php], "169.254.169.254"), (OTHERS, "what /usr/bin/rolekeeper")]);
    let prefixed = surroundings(&[], "", &section("profile default", OURS));
    all_use(&prefixed, &[(OTHERS, "what /usr/bin/rolekeeper prints")]);
    let in_credentials = surroundings(&[], &section("default", OURS), "");
    all_use(&in_credentials, &[(&[Sdk::Cpp], "169.254"), (OTHERS, "what /usr/bin/rolekeeper")]);
}

#[test]
fn a_profile_that_no_file_has_fails_some_and_is_passed_over_by_others() {
    let environment =
        [("AWS_PROFILE", "gone"), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1338/")];
    let gone = surroundings(&environment, &section("default", KEYS), "");
    all_use(
        &gone,
        &[
            (
                &[Sdk::AwsCli, Sdk::Boto3, Sdk::Go, Sdk::DotNet],
                "fails: the environment names the profile 'gone', which no file has",
            ),
            (OTHERS, "http://127.0.0.1:1338/"),
        ],
    );
    let with_keys = [&environment[..], &ENVIRONMENT_KEYS[..]].concat();
    all_use(
        &surroundings(&with_keys, "", ""),
        &[
            // As was seen: boto3 fails although there are keys, and JavaScript passes them over.
            (&[Sdk::AwsCli, Sdk::Boto3, Sdk::Go], "fails: the environment names"),
            (&[Sdk::JavaScript], "http://127.0.0.1:1338/"),
            (OTHERS, "AWS_ACCESS_KEY_ID"),
        ],
    );
}

#[test]
fn each_sdk_has_its_variable_for_the_profile() {
    let files = [section("a", KEYS), section("b", OURS)].concat();
    let environment = [("AWS_PROFILE", "a"), ("AWS_DEFAULT_PROFILE", "b")];
    let both = surroundings(&environment, &files, &section("profile b", OURS));
    all_use(
        &both,
        &[
            (&[Sdk::AwsCli, Sdk::Boto3, Sdk::Cpp], "what /usr/bin/rolekeeper prints"),
            (OTHERS, "[a] of /home/a/.aws/credentials"),
        ],
    );
    let one = surroundings(&environment[1..], &section("b", KEYS), "");
    let read = &[Sdk::AwsCli, Sdk::Boto3, Sdk::Cpp, Sdk::Go, Sdk::Ruby];
    all_use(&one, &[(read, "[b] of"), (OTHERS, "169.254.169.254")]);
}

#[test]
fn half_a_pair_of_keys_fails_botocore_and_is_passed_over_by_others() {
    let half = surroundings(&ENVIRONMENT_KEYS[..1], "", &section("profile default", OURS));
    all_use(
        &half,
        &[
            (&[Sdk::AwsCli, Sdk::Boto3], "fails: AWS_ACCESS_KEY_ID is set without its secret"),
            (OTHERS, "what /usr/bin/rolekeeper prints"),
        ],
    );
}

#[test]
fn a_file_that_is_refused_is_said_with_its_line() {
    let torn = surroundings(&ENVIRONMENT_KEYS, "[default]\nhunter2\n", "");
    all_use(
        &torn,
        &[
            (&[Sdk::AwsCli, Sdk::Boto3], "fails: /home/a/.aws/credentials: line 2 is neither"),
            (OTHERS, "AWS_ACCESS_KEY_ID"),
        ],
    );
    let Content::Unusable(unusable) = &torn.credentials.content else { panic!("{torn:?}") };
    assert_eq!(unusable.remedy(), "write line 2 as `key = value`, or remove it");
    let torn = surroundings(&[], "[default]\nhunter2\n", "");
    assert!(used(Sdk::Go, &torn).starts_with("fails: /home/a/.aws/credentials: line 2"));
}

#[test]
fn a_web_identity_comes_before_the_profile_for_most() {
    let environment = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/a"),
    ];
    let both = surroundings(&environment, &section("default", KEYS), "");
    let profile_first = &[Sdk::JavaScript, Sdk::Rust, Sdk::Cpp];
    all_use(&both, &[(profile_first, "[default] of"), (OTHERS, "the token in /var/run/token")]);
    let mut missing = both;
    missing.missing = vec!["/var/run/token".into()];
    assert!(used(Sdk::Go, &missing).starts_with("fails: the program cannot read the token file"));
}

#[test]
fn a_role_lives_as_long_as_what_it_is_assumed_with() {
    let role = "role_arn = arn:aws:iam::111122223333:role/a\nsource_profile = base\n";
    let config = |base: &str| section("default", role) + &section("profile base", base);
    let sdks = [Sdk::Boto3, Sdk::Go, Sdk::Java, Sdk::JavaScript, Sdk::Ruby, Sdk::Rust, Sdk::DotNet];
    for sdk in sdks {
        let judged = |base: &str| {
            let walk = walk(sdk, &surroundings(&[], "", &config(base)));
            judge(&walk, &installation()).name()
        };
        assert_eq!(judged(KEYS), "not-renewed", "{sdk}");
        assert_eq!(judged(OURS), "renewed", "{sdk}");
        assert_eq!(judged("region = x\n"), "nothing", "{sdk}");
        // A circle ends.
        let circle = role.replace("base", "default");
        assert_eq!(judged(&circle), "nothing", "{sdk}");
    }
    let source = "role_arn = arn:aws:iam::111122223333:role/a\ncredential_source = EcsContainer\n";
    let environment = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1338/x")];
    let walk = walk(Sdk::Boto3, &surroundings(&environment, "", &section("default", source)));
    assert!(judge(&walk, &installation()).is_renewed());
}

#[test]
fn the_container_endpoint_is_taken_where_sdks_would_go() {
    let at = |uri: &str| {
        let set = surroundings(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)], "", "");
        (used(Sdk::Boto3, &set), judge(&walk(Sdk::Boto3, &set), &installation()).name())
    };
    let (ours, judged) = at("http://localhost:1338/credentials/a");
    assert_eq!((ours.as_str(), judged), ("http://localhost:1338/credentials/a", "renewed"));
    assert_eq!(at("http://127.0.0.1:9/").1, "elsewhere");
    let (refused, judged) = at("http://host.docker.internal:1338/");
    assert!(refused.contains("with TLS alone, so not at all"), "{refused}");
    assert_eq!(judged, "nothing");
    assert!(at("unix:///run/x").0.contains("no URI of http or https"));
    let both = [
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1338/"),
    ];
    let both = surroundings(&both, "", "");
    all_use(&both, &[(OTHERS, "http://169.254.170.2/v2/x")]);
}

#[test]
fn our_file_is_renewed_for_those_who_read_it_again() {
    let mut ours = surroundings(&[], "", "");
    let text = section("default", KEYS);
    let path = "/run/rolekeeper/credentials".into();
    ours.credentials = SharedFile::of_bytes(path, Kind::Credentials, text.as_bytes());
    for sdk in Sdk::ALL {
        let judgement = judge(&walk(sdk, &ours), &installation());
        assert_eq!(judgement.is_renewed(), [Sdk::AwsCli, Sdk::Cpp].contains(&sdk), "{judgement:?}");
        assert!(judgement.reason().contains("our target 'default'"), "{judgement:?}");
    }
    let other = surroundings(&[("AWS_PROFILE", "b")], &section("b", KEYS), "");
    assert_eq!(judge(&walk(Sdk::Cpp, &other), &installation()).reason(), "these keys are not ours");
}

#[test]
fn what_holds_for_every_sdk_needs_no_name() {
    let judged = |surroundings: &Surroundings| {
        let each = Sdk::ALL.map(|sdk| judge(&walk(sdk, surroundings), &installation()));
        Judgement::agreed(&each).name()
    };
    let uri = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1338/")];
    assert_eq!(judged(&surroundings(&uri, "", "")), "renewed");
    assert_eq!(judged(&surroundings(&ENVIRONMENT_KEYS, "", "")), "not-renewed");
    assert_eq!(
        judged(&surroundings(&[], &section("default", KEYS), &section("default", OURS))),
        "untold"
    );
    assert_eq!(judged(&surroundings(&[], "", "")), "nothing");
    assert_eq!(Judgement::agreed(&[]).name(), "untold");
}

#[test]
fn a_strangers_text_stays_on_its_line() {
    let environment = [("AWS_PROFILE", "a\nb\u{1b}[2J"), ("AWS_CONFIG_FILE", "/\n")];
    let walk = walk(Sdk::Boto3, &surroundings(&environment, "", ""));
    let why = walk.end().unwrap();
    assert!(why.contains("'a\\nb\\u{1b}[2J'"), "{why}");
    assert!(shown(&"x".repeat(5000)).len() <= 200);
}

fn ways() -> [Way; 3] {
    [
        Way::Process {
            command: "/usr/bin/rolekeeper credential-process".into(),
            file: "/etc/rolekeeper/aws-profile".into(),
            region: None,
        },
        Way::Container {
            uri: "http://127.0.0.1:1338/credentials/a".into(),
            token_file: "/run/rolekeeper/a.token".into(),
        },
        Way::Metadata { uri: "http://127.0.0.1:1339/".into() },
    ]
}

#[test]
fn a_remedy_changes_no_more_than_it_must() {
    let clean = surroundings(&[], "", "");
    let [process, container, metadata] = ways();
    let mended = |surroundings: &Surroundings, way: &Way| {
        mend(&[(Sdk::Boto3, surroundings.clone())], &installation(), way).unwrap()
    };
    let remedy = mended(&clean, &process).remedy;
    assert_eq!(remedy.unset, [""; 0]);
    assert_eq!(remedy.set, [("AWS_CONFIG_FILE", "/etc/rolekeeper/aws-profile".to_owned())]);
    assert_eq!(mended(&clean, &container).remedy.set.len(), 2);
    assert_eq!(mended(&clean, &metadata).remedy.set.len(), 1);

    let stale = surroundings(
        &ENVIRONMENT_KEYS,
        &section("default", KEYS),
        &section("default", "region = x\n"),
    );
    let Mended { remedy, left_behind } = mended(&stale, &process);
    assert_eq!(remedy.unset, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    // The region in the config file stays.
    let ours = ("AWS_SHARED_CREDENTIALS_FILE", "/etc/rolekeeper/aws-profile".to_owned());
    assert_eq!(remedy.set, [ours]);
    assert_eq!(left_behind, [std::path::PathBuf::from("/home/a/.aws/credentials")]);
    let Mended { left_behind, .. } = mended(&stale, &container);
    assert_eq!(left_behind, [std::path::PathBuf::from("/home/a/.aws/credentials")]);
}

/// Any environment that leads somewhere.
fn environment() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    subsequence(
        vec![
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE00000ENVI"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_SESSION_TOKEN", "s"),
            ("AWS_ACCESS_KEY", "AKIAEXAMPLE00000ENVI"),
            ("AWS_SECRET_KEY", "s"),
            ("AWS_PROFILE", "a"),
            ("AWS_DEFAULT_PROFILE", "gone"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
            ("AWS_ROLE_ARN", "r"),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://host.docker.internal/"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[::1]:9/"),
        ],
        0..=14,
    )
}

/// Any file, prefixes as in `config`.
fn file() -> impl Strategy<Value = String> {
    let key = select(vec![
        "aws_access_key_id = ASIAEXAMPLE00000FILE",
        "aws_secret_access_key = s",
        "credential_process = /opt/x",
        "role_arn = r",
        "source_profile = a",
        "source_profile = default",
        "credential_source = EcsContainer",
        "credential_source = Environment",
        "web_identity_token_file = /t",
        "sso_session = x",
        "login_session = x",
        "region = x",
        "ec2_metadata_service_endpoint = nonsense",
    ]);
    let name = select(vec!["default", "profile default", "a", "profile a", "gone"]);
    let sections = vec((name, vec(key, 0..5)), 0..4);
    sections.prop_map(|sections| {
        let text = |(name, keys): (&str, Vec<&str>)| format!("[{name}]\n{}\n", keys.join("\n"));
        sections.into_iter().map(text).collect()
    })
}

fn any_surroundings() -> impl Strategy<Value = Surroundings> {
    (environment(), file(), file(), any::<bool>()).prop_map(|(environment, one, other, missing)| {
        let mut surroundings = surroundings(&environment, &one, &other);
        surroundings.missing = if missing { vec!["/t".into()] } else { vec![] };
        surroundings
    })
}

proptest! {
    #[test]
    fn one_place_at_most_is_used_and_what_follows_is_not(
        surroundings in any_surroundings(), sdk in select(&Sdk::ALL[..])
    ) {
        let walk = walk(sdk, &surroundings);
        let decides = |link: &Link| matches!(link.verdict, Verdict::Used(_) | Verdict::Ends(_));
        let deciding = walk.links.iter().filter(|link| decides(link)).count();
        prop_assert!(deciding <= usize::from(walk.failure.is_none()), "{:?}", walk);
        let decided = walk.links.iter().position(decides).unwrap_or(walk.links.len());
        let hidden = |link: &Link| matches!(link.verdict, Verdict::Shadowed(_));
        if walk.failure.is_none() {
            prop_assert!(!walk.links[..decided].iter().any(hidden), "{:?}", walk);
        }
        let order = walk.links.iter().map(|link| (link.source, link.place)).collect::<Vec<_>>();
        prop_assert_eq!(order, sdk.habits().order);
        prop_assert_eq!(walk.used().is_some() && walk.end().is_some(), false);
    }

    #[test]
    fn every_program_can_be_mended_in_every_way(
        surroundings in any_surroundings(), sdk in select(&Sdk::ALL[..])
    ) {
        for way in ways() {
            let mended = mend(&[(sdk, surroundings.clone())], &installation(), &way);
            prop_assert!(mended.is_some(), "{:?} {:?}", sdk, way);
            let after = mended.unwrap().remedy.apply(sdk, &surroundings);
            prop_assert!(judge(&walk(sdk, &after), &installation()).is_renewed());
        }
    }

    #[test]
    fn a_program_of_any_sdk_can_be_mended_at_once(surroundings in any_surroundings()) {
        let all = Sdk::ALL.map(|sdk| (sdk, surroundings.clone()));
        for way in ways() {
            let mended = mend(&all, &installation(), &way);
            prop_assert!(mended.is_some(), "{:?}", way);
        }
    }

    #[test]
    fn no_judgement_shows_a_secret(
        secret in "[a-z]{24}", surroundings in any_surroundings(), sdk in select(&Sdk::ALL[..])
    ) {
        let mut surroundings = surroundings;
        surroundings.environment = surroundings.environment
            .with("AWS_SECRET_ACCESS_KEY", &secret)
            .with("AWS_ACCESS_KEY_ID", &secret);
        let walk = walk(sdk, &surroundings);
        let text = format!("{walk:?} {:?}", judge(&walk, &installation()));
        prop_assert!(!text.contains(&secret), "{}", text);
    }
}
