//! What the machine calls itself, for the health report. Nothing is judged by it.

use super::interfaces::own_addresses;
use super::kernel::{Kernel, RunningKernel};
use super::tree::Tree;

/// Names for a person's eyes; empty where the machine does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub host_name: String,
    /// The first address of an interface that leads to hardware.
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
        let addresses = own_addresses(tree, kernel).unwrap_or_default();
        Self {
            host_name: kernel.hostname().unwrap_or_default(),
            ip_address: addresses.first().map(ToString::to_string).unwrap_or_default(),
            name: release_value(&release, "NAME"),
            version: release_value(&release, "VERSION_ID"),
        }
    }
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
    fn os_release_values_lose_their_quotes() {
        let release = "PRETTY_NAME=\"Debian 12\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\n";
        assert_eq!(release_value(release, "NAME"), "Debian GNU/Linux");
        assert_eq!(release_value(release, "VERSION_ID"), "12");
        assert_eq!(release_value(release, "ID"), "");
    }
}
