//! The picture: steps, faults, each machine's states and credentials, requests; one below the other
//! over one axis of time.

use std::fmt::Write;
use std::time::Duration;

use time::UtcDateTime;

use super::escape;
use super::scale::{LEFT, RIGHT, Scale};
use crate::lab::ledger::Outcome;
use crate::lab::operation::Operation;
use crate::lab::rehearse::chronicle::{Band, Lane, Mark, Standing, StepTimes, Token};
use crate::lab::rehearse::{Line, Record};
use crate::pure::duration::display_duration;
use crate::shelf::Moment;

/// The picture's width.
const WIDTH: f64 = 1100.0;

/// The width of a letter, on average, in the size of the labels. Where a label does not fit by this,
/// it is not drawn into its bar.
const LETTER: f64 = 6.1;

/// Heights of rows.
const ROW: f64 = 22.0;
const BAR: f64 = 16.0;
const THIN_ROW: f64 = 17.0;
const THIN_BAR: f64 = 13.0;
const GAP: f64 = 14.0;

/// What is narrower is not seen.
const HAIR: f64 = 0.7;

/// Draws from the top down.
struct Drawing {
    scale: Scale,
    svg: String,
    y: f64,
}

/// The whole picture.
pub fn chart(record: &Record, lines: &[Line]) -> String {
    let steps = record.steps.iter().map(|step| step.began).collect::<Vec<_>>();
    let scale = Scale::new(record.began, record.ended, &steps);
    let mut drawing = Drawing { scale, svg: String::new(), y: 16.0 };
    drawing.steps(&record.steps, lines);
    let top = drawing.y;
    drawing.y += GAP / 2.0;
    drawing.faults(&record.faults, record.ended);
    for lane in &record.machines {
        drawing.machine(lane, record.ended);
    }
    drawing.requests(&record.requests);
    let bottom = drawing.y;
    let axis = drawing.axis(bottom);
    let backdrop = drawing.backdrop(record, top, bottom);
    let height = bottom + 48.0;
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Timeline of steps, faults, states, credentials and requests\">\n\
         {backdrop}{}{axis}</svg>\n",
        drawing.svg,
    )
}

/// A request's mark by its outcome.
pub fn mark(class: &str, x: f64, y: f64) -> String {
    match class {
        "refused" => format!(
            "<path class=\"mark refused\" d=\"M{:.1} {:.1}l7 7m0 -7l-7 7\"/>",
            x - 3.5,
            y - 3.5
        ),
        "disturbed" => {
            format!("<path class=\"mark disturbed\" d=\"M{x:.1} {:.1}l4 7.4h-8z\"/>", y - 4.2)
        }
        _ => format!("<circle class=\"mark done\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.3\"/>"),
    }
}

impl Drawing {
    /// A number in a circle over each step's column.
    fn steps(&mut self, steps: &[StepTimes], lines: &[Line]) {
        self.name("Steps", "heading", self.y + 4.0);
        let y = self.y;
        for (step, column) in steps.iter().zip(self.scale.columns()) {
            let line = lines.get(step.index);
            let class = if line.is_none_or(|line| line.ok) { "step" } else { "step failed" };
            let title = line.map_or_else(String::new, |line| escape(&line.title));
            let (x, number) = ((column.left + column.right) / 2.0, step.index + 1);
            let _ = writeln!(
                self.svg,
                "<g class=\"{class}\"><title>{number}. {title}</title>\
                 <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\">{number}</text></g>",
                y + 3.8,
            );
        }
        self.y += 16.0;
    }

    fn faults(&mut self, faults: &[Band], ended: UtcDateTime) {
        if faults.is_empty() {
            return;
        }
        self.name("Faults", "heading", self.y + 12.0);
        let spans = faults.iter().map(|band| {
            let (from, until) = self.span(band.from, band.until.unwrap_or(ended));
            let label = beside(&band.what, from, until);
            (from.min(label), until.max(label + width(&band.what)))
        });
        let rows = rows(&spans.collect::<Vec<_>>());
        for (band, row) in faults.iter().zip(&rows) {
            let (from, until) = self.span(band.from, band.until.unwrap_or(ended));
            let y = self.y + *row as f64 * ROW;
            self.bar("fault", from, until, y, BAR, &band.what, &self.during(band.from, band.until));
            self.text(&band.what, beside(&band.what, from, until), y + 12.0);
        }
        self.y += height(&rows, ROW) + GAP;
    }

    /// States on one row, credentials on as many as they need.
    fn machine(&mut self, lane: &Lane, ended: UtcDateTime) {
        self.name(&lane.name, "heading", self.y + 12.0);
        let ends = lane.states.iter().skip(1).map(|(at, _)| *at).chain([ended]);
        for ((at, standing), end) in lane.states.iter().zip(ends) {
            let (from, until) = self.span(*at, end);
            let Standing::Running { state, failure } = standing else { continue };
            if until - from < HAIR {
                continue;
            }
            let words = match failure {
                Some(class) => format!("{state}, {class}"),
                None => (*state).to_owned(),
            };
            self.bar(state, from, until, self.y, BAR, &words, &self.during(*at, Some(end)));
            let words =
                [words.as_str(), state].into_iter().find(|it| width(it) + 8.0 <= until - from);
            if let Some(words) = words {
                self.text(words, from + 5.0, self.y + 12.0);
            }
        }
        self.y += ROW;
        self.tokens(&lane.tokens);
        self.y += GAP;
    }

    fn tokens(&mut self, tokens: &[Token]) {
        if tokens.is_empty() {
            return;
        }
        self.name("credentials", "part", self.y + 10.5);
        let spans = tokens.iter().map(|token| self.span(token.issued_at, token.expires_at));
        let rows = rows(&spans.collect::<Vec<_>>());
        for (token, row) in tokens.iter().zip(&rows) {
            let (from, until) = self.span(token.issued_at, token.expires_at);
            let y = self.y + *row as f64 * THIN_ROW;
            let name = format!("...{}", token.suffix);
            let during = self.during(token.issued_at, Some(token.expires_at));
            self.bar("token", from, until, y, THIN_BAR, &name, &during);
            if self.scale.is_beyond(token.expires_at) {
                // It goes on beyond the picture.
                let _ = writeln!(
                    self.svg,
                    "<path class=\"beyond\" d=\"M{:.1} {:.1}l6 {:.1}l-6 {:.1}z\"/>",
                    until + 1.0,
                    y + 1.5,
                    THIN_BAR / 2.0 - 1.5,
                    THIN_BAR / 2.0 - 1.5,
                );
            }
            let life = (token.expires_at - token.issued_at).as_seconds_f64().round().max(0.0);
            let long =
                format!("{name}, for {}", display_duration(Duration::from_secs(life as u64)));
            let words = [long, name].into_iter().find(|it| width(it) + 8.0 <= until - from);
            if let Some(words) = words {
                self.text(&words, from + 5.0, y + 10.5);
            }
        }
        self.y += height(&rows, THIN_ROW);
    }

    /// A row for each operation, in the order in which they were first asked for.
    fn requests(&mut self, requests: &[Mark]) {
        let mut operations = Vec::<Operation>::new();
        for operation in requests.iter().filter_map(|mark| mark.operation) {
            if !operations.contains(&operation) {
                operations.push(operation);
            }
        }
        if operations.is_empty() {
            return;
        }
        self.name("Requests", "heading", self.y + 11.0);
        self.y += THIN_ROW;
        for operation in operations {
            let y = self.y + THIN_BAR / 2.0;
            self.name(operation.name(), "part", y + 4.0);
            let _ = writeln!(self.svg, "<path class=\"thread\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>");
            let mut own = requests
                .iter()
                .filter(|request| request.operation == Some(operation))
                .map(|request| (outcome(&request.outcome), request))
                .collect::<Vec<_>>();
            // What went wrong is drawn over what went well.
            own.sort_by_key(|((class, _), _)| *class != "done");
            for ((class, word), request) in own {
                let shape = mark(class, self.scale.x(request.at), y);
                let (at, word) = (Moment(request.at), escape(word));
                let node =
                    request.node.as_ref().map_or_else(String::new, |node| format!(", {node}"));
                let _ = writeln!(
                    self.svg,
                    "<g><title>{at} {operation}: {word}{node}</title>{shape}</g>"
                );
            }
            self.y += THIN_ROW;
        }
        self.y += 4.0;
    }

    fn axis(&self, bottom: f64) -> String {
        let mut svg = String::new();
        for column in self.scale.columns() {
            let class = if column.is_stretched { "axis stretched" } else { "axis" };
            let (left, right) = (column.left, column.right);
            let _ =
                writeln!(svg, "<path class=\"{class}\" d=\"M{left:.1} {bottom:.1}H{right:.1}\"/>");
        }
        for (x, label) in self.scale.ticks() {
            let _ = writeln!(
                svg,
                "<path class=\"axis\" d=\"M{x:.1} {bottom:.1}v5\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
                bottom + 18.0,
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"unit\" x=\"{:.1}\" y=\"{:.1}\">{} since the beginning, by the lab's clock; \
             where the axis is dotted, time is stretched</text>",
            (LEFT + RIGHT) / 2.0,
            bottom + 38.0,
            self.scale.unit(),
        );
        svg
    }

    /// Behind everything: every other column, each fault as a shade, the grid.
    fn backdrop(&self, record: &Record, top: f64, bottom: f64) -> String {
        let mut svg = String::new();
        for column in self.scale.columns().iter().step_by(2) {
            let _ = writeln!(
                svg,
                "<rect class=\"column\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                column.left,
                column.right - column.left,
                bottom - top,
            );
        }
        for band in &record.faults {
            let (from, until) = self.span(band.from, band.until.unwrap_or(record.ended));
            let _ = writeln!(
                svg,
                "<rect class=\"shade\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                until - from,
                bottom - top,
            );
        }
        for (x, _) in self.scale.ticks() {
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>");
        }
        svg
    }

    /// The columns of a span.
    fn span(&self, from: UtcDateTime, until: UtcDateTime) -> (f64, f64) {
        let (from, until) = (self.scale.x(from), self.scale.x(until));
        (from, until.max(from))
    }

    fn during(&self, from: UtcDateTime, until: Option<UtcDateTime>) -> String {
        match until {
            Some(until) => format!("{} to {}", Moment(from), Moment(until)),
            None => format!("from {} on", Moment(from)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a rectangle has as many")]
    fn bar(
        &mut self,
        class: &str,
        from: f64,
        until: f64,
        y: f64,
        height: f64,
        what: &str,
        when: &str,
    ) {
        let _ = writeln!(
            self.svg,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height}\" \
             rx=\"2\"><title>{}, {when}</title></rect>",
            (until - from).max(2.0),
            escape(what),
        );
    }

    fn text(&mut self, words: &str, x: f64, y: f64) {
        let words = escape(words);
        let _ =
            writeln!(self.svg, "<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
    }

    /// To the left of the plot.
    fn name(&mut self, words: &str, class: &str, y: f64) {
        let _ = writeln!(
            self.svg,
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            LEFT - 12.0,
            escape(words),
        );
    }
}

/// How a request's mark looks, and what it says.
fn outcome(outcome: &Outcome) -> (&'static str, &str) {
    match outcome {
        Outcome::Done => ("done", "done"),
        Outcome::Refused(code) => ("refused", code),
        Outcome::Disturbed(effect) => ("disturbed", effect),
    }
}

/// Where a bar's label begins: in the bar where it fits, else behind it, else before it.
fn beside(words: &str, from: f64, until: f64) -> f64 {
    let wide = width(words);
    if wide + 8.0 <= until - from {
        from + 5.0
    } else if until + 6.0 + wide <= RIGHT {
        until + 6.0
    } else {
        from - 6.0 - wide
    }
}

fn width(words: &str) -> f64 {
    words.chars().count() as f64 * LETTER
}

fn height(rows: &[usize], row: f64) -> f64 {
    rows.iter().max().map_or(0.0, |most| (*most + 1) as f64 * row)
}

/// The first row in which each span meets none that is there already.
fn rows(spans: &[(f64, f64)]) -> Vec<usize> {
    let mut taken = Vec::<Vec<(f64, f64)>>::new();
    let free = |row: &[(f64, f64)], (from, until): (f64, f64)| {
        row.iter().all(|(start, end)| until + 2.0 <= *start || *end + 2.0 <= from)
    };
    spans
        .iter()
        .map(|span| {
            let row = taken.iter().position(|row| free(row, *span));
            let row = row.unwrap_or_else(|| {
                taken.push(Vec::new());
                taken.len() - 1
            });
            taken[row].push(*span);
            row
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_gets_rows_of_its_own() {
        assert_eq!(rows(&[(0.0, 10.0), (5.0, 20.0), (12.0, 30.0), (40.0, 50.0)]), [0, 1, 0, 0]);
    }
}
