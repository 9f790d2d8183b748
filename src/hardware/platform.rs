//! What the machine calls itself, for the health report. Nothing is judged by it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::interfaces::own_addresses;
use super::kernel::{Kernel, RunningKernel};
use super::tree::Tree;

/// Names for a person's eyes; empty where the machine does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub host_name: String,
    /// The address that a person would reach it at, as well as can be told; never empty, because the
    /// service refuses a report without one (`IPAddress` has 1 to 46 characters).
    pub ip_address: String,
    /// `NAME` of `/etc/os-release`.
    pub name: String,
    /// `VERSION_ID` of `/etc/os-release`.
    pub version: String,
}

impl Platform {
    /// This machine's.
    pub fn observe() -> Self {
        Self::of(&Tree::new("/"), &RunningKernel)
    }

    fn of(tree: &Tree, kernel: &dyn Kernel) -> Self {
        let release = tree.text("etc/os-release").ok().flatten().unwrap_or_default();
        let own = own_addresses(tree, kernel).unwrap_or_default();
        let all = kernel.addresses().unwrap_or_default();
        let all = all.into_iter().map(|(_, address)| address).collect::<Vec<_>>();
        let own = own.first().copied().map(IpAddr::V4);
        Self {
            host_name: kernel.hostname().unwrap_or_default(),
            ip_address: own.unwrap_or_else(|| most_telling(&all)).to_string(),
            name: release_value(&release, "NAME"),
            version: release_value(&release, "VERSION_ID"),
        }
    }
}

/// Where no interface with an IPv4 address leads to hardware: the first address of the best kind that
/// there is. A container has a virtual interface, some machines have IPv6 alone.
fn most_telling(all: &[IpAddr]) -> IpAddr {
    let kinds: [fn(&IpAddr) -> bool; 5] = [
        |address| matches!(address, IpAddr::V4(four) if is_wide(*four)),
        |address| matches!(address, IpAddr::V6(six) if is_wide_6(six) && !six.is_unique_local()),
        |address| matches!(address, IpAddr::V6(six) if is_wide_6(six)),
        |address| matches!(address, IpAddr::V4(four) if four.is_link_local()),
        |address| matches!(address, IpAddr::V6(six) if six.is_unicast_link_local()),
    ];
    let found = kinds.iter().find_map(|kind| all.iter().copied().find(kind));
    found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn is_wide(address: Ipv4Addr) -> bool {
    !(address.is_loopback() || address.is_link_local() || address.is_unspecified())
}

fn is_wide_6(address: &Ipv6Addr) -> bool {
    !(address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified())
}

/// A value of os-release(5): a shell assignment, quoted or not.
fn release_value(release: &str, key: &str) -> String {
    let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_an_address_and_the_most_telling_one() {
        let telling = |addresses: &[&str]| {
            let all = addresses.iter().map(|address| address.parse().unwrap());
            most_telling(&all.collect::<Vec<_>>()).to_string()
        };
        let loopback = ["127.0.0.1", "::1"];
        assert_eq!(telling(&[]), "127.0.0.1");
        assert_eq!(telling(&loopback), "127.0.0.1");
        for (more, expected) in [
            (&["fe80::1", "169.254.3.4"][..], "169.254.3.4"),
            (&["fe80::1"], "fe80::1"),
            (&["fe80::1", "fd00:77::1", "169.254.3.4"], "fd00:77::1"),
            (&["fe80::1", "fd00:77::1", "2001:db8::7"], "2001:db8::7"),
            (&["2001:db8::7", "172.17.0.2", "10.0.0.1"], "172.17.0.2"),
        ] {
            assert_eq!(telling(&[&loopback, more].concat()), expected, "{more:?}");
        }
    }

    #[test]
    fn os_release_values_lose_their_quotes() {
        let release = "PRETTY_NAME=\"Debian 12\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\n";
        assert_eq!(release_value(release, "NAME"), "Debian GNU/Linux");
        assert_eq!(release_value(release, "VERSION_ID"), "12");
        assert_eq!(release_value(release, "ID"), "");
    }
}
