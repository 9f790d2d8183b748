//! What the firmware says of itself and of the machine, as the kernel publishes it to everyone.
//!
//! Serial numbers and the product UUID are root's alone, and so are left out.

use super::tree::Tree;
use super::{Finding, Found};

/// Where the kernel publishes SMBIOS; many a virtual machine and every device-tree board has none.
const DIRECTORY: &str = "sys/class/dmi/id";

const BIOS: [&str; 4] = ["bios_date", "bios_release", "bios_vendor", "bios_version"];

const SYSTEM: [&str; 10] = [
    "board_name",
    "board_vendor",
    "board_version",
    "chassis_type",
    "chassis_vendor",
    "product_family",
    "product_name",
    "product_sku",
    "product_version",
    "sys_vendor",
];

/// The firmware: a firmware update changes it.
pub fn bios(tree: &Tree) -> Finding {
    find(tree, &BIOS, &["bios_vendor", "bios_version", "bios_date"])
}

/// The make and model of machine, board and chassis.
pub fn system(tree: &Tree) -> Finding {
    find(tree, &SYSTEM, &["sys_vendor", "product_name"])
}

fn find(tree: &Tree, fields: &[&str], shown: &[&str]) -> Finding {
    if tree.devices(DIRECTORY)?.is_none() {
        return Ok(None);
    }
    let mut canonical = String::new();
    for field in fields {
        if let Some(value) = tree.value(&format!("{DIRECTORY}/{field}"))? {
            canonical += &format!("{field}={value}\n");
        }
    }
    let mut words = Vec::new();
    for field in shown {
        words.extend(tree.value(&format!("{DIRECTORY}/{field}"))?);
    }
    Ok((!canonical.is_empty()).then(|| Found { canonical, shown: words.join(" ") }))
}
