//! Remedies that let somebody in: that one and nobody else, and to nothing more.

use std::fs;
use std::os::unix::fs::chown;

use nix::unistd::Uid;
use rolekeeper::host::accounts::user_name;
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::pure::advice::Exit;

use crate::stage::{NOBODY, Stage, allow, is_root, refusal};
use crate::world::{SOMEBODY, World, assert_not_widened, edit};

/// A role that a consumer has of its own.
const ROLES: &str = r#"
[[role]]
name = "Rehearsal"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
    "Principal": {"Service": "ssm.amazonaws.com"}}}'''
policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}}'''

[[role]]
name = "Nightly"
trust_policy = '''{"Statement": {"Effect": "Allow", "Action": "sts:*",
    "Principal": {"AWS": "arn:aws:iam::000000000000:role/Rehearsal"}}}'''
"#;

/// Who runs the tests without root has no other user to let in.
fn needs_other_users(test: &str) -> bool {
    if !is_root() {
        eprintln!("{test}: skipped, because it needs root, which can be several users");
    }
    is_root()
}

/// A consumer of `NOBODY`'s with a role of its own and a token, in a directory that is closed to them.
fn closed_to_its_consumer() -> World {
    let mut world = World::new();
    let apply = |service: &mut _| {
        Definitions::from_toml(ROLES).unwrap().apply(service, &SystemEntropy).unwrap();
    };
    world.stage.lab.with_service(apply);
    fs::create_dir(world.stage.path("tokens")).unwrap();
    allow(&world.stage.path("tokens"), 0o750);
    let token = world.stage.path("tokens/nightly.token");
    world.stage.settings(&format!(
        "[endpoint.container]\nlisten = \"127.0.0.1:0\"\n[[consumer]]\nname = \"nightly\"\n\
         users = [\"{NOBODY}\"]\nrole_arn = \"arn:aws:iam::000000000000:role/Nightly\"\n\
         token_file = {token:?}\n"
    ));
    world.stage.register();
    world.start();
    world.when_fresh();
    world
}

#[test]
fn a_user_is_let_to_its_token_and_never_into_the_services_group() {
    if !needs_other_users("a_user_is_let_to_its_token") {
        return;
    }
    let mut world = closed_to_its_consumer();
    let before = world.rights();
    let subject = Some("token of nightly");

    // The directory is root's and of its group, as the service's are the service's.
    let finding = world.finding("reach", subject, Some(NOBODY));
    let remedy = finding["remedy"].as_str().unwrap().to_owned();
    assert!(!remedy.contains("usermod") && !remedy.contains("chmod o+"), "{remedy}");
    world.carry_out(&remedy);
    assert_not_widened(&before, &world.rights(), &[]);

    // Now the file itself stops them.
    let finding = world.finding("reach", subject, Some(NOBODY));
    let remedy = finding["remedy"].as_str().unwrap().to_owned();
    let name = user_name(Uid::from_raw(NOBODY));
    let keys = format!("owner = \"{name}\" and mode = \"0600\" in the [[consumer]] nightly");
    assert!(remedy.contains(&keys), "{remedy}");
    edit(
        &world.stage.path("rolekeeper.toml"),
        "name = \"nightly\"\n",
        &format!("name = \"nightly\"\nowner = \"{name}\"\nmode = \"0600\"\n"),
    );
    world.carry_out(&remedy);
    let finding = world.finding("reach", subject, Some(NOBODY));
    assert_eq!(finding["verdict"], "ok", "{finding:#}");
    let after = world.rights();
    assert_not_widened(&before, &after, &[&format!("user {NOBODY} reads {}", token(&world.stage))]);
    assert!(!after.iter().any(|right| right.contains("registered")), "{after:?}");
    assert!(!after.iter().any(|right| right.contains(&format!("user {SOMEBODY} may"))));

    // What is missing or has another mode is made anew.
    for (path, subject) in
        [("tokens/nightly.token", "token of nightly"), ("run/consumers.sock", "socket")]
    {
        fs::remove_file(world.stage.path(path)).unwrap();
        let remedy = world.mend("reach", Some(subject), Some(NOBODY));
        assert_eq!(remedy, "systemctl restart rolekeeper, which makes it");
        world.when_fresh();
    }
    allow(&world.stage.path("run/consumers.sock"), 0o600);
    let remedy = world.mend("reach", Some("socket"), Some(NOBODY));
    assert_eq!(remedy, "systemctl restart rolekeeper, which makes its sockets anew");
    assert_not_widened(&after, &world.rights(), &[]);
}

#[test]
fn a_runtime_directory_that_is_closed_is_opened_to_who_may_ask() {
    if !needs_other_users("a_runtime_directory_that_is_closed") {
        return;
    }
    let mut world = World::new();
    world.stage.settings(&format!("[[consumer]]\nname = \"web\"\nusers = [\"{NOBODY}\"]\n"));
    world.stage.register();
    world.start();
    world.when_fresh();
    allow(&world.stage.path("run"), 0o700);
    let before = world.rights();
    let ask = |world: &World| world.stage.command_of_nobody(&["credential-process"]).output();
    let (_, remedy) = refusal(&ask(&world).unwrap(), Exit::Refused);
    assert!(remedy.starts_with("sudo rolekeeper doctor --user with this user's name"), "{remedy}");
    world.mend("reach", Some("socket"), Some(NOBODY));
    assert!(ask(&world).unwrap().status.success());
    let but = format!("user {NOBODY} may credential-process: registered");
    assert_not_widened(&before, &world.rights(), &[&but]);

    // A directory that its own owner closed.
    fs::create_dir(world.stage.path("own")).unwrap();
    let file = world.stage.path("own/credentials");
    let keys = format!("owner = \"{NOBODY}\"\nmode = \"0600\"");
    world.stage.settings(&world.stage.target("own", &file, &keys));
    world.reload();
    world.stage.succeed(&["refresh"]);
    chown(world.stage.path("own"), Some(NOBODY), None).unwrap();
    allow(&world.stage.path("own"), 0o600);
    let remedy = world.mend("reach", Some("target own"), Some(NOBODY));
    assert!(remedy.starts_with("chmod u+x "), "{remedy}");
    fs::remove_file(&file).unwrap();
    let finding = world.finding("reach", Some("target own"), Some(NOBODY));
    let remedy = finding["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("do what is said of its target"), "{finding:#}");
    world.mend("target", Some("own"), None);
    assert_eq!(world.finding("reach", Some("target own"), Some(NOBODY))["verdict"], "ok");
}

fn token(stage: &Stage) -> String {
    stage.path("tokens/nightly.token").display().to_string()
}

#[test]
fn a_file_that_lost_its_mode_has_it_again_after_a_reload() {
    if !needs_other_users("a_file_that_lost_its_mode") {
        return;
    }
    let mut world = World::new();
    fs::create_dir(world.stage.path("backup")).unwrap();
    let file = world.stage.path("backup/credentials");
    let keys = format!("owner = \"{NOBODY}\"\nmode = \"0600\"");
    world.stage.settings(&world.stage.target("backup", &file, &keys));
    world.stage.register();
    world.start();
    world.when_fresh();
    let before = world.rights();
    chown(&file, Some(0), Some(0)).unwrap();
    world.mend("reach", Some("target backup"), Some(NOBODY));
    assert_not_widened(&before, &world.rights(), &[]);
}

#[test]
fn who_may_not_ask_the_daemon_is_not_sent_into_its_group() {
    if !needs_other_users("who_may_not_ask") {
        return;
    }
    let mut world = World::working();
    let before = world.rights();
    let output = world.stage.command_of_nobody(&["status"]).output().unwrap();
    let (_, remedy) = refusal(&output, Exit::Refused);
    assert!(remedy.starts_with("the same with sudo"), "{remedy}");
    world.carry_out("sudo rolekeeper status");
    for command in ["refresh", "rotate-key"] {
        let output = world.stage.command_of(NOBODY, 0, &[command]).output().unwrap();
        let (_, remedy) = refusal(&output, Exit::Refused);
        assert_eq!(remedy, "run the command with sudo");
        world.carry_out(&format!("sudo rolekeeper {command}"));
    }
    assert_not_widened(&before, &world.rights(), &[]);
}

#[test]
fn whom_no_rule_names_is_named_and_gets_that_and_no_other_name() {
    if !needs_other_users("whom_no_rule_names") {
        return;
    }
    let mut world = World::working();
    let before = world.rights();
    let ask = |world: &World, more: &[&str]| {
        let words = [&["credential-process"], more].concat();
        world.stage.command_of_nobody(&words).output().unwrap()
    };
    let (_, remedy) = refusal(&ask(&world, &[]), Exit::Refused);
    assert!(remedy.starts_with("name the user in a [[consumer]]"), "{remedy}");
    world.stage.settings(&format!("[[consumer]]\nname = \"web\"\nusers = [\"{NOBODY}\"]\n"));
    world.carry_out(&remedy);
    assert!(ask(&world, &[]).status.success());
    let (_, remedy) = refusal(&ask(&world, &["--target", "default"]), Exit::Refused);
    assert_eq!(remedy, "--target web");
    assert!(ask(&world, &remedy.split(' ').collect::<Vec<_>>()).status.success());
    let but = format!("user {NOBODY} may credential-process: registered");
    assert_not_widened(&before, &world.rights(), &[&but]);
}

#[test]
fn a_vault_that_was_open_is_closed_and_its_key_replaced() {
    let mut world = World::working();
    let before = world.rights();
    let record = world.stage.record("RegistrationKey");
    let subject = record.display().to_string();
    allow(&record, 0o644);
    let key = fs::read(&record).unwrap();
    let remedy = world.mend("vault", None, None);
    assert!(remedy.starts_with(&format!("chmod 600 {subject}; then rolekeeper rotate-key")));
    assert_ne!(fs::read(&record).unwrap(), key, "who has read it has nothing");
    assert_not_widened(&before, &world.rights(), &[]);
    if !needs_other_users("a_record_of_another_owner") {
        return;
    }
    chown(&record, Some(NOBODY), None).unwrap();
    world.mend("vault", None, None);
    assert_not_widened(&before, &world.rights(), &[]);
}
