//! `[log]`: how much the daemon says.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;
use tracing::level_filters::LevelFilter;

use super::value::Text;

/// `[log]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Option<Spanned<Text<LogLevel>>>,
}

/// The least important lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

const LEVELS: [LogLevel; 5] =
    [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

impl LogLevel {
    pub fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

impl FromStr for LogLevel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let level = LEVELS.into_iter().find(|level| level.to_string() == text);
        level.ok_or("expected \"error\", \"warn\", \"info\", \"debug\" or \"trace\"")
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::read;
    use super::*;

    #[test]
    fn a_level_has_one_name() {
        assert_eq!(read("").unwrap().log_level.value, LogLevel::Info);
        for level in LEVELS {
            let text = format!("[log]\nlevel = \"{level}\"\n");
            assert_eq!(read(&text).unwrap().log_level.value, level);
        }
        for level in ["Debug", "verbose", "off", "5", ""] {
            let error = read(&format!("[log]\nlevel = \"{level}\"\n")).unwrap_err();
            assert!(error.contains(":2:9: expected \"error\", \"warn\""), "{error}");
        }
    }
}
