//! The network interfaces that are hardware, and the addresses that lead to them.
//!
//! All is read from sysfs, but the IP addresses. The look-ups of `mac_address` ask over netlink and
//! give each member of a bond the bond's address; sysfs also keeps the member's own.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use mac_address::MacAddress;

use super::kernel::Kernel;
use super::tree::{Tree, Unreadable};
use super::{Finding, Found};

const DIRECTORY: &str = "sys/class/net";
/// `ARPHRD_ETHER` of `linux/if_arp.h`: wired and wireless Ethernet.
const ETHERNET: &str = "1";
/// `NET_ADDR_RANDOM` of `linux/netdevice.h`: the driver draws an address at each start.
const RANDOM: &str = "1";
/// How many interfaces may be stacked: a bridge over a VLAN over a bond over a card is four.
const DEEPEST_STACK: u8 = 8;
/// `DEVTYPE` of what passes a machine's own traffic on. Tunnels and overlays also lie above a card,
/// but have addresses of another network.
const PASSING_ON: [&str; 3] = ["bond", "bridge", "vlan"];

/// The permanent addresses of all Ethernet cards, sorted.
pub fn mac_addresses(tree: &Tree) -> Finding {
    let mut addresses = BTreeSet::new();
    for name in tree.devices(DIRECTORY)?.unwrap_or_default() {
        let path = format!("{DIRECTORY}/{name}");
        if is_hardware(tree, &path)? {
            addresses.extend(permanent_address(tree, &path)?);
        }
    }
    Ok(found(addresses))
}

/// The IPv4 addresses that lead to hardware, as the reading of an attribute.
pub fn ip_addresses(tree: &Tree, kernel: &dyn Kernel) -> Finding {
    Ok(found(own_addresses(tree, kernel)?.iter().map(ToString::to_string)))
}

/// The IPv4 addresses of hardware, and of bonds, bridges and VLANs above hardware, sorted.
pub fn own_addresses(tree: &Tree, kernel: &dyn Kernel) -> Result<BTreeSet<Ipv4Addr>, Unreadable> {
    // Without sysfs there is no telling hardware from software.
    tree.devices(DIRECTORY)?;
    let all = kernel.addresses().map_err(|cause| Unreadable::Call { call: "getifaddrs", cause })?;
    let mut addresses = BTreeSet::new();
    for (label, address) in all {
        let IpAddr::V4(address) = address else { continue };
        let own = !address.is_loopback() && !address.is_link_local() && !address.is_unspecified();
        // An additional address may carry a label: `eth0:1`.
        let name = label.split(':').next().unwrap_or_default();
        if own && leads_to_hardware(tree, name, DEEPEST_STACK)? {
            addresses.insert(address);
        }
    }
    Ok(addresses)
}

fn found(lines: impl IntoIterator<Item = String>) -> Option<Found> {
    let lines = lines.into_iter().collect::<Vec<_>>();
    let canonical = lines.iter().map(|line| format!("{line}\n")).collect();
    (!lines.is_empty()).then(|| Found { canonical, shown: lines.join(", ") })
}

/// A device is behind it, and not one that software splits off another card (SR-IOV on the host).
fn is_hardware(tree: &Tree, path: &str) -> Result<bool, Unreadable> {
    Ok(tree.exists(&format!("{path}/device"))? && !tree.exists(&format!("{path}/device/physfn"))?)
}

fn leads_to_hardware(tree: &Tree, name: &str, stack: u8) -> Result<bool, Unreadable> {
    let path = format!("{DIRECTORY}/{name}");
    if is_hardware(tree, &path)? {
        return Ok(true);
    }
    if stack == 0 || !passes_on(tree, &path)? {
        return Ok(false);
    }
    for entry in tree.names(&path)?.unwrap_or_default() {
        if let Some(lower) = entry.strip_prefix("lower_")
            && leads_to_hardware(tree, lower, stack - 1)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Teams, the other kind of bond, do not say what they are.
fn passes_on(tree: &Tree, path: &str) -> Result<bool, Unreadable> {
    let description = tree.value(&format!("{path}/uevent"))?.unwrap_or_default();
    let kind = description.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    Ok(kind.is_none_or(|kind| PASSING_ON.contains(&kind)))
}

/// `None` for what is not Ethernet, and for an address that is not the card's own.
fn permanent_address(tree: &Tree, path: &str) -> Result<Option<String>, Unreadable> {
    let value = |file: &str| tree.value(&format!("{path}/{file}"));
    if value("type")?.as_deref() != Some(ETHERNET) {
        return Ok(None);
    }
    let address = match value("bonding_slave/perm_hwaddr")? {
        Some(own) => Some(own),
        None if value("addr_assign_type")?.as_deref() == Some(RANDOM) => None,
        None => value("address")?,
    };
    let Some(address) = address else { return Ok(None) };
    let address = address
        .parse::<MacAddress>()
        .map_err(|_| Unreadable::content(path, "has an address that is not Ethernet's"))?;
    let is_set = address.bytes() != [0; 6];
    Ok(is_set.then(|| address.to_string().to_ascii_lowercase()))
}
