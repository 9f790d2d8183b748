//! Any text as a settings file: no panic; what is wrong has a place in the text; what is right can
//! be shown, and the page that shows it is a settings file that says the same.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rolekeeper::config::{ConfigError, Settings};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("rolekeeper-fuzz-{}.toml", std::process::id()))
});

fuzz_target!(|text: &str| {
    let settings = match load(text) {
        Ok(settings) => settings,
        Err(ConfigError::Invalid { line, column, message, .. }) => {
            assert!((1..=text.lines().count().max(1) + 1).contains(&line), "line {line}");
            assert!(column >= 1 && !message.is_empty() && !message.contains('\n'));
            return;
        }
        Err(error) => panic!("{error}"),
    };
    for disabled in settings.disabled() {
        assert!(!disabled.error.is_empty() && !disabled.error.contains('\n'));
    }
    let page = settings.show(Path::new("/run/rolekeeper/credentials"));
    let again = load(&page).expect("a page that shows settings is a settings file");
    assert_eq!(again.interval.value, settings.interval.value);
    assert_eq!(again.region.value, settings.region.value);
    assert!(again.targets.len() >= settings.targets.len());
});

fn load(text: &str) -> Result<Settings, ConfigError> {
    let file: &Path = &FILE;
    std::fs::write(file, text).expect("the temporary directory can be written");
    Settings::load(Some(file))
}
