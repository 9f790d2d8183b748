//! How far an answer may travel. A metadata session's token is for whoever is next to the service: the
//! first router throws its packets away.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::sys::socket::{GetSockOpt, SetSockOpt, getsockopt, setsockopt, sockopt};
use tokio::net::TcpStream;

use super::message::Request;
use crate::pure::metadata::instance::opens_session;

/// EC2's default (`HttpPutResponseHopLimit`).
const OF_TOKENS: i32 = 1;

/// The hop limit of one connection. On loopback there are no hops, and nothing is done.
#[derive(Debug, Clone, Default)]
pub struct HopLimit(Option<Arc<Socket>>);

/// A second descriptor of the connection, and what its family calls the limit.
#[derive(Debug)]
struct Socket {
    descriptor: OwnedFd,
    is_ipv6: bool,
    usual: i32,
}

impl HopLimit {
    pub fn of(stream: &TcpStream) -> Self {
        match stream.local_addr() {
            Ok(address) if !address.ip().to_canonical().is_loopback() => Self::on(stream),
            _ => Self::default(),
        }
    }

    /// Sets the limit for the answer to this request. Without it an answer could only travel
    /// farther, so an error is none of the client's.
    pub fn prepare(&self, request: &Request) {
        let Some(socket) = &self.0 else { return };
        let hops = if opens_session(&request.path) { OF_TOKENS } else { socket.usual };
        let _ = if socket.is_ipv6 {
            set(sockopt::Ipv6Ttl, &socket.descriptor, hops)
        } else {
            set(sockopt::Ipv4Ttl, &socket.descriptor, hops)
        };
    }

    fn on(stream: &TcpStream) -> Self {
        let is_ipv6 = stream
            .local_addr()
            .is_ok_and(|address| address.is_ipv6() && address.ip().to_canonical().is_ipv6());
        let usual =
            if is_ipv6 { get(sockopt::Ipv6Ttl, stream) } else { get(sockopt::Ipv4Ttl, stream) };
        let descriptor = stream.as_fd().try_clone_to_owned();
        Self(
            usual
                .zip(descriptor.ok())
                .map(|(usual, descriptor)| Arc::new(Socket { descriptor, is_ipv6, usual })),
        )
    }
}

fn get(option: impl GetSockOpt<Val = i32>, socket: &impl AsFd) -> Option<i32> {
    getsockopt(socket, option).ok()
}

fn set(option: impl SetSockOpt<Val = i32>, socket: &impl AsFd, hops: i32) -> nix::Result<()> {
    setsockopt(socket, option, &hops)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn request(path: &str) -> Request {
        Request { path: path.to_owned(), ..Request::default() }
    }

    async fn connection(address: &str) -> TcpStream {
        let listener = TcpListener::bind(address).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        listener.accept().await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_sessions_token_has_one_hop_and_other_answers_have_the_usual() {
        let stream = connection("127.0.0.1:0").await;
        let usual = stream.ttl().unwrap();
        let limit = HopLimit::on(&stream);
        limit.prepare(&request("/latest/api/token"));
        assert_eq!(stream.ttl().unwrap(), 1);
        limit.prepare(&request("/latest/meta-data/instance-id"));
        assert_eq!(stream.ttl().unwrap(), usual);
    }

    #[tokio::test]
    async fn ipv6_has_a_limit_of_its_own() {
        let stream = connection("[::1]:0").await;
        let hops = || get(sockopt::Ipv6Ttl, &stream).unwrap();
        let usual = hops();
        let limit = HopLimit::on(&stream);
        limit.prepare(&request("/latest/api/token"));
        assert_eq!(hops(), 1);
        limit.prepare(&request("/"));
        assert_eq!(hops(), usual);
    }

    #[tokio::test]
    async fn loopback_is_left_alone() {
        let stream = connection("127.0.0.1:0").await;
        let limit = HopLimit::of(&stream);
        assert!(limit.0.is_none());
    }
}
