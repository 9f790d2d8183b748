//! Whose a TCP connection's other end is, by the kernel's table of sockets: `/proc/net/tcp` and
//! `tcp6` (proc_pid_net(5)). A socket belongs to the user who made it, whoever holds it now.
//!
//! ```text
//! sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//!  0: 0100007F:A3D2 0100007F:053A 01 00000000:00000000 00:00000000 00000000  1000        0 48151
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// States of a client's socket that still waits for an answer: open, or with its own half ended.
const WAITS: [&str; 3] = ["01", "04", "05"];

/// The state of a socket that waits for connections.
const LISTENS: &str = "0A";

/// A line, as far as it is of use.
struct Row<'a> {
    here: SocketAddr,
    there: SocketAddr,
    state: &'a str,
    uid: u32,
    inode: u64,
}

/// The user of the socket in this line, if it is the one from `local` to `remote`.
///
/// A socket that no process holds any more, which is what a program leaves behind that went early,
/// shows as root's on many kernels. It has no inode, and is nobody's here.
pub fn owner(line: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let row = row(line)?;
    let same = |a: SocketAddr, b: SocketAddr| {
        a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical()
    };
    let alive = WAITS.contains(&row.state) && row.inode != 0;
    (same(row.here, local) && same(row.there, remote) && alive).then_some(row.uid)
}

/// The user of the socket in this line, if it takes connections to `address`, or to every address of
/// that port.
pub fn listener(line: &str, address: SocketAddr) -> Option<u32> {
    let row = row(line)?;
    let (here, wanted) = (row.here.ip().to_canonical(), address.ip().to_canonical());
    let takes = row.here.port() == address.port() && (here == wanted || here.is_unspecified());
    (takes && row.state == LISTENS).then_some(row.uid)
}

fn row(line: &str) -> Option<Row<'_>> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let here = columns.next().and_then(address)?;
    let there = columns.next().and_then(address)?;
    let state = columns.next()?;
    let uid = columns.nth(3)?.parse().ok()?;
    let inode = columns.nth(1)?.parse().ok()?;
    Some(Row { here, there, state, uid, inode })
}

/// `0100007F:053A`: each four bytes of the address as a number of this machine's byte order, then the
/// port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = str::from_utf8(word).ok().filter(|word| word.len() == 8)?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let address: IpAddr = match words.collect::<Option<Vec<_>>>()?.as_slice() {
        [word] => Ipv4Addr::from(*word).into(),
        words => Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into(),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = "   5: 0100007F:A3D2 0100007F:053A 01 00000000:00000000 00:00000000 00000000  \
                        1000        0 48151 1 0000000000000000 20 4 30 10 -1";

    #[test]
    fn a_listener_is_known_by_its_state_at_its_own_address_or_at_every_one() {
        let at = |address: &str| {
            LINE.replace("0100007F:A3D2 0100007F:053A 01", &format!("{address} 00000000:0000 0A"))
        };
        let wanted = "127.0.0.1:41938".parse().unwrap();
        assert_eq!(listener(&at("0100007F:A3D2"), wanted), Some(1000));
        assert_eq!(listener(&at("00000000:A3D2"), wanted), Some(1000));
        assert_eq!(listener(&at("0200007F:A3D2"), wanted), None);
        assert_eq!(listener(&at("0100007F:A3D3"), wanted), None);
        assert_eq!(listener(LINE, wanted), None, "a connection");
    }

    fn seen(line: &str, local: &str, remote: &str) -> Option<u32> {
        owner(line, local.parse().unwrap(), remote.parse().unwrap())
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_line_of_a_connection_names_its_user() {
        assert_eq!(seen(LINE, "127.0.0.1:41938", "127.0.0.1:1338"), Some(1000));
        assert_eq!(seen(LINE, "127.0.0.1:1338", "127.0.0.1:41938"), None, "that is our end");
        assert_eq!(seen(LINE, "127.0.0.1:41939", "127.0.0.1:1338"), None);
        assert_eq!(seen(LINE, "127.0.0.2:41938", "127.0.0.1:1338"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn both_forms_of_an_address_are_one() {
        let six = LINE.replace("0100007F", "00000000000000000000000001000000");
        assert_eq!(seen(&six, "[::1]:41938", "[::1]:1338"), Some(1000));
        let mapped = LINE.replace("0100007F", "0000000000000000FFFF00000100007F");
        assert_eq!(seen(&mapped, "127.0.0.1:41938", "127.0.0.1:1338"), Some(1000));
    }

    #[test]
    fn a_socket_that_nobody_holds_is_nobodys() {
        let ask = |line: &str| seen(line, "127.0.0.1:41938", "127.0.0.1:1338");
        for state in [" 01 ", " 04 ", " 05 "] {
            let line = LINE.replace(" 01 ", state);
            assert_eq!(ask(&line), Some(1000), "{state}");
            assert_eq!(ask(&line.replace("48151", "0").replace("1000 ", "0 ")), None, "{state}");
        }
        assert_eq!(ask(&LINE.replace(" 01 ", " 06 ")), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line in "[ 0-9A-F:]{0,80}|.{0,80}") {
            let address = "127.0.0.1:1".parse().unwrap();
            let _ = owner(&line, address, address);
        }
    }
}
