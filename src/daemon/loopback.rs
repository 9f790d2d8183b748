//! The endpoints on loopback: where they listen, whom they answer, and with what. Everything lies on
//! the shelf; nobody waits for AWS.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Seams;
use super::keyring::Keyring;
use super::rules::{Listen, TokenFiles};
use crate::endpoints::{self, Asked};
use crate::host::clock::{Clock, ServiceClock};
use crate::host::peer::Caller;
use crate::host::places::RATE_OF_A_USER;
use crate::pure::access::Allowed;
use crate::pure::access::peer::Peer;
use crate::pure::advice::{Advice, Exit};
use crate::pure::assumption::RoleArn;
use crate::pure::metadata::container::{self, BearerToken, Grant};
use crate::pure::metadata::session::SessionKey;
use crate::pure::metadata::tree::{Leaf, Tree};
use crate::pure::metadata::{Reply, Unavailable, instance};
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;
use crate::shelf::{Moment, Sign, Snapshot};
use crate::vending::{Audit, Stock};

/// Below it stands a consumer's name: the path of `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
const CONTAINER_PATH: &str = "/credentials/";

/// No request's path: none has a blank.
const NOWHERE: &str = " ";

/// Where an instance's role stands, below a version.
const ROLE_PATH: &str = "meta-data/iam/security-credentials";

/// An address that somebody else has is tried again so often.
const RETRY: Duration = Duration::from_secs(10);

/// The kernel's own number for no user.
const NOBODY: u32 = u32::MAX;

/// Why there is no availability zone.
const NO_ZONE: &str = "no availability zone is known of this machine";

/// Why the identity document comes without what would prove it.
const UNSIGNED: &str = "only AWS can sign an identity document, and only for its own instances";

/// Whoever answers there.
#[derive(Debug)]
struct Clerk {
    stock: Stock,
    keyring: Keyring,
    session_key: SessionKey,
    seams: Seams,
    audit: Mutex<Audit>,
}

/// An endpoint: where it listens, if it does, and whoever answers there.
#[derive(Debug)]
struct Endpoint {
    sign: Arc<Sign>,
    address: Option<SocketAddr>,
    /// The one task that listens.
    task: JoinSet<()>,
}

/// Where an endpoint is to listen.
#[derive(Debug)]
struct Post {
    address: SocketAddr,
    sign: Arc<Sign>,
    service_clock: ServiceClock,
    clock: Arc<dyn Clock>,
}

/// What the endpoints work with.
#[derive(Debug)]
pub(super) struct Means {
    pub(super) stock: Stock,
    pub(super) keyring: Keyring,
    pub(super) token_files: watch::Receiver<TokenFiles>,
    pub(super) listen: watch::Receiver<Listen>,
    /// Where the container endpoint and the IMDS endpoint say what becomes of them.
    pub(super) signs: [Sign; 2],
}

/// Keeps the endpoints open that the settings switch on, and no others, until it is dropped or nobody
/// sets them any more. One that stays where it is goes on undisturbed.
pub(super) async fn keep(
    Means { stock, keyring, token_files, mut listen, signs: [container, imds] }: Means,
    seams: Seams,
) {
    let service_clock = stock.clock.clone();
    let clerk = Arc::new(Clerk {
        stock,
        keyring: keyring.clone(),
        session_key: SessionKey::new(Secret::new(random(&seams))),
        seams: seams.clone(),
        audit: Mutex::default(),
    });
    let mut tokens = JoinSet::new();
    tokens.spawn(keyring.keep(token_files, seams.clone()));
    let (mut container, mut imds) = (Endpoint::new(container), Endpoint::new(imds));
    loop {
        let wanted = *listen.borrow_and_update();
        // Both are out of the way before either takes an address: they may change places.
        container.close_unless(wanted.container).await;
        imds.close_unless(wanted.imds).await;
        container.open(wanted.container, &service_clock, &seams, |post| {
            let (clerk, other) = (Arc::clone(&clerk), Arc::clone(&clerk));
            let answer = move |asked| Arc::clone(&clerk).answer_container(asked);
            serve(post, answer, move |user| other.turn_away(user, container::turn_away()))
        });
        imds.open(wanted.imds, &service_clock, &seams, |post| {
            let (clerk, other) = (Arc::clone(&clerk), Arc::clone(&clerk));
            let answer = move |asked| Arc::clone(&clerk).answer_instance(asked);
            serve(post, answer, move |user| other.turn_away(user, instance::turn_away()))
        });
        if listen.changed().await.is_err() {
            return;
        }
    }
}

/// Listens as soon as it can: an address that somebody else has keeps nobody from their files.
async fn serve<A, F, T>(post: Post, answer: A, turn_away: T)
where
    A: Fn(Asked) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
    T: Fn(Option<u32>) -> Reply + Clone + Send + Sync + 'static,
{
    let listener = post.listen().await;
    endpoints::serve(listener, RATE_OF_A_USER, answer, turn_away).await;
}

impl Endpoint {
    fn new(sign: Sign) -> Self {
        Self { sign: Arc::new(sign), address: None, task: JoinSet::new() }
    }

    /// Gives the address up, with every connection, unless that is the one that is wanted.
    async fn close_unless(&mut self, wanted: Option<SocketAddr>) {
        if let Some(address) = self.address
            && self.address != wanted
        {
            self.task.shutdown().await;
            self.address = None;
            self.sign.take_down();
            tracing::info!(endpoint = self.sign.kind(), %address, "closed");
        }
    }

    fn open<S>(
        &mut self,
        wanted: Option<SocketAddr>,
        service_clock: &ServiceClock,
        seams: &Seams,
        serve: impl FnOnce(Post) -> S,
    ) where
        S: Future<Output = ()> + Send + 'static,
    {
        let Some(address) = wanted.filter(|_| self.address.is_none()) else { return };
        let (service_clock, clock) = (service_clock.clone(), Arc::clone(&seams.clock));
        let sign = Arc::clone(&self.sign);
        self.task.spawn(serve(Post { address, sign, service_clock, clock }));
        self.address = Some(address);
    }
}

impl Post {
    async fn listen(&self) -> TcpListener {
        let (endpoint, wanted) = (self.sign.kind(), self.address);
        let mut since = None;
        loop {
            match endpoints::listen(wanted).await {
                Ok((listener, address)) => {
                    tracing::info!(endpoint, %address, "listens");
                    self.sign.put(address.to_string(), self.now(), None);
                    return listener;
                }
                Err(error) => {
                    if since.is_none() {
                        tracing::error!(
                            endpoint,
                            address = %wanted,
                            "cannot listen: {error}; tried again and again"
                        );
                    }
                    let since = *since.get_or_insert_with(|| self.now());
                    let remedy = format!("ss -ltnp 'sport = :{}', for who has it", wanted.port());
                    self.sign.put(wanted.to_string(), since, Some((error.to_string(), remedy)));
                }
            }
            self.clock.sleep(RETRY).await;
        }
    }

    fn now(&self) -> Moment {
        Moment(self.service_clock.now())
    }
}

impl Clerk {
    /// The token decides: a container's users are not this machine's.
    async fn answer_container(self: Arc<Self>, asked: Asked) -> Reply {
        let (access, snapshot) = (self.stock.access.borrow().clone(), self.stock.shelf.look());
        let known = self.keyring.honoured(self.seams.clock.since_boot());
        let now = self.stock.clock.estimate().latest;
        let (reply, offer) = asked.head(|head| {
            let name = head.path.strip_prefix(CONTAINER_PATH).unwrap_or_default();
            let allowed = access.bearer(name);
            let offer = allowed.map(|allowed| (allowed, credentials(&snapshot, allowed)));
            let grants = known.iter().filter_map(|known| match &offer {
                Some((_, token)) if known.consumer == name => {
                    Some(grant(&known.token, head.path, token.as_deref()))
                }
                None if known.consumer == name => None,
                // It is told from a token that nobody has, and opens nothing here.
                _ => Some(grant(&known.token, NOWHERE, None)),
            });
            (container::answer(head, &grants.collect::<Vec<_>>(), now), offer)
        });
        let vended =
            offer.as_ref().and_then(|(allowed, token)| Some((*allowed, token.as_deref()?)));
        self.note(&caller(asked.user), &reply, vended);
        reply
    }

    /// The user decides, as the kernel knows it.
    async fn answer_instance(self: Arc<Self>, asked: Asked) -> Reply {
        let access = Arc::clone(&self.stock.access.borrow());
        let mut caller = caller(asked.user);
        match self.stock.judge.judge(&access, None, &mut caller.peer).await {
            Err(denied) => {
                self.audit().refused(&caller, None, &denied, self.seams.clock.since_boot());
                let undecided = denied.exit() == Exit::TryAgain;
                asked.head(if undecided { instance::put_off } else { instance::deny })
            }
            Ok(allowed) => self.tell(&asked, &caller, allowed),
        }
    }

    fn tell(&self, asked: &Asked, caller: &Caller, allowed: Allowed<'_>) -> Reply {
        let snapshot = self.stock.shelf.look();
        let token = credentials(&snapshot, allowed);
        let role = format!("{ROLE_PATH}/{}", allowed.name);
        let leaf = Leaf::Credentials(token.as_deref().ok_or(Unavailable::Now));
        let tree = machine(&snapshot).with(&role, leaf);
        let tree = match &token {
            Some(token) => tree.with("meta-data/iam/info", profile(token)),
            None => tree,
        };
        let (nonce, now) = (random(&self.seams), self.stock.clock.estimate().latest);
        let (reply, vended) = asked.head(|head| {
            let reply = instance::answer(head, &self.session_key, &tree, nonce, now);
            (reply, instance::below_version(head.path) == Some(&role))
        });
        self.note(
            caller,
            &reply,
            token.as_deref().filter(|_| vended).map(|token| (allowed, token)),
        );
        reply
    }

    /// For the log: what was handed out, and what looks like somebody who should not be here.
    fn note(&self, caller: &Caller, reply: &Reply, vended: Option<(Allowed<'_>, &RoleToken)>) {
        match (reply.status, vended, &reply.refused) {
            (200, Some((allowed, token)), _) => self.audit().vended(caller, allowed, token),
            (403 | 429, _, Some(refusal)) => {
                self.audit().refused(caller, None, refusal, self.seams.clock.since_boot());
            }
            _ => {}
        }
    }

    /// A user who asks too often, or over too many connections.
    fn turn_away(&self, user: Option<u32>, reply: Reply) -> Reply {
        self.note(&caller(user), &reply, None);
        reply
    }

    fn audit(&self) -> MutexGuard<'_, Audit> {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn grant<'a>(bearer: &'a BearerToken, path: &'a str, token: Option<&'a RoleToken>) -> Grant<'a> {
    Grant {
        token: bearer,
        path,
        credentials: token.ok_or(Unavailable::Now),
        account_id: token.and_then(RoleToken::account_id),
        role_arn: token.and_then(|token| token.role.as_ref()).map(RoleArn::as_str),
    }
}

fn credentials(snapshot: &Snapshot, allowed: Allowed<'_>) -> Option<Arc<RoleToken>> {
    snapshot.credentials_for(allowed.target.unwrap_or(allowed.name))
}

/// What the kernel tells of the other end: its user, and no more.
fn caller(user: Option<u32>) -> Caller {
    Caller { peer: Peer::of_user(user.unwrap_or(NOBODY)), pid: None }
}

/// What a machine outside AWS can honestly say of itself.
fn machine<'a>(snapshot: &Snapshot) -> Tree<'a> {
    let status = &snapshot.status;
    let document = "dynamic/instance-identity";
    let tree = Tree::default()
        .with("meta-data/placement/availability-zone", Leaf::Missing(NO_ZONE))
        .with(format!("{document}/pkcs7"), Leaf::Missing(UNSIGNED))
        .with(format!("{document}/rsa2048"), Leaf::Missing(UNSIGNED))
        .with(format!("{document}/signature"), Leaf::Missing(UNSIGNED));
    let (Some(id), Some(region)) = (&status.instance_id, &status.region) else { return tree };
    let members = vec![
        ("availabilityZone", None),
        ("instanceId", Some(id.clone())),
        ("region", Some(region.clone())),
        ("version", Some("2017-09-30".to_owned())),
    ];
    tree.with("meta-data/instance-id", Leaf::Text(id.clone()))
        .with("meta-data/placement/region", Leaf::Text(region.clone()))
        .with(format!("{document}/document"), Leaf::Document(members))
}

/// Old SDKs look here whether there is a role. A machine outside AWS has no instance profile.
fn profile<'a>(token: &RoleToken) -> Leaf<'a> {
    let updated = Moment(token.issued_at).to_string();
    Leaf::Document(vec![
        ("Code", Some("Success".to_owned())),
        ("LastUpdated", Some(updated)),
        ("InstanceProfileArn", None),
        ("InstanceProfileId", None),
    ])
}

fn random<const N: usize>(seams: &Seams) -> [u8; N] {
    let mut bytes = [0; N];
    seams.entropy.fill(&mut bytes);
    bytes
}
