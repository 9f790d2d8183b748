//! Judges who asks by the rules, after finding out what the rules have to know of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::host::accounts;
use crate::host::clock::timeout;
use crate::pure::access::peer::{NO_GROUP, Peer};
use crate::pure::access::{Access, Allowed, Denial, Denied};

/// How long the account database may take to tell a user's groups, and the disk to tell where a link
/// leads. Less than a client waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Look-ups at a time; one more waits. Those that hang leave the daemon's other work its threads (tokio
/// has 512).
const LOOKUPS: usize = 32;

/// What programs are judged with.
#[derive(Debug, Clone)]
pub struct Judge {
    lookups: Arc<Semaphore>,
}

impl Default for Judge {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

impl Judge {
    /// What `peer` gets that asks for `wanted`. Its groups are looked up if the rules depend on them and
    /// they are not known; the account database may ask a directory server, and is not waited for
    /// without end.
    ///
    /// # Errors
    ///
    /// Why it gets nothing. [`Denial::GroupsUnknown`] when the account database does not answer.
    pub async fn judge<'a>(
        &self,
        access: &'a Access,
        wanted: Option<&str>,
        peer: &mut Peer,
    ) -> Result<Allowed<'a>, Denied> {
        self.find_links(access, peer).await;
        match access.judge(wanted, peer) {
            Err(Denied { because: Denial::GroupsUnknown(_), .. }) => {
                self.find_groups(access, peer).await;
                access.judge(wanted, peer)
            }
            judged => judged,
        }
    }

    async fn find_groups(&self, access: &Access, peer: &mut Peer) {
        let (uid, gid) = (peer.uid, Some(peer.gid).filter(|gid| *gid != NO_GROUP));
        let wanted = access.groups().collect::<Vec<_>>();
        let look = move || accounts::groups_of(uid, gid, &wanted);
        match self.look(look).await {
            Some(Ok(groups)) => {
                peer.groups.extend(groups);
                peer.groups_known = true;
            }
            Some(Err(error)) => tracing::warn!(uid, "groups are not known: {error}"),
            None => tracing::warn!(uid, "groups are not known: the account database is silent"),
        }
    }

    /// The links that rules name are followed now: an upgrade lets them lead elsewhere.
    async fn find_links(&self, access: &Access, peer: &mut Peer) {
        let Some(program) = peer.executable.clone() else { return };
        let others = access.executables().filter(|named| *named != program);
        let others = others.map(Path::to_owned).collect::<Vec<_>>();
        if others.is_empty() {
            return;
        }
        let leads_there = move |named: &PathBuf| named.canonicalize().is_ok_and(|it| it == program);
        let look = move || others.into_iter().filter(leads_there).collect();
        peer.links = self.look(look).await.unwrap_or_default();
    }

    /// Off the event loop; what has begun and hangs keeps its place.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let lookups = Arc::clone(&self.lookups);
        let found = timeout(PATIENCE, async {
            let place = lookups.acquire_owned().await.ok()?;
            let look = move || {
                let found = look();
                drop(place);
                found
            };
            spawn_blocking(look).await.ok()
        });
        found.await.ok().flatten()
    }
}
