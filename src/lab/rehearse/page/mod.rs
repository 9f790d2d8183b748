//! The report as a web page: one file, which needs nothing else and runs nothing.
//!
//! ```text
//! mod    the page: what was rehearsed, the picture, each step, the settings
//! chart  the picture: an SVG of what happened and when
//! scale  moments to columns, and the ticks of the axis
//! ```
//!
//! Whatever comes from a scenario or from the lab is escaped, wherever it stands. The page's policy
//! allows its one style sheet by its hash and nothing else: no script, no picture, no address.

mod chart;
mod scale;

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::stage::SHORT_LIFE;
use super::{Line, Record};
use crate::lab::scenario::{MACHINE, Scenario};
use crate::pure::duration::display_duration;
use crate::shelf::Moment;

const STYLE: &str = include_str!("style.css");

/// What is reported on.
#[derive(Debug, Clone)]
pub struct About {
    title: String,
    summary: String,
    learn: String,
    token_lifetime: String,
    hardware: String,
    /// What each step does, and on which machine; as much as the steps themselves do not say.
    acts: Vec<String>,
    /// The scenario's file.
    source: Option<String>,
}

impl About {
    pub fn the_tour() -> Self {
        Self {
            title: "The whole tour".to_owned(),
            summary: "Registration, renewal, an outage, a clone, other addresses, refusals and a \
                      new key."
                .to_owned(),
            learn: String::new(),
            token_lifetime: format!("{} at first", display_duration(SHORT_LIFE)),
            hardware: "this machine's own".to_owned(),
            acts: Vec::new(),
            source: None,
        }
    }

    /// A scenario, and the file that it stands in.
    pub fn of(scenario: &Scenario, source: &str) -> Self {
        let acts = scenario.steps.iter().map(|step| {
            let acts = step.acts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            match step.on.as_str() {
                _ if acts.is_empty() => acts,
                MACHINE => acts,
                on => format!("on {on}: {acts}"),
            }
        });
        Self {
            title: scenario.name.clone(),
            summary: scenario.summary.clone(),
            learn: scenario.learn.clone(),
            token_lifetime: display_duration(scenario.token_lifetime),
            hardware: "made of files, as the scenario has it".to_owned(),
            acts: acts.collect(),
            source: Some(source.to_owned()),
        }
    }
}

/// The whole page.
pub fn page(about: &About, record: &Record, lines: &[Line]) -> String {
    let title = escape(&about.title);
    let held = lines.iter().filter(|line| line.ok).count();
    let verdict = if held == lines.len() { "ok" } else { "failed" };
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{title}: rehearsal</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header>\n<p class=\"kind\">Rolekeeper rehearsal</p>\n<h1>{title}</h1>\n\
         <p class=\"summary\">{summary}</p>\n\
         <p class=\"verdict {verdict}\">{held} of {steps} expectations held</p>\n</header>\n",
        policy = policy(),
        summary = escape(&about.summary),
        steps = lines.len(),
    );
    let picture = chart::chart(record, lines);
    let _ = write!(
        html,
        "<figure>\n<div class=\"plot\" tabindex=\"0\" role=\"group\" aria-label=\"Timeline\">\n{}</div>\n\
         <figcaption>{}</figcaption>\n</figure>\n",
        picture,
        legend(&picture),
    );
    if !about.learn.is_empty() {
        let learn = escape(&about.learn);
        let _ = write!(html, "<section>\n<h2>What it teaches</h2>\n<p>{learn}</p>\n</section>\n");
    }
    html.push_str("<section>\n<h2>Step by step</h2>\n<ol class=\"steps\">\n");
    for (index, line) in lines.iter().enumerate() {
        html.push_str(&step(line, about.acts.get(index).map_or("", String::as_str)));
    }
    html.push_str("</ol>\n</section>\n");
    html.push_str(&settings(about, record, lines));
    if let Some(source) = &about.source {
        let source = escape(source);
        let _ = write!(
            html,
            "<section class=\"source\">\n<h2>The scenario</h2>\n<pre>{source}</pre>\n</section>\n"
        );
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

/// Nothing but this style sheet.
fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

/// What stands in the picture, and nothing else.
fn legend(picture: &str) -> String {
    let mut html = String::from("<span class=\"legend\">");
    let mut entry = |class: &str, shape: &str, word: &str| {
        if picture.contains(&format!("class=\"{class}\"")) {
            let _ = write!(
                html,
                "<span><svg width=\"16\" height=\"12\" aria-hidden=\"true\">{shape}</svg>{word}</span>"
            );
        }
    };
    for (class, word) in [
        ("unregistered", "not registered"),
        ("starting", "waits for the first answer"),
        ("fresh", "fresh"),
        ("stale", "stale"),
        ("expired", "expired"),
        ("hibernating", "hibernating"),
        ("mismatch", "mismatch"),
        ("fault", "fault"),
        ("token", "credentials, from issue to expiry"),
    ] {
        let shape = format!(
            "<rect class=\"{class}\" x=\"1\" y=\"1\" width=\"14\" height=\"10\" rx=\"2\"/>"
        );
        entry(class, &shape, word);
    }
    for (class, word) in [("done", "done"), ("refused", "refused"), ("disturbed", "met a fault")] {
        entry(&format!("mark {class}"), &chart::mark(class, 8.0, 6.0), word);
    }
    html.push_str("</span>");
    html
}

fn step(line: &Line, acts: &str) -> String {
    let class = if line.ok { "ok" } else { "failed" };
    let word = if line.ok { "held" } else { "did not hold" };
    let took = format!("{}.{} s", line.took_ms / 1000, line.took_ms % 1000 / 100);
    let acts = match acts {
        "" => String::new(),
        acts => format!("<p class=\"acts\">{}</p>\n", escape(acts)),
    };
    format!(
        "<li class=\"{class}\">\n<h3>{title}</h3>\n<p class=\"outcome\">{word}<span>{took}</span></p>\n{acts}\
         <div class=\"conditions\">\n<div class=\"names\"><span>Expected</span><span>Seen</span></div>\n\
         {}</div>\n</li>\n",
        conditions(&line.expected, &line.seen),
        title = escape(&line.title),
    )
}

/// Side by side where each has its counterpart: a scenario's have the same order.
fn conditions(expected: &str, seen: &str) -> String {
    let split = |text: &str| text.split("; ").map(escape).collect::<Vec<_>>();
    let (mut expected, mut seen) = (split(expected), split(seen));
    if expected.len() != seen.len() {
        (expected, seen) = (vec![expected.join("<br/>")], vec![seen.join("<br/>")]);
    }
    let rows = expected.iter().zip(&seen);
    rows.map(|(expected, seen)| format!("<div><span>{expected}</span><span>{seen}</span></div>\n"))
        .collect()
}

fn settings(about: &About, record: &Record, lines: &[Line]) -> String {
    let took = lines.iter().map(|line| line.took_ms).sum::<u64>();
    let spans = (record.ended - record.began).unsigned_abs();
    let whole = std::time::Duration::from_secs(spans.as_secs());
    let rows = [
        ("Program", format!("rolekeeper-lab {}", env!("CARGO_PKG_VERSION"))),
        ("Began", Moment(record.began).to_string()),
        ("Ended, by the lab's clock", Moment(record.ended).to_string()),
        ("Passed, by the lab's clock", display_duration(whole)),
        ("Took", format!("{}.{} s", took / 1000, took % 1000 / 100)),
        ("Credentials live", about.token_lifetime.clone()),
        ("Hardware", about.hardware.clone()),
        ("Signatures", "checked, every one".to_owned()),
    ];
    let rows = rows.iter().map(|(name, value)| {
        format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", escape(value))
    });
    let rows = rows.collect::<String>();
    format!("<section>\n<h2>Versions and settings</h2>\n<table>\n{rows}</table>\n</section>\n")
}

/// Text as text, in an element or in an attribute.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() && c != '\n' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests;
