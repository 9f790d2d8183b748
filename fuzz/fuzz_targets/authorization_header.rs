//! Any text as an `Authorization` header: no panic; what is read, written and read again is the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rolekeeper::pure::signing::Authorization;

fuzz_target!(|header: &str| {
    let Ok(authorization) = Authorization::parse(header) else { return };
    let written = authorization.to_string();
    assert_eq!(Authorization::parse(&written).as_ref(), Ok(&authorization));
});
