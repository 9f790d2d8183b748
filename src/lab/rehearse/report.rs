//! Tells how the tour goes: to a person, line by line and in a table, or to a script, as JSON.

use std::io::{self, ErrorKind, Write};
use std::pin::pin;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::host::clock::{Clock, SystemClock, timeout};
use crate::lab::scenario::{self, Scenario};
use crate::pure::duration::display_duration;
use crate::shelf::Moment;

use super::chronicle::Chronicle;
use super::stage::{Stage, now};
use super::{Seen, Step, Unmet};

/// Columns that a line of text may take.
const WIDTH: usize = 100;

/// How often a terminal is told that a step still goes on.
const TICK: Duration = Duration::from_secs(1);

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

/// What has been told so far. Every step is told of once, in the order of the plan.
pub struct Report {
    form: Form,
    plan: Vec<Planned>,
    /// A table of all steps ends it, as long as their expectations fit into a line.
    table: bool,
    out: Box<dyn Write>,
    told: Vec<Line>,
    /// Hears when a step begins.
    chronicle: Option<Chronicle>,
    began: Duration,
    /// A line is begun and not ended.
    mid_line: bool,
    /// Why the rest could not be written; a reader that has gone away is no reason.
    broken: Option<io::Error>,
}

/// A step before it is rehearsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The name in `--json` and in the summary.
    pub name: String,
    /// What is being rehearsed, for a person.
    pub title: String,
    pub expected: String,
}

/// What the rehearsal came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub steps: usize,
    /// The names of those whose expectation did not hold.
    pub failed: Vec<String>,
}

/// One step, or the summary; `--json` prints it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub at: Moment,
    pub step: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    pub ok: bool,
    pub expected: String,
    pub seen: String,
    pub took_ms: u64,
}

impl Report {
    /// Of the tour.
    pub fn of_tour(form: Form, out: Box<dyn Write>) -> Self {
        let planned = |step: Step| Planned {
            name: step.name().to_owned(),
            title: step.title().to_owned(),
            expected: step.expected().to_owned(),
        };
        Self::new(form, Step::ALL.map(planned).to_vec(), true, out)
    }

    /// Of a scenario, whose steps are called by their numbers.
    pub fn of_scenario(form: Form, scenario: &Scenario, out: Box<dyn Write>) -> Self {
        let planned = |(number, step): (usize, &scenario::Step)| Planned {
            name: number.to_string(),
            title: step.title.clone(),
            expected: step.expected(),
        };
        Self::new(form, (1..).zip(&scenario.steps).map(planned).collect(), false, out)
    }

    fn new(form: Form, plan: Vec<Planned>, table: bool, out: Box<dyn Write>) -> Self {
        let began = SystemClock.since_boot();
        Self {
            form,
            plan,
            table,
            out,
            told: Vec::new(),
            chronicle: None,
            began,
            mid_line: false,
            broken: None,
        }
    }

    /// Before the first step: what it is about.
    pub fn open(&mut self, stage: &Stage, what: &str) {
        self.chronicle = Some(stage.chronicle.clone());
        if self.form != Form::Json {
            let life = stage.lab.with_service(|service| service.token_lifetime);
            self.write(&format!(
                "{what}: a lab at {}, credentials that live {}, files in\n{}\n\n",
                stage.lab.endpoint_url(),
                display_duration(life),
                stage.directory().display(),
            ));
        }
    }

    /// What has been told, in order.
    pub fn told(&self) -> &[Line] {
        &self.told
    }

    /// Plays a scene of the tour and tells how it went. What the next steps need of it comes back,
    /// if it went as expected.
    pub async fn step<T>(
        &mut self,
        step: Step,
        scene: impl Future<Output = Result<Seen<T>, Unmet>>,
    ) -> Option<T> {
        self.play(step as usize, scene).await
    }

    /// The same for the step that the plan has at `index`.
    pub async fn play<T>(
        &mut self,
        index: usize,
        scene: impl Future<Output = Result<Seen<T>, Unmet>>,
    ) -> Option<T> {
        self.leave_out_before(index);
        if let Some(chronicle) = &self.chronicle {
            chronicle.step(index);
        }
        let began = SystemClock.since_boot();
        let mut scene = pin!(scene);
        let outcome = loop {
            self.announce(index, since(began));
            if let Ok(outcome) = timeout(TICK, &mut scene).await {
                break outcome;
            }
        };
        let (ok, seen, value) = match outcome {
            Ok(Seen { text, value }) => (true, text, Some(value)),
            Err(Unmet(text)) => (false, text, None),
        };
        self.tell(index, ok, seen, since(began));
        value
    }

    /// Tells of what was left out, and sums up.
    ///
    /// # Errors
    ///
    /// When a line could not be written.
    pub fn close(&mut self) -> io::Result<Verdict> {
        self.leave_out_before(self.plan.len());
        let verdict = self.verdict();
        self.sum_up(&verdict);
        match self.broken.take() {
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
    fn leave_out_before(&mut self, next: usize) {
        let failed = self.told.iter().rev().find(|line| !line.ok);
        let failed = failed.map_or("nothing", |line| line.step.as_str());
        let seen = format!("not rehearsed, because of {failed}");
        for index in self.told.len()..next {
            self.tell(index, false, seen.clone(), Duration::ZERO);
        }
    }

    fn verdict(&self) -> Verdict {
        let failed =
            self.told.iter().filter(|line| !line.ok).map(|line| line.step.clone()).collect();
        Verdict { steps: self.told.len(), failed }
    }

    /// A line that the next one of the step covers: each is at least as long as the one before.
    fn announce(&mut self, index: usize, passed: Duration) {
        if let Form::Terminal { .. } = self.form {
            let back = self.line_start();
            self.write(&format!("{back}… {} ({} s)", self.plan[index].title, passed.as_secs()));
            self.mid_line = true;
        }
    }

    fn line_start(&self) -> &'static str {
        if self.mid_line { "\r" } else { "" }
    }

    fn tell(&mut self, index: usize, ok: bool, seen: String, took: Duration) {
        let Planned { name, title, expected } = self.plan[index].clone();
        let line = Line {
            at: Moment(now()),
            step: name,
            title,
            ok,
            expected,
            seen,
            took_ms: millis(took),
        };
        let text = match self.form {
            Form::Json => json(&line),
            Form::Plain | Form::Terminal { .. } => self.in_words(&line),
        };
        self.write(&text);
        self.mid_line = false;
        self.told.push(line);
    }

    /// What it is about, what was expected, and what was seen, for a person.
    fn in_words(&self, line: &Line) -> String {
        let (back, mark) = (self.line_start(), self.mark(line.ok));
        let (title, took) = (&line.title, seconds(line.took_ms));
        let number = if self.table { String::new() } else { format!("{}. ", line.step) };
        format!(
            "{back}{mark} {number}{title} ({took})\n{}{}",
            paragraph("  expected  ", &line.expected),
            paragraph("  seen      ", &line.seen),
        )
    }

    fn sum_up(&mut self, verdict: &Verdict) {
        let took = since(self.began);
        let held = verdict.steps - verdict.failed.len();
        let line = Line {
            at: Moment(now()),
            step: "summary".to_owned(),
            title: String::new(),
            ok: verdict.failed.is_empty(),
            expected: format!("{} expectations hold", verdict.steps),
            seen: format!("{held} of {} held", verdict.steps),
            took_ms: millis(took),
        };
        let text = match self.form {
            Form::Json => json(&line),
            Form::Plain | Form::Terminal { .. } => {
                let (mark, seen, took) = (self.mark(line.ok), &line.seen, seconds(line.took_ms));
                let table = if self.table { format!("\n{}", self.table()) } else { String::new() };
                format!("{table}\n{mark} {seen}, in {took}\n")
            }
        };
        self.write(&text);
    }

    fn table(&self) -> String {
        let blanks = " ".repeat(self.mark_word(true).chars().count());
        let mut text = format!("{blanks} {:<23}  {:>6}  EXPECTED\n", "STEP", "TOOK");
        for line in &self.told {
            let (mark, took) = (self.mark(line.ok), seconds(line.took_ms));
            let Line { step, expected, .. } = line;
            text.push_str(&format!("{mark} {step:<23}  {took:>6}  {expected}\n"));
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

    /// Both of a form are of one width.
    fn mark_word(&self, ok: bool) -> &'static str {
        match (self.form, ok) {
            (Form::Terminal { .. }, true) => "✓",
            (Form::Terminal { .. }, false) => "✗",
            (_, true) => "ok    ",
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

fn since(began: Duration) -> Duration {
    SystemClock.since_boot().saturating_sub(began)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

/// Broken between words into lines of [`WIDTH`] columns, under one another behind the label.
fn paragraph(label: &str, text: &str) -> String {
    let indent = label.chars().count();
    let mut lines = label.trim_end().to_owned();
    let mut column = lines.chars().count();
    for word in text.split_whitespace() {
        let width = word.chars().count();
        let fits = column <= indent || column + 1 + width <= WIDTH;
        if !fits {
            lines.push('\n');
            column = 0;
        }
        let blanks = if column < indent { indent - column } else { 1 };
        lines.extend(std::iter::repeat_n(' ', blanks));
        lines.push_str(word);
        column += blanks + width;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use serde_json::Value;

    use super::*;

    /// What was written, after the report is gone.
    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    /// A tour whose third step fails, and whose next three depend on it.
    async fn failing_tour(form: Form) -> (String, Verdict) {
        let paper = Paper::default();
        let mut report = Report::of_tour(form, Box::new(paper.clone()));
        for step in Step::ALL {
            let outcome = match step {
                Step::CredentialsWritten => Err(Unmet("nothing, for a long time".to_owned())),
                _ => Ok(Seen::that("what was expected")),
            };
            if !(Step::CallerIdentity..=Step::Outage).contains(&step) {
                let value = report.step(step, async { outcome }).await;
                assert_eq!(value.is_some(), step != Step::CredentialsWritten);
            }
        }
        let verdict = report.close().unwrap();
        (paper.text(), verdict)
    }

    #[tokio::test]
    async fn every_step_is_one_object_in_order_and_the_summary_is_the_last() {
        let (text, verdict) = failing_tour(Form::Json).await;
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines = lines.collect::<Vec<_>>();
        let names = lines.iter().map(|line| line["step"].as_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(names, [&Step::ALL.map(Step::name)[..], &["summary"]].concat());
        assert!(text.starts_with(r#"{"at":""#), "{text}");
        assert_eq!(lines[13]["ok"], false);
        assert_eq!(lines[13]["seen"], "9 of 13 held");
        assert_eq!(verdict.failed.len(), 4);
    }

    #[tokio::test]
    async fn a_failure_fails_what_depends_on_it_and_nothing_else() {
        let (text, verdict) = failing_tour(Form::Json).await;
        let failed = ["credentials-written", "caller-identity", "refreshed", "outage"];
        assert_eq!(verdict, Verdict { steps: 13, failed: failed.map(str::to_owned).to_vec() });
        assert_eq!(text.matches("not rehearsed, because of credentials-written").count(), 3);
    }

    #[tokio::test]
    async fn a_tour_that_broke_off_early_has_failed() {
        let mut report = Report::of_tour(Form::Plain, Box::new(io::sink()));
        assert_eq!(report.close().unwrap().failed.len(), 13);
    }

    #[tokio::test]
    async fn the_plain_form_is_ascii_without_escape_sequences() {
        let (text, _) = failing_tour(Form::Plain).await;
        assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
        assert!(text.contains("FAILED The daemon starts and writes a credentials file (0.0 s)\n"));
        assert!(text.contains("  seen      nothing, for a long time\n"));
        assert!(text.contains("\nFAILED 9 of 13 held, in 0.0 s\n"), "{text}");
    }

    #[tokio::test]
    async fn a_terminal_gets_colours_only_when_it_may() {
        let (text, _) = failing_tour(Form::Terminal { colours: true }).await;
        assert!(text.contains("\u{1b}[31m✗\u{1b}[0m"), "{text}");
        let (text, _) = failing_tour(Form::Terminal { colours: false }).await;
        assert!(text.contains("✗ credentials-written") && !text.contains('\u{1b}'));
    }

    #[tokio::test]
    async fn each_line_of_a_terminal_covers_the_one_before() {
        let (text, _) = failing_tour(Form::Terminal { colours: false }).await;
        for line in text.lines().filter(|line| line.contains('\r')) {
            let widths = line.split('\r').map(|part| part.chars().count()).collect::<Vec<_>>();
            assert!(widths.is_sorted(), "{line:?}");
        }
    }

    #[test]
    fn no_line_is_wider_than_a_hundred_columns() {
        let long = "eleven more ".repeat(40);
        let text = paragraph("  seen      ", &long);
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.lines().count() == 6 && text.split_whitespace().count() == 81, "{text}");
        assert_eq!(paragraph("  seen      ", ""), "  seen\n");
        let word = "x".repeat(200);
        assert_eq!(paragraph("  seen      ", &word), format!("  seen      {word}\n"));
        for step in Step::ALL {
            assert!(36 + step.expected().len() <= WIDTH, "{}", step.expected());
        }
    }
}
