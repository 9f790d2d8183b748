//! Settings with mistakes, and the real daemon: what is wrong with one target or consumer is that
//! one's, and what is wrong with the rest leaves the last good settings in force.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command as Process;

use nix::unistd::getuid;
use rolekeeper::config::Settings;
use rolekeeper::control::{self, Command, ControlError, Reply};
use rolekeeper::daemon::Rules;
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::lab::operation::Operation::RequestManagedInstanceRoleToken;
use rolekeeper::lab::service::Service;
use rolekeeper::pure::advice::Exit;
use rolekeeper::shelf::Status;
use serde_json::{Value, json};
use stage::{Daemon, NOBODY, Stage, is_root, printed, refusal, wait_for};
use tokio::runtime;
use toml::{Table, Value as Toml};

/// A role that the registered one may assume.
const ROLE: &str = "arn:aws:iam::000000000000:role/Backup";

const ROLES: &str = r#"
[[role]]
name = "Rehearsal"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
    "Principal": {"Service": "ssm.amazonaws.com"}}}'''
policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}}'''

[[role]]
name = "Backup"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*",
    "Principal": {"AWS": "arn:aws:iam::000000000000:role/Rehearsal"}}}'''
"#;

/// A user that no good rule names.
const VICTIM: &str = "64991";

/// No setting has this value: it is no name, no path, no duration and no ARN.
const NONSENSE: &str = "\u{1} /no/such/../thing";

/// A key that no table has.
const UNKNOWN: &str = "x-odd";

/// Where a setting stands: the tables that lead to it, and its key.
type Place = Vec<String>;

/// Every setting that the program knows, by its own word: it names the keys that it expects.
fn schema() -> BTreeSet<Place> {
    let (mut settings, mut tables) = (BTreeSet::new(), vec![Vec::<String>::new()]);
    while let Some(table) = tables.pop() {
        let Some(keys) = expected_in(&table) else {
            settings.insert(table);
            continue;
        };
        tables.extend(keys.into_iter().map(|key| [table.clone(), vec![key]].concat()));
    }
    settings
}

/// The keys of a table; none of what is no table.
fn expected_in(table: &[String]) -> Option<Vec<String>> {
    let header = match table {
        [] => String::new(),
        [kind] if is_repeated(kind) => format!("[[{kind}]]\n"),
        [kind, ..] if is_repeated(kind) => format!("[[{kind}]]\n[{}]\n", table.join(".")),
        _ => format!("[{}]\n", table.join(".")),
    };
    let complaint = complaint(&format!("{header}{UNKNOWN} = 1\n"));
    let (_, keys) = complaint.split_once(&format!("unknown field `{UNKNOWN}`, expected "))?;
    Some(keys.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

fn is_repeated(kind: &str) -> bool {
    ["target", "consumer"].contains(&kind)
}

/// The first thing that is wrong with a settings file.
fn complaint(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.toml");
    fs::write(&file, text).unwrap();
    match Settings::load(Some(&file)) {
        Err(error) => error.to_string(),
        Ok(settings) => settings.disabled().map(|it| it.error.clone()).collect(),
    }
}

/// Every setting of the example, switched on.
fn example() -> BTreeSet<Place> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/rolekeeper.toml");
    let text = fs::read_to_string(path).unwrap();
    let switched_on = text.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    let table = switched_on.collect::<Vec<_>>().join("\n").parse::<Table>().unwrap();
    let mut settings = BTreeSet::new();
    collect(&Toml::Table(table), &[], &mut settings);
    settings
}

fn collect(value: &Toml, place: &[String], settings: &mut BTreeSet<Place>) {
    match value {
        // Their keys are the operator's.
        Toml::Table(table) if place.last().is_none_or(|key| key != "tags") => {
            for (key, value) in table {
                collect(value, &[place, std::slice::from_ref(key)].concat(), settings);
            }
        }
        Toml::Array(tables) if place.len() == 1 => {
            tables.iter().for_each(|table| collect(table, place, settings));
        }
        _ => {
            settings.insert(place.to_vec());
        }
    }
}

/// Values that a setting cannot have, whichever it is, and those that only it cannot.
fn broken_values(key: &str) -> Vec<Toml> {
    let mut odd = Table::new();
    odd.insert("odd".to_owned(), Toml::Integer(1));
    let mut values = vec![Toml::Table(odd), Toml::String(NONSENSE.to_owned())];
    match key {
        "owner" | "group" => values.push("no-such-account".into()),
        "users" | "groups" => values.push(vec!["no-such-account"].into()),
        "session_policy" => values.push("/no/such/policy.json".into()),
        "target" => values.push("no-such-target".into()),
        _ => {}
    }
    values
}

/// A target or a consumer that would be served but for this setting.
fn victim(stage: &Stage, name: &str, place: &[String], value: Toml) -> String {
    let (kind, key) = (place[0].as_str(), place[1].as_str());
    let mut table = Table::new();
    table.insert("name".to_owned(), name.into());
    let role_keys =
        ["session_", "external_id", "source_identity", "tags", "transitive", "duration"];
    if role_keys.iter().any(|role_key| key.starts_with(role_key)) {
        table.insert("role_arn".to_owned(), ROLE.into());
    }
    let path = stage.path("own").join(name).display().to_string();
    if kind == "target" {
        table.insert("path".to_owned(), path.into());
    } else {
        table.insert("users".to_owned(), vec![VICTIM].into());
        if ["owner", "group", "mode"].contains(&key) {
            table.insert("token_file".to_owned(), path.into());
        }
        if key == "groups" {
            table.remove("users");
        }
    }
    match place {
        [_, _, inner] => {
            let mut nested = Table::new();
            nested.insert("unit".to_owned(), "victim.service".into());
            nested.insert(inner.clone(), value);
            table.insert(key.to_owned(), Toml::Table(nested));
        }
        _ => {
            table.insert(key.to_owned(), value);
        }
    }
    let mut file = Table::new();
    file.insert(kind.to_owned(), Toml::Array(vec![Toml::Table(table)]));
    toml::to_string(&file).unwrap()
}

/// Those who are to be served whatever is wrong with others.
fn good(stage: &Stage) -> String {
    let own = |name: &str| stage.path("own").join(name).display().to_string();
    format!(
        "[endpoint.container]\nlisten = \"127.0.0.1:0\"\n\
         [[target]]\nname = \"alpha\"\npath = \"{}\"\n\
         [[target]]\nname = \"beta\"\npath = \"{}\"\nrole_arn = \"{ROLE}\"\n\
         [[consumer]]\nname = \"gamma\"\nusers = [\"{NOBODY}\"]\ntoken_file = \"{}\"\n\
         [[consumer]]\nname = \"delta\"\nusers = [\"{}\"]\nrole_arn = \"{ROLE}\"\n\
         [[consumer]]\nname = \"epsilon\"\nusers = [\"{}\"]\ntarget = \"beta\"\n",
        own("alpha"),
        own("beta"),
        own("gamma.token"),
        getuid(),
        getuid()
    )
}

fn set() -> Stage {
    let stage = Stage::set();
    let apply = |service: &mut Service| {
        Definitions::from_toml(ROLES).unwrap().apply(service, &SystemEntropy)
    };
    stage.lab.with_service(apply).unwrap();
    fs::create_dir(stage.path("own")).unwrap();
    stage.settings(&good(&stage));
    stage
}

/// Everybody of `good`, in every way.
fn assert_served(stage: &Stage) {
    for name in ["beta", "delta"] {
        stage.status_when("the role's credentials", |status| {
            let lists = ["targets", "consumers"].map(|list| status[list].as_array().cloned());
            let mut all = lists.into_iter().flatten().flatten();
            all.any(|it| it["name"] == name && it["credentials"].is_object())
        });
    }
    for file in [stage.credentials(), stage.path("own/alpha"), stage.path("own/beta")] {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("aws_session_token"), "{}: {text}", file.display());
    }
    for name in ["default", "alpha", "beta", "gamma", "delta", "epsilon"] {
        stage.succeed(&["credential-process", "--target", name]);
    }
    if is_root() {
        // By its rule, and not by root's right.
        printed(stage.command_of_nobody(&["credential-process"]).output().unwrap());
    }
    let token = fs::read_to_string(stage.path("own/gamma.token")).unwrap();
    let address = stage.status()["endpoints"][0]["address"].as_str().unwrap().to_owned();
    let mut curl = Process::new("curl");
    curl.args(["-sf", "-H", &format!("Authorization: {token}")]);
    curl.arg(format!("http://{address}/credentials/gamma"));
    assert!(printed(curl.output().unwrap()).contains("AccessKeyId"));
}

/// Asks the daemon without a process of its own.
fn ask(stage: &Stage, command: &Command) -> Result<Reply, ControlError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(control::ask(&stage.path("run"), command))
}

fn reload(stage: &Stage) -> Result<(), (String, u8)> {
    match ask(stage, &Command::Reload) {
        Ok(_) => Ok(()),
        Err(ControlError::Refused(complaint)) => Err((complaint.message, complaint.exit)),
        Err(error) => panic!("{error}"),
    }
}

fn status(stage: &Stage) -> Status {
    match ask(stage, &Command::Status).unwrap() {
        Reply::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_example_has_every_setting_that_the_program_knows() {
    let (schema, mut example) = (schema(), example());
    assert!(schema.len() > 55, "{schema:?}");
    // A consumer's role is asked for by the keys of a target, as the example says.
    let of_a_role = ["duration", "external_id", "role_chain", "session_name", "session_policy"];
    let others = ["session_policy_arns", "source_identity", "tags", "transitive_tags"];
    for key in of_a_role.into_iter().chain(others) {
        assert!(example.contains(&["target", key].map(str::to_owned)[..]), "{key}");
        example.insert(["consumer", key].map(str::to_owned).to_vec());
    }
    assert_eq!(schema, example);
}

#[test]
fn each_mistake_in_a_target_or_a_consumer_is_that_ones_alone() {
    let stage = set();
    let (_, mut daemon) = stage.start_registered();
    assert_served(&stage);
    let places = schema().into_iter().filter(|place| is_repeated(&place[0]));
    let (mut victims, mut count) = (String::new(), 0);
    for place in places {
        let key = place.last().unwrap();
        let ways = broken_values(key).into_iter().map(|value| (place.clone(), value));
        let misspelt = [place[..place.len() - 1].to_vec(), vec![format!("{key}x")]].concat();
        for (place, value) in ways.chain([(misspelt, 1.into())]) {
            let table = victim(&stage, &format!("victim-{count}"), &place, value);
            // On its own it is the one that is disabled.
            let alone = stage.path("alone.toml");
            fs::write(&alone, format!("{}{table}", good(&stage))).unwrap();
            let settings = Settings::load(Some(&alone)).unwrap();
            let disabled = Rules::read(&settings, &stage.path("run")).disabled;
            assert_eq!(disabled.len(), 1, "{table}: {disabled:?}");
            assert!(disabled[0].place.contains("alone.toml:"), "{disabled:?}");
            let named = disabled[0].name.as_deref();
            assert!(named.is_none_or(|name| name.starts_with("victim")), "{disabled:?}");
            victims += &table;
            count += 1;
        }
    }
    assert!(count > 100, "{count} mistakes");

    // All of them at once, in front of those who are served.
    let before = stage.requests(RequestManagedInstanceRoleToken);
    let text = format!("{victims}{}", good(&stage).replace("[endpoint", "\n[endpoint"));
    stage.settings(&text);
    let output = stage.run(&["reload"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(Exit::Configuration as i32), "{error}");
    assert!(error.contains(&format!("and {} more", count - 1)), "{error}");
    let listed = String::from_utf8_lossy(&output.stdout).matches("\n  try: ").count();
    assert_eq!(listed, count);
    wait_for("a request", || {
        let requests = stage.requests(RequestManagedInstanceRoleToken);
        if requests > before { Ok(()) } else { Err(daemon.log()) }
    });
    assert_eq!(status(&stage).disabled.len(), count);
    assert_served(&stage);
    let page = stage.run(&["config", "check"]);
    assert_eq!(page.status.code(), Some(Exit::Configuration as i32));
    assert_eq!(String::from_utf8_lossy(&page.stdout).matches("\n  try: ").count(), count);

    daemon.stop();
    let daemon = stage.start();
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    assert_eq!(status(&stage).disabled.len(), count);
    assert_served(&stage);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());

    stage.settings(&good(&stage));
    assert_eq!(stage.succeed(&["reload"]), "settings reloaded\n");
    assert_eq!(stage.status()["disabled"], json!([]));
    daemon.logged("mended: ");
}

#[test]
fn each_mistake_in_the_rest_leaves_the_last_good_settings_in_force() {
    let stage = set();
    let (_, mut daemon) = stage.start_registered();
    let good_file = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let good_file = good_file.parse::<Table>().unwrap();
    let files = schema().into_iter().filter(|place| !is_repeated(&place[0]));
    let mut last = String::new();
    for place in files {
        let key = place.last().unwrap();
        for value in broken_values(key).into_iter().chain([Toml::Datetime(date())]) {
            let mut file = good_file.clone();
            let mut table = &mut file;
            for name in &place[..place.len() - 1] {
                let entry = table.entry(name.clone()).or_insert(Toml::Table(Table::new()));
                table = entry.as_table_mut().unwrap();
            }
            table.insert(key.clone(), value);
            last = toml::to_string(&file).unwrap();
            fs::write(stage.path("rolekeeper.toml"), &last).unwrap();
            let (message, exit) = reload(&stage).expect_err(&last);
            assert_eq!(exit, Exit::Configuration as u8, "{message}\n{last}");
            assert!(message.contains("rolekeeper.toml:"), "{message}");
            let status = status(&stage);
            assert_eq!(status.settings.unwrap().error, message);
            assert_eq!((status.disabled.len(), status.targets.len()), (0, 3), "{last}");
        }
    }
    assert_served(&stage);
    let shown = stage.run(&["status"]);
    assert_eq!(shown.status.code(), Some(Exit::Configuration as i32));
    let page = String::from_utf8(shown.stdout).unwrap();
    assert!(page.contains("settings     NOT IN FORCE, the last good ones are: "), "{page}");
    let doctor = stage.run(&["doctor", "--json"]);
    let checks = serde_json::from_slice::<Value>(&doctor.stdout).unwrap();
    assert_eq!(checks[0]["verdict"], "wrong", "{checks}");

    // After a start, too, whatever is wrong.
    for broken in [Some(last.as_str()), Some("[service"), Some("\u{0}"), None] {
        daemon.stop();
        match broken {
            Some(text) => fs::write(stage.path("rolekeeper.toml"), text).unwrap(),
            None => fs::remove_file(stage.path("rolekeeper.toml")).unwrap(),
        }
        daemon = stage.start();
        let status = stage.status_when("fresh credentials", |it| it["state"] == "fresh");
        assert!(status["settings"]["error"].to_string().contains("rolekeeper.toml"), "{status}");
        assert!(daemon.logged("the last good settings are in force").contains("ERROR"));
        assert_served(&stage);
    }
    stage.settings(&good(&stage));
    assert_eq!(stage.succeed(&["reload"]), "settings reloaded\n");
    assert_eq!(stage.status()["settings"], Value::Null);
    assert_served(&stage);
}

/// The settings of one place and value, beside those of the stage.
fn with(stage: &Stage, place: &[String], value: Toml) -> String {
    stage.settings("");
    let text = fs::read_to_string(stage.path("rolekeeper.toml")).unwrap();
    let mut file = text.parse::<Table>().unwrap();
    let mut table = &mut file;
    for name in &place[..place.len() - 1] {
        let entry = table.entry(name.clone()).or_insert(Toml::Table(Table::new()));
        table = entry.as_table_mut().unwrap();
    }
    table.insert(place.last().unwrap().clone(), value);
    toml::to_string(&file).unwrap()
}

/// The value that the example shows for a setting.
fn example_value(place: &[String]) -> Toml {
    let text = include_str!("../packaging/rolekeeper.toml");
    let key = place.last().unwrap();
    let mut section = String::new();
    for line in text.lines().map(|line| line.strip_prefix('#').unwrap_or(line)) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        }
        if section == place[..place.len() - 1].join(".") && line.starts_with(&format!("{key} = ")) {
            return line.parse::<Table>().unwrap()[key].clone();
        }
    }
    panic!("no example of {place:?}");
}

#[test]
fn what_a_check_refuses_a_start_refuses_with_the_same_words_and_what_it_accepts_starts() {
    let stage = Stage::set();
    let file = stage.path("rolekeeper.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        stage.run(&["config", "check", "--as-me"])
    };
    let assert_neither = |text: &str| {
        let said = refusal(&check(text), Exit::Configuration);
        assert_eq!(stage.refused(&["run"], Exit::Configuration), said, "{text}");
    };
    for place in schema().into_iter().filter(|place| !is_repeated(&place[0])) {
        for value in broken_values(place.last().unwrap()) {
            assert_neither(&with(&stage, &place, value));
        }
        let text = with(&stage, &place, example_value(&place));
        let output = check(&text);
        if place.last().unwrap() == "ca_bundle" && !output.status.success() {
            // This machine has none there.
            assert_neither(&text);
            continue;
        }
        assert!(printed(output).ends_with(": ok\n"), "{text}");
        let mut daemon = stage.start();
        stage.status_when("an answer", |status| status["state"].is_string());
        assert!(daemon.stop().success(), "{text}: {}", daemon.log());
    }
    for text in [
        "[service",
        "[target]\nname = \"a\"\n",
        "[refresh]\ninterval = \"30s\"\n",
        "[endpoint.imds]\nlisten = \"127.0.0.1:1\"\n[endpoint.container]\nlisten = \"127.0.0.1:1\"\n",
        // It would ask itself.
        "[identity]\nsource = \"instance-metadata\"\nmetadata_endpoint_url = \"http://127.0.0.1:9\"\n\
         [endpoint.imds]\nlisten = \"127.0.0.1:9\"\n",
        "[identity]\nsource = \"container\"\ncontainer_credentials_url = \"http://127.0.0.1:9/x\"\n\
         [endpoint.container]\nlisten = \"127.0.0.1:9\"\n",
    ] {
        assert_neither(text);
    }
}

/// Where anything is written, each of the daemon's files and each file of others.
#[test]
fn no_path_of_the_settings_costs_a_file_that_is_not_for_it() {
    let stage = set();
    let own = |name: &str| stage.path("own").join(name);
    let (_, mut daemon) = stage.start_registered();
    assert_served(&stage);
    fs::write(own("text"), "an administrator's\n").unwrap();
    fs::write(own("settings.ini"), "[default]\nregion = x\n[default]\n").unwrap();
    fs::create_dir(own("directory")).unwrap();
    nix::unistd::mkfifo(&own("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink(own("text"), own("symlink")).unwrap();
    std::os::unix::fs::symlink(stage.path("run"), own("run")).unwrap();
    let vault = ["RegistrationKey", "InstanceFingerprint", "StagedKey", "lock"];
    let kept = vault.map(|name| stage.path("state/vault").join(name)).into_iter();
    let state = ["settings.json", "deliveries.json"].map(|name| stage.path("state").join(name));
    let run = ["control.sock", "credentials.sock", "consumers.sock", "role-token", "reloads.json"];
    let run = run.map(|name| stage.path("run").join(name)).into_iter();
    let linked = ["control.sock", "role-token"].map(|name| own("run").join(name));
    let tokens = [stage.path("run/bearer-tokens.json"), stage.path("rolekeeper.toml")];
    let refused = kept.chain(state).chain(run).chain(linked).chain(tokens).collect::<Vec<_>>();
    let foreign = ["text", "settings.ini", "directory", "fifo", "symlink"].map(own);
    let mut text = good(&stage);
    let consumer = |name: &str, path: &Path| {
        let path = path.display();
        format!(
            "[[consumer]]\nname = \"{name}\"\nusers = [\"{VICTIM}\"]\ntoken_file = \"{path}\"\n"
        )
    };
    for (number, path) in refused.iter().chain(&foreign).enumerate() {
        text += &stage.target(&format!("target-{number}"), path, "profile = \"x\"");
        // One file is one table's.
        if number < refused.len() {
            text += &consumer(&format!("consumer-{number}"), path);
        }
    }
    for (number, path) in [own("alpha"), own("gamma.token")].iter().enumerate() {
        text += &consumer(&format!("taken-{number}"), path);
    }
    stage.settings(&text);
    let look = |path: &Path| {
        let found = fs::symlink_metadata(path).ok();
        let content = found.as_ref().filter(|it| it.is_file()).map(|_| fs::read(path).unwrap());
        (found.map(|found| found.file_type()), content)
    };
    let is_steady = |path: &&std::path::PathBuf| {
        // Its records, its lock and the copy of the settings are the daemon's to change.
        ![
            "lock",
            "settings.json",
            "deliveries.json",
            "role-token",
            "bearer-tokens.json",
            "reloads.json",
        ]
        .contains(&path.file_name().unwrap().to_str().unwrap())
    };
    let steady = refused.iter().chain(&foreign).filter(is_steady).collect::<Vec<_>>();
    let before = steady.iter().map(|path| look(path)).collect::<Vec<_>>();
    let assert_untouched = || {
        let after = steady.iter().map(|path| look(path)).collect::<Vec<_>>();
        for ((path, after), before) in steady.iter().zip(&after).zip(&before) {
            assert!(after == before, "{}", path.display());
        }
        let json = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap());
        json(&stage.path("state/settings.json")).unwrap();
        json(&stage.path("run/bearer-tokens.json")).unwrap();
    };
    let output = stage.run(&["config", "check", "--as-me"]);
    assert_eq!(output.status.code(), Some(Exit::Configuration as i32));
    let page = String::from_utf8(output.stdout).unwrap();
    let count = refused.len() * 2 + 2;
    assert_eq!(page.matches("\n  try: ").count(), count, "{page}");
    reload(&stage).unwrap_err();
    stage.run(&["refresh"]);
    assert_eq!(status(&stage).disabled.len(), count);
    assert_untouched();
    // Foreign ones are left alone by the writer, which says so.
    let shown = stage.status();
    let targets = shown["targets"].as_array().unwrap();
    let errors = targets.iter().filter(|it| it["error"].is_string()).count();
    assert_eq!(errors, foreign.len(), "{shown}");
    assert_served(&stage);
    daemon.stop();
    let _daemon = stage.start();
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    assert_untouched();
    // Nothing is removed either, once no setting names it; as token files, too.
    let more = foreign.iter().enumerate();
    let more = more.map(|(number, path)| consumer(&format!("foreign-{number}"), path));
    stage.settings(&(good(&stage) + &more.collect::<String>()));
    reload(&stage).unwrap_err();
    stage.settings(&good(&stage));
    let steady_text = fs::read(stage.path("rolekeeper.toml")).unwrap();
    reload(&stage).unwrap();
    assert_served(&stage);
    assert_eq!(fs::read(stage.path("rolekeeper.toml")).unwrap(), steady_text);
    for (path, (kind, content)) in steady.iter().zip(&before) {
        if !path.ends_with("rolekeeper.toml") {
            assert!(look(path) == (*kind, content.clone()), "{}", path.display());
        }
    }
}

/// The directory of drop-ins, which is at one place: in a mount namespace of its own.
#[test]
fn drop_ins_are_merged_key_by_key_and_taken_back() {
    if !is_root() {
        return eprintln!("skipped: only root can put another directory in the place of /etc");
    }
    let stage = Stage::set();
    let etc = stage.path("etc");
    fs::create_dir_all(etc.join("rolekeeper/conf.d")).unwrap();
    fs::write(etc.join("passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    fs::write(etc.join("group"), "root:x:0:\n").unwrap();
    let write =
        |name: &str, text: &str| fs::write(etc.join("rolekeeper").join(name), text).unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = Process::new("unshare");
        let script = "mount --bind \"$1\" /etc && shift && exec \"$@\"";
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(&etc).arg(stage.open_binary());
        command.arg("--state-dir").arg(stage.path("state"));
        command.arg("--runtime-dir").arg(stage.path("run"));
        command.args(arguments).output().unwrap()
    };
    let role = format!("role_arn = \"{ROLE}\"\n");
    let path = stage.path("run/a");
    write("rolekeeper.toml", &stage.target("a", &path, &role));
    write("conf.d/50-mode.toml", "[[target]]\nname = \"a\"\nmode = \"0644\"\n");
    write("conf.d/.hidden.toml", "nonsense");
    std::os::unix::fs::symlink("me@host.1:2", etc.join("rolekeeper/conf.d/.#x.toml")).unwrap();
    let shown = printed(ask(&["config", "show"]));
    for (line, origin) in
        [("role_arn = ", "rolekeeper.toml:4"), ("mode = \"0644\"", "conf.d/50-mode.toml:3")]
    {
        let found = shown.lines().find(|it| it.starts_with(line) && !it.ends_with("default"));
        assert!(found.is_some_and(|it| it.ends_with(origin)), "{shown}");
    }
    printed(ask(&["config", "check"]));
    write("conf.d/60-none.toml", "[[target]]\nname = \"a\"\nrole_arn = \"\"\n");
    assert!(!printed(ask(&["config", "show"])).contains("role_arn"));
    // What is wrong in a drop-in is said of it, and the remedy looks at all of them.
    write("conf.d/60-none.toml", "[[target]]\nname = \"a\"\nmode = \"0666\"\n");
    let (message, _) = refusal(&ask(&["config", "check"]), Exit::Configuration);
    assert!(
        message.starts_with("/etc/rolekeeper/conf.d/60-none.toml:3:8: target 'a': "),
        "{message}"
    );
    write("conf.d/60-none.toml", "[refresh]\nx = 1\n");
    let (_, remedy) = refusal(&ask(&["config", "check"]), Exit::Configuration);
    assert_eq!(remedy, "mend that line, then `rolekeeper config check`");
    fs::remove_file(etc.join("rolekeeper/conf.d/60-none.toml")).unwrap();
    std::os::unix::fs::symlink("nowhere", etc.join("rolekeeper/conf.d/60-none.toml")).unwrap();
    let (message, remedy) = refusal(&ask(&["config", "check"]), Exit::Configuration);
    assert!(message.ends_with("60-none.toml: this is a link to nothing"), "{message}");
    assert!(remedy.contains("60-none.toml"), "{remedy}");
}

fn date() -> toml::value::Datetime {
    "1979-05-27".parse().unwrap()
}

#[test]
fn without_a_copy_a_start_with_unusable_settings_is_refused() {
    let stage = set();
    stage.register();
    fs::write(stage.path("rolekeeper.toml"), "[service").unwrap();
    stage.refused(&["run"], Exit::Configuration);
    // One that others could have written is none.
    stage.settings("");
    let mut daemon = stage.start();
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    let copy = stage.path("state/settings.json");
    wait_for("a copy", || fs::metadata(&copy).map_err(|error| error.to_string()));
    assert_eq!(stage::mode(&copy), 0o600);
    daemon.stop();
    fs::write(stage.path("rolekeeper.toml"), "[service").unwrap();
    stage::allow(&copy, 0o666);
    let before = fs::read(stage.credentials()).unwrap();
    let output = stage.run(&["run"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(Exit::Configuration as i32), "{error}");
    assert!(error.contains("settings.json: is not this user's own"), "{error}");
    assert_eq!(fs::read(stage.credentials()).unwrap(), before, "they are valid still");
}

/// A certificate bundle that is gone would end the next start, and nobody would have been warned.
#[test]
fn a_certificate_bundle_that_is_gone_is_found_before_a_start() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    let text = "[service]\nca_bundle = \"/no/such.pem\"\n[health]\nenabled = false\n";
    fs::write(stage.path("rolekeeper.toml"), text).unwrap();
    let (message, _) = stage.refused(&["config", "check"], Exit::Configuration);
    assert!(message.contains("/no/such.pem"), "{message}");
    let (message, _) = stage.refused(&["reload"], Exit::Configuration);
    assert!(message.contains("/no/such.pem"), "{message}");
    daemon.logged("the settings stay as they were");
}

#[test]
fn the_default_target_stays_unless_it_is_switched_off() {
    let stage = set();
    let (_, _daemon) = stage.start_registered();
    let names = || {
        let targets = stage.status()["targets"].as_array().cloned().unwrap();
        targets.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["default", "alpha", "beta"]);
    let shown = stage.succeed(&["config", "show"]);
    let line = format!("path = \"{}\"", stage.credentials().display());
    assert!(shown.contains(&line) && shown.contains("# default\n"), "{shown}");
    // Another target of its name, or in its place, is instead of it.
    for (name, path) in [("default", stage.path("own/x")), ("mine", stage.credentials())] {
        stage.settings(&stage.target(name, &path, ""));
        stage.succeed(&["reload"]);
        assert_eq!(names(), [name]);
    }
    // One in its place that is disabled leaves the place empty: its readers get no wider role.
    let before = fs::read_to_string(stage.credentials()).unwrap();
    stage.settings(&stage.target("mine", &stage.credentials(), "typo = 1"));
    stage.refused(&["reload"], Exit::Configuration);
    assert_eq!(names(), Vec::<String>::new());
    assert_eq!(fs::read_to_string(stage.credentials()).unwrap(), before);
    // A consumer of its name would be served what is the default target's.
    stage.settings("[[consumer]]\nname = \"default\"\nusers = [\"0\"]\n");
    let (message, _) = stage.refused(&["reload"], Exit::Configuration);
    assert!(message.contains("the name of the default target"), "{message}");
    // Beside another profile of its file it is what that one says.
    stage.settings(&stage.target("mine", &stage.credentials(), "profile = \"x\"\nmode = \"0600\""));
    stage.succeed(&["reload"]);
    assert_eq!(names(), ["default", "mine"]);
    assert_eq!(stage::mode(&stage.credentials()), 0o600);
    stage.settings("[targets]\ndefault = false\n");
    stage.succeed(&["reload"]);
    assert_eq!(names(), Vec::<String>::new());
    assert!(!fs::read_to_string(stage.credentials()).unwrap().contains("aws_"));
}

#[test]
fn a_disabled_targets_file_is_left_and_a_disabled_consumers_user_gets_nothing_else() {
    let stage = set();
    let (_, mut daemon) = stage.start_registered();
    assert_served(&stage);
    let files = ["own/alpha", "own/beta"].map(|file| stage.path(file));
    let before = files.clone().map(|file| fs::read_to_string(file).unwrap());
    let everyone = "[targets]\ndefault = false\n[[target]]\nname = \"open\"\nmode = \"0644\"\n";
    let everyone = format!("{everyone}path = \"{}\"\n", stage.path("own/open").display());
    let broken = good(&stage)
        .replace("name = \"alpha\"", "name = \"alpha\"\nowner = \"no-such-user\"")
        .replace("name = \"beta\"", "name = \"beta\"\nduration = \"2h\"")
        .replace("name = \"gamma\"", "name = \"gamma\"\nunits = \"web.service\"");
    stage.settings(&format!("{broken}{everyone}"));
    let (message, exit) = reload(&stage).unwrap_err();
    assert_eq!(exit, Exit::Configuration as u8, "{message}");
    // The default target was switched off, and has lost its keys; those that are disabled have not.
    assert!(!fs::read_to_string(stage.credentials()).unwrap().contains("aws_"));
    let after = files.clone().map(|file| fs::read_to_string(file).unwrap());
    assert_eq!(after, before);
    let names = status(&stage).disabled.into_iter().filter_map(|it| it.name).collect::<Vec<_>>();
    // Its consumer has nothing to be served from.
    assert_eq!(names, ["beta", "alpha", "gamma", "epsilon"]);
    if is_root() {
        // A file that everybody may read is no way round the rule that names it.
        let output = stage.command_of_nobody(&["credential-process"]).output().unwrap();
        let (message, remedy) = refusal(&output, Exit::Configuration);
        assert_eq!(message, "'gamma' is disabled by a mistake in the settings");
        assert!(remedy.contains("rolekeeper status"), "{remedy}");
        let open = ["credential-process", "--target", "open"];
        printed(stage.command_of_nobody(&open).output().unwrap());
        let other = stage.command_of(64_990, 64_990, &["credential-process"]).output();
        printed(other.unwrap());
    }
    daemon.stop();
    let _daemon = stage.start();
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    assert_eq!(files.clone().map(|file| fs::read_to_string(file).unwrap()), before);
    stage.settings(&good(&stage));
    stage.succeed(&["reload"]);
    assert_served(&stage);
    assert_ne!(fs::read_to_string(&files[0]).unwrap(), before[0]);
}

#[test]
fn a_disabled_target_refuses_whoever_its_file_was_for() {
    if !is_root() {
        eprintln!("skipped: it takes root to ask as others");
        return;
    }
    const GROUP: u32 = 64_991;
    let stage = set();
    let ops = format!("group = \"{GROUP}\"\n");
    let ops = stage.target("ops", &stage.path("own/ops"), &ops);
    let (public, narrow) = (stage.path("own/public"), stage.path("own/narrow"));
    let settings = |first: &str| format!("[targets]\ndefault = false\n{first}{ops}");
    let open = "mode = \"0644\"\n";
    stage.settings(&settings(&stage.target("public", &public, open)));
    let (_, _daemon) = stage.start_registered();
    let ask = |uid, gid| stage.command_of(uid, gid, &["credential-process"]).output().unwrap();
    printed(ask(64_990, GROUP));
    let own_group = nix::unistd::getegid().as_raw();
    for (name, first) in [
        ("public", stage.target("public", &public, &format!("{open}duration = \"2h\"\n"))),
        ("public", stage.target("public", &public, "mode = \"0666\"\n")),
        ("public", stage.target("public", &public, "mode = \"rw-r--r--\"\n")),
        ("public", stage.target("public", &public, "mdoe = \"0644\"\n")),
        ("narrow", stage.target("narrow", &narrow, "duration = \"2h\"\n")),
    ] {
        stage.settings(&settings(&first));
        reload(&stage).unwrap_err();
        let asking = if name == "narrow" { own_group } else { GROUP };
        let (message, _) = refusal(&ask(64_990, asking), Exit::Configuration);
        assert_eq!(
            message,
            format!("'{name}' is disabled by a mistake in the settings"),
            "{first}"
        );
        if name == "narrow" {
            // It was never for these.
            printed(ask(64_990, GROUP));
        }
    }
}

#[test]
fn a_policy_that_can_be_read_again_is_read_without_a_reload() {
    let stage = set();
    let policy = stage.path("policy.json");
    let role = format!("role_arn = \"{ROLE}\"\nsession_policy = \"policy.json\"");
    let target = stage.target("late", &stage.path("own/late"), &role);
    stage.settings(&(good(&stage) + &target));
    stage.register();
    let mut run = stage.command(&["run"]);
    // It looks again within half of this.
    run.env("WATCHDOG_USEC", "1000000");
    let _daemon = Daemon::start(run);
    let status = stage.status_when("a disabled target", |it| it["disabled"][0]["name"] == "late");
    assert!(status["disabled"][0]["error"].to_string().contains("policy.json"), "{status}");
    let text = r#"{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#;
    fs::write(policy, text).unwrap();
    stage.status_when("the target", |status| status["disabled"] == json!([]));
    wait_for("its file", || match fs::read_to_string(stage.path("own/late")) {
        Ok(text) if text.contains("aws_session_token") => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// Accounts that come and go, and a database that fails, under a daemon of an ordinary user: root may
/// read everything. In a mount namespace of its own, which only root can make.
#[test]
fn an_account_database_that_fails_costs_nobody_and_is_asked_again() {
    if !is_root() {
        return eprintln!("skipped: only root can put other files in the place of /etc/passwd");
    }
    let stage = Stage::set();
    let (passwd, switch) = (stage.path("passwd"), stage.path("nsswitch.conf"));
    let known = "root:x:0:0::/:/bin/sh\n";
    fs::write(&passwd, known).unwrap();
    fs::write(&switch, "passwd: files\ngroup: files\n").unwrap();
    stage.register();
    let everyone = stage.path("run/open").display().to_string();
    let rules = format!(
        "[[consumer]]\nname = \"late\"\nusers = [\"{NOBODY}\", \"late\"]\n\
         [[target]]\nname = \"open\"\npath = \"{everyone}\"\nmode = \"0644\"\n"
    );
    stage.settings(&rules);
    fs::create_dir(stage.path("run")).unwrap();
    for path in [stage.path("run"), stage.path("state"), stage.path("state/vault")] {
        chown(&path, Some(64_992), Some(64_992)).unwrap();
    }
    for entry in fs::read_dir(stage.path("state/vault")).unwrap() {
        chown(entry.unwrap().path(), Some(64_992), Some(64_992)).unwrap();
    }
    let run = stage.command_of(64_992, 64_992, &["run"]);
    let script = "mount --bind \"$1\" /etc/passwd && mount --bind \"$2\" /etc/nsswitch.conf && \
                  shift 2 && exec env WATCHDOG_USEC=1000000 setpriv --reuid 64992 --regid 64992 \
                  --clear-groups \"$@\"";
    let mut apart = Process::new("unshare");
    apart.args(["-m", "sh", "-c", script, "sh"]).arg(&passwd).arg(&switch);
    apart.arg(run.get_program()).args(run.get_args());
    let daemon = Daemon::start(apart);
    let status = stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    let error = status["disabled"][0]["error"].as_str().unwrap();
    assert!(error.starts_with("there is no user 'late'"), "{error}");
    assert!(error.ends_with("the others are served"), "{error}");
    let ask = |uid: u32| stage.command_of(uid, uid, &["credential-process"]).output().unwrap();
    printed(ask(NOBODY));
    printed(ask(64_993));
    assert!(daemon.logged("name=\"open\"").contains("uid=64993"));

    // It cannot be read: nobody knows who is meant, and so who is not.
    stage::allow(&passwd, 0o600);
    let (message, exit) = reload(&stage).unwrap_err();
    assert!(message.contains("'late' could not be looked up"), "{message}");
    assert_eq!(exit, Exit::Configuration as u8);
    printed(ask(NOBODY));
    let (message, _) = refusal(&ask(64_993), Exit::TryAgain);
    assert!(message.starts_with("whether a rule that comes first is for user 64993"), "{message}");
    let open = ["credential-process", "--target", "open"];
    printed(stage.command_of(64_993, 64_993, &open).output().unwrap());

    // An account that is made is served without a reload.
    fs::write(&passwd, format!("{known}late:x:64993:64993::/:/bin/sh\n")).unwrap();
    stage::allow(&passwd, 0o644);
    stage.status_when("the account", |status| status["disabled"] == json!([]));
    printed(ask(64_993));
    assert!(daemon.logged("name=\"late\" allowed_as=\"user\" uid=64993").contains("handed out"));
    // A failure does not forget it, and its end does.
    stage::allow(&passwd, 0o600);
    reload(&stage).unwrap();
    printed(ask(64_993));
    stage::allow(&passwd, 0o644);
    fs::write(&passwd, known).unwrap();
    reload(&stage).unwrap_err();
    printed(ask(64_993));
    assert_eq!(daemon.log().matches("\"everyone\" uid=64993").count(), 3, "{}", daemon.log());
}

/// A settings file that only root may read, as umask 027 leaves it.
#[test]
fn root_looks_at_the_settings_with_the_services_eyes() {
    let stage = Stage::set();
    if !is_root() {
        let (message, _) = stage.refused(&["config", "check", "--as-service"], Exit::Refused);
        return assert_eq!(message, "only root can look as the service's user");
    }
    stage.register();
    fs::create_dir(stage.path("run")).unwrap();
    for path in [stage.path("run"), stage.path("state"), stage.path("state/vault")] {
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    for entry in fs::read_dir(stage.path("state/vault")).unwrap() {
        chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let file = stage.path("rolekeeper.toml");
    let policy = stage.path("policy.json");
    fs::write(&policy, r#"{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#)
        .unwrap();
    let role = format!("role_arn = \"{ROLE}\"\nsession_policy = \"policy.json\"");
    stage.settings(&stage.target("late", &stage.path("run/late"), &role));
    let mut daemon = Daemon::start(stage.command_of_nobody(&["run"]));
    stage.status_when("fresh credentials", |status| status["state"] == "fresh");

    let check = |arguments: &[&str]| {
        let mut command = stage.command_of(0, 0, &["config", "check"]);
        command.args(arguments).output().unwrap()
    };
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said(&check(&[])).lines().count(), 1);
    assert_eq!(said(&check(&["--as-me"])), "");

    fs::set_permissions(&policy, Permissions::from_mode(0o640)).unwrap();
    printed(check(&["--as-me"]));
    let output = check(&[]);
    assert_eq!(output.status.code(), Some(Exit::Configuration as i32));
    let lines = said(&output);
    assert!(lines.starts_with("note: looking as user 'nobody', as the service does\n"), "{lines}");
    assert!(
        lines.contains("target 'late': session_policy ") && lines.contains("denied"),
        "{lines}"
    );
    assert!(lines.contains("try: let the service's user read a policy in"), "{lines}");

    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    printed(check(&["--as-me"]));
    let lines = said(&check(&[]));
    assert!(lines.contains("rolekeeper.toml: Permission denied"), "{lines}");
    assert!(lines.contains("or look with --as-me"), "{lines}");
    // What is found there is what the daemon finds; and it goes on, after a start, too.
    stage.refused(&["reload"], Exit::Configuration);
    daemon.stop();
    let _daemon = Daemon::start(stage.command_of_nobody(&["run"]));
    let status = stage.status_when("fresh credentials", |status| status["state"] == "fresh");
    assert!(status["settings"]["error"].to_string().contains("Permission denied"), "{status}");
    // Its policy is in the copy.
    assert_eq!(status["disabled"], json!([]));
}
