//! The vault on a real file system. A crash is the state on disk that it leaves: each test of one
//! builds that state, opens the vault again, and looks.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::LazyLock;

use nix::unistd::{Gid, Uid, chown, geteuid};
use tempfile::TempDir;
use time::macros::utc_datetime;

use crate::pure::fingerprint::Attribute;

use super::records::Journal;
use super::*;

/// Captured from the reference agent: its files, and more.
const REFERENCE_AGENT: &str = include_str!("../../tests/vectors/reference-agent.json");

const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00:52);
const LATER: UtcDateTime = utc_datetime!(2026-12-24 18:00:00);

static THEIR_REGISTRATION: LazyLock<String> = LazyLock::new(|| their_file("RegistrationKey"));
static THEIR_FINGERPRINT: LazyLock<String> = LazyLock::new(|| their_file("InstanceFingerprint"));

static OLD_KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());
static NEW_KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

/// A state directory of its own for each test.
struct State(TempDir);

impl State {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a vault that holds `mi-0000000000000000a` and [`OLD_KEY`].
    fn registered() -> Self {
        let state = Self::new();
        let mut vault = state.open();
        vault.stage_registration(&candidate(&OLD_KEY, 1), NOW).unwrap();
        vault.commit_registration(&id("mi-0000000000000000a"), NOW).unwrap();
        state
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn open(&self) -> Vault {
        Vault::open(self.path()).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join("vault").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path().join("vault")).unwrap();
        fs::write(self.file(name), text).unwrap();
        fs::set_permissions(self.file(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().join("vault")).unwrap();
        let mut names = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>();
        names.sort();
        names
    }
}

fn their_file(name: &str) -> String {
    let captured = serde_json::from_str::<serde_json::Value>(REFERENCE_AGENT).unwrap();
    let file = &captured["files"][format!("/var/lib/amazon/ssm/Vault/Store/{name}")];
    file["content"].as_str().unwrap().to_owned()
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn candidate(key: &SigningKey, number: u8) -> PendingRegistration {
    PendingRegistration {
        region: "eu-central-1".parse().unwrap(),
        signing_key: key.clone(),
        key_created_at: Some(NOW),
        fingerprint: fingerprint(number),
    }
}

fn fingerprint(number: u8) -> FingerprintRecord {
    FingerprintRecord {
        fingerprint: Fingerprint::from_random_bytes([number; 16]),
        hardware_hash: HardwareHash::from_iter([(Attribute::MachineId, format!("{number:064x}"))]),
        threshold: SimilarityThreshold::Percent(40),
    }
}

/// A registration of `mi-0000000000000000b` and [`NEW_KEY`] that the service has accepted.
fn accepted_journal() -> Journal {
    let mut journal = Journal::new(&candidate(&NEW_KEY, 2));
    journal.registration_key.instance_id = "mi-0000000000000000b".into();
    journal.accepted_date = date::format(LATER);
    journal
}

fn text<R: Stored>(record: &R) -> String {
    String::from_utf8(encode(record).unwrap().to_vec()).unwrap()
}

fn assert_is_b(state: &State) {
    let vault = state.open();
    let registration = vault.registration().unwrap();
    assert_eq!(registration.instance_id, id("mi-0000000000000000b"));
    assert_eq!(registration.signing_key.public_key(), NEW_KEY.public_key());
    assert_eq!(vault.fingerprint_record().unwrap(), fingerprint(2));
    assert!(vault.substitute_fingerprint().unwrap().is_none());
    assert!(vault.staged_key().unwrap().is_none());
    assert!(!state.names().contains(&"PendingRegistration".into()));
}

// Records

#[test]
fn records_of_the_reference_agent_read_and_write_back_to_the_byte() {
    let state = State::new();
    state.write("RegistrationKey", &THEIR_REGISTRATION);
    state.write("InstanceFingerprint", &THEIR_FINGERPRINT);
    let vault = state.open();
    let registration = vault.registration().unwrap();
    assert_eq!(registration.instance_id, id("mi-f52168f4aefc72946"));
    assert_eq!(registration.region.as_str(), "us-east-1");
    assert_eq!(registration.key_created_at, Some(utc_datetime!(2026-11-22 00:00:18.946342959)));
    let record = vault.fingerprint_record().unwrap();
    assert_eq!(record.fingerprint.to_string(), "f6699b39-9f9a-4a34-8cea-d81c17d5fa4d");
    let machine_id = record.hardware_hash.get(Attribute::MachineId);
    assert_eq!(machine_id, Some("3d1219c7c4c5404aaa1f6d2a48adfda4\n"));
    assert_eq!(record.hardware_hash.get(Attribute::Disk), None);
    assert_eq!(record.threshold, SimilarityThreshold::Percent(40));

    let key = vault.load::<records::RegistrationKey>().unwrap().unwrap();
    assert_eq!(text(&key), *THEIR_REGISTRATION);
    assert_eq!(text(&records::InstanceFingerprint::new(&record)), *THEIR_FINGERPRINT);
}

#[test]
fn a_registration_has_the_members_and_the_order_of_the_reference_agent() {
    let state = State::registered();
    let key = OLD_KEY.encode();
    let key = key.expose();
    assert_eq!(
        state.read("RegistrationKey"),
        format!(
            "{{\"instanceID\":\"mi-0000000000000000a\",\"region\":\"eu-central-1\",\
             \"instanceType\":\"\",\"availabilityZone\":\"\",\"privateKey\":\"{key}\",\
             \"publicKey\":\"\",\"privateKeyType\":\"Rsa\",\
             \"privateKeyCreatedDate\":\"2026-11-22 00:00:52 +0000 UTC\"}}"
        )
    );
    assert!(state.read("InstanceFingerprint").starts_with(
        "{\"fingerprint\":\"01010101-0101-4101-8101-010101010101\",\"hardwareHash\":{\"bios-hash\":\"\","
    ));
    assert!(state.read("InstanceFingerprint").ends_with(",\"similarityThreshold\":40}"));
}

#[test]
fn the_empty_records_of_a_cleared_reference_vault_mean_not_registered() {
    let state = State::new();
    state.write(
        "RegistrationKey",
        "{\"instanceID\":\"\",\"region\":\"\",\"instanceType\":\"\",\"availabilityZone\":\"\",\
         \"privateKey\":\"\",\"publicKey\":\"\",\"privateKeyType\":\"\",\
         \"privateKeyCreatedDate\":\"2026-11-22 00:00:18 +0000 UTC\"}",
    );
    state.write(
        "InstanceFingerprint",
        "{\"fingerprint\":\"\",\"hardwareHash\":null,\"similarityThreshold\":0}",
    );
    let vault = state.open();
    assert!(matches!(vault.registration(), Err(VaultError::Missing { .. })));
    assert!(matches!(vault.fingerprint_record(), Err(VaultError::Missing { .. })));
}

#[test]
fn an_odd_creation_date_costs_the_date_and_not_the_key() {
    let state = State::new();
    let odd = THEIR_REGISTRATION.replace("2026-11-22 00:00:18.946342959 +0000 UTC", "last week");
    state.write("RegistrationKey", &odd);
    assert_eq!(state.open().registration().unwrap().key_created_at, None);
}

#[test]
fn a_threshold_of_0_reads_as_the_default_and_other_odd_ones_do_not_read() {
    let state = State::new();
    let with = |threshold: &str| {
        let end = format!("\"similarityThreshold\":{threshold}}}");
        THEIR_FINGERPRINT.replace("\"similarityThreshold\":40}", &end)
    };
    state.write("InstanceFingerprint", &with("0"));
    let vault = state.open();
    assert_eq!(vault.fingerprint_record().unwrap().threshold, SimilarityThreshold::Percent(40));
    state.write("InstanceFingerprint", &with("101"));
    assert!(matches!(vault.fingerprint_record(), Err(VaultError::Damaged { .. })));
}

// Missing, unreadable, damaged

#[test]
fn nothing_there_is_missing() {
    let state = State::new();
    let error = Vault::read_only(state.path()).unwrap_err();
    assert!(matches!(error, VaultError::Missing { .. }), "{error}");
    let vault = state.open();
    assert!(matches!(vault.registration(), Err(VaultError::Missing { .. })));
    assert!(matches!(vault.fingerprint_record(), Err(VaultError::Missing { .. })));
    assert!(vault.substitute_fingerprint().unwrap().is_none());
    assert!(vault.staged_key().unwrap().is_none());
    assert!(vault.pending_registration().unwrap().is_none());
}

#[test]
fn what_makes_no_sense_is_damaged_and_no_error_quotes_the_key() {
    let state = State::new();
    let vault = state.open();
    let whole = THEIR_REGISTRATION.as_str();
    for broken in [
        String::new(),
        "\0".repeat(1810),
        whole[..whole.len() / 2].into(),
        whole.replace("MIIEpQ", "MIIEpR"),
        whole.replace("us-east-1", ""),
        whole.replace("mi-f52168f4aefc72946", "../../etc"),
        whole.replace("\"Rsa\"", "\"Dsa\""),
        whole.replace("\"region\":\"us-east-1\"", "\"region\":{\"MIIE\":1}"),
        format!("[{whole}]"),
        " ".repeat(64 * 1024 + 1),
    ] {
        state.write("RegistrationKey", &broken);
        let error = vault.registration().unwrap_err();
        assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
        assert!(!error.to_string().contains("MII"), "{error}");
    }
}

#[test]
fn what_is_no_plain_file_is_damaged_and_is_not_followed() {
    let state = State::new();
    let elsewhere = state.path().join("elsewhere");
    fs::write(&elsewhere, &*THEIR_REGISTRATION).unwrap();
    let vault = state.open();
    let path = state.file("RegistrationKey");
    let damage = || match vault.registration() {
        Err(VaultError::Damaged { damage, .. }) => damage,
        other => panic!("{other:?}"),
    };

    symlink(&elsewhere, &path).unwrap();
    assert_eq!(damage(), Damage::NotAFile);
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    assert_eq!(damage(), Damage::NotAFile);
    fs::remove_dir(&path).unwrap();

    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert_eq!(damage(), Damage::NotAFile);
    fs::remove_file(&path).unwrap();

    fs::hard_link(&elsewhere, &path).unwrap();
    assert_eq!(damage(), Damage::HardLink);
}

#[test]
fn a_vault_that_is_a_symlink_is_refused() {
    let state = State::new();
    let elsewhere = State::registered();
    symlink(elsewhere.path().join("vault"), state.path().join("vault")).unwrap();
    let error = Vault::open(state.path()).unwrap_err();
    assert!(matches!(error, VaultError::Damaged { damage: Damage::NotADirectory, .. }), "{error}");
}

#[test]
fn a_record_that_may_not_be_read_is_unreadable_and_stays() {
    let state = State::registered();
    let vault = state.open();
    fs::set_permissions(state.file("RegistrationKey"), fs::Permissions::from_mode(0o000)).unwrap();
    if geteuid().is_root() {
        // Nothing is forbidden to root.
        assert!(vault.registration().is_ok());
    } else {
        let error = vault.registration().unwrap_err();
        assert!(matches!(error, VaultError::Unreadable { .. }), "{error}");
        drop(vault);
        let mut vault = state.open();
        vault.stage_registration(&candidate(&NEW_KEY, 2), NOW).unwrap();
        assert!(vault.commit_registration(&id("mi-0000000000000000b"), NOW).is_err());
    }
    assert!(state.file("RegistrationKey").exists());
}

#[test]
fn a_damaged_record_is_kept_aside_and_never_overwritten() {
    let state = State::registered();
    state.write("RegistrationKey", "{\"instanceID\":\"mi-");
    state.write("SubstituteFingerprint", "?");
    let mut vault = state.open();
    vault.store_substitute_fingerprint(&fingerprint(3), LATER).unwrap();
    assert_eq!(vault.substitute_fingerprint().unwrap(), Some(fingerprint(3)));
    assert_eq!(state.read("SubstituteFingerprint.damaged-20261224T180000Z"), "?");
    vault.stage_registration(&candidate(&NEW_KEY, 2), LATER).unwrap();
    vault.commit_registration(&id("mi-0000000000000000b"), LATER).unwrap();
    drop(vault);
    assert_is_b(&state);
    assert_eq!(state.read("RegistrationKey.damaged-20261224T180000Z"), "{\"instanceID\":\"mi-");
}

#[test]
fn two_records_kept_aside_in_one_second_do_not_overwrite_each_other() {
    let state = State::new();
    let mut vault = state.open();
    for broken in ["first", "second"] {
        state.write("SubstituteFingerprint", broken);
        vault.forget_substitute_fingerprint(NOW).unwrap();
    }
    assert_eq!(state.read("SubstituteFingerprint.damaged-20261122T000052Z"), "first");
    assert_eq!(state.read("SubstituteFingerprint.damaged-20261122T000052Z-2"), "second");
}

// Modes, owners, the lock

#[test]
fn directories_are_made_0700_and_files_0600() {
    let parent = State::new();
    let state_dir = parent.path().join("lib/rolekeeper");
    let mut vault = Vault::open(&state_dir).unwrap();
    vault.stage_registration(&candidate(&OLD_KEY, 1), NOW).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&state_dir), 0o700);
    assert_eq!(mode(vault.path()), 0o700);
    for entry in fs::read_dir(vault.path()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    assert!(vault.notices().is_empty());
}

#[test]
fn modes_that_let_others_in_are_narrowed_and_reported() {
    let state = State::registered();
    fs::set_permissions(state.file("RegistrationKey"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(state.path().join("vault"), fs::Permissions::from_mode(0o755)).unwrap();
    let vault = state.open();
    let notices = vault.notices().iter().map(Notice::to_string).collect::<Vec<_>>();
    assert_eq!(notices.len(), 2);
    assert!(notices[0].contains("vault: mode 0755"), "{notices:?}");
    assert!(notices[1].contains("RegistrationKey: mode 0644"), "{notices:?}");
    assert_eq!(fs::metadata(vault.path()).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(state.file("RegistrationKey")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_directory_without_search_permission_as_the_reference_agent_leaves_it_opens() {
    let state = State::registered();
    fs::set_permissions(state.path().join("vault"), fs::Permissions::from_mode(0o600)).unwrap();
    let vault = state.open();
    assert!(vault.registration().is_ok());
    assert!(vault.notices().is_empty());
}

#[test]
fn a_second_process_is_kept_out_and_told_who_has_the_vault() {
    let state = State::registered();
    let first = state.open();
    match Vault::open(state.path()) {
        Err(VaultError::Locked { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    let reader = Vault::read_only(state.path()).unwrap();
    assert_eq!(reader.registration().unwrap().instance_id, id("mi-0000000000000000a"));
    drop(first);
    assert_eq!(state.read("lock"), "");
    state.open();
}

#[test]
fn another_users_vault_is_refused_and_root_leaves_it_its_owner() {
    let (stranger, group) = (Uid::from_raw(65_534), Gid::from_raw(65_534));
    if geteuid().is_root() {
        let state = State::new();
        chown(state.path(), Some(stranger), Some(group)).unwrap();
        let mut vault = state.open();
        vault.stage_registration(&candidate(&OLD_KEY, 1), NOW).unwrap();
        vault.commit_registration(&id("mi-0000000000000000a"), NOW).unwrap();
        for name in ["", "RegistrationKey", "InstanceFingerprint", "lock"] {
            let metadata = fs::metadata(state.file(name)).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (65_534, 65_534), "{name}");
        }
        // What neither the vault's owner nor root has put there is not read.
        chown(&state.file("RegistrationKey"), Some(Uid::from_raw(65_533)), None).unwrap();
        assert!(matches!(vault.registration(), Err(VaultError::ForeignOwner { .. })));
    } else {
        let error = Directory::open(Path::new("/"), "usr").unwrap_err();
        assert!(matches!(error, VaultError::ForeignOwner { .. }), "{error}");
    }
}

// Registration

#[test]
fn an_identity_stays_whole_until_the_service_has_said_yes() {
    let state = State::registered();
    let before = (state.read("RegistrationKey"), state.read("InstanceFingerprint"));
    let mut vault = state.open();
    vault.stage_registration(&candidate(&NEW_KEY, 2), NOW).unwrap();
    assert_eq!((state.read("RegistrationKey"), state.read("InstanceFingerprint")), before);
    vault.discard_registration(NOW).unwrap();
    drop(vault);
    assert_eq!(state.names(), ["InstanceFingerprint", "RegistrationKey", "lock"]);
    assert_eq!((state.read("RegistrationKey"), state.read("InstanceFingerprint")), before);
}

#[test]
fn a_replaced_identity_is_kept_aside_with_its_staged_key() {
    let state = State::registered();
    let before = state.read("RegistrationKey");
    let mut vault = state.open();
    vault.stage_key(&NEW_KEY, NOW).unwrap();
    vault.store_substitute_fingerprint(&fingerprint(3), NOW).unwrap();
    vault.stage_registration(&candidate(&NEW_KEY, 2), NOW).unwrap();
    vault.commit_registration(&id("mi-0000000000000000b"), LATER).unwrap();
    drop(vault);
    assert_is_b(&state);
    assert_eq!(state.read("RegistrationKey.replaced-20261224T180000Z"), before);
    assert!(state.file("InstanceFingerprint.replaced-20261224T180000Z").exists());
    assert!(state.file("StagedKey.replaced-20261224T180000Z").exists());
}

#[test]
fn a_crash_before_the_answer_leaves_the_journal_for_another_try() {
    let state = State::registered();
    state.open().stage_registration(&candidate(&NEW_KEY, 2), NOW).unwrap();
    let mut vault = state.open();
    assert_eq!(vault.registration().unwrap().instance_id, id("mi-0000000000000000a"));
    let pending = vault.pending_registration().unwrap().unwrap();
    assert_eq!(pending.signing_key.public_key(), NEW_KEY.public_key());
    assert_eq!(pending.fingerprint, fingerprint(2));
    vault.stage_registration(&pending, LATER).unwrap();
    assert_eq!(state.names().len(), 4);
    // Another key is another registration: the unanswered one may exist at the service.
    vault.stage_registration(&candidate(&OLD_KEY, 4), LATER).unwrap();
    assert!(state.file("PendingRegistration.unanswered-20261224T180000Z").exists());
}

#[test]
fn a_crash_at_any_step_of_the_commit_is_made_good_by_the_next_start() {
    let journal = accepted_journal();
    let fingerprint_text = text(&journal.instance_fingerprint);
    let key_text = text(&journal.registration_key);
    let journal_text = text(&journal);
    for steps in 0..=6 {
        for registered_before in [true, false] {
            let state = if registered_before { State::registered() } else { State::new() };
            state.write("PendingRegistration", &journal_text);
            state.write("SubstituteFingerprint", &fingerprint_text);
            state.write("StagedKey", "left over");
            let keep = |name: &str| {
                let aside = state.file(&format!("{name}.replaced-20261224T180000Z"));
                if state.file(name).exists() {
                    fs::rename(state.file(name), aside).unwrap();
                }
            };
            let done: [&dyn Fn(); 6] = [
                &|| keep("InstanceFingerprint"),
                &|| state.write("InstanceFingerprint", &fingerprint_text),
                &|| fs::remove_file(state.file("SubstituteFingerprint")).unwrap(),
                &|| keep("StagedKey"),
                &|| keep("RegistrationKey"),
                &|| state.write("RegistrationKey", &key_text),
            ];
            done[..steps].iter().for_each(|step| step());
            let vault = state.open();
            let completed = vault.notices().iter().any(|notice| {
                matches!(notice, Notice::RegistrationCompleted(b) if *b == id("mi-0000000000000000b"))
            });
            assert!(completed, "after step {steps}");
            drop(vault);
            assert_is_b(&state);
            let kept = state.names().iter().filter(|name| name.contains(".replaced-")).count();
            assert_eq!(kept, if registered_before { 3 } else { 1 }, "after step {steps}");
            assert_eq!(state.names().len(), kept + 3, "{:?}", state.names());
        }
    }
}

#[test]
fn an_unusable_journal_does_not_take_away_the_identity_in_place() {
    let state = State::registered();
    let half = text(&accepted_journal()).replace("eu-central-1", "");
    for broken in ["{", half.as_str()] {
        state.write("PendingRegistration", broken);
        let vault = state.open();
        assert!(matches!(vault.notices(), [Notice::JournalUnusable(_)]), "{:?}", vault.notices());
        assert_eq!(vault.registration().unwrap().instance_id, id("mi-0000000000000000a"));
    }
    let mut vault = state.open();
    vault.stage_registration(&candidate(&NEW_KEY, 2), LATER).unwrap();
    assert_eq!(state.read("PendingRegistration.damaged-20261224T180000Z"), half);
}

#[test]
fn a_commit_without_a_staged_registration_is_refused() {
    let state = State::new();
    let error = state.open().commit_registration(&id("mi-0000000000000000b"), NOW).unwrap_err();
    assert!(matches!(error, VaultError::Missing { .. }), "{error}");
}

#[test]
fn an_interrupted_write_leaves_the_old_record() {
    let state = State::registered();
    // What a crash in the middle of a write leaves: half a temporary file, the record untouched.
    state.write(".RegistrationKey.rolekeeper-new", "{\"instanceID\":\"mi-0000");
    let mut vault = state.open();
    assert_eq!(vault.registration().unwrap().instance_id, id("mi-0000000000000000a"));
    vault.stage_key(&NEW_KEY, NOW).unwrap();
    vault.promote_staged_key().unwrap();
    assert!(!state.file(".RegistrationKey.rolekeeper-new").exists());
}

#[test]
fn a_retired_identity_is_out_of_use_and_kept() {
    let state = State::registered();
    let before = state.read("RegistrationKey");
    let mut vault = state.open();
    vault.store_substitute_fingerprint(&fingerprint(3), NOW).unwrap();
    let kept = vault.retire(LATER).unwrap();
    assert_eq!(kept, state.file("RegistrationKey.retired-20261224T180000Z"));
    assert_eq!(fs::read_to_string(kept).unwrap(), before);
    assert!(matches!(vault.registration(), Err(VaultError::Missing { .. })));
    assert!(matches!(vault.fingerprint_record(), Err(VaultError::Missing { .. })));
    assert!(vault.substitute_fingerprint().unwrap().is_none());
    assert!(matches!(vault.retire(LATER), Err(VaultError::Missing { .. })));
}

// Fingerprint

#[test]
fn the_registered_uuid_survives_every_change_of_hardware_and_threshold() {
    let state = State::registered();
    let mut vault = state.open();
    vault.store_substitute_fingerprint(&fingerprint(3), NOW).unwrap();
    assert_eq!(vault.fingerprint_record().unwrap(), fingerprint(1));
    vault.set_threshold(SimilarityThreshold::Disabled).unwrap();
    vault.accept_hardware(&fingerprint(3).hardware_hash, NOW).unwrap();
    let record = vault.fingerprint_record().unwrap();
    assert_eq!(record.fingerprint, fingerprint(1).fingerprint);
    assert_eq!(record.hardware_hash, fingerprint(3).hardware_hash);
    assert_eq!(record.threshold, SimilarityThreshold::Disabled);
    assert!(vault.substitute_fingerprint().unwrap().is_none());
}

#[test]
fn a_damaged_fingerprint_is_never_replaced_by_a_new_one() {
    let state = State::registered();
    state.write("InstanceFingerprint", "{}garbage");
    let mut vault = state.open();
    assert!(vault.set_threshold(SimilarityThreshold::Disabled).is_err());
    assert!(vault.accept_hardware(&HardwareHash::default(), NOW).is_err());
    assert_eq!(state.read("InstanceFingerprint"), "{}garbage");
}

// Key rotation

#[test]
fn a_promoted_key_takes_the_place_and_the_rest_of_the_registration_stays() {
    let state = State::new();
    state.write(
        "RegistrationKey",
        &THEIR_REGISTRATION.replace("\"instanceType\":\"\"", "\"instanceType\":\"t\""),
    );
    let mut vault = state.open();
    vault.stage_key(&NEW_KEY, LATER).unwrap();
    assert_eq!(vault.staged_key().unwrap().unwrap().step, Step::Staged);
    vault.record_step(Step::Published).unwrap();
    assert_eq!(vault.staged_key().unwrap().unwrap().step, Step::Published);
    let registration = vault.promote_staged_key().unwrap();
    assert_eq!(registration.signing_key.public_key(), NEW_KEY.public_key());
    assert_eq!(registration.key_created_at, Some(LATER));
    assert_eq!(registration.instance_id, id("mi-f52168f4aefc72946"));
    assert!(state.read("RegistrationKey").contains("\"instanceType\":\"t\""));
    assert!(vault.staged_key().unwrap().is_none());
}

#[test]
fn a_staged_key_is_not_overwritten_by_another() {
    let state = State::registered();
    let mut vault = state.open();
    vault.stage_key(&NEW_KEY, NOW).unwrap();
    let error = vault.stage_key(&OLD_KEY, NOW).unwrap_err();
    assert!(matches!(error, VaultError::RotationUnderWay { .. }), "{error}");
    vault.discard_staged_key(NOW).unwrap();
    vault.stage_key(&OLD_KEY, NOW).unwrap();
}

#[test]
fn a_crash_at_any_step_of_a_rotation_leaves_both_keys_or_the_promoted_one() {
    let state = State::registered();
    let public = |vault: &Vault| vault.registration().unwrap().signing_key.public_key();

    state.open().stage_key(&NEW_KEY, NOW).unwrap();
    let vault = state.open();
    assert_eq!(public(&vault), OLD_KEY.public_key());
    assert_eq!(vault.staged_key().unwrap().unwrap().signing_key.public_key(), NEW_KEY.public_key());
    drop(vault);

    state.open().record_step(Step::Published).unwrap();
    let staged = state.read("StagedKey");
    assert_eq!(state.open().staged_key().unwrap().unwrap().step, Step::Published);

    // The registration has the new key, and the staged one was not removed any more.
    state.open().promote_staged_key().unwrap();
    state.write("StagedKey", &staged);
    let vault = state.open();
    assert!(matches!(vault.notices(), [Notice::PromotionCompleted]));
    assert_eq!(public(&vault), NEW_KEY.public_key());
    assert!(vault.staged_key().unwrap().is_none());
}

#[test]
fn a_damaged_staged_key_leaves_the_registration_alone() {
    let state = State::registered();
    state.write("StagedKey", "{\"step\":\"promoted\"}");
    let mut vault = state.open();
    assert!(matches!(vault.staged_key(), Err(VaultError::Damaged { .. })));
    assert!(vault.promote_staged_key().is_err());
    assert_eq!(vault.registration().unwrap().signing_key.public_key(), OLD_KEY.public_key());
    vault.stage_key(&NEW_KEY, LATER).unwrap();
    assert_eq!(state.read("StagedKey.damaged-20261224T180000Z"), "{\"step\":\"promoted\"}");
}

proptest::proptest! {
    #[test]
    fn no_text_in_a_record_panics(text in ".{0,200}") {
        let _ = records::decode::<records::RegistrationKey>(text.as_bytes()).map(|record| record.value().is_ok());
        let _ = records::decode::<Journal>(text.as_bytes()).map(|record| record.value().is_ok());
        let _ = records::decode::<records::Staged>(text.as_bytes()).map(|record| record.value().is_ok());
        let _ = records::decode::<records::InstanceFingerprint>(text.as_bytes()).map(|record| record.value().is_ok());
    }
}
