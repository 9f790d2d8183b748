//! The report on a terminal.

use std::fmt::Write;
use std::path::Path;

use super::super::names::with_names;
use super::report::{FileReport, LinkReport, NewFile, RemedyReport, Report};
use crate::pure::chain::shown;
use crate::pure::shell::{in_shell, without_controls};

pub(super) fn page(report: &Report) -> String {
    let mut page = Page::default();
    page.subject(report);
    page.looked_at(report);
    for link in report.chain.iter().filter(|link| link.detail.is_some()) {
        page.link(link);
    }
    page.by_sdk(report);
    let verdict = report.verdict.replace('-', " ").to_uppercase();
    page.line("verdict", &format!("{verdict}: {}", with_names(&report.reason)));
    if let Some(gets) = &report.credentials {
        let role = gets.role_arn.as_deref().map(|role| format!(", role {}", shown(role)));
        let role = role.unwrap_or_default();
        page.line("gets", &format!("{}{role}, until {}", shown(&gets.name), gets.expires_at));
    }
    for warning in &report.warnings {
        page.line("warning", warning);
    }
    if let Some(remedy) = &report.remedy {
        page.remedy(report, remedy);
    }
    // Nothing that a stranger chose acts on the terminal.
    without_controls(&page.0)
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, name: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name:<12} {}", value.replace('\n', "\\n"));
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
        if let Some(region) = &report.region {
            self.line("region", region);
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
                let unit = in_shell(unit);
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::outlets::Outlets;
    use super::*;
    use crate::config::Settings;
    use crate::programs;
    use crate::pure::chain::Sdk;
    use crate::pure::unit_settings::UnitSettings;

    /// Names and paths that a stranger chose.
    fn environment() -> impl Strategy<Value = Vec<(String, String)>> {
        let names = select(vec![
            "AWS_CONFIG_FILE",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "AWS_PROFILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        ]);
        let value =
            "(/|http://127.0.0.1/)?[a\\x01-\\x1f\\x7f-\\x{9f} ;'$]{0,8}(\nverdict      RENEWED)?";
        let home = value.prop_map(|value| ("HOME".to_owned(), value));
        (vec((names.prop_map(str::to_owned), value), 0..4), home).prop_map(|(mut all, home)| {
            all.push(home);
            all
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_strangers_text_acts_on_the_terminal(
            environment in environment(), executable in "/[a\\x01-\\x1f\\x7f-\\x{9f}]{0,4}",
            sdk in proptest::option::of(select(&Sdk::ALL[..]))
        ) {
            let unit = UnitSettings { environment, executable: Some(executable), ..UnitSettings::default() };
            let program = programs::at_rest(&unit).unwrap();
            let nowhere = Path::new("/nonexistent/run");
            let outlets = Outlets::of(&Settings::default(), nowhere, &program, sdk).unwrap();
            let report = Report::of(&program, sdk, &outlets);
            let page = page(&report);
            prop_assert!(!page.contains(|c: char| c.is_control() && c != '\n'), "{:?}", page);
            let verdicts = page.lines().filter(|line| line.starts_with("verdict")).count();
            prop_assert_eq!(verdicts, 1, "{}", page);
            if let Some(remedy) = &report.remedy {
                prop_assert!(!remedy.shell.contains(|c: char| c.is_control() && c != '\n'));
                let lines = remedy.shell.lines();
                let mut others = lines.filter(|it| !it.starts_with("export ") && !it.starts_with("unset "));
                prop_assert_eq!(others.next(), None, "{:?}", remedy.shell);
                prop_assert!(!remedy.shell.is_empty() || !remedy.notes.is_empty());
            }
            let json = super::super::json(&report);
            prop_assert!(!json.contains(char::is_control), "{:?}", json);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        }
    }
}
