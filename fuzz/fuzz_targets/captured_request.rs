//! Any bytes as a captured request: no panic; without a key nothing is ever said to verify.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rolekeeper::lab::explain::{Capture, explain};
use time::macros::utc_datetime;

fuzz_target!(|bytes: &[u8]| {
    let Ok(capture) = Capture::parse(bytes) else { return };
    let explanation = explain(&capture, &[], Some(utc_datetime!(2026-11-22 00:00)));
    assert_ne!(explanation.verifies(), Some(true));
});
