//! What answers where EC2's instance metadata would.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::host::clock::timeout;
use crate::pure::diagnosis::metadata::{Heard, Page, heard, page};

/// SDKs wait a second for it, too.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest answer that is read.
const LONGEST: u64 = 8 * 1024;

const SESSION: &str =
    "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n";

const ROLES: &str = "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n";

/// Asks as an SDK does, for a session and then for the names of roles; never for credentials.
pub async fn ask(address: SocketAddr) -> Heard {
    if !matches!(timeout(PATIENCE, TcpStream::connect(address)).await, Ok(Ok(_))) {
        return Heard::Nothing;
    }
    let session = exchange(address, SESSION, None).await;
    let token = session.as_ref().filter(|page| page.status == 200);
    let roles = exchange(address, ROLES, token.map(|page| page.body.as_str())).await;
    heard(session.as_ref(), roles.as_ref())
}

async fn exchange(address: SocketAddr, request: &str, token: Option<&str>) -> Option<Page> {
    let mut text =
        format!("{request}Host: {}\r\nContent-Length: 0\r\nConnection: close\r\n", address.ip());
    // What is no token is not repeated.
    if let Some(token) = token.filter(|token| token.bytes().all(|b| b.is_ascii_graphic())) {
        text.push_str(&format!("X-aws-ec2-metadata-token: {token}\r\n"));
    }
    text.push_str("\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(text.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        // One that breaks off has still said something.
        let _ = stream.take(LONGEST).read_to_end(&mut answer).await;
        page(&String::from_utf8_lossy(&answer))
    };
    timeout(PATIENCE, exchange).await.ok().flatten()
}
