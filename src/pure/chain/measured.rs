//! What SDKs were seen to do where this chain once said something else: `tests/clients/chain_fuzz.py`.

use super::*;

const KEYS: &str = "aws_access_key_id = ASIAEXAMPLE00000FILE\naws_secret_access_key = s\n";
const ROLE: &str = "role_arn = arn:aws:iam::000000000000:role/r\n";
const PROCESS: &str = "credential_process = /opt/get\n";
const CONTAINER: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1338/c");

const FILE_KEYS: &str = "[default] of /h/.aws/";
const PRINTED: &str = "what /opt/get prints";
const AT_CONTAINER: &str = "http://127.0.0.1:1338/c";
const METADATA: &str = "http://169.254.169.254/";

/// What is used, and if nothing is, why.
fn taken(sdk: Sdk, environment: &[(&str, &str)], credentials: &str, config: &str) -> String {
    let file = |name: &str, kind, text: &str| match text {
        "" => SharedFile::absent(Some(name.into())),
        _ => SharedFile::read_by(sdk, name.into(), kind, text.as_bytes(), Some("/h")),
    };
    let surroundings = Surroundings {
        environment: Environment::of_pairs(environment.iter().copied()),
        credentials: file("/h/.aws/credentials", Kind::Credentials, credentials),
        config: file("/h/.aws/config", Kind::Config, config),
        missing: Vec::new(),
        not_run: vec!["/gone".to_owned()],
    };
    let walk = walk(sdk, &surroundings);
    walk.used().map_or_else(|| "none".to_owned(), Found::describe)
}

/// One expectation for each: boto3, Go, Java, JavaScript, Rust.
fn all_take(environment: &[(&str, &str)], credentials: &str, config: &str, expected: [&str; 5]) {
    let sdks = [Sdk::Boto3, Sdk::Go, Sdk::Java, Sdk::JavaScript, Sdk::Rust];
    for (sdk, expected) in sdks.into_iter().zip(expected) {
        let taken = taken(sdk, environment, credentials, config);
        assert!(
            taken.contains(expected),
            "{sdk}: {taken}, not {expected}, with:\n{credentials}\n{config}"
        );
    }
}

fn section(name: &str, settings: &[&str]) -> String {
    format!("[{name}]\n{}\n", settings.concat())
}

#[test]
fn variables_that_are_set_to_nothing_are_taken_literally_by_some() {
    let keys = section("default", &[KEYS]);
    let profile = [("AWS_PROFILE", ""), CONTAINER];
    all_take(&profile, &keys, "", ["none", FILE_KEYS, AT_CONTAINER, FILE_KEYS, AT_CONTAINER]);
    let other = [("AWS_DEFAULT_PROFILE", ""), CONTAINER];
    all_take(&other, &keys, "", ["none", FILE_KEYS, FILE_KEYS, FILE_KEYS, FILE_KEYS]);
    let uri = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")];
    all_take(&uri, "", "", ["none", METADATA, METADATA, METADATA, "none"]);
    let relative = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ""), CONTAINER];
    all_take(&relative, "", "", ["none", AT_CONTAINER, METADATA, AT_CONTAINER, "none"]);
    let token = [("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ""), CONTAINER];
    all_take(&token, "", "", ["none", AT_CONTAINER, METADATA, AT_CONTAINER, "none"]);
    let disabled = [("AWS_EC2_METADATA_DISABLED", "")];
    all_take(&disabled, "", "", [METADATA, METADATA, "none", METADATA, METADATA]);
}

#[test]
fn a_path_that_is_set_to_nothing_leads_nowhere_for_some() {
    for sdk in Sdk::ALL {
        let nothing = [("HOME", "/h"), ("AWS_CONFIG_FILE", "")];
        let paths = Paths::of(&Environment::of_pairs(nothing), &sdk.habits(), None);
        let literally = [Sdk::AwsCli, Sdk::Boto3, Sdk::Java, Sdk::Rust].contains(&sdk);
        let expected = if literally { "" } else { "/h/.aws/config" };
        assert_eq!(paths.config, Some(expected.into()), "{sdk}");
    }
    let of = |sdk: Sdk, path| {
        let variables = [("HOME", "/h"), ("AWS_CONFIG_FILE", path)];
        Paths::of(&Environment::of_pairs(variables), &sdk.habits(), None).config.unwrap()
    };
    assert_eq!(of(Sdk::Boto3, "$HOME/c"), PathBuf::from("/h/c"));
    assert_eq!(of(Sdk::Rust, "$HOME/c"), PathBuf::from("$HOME/c"));
    assert_eq!(of(Sdk::Rust, "~/c"), PathBuf::from("/h/c"));
    assert_eq!(of(Sdk::Go, "~/c"), PathBuf::from("~/c"));
}

#[test]
fn a_web_identity_without_a_role_ends_it_for_some() {
    let environment = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), CONTAINER];
    let passed = AT_CONTAINER;
    all_take(&environment, "", "", ["none", "none", passed, passed, passed]);
    let profile = section("default", &["web_identity_token_file = /t\n"]);
    all_take(&[CONTAINER], "", &profile, ["none", "none", passed, passed, "none"]);
}

#[test]
fn a_role_with_two_sources_or_with_an_empty_one_is_passed_over_by_some() {
    let both = "source_profile = a\ncredential_source = Environment\n";
    let config = section("default", &[ROLE, both]) + &section("profile a", &[KEYS]);
    let passed = AT_CONTAINER;
    all_take(&[CONTAINER], "", &config, ["none", "none", passed, passed, "none"]);
    let source = "source_profile = a\n";
    let empty = section("default", &[ROLE, source]) + &section("profile a", &["region = x\n"]);
    all_take(&[CONTAINER], "", &empty, ["none", "none", passed, passed, "none"]);
    // The same with keys of its own.
    let empty =
        section("default", &[ROLE, source, KEYS]) + &section("profile a", &["region = x\n"]);
    all_take(&[CONTAINER], "", &empty, ["none", "none", passed, passed, "none"]);
    // Without any, Go takes what comes behind.
    let alone = section("default", &[ROLE]);
    let role = "a role, assumed with http://127.0.0.1:1338/c";
    all_take(&[CONTAINER], "", &alone, ["none", role, passed, passed, "none"]);
}

#[test]
fn a_loop_of_roles_ends_at_keys_for_some() {
    let own = section("default", &[ROLE, "source_profile = default\n", KEYS]);
    let role = "a role, assumed with [default] of";
    all_take(&[CONTAINER], "", &own, [role, role, AT_CONTAINER, role, role]);
    let a = section("profile a", &[ROLE, "source_profile = default\n"]);
    let circle = section("default", &[ROLE, "source_profile = a\n", KEYS]) + &a;
    all_take(&[CONTAINER], "", &circle, ["none", role, AT_CONTAINER, role, "none"]);
}

#[test]
fn a_file_is_read_as_each_reads_it() {
    let none = "http://169.254.169.254/";
    for (text, expected) in [
        (format!("[default]; note\n{KEYS}"), [FILE_KEYS, FILE_KEYS, FILE_KEYS, none, FILE_KEYS]),
        (
            format!("[default]\n  {}", KEYS.replace('\n', "\n  ")),
            [FILE_KEYS, FILE_KEYS, "none", FILE_KEYS, "none"],
        ),
        (section("default", &[KEYS, KEYS]), ["none", FILE_KEYS, FILE_KEYS, FILE_KEYS, FILE_KEYS]),
        (
            section("default", &[KEYS]).repeat(2),
            ["none", FILE_KEYS, FILE_KEYS, FILE_KEYS, FILE_KEYS],
        ),
        (
            section("default", &[&KEYS.replace(" = ", ": ")]),
            [FILE_KEYS, FILE_KEYS, "none", none, "none"],
        ),
        (
            section("default", &[&KEYS.to_uppercase()]),
            [FILE_KEYS, FILE_KEYS, none, none, FILE_KEYS],
        ),
        (section("DEFAULT", &[KEYS]) + "[default]\n", [FILE_KEYS, none, none, none, none]),
    ] {
        all_take(&[], &text, "", expected);
    }
    let both = section("profile default", &[PROCESS]) + &section("default", &[KEYS]);
    all_take(&[], "", &both, [FILE_KEYS, PRINTED, PRINTED, PRINTED, PRINTED]);
}

#[test]
fn a_process_that_does_not_run_is_passed_over_by_some() {
    let gone = section("default", &["credential_process = /gone\n"]);
    let passed = AT_CONTAINER;
    all_take(&[CONTAINER], "", &gone, ["none", "none", passed, passed, "none"]);
    let quoted = section("default", &["credential_process = '/a b/get' --x\n"]);
    all_take(&[], "", &quoted, ["what /a b/get prints"; 5]);
    let at_home = section("default", &["credential_process = $HOME/get\n"]);
    let mut expected = ["what /h/get prints"; 5];
    expected[0] = "what $HOME/get prints";
    all_take(&[], "", &at_home, expected);
}

#[test]
fn what_a_profile_sets_to_nothing_is_taken_literally_by_some() {
    let passed = AT_CONTAINER;
    let secret = "aws_access_key_id = ASIAEXAMPLE00000FILE\naws_secret_access_key =\n";
    let keys = section("default", &[secret]);
    all_take(&[CONTAINER], "", &keys, [FILE_KEYS, passed, passed, passed, FILE_KEYS]);
    let role = section("default", &["role_arn =\nsource_profile = gone\n"]);
    all_take(&[CONTAINER], "", &role, ["none", "none", passed, passed, passed]);
    let token = section("default", &["web_identity_token_file = /t\nrole_arn =\n"]);
    all_take(&[CONTAINER], "", &token, ["none", "none", passed, passed, "none"]);
    let token = section("default", &["web_identity_token_file =\n", ROLE]);
    let role = "a role, assumed with http://127.0.0.1:1338/c";
    all_take(&[CONTAINER], "", &token, [passed, role, passed, passed, "none"]);
}

#[test]
fn a_role_from_an_endpoint_that_is_not_there_is_passed_over_by_some() {
    let source = section("default", &[ROLE, "credential_source = Ec2InstanceMetadata\n", PROCESS]);
    let role = "a role, assumed with http://169.254.169.254/";
    all_take(&[CONTAINER], "", &source, [role, "none", AT_CONTAINER, PRINTED, role]);
    let source = section("default", &[ROLE, "credential_source = EcsContainer\n", PROCESS]);
    let nonsense = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "nonsense")];
    let java = "http://169.254.169.254/";
    all_take(&nonsense, "", &source, ["none", "none", java, "none", "none"]);
}

#[test]
fn of_two_sections_for_one_profile_some_take_the_last() {
    let both = section("profile\tdefault", &[KEYS]) + &section("profile default", &[PROCESS]);
    all_take(&[], "", &both, [PRINTED, FILE_KEYS, PRINTED, FILE_KEYS, PRINTED]);
    let both = section("profile default", &[KEYS]) + "[default]\na =\n  word\n";
    all_take(&[], "", &both, ["none", FILE_KEYS, FILE_KEYS, FILE_KEYS, "none"]);
}
