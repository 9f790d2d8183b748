//! Tells how the tour goes: to a person, line by line and in a table, or to a script, as JSON.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::host::clock::{Clock, SystemClock};
use crate::shelf::Moment;

use super::stage::{SHORT_LIFE, Stage, now};
use super::{Seen, Step, Unmet};

/// Columns that a line of text may take.
const WIDTH: usize = 100;

/// How the report looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One object a line.
    Json,
    /// ASCII without escape sequences, each line once it is complete.
    Plain,
    /// Says what is going on while it does.
    Terminal { colours: bool },
}

/// What has been told so far. Every step is told of once, in the order of the tour.
pub struct Report {
    form: Form,
    out: Box<dyn Write>,
    told: Vec<Line>,
    began: Duration,
    /// A line is begun and not ended.
    mid_line: bool,
    /// Why the rest could not be written; a reader that has gone away is no reason.
    broken: Option<io::Error>,
}

/// What the tour came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub steps: usize,
    /// The names of those whose expectation did not hold.
    pub failed: Vec<&'static str>,
}

/// One step, or the summary; `--json` prints it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    at: Moment,
    step: &'static str,
    ok: bool,
    expected: String,
    seen: String,
    took_ms: u64,
}

impl Report {
    pub fn new(form: Form, out: Box<dyn Write>) -> Self {
        let began = SystemClock.since_boot();
        Self { form, out, told: Vec::new(), began, mid_line: false, broken: None }
    }

    /// Before the first step.
    pub fn open(&mut self, stage: &Stage) {
        if self.form != Form::Json {
            self.write(&format!(
                "Rehearsal: a lab at {}, credentials that live {} s, files in\n{}\n\n",
                stage.lab.endpoint_url(),
                SHORT_LIFE.as_secs(),
                stage.directory().display(),
            ));
        }
    }

    /// Plays a scene and tells how it went. What the next steps need of it comes back, if it went
    /// as expected.
    pub async fn step<T>(
        &mut self,
        step: Step,
        scene: impl Future<Output = Result<Seen<T>, Unmet>>,
    ) -> Option<T> {
        self.leave_out_before(Some(step));
        self.announce(step);
        let began = SystemClock.since_boot();
        let (ok, seen, value) = match scene.await {
            Ok(Seen { text, value }) => (true, text, Some(value)),
            Err(Unmet(text)) => (false, text, None),
        };
        self.tell(step, ok, seen, SystemClock.since_boot().saturating_sub(began));
        value
    }

    /// Tells of what was left out, and sums up.
    ///
    /// # Errors
    ///
    /// When a line could not be written.
    pub fn close(mut self) -> io::Result<Verdict> {
        self.leave_out_before(None);
        let verdict = self.verdict();
        self.sum_up(&verdict);
        match self.broken {
            Some(error) => Err(error),
            None => Ok(verdict),
        }
    }

    /// Ends the line that was begun: the tour was interrupted.
    pub fn break_off(mut self) {
        if self.mid_line {
            self.write("\n");
        }
    }

    /// The steps before `next` that have not been told of could not be rehearsed.
    fn leave_out_before(&mut self, next: Option<Step>) {
        let failed =
            self.told.iter().rev().find(|line| !line.ok).map_or("nothing", |line| line.step);
        let seen = format!("not rehearsed, because of {failed}");
        for step in Step::ALL.into_iter().skip(self.told.len()) {
            if next.is_some_and(|next| step >= next) {
                break;
            }
            self.tell(step, false, seen.clone(), Duration::ZERO);
        }
    }

    fn verdict(&self) -> Verdict {
        let failed = self.told.iter().filter(|line| !line.ok).map(|line| line.step).collect();
        Verdict { steps: self.told.len(), failed }
    }

    fn announce(&mut self, step: Step) {
        if let Form::Terminal { .. } = self.form {
            self.write(&format!("… {}", step.title()));
            self.mid_line = true;
        }
    }

    fn tell(&mut self, step: Step, ok: bool, seen: String, took: Duration) {
        let line = Line {
            at: Moment(now()),
            step: step.name(),
            ok,
            expected: step.expected().to_owned(),
            seen,
            took_ms: millis(took),
        };
        let text = match self.form {
            Form::Json => json(&line),
            Form::Plain | Form::Terminal { .. } => self.in_words(step, &line),
        };
        self.write(&text);
        self.mid_line = false;
        self.told.push(line);
    }

    /// Two lines for a person: what it is about, and what was seen; a third when that was not what
    /// was expected.
    fn in_words(&self, step: Step, line: &Line) -> String {
        // The line that `announce` began is shorter than this one, which covers it.
        let back = if self.mid_line { "\r" } else { "" };
        let mut text =
            format!("{back}{} {} ({})\n", self.mark(line.ok), step.title(), seconds(line.took_ms));
        if !line.ok {
            text.push_str(&indented(&format!("expected: {}", line.expected)));
        }
        let seen = if line.ok { line.seen.clone() } else { format!("seen: {}", line.seen) };
        text.push_str(&indented(&seen));
        text
    }

    fn sum_up(&mut self, verdict: &Verdict) {
        let took = SystemClock.since_boot().saturating_sub(self.began);
        let held = verdict.steps - verdict.failed.len();
        let line = Line {
            at: Moment(now()),
            step: "summary",
            ok: verdict.failed.is_empty(),
            expected: format!("{} expectations hold", verdict.steps),
            seen: match verdict.failed.as_slice() {
                [] => format!("{held} of {} held", verdict.steps),
                failed => format!("{held} of {} held; not: {}", verdict.steps, failed.join(", ")),
            },
            took_ms: millis(took),
        };
        let text = match self.form {
            Form::Json => json(&line),
            Form::Plain | Form::Terminal { .. } => {
                let ending =
                    format!("{} {}, in {}", self.mark(line.ok), line.seen, seconds(line.took_ms));
                format!("\n{}\n{ending}\n", self.table())
            }
        };
        self.write(&text);
    }

    fn table(&self) -> String {
        let mut text = format!("{:<6}  {:<23}  {:>6}  EXPECTED\n", "RESULT", "STEP", "TOOK");
        for line in &self.told {
            let Line { step, expected, .. } = line;
            // A mark is padded by what it shows, not by its escape sequences.
            let (mark, blanks) = (self.mark(line.ok), " ".repeat(6 - self.mark_width(line.ok)));
            let took = seconds(line.took_ms);
            text.push_str(&format!("{mark}{blanks}  {step:<23}  {took:>6}  {expected}\n"));
        }
        text
    }

    fn mark(&self, ok: bool) -> String {
        let word = self.mark_word(ok);
        let colour = if ok { AnsiColor::Green } else { AnsiColor::Red };
        let style = match self.form {
            Form::Terminal { colours: true } => colour.on_default().bold(),
            _ => Style::new(),
        };
        format!("{style}{word}{style:#}")
    }

    fn mark_width(&self, ok: bool) -> usize {
        self.mark_word(ok).chars().count()
    }

    fn mark_word(&self, ok: bool) -> &'static str {
        match (self.form, ok) {
            (Form::Terminal { .. }, true) => "✓",
            (Form::Terminal { .. }, false) => "✗",
            (_, true) => "ok",
            (_, false) => "FAILED",
        }
    }

    fn write(&mut self, text: &str) {
        if self.broken.is_some() {
            return;
        }
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        self.broken = written.err().filter(|error| error.kind() != ErrorKind::BrokenPipe);
    }
}

fn json(line: &Line) -> String {
    // Strings, numbers and a date always have a JSON form.
    let object = serde_json::to_string(line).expect("a line of plain members");
    format!("{object}\n")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

/// Broken between words into lines of [`WIDTH`] columns, four of them blank.
fn indented(text: &str) -> String {
    const INDENT: &str = "    ";
    let mut lines = String::new();
    let mut column = WIDTH;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column + 1 + width > WIDTH {
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(INDENT);
            column = INDENT.len();
        } else {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines.push('\n');
    lines
}
