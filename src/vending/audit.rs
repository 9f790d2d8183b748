//! Who was given what: a line in the log for each time, and for each refusal as long as there are not
//! too many of them.

use std::fmt::Display;
use std::time::Duration;

use crate::host::peer::Caller;
use crate::pure::access::Allowed;
use crate::pure::role_token::RoleToken;
use crate::shelf::Moment;

/// Refusals that are logged in one [`SPAN`]; whoever is refused may ask as often as they like.
const REFUSALS: u32 = 20;

const SPAN: Duration = Duration::from_secs(60);

/// The log's memory.
#[derive(Debug, Default)]
pub struct Audit {
    /// When the span began, by the time since boot.
    since: Duration,
    logged: u32,
    unlogged: u64,
}

impl Audit {
    /// Credentials were handed out.
    pub fn vended(&self, caller: &Caller, allowed: Allowed<'_>, token: &RoleToken) {
        tracing::info!(
            name = allowed.name,
            allowed_as = allowed.because.name(),
            uid = caller.peer.uid,
            pid = caller.pid,
            unit = caller.peer.unit,
            access_key = format_args!("..{}", token.access_key_id.suffix()),
            expires = %Moment(token.expires_at),
            "credentials handed out",
        );
    }

    /// A request was refused. `now` is the time since boot.
    pub fn refused(
        &mut self,
        caller: &Caller,
        wanted: Option<&str>,
        why: &impl Display,
        now: Duration,
    ) {
        if !self.has_room(now) {
            self.unlogged += 1;
            return;
        }
        tracing::warn!(
            wanted,
            uid = caller.peer.uid,
            pid = caller.pid,
            unit = caller.peer.unit,
            // With anybody's words in it: no line of the log becomes theirs.
            "credentials refused: {}",
            why.to_string().escape_debug(),
        );
    }

    fn has_room(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= SPAN {
            if self.unlogged > 0 {
                tracing::warn!(refusals = self.unlogged, "more credentials were refused");
            }
            *self = Self { since: now, ..Self::default() };
        }
        let room = self.logged < REFUSALS;
        self.logged += u32::from(room);
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_room_for_so_many_refusals_and_the_next_one_for_as_many_again() {
        let mut audit = Audit::default();
        let taken = |audit: &mut Audit, now| (0..50).filter(|_| audit.has_room(now)).count();
        assert_eq!(taken(&mut audit, Duration::from_secs(100)), 20);
        assert_eq!(taken(&mut audit, Duration::from_secs(159)), 0);
        assert_eq!(taken(&mut audit, Duration::from_secs(160)), 20);
    }
}
