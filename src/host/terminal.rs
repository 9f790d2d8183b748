//! The person at the terminal: what is said beside the output, in colours where they are wanted, and a
//! secret that is typed.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::pure::secret::Secret;

/// Something is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// All is well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Not as it should be, and not yet wrong.
pub const DOUBTFUL: Style = AnsiColor::Yellow.on_default();

/// This process's terminal, whatever its standard streams are.
const CONTROLLING_TERMINAL: &str = "/dev/tty";

/// Whether colours are wanted on a stream: it is a terminal that has them, and neither `NO_COLOR` nor
/// `CLICOLOR_FORCE` says otherwise (<https://no-color.org>, <https://bixense.com/clicolors>).
pub fn has_colours(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// A text in a style, on a stream that shows colours; as it is on any other.
pub fn styled(text: &str, style: Style, stream: &impl RawStream) -> String {
    match has_colours(stream) {
        true => format!("{style}{text}{style:#}"),
        false => text.to_owned(),
    }
}

/// Whether a person reads standard error as it is written.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Writes a line to standard error. Where nobody can read it, nothing is lost that could be said
/// elsewhere: a closed stream is no error, and no reason to stop (`eprintln!` panics).
pub fn say(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// The two lines of an error: what `program` failed at, and what to try.
pub fn complain(program: &str, message: &str, remedy: &str) {
    let stderr = io::stderr();
    let program = styled(&format!("{program}:"), BAD, &stderr);
    say(format_args!("{program} {message}\n{} {remedy}", styled("try:", DOUBTFUL, &stderr)));
}

/// Asks for a secret of at most `longest` bytes at the terminal, which does not show it. Nothing is asked
/// where standard input is no terminal: a script that forgot something must not wait for ever.
///
/// The terminal shows what is typed again when this ends, and also when it is dropped.
///
/// # Errors
///
/// When the terminal cannot be read.
pub async fn ask_secret(question: &str, longest: usize) -> io::Result<Option<Secret<String>>> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let mut terminal = File::options().read(true).write(true).open(CONTROLLING_TERMINAL)?;
    let mut reader = terminal.try_clone()?;
    // Before the question: what is typed after it is never shown.
    let silence = Silence::begin(terminal.try_clone()?)?;
    terminal.write_all(question.as_bytes())?;
    let line = spawn_blocking(move || read_line(&mut reader, longest)).await;
    drop(silence);
    line.map_err(io::Error::other)?.map(Some)
}

/// Up to the line's end.
fn read_line(terminal: &mut impl Read, longest: usize) -> io::Result<Secret<String>> {
    // Room for all of it at once: a buffer that grew would leave its old halves in memory.
    let mut room = Zeroizing::new(vec![0; longest + 1]);
    let mut filled = 0;
    while filled < room.len() && !room[..filled].ends_with(b"\n") {
        match terminal.read(&mut room[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let text = std::str::from_utf8(&room[..filled])
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "what was typed is not text"))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A terminal that does not show what is typed, but for the end of the line.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    fn begin(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        silent.local_flags.insert(LocalFlags::ECHONL);
        // What was typed already was shown: it is thrown away.
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing any more.
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_it_was_ended() {
        for typed in ["a code\n", "a code\r\n", "a code\nmore\n", "a code"] {
            // A terminal gives a line at a time.
            let mut line = typed.split_inclusive('\n').next().unwrap().as_bytes();
            let read = read_line(&mut line, 20).unwrap();
            assert_eq!(read.expose(), "a code");
        }
        assert!(read_line(&mut &b"\xff\n"[..], 20).is_err());
        assert_eq!(read_line(&mut &b"0123456789"[..], 4).unwrap().expose(), "01234");
    }
}
