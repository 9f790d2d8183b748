//! IMDSv2's sessions: tokens that say themselves how long they are good, under a key that only the
//! endpoint knows. Nothing is kept per token, so no client can fill the memory by asking for them.
//!
//! ```text
//! token = base64url( end, ms since 1970: 8 │ nonce: 16 │ HMAC-SHA-256 of both: 32 )
//! ```

use std::ops::RangeInclusive;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use time::UtcDateTime;

use crate::pure::secret::Secret;

/// What a session may be asked to last, in seconds (EC2 User Guide, "Use the Instance Metadata
/// Service"): up to six hours.
pub const LIFETIMES: RangeInclusive<u32> = 1..=21_600;

/// What makes two tokens of one instant differ.
pub type Nonce = [u8; 16];

const END: usize = 8;
const SIGNED: usize = END + size_of::<Nonce>();

/// What an endpoint signs its sessions' tokens with. A new one at each start ends all sessions,
/// which costs every client one more request.
#[derive(Debug, Clone)]
pub struct SessionKey(Secret<[u8; 32]>);

impl SessionKey {
    /// From 32 random bytes.
    pub fn new(bytes: Secret<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// A new token; 75 characters that any header may hold.
    pub fn open(&self, seconds: u32, nonce: Nonce, now: UtcDateTime) -> Secret<String> {
        let end = milliseconds(now).saturating_add(i64::from(seconds) * 1000);
        let mut token = [&end.to_be_bytes()[..], &nonce].concat();
        let code = self.code(&token).finalize().into_bytes();
        token.extend_from_slice(&code);
        Secret::new(URL_SAFE_NO_PAD.encode(token))
    }

    /// Whether a token is this endpoint's and its session has not ended.
    pub fn admits(&self, token: &str, now: UtcDateTime) -> bool {
        let Ok(token) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let Some((signed, code)) = token.split_at_checked(SIGNED) else { return false };
        // Takes as long whatever the code is.
        if self.code(signed).verify_slice(code).is_err() {
            return false;
        }
        let Some(end) = signed.first_chunk::<END>() else { return false };
        let left = i64::from_be_bytes(*end).saturating_sub(milliseconds(now));
        // More can only be left if the clock was set back.
        0 < left && left <= i64::from(*LIFETIMES.end()) * 1000
    }

    fn code(&self, signed: &[u8]) -> Hmac<Sha256> {
        let code = Hmac::<Sha256>::new_from_slice(self.0.expose());
        code.expect("HMAC takes a key of any length").chain_update(signed)
    }
}

fn milliseconds(at: UtcDateTime) -> i64 {
    let milliseconds = at.unix_timestamp_nanos() / 1_000_000;
    // A year has 3e10 of them, and the years are at most 999999.
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00:52.106);

    fn key(byte: u8) -> SessionKey {
        SessionKey::new(Secret::new([byte; 32]))
    }

    #[test]
    fn a_session_lasts_as_long_as_was_asked() {
        let token = key(1).open(60, [7; 16], NOW);
        assert_eq!(token.expose().len(), 75);
        let admits = |after| key(1).admits(token.expose(), NOW + Duration::milliseconds(after));
        assert!(admits(0) && admits(59_999));
        assert!(!admits(60_000));
    }

    #[test]
    fn another_endpoints_token_is_none() {
        let token = key(1).open(60, [7; 16], NOW);
        assert!(!key(2).admits(token.expose(), NOW));
        assert!(!key(1).admits("", NOW));
        assert!(!key(1).admits(&token.expose()[1..], NOW));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_lengthen_a_session() {
        let token = key(1).open(*LIFETIMES.end(), [7; 16], NOW);
        assert!(key(1).admits(token.expose(), NOW));
        assert!(!key(1).admits(token.expose(), NOW - Duration::DAY));
    }

    #[test]
    fn two_tokens_of_one_instant_differ() {
        assert_ne!(key(1).open(60, [7; 16], NOW), key(1).open(60, [8; 16], NOW));
    }
}
