//! A command under `exec`, in either of its ways: signals, job control and the exit status are the command's
//! own, as if nobody had started it on its behalf.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::pty::{CTRL_C, Terminal, code, plain};
use super::stage::{Stage, printed, wait_for};
use super::{fresh, rolekeeper};

/// What Ctrl-Z and Ctrl-\ send.
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";

/// Both ways of `exec`.
const WAYS: [&[&str]; 2] = [&["exec", "--"], &["exec", "--container-endpoint", "--"]];

/// Says each SIGINT, and at SIGQUIT how many there were.
const COUNTS: &str = "n=0; trap 'n=$((n+1)); echo int $n' INT; trap 'echo all $n; exit 3' QUIT; \
                      echo ready; while :; do sleep 0.05; done";

fn exec(stage: &Stage, way: &[&str], script: &str) -> Command {
    rolekeeper(stage, &[way, &["/bin/sh", "-c", script]].concat())
}

/// A shell that runs the command with `line`, in which it is "$0" "$@".
fn shell(line: &str, command: &Command) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["--norc", "-c", line]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    shell
}

/// The command as it is typed into a shell.
fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

/// A shell with job control, in which somebody types.
fn interactive() -> Terminal {
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "--noediting", "-i"])
        .env("PATH", "/usr/bin:/bin")
        .env("PS1", "prompt> ");
    let terminal = Terminal::start(&bash, 200);
    terminal.shows("prompt> ");
    terminal
}

#[test]
fn ctrl_c_reaches_the_command_once_whatever_its_standard_input_is() {
    let (stage, _daemon) = fresh();
    for way in WAYS {
        let command = exec(&stage, way, COUNTS);
        for line in ["exec \"$0\" \"$@\"", "exec \"$0\" \"$@\" < /dev/null"] {
            let mut terminal = Terminal::start(&shell(line, &command), 80);
            terminal.shows("ready");
            for n in 1..3 {
                terminal.types(CTRL_C);
                terminal.shows(&format!("int {n}"));
            }
            terminal.types(CTRL_BACKSLASH);
            let (ended, screen) = terminal.ended();
            assert_eq!(code(ended), 3, "{way:?} {line}: {screen}");
            assert!(screen.contains("all 2"), "{way:?} {line}: {screen}");
        }
    }
}

#[test]
fn a_signal_by_kill_reaches_the_command_once_at_a_terminal() {
    let (stage, _daemon) = fresh();
    for way in WAYS {
        let terminal = Terminal::start(&exec(&stage, way, COUNTS), 80);
        terminal.shows("ready");
        kill(terminal.pid(), Signal::SIGINT).unwrap();
        terminal.shows("int 1");
        kill(terminal.pid(), Signal::SIGQUIT).unwrap();
        let (ended, screen) = terminal.ended();
        assert_eq!(code(ended), 3, "{way:?}: {screen}");
        assert!(screen.contains("all 1"), "{way:?}: {screen}");
    }
}

#[test]
fn the_command_stops_and_goes_on_as_a_job_of_the_shell() {
    let (stage, _daemon) = fresh();
    for way in WAYS {
        let mut terminal = interactive();
        let command =
            exec(&stage, way, "echo at $((40+2)); read line; echo \"heard $line\"; exit 3");
        terminal.types(&format!("{}\n", typed(&command)));
        terminal.shows("at 42");
        terminal.types(CTRL_Z);
        terminal.shows("Stopped");
        terminal.types("echo at the $((1))st prompt\n");
        terminal.shows("at the 1st prompt");
        terminal.types("fg\n");
        // Echoed again once the shell has given the terminal away; what is typed now is the command's.
        terminal.types("some words\n");
        terminal.shows("heard some words");
        terminal.types("echo ended with $?\n");
        terminal.shows("ended with 3");

        // A pipeline is one job, stops and goes on whole.
        let command = exec(&stage, way, "echo piped; read line < /dev/tty; echo \"piped $line\"");
        terminal.types(&format!("{} | cat -n; echo \"all ${{PIPESTATUS[*]}}\"\n", typed(&command)));
        terminal.shows("1\tpiped");
        terminal.types(CTRL_Z);
        wait_for("a stopped job", || {
            let screen = terminal.screen();
            if screen.matches("Stopped").count() == 2 { Ok(()) } else { Err(screen) }
        });
        terminal.types("fg\n");
        terminal.types("words\n");
        terminal.shows("2\tpiped words");

        // In the background it gets no Ctrl-C, and what the shell sends.
        let script = "trap 'echo interrupted' INT; echo at $((40+3)); while :; do sleep 0.05; done";
        terminal.types(&format!("{} &\n", typed(&exec(&stage, way, script))));
        terminal.shows("at 43");
        let prompts = terminal.screen().matches("prompt> ").count();
        terminal.types(CTRL_C);
        // What is typed before the shell asks again goes with it.
        wait_for("a new prompt", || {
            let screen = terminal.screen();
            if screen.matches("prompt> ").count() > prompts { Ok(()) } else { Err(screen) }
        });
        terminal.types("kill %1; wait %1; echo \"ended with $?\"\n");
        terminal.shows("ended with 143");
        terminal.types("exit 0\n");
        let (ended, screen) = terminal.ended();
        assert_eq!(code(ended), 0, "{screen}");
        assert!(!screen.contains("\ninterrupted"), "{way:?}: {screen}");
    }
}

#[test]
fn the_command_hears_of_the_windows_size_and_of_the_terminals_end() {
    let (stage, _daemon) = fresh();
    for way in WAYS {
        let script = "trap 'stty size < /dev/tty' WINCH; trap 'exit 3' QUIT; tty; \
                      while :; do sleep 0.05; done";
        // With its standard input elsewhere, too.
        let line = "exec \"$0\" \"$@\" 3< /dev/null";
        let mut terminal = Terminal::start(&shell(line, &exec(&stage, way, script)), 80);
        terminal.shows("/dev/pts/");
        let name = plain(&terminal.screen()).lines().next().unwrap().to_owned();
        let resized = Command::new("stty").args(["-F", &name, "rows", "33", "cols", "99"]).status();
        assert!(resized.unwrap().success());
        terminal.shows("33 99");
        terminal.types(CTRL_BACKSLASH);
        let (ended, screen) = terminal.ended();
        assert_eq!(code(ended), 3, "{way:?}: {screen}");

        // A session whose leader ends has no terminal any more, and its foreground hears SIGHUP.
        let path = stage.path("hung-up");
        let hangs_up = format!(
            "trap 'echo hup >> {0}.part; mv {0}.part {0}; exit' HUP; echo at $((40+2)); \
             while :; do sleep 0.05; done",
            path.display()
        );
        let mut terminal = interactive();
        terminal.types(&format!("{}\n", typed(&exec(&stage, way, &hangs_up))));
        terminal.shows("at 42");
        kill(terminal.pid(), Signal::SIGKILL).unwrap();
        let heard = wait_for("SIGHUP", || fs::read_to_string(&path).map_err(|it| it.to_string()));
        assert_eq!(heard, "hup\n", "{way:?}");
        fs::remove_file(&path).unwrap();
    }
}

/// Which signals a process ignores, blocks and catches, as `/proc` has it: one line each.
const DISPOSITIONS: &str = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status";

#[test]
fn signals_that_are_ignored_stay_ignored() {
    let (stage, _daemon) = fresh();
    // All that can be, without SIGPIPE: what that was before this program is not known to it.
    let ignored = "HUP INT QUIT USR1 USR2 ALRM TERM CHLD CONT TSTP TTIN TTOU URG XCPU XFSZ VTALRM \
                   PROF WINCH IO PWR SYS";
    let of = |before: &str, command: &Command| {
        let line = format!("{before}exec \"$0\" \"$@\"");
        printed(shell(&line, command).output().unwrap())
    };
    let mut bare = Command::new("/bin/sh");
    bare.args(["-c", DISPOSITIONS]);
    for before in ["", &format!("trap '' {ignored}; "), "exec nohup \"$0\" \"$@\" 2>&1; "] {
        let expected = of(before, &bare);
        for way in WAYS {
            assert_eq!(of(before, &exec(&stage, way, DISPOSITIONS)), expected, "{way:?} {before}");
        }
    }
}

#[test]
fn the_status_of_the_command_is_not_lost_where_ends_of_children_are_ignored() {
    let (stage, _daemon) = fresh();
    for way in WAYS {
        for (script, ends) in [("exit 3", 3), ("kill -KILL $$", 137)] {
            let command = exec(&stage, way, script);
            let output = shell("trap '' CHLD; exec \"$0\" \"$@\"", &command).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(code(output.status), ends, "{way:?} {script}: {said}");
        }
    }
}

/// A command behind an endpoint: its process, and where the endpoint is.
fn behind_an_endpoint(stage: &Stage, script: &str) -> (std::process::Child, String) {
    let file = stage.path("address");
    let tell = format!(
        "echo $$ $AWS_CONTAINER_CREDENTIALS_FULL_URI > {0}.part; mv {0}.part {0}; {script}",
        file.display()
    );
    let child = exec(stage, WAYS[1], &tell).spawn().unwrap();
    let told = wait_for("an address", || fs::read_to_string(&file).map_err(|it| it.to_string()));
    fs::remove_file(&file).unwrap();
    let (pid, url) = told.trim().split_once(' ').unwrap();
    assert_eq!(pid, child.id().to_string(), "the command is the process that was started");
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    (child, address.to_owned())
}

/// The process that serves the endpoint of a stage's command.
fn server(stage: &Stage) -> Option<Pid> {
    let runtime = stage.path("run");
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let of_stage = |pid: &i32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with("rolekeeper-exec-endpoint\0")
            && line.split('\0').any(|word| Path::new(word) == runtime)
    };
    pids.find(of_stage).map(Pid::from_raw)
}

fn gone(pid: Pid) {
    wait_for("the end of the server", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Nobody may be there to reap it.
        if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err(stat) }
    });
}

#[test]
fn a_command_that_is_killed_is_gone_and_its_server_with_it() {
    let (stage, _daemon) = fresh();
    let (mut child, address) = behind_an_endpoint(&stage, "exec sleep 60");
    let server = server(&stage).expect("a server");
    // As a service manager does that stops a whole service: the command may need credentials to the end.
    kill(server, Signal::SIGTERM).unwrap();
    assert!(TcpListener::bind(&address).is_err());
    child.kill().unwrap();
    let ended: ExitStatus = child.wait().unwrap();
    assert_eq!(code(ended), 137);
    gone(server);
    TcpListener::bind(&address).expect("the port is free again");
}

#[test]
fn nobody_else_takes_the_port_while_there_is_somebody_who_has_the_token() {
    let (stage, _daemon) = fresh();
    // The command ends and leaves one behind.
    let left = stage.path("left");
    let script = format!("sleep 60 & echo $! > {}", left.display());
    let (mut child, address) = behind_an_endpoint(&stage, &script);
    child.wait().unwrap();
    assert!(TcpListener::bind(&address).is_err());
    let left = Pid::from_raw(fs::read_to_string(&left).unwrap().trim().parse().unwrap());
    kill(left, Signal::SIGKILL).unwrap();
    wait_for("a free port", || TcpListener::bind(&address).map_err(|it| it.to_string()));

    let (mut child, address) = behind_an_endpoint(&stage, "exec sleep 60");
    let server = server(&stage).expect("a server");
    kill(server, Signal::SIGKILL).unwrap();
    gone(server);
    assert!(TcpListener::bind(&address).is_err());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("a free port", || TcpListener::bind(&address).map_err(|it| it.to_string()));
}

#[test]
fn nothing_of_the_caller_is_held_open_by_the_server() {
    let (stage, _daemon) = fresh();
    // Whoever reads a pipe that the command has closed sees its end while the command still runs.
    let script = "exec 3>&- 2>&-; exec > /dev/null; read line";
    let command = exec(&stage, WAYS[1], script);
    let line = "exec \"$0\" \"$@\" 3>&1";
    let mut shell = shell(line, &command);
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut said).unwrap();
    assert!(child.try_wait().unwrap().is_none(), "the command waits for its standard input");
    drop(child.stdin.take());
    child.wait().unwrap();
}
