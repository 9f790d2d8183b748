//! What only system calls tell. The seam is small, so that a machine made of files can be tested.

use std::fmt::Debug;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use super::tree::Unreadable;
use super::{Finding, Found};

/// What the kernel answers directly. Each error says what failed.
pub trait Kernel: Debug + Send + Sync {
    /// The name that the machine goes by.
    fn hostname(&self) -> Result<String, String>;

    /// Every IP address with its interface's name, in the kernel's order.
    fn addresses(&self) -> Result<Vec<(String, IpAddr)>, String>;

    /// The memory that the kernel manages, in bytes: less than is installed.
    fn memory(&self) -> Result<u64, String>;
}

/// The kernel that this process runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunningKernel;

impl Kernel for RunningKernel {
    fn hostname(&self) -> Result<String, String> {
        System::host_name().map_err(|error| error.to_string())
    }

    /// Over netlink: the service's sandbox has to allow `AF_NETLINK`.
    fn addresses(&self) -> Result<Vec<(String, IpAddr)>, String> {
        let addresses = getifaddrs().map_err(|errno| errno.to_string())?;
        Ok(addresses
            .filter_map(|it| {
                let address = it.address?;
                let four = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
                let six = || address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
                Some((it.interface_name, four.or_else(six)?))
            })
            .collect())
    }

    /// Without `/proc/meminfo`, sysinfo says 0 and calls it a success.
    fn memory(&self) -> Result<u64, String> {
        let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        match System::new_with_specifics(wanted).map(|system| system.total_memory()) {
            Ok(0) => Err("/proc/meminfo is hidden".into()),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The whole host name, as it is.
pub fn hostname(kernel: &dyn Kernel) -> Finding {
    let name =
        kernel.hostname().map_err(|cause| Unreadable::Call { call: "gethostname", cause })?;
    // "(none)" is what Linux calls a machine that was never given a name.
    let named = !name.is_empty() && name != "(none)";
    Ok(named.then(|| Found { canonical: format!("{name}\n"), shown: name }))
}
