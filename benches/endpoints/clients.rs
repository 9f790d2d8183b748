//! Clients of an endpoint: each on a thread, with a connection of its own, one request after the
//! other.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use nix::unistd::{Uid, setfsuid};
use rolekeeper::host::clock::{Clock, SystemClock};

use super::Outcome;

/// How an endpoint is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    /// Whole, with the empty line at its end.
    pub(crate) request: &'a str,
    pub(crate) connections: u32,
    /// In all, over all connections.
    pub(crate) requests: u32,
    /// Whether a connection carries more than one request.
    pub(crate) keep_alive: bool,
    /// The first of the users whose connections they are.
    pub(crate) first_user: u32,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    /// From a request's first byte to its answer's last, in order; the connection in it, where each
    /// has its own.
    pub(crate) times: Vec<Duration>,
    /// Whether connections carried more than one request.
    pub(crate) kept: bool,
}

/// A user's share of the connections is 32.
pub(crate) const CONNECTIONS_OF_A_USER: u32 = 16;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        percentile(&self.times, percent)
    }
}

/// Of times in order.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() - 1) * percent / 100]
}

/// Asks until all requests have been answered with credentials.
pub(crate) fn ask(load: Load<'_>) -> Outcome<Measured> {
    let began = SystemClock.since_boot();
    let outcomes = thread::scope(|scope| {
        let clients = (0..load.connections).map(|number| {
            scope.spawn(move || {
                // Of this thread alone: what it opens from here on is this user's.
                setfsuid(Uid::from_raw(load.first_user + number / CONNECTIONS_OF_A_USER));
                ask_alone(load)
            })
        });
        let clients = clients.collect::<Vec<_>>();
        clients.into_iter().map(|client| client.join()).collect::<Vec<_>>()
    });
    let elapsed = SystemClock.since_boot() - began;
    let (mut times, mut kept) = (Vec::new(), load.keep_alive);
    for outcome in outcomes {
        let (measured, was_kept) = outcome.map_err(|_| "a client panicked")??;
        times.extend(measured);
        kept &= was_kept;
    }
    times.sort_unstable();
    Ok(Measured { elapsed, times, kept })
}

/// One request of a user, over a connection of its own; the body of the answer.
pub(crate) fn fetch(user: u32, address: SocketAddr, request: &str) -> Outcome<String> {
    let fetching = || {
        setfsuid(Uid::from_raw(user));
        let mut body = Vec::new();
        converse(&mut connect(address)?, request, &mut body)?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&body).into_owned())
    };
    let fetched = thread::scope(|scope| scope.spawn(fetching).join());
    Ok(fetched.map_err(|_| "a client panicked")??)
}

fn ask_alone(load: Load<'_>) -> io::Result<(Vec<Duration>, bool)> {
    let requests = load.requests / load.connections;
    let mut times = Vec::with_capacity(requests as usize);
    let (mut kept, mut keeps, mut body) = (None, load.keep_alive, Vec::new());
    for _ in 0..requests {
        let began = SystemClock.since_boot();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => connect(load.address)?,
        };
        keeps &= converse(&mut connection, load.request, &mut body)?;
        times.push(SystemClock.since_boot() - began);
        kept = keeps.then_some(connection);
    }
    Ok((times, keeps))
}

fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// Anything but 200 is an error. Whether the connection may carry another request.
fn converse(
    connection: &mut BufReader<TcpStream>,
    request: &str,
    body: &mut Vec<u8>,
) -> io::Result<bool> {
    connection.get_mut().write_all(request.as_bytes())?;
    let (mut length, mut keeps) = (0, true);
    let (mut status, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            first if status.is_empty() => status = first.to_owned(),
            header => {
                let (name, value) = header.split_once(':').unwrap_or_default();
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().unwrap_or(0);
                }
                if name.eq_ignore_ascii_case("connection") {
                    keeps = !value.trim().eq_ignore_ascii_case("close");
                }
            }
        }
    }
    body.resize(length, 0);
    connection.read_exact(body)?;
    let is_good = status.split(' ').nth(1) == Some("200");
    if is_good { Ok(keeps) } else { Err(io::Error::other(format!("the answer was {status:?}"))) }
}
