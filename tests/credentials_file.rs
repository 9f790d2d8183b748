//! What we write, the AWS SDK for Rust reads, and what we say that it refuses, it refuses: by its own
//! parser, one of the strictest. `tests/clients/files.py` does the same with those of the other SDKs.

use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::env_config::section::EnvConfigSections;
use aws_runtime::env_config::source::load;
use aws_types::os_shim_internal::{Env, Fs};
use proptest::collection::vec;
use proptest::prelude::*;
use rolekeeper::pure::ini::{Document, ProfileName, Reader, refusals};
use rolekeeper::pure::role_token::RoleToken;
use rolekeeper::pure::secret::Secret;
use time::macros::utc_datetime;

const KEYS: [(&str, &str); 3] = [
    ("aws_access_key_id", "ASIAEXAMPLE000000001"),
    ("aws_secret_access_key", "se/cr+et="),
    ("aws_session_token", "to/k+en=="),
];

fn token() -> RoleToken {
    RoleToken::new(
        Some(KEYS[0].1.into()),
        Some(Secret::new(KEYS[1].1.into())),
        Some(Secret::new(KEYS[2].1.into())),
        utc_datetime!(2026-11-22 00:00),
        Some(utc_datetime!(2026-11-22 01:00)),
        false,
    )
    .unwrap()
}

/// The text with our keys in `profile`, if it can be edited.
fn set(text: &str, profile: &ProfileName) -> Option<String> {
    let mut document = Document::parse(text.as_bytes()).ok()?;
    document.set_profile(profile, &token()).ok()?;
    Some(String::from_utf8(document.as_bytes().to_vec()).unwrap())
}

/// What the SDK makes of a text, if anything.
fn sdk(text: &str) -> Option<EnvConfigSections> {
    parsed(text).ok()
}

/// The same, or why not.
fn parsed(text: &str) -> Result<EnvConfigSections, String> {
    let files =
        EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Credentials, text).build();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let source = runtime.block_on(load(&Env::from_slice(&[]), &Fs::from_slice(&[]), &files));
    EnvConfigSections::parse(source.unwrap()).map_err(|error| error.to_string())
}

/// Lines about which SDKs differ, and some that nobody takes.
fn odd_text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        3 => "\\[[a-z]{1,2}\\]",
        4 => "[a-z]{1,2} {0,1}= {0,1}[a-z]{0,2}",
        2 => "[ \\t]{1,2}[a-z#;=:\\[\\]]{1,3}",
        2 => "[ \\t]{0,1}[a-z]{0,1}[ ]{0,1}[:=#;\\[\\]\u{a0}\u{b}]{1,2}[a-z=\\]]{0,2}",
        1 => Just(String::new()),
    ];
    (vec(line, 0..8), any::<bool>())
        .prop_map(|(lines, crlf)| lines.join(if crlf { "\r\n" } else { "\n" }))
}

/// Everything but our keys in `profile`, in the SDK's own words; keys in an order of ours.
fn said(sections: &EnvConfigSections, profile: &str) -> Vec<String> {
    let mut said = Vec::new();
    for name in sections.profiles() {
        for key in ["aws_access_key_id", "aws_session_token", "a", "b", "c", "s3", "region"] {
            let ours = name == profile && KEYS.iter().any(|(our_key, _)| *our_key == key);
            let value = sections.get_profile(name).unwrap().get(key).filter(|_| !ours);
            said.extend(value.map(|value| format!("{name} {key} {value}")));
        }
    }
    said.sort();
    said
}

/// Lines that the SDK takes, most of the time.
fn text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        2 => prop_oneof!["\\[[a-z]\\]", "\\[[a-z]\\] # [a-z\\[]{0,3}", Just("[default]".into())],
        6 => "[a-zA-Z]{1,2} = [ -~]{0,6}",
        2 => "s3 =(\n [a-c] = [a-z]{0,3}){0,2}",
        2 => "[ ]{0,1}[#;][ -~]{0,8}",
        1 => "[ ]{0,2}",
        1 => "region = x\n {0,1}# rolekeeper: expires 2026-01-01T00:00:00Z",
        2 => prop_oneof!["aws_access_key_id = x", "aws_secret_access_key=y", "AWS_SESSION_TOKEN = z"],
    ];
    (0..3_usize, vec(line, 0..12), any::<bool>()).prop_map(|(start, mut lines, crlf)| {
        lines.insert(0, ["[default]", "[a]", "# c\n"][start].to_owned());
        lines.into_iter().map(|line| line + "\n").collect::<String>().replace(
            '\n',
            match crlf {
                true => "\r\n",
                false => "\n",
            },
        )
    })
}

#[test]
fn the_sdk_takes_every_letter_of_a_profile_name() {
    let all = (33..127_u8).map(char::from).filter(|c| c.to_string().parse::<ProfileName>().is_ok());
    let name = all.collect::<String>();
    assert_eq!(name.len(), 26 + 26 + 10 + "_.@/+%:-".len());
    let sections = sdk(&set("", &name.parse().unwrap()).unwrap()).unwrap();
    let profile = sections.get_profile(&name).unwrap();
    assert!(KEYS.iter().all(|(key, value)| profile.get(key) == Some(value)));
}

proptest! {
    #[test]
    fn the_sdk_reads_our_keys_and_everybody_elses_as_before(text in text()) {
        let profile = "default".parse().unwrap();
        if let Some(set) = set(&text, &profile) {
            let before = sdk(&text);
            prop_assert!(before.is_some(), "the SDK refuses {text:?}, and it was edited");
            let before = before.unwrap();
            let after = sdk(&set);
            prop_assert!(after.is_some(), "the SDK took {text:?} and refuses {set:?}");
            let after = after.unwrap();
            let ours = after.get_profile("default").unwrap();
            for (key, value) in KEYS {
                prop_assert_eq!(ours.get(key), Some(value), "in {:?}", &set);
            }
            prop_assert_eq!(said(&before, "default"), said(&after, "default"));
        }
    }

    #[test]
    fn the_sdk_refuses_what_we_say_at_the_line_that_we_say(text in odd_text()) {
        let said = refusals(&text).into_iter().find(|refusal| refusal.reader == Reader::Rust);
        match (parsed(&text).err(), said) {
            (None, None) => {}
            (Some(error), Some(said)) => {
                let line = format!("on line {}:", said.line);
                prop_assert!(error.contains(&line), "{error}: not {line} in {text:?}");
            }
            (error, said) => prop_assert!(false, "{error:?}, and we say {said:?} of {text:?}"),
        }
    }

    #[test]
    fn what_the_sdk_refuses_is_not_edited(text in odd_text()) {
        if set(&text, &"default".parse().unwrap()).is_some() {
            prop_assert!(sdk(&text).is_some(), "{text:?}");
        }
    }
}
