//! Make, model and number of the processors.
//!
//! `/proc/cpuinfo` rather than sysinfo, which says "no processors" where `/proc` is restricted, and
//! on ARM translates part numbers by a table that grows with its releases.

use super::tree::{Tree, Unreadable};
use super::{Finding, Found};

const CPUINFO: &str = "proc/cpuinfo";
/// The processors that the machine has, switched on or not, as `0-3,8`.
const PRESENT: &str = "sys/devices/system/cpu/present";

/// The keys of `/proc/cpuinfo` that name a make and model, on x86, ARM, POWER, RISC-V and s390.
/// Frequencies, microcode, flags and caches are left out: they change with use, updates or kernel.
const MODEL_KEYS: [&str; 14] = [
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "stepping",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "CPU revision",
    "cpu",
    "marchid",
    "mimpid",
    "mvendorid",
];

pub fn find(tree: &Tree) -> Finding {
    let text = tree
        .text(CPUINFO)?
        .ok_or_else(|| Unreadable::content(CPUINFO, "is missing; /proc is restricted"))?;
    let count = match tree.text(PRESENT)? {
        Some(list) => count_cpus(&list),
        None => Some(text.lines().filter(|line| line.starts_with("processor")).count()),
    };
    let count = count
        .filter(|count| *count > 0)
        .ok_or_else(|| Unreadable::content(PRESENT, "counts no processor"))?;

    let mut canonical = format!("count={count}\n");
    let mut name = None;
    for (key, value) in first_processor(&text) {
        canonical += &format!("{key}={value}\n");
        if name.is_none() || key == "model name" {
            name = Some(value);
        }
    }
    let shown = format!("{count} x {}", name.unwrap_or("unnamed"));
    Ok(Some(Found { canonical, shown }))
}

/// The make and model of the first processor: the block before the first empty line.
fn first_processor(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .take_while(|line| !line.trim().is_empty())
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
        .filter(|(key, value)| MODEL_KEYS.contains(key) && !value.is_empty())
}

/// Counts `0-3,8`; `None` for what is no such list.
fn count_cpus(list: &str) -> Option<usize> {
    list.split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .try_fold(0_usize, |sum, count| sum.checked_add(count?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_and_single_processors_are_counted() {
        assert_eq!(count_cpus("0"), Some(1));
        assert_eq!(count_cpus("0-3,8"), Some(5));
        for text in ["", "a", "3-1", "0-", "0,,1", "0-18446744073709551615"] {
            assert_eq!(count_cpus(text), None, "{text:?}");
        }
    }

    #[test]
    fn make_and_model_come_from_the_first_processor_alone() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\ncpu MHz\t: 800.1\n\
                    microcode\t: 0x1\n\nprocessor\t: 1\nmodel name\t: other\n";
        let lines = first_processor(text).collect::<Vec<_>>();
        assert_eq!(lines, [("vendor_id", "GenuineIntel"), ("model name", "Xeon")]);
    }

    proptest! {
        #[test]
        fn no_text_of_the_kernel_can_crash_the_count(text in "[0-9,-]{0,40}|\\PC{0,20}") {
            let _ = count_cpus(&text);
            let _ = first_processor(&text).count();
        }
    }
}
