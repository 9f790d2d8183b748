//! Any bytes as a credentials file: no panic; what can be edited stays editable, is read back as
//! set, is the same when set again, and holds nothing of ours once that is withdrawn.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rolekeeper::pure::ini::{Document, ProfileName};
use rolekeeper::pure::role_token::RoleToken;
use rolekeeper::pure::secret::Secret;
use time::macros::utc_datetime;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut document) = Document::parse(bytes) else { return };
    assert_eq!(document.as_bytes(), bytes);
    let (profile, token) = (profile(), token());
    if document.set_profile(&profile, &token).is_err() {
        return;
    }
    let once = Document::parse(document.as_bytes()).expect("what we write parses");
    document.set_profile(&profile, &token).expect("what was set can be set again");
    assert!(document == once, "setting twice is setting once");
    let published = document.read_profile(&profile).expect("what was set can be read");
    let published = published.expect("all three keys are there");
    assert!(published.session_token == token.session_token);
    assert_eq!(published.expires_at, Some(token.expires_at));
    document.withdraw_profile(&profile).expect("what was set can be withdrawn");
    Document::parse(document.as_bytes()).expect("what is left parses");
    assert_eq!(document.read_profile(&profile), Ok(None));
});

fn profile() -> ProfileName {
    "default".parse().expect("the name is well formed")
}

fn token() -> RoleToken {
    RoleToken::new(
        Some("ASIAEXAMPLE000000001".into()),
        Some(Secret::new("secret".into())),
        Some(Secret::new("token".into())),
        utc_datetime!(2026-11-22 00:00),
        Some(utc_datetime!(2026-11-22 01:00)),
        false,
    )
    .expect("all members are there")
}
