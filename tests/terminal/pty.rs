//! A program at a terminal of its own, and what stands on it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;

use crate::stage::wait_for;

/// What Ctrl-C sends.
pub const CTRL_C: &str = "\x03";

/// A terminal with a program. Dropped, the program is killed.
pub struct Terminal {
    keyboard: File,
    before: Termios,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    program: Child,
}

impl Terminal {
    /// Starts what the command says in a session of its own, whose terminal has so many columns. All its
    /// streams are the terminal.
    pub fn start(command: &Command, columns: u16) -> Self {
        let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let before = tcgetattr(&pty.master).unwrap();
        let slave = File::from(pty.slave);
        // Makes it the controlling terminal, and becomes the program.
        let program = Command::new("setsid")
            .arg("--ctty")
            // A test may be started where some are ignored.
            .args(["env", "--default-signal"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .env("TERM", "xterm-256color")
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        let keyboard = File::from(pty.master);
        let mut glass = keyboard.try_clone().unwrap();
        let screen = Arc::<Mutex<Vec<u8>>>::default();
        let written = Arc::clone(&screen);
        // Ends with an error when nobody has the terminal any more.
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = glass.read(&mut bytes) {
                written.lock().unwrap().extend_from_slice(&bytes[..length]);
            }
        });
        Self { keyboard, before, screen, reader: Some(reader), program }
    }

    /// The program's process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.program.id().cast_signed())
    }

    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    pub fn shows(&self, text: &str) {
        wait_for(text, || if self.screen().contains(text) { Ok(()) } else { Err(self.screen()) });
    }

    pub fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Whether what is typed is shown.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.keyboard).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    /// Waits until the program has ended: how, and all that it wrote. The terminal must be as before.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = wait_for("the end of the program", || {
            self.program.try_wait().unwrap().ok_or_else(|| self.screen())
        });
        let after = tcgetattr(&self.keyboard).unwrap();
        assert_eq!(after.local_flags, self.before.local_flags, "the terminal is not as it was");
        self.reader.take().unwrap().join().unwrap();
        (status, self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended already has nothing left to kill.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// The exit status, or 128 and the number of the signal, as shells have it.
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// Without escape sequences of colours.
pub fn plain(screen: &str) -> String {
    let mut text = String::new();
    let mut rest = screen.chars();
    while let Some(next) = rest.next() {
        match next {
            '\x1b' => drop(rest.by_ref().find(char::is_ascii_alphabetic)),
            '\r' => {}
            other => text.push(other),
        }
    }
    text
}

/// The program that is tested: the one that the variable names, as `.ci/run` does for the release, or the
/// one that was built with the tests.
pub fn program<'a>(variable: &str, built: &'a str) -> std::borrow::Cow<'a, Path> {
    match rolekeeper::host::environment::variable(variable) {
        Some(named) => Path::new(&named).to_owned().into(),
        None => Path::new(built).into(),
    }
}
