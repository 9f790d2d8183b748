use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::sync::mpsc;

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use tempfile::TempDir;
use time::Duration;
use time::macros::utc_datetime;

use super::*;
use crate::pure::advice::{Advice, Exit};
use crate::pure::ini::Defect;
use crate::pure::secret::Secret;

const FOREIGN: &str = "; the operator's\r\n[other]\nregion = x\n";

/// A user, or a group, that this process is not.
fn stranger() -> u32 {
    geteuid().as_raw() + 1
}

fn target() -> (TempDir, Target) {
    let directory = tempfile::tempdir().unwrap();
    let target = Target {
        name: "test".into(),
        path: directory.path().join("credentials"),
        profile: "default".parse().unwrap(),
        access: Access { mode: 0o640, owner: None, group: None },
    };
    (directory, target)
}

/// The `n`th token: all three values and the expiry say which one it is.
fn token(n: u64) -> RoleToken {
    RoleToken::new(
        Some(format!("ASIAEXAMPLE{n:09}")),
        Some(Secret::new(format!("secret{n}"))),
        Some(Secret::new(format!("token{n}/").repeat(200))),
        utc_datetime!(2026-11-22 00:00),
        Some(expiry(n)),
        false,
    )
    .unwrap()
}

fn expiry(n: u64) -> time::UtcDateTime {
    utc_datetime!(2026-11-22 01:00) + Duration::seconds(n as i64)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Why a delivery is refused; it leaves nothing lying about.
fn refusal(target: &Target) -> TargetError {
    let entries = || fs::read_dir(target.path.parent().unwrap()).unwrap().count();
    let before = entries();
    let error = deliver(target, &token(1)).unwrap_err();
    assert_eq!(entries(), before);
    assert!(!error.remedy().is_empty());
    error
}

#[test]
fn a_first_delivery_makes_the_file_and_a_second_leaves_it() {
    let (directory, target) = target();
    assert_eq!(deliver(&target, &token(1)).unwrap(), Delivery::Written);
    let inode = fs::metadata(&target.path).unwrap().ino();
    assert_eq!(deliver(&target, &token(1)).unwrap(), Delivery::Unchanged);
    assert_eq!(fs::metadata(&target.path).unwrap().ino(), inode);
    assert_eq!(mode(&target.path), 0o640);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let published = published(&target).unwrap().unwrap();
    assert_eq!(published.secret_access_key.expose(), "secret1");
    assert_eq!(published.expires_at, Some(expiry(1)));
}

#[test]
fn a_delivery_and_its_withdrawal_leave_the_other_profiles_as_they_were() {
    let (_directory, target) = target();
    fs::write(&target.path, FOREIGN).unwrap();
    allow(&target.path, 0o640);
    assert_eq!(deliver(&target, &token(1)).unwrap(), Delivery::Written);
    assert!(fs::read_to_string(&target.path).unwrap().starts_with(FOREIGN));
    assert_eq!(withdraw(&target).unwrap(), Delivery::Written);
    assert_eq!(fs::read_to_string(&target.path).unwrap(), FOREIGN);
    assert_eq!(published(&target).unwrap(), None);
}

#[test]
fn there_is_nothing_to_withdraw_from_a_file_without_our_keys() {
    let (directory, mut target) = target();
    assert_eq!(withdraw(&target).unwrap(), Delivery::Unchanged);
    fs::write(&target.path, FOREIGN).unwrap();
    allow(&target.path, 0o600);
    assert_eq!(withdraw(&target).unwrap(), Delivery::Unchanged);
    assert_eq!(mode(&target.path), 0o600, "a file that is not ours keeps its mode");
    target.path = directory.path().join("missing/credentials");
    assert_eq!(withdraw(&target).unwrap(), Delivery::Unchanged);
    assert_eq!(published(&target).unwrap(), None);
}

#[test]
fn a_mode_wider_or_narrower_than_asked_is_corrected_and_told() {
    let (_directory, target) = target();
    deliver(&target, &token(1)).unwrap();
    for strayed in [0o666, 0o644, 0o600] {
        allow(&target.path, strayed);
        let delivery = deliver(&target, &token(1)).unwrap();
        let now = target.permission();
        let found = Permission { mode: strayed, ..now };
        assert_eq!(delivery, Delivery::Corrected { found, now });
        assert_eq!(mode(&target.path), 0o640);
    }
}

#[test]
fn a_directory_that_passes_on_its_group_does_not_pass_it_on_to_the_file() {
    let (directory, mut target) = target();
    target.path = directory.path().join("shared/credentials");
    fs::create_dir(directory.path().join("shared")).unwrap();
    if geteuid().is_root() {
        chown(directory.path().join("shared"), None, Some(stranger())).unwrap();
    }
    allow(&directory.path().join("shared"), 0o2755);
    deliver(&target, &token(1)).unwrap();
    assert_eq!(fs::metadata(&target.path).unwrap().gid(), nix::unistd::getegid().as_raw());
}

#[test]
fn giving_the_file_away_works_for_root_and_is_refused_with_a_remedy_otherwise() {
    let (_directory, mut target) = target();
    target.access.owner = Some(Uid::from_raw(stranger()));
    target.access.group = Some(Gid::from_raw(stranger()));
    if geteuid().is_root() {
        assert_eq!(deliver(&target, &token(1)).unwrap(), Delivery::Written);
        let file = fs::metadata(&target.path).unwrap();
        assert_eq!((file.uid(), file.gid()), (stranger(), stranger()));
        assert_eq!(mode(&target.path), 0o640);
    } else {
        let error = refusal(&target);
        assert!(matches!(error.trouble, Trouble::Give(_)), "{error}");
        assert!(error.remedy().contains("CAP_CHOWN"));
        assert_eq!(error.exit(), Exit::Refused);
    }
}

#[test]
fn a_target_is_checked_before_the_disk_is_touched() {
    let (_directory, target) = target();
    for path in ["credentials", "/run/../etc/credentials", "/run/rolekeeper/", "/"] {
        let error = Target { path: path.into(), ..target.clone() }.check().unwrap_err();
        assert!(matches!(error.trouble, Trouble::Path), "{path}");
    }
    for mode in [0o642, 0o602, 0o750, 0o700, 0o610, 0o4600, 0o1600, 0o040, 0o000] {
        let access = Access { mode, ..target.access };
        let error = deliver(&Target { access, ..target.clone() }, &token(1)).unwrap_err();
        assert!(matches!(error.trouble, Trouble::Mode(m) if m == mode));
        assert_eq!(error.exit(), Exit::Configuration);
    }
    for mode in [0o400, 0o600, 0o640, 0o660, 0o644] {
        let access = Access { mode, ..target.access };
        assert!(Target { access, ..target.clone() }.check().is_ok(), "{mode:o}");
    }
    assert!(!target.path.exists());
}

#[test]
fn a_directory_that_others_can_write_in_is_refused() {
    let (directory, target) = target();
    for (mode, remedy) in [(0o777, "chmod go-w"), (0o770, "chmod go-w"), (0o1777, "of its own")] {
        allow(directory.path(), mode);
        let error = refusal(&target);
        assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
        assert!(error.remedy().contains(remedy), "{}", error.remedy());
        assert_eq!(error.exit(), Exit::Refused);
    }
}

#[test]
fn a_missing_directory_is_not_made() {
    let (directory, mut target) = target();
    target.path = directory.path().join("missing/credentials");
    let error = deliver(&target, &token(1)).unwrap_err();
    assert!(error.to_string().ends_with("missing does not exist"), "{error}");
    assert!(error.remedy().starts_with("make it first: mkdir"));
    assert_eq!(error.exit(), Exit::CannotCreate);
    assert!(!directory.path().join("missing").exists());
}

#[test]
fn what_is_not_a_plain_file_is_refused_and_stays() {
    let (directory, target) = target();
    let aim = directory.path().join("aim");
    fs::write(&aim, FOREIGN).unwrap();

    symlink(&aim, &target.path).unwrap();
    assert!(matches!(refusal(&target).trouble, Trouble::Symlink));
    assert!(matches!(published(&target).unwrap_err().trouble, Trouble::Symlink));
    fs::remove_file(&target.path).unwrap();

    // Were it opened to be read, this would wait for a writer for ever.
    mkfifo(&target.path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    assert!(matches!(refusal(&target).trouble, Trouble::NotAFile("a named pipe")));
    fs::remove_file(&target.path).unwrap();

    fs::hard_link(&aim, &target.path).unwrap();
    assert!(matches!(refusal(&target).trouble, Trouble::HardLinks(2)));
    fs::remove_file(&target.path).unwrap();

    fs::create_dir(&target.path).unwrap();
    assert!(matches!(refusal(&target).trouble, Trouble::NotAFile("a directory")));
    assert!(matches!(withdraw(&target).unwrap_err().trouble, Trouble::NotAFile(_)));
    assert_eq!(fs::read_to_string(&aim).unwrap(), FOREIGN);
}

#[test]
fn a_file_that_does_not_parse_is_left_alone_and_never_wiped() {
    let (_directory, target) = target();
    let text = "[other]\naws_secret_access_key = hunter2\n[other]\n";
    fs::write(&target.path, text).unwrap();
    let error = refusal(&target);
    let Trouble::Content { unusable, .. } = &error.trouble else { panic!("{error}") };
    assert_eq!(unusable.defect, Defect::DuplicateSection { first: 1 });
    assert!(error.to_string().contains("line 3 opens"), "{error}");
    assert_eq!(error.remedy(), "merge the sections of lines 1 and 3 into one");
    assert_eq!(error.exit(), Exit::BadData);
    assert!(published(&target).is_err() && withdraw(&target).is_err());
    assert!(!format!("{error} {error:?} {}", error.remedy()).contains("hunter2"));
    assert_eq!(fs::read_to_string(&target.path).unwrap(), text);
}

#[test]
fn a_file_of_a_megabyte_is_read_and_a_larger_one_is_not() {
    let (_directory, target) = target();
    let largest = existing::LARGEST as usize;
    fs::write(&target.path, "#".repeat(largest)).unwrap();
    assert!(published(&target).is_ok());
    fs::write(&target.path, "#".repeat(largest + 1)).unwrap();
    assert!(matches!(refusal(&target).trouble, Trouble::TooLarge));
}

#[test]
fn a_file_or_directory_closed_to_us_is_an_error_with_a_remedy_unless_we_are_root() {
    let (directory, target) = target();
    fs::write(&target.path, FOREIGN).unwrap();
    allow(&target.path, 0o000);
    let outcome = deliver(&target, &token(1));
    if geteuid().is_root() {
        assert!(matches!(outcome.unwrap(), Delivery::Corrected { .. }));
    } else {
        assert!(matches!(outcome.unwrap_err().trouble, Trouble::Denied("read")));
        allow(&target.path, 0o640);
        allow(directory.path(), 0o500);
        assert!(matches!(refusal(&target).trouble, Trouble::Denied("write")));
        assert_eq!(fs::read_to_string(&target.path).unwrap(), FOREIGN);
        allow(directory.path(), 0o700);
    }
}

#[test]
fn failures_of_the_disk_have_names() {
    let of = |errno: Errno| Trouble::of("write", io::Error::from(errno));
    assert!(matches!(of(Errno::ENOSPC), Trouble::DiskFull));
    assert!(matches!(of(Errno::EDQUOT), Trouble::DiskFull));
    assert!(matches!(of(Errno::EROFS), Trouble::ReadOnly));
    assert!(matches!(of(Errno::EPERM), Trouble::Denied("write")));
    assert!(matches!(of(Errno::EIO), Trouble::System { .. }));
}

#[test]
fn an_edit_made_meanwhile_is_kept() {
    let (_directory, target) = target();
    fs::write(&target.path, FOREIGN).unwrap();
    let directory = open_directory(&target).unwrap();
    let meddle = |document: &mut Document| {
        fs::write(&target.path, format!("{FOREIGN}more = yes\n")).unwrap();
        document.set_profile(&target.profile, &token(1))
    };
    assert!(matches!(edit_once(&target, &directory, meddle), Err(Trouble::Busy)));
    deliver(&target, &token(1)).unwrap();
    assert!(fs::read_to_string(&target.path).unwrap().contains("more = yes\n\n[default]\n"));
}

#[test]
fn a_reader_never_meets_a_torn_file_or_a_wider_mode() {
    const REWRITES: u64 = 200;
    let (directory, target) = target();
    fs::write(&target.path, FOREIGN).unwrap();
    deliver(&target, &token(0)).unwrap();
    let temporary = directory.path().join(".credentials.rolekeeper-new");
    let (saw, seen) = mpsc::channel();
    std::thread::scope(|scope| {
        let saw = saw;
        let target = &target;
        let writer = scope.spawn(move || {
            for n in 1..=REWRITES {
                assert_eq!(deliver(target, &token(n)).unwrap(), Delivery::Written);
                // The reader keeps up, so that it looks in the midst of many rewrites.
                let behind = |version: &u64| version + 3 < n;
                while seen.recv().as_ref().is_ok_and(behind) {}
            }
        });
        while !writer.is_finished() {
            let mut file = fs::File::open(&target.path).unwrap();
            let text = io::read_to_string(&mut file).unwrap();
            assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o640);
            // Once the writer is through, nobody listens any more.
            let _ = saw.send(whole_version(target, &text));
            if let Ok(file) = fs::File::open(&temporary) {
                assert_eq!(file.metadata().unwrap().mode() & 0o7777 & !0o640, 0);
            }
        }
    });
    let text = fs::read_to_string(&target.path).unwrap();
    assert_eq!(whole_version(&target, &text), REWRITES);
}

/// Which token the text holds, all of it and nothing else but the foreign lines.
fn whole_version(target: &Target, text: &str) -> u64 {
    let document = Document::parse(text.as_bytes()).unwrap();
    let published = document.read_profile(&target.profile).unwrap().unwrap();
    let id = published.access_key_id.expose();
    let n = id.strip_prefix("ASIAEXAMPLE").unwrap().parse().unwrap();
    let token = token(n);
    assert_eq!(published.secret_access_key, token.secret_access_key);
    assert_eq!(published.session_token, token.session_token);
    assert_eq!(published.expires_at, Some(expiry(n)));
    assert!(text.starts_with(FOREIGN));
    n
}
