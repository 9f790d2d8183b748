//! The lab's socket: one address, and whoever comes is served on a [`connection`].
//!
//! The accept loop is ours and not axum's because two things must reach the connection itself: a
//! fault that resets it, and a stop that closes all of them at once.
//!
//! [`connection`]: super::connection

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::absence;
use super::client::{CallError, Client};
use super::connection::{Visit, serve};
use super::dashboard::Dashboard;
use super::service::Service;
use super::store::{Store, StoreError};
use super::tls::Greeting;
use super::tokens::AdminCredentials;
use crate::host::clock::pause;
use crate::host::entropy::SystemEntropy;
use crate::pure::advice::{Advice, Exit};
use crate::pure::identity::Region;

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

/// What holds the port.
#[derive(Debug)]
enum Presence {
    /// The accept loop; aborting it closes the listener and every connection.
    Listening(JoinHandle<()>),
    /// Bound and not listening: the port stays ours, and connections are refused.
    Away(TcpSocket),
    Gone,
}

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
        let dashboard = Dashboard::new(service.clone(), &greeting, address, &SystemEntropy);
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
                let (service, dashboard) = (door.service.clone(), door.dashboard.clone());
                let visit = Visit { peer: peer.ip(), service, dashboard };
                connections.spawn(serve(stream, door.greeting.clone(), visit, leaving.clone()));
            }
            Err(_) => pause(ACCEPT_PAUSE).await,
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
        pause(ACCEPT_PAUSE).await;
        socket = bind(door.address);
    }
}

/// A panic under the lock would be a mistake of ours; what the service knows is whole all the same.
pub(super) fn lock<T>(service: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    service.lock().unwrap_or_else(PoisonError::into_inner)
}
