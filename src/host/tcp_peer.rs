//! Which user is at the other end of a TCP connection on this machine.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;

use crate::pure::access::socket_table;

/// The kernel's tables of this process's network. A client may have made an IPv6 socket to reach an
/// IPv4 address, so both are looked at.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The user of the socket that `client` stands for, as `server` sees it; none when it is not on this
/// machine, or gone. Takes as long as there are sockets to look through.
pub fn user(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let mut tables = TABLES.iter().filter_map(|path| File::open(path).ok());
    tables.find_map(|table| {
        let lines = BufReader::new(table).lines().map_while(Result::ok);
        lines.skip(1).find_map(|line| socket_table::owner(&line, client, server))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn this_processs_own_connection_is_its_users() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let server = listener.local_addr().unwrap();
            let stream = TcpStream::connect(server).unwrap();
            let client = stream.local_addr().unwrap();
            let (_accepted, _) = listener.accept().unwrap();
            assert_eq!(user(client, server), Some(nix::unistd::geteuid().as_raw()), "{address}");
            drop(stream);
            assert_eq!(user(client, server), None, "it left");
        }
    }
}
