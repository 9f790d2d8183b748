//! A machine made of files: what the real probe reads, as the scenario's hardware has it.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use crate::hardware::{Kernel, Probe, SystemProbe};
use crate::lab::scenario::Hardware;

/// The blocks that this kernel adds memory in: 1 GiB, in hexadecimal bytes.
const BLOCK: &str = "40000000";

/// What that machine's kernel answers.
#[derive(Debug)]
struct FixtureKernel {
    hostname: String,
    addresses: Vec<(String, IpAddr)>,
}

/// Puts the machine's `/etc`, `/proc` and `/sys` below `root`, and looks at it as at any other.
///
/// # Errors
///
/// When a file cannot be written.
pub fn probe(hardware: &Hardware, root: &Path) -> io::Result<Arc<dyn Probe>> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let files = Files(root);
    files.file("etc/machine-id", &text(&hardware.machine_id))?;
    let processor = text(&hardware.processor);
    files.file("proc/cpuinfo", &format!("processor\t: 0\nmodel name\t: {processor}\n"))?;
    files.file("sys/devices/system/cpu/present", "0-7")?;
    files.file("sys/class/dmi/id/bios_vendor", "Example Firmware")?;
    files.file("sys/class/dmi/id/bios_version", &text(&hardware.firmware))?;
    files.file("sys/class/dmi/id/sys_vendor", "Example Inc.")?;
    files.file("sys/class/dmi/id/product_name", &text(&hardware.model))?;
    files.file("sys/devices/system/memory/block_size_bytes", BLOCK)?;
    for block in 0..hardware.memory_gib.unwrap_or(1) {
        files.directory(&format!("sys/devices/system/memory/memory{block}"))?;
    }
    for (number, serial) in hardware.disks.iter().flatten().enumerate() {
        files.file(&format!("sys/block/disk{number}/size"), "500000000")?;
        files.file(&format!("sys/block/disk{number}/serial"), serial)?;
    }
    let mut addresses = Vec::new();
    for card in hardware.cards.iter().flatten() {
        let path = format!("sys/class/net/{}", card.name);
        files.file(&format!("{path}/type"), "1")?;
        files.file(&format!("{path}/address"), &card.mac)?;
        files.directory(&format!("{path}/device"))?;
        addresses.push((card.name.clone(), card.address.into()));
    }
    for software in hardware.software.iter().flatten() {
        let path = format!("sys/class/net/{}", software.name);
        files.file(&format!("{path}/type"), "1")?;
        files.file(&format!("{path}/address"), "02:42:00:00:00:01")?;
        files.file(&format!("{path}/uevent"), "DEVTYPE=bridge")?;
        addresses.push((software.name.clone(), software.address.into()));
    }
    let kernel = FixtureKernel { hostname: text(&hardware.hostname), addresses };
    Ok(Arc::new(SystemProbe::with(root, Arc::new(kernel))))
}

impl Kernel for FixtureKernel {
    fn hostname(&self) -> Result<String, String> {
        Ok(self.hostname.clone())
    }

    fn addresses(&self) -> Result<Vec<(String, IpAddr)>, String> {
        Ok(self.addresses.clone())
    }

    fn memory(&self) -> Result<u64, String> {
        Err("the blocks of memory say it".to_owned())
    }
}

/// A root directory.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn file(&self, path: &str, text: &str) -> io::Result<()> {
        let path = self.0.join(path);
        if let Some(parent) = path.parent() {
            make(parent)?;
        }
        fs::write(path, format!("{text}\n"))
    }

    fn directory(&self, path: &str) -> io::Result<()> {
        make(&self.0.join(path))
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::scenario::Software;
    use crate::pure::fingerprint::{HardwareHash, SimilarityThreshold, compare};

    fn hash(hardware: &Hardware) -> HardwareHash {
        let root = tempfile::tempdir().unwrap();
        probe(hardware, root.path()).unwrap().observe().hash()
    }

    #[test]
    fn the_real_probe_reads_all_nine_attributes() {
        let root = tempfile::tempdir().unwrap();
        let observation = probe(&Hardware::of("machine"), root.path()).unwrap().observe();
        assert_eq!(observation.unreadable().count(), 0);
        assert_eq!(observation.hash().iter().count(), 9);
    }

    #[test]
    fn what_is_changed_is_what_differs_and_a_bridge_is_nothing() {
        let base = Hardware::of("machine");
        let saved = hash(&base);
        let differs = |change: Hardware| {
            let root = tempfile::tempdir().unwrap();
            let now = probe(&change.over(&base), root.path()).unwrap().observe();
            let found = compare(&saved, &now, SimilarityThreshold::default());
            found.changed().into_iter().map(|attribute| attribute.name()).collect::<Vec<_>>()
        };
        let disks = Some(vec!["another".to_owned()]);
        assert_eq!(differs(Hardware { disks, ..Hardware::default() }), ["disk-info"]);
        let hostname = Some("elsewhere".to_owned());
        assert_eq!(differs(Hardware { hostname, ..Hardware::default() }), ["hostname-info"]);
        let bridge =
            Software { name: "docker0".into(), address: std::net::Ipv4Addr::new(172, 17, 0, 1) };
        let software = Some(vec![bridge]);
        assert_eq!(differs(Hardware { software, ..Hardware::default() }), [""; 0]);
    }
}
