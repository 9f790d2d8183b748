//! Which credentials `rolekeeper advise` would say that an SDK takes: for each line, a JSON object with
//! the SDK's name and the variables, the end of the access key, or why there is none.

use std::collections::BTreeMap;
use std::io;

use rolekeeper::host::accounts::own_uid;
use rolekeeper::programs::at_rest;
use rolekeeper::pure::chain::{Found, Sdk, walk};
use rolekeeper::pure::unit_settings::UnitSettings;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    sdk: String,
    environment: BTreeMap<String, String>,
}

fn main() {
    for line in io::stdin().lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(case) => println!("{}", judge(&case)),
            Err(error) => println!("{}", json!({ "error": error.to_string() })),
        }
    }
}

fn judge(case: &Case) -> Value {
    let Ok(sdk) = case.sdk.parse::<Sdk>() else { return json!({ "error": "no such SDK" }) };
    let environment = case.environment.clone().into_iter().collect();
    let user = Some(own_uid().to_string());
    let settings = UnitSettings { environment, user, ..UnitSettings::default() };
    let Ok(program) = at_rest(&settings) else { return json!({ "error": "no root directory" }) };
    let walk = walk(sdk, &program.surroundings(sdk));
    match (walk.used(), walk.end()) {
        (Some(found), _) => taken(found),
        (None, why) => json!({ "error": why.unwrap_or("it finds none") }),
    }
}

/// As the test's endpoints and files name their keys.
fn taken(found: &Found) -> Value {
    let end = |text: &str| json!({ "key": text[text.len().saturating_sub(4)..] });
    match found {
        Found::AssumedRole { base } => match taken(base)["key"].as_str() {
            Some(key) => json!({ "key": format!("role {}", key.trim_start_matches("role ")) }),
            None => taken(base),
        },
        Found::EnvironmentKeys { access_key, .. } | Found::FileKeys { access_key, .. } => {
            end(&access_key.suffix)
        }
        Found::WebIdentity { token_file } => end(token_file),
        Found::Process(process) => end(&process.program),
        Found::Container(address) => end(&address.path),
        Found::Metadata { address, configured: true, .. } => match address.port {
            80 => json!({ "error": "nobody answers" }),
            _ => json!({ "key": "META" }),
        },
        Found::Metadata { .. } => json!({ "error": "nobody answers" }),
        other => json!({ "error": other.describe() }),
    }
}
