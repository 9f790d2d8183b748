//! The memory that is installed.
//!
//! Not `MemTotal` as it is: that lacks what firmware and kernel keep for themselves, and so changes
//! with the kernel. The blocks that the kernel adds and removes memory in are whole.

use super::kernel::Kernel;
use super::tree::{Tree, Unreadable};
use super::{Finding, Found};

const DIRECTORY: &str = "sys/devices/system/memory";
const MIB: u64 = 1 << 20;

/// Number of memory blocks times their size; a kernel that does not publish blocks is asked for its
/// total, which is rounded up to the size that modules add up to.
///
/// Blocks are counted whether they are switched on or not: they are installed, and one name in a
/// directory costs less than a file to read.
pub fn find(tree: &Tree, kernel: &dyn Kernel) -> Finding {
    let bytes = match blocks(tree)? {
        Some(bytes) => bytes,
        None => {
            let total = kernel
                .memory()
                .map_err(|cause| Unreadable::Call { call: "total memory", cause })?;
            round_up(total)
        }
    };
    let shown = format!("{} MiB", bytes / MIB);
    Ok(Some(Found { canonical: format!("bytes={bytes}\n"), shown }))
}

fn blocks(tree: &Tree) -> Result<Option<u64>, Unreadable> {
    let Some(names) = tree.devices(DIRECTORY)? else { return Ok(None) };
    let count = names.iter().filter(|name| is_block(name)).count();
    let path = format!("{DIRECTORY}/block_size_bytes");
    let Some(size) = tree.text(&path)? else { return Ok(None) };
    let bytes = u64::from_str_radix(&size, 16)
        .ok()
        .zip(u64::try_from(count).ok())
        .and_then(|(size, count)| size.checked_mul(count))
        .filter(|bytes| *bytes > 0);
    bytes.map(Some).ok_or_else(|| Unreadable::content(&path, "is no size of memory blocks"))
}

/// As `memory12`.
fn is_block(name: &str) -> bool {
    name.strip_prefix("memory")
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Up to the next power of two, or to the middle between two: 7.6 GiB is 8 GiB, 23.5 GiB is 24 GiB.
/// The kernel keeps one to thirteen percent for itself, well within such a step of 25 to 33.
fn round_up(bytes: u64) -> u64 {
    let power = bytes.checked_ilog2().map_or(1, |exponent| 1 << exponent);
    let step = (power / 2).max(1);
    bytes.checked_next_multiple_of(step).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_kernel_leaves_over_is_rounded_to_what_is_installed() {
        for (total, installed) in
            [(908, 1024), (1_948, 2_048), (3_790, 4_096), (7_812, 8_192), (24_105, 24_576)]
        {
            assert_eq!(round_up(total * MIB), installed * MIB, "{total} MiB");
            assert_eq!(round_up((total - 20) * MIB), installed * MIB, "after an update: {total}");
        }
    }

    #[test]
    fn only_numbered_names_are_blocks() {
        assert!(is_block("memory0") && is_block("memory1234"));
        assert!(!is_block("memory") && !is_block("memory_failure") && !is_block("probe"));
    }

    proptest! {
        #[test]
        fn rounding_adds_at_most_half_and_never_overflows(bytes: u64) {
            let rounded = round_up(bytes);
            prop_assert!(rounded >= bytes && rounded - bytes <= bytes / 2 + 1);
            prop_assert_eq!(round_up(rounded), rounded);
        }
    }
}
