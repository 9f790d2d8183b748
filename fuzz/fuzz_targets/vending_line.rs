//! Any bytes as a line on the programs' sockets, and as what the kernel's files tell of a peer: no
//! panic; a request that is read, written and read again is the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rolekeeper::pure::access::peer::{executable, pidfd_process, process_status, unit};
use rolekeeper::vending::{Answer, Request};

fuzz_target!(|line: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(line) {
        let written = serde_json::to_vec(&request).expect("a request can be written");
        assert_eq!(serde_json::from_slice::<Request>(&written).ok(), Some(request));
    }
    let _ = serde_json::from_slice::<Answer>(line);
    if let Ok(text) = str::from_utf8(line) {
        let _ = (process_status(text), unit(text), executable(text), pidfd_process(text));
    }
});
