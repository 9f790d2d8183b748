//! Remedies about the daemon, its settings and its targets: each cause, what is said, and that it helps.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rolekeeper::pure::advice::Exit;
use serde_json::Value;

use crate::stage::{Daemon, NOBODY, allow, is_root, refusal};
use crate::world::{World, assert_not_widened, commands, edit};

/// The remedy of the target `app`, as `status` has it.
fn told(world: &World) -> String {
    let app = |status: &Value| {
        let target = status["targets"].as_array()?.iter().find(|target| target["name"] == "app")?;
        target["remedy"].as_str().map(str::to_owned)
    };
    let status = world.stage.status_when("an outcome", |status| app(status).is_some());
    app(&status).unwrap()
}

/// The same, where `doctor` says so, too.
fn of_target(world: &World) -> String {
    let remedy = told(world);
    assert_eq!(world.finding("target", Some("app"), None)["remedy"], remedy.as_str());
    remedy
}

/// A machine with a target in this file, which its daemon could not write.
fn with_target(prepare: impl FnOnce(&Path)) -> World {
    let mut world = World::new();
    let path = world.stage.path("app/credentials");
    world.stage.settings(&world.stage.target("app", &path, "mode = \"0600\""));
    world.stage.register();
    prepare(&path);
    world.start();
    world
}

fn assert_written(world: &mut World, path: &Path) {
    world.stage.succeed(&["refresh"]);
    assert!(fs::read_to_string(path).unwrap().contains("aws_session_token"));
    assert_eq!(world.finding("target", Some("app"), None)["verdict"], "ok");
    assert_eq!(crate::stage::mode(path), 0o600);
}

#[test]
fn a_daemon_that_does_not_answer_is_restarted_whether_it_runs_or_not() {
    let mut world = World::working();
    let before = world.rights();
    for stop in [true, false] {
        let make = |world: &mut World| {
            // It runs, and nobody finds it any more; or it does not run.
            world.daemon = world.daemon.take().filter(|_| !stop);
            for socket in ["control.sock", "credentials.sock", "consumers.sock"] {
                fs::remove_file(world.stage.path("run").join(socket)).unwrap();
            }
        };
        for (command, exit) in [
            (&["status"][..], Exit::Unavailable),
            (&["refresh"], Exit::Unavailable),
            (&["credential-process"], Exit::TryAgain),
        ] {
            make(&mut world);
            let output = world.stage.run(command);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(exit as i32), "{error}");
            let remedy = error.split_once("try: ").unwrap().1.trim().to_owned();
            world.carry_out(&remedy);
            world.when_fresh();
            assert!(world.stage.run(command).status.success(), "{command:?}");
        }
        make(&mut world);
        world.mend("daemon", None, None);
        world.when_fresh();
    }
    assert_not_widened(&before, &world.rights(), &[]);
}

#[test]
fn a_targets_file_that_is_gone_or_old_comes_back() {
    let mut world = World::working();
    let file = world.stage.credentials();
    fs::remove_file(&file).unwrap();
    assert_eq!(world.mend("target", Some("default"), None), "rolekeeper refresh");
    world.daemon = None;
    fs::remove_file(&file).unwrap();
    let finding = world.finding("target", Some("default"), None);
    let remedy = finding["remedy"].as_str().unwrap().to_owned();
    world.carry_out(&remedy);
    world.when_fresh();
    assert_eq!(world.finding("target", Some("default"), None)["verdict"], "ok");
}

/// A file beside the target's directory.
fn elsewhere(path: &Path) -> PathBuf {
    path.parent().unwrap().with_file_name("elsewhere")
}

#[test]
fn what_stands_in_a_targets_place_is_moved_and_nothing_is_opened() {
    let symlinked = |path: &Path| {
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(elsewhere(path), "[default]\n").unwrap();
        symlink(elsewhere(path), path).unwrap();
    };
    let a_directory = |path: &Path| fs::create_dir_all(path).unwrap();
    let linked = |path: &Path| {
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(elsewhere(path), "[other]\nregion = x\n").unwrap();
        fs::hard_link(elsewhere(path), path).unwrap();
    };
    let writable = |path: &Path| {
        fs::create_dir(path.parent().unwrap()).unwrap();
        allow(path.parent().unwrap(), 0o777);
    };
    let missing = |_: &Path| {};
    let causes: [fn(&Path); 5] = [symlinked, a_directory, linked, writable, missing];
    let firsts = ["rm ", "mv ", "cp -p ", "chmod go-w ", "install -d -m 0755 -o "];
    for (cause, first) in causes.into_iter().zip(firsts) {
        let mut world = with_target(cause);
        let path = world.stage.path("app/credentials");
        let remedy = of_target(&world);
        assert!(remedy.starts_with(first), "{remedy}");
        let before = world.rights();
        world.carry_out(&remedy);
        assert_written(&mut world, &path);
        assert_not_widened(&before, &world.rights(), &[]);
        if elsewhere(&path).exists() {
            let other = fs::read_to_string(elsewhere(&path)).unwrap();
            assert!(!other.contains("aws_session_token"), "{first}: {other}");
        }
    }
}

/// A daemon of a user that owns nothing but its own directories.
fn daemon_of_nobody(world: &mut World) {
    for name in ["state", "run"] {
        fs::create_dir_all(world.stage.path(name)).unwrap();
    }
    let tree = ["state", "run"].map(|name| world.stage.path(name));
    assert!(
        Command::new("chown").args(["-R", "65534:65534"]).args(tree).status().unwrap().success()
    );
    world.daemon = None;
    world.daemon = Some(Daemon::start(world.stage.command_of_nobody(&["run"])));
    world.stage.status_when("a daemon", |_| true);
}

#[test]
fn a_service_without_privileges_is_let_to_its_target_and_no_further() {
    if !is_root() {
        eprintln!(
            "a_service_without_privileges: skipped, because it needs root, to start the service"
        );
        return;
    }
    let mut world = World::new();
    let path = world.stage.path("app/credentials");
    world.stage.settings(&world.stage.target("app", &path, "mode = \"0600\""));
    world.stage.register();
    // A directory of root's that is closed to it.
    fs::create_dir(world.stage.path("app")).unwrap();
    allow(&world.stage.path("app"), 0o700);
    daemon_of_nobody(&mut world);
    let app = world.stage.path("app").display().to_string();
    let other = fs::read_dir("/").unwrap().count();
    let remedy = told(&world);
    assert_eq!(remedy, format!("setfacl -m u:nobody:rx {app}"));
    let before = world.rights();
    world.carry_out(&remedy);
    world.stage.run(&["refresh"]);

    // It may pass, and not write there: it gets a place of its own, and the directory stays root's.
    let remedy = told(&world);
    let expected = format!("install -d -m 0755 -o nobody {app}/rolekeeper, and set the target's");
    assert!(remedy.starts_with(&expected), "{remedy}");
    world.carry_out(&remedy);
    edit(&world.stage.path("rolekeeper.toml"), "app/credentials", "app/rolekeeper/credentials");
    world.reload();
    world.stage.succeed(&["refresh"]);
    let written = fs::read_to_string(world.stage.path("app/rolekeeper/credentials")).unwrap();
    assert!(written.contains("aws_session_token"));
    // It is the service's own user that reads its file.
    let but = format!("user {NOBODY}");
    assert_not_widened(&before, &world.rights(), &[&but]);
    assert_eq!(fs::read_dir("/").unwrap().count(), other);
}

#[test]
fn a_settings_file_that_is_closed_is_opened_to_the_service_alone() {
    if !is_root() {
        eprintln!("a_settings_file_that_is_closed: skipped, because root alone starts the service");
        return;
    }
    let mut world = World::new();
    world.stage.register();
    daemon_of_nobody(&mut world);
    world.when_fresh();
    let settings = world.stage.path("rolekeeper.toml");
    allow(&settings, 0o600);
    let before = world.rights();
    let check =
        |world: &World| world.stage.command_of(0, 0, &["config", "check"]).output().unwrap();
    let (_, by_service) = world.stage.refused(&["reload"], Exit::Configuration);
    let said = String::from_utf8(check(&world).stderr).unwrap();
    let by_root = said.split_once("try: ").unwrap().1.trim_end();
    assert_eq!(by_root, format!("{by_service}, or look with --as-me"));
    let done = world.carry_out(by_root);
    assert_eq!(done, [format!("setfacl -m u:nobody:r {}", settings.display())]);
    assert!(check(&world).status.success());
    world.stage.succeed(&["reload"]);
    // The reload is answered before the request that it leads to: what is in the file then, and what the
    // sockets give, is the same again after a refresh.
    world.stage.succeed(&["refresh"]);
    // The list's mask shows as the group's bits, and gives the group nothing.
    let shown = settings.display();
    let but = [format!("user {NOBODY} reads {shown}"), format!("some mode reads {shown}")];
    assert_not_widened(&before, &world.rights(), &but.each_ref().map(String::as_str));
}

#[test]
fn settings_are_mended_where_the_message_says() {
    let mut world = World::working();
    world.stage.settings("[refresh]\nintervall = \"30m\"\n");
    let (message, remedy) = world.stage.refused(&["config", "check"], Exit::Configuration);
    assert!(message.contains("rolekeeper.toml:7:1"), "{message}");
    let settings = world.stage.path("rolekeeper.toml");
    edit(&settings, "intervall = \"30m\"", "interval = \"20m\"");
    let done = world.carry_out(&remedy);
    assert_eq!(done, [format!("rolekeeper config check {}", settings.display())]);
    let missing = world.stage.path("missing.toml").display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
    let output = command.env_clear().args(["--config", &missing, "config", "check"]).output();
    let (_, remedy) = refusal(&output.unwrap(), Exit::Configuration);
    assert!(remedy.starts_with("name an existing file with --config"), "{remedy}");
}

#[test]
fn a_command_that_was_mistyped_is_looked_up() {
    let mut world = World::new();
    for (words, remedy) in [
        (&["statsu"][..], "rolekeeper --help"),
        (&["refresh", "--now"], "rolekeeper refresh --help"),
        (&["register", "--region", "eu-central-1"], "rolekeeper register --help"),
        (&["fingerprint", "set-threshold", "900"], "rolekeeper fingerprint set-threshold --help"),
    ] {
        let (_, said) = world.stage.refused(words, Exit::Usage);
        assert_eq!(said, remedy);
        world.carry_out(&said);
    }
}

#[test]
fn another_daemons_place_is_left_to_it() {
    let mut world = World::working();
    let mut second = world.stage.command(&["run"]);
    let other = world.stage.path("elsewhere").display().to_string();
    let (_, remedy) = refusal(&second.output().unwrap(), Exit::TryAgain);
    assert_eq!(commands(&remedy)[0], "rolekeeper refresh");
    world.carry_out("rolekeeper refresh");
    world.carry_out("rolekeeper status");
    let mut third = world.stage.command(&["run", "--state-dir", &other]);
    let output: Output = third.output().unwrap();
    let (_, remedy) = refusal(&output, Exit::TryAgain);
    assert_eq!(commands(&remedy)[0], "rolekeeper status");
    world.carry_out(&remedy);
    world.when_fresh();
}

#[test]
fn what_the_unit_lacks_is_a_drop_in_that_systemd_reads() {
    use rolekeeper::pure::drop_in::{example_remedy, lines_remedy};
    let mut world = World::working();
    let before = world.rights();
    let units = world.stage.path("units/rolekeeper.service.d");
    let lines = ["ProtectHome=tmpfs".to_owned(), "BindPaths=-/home/a b/.aws".to_owned()];
    world.carry_out(&lines_remedy(&lines));
    world.carry_out(&lines_remedy(&["SupplementaryGroups=34".to_owned()]));
    let written = fs::read_to_string(units.join("local.conf")).unwrap();
    assert_eq!(
        written,
        "[Service]\nProtectHome=tmpfs\nBindPaths=-/home/a b/.aws\n[Service]\nSupplementaryGroups=34\n"
    );
    for example in ["targets-of-other-users.conf", "consumers-by-unit.conf"] {
        world.carry_out(&example_remedy(example));
        let installed = fs::read_to_string(units.join(example)).unwrap();
        // A path that is missing must not keep the service from its next start.
        for line in installed.lines().filter(|line| !line.contains("Capabilit")) {
            let line = line.trim_start_matches('#');
            if let Some((name @ ("ReadWritePaths" | "BindPaths"), path)) = line.split_once('=') {
                assert!(path.starts_with('-'), "{example}: {name}={path}");
            }
        }
    }
    world.when_fresh();
    assert_not_widened(&before, &world.rights(), &[]);
}
