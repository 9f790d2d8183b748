//! For `tests/clients/files.py`: what Rolekeeper makes of credentials files, and what the AWS SDK for
//! Rust reads in them. A JSON object for each line of file names.

use std::fs;
use std::io;

use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::env_config::section::EnvConfigSections;
use aws_runtime::env_config::source::load;
use aws_types::os_shim_internal::{Env, Fs};
use rolekeeper::pure::ini::{Document, ProfileName, Unusable, refusals};
use rolekeeper::pure::role_token::RoleToken;
use rolekeeper::pure::secret::Secret;
use serde_json::{Map, Value, json};
use time::macros::utc_datetime;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let keys = std::env::args().skip(2).collect::<Vec<_>>();
    let edits = std::env::args().nth(1).as_deref() == Some("edit");
    for name in io::stdin().lines().map_while(Result::ok) {
        let Ok(text) = fs::read_to_string(&name) else { break };
        println!("{}", if edits { edited(&text) } else { read(&text, &keys).await });
    }
}

/// The verdict, the refusals, the text with our keys, and without them again.
fn edited(text: &str) -> Value {
    let refusals = refusals(text).into_iter();
    let refusals = refusals.map(|it| json!([format!("{:?}", it.reader), it.line]));
    let refusals = refusals.collect::<Vec<_>>();
    match set_and_withdrawn(text) {
        Ok((set, withdrawn)) => json!({ "refusals": refusals, "set": set, "withdrawn": withdrawn }),
        Err(Unusable { line, defect, refused_by }) => {
            let readers = refused_by.iter().map(|reader| format!("{reader:?}"));
            let (defect, readers) = (format!("{defect:?}"), readers.collect::<Vec<_>>());
            json!({ "refusals": refusals, "line": line, "defect": defect, "refused_by": readers })
        }
    }
}

fn set_and_withdrawn(text: &str) -> Result<(String, String), Unusable> {
    let profile = ProfileName::default();
    let text_of = |document: &Document| String::from_utf8_lossy(document.as_bytes()).into_owned();
    let mut document = Document::parse(text.as_bytes())?;
    document.set_profile(&profile, &token())?;
    let set = text_of(&document);
    // Read again, as it would be after half an hour.
    let mut document = Document::parse(set.as_bytes())?;
    document.withdraw_profile(&profile)?;
    Ok((set, text_of(&document)))
}

fn token() -> RoleToken {
    let (issued, end) = (utc_datetime!(2026-11-22 00:00), utc_datetime!(2026-11-22 01:00));
    let secret = |text: &str| Some(Secret::new(text.to_owned()));
    let (id, key, session) = ("ASIAEXAMPLE000000001", secret("se/cr+et="), secret("to/k+en=="));
    RoleToken::new(Some(id.to_owned()), key, session, issued, Some(end), false)
        .expect("a whole token is a token")
}

/// Profiles and their keys, or nothing.
async fn read(text: &str, keys: &[String]) -> Value {
    let files =
        EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Credentials, text).build();
    let source = load(&Env::from_slice(&[]), &Fs::from_slice(&[]), &files).await;
    let Some(sections) = source.ok().and_then(|source| EnvConfigSections::parse(source).ok())
    else {
        return Value::Null;
    };
    let profile = |name: &str| {
        let profile = sections.get_profile(name);
        let get = |key: &String| Some((key.clone(), profile?.get(key)?.into()));
        (name.to_owned(), keys.iter().filter_map(get).collect::<Map<_, Value>>().into())
    };
    sections.profiles().map(profile).collect::<Map<_, Value>>().into()
}
