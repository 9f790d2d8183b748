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

fn deliver(target: &Target, token: &RoleToken) -> Result<Delivery, TargetError> {
    super::deliver(target, token).map(|delivered| delivered.delivery)
}

fn withdraw(target: &Target) -> Result<Delivery, TargetError> {
    super::withdraw(target).map(|delivered| delivered.delivery)
}

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
fn keys_are_withdrawn_from_a_file_that_not_every_sdk_reads_any_more() {
    let (_directory, target) = target();
    deliver(&target, &token(1)).unwrap();
    let more = "[other]\n  indented = x\n";
    fs::write(&target.path, fs::read_to_string(&target.path).unwrap() + more).unwrap();
    let error = deliver(&target, &token(2)).unwrap_err().to_string();
    assert!(
        error.contains("refused by the AWS SDK for C (CRT), the AWS SDK for Java v2"),
        "{error}"
    );
    assert_eq!(withdraw(&target).unwrap(), Delivery::Written);
    assert_eq!(fs::read_to_string(&target.path).unwrap(), more);
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
        assert!(error.remedy().contains("AmbientCapabilities=CAP_CHOWN"), "{}", error.remedy());
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
    assert!(error.remedy().starts_with("install -d -m 0755 -o "));
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
    assert!(matches!(of(Errno::EBUSY), Trouble::MountPoint));
}

/// A list as `setfacl` writes it: owner rw, `uid` r, group and others nothing, mask r.
fn list(uid: u32) -> Vec<u8> {
    let nobody = u32::MAX;
    let entries = [(1, 6, nobody), (2, 4, uid), (4, 0, nobody), (16, 4, nobody), (32, 0, nobody)];
    let entries = entries.iter().flat_map(|(tag, bits, number): &(u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &number.to_le_bytes()].concat()
    });
    [2, 0, 0, 0].into_iter().chain(entries).collect()
}

/// Sets an attribute, or says that the file system has none.
fn noted(path: &Path, name: &str, value: &[u8]) -> bool {
    let file = fs::File::open(path).unwrap();
    match crate::host::attributes::set(&file, OsStr::new(name), value) {
        Ok(()) => true,
        Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {
            eprintln!("SKIPPED: the file system of {} has no {name}", path.display());
            false
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    crate::host::attributes::get(fs::File::open(path).unwrap(), OsStr::new(name)).unwrap()
}

const LIST: &str = "system.posix_acl_access";

#[test]
fn what_was_put_on_the_file_by_hand_survives_a_renewal_and_a_withdrawal() {
    let (_directory, mut target) = target();
    target.access.mode = 0o600;
    deliver(&target, &token(1)).unwrap();
    if !noted(&target.path, LIST, &list(stranger())) {
        return;
    }
    let has_notes = noted(&target.path, "user.note", b"hello");
    assert_eq!(mode(&target.path), 0o640, "the group's bits are the mask now");
    let found = super::deliver(&target, &token(2)).unwrap();
    assert_eq!(found, Delivered { delivery: Delivery::Written, warnings: vec![] });
    assert_eq!(deliver(&target, &token(2)).unwrap(), Delivery::Unchanged);
    assert_eq!(withdraw(&target).unwrap(), Delivery::Written);
    assert_eq!(attribute(&target.path, LIST), Some(list(stranger())));
    if has_notes {
        assert_eq!(attribute(&target.path, "user.note").as_deref(), Some(&b"hello"[..]));
    }
    // A mode of one's own is corrected all the same, and the list stays.
    deliver(&target, &token(3)).unwrap();
    target.access.mode = 0o644;
    assert!(matches!(deliver(&target, &token(3)).unwrap(), Delivery::Corrected { .. }));
    let kept = attribute(&target.path, LIST).unwrap();
    assert_eq!(crate::pure::diagnosis::acl::own_mode(&kept, 0o644), 0o644);
    assert!(kept.windows(8).any(|entry| *entry == list(stranger())[12..20]));
}

#[test]
fn a_list_of_the_directory_lets_nobody_read_the_file() {
    let (directory, target) = target();
    // Named "default" when it is for new files.
    if !noted(directory.path(), "system.posix_acl_default", &list(stranger())) {
        return;
    }
    deliver(&target, &token(1)).unwrap();
    assert_eq!(attribute(&target.path, LIST), None);
    assert_eq!(mode(&target.path), 0o640);
}

#[test]
fn what_a_stranger_put_on_their_own_file_is_not_passed_on_and_that_is_told() {
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can give a file away");
    }
    let (_directory, target) = target();
    fs::write(&target.path, "").unwrap();
    if !noted(&target.path, LIST, &list(stranger())) {
        return;
    }
    chown(&target.path, Some(stranger()), None).unwrap();
    let delivered = super::deliver(&target, &token(1)).unwrap();
    assert!(matches!(delivered.delivery, Delivery::Corrected { .. }));
    let [warning @ Warning::Lost { names, .. }] = &delivered.warnings[..] else {
        panic!("{delivered:?}")
    };
    assert_eq!(names, "its access control list");
    assert!(!warning.remedy().is_empty());
    assert_eq!(attribute(&target.path, LIST), None);
}

#[test]
fn what_comes_before_our_keys_is_a_warning_with_its_line() {
    let (_directory, target) = target();
    fs::write(&target.path, "[default]\nrole_arn = r\nsource_profile = base\n").unwrap();
    let delivered = super::deliver(&target, &token(1)).unwrap();
    let [warning] = &delivered.warnings[..] else { panic!("{delivered:?}") };
    assert!(warning.to_string().ends_with("for role_arn in line 6 (profile default)"), "{warning}");
    assert!(warning.remedy().starts_with("remove line 6"));
    // The warning stays as long as its reason does.
    assert_eq!(super::deliver(&target, &token(1)).unwrap().warnings, delivered.warnings);
}

/// Where to find the target in a namespace of its own.
const MOUNTED: &str = "ROLEKEEPER_TEST_MOUNTED";

#[test]
fn a_file_that_is_a_mount_point_is_called_so() {
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can mount");
    }
    let (directory, target) = target();
    fs::write(&target.path, FOREIGN).unwrap();
    allow(&target.path, 0o640);
    let script = "mount --bind \"$1\" \"$1\" && exec \"$2\" --exact --ignored \
                  targets::tests::in_the_namespace_of_a_mount_point";
    let outcome = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([target.path.as_os_str(), std::env::current_exe().unwrap().as_os_str()])
        .env(MOUNTED, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&outcome.stdout);
    if said.is_empty() {
        let error = String::from_utf8_lossy(&outcome.stderr);
        eprintln!("SKIPPED: root may not mount here: {error}");
    } else {
        assert!(outcome.status.success() && said.contains("1 passed"), "{said}");
    }
    assert_eq!(fs::read_to_string(&target.path).unwrap(), FOREIGN);
}

#[test]
#[ignore = "run by the test above, in a namespace"]
fn in_the_namespace_of_a_mount_point() {
    let (_unused, mut target) = target();
    let directory = std::process::Command::new("printenv").arg(MOUNTED).output().unwrap().stdout;
    let directory = String::from_utf8(directory).unwrap();
    target.path = Path::new(directory.trim_end()).join("credentials");
    let error = refusal(&target);
    assert!(matches!(error.trouble, Trouble::MountPoint), "{error}");
    assert!(error.remedy().contains(&format!(", name {}, then systemctl", directory.trim_end())));
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
    assert!(matches!(edit_once(&target, &directory, Document::parse, meddle), Err(Trouble::Busy)));
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
