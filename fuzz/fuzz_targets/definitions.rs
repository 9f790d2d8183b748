//! Any text as a file of roles and buckets, in TOML and in JSON: no panic; what is refused says why in
//! one line and leaves the service as it was.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rolekeeper::host::entropy::SystemEntropy;
use rolekeeper::lab::definitions::Definitions;
use rolekeeper::lab::service::Service;

fuzz_target!(|text: &str| {
    for read in [Definitions::from_toml(text), Definitions::from_json(text)] {
        let region = "us-east-1".parse().expect("the region is well formed");
        let mut service = Service::new(region, Duration::from_secs(3600), &SystemEntropy);
        let before = service.buckets.iter().count();
        let applied =
            read.and_then(|definitions| definitions.apply(&mut service, &SystemEntropy));
        if let Err(error) = applied {
            let message = error.to_string();
            assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
            assert_eq!(service.buckets.iter().count(), before);
        }
    }
});
