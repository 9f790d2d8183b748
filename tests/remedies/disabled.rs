//! Remedies about a target or a consumer that is disabled: the mistake is mended and the settings read again,
//! as it is said, and then it is served, and nobody else gets anything.

use std::fs;

use nix::unistd::getuid;
use rolekeeper::pure::advice::Exit;
use serde_json::json;

use crate::stage::Stage;
use crate::world::{World, assert_not_widened, edit};

/// Settings with a mistake, the remedy that it gets, and that remedy done by hand as far as the reload.
struct Case {
    tables: String,
    remedy: String,
    mend: Box<dyn Fn(&Stage)>,
}

/// One that is mended in the settings' text.
fn case(tables: &str, remedy: &str, old: &'static str, new: &str) -> Case {
    let new = new.to_owned();
    let mend = move |stage: &Stage| edit(&stage.path("rolekeeper.toml"), old, &new);
    Case { tables: tables.to_owned(), remedy: remedy.to_owned(), mend: Box::new(mend) }
}

/// One that is mended in the policy that it names.
fn of_policy(stage: &Stage, text: &str, verb: &str) -> Case {
    let path = stage.path(text);
    let role = "role_arn = \"arn:aws:iam::000000000000:role/Nightly\"";
    let mend = |path: std::path::PathBuf| {
        const POLICY: &str =
            r#"{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#;
        move |_: &Stage| fs::write(&path, POLICY).unwrap()
    };
    Case {
        tables: stage.target(
            "a",
            &stage.path("run/a"),
            &format!("mode = \"0600\"\n{role}\nsession_policy = {path:?}"),
        ),
        remedy: format!("{verb} {}, then rolekeeper reload", path.display()),
        mend: Box::new(mend(path)),
    }
}

fn cases(stage: &Stage) -> Vec<Case> {
    let own = getuid().to_string();
    let consumer = |more: &str| format!("[[consumer]]\nname = \"web\"\n{more}\n");
    let user = format!("users = [\"{own}\"]\n");
    let target = |name: &str, file: &str, more: &str| {
        stage.target(name, &stage.path("run").join(file), &format!("mode = \"0600\"\n{more}\n"))
    };
    let token = format!(
        "[endpoint.container]\nlisten = \"127.0.0.1:0\"\n{}",
        consumer(&format!(
            "{user}mode = \"0600\"\ntoken_file = {:?}",
            stage.path("run/credentials")
        ))
    );
    fs::write(stage.path("damaged.json"), "{").unwrap();
    vec![
        case(
            &consumer("users = [\"no-such-user\"]"),
            "create the user, or name another in the settings; then rolekeeper reload",
            "no-such-user",
            &own,
        ),
        case(
            &consumer("groups = [\"no-such-group\"]"),
            "create the group, or name another in the settings; then rolekeeper reload",
            "groups = [\"no-such-group\"]",
            &user,
        ),
        case(
            &consumer(&format!("{user}target = \"x\"")),
            "name a [[target]] of the settings that is not disabled, or none; then rolekeeper reload",
            "target = \"x\"",
            "",
        ),
        case(
            &token,
            "give its token_file another path, then rolekeeper reload",
            "run/credentials",
            "run/web.token",
        ),
        case(
            &(target("a", "a", "") + &target("a", "b", "").replace("= \"a\"", "=  \"a\"")),
            "give one of them another name, or remove it; then rolekeeper reload",
            "name =  \"a\"",
            "name = \"b\"",
        ),
        case(
            &(target("a", "a", "") + &target("b", "a", "profile = \"default\"")),
            "change one of the two, then rolekeeper reload",
            "profile = \"default\"",
            "profile = \"other\"",
        ),
        case(
            &target("a", "a", "").replace("0600", "0999"),
            "mend that line, then rolekeeper reload",
            "0999",
            "0600",
        ),
        of_policy(stage, "missing.json", "let the service's user read a policy in"),
        of_policy(stage, "damaged.json", "mend the policy in"),
    ]
}

#[test]
fn what_is_disabled_is_served_once_its_mistake_is_mended_and_the_settings_are_read() {
    let mut world = World::working();
    let before = world.rights();
    for Case { tables, remedy, mend } in cases(&world.stage) {
        world.stage.settings(&tables);
        let (message, said) = world.stage.refused(&["reload"], Exit::Configuration);
        assert_eq!(said, remedy, "{message}");
        assert_eq!(world.stage.status()["disabled"][0]["remedy"], remedy.as_str());
        mend(&world.stage);
        assert_eq!(world.carry_out(&said), ["rolekeeper reload"]);
        assert_eq!(world.stage.status()["disabled"], json!([]), "{remedy}");
    }
    // The policies are no secret.
    assert_not_widened(&before, &world.rights(), &[".json"]);
}
