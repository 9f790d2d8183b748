use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::pure::advice::{Advice, Exit};
use crate::pure::reload::Pace;

/// A program in systemctl's place, and the directory that it writes to.
struct Fake {
    directory: TempDir,
    systemctl: Systemctl,
}

impl Fake {
    /// A shell script; `$HERE` is its directory.
    fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("systemctl");
        let text = format!("#!/bin/sh\nHERE='{}'\n{script}\n", directory.path().display());
        // By a process of its own: what another thread starts meanwhile would inherit the file that
        // is being written, and keep it from being run.
        fs::write(directory.path().join("text"), text).unwrap();
        fs::set_permissions(directory.path().join("text"), Permissions::from_mode(0o755)).unwrap();
        let mut copy = std::process::Command::new("cp");
        let copied = copy.arg(directory.path().join("text")).arg(&program).status().unwrap();
        assert!(copied.success());
        Self { directory, systemctl: Systemctl::new(Some(program)) }
    }

    /// To the end.
    fn tell(&self, signal: Option<&str>) -> Result<Told, SystemctlError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reload = reload(signal);
        runtime.block_on(async {
            match self.systemctl.tell(&reload).await? {
                Step::Accepted(job) => self.systemctl.follow(&reload.unit, job).await,
                Step::Done(told) => Ok(told),
            }
        })
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }
}

fn reload(signal: Option<&str>) -> Reload {
    Reload {
        unit: "legacy.service".parse().unwrap(),
        signal: signal.map(|signal| signal.parse().unwrap()),
        pace: Pace { min_interval: Duration::ZERO, jitter: Duration::ZERO },
    }
}

#[test]
fn arguments_are_passed_one_by_one_and_the_environment_is_empty() {
    let fake = Fake::new(
        "[ $3 != show ] || exit 0\n\
         printf '%s\\n' \"$@\" > $HERE/argv; cat /proc/$$/environ > $HERE/env",
    );
    assert_eq!(fake.tell(None).unwrap(), Told::Reloaded);
    let asked =
        "--no-ask-password\n--no-pager\ntry-reload-or-restart\n--no-block\n--\nlegacy.service\n";
    assert_eq!(fake.read("argv"), asked);
    assert_eq!(fake.read("env"), "");

    assert_eq!(fake.tell(Some("SIGHUP")).unwrap(), Told::Signalled);
    let asked = "--no-ask-password\n--no-pager\nkill\n--kill-whom=main\n--signal=SIGHUP\n--\n\
                 legacy.service\n";
    assert_eq!(fake.read("argv"), asked);
}

#[test]
fn a_denial_names_the_rule_that_is_missing() {
    let fake = Fake::new(
        "for unit; do :; done; [ $3 != show ] || exit 0\n\
         echo \"Failed to reload-or-try-restart $unit: Interactive authentication required.\" >&2\n\
         echo \"See system logs and 'systemctl status $unit' for details.\" >&2; exit 1",
    );
    let error = fake.tell(None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "legacy.service was not reloaded: the daemon's user is not allowed to (Failed to \
         reload-or-try-restart legacy.service: Interactive authentication required.)"
    );
    assert!(error.remedy().contains("'reload-or-try-restart' of legacy.service"));
    assert!(error.remedy().contains("50-rolekeeper.rules"));
    assert_eq!(error.exit(), Exit::Refused);
    assert!(!error.is_open());
    let error = fake.tell(Some("SIGUSR1")).unwrap_err();
    assert!(error.remedy().starts_with("allow 'kill' of legacy.service"), "{}", error.remedy());
    assert!(error.to_string().starts_with("legacy.service was not sent SIGUSR1: "));
}

#[test]
fn a_unit_that_systemd_does_not_know_is_told_from_one_that_rests() {
    // Both are refused in the same words.
    let script = |state: &str| {
        format!(
            "if [ $3 = show ]; then printf '{state}'; exit 0; fi\n\
             echo 'Failed to kill unit legacy.service: Unit legacy.service not loaded.' >&2; exit 1"
        )
    };
    let resting = Fake::new(&script("LoadState=loaded\\nActiveState=inactive\\n"));
    assert_eq!(resting.tell(Some("SIGHUP")).unwrap(), Told::NotRunning);
    let unknown = Fake::new(&script("LoadState=not-found\\nActiveState=inactive\\n"));
    let error = unknown.tell(Some("SIGHUP")).unwrap_err();
    assert!(matches!(error.trouble, Trouble::UnknownUnit));
    let running = Fake::new(&script("LoadState=loaded\\nActiveState=active\\n"));
    let error = running.tell(Some("SIGHUP")).unwrap_err();
    assert!(matches!(error.trouble, Trouble::Failed(_)));

    let unknown = Fake::new(
        "[ $3 != show ] || exit 0; echo 'Failed to try-reload-or-restart legacy.service: Unit legacy.service not found.' >&2\n\
         exit 5",
    );
    let error = unknown.tell(None).unwrap_err();
    assert!(matches!(error.trouble, Trouble::UnknownUnit));
    assert_eq!(error.exit(), Exit::Configuration);
}

#[test]
fn what_is_printed_is_bounded_and_harmless() {
    let fake = Fake::new(
        "[ $3 != show ] || exit 0; printf 'one \\033[31mred\\r\\n\\n\\377 \"two\"\\n'\n\
         head -c 1000000 /dev/zero | tr '\\0' x; exit 3",
    );
    let error = fake.tell(None).unwrap_err();
    assert!(matches!(&error.trouble, Trouble::Failed(status) if status.code() == Some(3)));
    let [one, two, rest] = &error.output[..] else { panic!("{:?}", error.output) };
    assert_eq!((one.as_str(), two.as_str()), ("one \\u{1b}[31mred", "\u{fffd} \"two\""));
    assert!(rest.len() <= KEPT && rest.bytes().all(|b| b == b'x'), "{}", rest.len());
}

#[test]
fn one_that_hangs_is_killed_with_what_it_started() {
    let mut fake = Fake::new(
        "[ $3 != show ] || exit 0; echo waiting\nsleep 1000 & echo $! > $HERE/child\nwait",
    );
    fake.systemctl.limit = Duration::from_millis(300);
    let error = fake.tell(None).unwrap_err();
    assert!(error.is_open(), "{error}");
    assert_eq!(error.exit(), Exit::TryAgain);
    assert!(error.to_string().contains("did not end within 300ms"), "{error}");
    assert_eq!(error.output, ["waiting"]);
    let child = fake.read("child");
    // It is a moment between the signal and the end; a zombie has ended, too.
    let runs = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S") || rest.starts_with(" R"))
    };
    for _ in 0..500 {
        if !runs() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    panic!("{child} still runs");
}

#[test]
fn a_descendant_that_holds_the_output_open_is_not_waited_for() {
    let fake = Fake::new("echo done; sleep 1000 & exit 0");
    assert_eq!(fake.tell(None).unwrap(), Told::Reloaded);
}

#[test]
fn a_program_that_cannot_be_run_is_named() {
    let systemctl = Systemctl::new(Some("/nonexistent/systemctl".into()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(systemctl.tell(&reload(None))).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/systemctl: No such file"), "{error}");
    assert!(error.remedy().contains("[reload]"));
}

/// A unit before and after a job that is looked at twice.
fn after(before: &str, during: &str, after: &str) -> Result<Told, SystemctlError> {
    let fake = Fake::new(&format!(
        "[ $3 = show ] || exit 0; echo >> $HERE/looks; read -r looks <<X\n$(wc -l < $HERE/looks)\nX\n\
         case $looks in 1) printf '{before}';; [23]) printf '{during}';; *) printf '{after}';; esac"
    ));
    fake.tell(None)
}

#[test]
fn what_became_of_a_job_is_told_by_its_unit() {
    let active = "LoadState=loaded\\nActiveState=active\\nResult=success\\nReloadResult=success\\n";
    let job = "ActiveState=active\\nJob=42\\n";
    assert_eq!(after(active, job, active).unwrap(), Told::Reloaded);
    let job = "ActiveState=deactivating\\nJob=42\\n";
    assert_eq!(after(active, job, active).unwrap(), Told::Reloaded);
    // systemd has no job for one that does not run.
    for rests in ["ActiveState=inactive\\n", "ActiveState=failed\\nResult=exit-code\\n"] {
        assert_eq!(after(rests, rests, rests).unwrap(), Told::NotRunning);
    }
    assert_eq!(after(active, job, "ActiveState=inactive\\n").unwrap(), Told::NotRunning);
    for (left, says) in [
        ("ActiveState=failed\\nResult=timeout\\n", "ActiveState=failed, Result=timeout"),
        (
            "ActiveState=activating\\nResult=exit-code\\n",
            "ActiveState=activating, Result=exit-code",
        ),
        (
            "ActiveState=active\\nResult=success\\nReloadResult=exit-code\\n",
            "ActiveState=active, Result=exit-code",
        ),
    ] {
        let error = after(active, job, left).unwrap_err();
        let expected = format!("legacy.service was not reloaded: its job ended with {says}");
        assert_eq!(error.to_string(), expected);
        assert!(error.remedy().contains("journalctl -u legacy.service"));
        assert!(!error.is_under_way());
    }
}

#[test]
fn a_job_that_nobody_can_look_at_is_left_to_itself() {
    let fake = Fake::new("[ $3 != show ] || exit 1");
    assert_eq!(fake.tell(None).unwrap(), Told::Asked);
}
