//! The lab's side of TLS: a handshake in front of HTTP, and a plain word to whoever speaks the other
//! of the two.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{Error as TlsError, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::authority::{Authority, AuthorityError, ServerIdentity, provider};
use crate::host::clock::timeout;

/// How a plain request to a port of TLS is answered; the address follows.
pub const SPEAKS_TLS: &str = "this lab speaks TLS: ";

/// How long a client may take from connecting to the end of the handshake, and one that is turned
/// away to take its answer and leave.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The first byte of a TLS connection: a record of the handshake (RFC 8446, section 5.1). No HTTP
/// method begins with it.
const HANDSHAKE_RECORD: u8 = 22;

/// The most that is read of a client that is turned away.
const LARGEST_FAREWELL: u64 = 1024 * 1024;

/// What a lab's connections begin with.
#[derive(Clone)]
pub enum Greeting {
    Plain,
    /// With the file of certificates that clients trust.
    Tls(TlsAcceptor, Arc<Path>),
}

/// A connection that HTTP can begin on.
pub enum Greeted {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A stream of bytes with a TCP socket beneath it, which a reset must reach.
pub trait OverTcp: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn tcp(&self) -> &TcpStream;
}

impl Greeting {
    /// TLS 1.2 and 1.3, HTTP/1.1, with a new certificate for `address`.
    ///
    /// # Errors
    ///
    /// See [`Authority::certify`].
    pub fn tls(
        authority: &Authority,
        address: IpAddr,
        now: UtcDateTime,
    ) -> Result<Self, AuthorityError> {
        let ServerIdentity { certificate, key } = authority.certify(address, now)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|versions| {
                versions.with_no_client_auth().with_single_cert(vec![certificate], key)
            })
            .map_err(|error: TlsError| AuthorityError::Tls(error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self::Tls(TlsAcceptor::from(Arc::new(config)), authority.certificate_file().into()))
    }

    /// `http://127.0.0.1:4599` or `https://127.0.0.1:4599`; a lab on all addresses is named by
    /// loopback's.
    pub fn url(&self, address: SocketAddr) -> String {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("{}://{}", self.scheme(), SocketAddr::new(ip, address.port()))
    }

    /// The file of certificates that clients trust; none without TLS.
    pub fn ca_bundle(&self) -> Option<&Path> {
        match self {
            Self::Plain => None,
            Self::Tls(_, bundle) => Some(bundle),
        }
    }

    fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls(..) => "https",
        }
    }

    /// Begins a connection. `None` when it came to nothing: the client left, took too long, failed
    /// the handshake or was turned away.
    pub async fn greet(&self, stream: TcpStream) -> Option<Greeted> {
        let greeted = timeout(HANDSHAKE_TIMEOUT, self.shake_hands(stream)).await;
        match greeted.ok()?.ok()? {
            Ok(greeted) => Some(greeted),
            Err(stranger) => {
                let url = self.url(stranger.local_addr().ok()?);
                let farewell = turn_away(stranger, self.explanation(&url));
                // Whatever comes of it: nobody waits for the outcome.
                let _ = timeout(HANDSHAKE_TIMEOUT, farewell).await;
                None
            }
        }
    }

    /// The outer error is the connection's; the inner one has a client that speaks otherwise.
    async fn shake_hands(&self, stream: TcpStream) -> io::Result<Result<Greeted, TcpStream>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(match (self, first == [HANDSHAKE_RECORD]) {
            (Self::Plain, false) => Ok(Greeted::Plain(stream)),
            (Self::Tls(acceptor, _), true) => {
                Ok(Greeted::Tls(Box::new(acceptor.accept(stream).await?)))
            }
            (Self::Plain, true) | (Self::Tls(..), false) => Err(stream),
        })
    }

    fn explanation(&self, url: &str) -> String {
        match self {
            Self::Plain => format!("this lab speaks HTTP without TLS: {url}\n"),
            Self::Tls(..) => format!("{SPEAKS_TLS}{url}\n"),
        }
    }
}

impl std::fmt::Debug for Greeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.scheme())
    }
}

impl OverTcp for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl OverTcp for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Answers in plain HTTP, which is what a person with `curl -v` or a packet capture can read. What
/// the client still sends is read, since closing before would reset the connection and lose the
/// answer.
async fn turn_away(mut stream: TcpStream, explanation: String) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{explanation}",
        explanation.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(LARGEST_FAREWELL), &mut tokio::io::sink()).await?;
    Ok(())
}
