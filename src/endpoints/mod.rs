//! Answers programs on this machine over HTTP, as `pure::metadata` says. Carries heads in and replies
//! out, within bounds; a request's body is never read.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::pure::metadata::{Head, Reply};

/// Connections at a time; one more waits in the kernel's queue.
const CONNECTIONS: usize = 64;

/// The longest head, in bytes: twice what the longest token needs. hyper's own least.
const LONGEST_HEAD: usize = 8 * 1024;

/// The most header lines of a request; an SDK sends about ten.
const HEADERS: usize = 32;

/// How long a client may take for a head.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a connection lives, whatever goes on there.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// After a connection that could not be accepted: the next would fail at once, too.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A request, and time to think about it.
#[derive(Debug)]
pub struct Asked(Parts);

impl Asked {
    /// Its head. A header that is not text is there, and says nothing.
    pub fn head<R>(&self, look: impl FnOnce(&Head<'_>) -> R) -> R {
        let Self(parts) = self;
        let text = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("?")));
        let headers = text.collect::<Vec<_>>();
        look(&Head { method: parts.method.as_str(), path: parts.uri.path(), headers: &headers })
    }
}

/// Listens on a free port that only this machine reaches.
///
/// # Errors
///
/// What the system call said.
pub async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Answers until the task is dropped, and every connection with it.
pub async fn serve<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(Asked) -> F + Clone + Send + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let conversation = converse(stream, answer.clone());
                connections.spawn(timeout(CONNECTION_TIME, conversation));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn converse<A, F>(stream: TcpStream, answer: A)
where
    A: Fn(Asked) -> F + Send,
    F: Future<Output = Reply> + Send,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let reply = answer(Asked(request.into_parts().0));
        async move { Ok::<_, Infallible>(response(&reply.await)) }
    });
    // A client that left, or sent no HTTP: hyper has said so to whoever still listens.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
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
    response.body(body).unwrap_or_else(|_| {
        let mut broken = Response::new(String::new());
        *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}
