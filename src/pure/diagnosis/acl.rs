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
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The number of an entry that names nobody.
const NOBODY: u32 = u32::MAX;

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
    let entries = raw(attribute).unwrap_or_default().into_iter();
    let entries = entries.filter_map(|(tag, bits, number)| match tag {
        USER => Some(Entry::User { uid: number, bits }),
        GROUP_OBJ => Some(Entry::OwnGroup { bits }),
        GROUP => Some(Entry::Group { gid: number, bits }),
        // Owner, mask and others stand in the mode, too.
        _ => None,
    });
    entries.collect()
}

/// A mode without what a list makes of it: with a list, the group's bits of `mode` are the mask of
/// everybody whom the list names.
pub fn own_mode(attribute: &[u8], mode: u32) -> u32 {
    let entries = raw(attribute).unwrap_or_default();
    match entries.iter().find(|(tag, ..)| *tag == GROUP_OBJ) {
        Some((_, bits, _)) => mode & !0o070 | (bits << 3 & mask_of(&entries) << 3),
        None => mode,
    }
}

/// The list that a file of `mode` gets in place of one that had this one: its owner, its group and
/// others may what the mode says; users and groups with a name may what they could before. `None`
/// where nobody has a name, or where it is no list.
pub fn for_mode(attribute: &[u8], mode: u32) -> Option<Vec<u8>> {
    let entries = raw(attribute)?;
    let mask = mask_of(&entries);
    let named = |(tag, ..): &&(u16, u32, u32)| [USER, GROUP].contains(tag);
    let all =
        entries.iter().filter(named).fold(mode >> 3 & 7, |all, (_, bits, _)| all | bits & mask);
    entries.iter().find(named)?;
    let of = |wanted: u16| {
        let entries = entries.iter().filter(move |(tag, ..)| *tag == wanted);
        entries.map(move |(tag, bits, number)| (*tag, bits & mask, *number))
    };
    let owner = [(USER_OBJ, mode >> 6 & 7, NOBODY)].into_iter();
    let list = owner
        .chain(of(USER))
        .chain([(GROUP_OBJ, mode >> 3 & 7, NOBODY)])
        .chain(of(GROUP))
        .chain([(MASK, all, NOBODY), (OTHER, mode & 7, NOBODY)]);
    let bytes = list.flat_map(|(tag, bits, number)| {
        let (tag, bits) = (tag.to_le_bytes(), (bits as u16).to_le_bytes());
        [&tag[..], &bits, &number.to_le_bytes()].concat()
    });
    Some(VERSION.into_iter().chain(bytes).collect())
}

/// What everybody with a name, and the group, may at most.
fn mask_of(entries: &[(u16, u32, u32)]) -> u32 {
    entries.iter().find(|(tag, ..)| *tag == MASK).map_or(7, |(_, bits, _)| *bits)
}

/// Tag, bits and number of each entry.
fn raw(attribute: &[u8]) -> Option<Vec<(u16, u32, u32)>> {
    let entries = attribute.strip_prefix(&VERSION)?.chunks_exact(ENTRY);
    let entries = entries.filter_map(|entry| {
        let [tag, tag_high, bits, _, a, b, c, d] = *entry else { return None };
        let tag = u16::from_le_bytes([tag, tag_high]);
        Some((tag, u32::from(bits & 7), u32::from_le_bytes([a, b, c, d])))
    });
    Some(entries.collect())
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

    /// A list as the kernel has it.
    fn attribute(entries: &[(u16, u8, u32)]) -> Vec<u8> {
        let entries = entries.iter().flat_map(|(tag, bits, number)| {
            [&tag.to_le_bytes()[..], &[*bits, 0], &number.to_le_bytes()].concat()
        });
        VERSION.into_iter().chain(entries).collect()
    }

    #[test]
    fn a_list_moves_to_another_mode_and_gives_nobody_more() {
        let list = |user: u8, own: u8, mask: u8| {
            attribute(&[
                (USER_OBJ, 6, NOBODY),
                (USER, user, 1000),
                (GROUP_OBJ, own, NOBODY),
                (MASK, mask, NOBODY),
                (OTHER, 0, NOBODY),
            ])
        };
        // u:1000:r on a file of 0600, which shows as 0640.
        assert_eq!(own_mode(&list(4, 0, 4), 0o640), 0o600);
        assert_eq!(own_mode(&list(4, 4, 0), 0o600), 0o600, "the mask holds for the group, too");
        assert_eq!(own_mode(b"none", 0o640), 0o640);
        assert_eq!(for_mode(&list(4, 0, 4), 0o600), Some(list(4, 0, 4)));
        assert_eq!(for_mode(&list(4, 0, 4), 0o640), Some(list(4, 4, 4)));
        // Somebody took the mask away, and with it what the user could do.
        assert_eq!(for_mode(&list(6, 4, 0), 0o640), Some(list(0, 4, 4)));
        assert_eq!(for_mode(&list(6, 4, 4), 0o600), Some(list(4, 0, 4)));
        let unnamed = [(USER_OBJ, 6, NOBODY), (GROUP_OBJ, 4, NOBODY), (OTHER, 0, NOBODY)];
        assert_eq!(for_mode(&attribute(&unnamed), 0o640), None);
        assert_eq!(for_mode(b"none", 0o640), None);
    }

    proptest! {
        #[test]
        fn any_attribute_is_read_without_a_panic(bytes: Vec<u8>, uid: u32, mode: u32) {
            let list = parse(&[&VERSION, &bytes[..]].concat());
            let _ = Permissions { list, ..plain(mode) }.allow(uid, &[1], READ);
        }

        #[test]
        fn nobody_with_a_name_gains_by_a_move(
            uid in 1000_u32..1003,
            groups in proptest::collection::vec(4_u32..7, 0..3),
            entries in proptest::collection::vec((0..2, 0_u8..8, 0_u32..3), 1..5),
            (own, mask, mode) in (0_u8..8, 0_u8..8, 0_u32..0o1000),
        ) {
            let named = entries.iter().map(|(kind, bits, number)| match kind {
                0 => (USER, *bits, 1000 + number),
                _ => (GROUP, *bits, 4 + number),
            });
            let base = [(USER_OBJ, 6, NOBODY), (GROUP_OBJ, own, NOBODY), (MASK, mask, NOBODY)];
            let before = attribute(&named.chain(base).collect::<Vec<_>>());
            let after = for_mode(&before, mode).unwrap();
            // The kernel shows the mask in the mode's place for the group.
            let shown = mode & !0o070 | mask_of(&raw(&after).unwrap()) << 3;
            prop_assert_eq!(own_mode(&after, shown), mode);
            let permit = |list: &[u8], mode| {
                Permissions { list: parse(list), ..plain(mode) }.allow(uid, &groups, READ)
            };
            let could = permit(&before, mode & !0o070 | u32::from(mask) << 3);
            prop_assert!(!permit(&after, shown) || could, "{:?}", entries);
        }
    }
}
