//! Any text as a scenario file: no panic; what is refused says why in one line, and where.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rolekeeper::lab::scenario::Scenario;

fuzz_target!(|text: &str| {
    match Scenario::parse(text) {
        Ok(scenario) => {
            assert!(!scenario.steps.is_empty());
            assert!(scenario.steps.iter().all(|step| !step.title.contains(char::is_control)));
        }
        Err(error) => {
            assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
            assert!(error.line >= 1 && error.line <= text.split('\n').count(), "{error}");
        }
    }
});
