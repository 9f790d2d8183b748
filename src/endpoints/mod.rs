//! Answers programs on this machine over HTTP, as `pure::metadata` says. Carries heads in and replies
//! out, within bounds; a request's body is never read. Each request comes with the user who sent it,
//! as the kernel knows the socket.

mod token_file;

pub use token_file::{TokenFile, TokenFileError};

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::header::{CONNECTION, HOST};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{self, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::host::clock::{pause, since_boot, timeout};
use crate::host::entropy::Entropy;
use crate::host::places::{PENALTY, Place, Places};
use crate::host::tcp_peer;
use crate::pure::allowance::Rate;
use crate::pure::metadata::{Head, Reply};
use crate::pure::secret::Secret;

/// Connections at a time; one more waits in the kernel's queue.
const CONNECTIONS: usize = 256;

/// The longest head, in bytes: twice what the longest token needs. hyper's own least.
const LONGEST_HEAD: usize = 8 * 1024;

/// The most header lines of a request; an SDK sends about ten.
const HEADERS: usize = 32;

/// How long a client may take for a head.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a connection is kept for further requests. The first answer after that says that it closes,
/// and no request is lost.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// How much longer a connection lives whose client does not read its last answer.
const CLOSING_TIME: Duration = Duration::from_secs(15);

/// After a connection that could not be accepted: the next would fail at once, too.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Random bytes of a bearer token.
const TOKEN_BYTES: usize = 32;

/// What a server lets its clients do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of each user's requests.
    pub rate: Rate,
    /// How long a connection is kept for further requests.
    pub connection_time: Duration,
}

impl From<Rate> for Limits {
    fn from(rate: Rate) -> Self {
        Self { rate, connection_time: CONNECTION_TIME }
    }
}

/// A request, and time to think about it.
#[derive(Debug)]
pub struct Asked {
    parts: Parts,
    /// Who sent it; none when the client left before the kernel was asked.
    pub user: Option<u32>,
}

impl Asked {
    /// Its head. A header that is not text is there, and says nothing.
    ///
    /// Before HTTP/1.1 a request need not say which host it is for (RFC 9112, section 3.2), and old
    /// clients do not: it is for whomever it came to. No browser is as old as that.
    pub fn head<R>(&self, look: impl FnOnce(&Head<'_>) -> R) -> R {
        let parts = &self.parts;
        let text = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("?")));
        let mut headers = text.collect::<Vec<_>>();
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        if parts.version < Version::HTTP_11 && !parts.headers.contains_key(HOST) {
            headers.push((HOST.as_str(), authority.unwrap_or("localhost")));
        }
        look(&Head { method, authority, path, headers: &headers })
    }
}

/// A new token for the container endpoint's clients: 64 hexadecimal digits.
pub fn bearer_token(entropy: &dyn Entropy) -> Secret<String> {
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    entropy.fill(bytes.as_mut());
    Secret::new(hex::encode(bytes.as_ref()))
}

/// A free port that only this machine reaches.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Listens, and tells where.
///
/// # Errors
///
/// What the system call said.
pub async fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Answers until the task is dropped, and every connection with it. A user who asks more often than the
/// rate of `limits`, or over too many connections, is turned away.
pub async fn serve<A, F, T>(
    listener: TcpListener,
    limits: impl Into<Limits>,
    answer: A,
    turn_away: T,
) where
    A: Fn(Asked) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
    T: Fn(Option<u32>) -> Reply + Clone + Send + Sync + 'static,
{
    let Limits { rate, connection_time } = limits.into();
    let places = Places::new(rate);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        let Ok((stream, user)) = accept(&listener).await else {
            pause(ACCEPT_PAUSE).await;
            continue;
        };
        match places.take(user, since_boot()) {
            Some(place) => {
                let (answer, turn_away) = (answer.clone(), turn_away.clone());
                let last_request = since_boot() + connection_time;
                let client = Client { stream, user, place, last_request };
                let conversation = converse(client, answer, turn_away);
                let limit = connection_time + CLOSING_TIME;
                connections.spawn(async move { drop(timeout(limit, conversation).await) });
            }
            None => {
                let refusal = hang_up(stream, turn_away(user));
                connections.spawn(async { drop(timeout(HEAD_TIME, refusal).await) });
            }
        }
    }
}

/// The next connection and its user, whom the kernel tells right now: later the client may have left.
async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, Option<u32>)> {
    let (stream, client) = listener.accept().await?;
    let server = stream.local_addr()?;
    Ok((stream, tcp_peer::user(client, server).await))
}

/// Says so without having read anything.
async fn hang_up(mut stream: TcpStream, reply: Reply) -> io::Result<()> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let body = reply.body.expose();
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in &reply.headers {
        head.extend([*name, ": ", value.as_str(), "\r\n"]);
    }
    let rest = format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all((head + &rest).as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

/// Whoever is connected.
struct Client {
    stream: TcpStream,
    user: Option<u32>,
    place: Place,
    /// From then on a request is the last one, by the time since boot.
    last_request: Duration,
}

async fn converse<A, F, T>(
    Client { stream, user, place, last_request }: Client,
    answer: A,
    turn_away: T,
) where
    A: Fn(Asked) -> F + Send + Sync,
    F: Future<Output = Reply> + Send,
    T: Fn(Option<u32>) -> Reply + Send + Sync,
{
    let service = service_fn(|request: Request<Incoming>| {
        let asked = Asked { parts: request.into_parts().0, user };
        let now = since_boot();
        let answer = place.may_ask(now).then(|| answer(asked));
        let turn_away = &turn_away;
        async move {
            let reply = match answer {
                Some(reply) => reply.await,
                None => {
                    pause(PENALTY).await;
                    turn_away(user)
                }
            };
            let mut response = response(&reply);
            if now >= last_request {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    // A client that left, or sent no HTTP: hyper has said so to whoever still listens.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        // Who has said all there is to say still waits for the answer.
        .half_close(true)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn response(reply: &Reply) -> Response<String> {
    let body = String::from_utf8_lossy(reply.body.expose()).into_owned();
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    if reply.status == 400 {
        // Whatever follows was not meant as a request, either.
        response = response.header(CONNECTION, "close");
    }
    response.body(body).unwrap_or_else(|_| {
        let mut broken = Response::new(String::new());
        *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}
