//! Whose one socket is, by `sock_diag` (sock_diag(7)): a question to the kernel about a connection, and
//! its answer, however many sockets there are. Numbers are in this machine's byte order, ports and
//! addresses in the network's.

use core::net::{IpAddr, SocketAddr};

/// `SOCK_DIAG_BY_FAMILY`: what both messages are.
const BY_FAMILY: u16 = 20;

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;

/// States of a client's socket that still waits for an answer: open, or with its own half ended, which
/// is `TCP_FIN_WAIT1` until we have said that we know, then `TCP_FIN_WAIT2` (`include/net/tcp_states.h`).
const WAITS: [u8; 3] = [1, 4, 5];

/// A `struct nlmsghdr`; behind it stands `inet_diag_req_v2`, or `inet_diag_msg`.
const HEADER: usize = 16;
const QUESTION: u32 = HEADER as u32 + 56;

/// Whose a socket is, when the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// No process holds it, or its connection is not there any more.
    Nobody,
    User(u32),
}

/// Asks about the socket from `local` to `remote`.
pub fn question(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    [
        &QUESTION.to_ne_bytes()[..],
        &BY_FAMILY.to_ne_bytes(),
        &REQUEST.to_ne_bytes(),
        // A sequence number and our address, which nobody needs.
        &[0; 8],
        &[family, IPPROTO_TCP, 0, 0],
        // In any state.
        &u32::MAX.to_ne_bytes(),
        &local.port().to_be_bytes(),
        &remote.port().to_be_bytes(),
        &address(local.ip()),
        &address(remote.ip()),
        // On any interface, by no cookie.
        &[0; 4],
        &[0xff; 8],
    ]
    .concat()
}

/// What the kernel's answer says about the socket that was asked for. Nothing, if it is an error, or
/// about the listening one, which the kernel names where there is no connection.
pub fn owner(answer: &[u8], local: SocketAddr, remote: SocketAddr) -> Option<Owner> {
    let part = |from: usize| answer.get(from..)?.first_chunk::<4>().copied();
    let [kind @ .., _, _] = part(4)?;
    let [_, state, _, _] = part(HEADER)?;
    let ports = part(HEADER + 4)?;
    let asked = [local.port().to_be_bytes(), remote.port().to_be_bytes()];
    let uid = u32::from_ne_bytes(part(HEADER + 64)?);
    let inode = u32::from_ne_bytes(part(HEADER + 68)?);
    let is_it = kind == BY_FAMILY.to_ne_bytes() && ports == *asked.as_flattened();
    // What no process holds any more has no inode, and shows as root's on many kernels.
    let is_held = WAITS.contains(&state) && inode != 0;
    is_it.then_some(if is_held { Owner::User(uid) } else { Owner::Nobody })
}

fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&ip.octets());
            octets
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses() -> [SocketAddr; 2] {
        ["127.0.0.1:41938", "127.0.0.1:1338"].map(|address| address.parse().unwrap())
    }

    /// As the kernel answers for user 1000.
    fn answer(kind: u16, state: u8, inode: u32) -> Vec<u8> {
        let [local, remote] = addresses();
        let mut answer = question(local, remote);
        answer[4..6].copy_from_slice(&kind.to_ne_bytes());
        answer[HEADER + 1] = state;
        // Its ports stand where the question has the states' bits.
        answer.drain(HEADER + 4..HEADER + 8);
        answer.resize(HEADER + 64, 0);
        [answer, 1000_u32.to_ne_bytes().to_vec(), inode.to_ne_bytes().to_vec()].concat()
    }

    #[test]
    fn a_question_has_its_length() {
        let [local, remote] = addresses();
        assert_eq!(question(local, remote).len(), 72);
        assert_eq!(question("[::1]:1".parse().unwrap(), "[::1]:2".parse().unwrap()).len(), 72);
    }

    #[test]
    fn a_socket_that_waits_and_is_held_has_an_owner() {
        let [local, remote] = addresses();
        let seen = |answer: &[u8]| owner(answer, local, remote);
        for state in WAITS {
            assert_eq!(seen(&answer(BY_FAMILY, state, 7)), Some(Owner::User(1000)), "{state}");
            assert_eq!(seen(&answer(BY_FAMILY, state, 0)), Some(Owner::Nobody), "it was closed");
        }
        assert_eq!(seen(&answer(BY_FAMILY, 6, 7)), Some(Owner::Nobody), "both have ended it");
        assert_eq!(seen(&answer(BY_FAMILY, 10, 7)), Some(Owner::Nobody), "it listens");
        assert_eq!(seen(&answer(2, 1, 7)), None, "an error");
        assert_eq!(owner(&answer(BY_FAMILY, 1, 7), remote, local), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(answer: Vec<u8>) {
            let [local, remote] = addresses();
            let _ = owner(&answer, local, remote);
        }
    }
}
