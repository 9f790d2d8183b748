//! Which user is at the other end of a TCP connection on this machine.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use tokio::task::spawn_blocking;

use crate::pure::access::socket_diagnosis::{self, Owner};
use crate::pure::access::socket_table;

/// The kernel's tables of this process's network. A client may have made an IPv6 socket to reach an
/// IPv4 address, so both are looked at.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// More than the kernel says of one socket.
const LONGEST: usize = 4096;

/// Whether this kernel has told of a socket before: then one that it does not know is gone.
static TELLS: AtomicBool = AtomicBool::new(false);

/// The user of the socket that `client` stands for, as `server` sees it; none when it is not on this
/// machine, or gone.
///
/// The kernel is asked about the one socket, in microseconds. Where it cannot be asked, all of them are
/// looked through, in milliseconds, for which the event loop does not wait; but never for somebody who
/// leaves at once, again and again.
pub async fn user(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let answer = ask(client, server).ok();
    match answer.and_then(|answer| socket_diagnosis::owner(&answer, client, server)) {
        Some(owner) => {
            TELLS.store(true, Ordering::Relaxed);
            match owner {
                Owner::User(uid) => Some(uid),
                Owner::Nobody => None,
            }
        }
        None if TELLS.load(Ordering::Relaxed) => None,
        None => spawn_blocking(move || look_through(client, server)).await.ok().flatten(),
    }
}

/// The user who listens at an address of this machine; none when nobody does.
pub fn listener(address: SocketAddr) -> Option<u32> {
    lines().find_map(|line| socket_table::listener(&line, address))
}

fn ask(client: SocketAddr, server: SocketAddr) -> nix::Result<Vec<u8>> {
    let (kind, protocol) = (SockType::Datagram, SockProtocol::NetlinkSockDiag);
    let socket = socket(AddressFamily::Netlink, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
    let question = socket_diagnosis::question(client, server);
    sendto(socket.as_raw_fd(), &question, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = vec![0; LONGEST];
    // It is there before the question has returned.
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    answer.truncate(length);
    Ok(answer)
}

fn look_through(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    lines().find_map(|line| socket_table::owner(&line, client, server))
}

fn lines() -> impl Iterator<Item = String> {
    let tables = TABLES.iter().filter_map(|path| File::open(path).ok());
    tables.flat_map(|table| BufReader::new(table).lines().map_while(Result::ok).skip(1))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn this_processs_own_connection_is_its_users() {
        // The last as a program does that knows IPv6 alone.
        for (listens, connects) in
            [("127.0.0.1", "127.0.0.1"), ("[::1]", "[::1]"), ("127.0.0.1", "[::ffff:127.0.0.1]")]
        {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(format!("{listens}:0")) else { continue };
            let server = listener.local_addr().unwrap();
            let Ok(stream) = TcpStream::connect(format!("{connects}:{}", server.port())) else {
                continue;
            };
            let (_accepted, client) = listener.accept().unwrap();
            let own = Some(nix::unistd::geteuid().as_raw());
            assert_eq!(super::listener(server), own, "{listens}");
            assert_eq!(user(client, server).await, own, "{connects}");
            assert_eq!(look_through(client, server), own, "{connects}");
            drop(stream);
            assert_eq!(user(client, server).await, None, "it left");
        }
    }
}
