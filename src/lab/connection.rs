//! One connection to the lab: requests in, answers out, and whatever a fault does to both.

use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, State};
use axum::response::Response;
use futures_util::stream::{self, StreamExt};
use hyper::body::Body as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use super::conduct::Conduct;
use super::dashboard::Dashboard;
use super::hops::HopLimit;
use super::message::{Reply, Request};
use super::server::lock;
use super::service::Service;
use super::signatures::{Finding, claimed_key};
use super::tls::{Greeted, Greeting, OverTcp};
use super::unreadable::Withholding;
use crate::host::clock::{Clock, SystemClock, pause, timeout};
use crate::host::entropy::SystemEntropy;

/// The largest body that is read; ten times what any operation needs.
const LARGEST_BODY: usize = 1024 * 1024;

/// How long a client may take over a request's head, and may leave a connection idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take over a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Who came in, and who answers them.
#[derive(Debug, Clone)]
pub struct Visit {
    pub peer: IpAddr,
    pub service: Arc<Mutex<Service>>,
    pub dashboard: Dashboard,
}

/// Lets a request's fault reach its connection.
#[derive(Debug, Clone, Default)]
struct ResetSwitch(Arc<Notify>);

/// One connection, from its handshake on. It ends after its answer when `leaving` loses its sender.
pub async fn serve(
    stream: TcpStream,
    greeting: Greeting,
    visit: Visit,
    leaving: watch::Receiver<()>,
) {
    // Small answers go out at once; without it they would only be later.
    let _ = stream.set_nodelay(true);
    match greeting.greet(stream).await {
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
            pause(delay).await;
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
    let body = match timeout(body_timeout, to_bytes(body, LARGEST_BODY)).await {
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
pub fn whole(reply: Reply) -> Response {
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

#[cfg(test)]
mod tests;
