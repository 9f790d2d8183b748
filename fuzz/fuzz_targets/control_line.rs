//! Any bytes as a line on the control socket: no panic; what is read, written and read again is the
//! same. The daemon reads commands, the operator's program replies.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rolekeeper::control::{Command, Reply};

fuzz_target!(|line: &[u8]| {
    if let Ok(command) = serde_json::from_slice::<Command>(line) {
        let written = serde_json::to_vec(&command).expect("a command can be written");
        assert_eq!(serde_json::from_slice::<Command>(&written).ok(), Some(command));
    }
    if let Ok(reply) = serde_json::from_slice::<Reply>(line) {
        let written = serde_json::to_vec(&reply).expect("a reply can be written");
        assert_eq!(serde_json::from_slice::<Reply>(&written).ok(), Some(reply));
    }
});
