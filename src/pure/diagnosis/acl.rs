//! Who may do what with a file, as the kernel decides it: mode, and access control list where there
//! is one (acl(5), "access check algorithm").

/// Owner, group, mode and list of a file or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub owner: u32,
    pub group: u32,
    /// Permission bits. With a list, the group's are its mask.
    pub mode: u32,
    /// Empty without a list.
    pub list: Vec<Entry>,
}

/// What a list adds to the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    User {
        uid: u32,
        bits: u32,
    },
    /// The file's own group.
    OwnGroup {
        bits: u32,
    },
    Group {
        gid: u32,
        bits: u32,
    },
}

/// What is to be done.
pub const READ: u32 = 0o4;
pub const WRITE: u32 = 0o2;
pub const SEARCH: u32 = 0o1;

/// The extended attribute that holds a list.
pub const ATTRIBUTE: &str = "system.posix_acl_access";

/// `linux/posix_acl_xattr.h`: a version, then tag, bits and number, little-endian.
const VERSION: [u8; 4] = [2, 0, 0, 0];
const ENTRY: usize = 8;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;

impl Permissions {
    /// Whether a user in these groups may do all that `wanted` says. Root may.
    pub fn allow(&self, uid: u32, groups: &[u32], wanted: u32) -> bool {
        let has = |bits: u32| bits & wanted == wanted;
        if uid == 0 {
            return true;
        }
        if uid == self.owner {
            return has(self.mode >> 6);
        }
        let mask = self.mode >> 3;
        let own = self.list.iter().find_map(|entry| match entry {
            Entry::User { uid: named, bits } if *named == uid => Some(*bits),
            _ => None,
        });
        if let Some(bits) = own {
            return has(bits & mask);
        }
        let mut of_groups = self.groups().filter(|(gid, _)| groups.contains(gid)).peekable();
        match of_groups.peek() {
            Some(_) => of_groups.any(|(_, bits)| has(bits & mask)),
            None => has(self.mode),
        }
    }

    /// The groups that have bits of their own. Without a list, that is the file's.
    fn groups(&self) -> impl Iterator<Item = (u32, u32)> {
        let own = self.list.is_empty().then_some((self.group, self.mode >> 3));
        let listed = self.list.iter().filter_map(|entry| match *entry {
            Entry::OwnGroup { bits } => Some((self.group, bits)),
            Entry::Group { gid, bits } => Some((gid, bits)),
            Entry::User { .. } => None,
        });
        own.into_iter().chain(listed)
    }
}

/// Reads the attribute; nothing of what is no list.
pub fn parse(attribute: &[u8]) -> Vec<Entry> {
    let Some(entries) = attribute.strip_prefix(&VERSION) else { return Vec::new() };
    let entries = entries.chunks_exact(ENTRY).filter_map(|entry| {
        let [tag, tag_high, bits, _, a, b, c, d] = *entry else { return None };
        let (bits, number) = (u32::from(bits), u32::from_le_bytes([a, b, c, d]));
        match u16::from_le_bytes([tag, tag_high]) {
            USER => Some(Entry::User { uid: number, bits }),
            GROUP_OBJ => Some(Entry::OwnGroup { bits }),
            GROUP => Some(Entry::Group { gid: number, bits }),
            // Owner, mask and others stand in the mode, too.
            _ => None,
        }
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(mode: u32) -> Permissions {
        Permissions { owner: 990, group: 991, mode, list: vec![] }
    }

    #[test]
    fn the_first_class_that_fits_decides_alone() {
        for (mode, uid, groups, wanted, expected) in [
            (0o640, 990, &[][..], READ, true),
            (0o640, 1000, &[991], READ, true),
            (0o640, 1000, &[4], READ, false),
            (0o644, 1000, &[4], READ, true),
            // Not even others' bits help the owner or a member.
            (0o044, 990, &[991], READ, false),
            (0o604, 1000, &[991], READ, false),
            (0o711, 1000, &[4], SEARCH, true),
            (0o710, 1000, &[4], SEARCH, false),
            (0o666, 1000, &[4], READ | WRITE, true),
            (0o000, 0, &[], READ, true),
        ] {
            assert_eq!(plain(mode).allow(uid, groups, wanted), expected, "{mode:o} {uid}");
        }
    }

    #[test]
    fn a_list_names_users_and_groups_under_its_mask() {
        // u::rw-, u:1000:r--, g::---, g:4:r--, m::r--, o::---, as setfacl writes it.
        let attribute = [
            &VERSION[..],
            &[1, 0, 6, 0, 255, 255, 255, 255],
            &[2, 0, 4, 0, 0xe8, 3, 0, 0],
            &[4, 0, 0, 0, 255, 255, 255, 255],
            &[8, 0, 4, 0, 4, 0, 0, 0],
            &[16, 0, 4, 0, 255, 255, 255, 255],
            &[32, 0, 0, 0, 255, 255, 255, 255],
        ];
        let list = parse(&attribute.concat());
        let user = Entry::User { uid: 1000, bits: 4 };
        let groups = [Entry::OwnGroup { bits: 0 }, Entry::Group { gid: 4, bits: 4 }];
        assert_eq!(list, [&[user][..], &groups].concat());
        let listed = Permissions { list: list.clone(), ..plain(0o640) };
        assert!(listed.allow(1000, &[], READ) && listed.allow(1001, &[4], READ));
        assert!(!listed.allow(1001, &[991], READ), "the group's bits are the mask's");
        assert!(!listed.allow(1001, &[7], READ));
        let masked = Permissions { list, ..plain(0o600) };
        assert!(!masked.allow(1000, &[], READ) && !masked.allow(1001, &[4], READ));
        assert_eq!(parse(b"none"), []);
    }

    proptest! {
        #[test]
        fn any_attribute_is_read_without_a_panic(bytes: Vec<u8>, uid: u32, mode: u32) {
            let list = parse(&[&VERSION, &bytes[..]].concat());
            let _ = Permissions { list, ..plain(mode) }.allow(uid, &[1], READ);
        }
    }
}
