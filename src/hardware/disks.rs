//! The disks that are built in, and how they are divided.

use std::collections::BTreeMap;

use super::tree::{Tree, Unreadable};
use super::{Finding, Found};

const DIRECTORY: &str = "sys/block";
/// sysfs counts sizes in units of 512 bytes, whatever the disk's own sectors are.
const SECTOR: u64 = 512;

/// Where a disk says who it is, the best first: NVMe, virtio, NVMe and eMMC, SCSI and SATA; a model
/// is not an identity, but better than none.
const IDENTITIES: [&str; 5] = ["wwid", "serial", "device/serial", "device/wwid", "device/model"];

/// A disk by what stays: not its name, which is the order in which the kernel found it.
struct Disk {
    /// The text that is hashed: identity and size, then number, start and size of each partition.
    canonical: String,
    sectors: u64,
}

/// All built-in disks, sorted. A disk that is reached over several paths counts once.
pub fn find(tree: &Tree) -> Finding {
    let mut disks = BTreeMap::new();
    for name in tree.devices(DIRECTORY)?.unwrap_or_default() {
        if let Some(disk) = read_disk(tree, &format!("{DIRECTORY}/{name}"))? {
            disks.insert(disk.canonical, disk.sectors);
        }
    }
    if disks.is_empty() {
        return Ok(None);
    }
    let gigabytes = disks
        .values()
        .map(|sectors| format!("{:.1} GB", sectors.saturating_mul(SECTOR) as f64 / 1e9))
        .collect::<Vec<_>>();
    let plural = if disks.len() == 1 { "disk" } else { "disks" };
    let shown = format!("{} {plural}: {}", disks.len(), gigabytes.join(", "));
    Ok(Some(Found { canonical: disks.into_keys().collect(), shown }))
}

/// `None` for what is not a built-in disk.
fn read_disk(tree: &Tree, path: &str) -> Result<Option<Disk>, Unreadable> {
    if !is_built_in(tree, path)? {
        return Ok(None);
    }
    let sectors = number(tree, &format!("{path}/size"))?;
    if sectors == 0 {
        // A card reader without a card.
        return Ok(None);
    }
    let mut identity = None;
    for place in IDENTITIES {
        if let Some(value) = tree.value(&format!("{path}/{place}"))? {
            identity = Some(value);
            break;
        }
    }
    let identity = identity.as_deref().unwrap_or("-");
    let mut canonical = format!("disk {sectors} {identity}\n");
    for partition in partitions(tree, path)? {
        canonical += &partition;
    }
    Ok(Some(Disk { canonical, sectors }))
}

/// Neither made by software (loop, zram, device mapper, RAID), nor to be unplugged while the machine
/// runs (USB, with the virtual media of management controllers), nor reached over the network.
fn is_built_in(tree: &Tree, path: &str) -> Result<bool, Unreadable> {
    let device = tree.link(path)?.unwrap_or_default();
    // With several paths to one NVMe disk, the disk is virtual and its paths are hidden.
    let software = device.contains("/virtual/") && !device.contains("/nvme-subsystem/");
    let elsewhere = device.contains("/usb") || device.contains("/session");
    if software || elsewhere {
        return Ok(false);
    }
    let is_set = |flag: &str| Ok(tree.value(&format!("{path}/{flag}"))?.as_deref() == Some("1"));
    Ok(!is_set("removable")? && !is_set("hidden")?)
}

/// One line for each partition, in the order of their numbers. Ids of partitions are left out: sysfs
/// has them in recent kernels only.
fn partitions(tree: &Tree, disk: &str) -> Result<Vec<String>, Unreadable> {
    let mut lines = BTreeMap::new();
    for name in tree.names(disk)?.unwrap_or_default() {
        let path = format!("{disk}/{name}");
        if tree.exists(&format!("{path}/partition"))? {
            let read = |field| number(tree, &format!("{path}/{field}"));
            let (index, start, size) = (read("partition")?, read("start")?, read("size")?);
            lines.insert(index, format!("partition {index} {start} {size}\n"));
        }
    }
    Ok(lines.into_values().collect())
}

fn number(tree: &Tree, path: &str) -> Result<u64, Unreadable> {
    let text = tree.text(path)?;
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Unreadable::content(path, "is missing or not a number"))
}
