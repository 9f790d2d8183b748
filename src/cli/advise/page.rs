//! The report on a terminal.

use std::fmt::Write;
use std::path::Path;

use super::report::{FileReport, LinkReport, NewFile, RemedyReport, Report};
use crate::pure::chain::shown;

pub(super) fn page(report: &Report) -> String {
    let mut page = Page::default();
    page.subject(report);
    page.looked_at(report);
    for link in report.chain.iter().filter(|link| link.detail.is_some()) {
        page.link(link);
    }
    page.by_sdk(report);
    let verdict = report.verdict.replace('-', " ").to_uppercase();
    page.line("verdict", &format!("{verdict}: {}", report.reason));
    if let Some(gets) = &report.credentials {
        let role = gets.role_arn.as_deref().map(|role| format!(", role {}", shown(role)));
        let role = role.unwrap_or_default();
        page.line("gets", &format!("{}{role}, until {}", shown(&gets.name), gets.expires_at));
    }
    if let Some(remedy) = &report.remedy {
        page.remedy(report, remedy);
    }
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, name: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name:<12} {value}");
    }

    fn subject(&mut self, report: &Report) {
        let subject = &report.program;
        let mut text = match (subject.pid, &subject.unit) {
            (Some(pid), _) => format!("process {pid}"),
            (None, Some(_)) => "not running".to_owned(),
            (None, None) => "this shell".to_owned(),
        };
        if let Some(executable) = &subject.executable {
            let _ = write!(text, ", {}", path(executable));
        }
        let _ = write!(text, ", user {}", shown(&subject.user));
        if let Some(unit) = &subject.unit {
            let _ = write!(text, ", unit {}", shown(unit));
        }
        self.line("program", &text);
        if subject.own_namespace {
            self.line("", "a container or a sandbox: its files are read as it sees them");
        }
        match &report.sdk {
            Some(sdk) => self.line("sdk", &format!("{}: {}", sdk.title, sdk.evidence)),
            None => self.line("sdk", "not recognised"),
        }
    }

    fn looked_at(&mut self, report: &Report) {
        if let Some(profile) = &report.profile {
            let by = profile.variable.map(|name| format!(", by {name}")).unwrap_or_default();
            self.line("profile", &format!("{}{by}", shown(&profile.name)));
        }
        let names = match &report.environment[..] {
            [] => "nothing that an SDK looks for".to_owned(),
            names => names.join(" "),
        };
        self.line("environment", &names);
        for FileReport { kind, path: place, state } in &report.files {
            let place = place.as_deref().map_or("no home directory to look in".to_owned(), path);
            let state = if state == "read" { String::new() } else { format!(": {state}") };
            self.line(kind, &format!("{place}{state}"));
        }
    }

    fn link(&mut self, link: &LinkReport) {
        let source = format!("{}, {}", link.source.title(), link.place.title());
        let detail = link.detail.as_deref().unwrap_or_default();
        self.line(link.verdict, &format!("{source}: {detail}"));
    }

    /// Only where they differ.
    fn by_sdk(&mut self, report: &Report) {
        let mut verdicts = report.by_sdk.values().collect::<Vec<_>>();
        verdicts.sort();
        verdicts.dedup();
        for verdict in verdicts.iter().filter(|_| verdicts.len() > 1) {
            let such = report.by_sdk.iter().filter(|(_, other)| *other == *verdict);
            let names = such.map(|(sdk, _)| *sdk).collect::<Vec<_>>();
            self.line("with", &format!("{}: {verdict}", names.join(", ")));
        }
    }

    fn remedy(&mut self, report: &Report, remedy: &RemedyReport) {
        self.0.push_str("\nTo see our renewals:\n");
        for new in [&remedy.settings, &remedy.file, &remedy.drop_in].into_iter().flatten() {
            self.file(new);
        }
        let mut commands = String::new();
        if remedy.settings.is_some() {
            commands.push_str("systemctl reload rolekeeper\n");
        }
        match (&remedy.drop_in, &report.program.unit) {
            (Some(_), Some(unit)) => {
                let unit = shown(unit);
                let _ = writeln!(commands, "systemctl daemon-reload && systemctl restart {unit}");
            }
            _ => commands.push_str(&remedy.shell),
        }
        let _ = write!(self.0, "\n{commands}");
        if !remedy.notes.is_empty() {
            self.0.push('\n');
        }
        for note in &remedy.notes {
            self.line("note", note);
        }
    }

    fn file(&mut self, NewFile { path: place, content }: &NewFile) {
        let _ = writeln!(self.0, "\n# {}", path(place));
        self.0.push_str(content);
    }
}

fn path(path: &Path) -> String {
    shown(&path.to_string_lossy())
}
