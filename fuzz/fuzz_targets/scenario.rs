//! Any text as a scenario: no panic; what is refused has a place in the text and says why in one line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rolekeeper::lab::scenario::Scenario;

fuzz_target!(|text: &str| {
    match Scenario::parse(text) {
        Ok(scenario) => assert!(!scenario.name.is_empty()),
        Err(error) => {
            assert!((1..=text.lines().count().max(1) + 1).contains(&error.line), "{error}");
            assert!(error.column >= 1 && !error.message.is_empty(), "{error}");
            assert!(!error.message.contains('\n'), "{error}");
        }
    }
});
