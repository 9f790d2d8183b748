//! What stands between a machine and AWS, and changes requests: a reverse proxy as many are set up, and a
//! forward proxy that lets nobody through.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A reverse proxy in front of the lab.
pub struct ReverseProxy {
    pub url: String,
    rewrites: Arc<Mutex<Rewrites>>,
}

#[derive(Debug, Clone, Default)]
pub struct Rewrites {
    /// Instead of the `Host` that came.
    pub host: Option<&'static str>,
    /// A path's beginning that goes no further.
    pub strip: Option<&'static str>,
}

impl ReverseProxy {
    pub fn before(lab: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rewrites = Arc::<Mutex<Rewrites>>::default();
        let now = Arc::clone(&rewrites);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (lab, rewrites) = (lab.clone(), now.lock().unwrap().clone());
                // Whoever hangs up is served no further.
                thread::spawn(move || pass_on(stream, &lab, &rewrites));
            }
        });
        Self { url, rewrites }
    }

    pub fn set(&self, rewrites: Rewrites) {
        *self.rewrites.lock().unwrap() = rewrites;
    }
}

/// One request and its answer; then the connection is closed.
fn pass_on(mut inward: TcpStream, lab: &str, rewrites: &Rewrites) -> Option<()> {
    let request = read_request(&mut inward)?;
    let (head, body) = request.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.to_owned();
    if let Some(prefix) = rewrites.strip {
        first = first.replacen(prefix, "", 1).replace("  ", " / ");
    }
    let kept = lines.map(|line| match (line.split_once(':')?, rewrites.host) {
        ((name, _), Some(host)) if name.eq_ignore_ascii_case("host") => {
            Some(format!("Host: {host}"))
        }
        _ => Some(line.to_owned()),
    });
    let head = std::iter::once(Some(first)).chain(kept).collect::<Option<Vec<_>>>()?.join("\r\n");
    let mut outward = TcpStream::connect(lab).ok()?;
    outward.write_all(format!("{head}\r\nConnection: close\r\n\r\n{body}").as_bytes()).ok()?;
    let mut answer = Vec::new();
    outward.read_to_end(&mut answer).ok()?;
    inward.write_all(&answer).ok()
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1)?.lines().next()?.trim().parse();
            if body.len() >= length.ok()? {
                return Some(text);
            }
        }
        match stream.read(&mut part).ok()? {
            0 => return None,
            length => bytes.extend(&part[..length]),
        }
    }
}

/// A proxy that refuses every tunnel.
pub fn closed_proxy() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
    });
    format!("http://{address}")
}
