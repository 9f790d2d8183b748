//! Any text as a fault, in TOML and in JSON: no panic; what is taken says the same when it is written
//! again, and its window does not end before it begins.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rolekeeper::lab::faults::WireFault;
use time::macros::utc_datetime;

fuzz_target!(|text: &str| {
    let now = utc_datetime!(2026-11-22 00:00);
    let toml = toml::from_str::<WireFault>(text).ok();
    let json = serde_json::from_str::<WireFault>(text).ok();
    for wire in toml.into_iter().chain(json) {
        let written = serde_json::to_string(&wire).expect("a fault is JSON");
        let again = serde_json::from_str::<WireFault>(&written).expect("what was read reads back");
        assert_eq!(again.decode(now), wire.clone().decode(now));
        let Ok(fault) = wire.clone().decode(now) else { continue };
        assert!(fault.until.is_none_or(|until| until >= fault.from.unwrap_or(now)));
        assert!(!fault.to_string().contains('\n'));
        let back = WireFault { lasting: wire.lasting, after: wire.after, ..(&fault).into() };
        assert_eq!(back.decode(now), Ok(fault));
    }
});
