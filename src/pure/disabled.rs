//! A target or a consumer of the settings that cannot be served as it stands: the others are.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with one target or consumer, for every report. `Serialize` is the contract of
/// `status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    pub kind: Kind,
    /// None where the settings give no name that can be read.
    pub name: Option<String>,
    /// File and line, and the column where it is known.
    pub place: String,
    /// One sentence without the name.
    pub error: String,
    pub remedy: String,
}

/// The table of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Target,
    Consumer,
}

impl Kind {
    /// The word in every report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Consumer => "consumer",
        }
    }
}

impl Disabled {
    /// Which one, as `consumer 'web'`.
    pub fn subject(&self) -> String {
        match &self.name {
            Some(name) => format!("{} '{name}'", self.kind.name()),
            None => format!("a {}", self.kind.name()),
        }
    }
}

impl fmt::Display for Disabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.subject(), self.error)
    }
}

/// Several of them in one line, for who has room for one: the first, and how many more there are.
pub fn in_one_line(disabled: &[Disabled]) -> Option<String> {
    let (first, others) = disabled.split_first()?;
    Some(match others.len() {
        0 => first.to_string(),
        more => format!("{first}; and {more} more"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_report_says_the_same() {
        let web = Disabled {
            kind: Kind::Consumer,
            name: Some("web".into()),
            place: "/etc/x.toml:4".into(),
            error: "there is no user 'bob' on this machine".into(),
            remedy: "create the user".into(),
        };
        let line = "/etc/x.toml:4: consumer 'web': there is no user 'bob' on this machine";
        assert_eq!(web.to_string(), line);
        assert_eq!(
            serde_json::to_string(&web).unwrap(),
            r#"{"kind":"consumer","name":"web","place":"/etc/x.toml:4","error":"there is no user 'bob' on this machine","remedy":"create the user"}"#
        );
        assert_eq!(in_one_line(&[]), None);
        assert_eq!(in_one_line(std::slice::from_ref(&web)).unwrap(), line);
        let nameless = Disabled { kind: Kind::Target, name: None, ..web.clone() };
        assert!(nameless.to_string().starts_with("/etc/x.toml:4: a target: "));
        assert_eq!(in_one_line(&[web, nameless]).unwrap(), format!("{line}; and 1 more"));
    }
}
