//! The machine-id: 128 bits that are drawn when the system is installed.

use super::tree::{Tree, Unreadable};
use super::{Finding, Found};

/// systemd's file, and the one that D-Bus had before.
const PLACES: [&str; 2] = ["etc/machine-id", "var/lib/dbus/machine-id"];

/// The id in lower case. `uninitialized`, or nothing, stands in the file until the first boot has
/// drawn an id: that is "not known yet".
pub fn find(tree: &Tree) -> Finding {
    for path in PLACES {
        let Some(text) = tree.text(path)? else { continue };
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Unreadable::content(path, "is not a machine-id of 32 hex digits"));
        }
        let id = text.to_ascii_lowercase();
        // machine-id(5) asks not to show the whole id where others may see it.
        let shown = format!("{}…", &id[..8]);
        return Ok(Some(Found { canonical: format!("{id}\n"), shown }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn find_in(files: &[(&str, &str)]) -> Finding {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        find(&Tree::new(root.path()))
    }

    #[test]
    fn the_id_of_systemd_comes_before_that_of_dbus() {
        let (one, two) = ("11111111222222223333333344444444\n", "AAAAAAAA222222223333333344444444");
        let both = [(PLACES[0], one), (PLACES[1], two)];
        assert_eq!(find_in(&both).unwrap().unwrap().canonical, one);
        let found = find_in(&both[1..]).unwrap().unwrap();
        assert_eq!(found.canonical, "aaaaaaaa222222223333333344444444\n");
        assert_eq!(found.shown, "aaaaaaaa…");
        assert_eq!(find_in(&[]).unwrap(), None);
    }

    #[test]
    fn an_id_that_is_not_drawn_yet_is_unknown() {
        let real = (PLACES[1], "11111111222222223333333344444444\n");
        for text in ["uninitialized\n", "", "11111111-2222-2222-3333-333344444444\n"] {
            let error = find_in(&[(PLACES[0], text), real]).unwrap_err();
            assert_eq!(error.to_string(), "/etc/machine-id: is not a machine-id of 32 hex digits");
        }
    }
}
