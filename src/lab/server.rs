//! The lab's sockets: HTTP/1.1 on one address, every request handed to [`Service`].
//!
//! The accept loop is ours and not axum's because two things must reach the connection itself: a
//! fault that resets it, and a stop that closes all of them at once.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, State};
use axum::response::Response;
use futures_util::stream::{self, StreamExt};
use hyper::body::Body as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::absence;
use super::client::{CallError, Client};
use super::dashboard::Dashboard;
use super::hops::HopLimit;
use super::message::{Reply, Request};
use super::service::{Conduct, Service};
use super::signatures::{Finding, claimed_key};
use super::store::{Store, StoreError};
use super::tls::{Greeted, Greeting, OverTcp};
use super::tokens::AdminCredentials;
use super::unreadable::Withholding;
use crate::host::clock::{Clock, SystemClock};
use crate::host::entropy::SystemEntropy;
use crate::pure::advice::{Advice, Exit};
use crate::pure::identity::Region;

/// The largest body that is read; ten times what any operation needs.
const LARGEST_BODY: usize = 1024 * 1024;

/// How long a client may take over a request's head, and may leave a connection idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take over a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that are served at once; more wait to be accepted.
const MOST_CONNECTIONS: usize = 1000;

/// Pause after a failed `accept` (too many open files, usually), so that the loop is never hot.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that the kernel queues for `accept`.
const BACKLOG: u32 = 1024;

/// How a lab starts.
#[derive(Debug, Clone)]
pub struct LabSettings {
    /// Port 0 picks a free one.
    pub listen: SocketAddr,
    /// How long role credentials live.
    pub token_lifetime: Duration,
    /// The region that signatures must name.
    pub region: Region,
    /// What the lab knows is in this file; without one it is gone at the end.
    pub data: Option<PathBuf>,
    /// With or without TLS.
    pub greeting: Greeting,
}

/// A lab that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A lab that runs on the current tokio runtime. Dropping it stops it.
#[derive(Debug)]
pub struct Lab {
    door: Door,
    admin: AdminCredentials,
    region: Region,
    presence: Presence,
}

/// Where clients come in, how they are greeted, and who answers them.
#[derive(Debug, Clone)]
struct Door {
    address: SocketAddr,
    greeting: Greeting,
    service: Arc<Mutex<Service>>,
    dashboard: Dashboard,
}

/// Who came in, and who answers them.
#[derive(Debug, Clone)]
struct Visit {
    peer: IpAddr,
    service: Arc<Mutex<Service>>,
    dashboard: Dashboard,
}

/// What holds the port.
#[derive(Debug)]
enum Presence {
    /// The accept loop; aborting it closes the listener and every connection.
    Listening(JoinHandle<()>),
    /// Bound and not listening: the port stays ours, and connections are refused.
    Away(TcpSocket),
    Gone,
}

/// Lets a request's fault reach its connection.
#[derive(Debug, Clone, Default)]
struct ResetSwitch(Arc<Notify>);

impl Lab {
    /// Starts to listen; once this returns, requests are answered.
    ///
    /// # Errors
    ///
    /// The file or the address cannot be had.
    pub async fn start(settings: LabSettings) -> Result<Self, StartError> {
        let region = &settings.region;
        let store = match &settings.data {
            Some(path) => Store::open(path, region)?,
            None => Store::in_memory(region)?,
        };
        let lifetime = settings.token_lifetime;
        let service = Service::open(store, region.clone(), lifetime, &SystemEntropy)?;
        let refused = |error| StartError::Listen(settings.listen, error);
        let listener = bind(settings.listen).and_then(|socket| socket.listen(BACKLOG));
        let listener = listener.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let admin = service.admin().clone();
        let service = Arc::new(Mutex::new(service));
        let greeting = settings.greeting;
        let url = greeting.url(address);
        let dashboard = Dashboard::new(service.clone(), url, greeting.ca_bundle(), &SystemEntropy);
        let door = Door { address, greeting, service, dashboard };
        let presence = Presence::Listening(tokio::spawn(accept(listener, door.clone())));
        Ok(Self { door, admin, region: settings.region, presence })
    }

    /// `http://127.0.0.1:4599`, or `https` with TLS.
    pub fn endpoint_url(&self) -> String {
        self.door.greeting.url(self.door.address)
    }

    /// The file of certificates that clients must trust; none without TLS.
    pub fn ca_bundle(&self) -> Option<&Path> {
        self.door.greeting.ca_bundle()
    }

    pub fn address(&self) -> SocketAddr {
        self.door.address
    }

    /// `http://127.0.0.1:4599/?token=…`: who has it may do there what the administrator may.
    pub fn dashboard_url(&self) -> String {
        self.door.dashboard.url()
    }

    pub fn admin(&self) -> &AdminCredentials {
        &self.admin
    }

    pub fn region(&self) -> &Region {
        &self.region
    }

    /// An administrator's way in, over HTTP like everybody's.
    ///
    /// # Errors
    ///
    /// Somebody took the file of certificates away.
    pub fn client(&self) -> Result<Client, CallError> {
        let (admin, region) = (self.admin.clone(), self.region.clone());
        Client::new(&self.endpoint_url(), self.ca_bundle(), admin, region)
    }

    /// Looks into the service, or changes it: nodes, faults, ledger, token lifetime, clock.
    /// Requests wait meanwhile.
    pub fn with_service<T>(&self, look: impl FnOnce(&mut Service) -> T) -> T {
        let seen = look(&mut lock(&self.door.service));
        self.door.dashboard.changed();
        seen
    }

    /// Drops every connection and refuses new ones, as a service does that is down. What it knows
    /// stays.
    ///
    /// # Errors
    ///
    /// Another process took the port in the same instant.
    pub async fn stop_listening(&mut self) -> io::Result<()> {
        if let Presence::Listening(accepting) = &mut self.presence {
            stop(accepting).await;
            self.presence = Presence::Gone;
            self.presence = Presence::Away(bind(self.door.address)?);
        }
        Ok(())
    }

    /// Listens again on the same address.
    ///
    /// # Errors
    ///
    /// The address cannot be had any more.
    pub fn resume_listening(&mut self) -> io::Result<()> {
        let socket = match std::mem::replace(&mut self.presence, Presence::Gone) {
            Presence::Away(socket) => socket,
            Presence::Gone => bind(self.door.address)?,
            listening @ Presence::Listening(_) => {
                self.presence = listening;
                return Ok(());
            }
        };
        let listener = socket.listen(BACKLOG)?;
        self.presence = Presence::Listening(tokio::spawn(accept(listener, self.door.clone())));
        Ok(())
    }

    /// Stops for good; once this returns, the port is free and every connection is closed.
    pub async fn shutdown(mut self) {
        if let Presence::Listening(accepting) = &mut self.presence {
            stop(accepting).await;
        }
        self.presence = Presence::Gone;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Presence::Listening(accepting) = &self.presence {
            accepting.abort();
        }
    }
}

/// A lab in memory, on a free port of loopback, with AWS's usual lifetime and region.
impl Default for LabSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token_lifetime: Duration::from_secs(3600),
            region: "us-east-1".parse().expect("a region's name"),
            data: None,
            greeting: Greeting::Plain,
        }
    }
}

impl Advice for StartError {
    fn remedy(&self) -> String {
        match self {
            StartError::Listen(..) => "--listen 127.0.0.1:0, which picks a free port".to_owned(),
            StartError::Store(error) => error.remedy(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            StartError::Listen(..) => Exit::Unavailable,
            StartError::Store(error) => error.exit(),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port whose old connections are still winding down can be had again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn stop(accepting: &mut JoinHandle<()>) {
    accepting.abort();
    // The only way this task ends is being aborted.
    let _ = accepting.await;
}

/// Accepts until it is aborted, but for the times when a fault refuses connections. The set owns the
/// connections, so they end with it.
async fn accept(mut listener: TcpListener, door: Door) {
    let mut connections = JoinSet::new();
    loop {
        let (present, leaving) = watch::channel(());
        tokio::select! {
            never = accept_all(&listener, &door, &leaving, &mut connections) => match never {},
            () = absence::begins(&door.service) => {}
        }
        // Connections end once they have been answered.
        drop(present);
        drop(listener);
        listener = away(&door).await;
    }
}

async fn accept_all(
    listener: &TcpListener,
    door: &Door,
    leaving: &watch::Receiver<()>,
    connections: &mut JoinSet<()>,
) -> Infallible {
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, peer)) => {
                connections.spawn(serve(stream, peer, door.clone(), leaving.clone()));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Holds the port without listening until the absence is over, and listens again.
async fn away(door: &Door) -> TcpListener {
    let mut socket = bind(door.address);
    absence::ends(&door.service).await;
    loop {
        if let Ok(listener) = socket.and_then(|socket| socket.listen(BACKLOG)) {
            return listener;
        }
        // Another process took the port in the same instant.
        tokio::time::sleep(ACCEPT_PAUSE).await;
        socket = bind(door.address);
    }
}

/// One connection, from its handshake on.
async fn serve(stream: TcpStream, peer: SocketAddr, door: Door, leaving: watch::Receiver<()>) {
    // Small answers go out at once; without it they would only be later.
    let _ = stream.set_nodelay(true);
    let visit = Visit { peer: peer.ip(), service: door.service, dashboard: door.dashboard };
    match door.greeting.greet(stream).await {
        Some(Greeted::Plain(stream)) => converse(stream, visit, leaving, HEAD_TIMEOUT).await,
        Some(Greeted::Tls(stream)) => converse(*stream, visit, leaving, HEAD_TIMEOUT).await,
        None => {}
    }
}

/// HTTP on one connection, to its end or to its reset.
async fn converse(
    stream: impl OverTcp,
    visit: Visit,
    mut leaving: watch::Receiver<()>,
    head_timeout: Duration,
) {
    let reset = ResetSwitch::default();
    let router = Router::new()
        .fallback(handle)
        .layer(Extension(reset.clone()))
        .layer(Extension(HopLimit::of(stream.tcp())))
        .with_state(visit);
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(Withholding::new(stream)), TowerToHyperService::new(router));
    let ended = {
        let mut reset_asked = pin!(reset.0.notified());
        let mut left = false;
        loop {
            tokio::select! {
                ended = &mut connection => break Some(ended),
                () = &mut reset_asked => break None,
                // Nothing is ever sent; the other end is dropped.
                _ = leaving.changed(), if !left => {
                    left = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    };
    let connection = connection.into_parts().io.into_inner();
    match ended {
        Some(ended) => connection.finish(ended).await,
        // Closing with a linger of zero sends a reset instead of an orderly end.
        None => drop(connection.stream().tcp().set_zero_linger()),
    }
}

async fn handle(
    State(Visit { peer, service, dashboard }): State<Visit>,
    Extension(reset): Extension<ResetSwitch>,
    Extension(hops): Extension<HopLimit>,
    request: axum::extract::Request,
) -> Response {
    let mut request = match receive(request, BODY_TIMEOUT).await {
        Ok(request) => request,
        Err(reply) => return whole(reply),
    };
    hops.prepare(&request);
    // While the signature is verified, which is most of the work, others have the service.
    let key = claimed_key(&request, &lock(&service).nodes);
    request.finding = key.and_then(|key| Finding::of(&request, key));
    let now = || SystemClock.now();
    if let Some(response) = dashboard.answer(&request, peer, &SystemEntropy, now()) {
        return response;
    }
    let conduct = lock(&service).receive(&request, &SystemEntropy, now());
    dashboard.changed();
    match conduct {
        Conduct::Answer(reply) => whole(reply),
        Conduct::AnswerAfter(delay) => {
            tokio::time::sleep(delay).await;
            let reply = lock(&service).answer(&request, &SystemEntropy, now());
            dashboard.changed();
            whole(reply)
        }
        Conduct::Tear(reply) => torn(reply),
        Conduct::Hang => pending().await,
        Conduct::Reset => {
            reset.0.notify_one();
            pending().await
        }
    }
}

/// Reads a request whole, within bounds of size and time.
async fn receive(
    request: axum::extract::Request,
    body_timeout: Duration,
) -> Result<Request, Reply> {
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > LARGEST_BODY as u64 {
        return Err(plain(413, "the body is larger than 1 MiB\n"));
    }
    let body = match tokio::time::timeout(body_timeout, to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(plain(400, "the body is broken, or larger than 1 MiB\n")),
        Err(_) => return Err(plain(408, "the body did not arrive within 10 s\n")),
    };
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    Ok(Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers,
        body: body.into(),
        finding: None,
    })
}

fn plain(status: u16, text: &str) -> Reply {
    let mut reply = Reply::new(status, "text/plain", text.into());
    // The rest of the request is still on its way; nothing can follow it.
    reply.headers.push(("connection", "close".to_owned()));
    reply
}

/// An answer with its length.
pub(super) fn whole(reply: Reply) -> Response {
    respond(&reply, Body::from(reply.body.clone()), reply.body.len())
}

/// The head of the whole answer, the first half of its body, and then the end of the connection.
fn torn(reply: Reply) -> Response {
    let half = Bytes::copy_from_slice(&reply.body[..reply.body.len() / 2]);
    let end = async {
        // An error at once would overtake the half that is still to be written.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    let body = stream::once(async { Ok(half) }).chain(stream::once(end));
    respond(&reply, Body::from_stream(body), reply.body.len())
}

fn respond(reply: &Reply, body: Body, length: usize) -> Response {
    let mut response = Response::builder().status(reply.status).header("content-length", length);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    response.body(body).unwrap_or_else(|_| {
        // Statuses and header values are made here or checked where faults come in.
        let mut response = Response::new(Body::empty());
        *response.status_mut() = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// A panic under the lock would be a mistake of ours; what the service knows is whole all the same.
pub(super) fn lock<T>(service: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    service.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
