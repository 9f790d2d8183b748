//! Remedies about what the unit keeps from the service: a mount namespace has what systemd would mount, and
//! after the remedy what its drop-in says.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use serde_json::Value;

use crate::stage::{Daemon, NOBODY, is_root};
use crate::world::{SOMEBODY, World, assert_not_widened, commands};

/// A home that is nobody's, and lies elsewhere.
const HOME: &str = "/home/rolekeeper-test/.aws";

/// The service in a mount namespace where `mounts`, a shell's commands, were made. None where that cannot be
/// had.
fn start_behind(world: &mut World, mounts: &str) -> Option<()> {
    let run = world.stage.command(&["run"]);
    let script = format!("{mounts} || exit 99; exec \"$0\" \"$@\"");
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(["--mount", "sh", "-ec", &script]).arg(run.get_program()).args(run.get_args());
    let possible = Command::new("unshare").args(["--mount", "sh", "-ec", mounts]).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lets nobody mount, not even root");
        return None;
    }
    world.daemon = None;
    world.daemon = Some(Daemon::start(command));
    // An earlier daemon's credentials are fresh before the first file is written.
    let is_told = |target: &Value| target["written_at"].is_string() || target["error"].is_string();
    world.stage.status_when("an outcome of each target", |status| {
        status["state"] == "fresh" && status["targets"].as_array().unwrap().iter().all(is_told)
    });
    Some(())
}

#[test]
fn a_file_that_is_mounted_gives_way_to_its_directory() {
    if !is_root() {
        eprintln!("a_file_that_is_mounted: skipped, because only root may mount");
        return;
    }
    let mut world = World::new();
    let app = world.stage.path("app");
    let file = app.join("credentials");
    fs::create_dir(&app).unwrap();
    fs::write(&file, "[other]\nregion = x\n").unwrap();
    world.stage.settings(&world.stage.target("app", &file, "mode = \"0600\""));
    world.stage.register();
    let bind = |path: &std::path::Path| format!("mount --bind {0} {0}", path.display());
    let Some(()) = start_behind(&mut world, &bind(&file)) else { return };
    let before = world.rights();
    let remedy = |world: &World| world.stage.status()["targets"][1]["remedy"].clone();
    let said = remedy(&world);
    let expected = format!("names {}, name {}, then systemctl", file.display(), app.display());
    assert!(said.as_str().is_some_and(|said| said.contains(&expected)), "{said}");
    start_behind(&mut world, &bind(&app)).unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("aws_session_token"));
    assert!(remedy(&world).is_null());
    assert_not_widened(&before, &world.rights(), &[]);
}

#[test]
fn what_the_unit_keeps_from_the_service_is_let_in_by_the_unit_alone() {
    if !is_root() {
        eprintln!("what_the_unit_keeps: skipped, because only root may mount");
        return;
    }
    let mut world = World::new();
    let path = |name: &str| world.stage.path(name).display().to_string();
    let (home, app) = (path("home"), path("app"));
    for directory in [&home, &app] {
        fs::create_dir(directory).unwrap();
    }
    let targets = [("home", format!("{HOME}/credentials")), ("app", format!("{app}/credentials"))];
    let tables = targets.map(|(name, path)| world.stage.target(name, path.as_ref(), ""));
    world.stage.settings(&tables.concat());
    world.stage.register();
    let remedies = |world: &World| {
        let status = world.stage.status();
        let targets = status["targets"].as_array().unwrap().clone();
        targets
            .iter()
            .filter(|target| target["name"] != "default")
            .map(|target| target["remedy"].clone())
            .collect::<Vec<_>>()
    };

    // As ProtectHome=tmpfs and ProtectSystem=strict have it.
    let read_only = format!("mount --bind {app} {app} && mount -o remount,bind,ro {app}");
    let hidden = "mount -t tmpfs -o ro tmpfs /home";
    let Some(()) = start_behind(&mut world, &format!("{hidden} && {read_only}")) else { return };
    let before = world.rights();
    let said = remedies(&world);
    let [home_remedy, app_remedy] = &said[..] else { panic!("{said:?}") };
    let home_remedy = home_remedy.as_str().unwrap();
    assert!(!home_remedy.contains("install -d"), "it is there: {home_remedy}");
    world.carry_out(home_remedy);
    world.carry_out(app_remedy.as_str().unwrap());
    let drop_in = world.stage.path("units/rolekeeper.service.d/local.conf");
    let drop_in = fs::read_to_string(drop_in).unwrap();
    let bind = format!("BindPaths=-{HOME}");
    let write = format!("ReadWritePaths=-{app}");
    for line in ["ProtectHome=tmpfs", &bind, &write] {
        assert!(drop_in.lines().any(|it| it == line), "no {line} in {drop_in}");
    }

    // So systemd would have it now: the home is bound back in, and the other directory is left writable.
    let bound =
        format!("mount -t tmpfs tmpfs /home && mkdir -p {HOME} && mount --bind {home} {HOME}");
    start_behind(&mut world, &bound).unwrap();
    for directory in [&home, &app] {
        let written = fs::read_to_string(format!("{directory}/credentials")).unwrap();
        assert!(written.contains("aws_session_token"), "{directory}");
    }
    assert!(remedies(&world).iter().all(Value::is_null));
    assert_not_widened(&before, &world.rights(), &["some mode reads"]);
}

/// How another owner's directory may be, as a shell makes it.
const THEIRS: [(&str, &str); 5] = [
    ("open to look at", "install -d -o OWNER -m 0755 DIR"),
    ("closed", "install -d -o OWNER -m 0700 DIR"),
    ("writable by its group", "install -d -o OWNER -m 0775 DIR"),
    ("missing", "true"),
    (
        "with a file that is closed",
        "install -d -o OWNER DIR && install -o OWNER -m 0600 /dev/null FILE",
    ),
];

/// The unprivileged service as its unit has it, with what the drop-in says besides: everything is read-only
/// but what it names, and it has the capabilities that it names.
fn start_in_the_unit(world: &mut World, drop_in: &str) -> Option<()> {
    let values = |key: &str| {
        let lines = drop_in.lines().filter_map(|line| line.strip_prefix(key));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let srv = world.stage.path("srv").display().to_string();
    let mut mounts = format!("mount --bind {srv} {srv} && mount -o remount,bind,ro {srv}");
    for path in values("ReadWritePaths=-") {
        mounts += &format!(
            " && if [ -d {path} ]; then mount --bind {path} {path}; mount -o remount,bind,rw {path}; fi"
        );
    }
    let mut capabilities = "-all".to_owned();
    for name in values("AmbientCapabilities=").join(" ").split_whitespace() {
        capabilities += &format!(",+{}", name.trim_start_matches("CAP_").to_lowercase());
    }
    let groups = match values("SupplementaryGroups=").as_slice() {
        [] => "--clear-groups".to_owned(),
        groups => format!("--groups={}", groups.join(",")),
    };
    let possible = Command::new("unshare").args(["--mount", "sh", "-ec", &mounts]).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lets nobody mount, not even root");
        return None;
    }
    let run = world.stage.command_of_nobody(&["run"]);
    let script = format!(
        "{mounts}; exec setpriv --reuid={NOBODY} --regid={NOBODY} {groups} \
         --bounding-set={capabilities} --inh-caps={capabilities} --ambient-caps={capabilities} \
         \"$0\" \"$@\""
    );
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(["--mount", "sh", "-ec", &script]).arg(run.get_program()).args(run.get_args());
    world.daemon = None;
    world.daemon = Some(Daemon::start(command));
    let is_told = |target: &Value| target["written_at"].is_string() || target["error"].is_string();
    world.stage.status_when("an outcome of each target", |status| {
        status["state"] == "fresh" && status["targets"].as_array().unwrap().iter().all(is_told)
    });
    Some(())
}

#[test]
fn a_file_of_another_owners_is_written_after_one_step_whatever_stands_in_the_way() {
    if !is_root() {
        eprintln!("a_file_of_another_owners: skipped, because only root can be several users");
        return;
    }
    let mut world = World::new();
    let srv = world.stage.path("srv");
    fs::create_dir(&srv).unwrap();
    let owner = SOMEBODY.to_string();
    world.stage.register();
    for name in ["state", "run"] {
        let directory = world.stage.path(name);
        fs::create_dir_all(&directory).unwrap();
        let given = Command::new("chown").args(["-R", "65534:65534"]).arg(directory).status();
        assert!(given.unwrap().success());
    }
    let file_of = |name: &str| srv.join(name).join("credentials");
    for (number, (how, make)) in THEIRS.into_iter().enumerate() {
        let name = format!("app{number}");
        let file = file_of(&name);
        let shown = |path: &std::path::Path| path.display().to_string();
        let make = make.replace("OWNER", &owner).replace("DIR", &shown(&srv.join(&name)));
        assert!(world.run(&make.replace("FILE", &shown(&file))).status.success(), "{how}");
        let keys = format!("owner = \"{owner}\"\nmode = \"0600\"");
        world.stage.settings(&world.stage.target("theirs", &file, &keys));
        let theirs = |world: &World| {
            let status = world.stage.status();
            let targets = status["targets"].as_array().unwrap();
            targets.iter().find(|it| it["name"] == "theirs").unwrap().clone()
        };
        let Some(()) = start_in_the_unit(&mut world, "") else { return };
        let target = theirs(&world);
        let remedy = target["remedy"].as_str().unwrap_or_else(|| panic!("{how}: {target:#}"));
        let log = world.daemon.as_ref().unwrap().log();
        assert!(log.contains(&format!("try: {remedy}")), "{how}: {log}");
        let privileges = world.finding("privileges", Some("theirs"), None);
        let doctors = privileges["remedy"].as_str().unwrap();
        assert!(remedy.contains(doctors), "{how}: {remedy}\ndoctor: {doctors}");

        let [step] = &commands(remedy)[..] else { panic!("{how}: not one step: {remedy}") };
        let output = world.run(step);
        assert!(output.status.success(), "{how}: {step}: {output:?}");
        let drop_in = world.stage.path("units/rolekeeper.service.d/local.conf");
        let lines = fs::read_to_string(&drop_in).unwrap();
        start_in_the_unit(&mut world, &lines).unwrap();
        let after = theirs(&world);
        assert!(after["error"].is_null() && after["remedy"].is_null(), "{how}: {after:#}");
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (SOMEBODY, 0o600), "{how}");
        fs::remove_file(drop_in).unwrap();
        world.daemon = None;
    }
}
