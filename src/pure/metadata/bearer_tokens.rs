//! A consumer's bearer token and the one before it: who read the file a moment before it was replaced
//! is still known.
//!
//! ```text
//! token 1 ├──── current ────┼─ earlier ─┤
//! token 2                   ├──── current ────┼─ earlier ─┤
//!                             GRACE             GRACE
//!         ├───── LIFE ──────┼───── LIFE ──────┼ …
//! ```

use core::time::Duration;

use super::container::BearerToken;

/// How long a token is the one in the file.
pub const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long it is honoured afterwards. Every SDK reads the file again each time it asks, so that
/// seconds would do; an hour is what a program is helped by that was started with a copy.
pub const GRACE: Duration = Duration::from_secs(60 * 60);

/// The tokens by which one consumer is known. Times are since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerTokens {
    current: BearerToken,
    since: Duration,
    earlier: Option<BearerToken>,
}

impl BearerTokens {
    /// `earlier` is what a daemon before this one left, `now` begins the token's life.
    pub fn new(current: BearerToken, earlier: Option<BearerToken>, now: Duration) -> Self {
        Self { current, since: now, earlier }
    }

    /// Puts a new token in the place of the current one.
    #[must_use]
    pub fn succeeded_by(&self, token: BearerToken, now: Duration) -> Self {
        Self::new(token, Some(self.current), now)
    }

    /// The one in the file.
    pub fn current(&self) -> &BearerToken {
        &self.current
    }

    /// When the token's life ends.
    pub fn due(&self) -> Duration {
        self.since + LIFE
    }

    /// Whether it is the one in the file.
    pub fn is_current(&self, token: &BearerToken) -> bool {
        self.current.is(token)
    }

    /// Each token that is honoured.
    pub fn honoured(&self, now: Duration) -> impl Iterator<Item = &BearerToken> {
        let in_grace = now.saturating_sub(self.since) < GRACE;
        [Some(&self.current), self.earlier.as_ref().filter(|_| in_grace)].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::secret::Secret;

    const START: Duration = Duration::from_secs(1000);

    fn token(text: &str) -> BearerToken {
        BearerToken::new(&Secret::new(text.to_owned()))
    }

    fn honoured(tokens: &BearerTokens, now: Duration) -> Vec<BearerToken> {
        tokens.honoured(now).copied().collect()
    }

    #[test]
    fn the_earlier_token_is_honoured_for_its_grace_and_no_longer() {
        let tokens = BearerTokens::new(token("1"), None, START);
        assert_eq!(honoured(&tokens, START), [token("1")]);
        assert_eq!(tokens.due(), START + LIFE);

        let now = tokens.due();
        let tokens = tokens.succeeded_by(token("2"), now);
        let moment = Duration::from_millis(1);
        assert_eq!(honoured(&tokens, now + GRACE - moment), [token("2"), token("1")]);
        assert_eq!(honoured(&tokens, now + GRACE), [token("2")]);
        assert_eq!(tokens.due(), now + LIFE);
    }

    #[test]
    fn the_token_before_the_earlier_one_is_forgotten() {
        let first = BearerTokens::new(token("1"), Some(token("0")), START);
        let third = first.succeeded_by(token("2"), START).succeeded_by(token("3"), START);
        assert_eq!(honoured(&third, START), [token("3"), token("2")]);
    }

    #[test]
    fn what_an_earlier_daemon_left_is_honoured_for_the_grace() {
        let tokens = BearerTokens::new(token("1"), Some(token("0")), START);
        assert_eq!(honoured(&tokens, START), [token("1"), token("0")]);
        assert_eq!(honoured(&tokens, START + GRACE), [token("1")]);
    }
}
