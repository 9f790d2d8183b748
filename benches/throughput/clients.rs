//! Clients that do as little as they can: write what is ready, read the answer, again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use rolekeeper::host::clock::{Clock, SystemClock};

use super::Outcome;
use super::fleet::Fleet;

/// Asks over so many connections at once; the answer is how many tokens there were.
pub(crate) fn ask(
    address: &str,
    fleet: &Fleet,
    connections: usize,
    lasting: Duration,
) -> Outcome<u32> {
    let requests = fleet.requests(address);
    let end = SystemClock.since_boot() + lasting;
    let counts = thread::scope(|scope| {
        let asking = (0..connections)
            .map(|first| {
                let requests = &requests;
                scope.spawn(move || ask_until(address, requests, first, end))
            })
            .collect::<Vec<_>>();
        asking.into_iter().map(|client| client.join()).collect::<Vec<_>>()
    });
    let mut answered = 0;
    for count in counts {
        answered += count.map_err(|_| "a client panicked")?.map_err(|error| error.to_string())?;
    }
    Ok(answered)
}

/// One connection, which begins with another request than its neighbour.
fn ask_until(
    address: &str,
    requests: &[Vec<u8>],
    first: usize,
    end: Duration,
) -> std::io::Result<u32> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection.try_clone()?);
    let (mut line, mut body) = (String::new(), Vec::new());
    let mut answered = 0;
    for request in requests.iter().cycle().skip(first) {
        if SystemClock.since_boot() >= end {
            break;
        }
        connection.write_all(request)?;
        let mut length = 0;
        let mut is_token = false;
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            match line.trim_end() {
                "" => break,
                "HTTP/1.1 200 OK" => is_token = true,
                header => {
                    if let Some(number) = header.strip_prefix("content-length: ") {
                        length = number.parse().unwrap_or(0);
                    }
                }
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        if !is_token {
            return Err(std::io::Error::other(String::from_utf8_lossy(&body).into_owned()));
        }
        answered += 1;
    }
    Ok(answered)
}
