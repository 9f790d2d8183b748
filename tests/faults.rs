//! The real daemon under every fault of the lab that is not an outage: no crash, no nonsense in the
//! credentials file, the identity as it was, and recovery by itself.

#[allow(dead_code, reason = "each file of tests plays with a part of it")]
mod stage;

use std::fs;
use std::time::Duration;

use rolekeeper::host::clock::{Clock, SystemClock};
use rolekeeper::keys::SigningKey;
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::{
    RequestManagedInstanceRoleToken, UpdateManagedInstancePublicKey,
};
use rolekeeper::pure::advice::Exit;
use rolekeeper::pure::identity::InstanceId;
use rolekeeper::pure::secret::Secret;
use serde_json::{Value, json};

use stage::{Stage, moment, value};

fn on_tokens(effect: Effect) -> Fault {
    Fault::always(effect).on(RequestManagedInstanceRoleToken)
}

/// The key in the vault is the one that the service knows, and credentials come by it.
fn assert_key_works(stage: &Stage, id: &InstanceId) {
    let record = fs::read_to_string(stage.record("RegistrationKey")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let text = record["privateKey"].as_str().unwrap().to_owned();
    let key = SigningKey::decode(&Secret::new(text)).unwrap();
    let known = stage.lab.with_service(|service| service.nodes.get(id).unwrap().unwrap());
    assert!(known.public_key == key.public_key());
    assert!(!stage.record("StagedKey").exists());
    stage.succeed(&["refresh"]);
}

#[test]
fn an_answer_without_a_member_that_it_needs_changes_nothing() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let (before, vault) = (fs::read(stage.credentials()).unwrap(), stage.vault());
    for member in ["AccessKeyId", "SecretAccessKey", "SessionToken", "TokenExpirationDate"] {
        stage.fault(on_tokens(Effect::MissingMember(member.to_owned())));
        let (message, _) = stage.refused(&["refresh"], Exit::Unavailable);
        assert!(message.contains(&format!("the answer's {member} is missing")), "{message}");
        assert_eq!(stage.status()["failure"]["class"], "bad-answer");
        assert_eq!(fs::read(stage.credentials()).unwrap(), before);
        stage.clear_faults();
    }
    stage.fault(on_tokens(Effect::MissingMember("UpdateKeyPair".to_owned())));
    stage.succeed(&["refresh"]);
    assert_ne!(fs::read(stage.credentials()).unwrap(), before);
    assert_eq!(stage.vault(), vault);
}

#[test]
fn a_registration_without_an_id_is_no_registration() {
    let stage = Stage::set();
    stage.fault(Fault::always(Effect::MissingMember("InstanceId".to_owned())));
    let output = stage.registration(&stage.activation()).output().unwrap();
    let (message, remedy) = stage::refusal(&output, Exit::Unavailable);
    assert!(message.contains("the answer's InstanceId is missing"), "{message}");
    assert!(remedy.contains("if an instance appears"), "{remedy}");
    assert!(!stage.record("RegistrationKey").exists());
    stage.clear_faults();
    stage.start_registered();
}

#[test]
fn one_answer_with_a_skewed_date_does_no_lasting_harm() {
    for hours in [2, -2] {
        let stage = Stage::set();
        let (id, daemon) = stage.start_registered();
        let by = time::Duration::hours(hours);
        stage.fault(on_tokens(Effect::SkewedDate(by)).times(1));
        stage.succeed(&["refresh"]);
        stage.succeed(&["refresh"]);
        assert!(!daemon.log().contains("withdrawn"), "{}", daemon.log());
        let status = stage.status();
        let issued = moment(&status["credentials"]["issued_at"]);
        assert!((SystemClock.now() - issued).abs() < time::Duration::MINUTE, "{status}");
        assert_eq!((&status["state"], &status["failure"]), (&json!("fresh"), &Value::Null));
        let credentials = fs::read_to_string(stage.credentials()).unwrap();
        assert_eq!(value(&credentials, "aws_access_key_id").len(), 20);
        assert_key_works(&stage, &id);
    }
}

#[test]
fn a_date_by_which_its_own_token_is_dead_is_not_believed() {
    let stage = Stage::set();
    stage.fault(on_tokens(Effect::SkewedDate(time::Duration::hours(2))));
    let (_, daemon) = stage.start_registered();
    for _ in 0..2 {
        stage.succeed(&["refresh"]);
    }
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}

#[test]
fn credentials_that_are_said_to_be_dead_are_not_delivered() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let before = fs::read(stage.credentials()).unwrap();
    stage.fault(on_tokens(Effect::SkewedExpiry(time::Duration::hours(-2))));
    let (message, _) = stage.refused(&["refresh"], Exit::Unavailable);
    assert!(message.contains("before it could be used"), "{message}");
    assert_eq!(fs::read(stage.credentials()).unwrap(), before);
    stage.clear_faults();
    stage.succeed(&["refresh"]);
}

#[test]
fn credentials_that_are_said_to_live_long_are_renewed_all_the_same() {
    let stage = Stage::set();
    stage.fault(on_tokens(Effect::SkewedExpiry(time::Duration::days(3650))));
    let (_, _daemon) = stage.start_registered();
    let status = stage.status();
    let [issued, next] =
        ["issued_at", "next_refresh_at"].map(|name| moment(&status["credentials"][name]));
    assert!((27..=30).contains(&(next - issued).whole_minutes()), "{status}");
}

#[test]
fn refused_connections_are_an_outage_that_ends_by_itself() {
    let stage = Stage::set();
    // Renewed after 5 s, usable for 10: there is an outage to be seen in between.
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(10));
    let (_, _daemon) = stage.start_registered();
    stage.fault(Fault::always(Effect::RefusedConnection));
    let status = stage.status_when("an outage", |status| status["state"] == "stale");
    assert_eq!(status["failure"]["class"], "unreachable");
    assert!(status["failure"]["message"].as_str().unwrap().contains("Connection refused"));
    stage.lab.with_service(|service| service.token_lifetime = Duration::from_secs(3600));
    stage.clear_faults();
    let status = stage.status_when("recovery", |status| status["state"] == "fresh");
    assert_eq!(status["failure"], Value::Null);
}

#[test]
fn a_refused_signature_keeps_identity_and_credentials() {
    let stage = Stage::set();
    let (_, daemon) = stage.start_registered();
    let (before, vault) = (fs::read(stage.credentials()).unwrap(), stage.vault());
    stage.fault(on_tokens(Effect::SignatureRefusal));
    let output = stage.run(&["refresh"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("InvalidSignatureException"), "{error}");
    assert_eq!(error.lines().count(), 2, "the texts that were to be signed stay out: {error}");
    assert!(!daemon.log().contains("Canonical String"), "{}", daemon.log());
    assert_eq!((fs::read(stage.credentials()).unwrap(), stage.vault()), (before, vault));
    stage.clear_faults();
    stage.succeed(&["refresh"]);
    assert_eq!(stage.status()["failure"], Value::Null);
}

#[test]
fn a_service_that_always_asks_for_a_new_key_gets_one_each_time() {
    let stage = Stage::set();
    let (id, _daemon) = stage.start_registered();
    stage.fault(on_tokens(Effect::UpdateKeyPair));
    for _ in 0..2 {
        stage.succeed(&["refresh"]);
    }
    let changes =
        || stage.lab.with_service(|service| service.nodes.get(&id).unwrap().unwrap().key_changes);
    assert!((1..=4).contains(&changes()), "{}", changes());
    stage.clear_faults();
    stage.succeed(&["refresh"]);
    assert_key_works(&stage, &id);
}

#[test]
fn a_key_change_that_is_disturbed_ends_with_a_key_that_works() {
    for effect in [
        Effect::TornBody,
        Effect::WrongJson,
        Effect::WrongShape,
        Effect::Reset,
        Effect::SignatureRefusal,
        Effect::SkewedDate(time::Duration::hours(2)),
        Effect::Status { status: 500, code: None },
    ] {
        let stage = Stage::set();
        let (id, daemon) = stage.start_registered();
        stage.fault(Fault::always(effect.clone()).on(UpdateManagedInstancePublicKey).times(1));
        stage.fault(on_tokens(Effect::UpdateKeyPair).times(1));
        let _ = stage.run(&["refresh"]);
        stage.clear_faults();
        // What waits goes on by itself, or at once when it is told to; both keys are kept till then.
        if stage.record("StagedKey").exists() {
            stage.succeed(&["rotate-key"]);
        }
        daemon.logged("the RSA key was replaced");
        assert_key_works(&stage, &id);
    }
}

#[test]
fn a_deregistered_machine_hibernates_with_its_identity_in_place() {
    let stage = Stage::set();
    let (_, _daemon) = stage.start_registered();
    let (before, vault) = (fs::read(stage.credentials()).unwrap(), stage.vault());
    stage.fault(on_tokens(Effect::Deregistration).times(1));
    let (message, remedy) = stage.refused(&["refresh"], Exit::Refused);
    assert!(message.contains("InvalidInstanceId"), "{message}");
    assert!(remedy.contains("rolekeeper register --force"), "{remedy}");
    assert_eq!(stage.status()["state"], "hibernating");
    assert_eq!(fs::read(stage.credentials()).unwrap(), before, "they are valid still");
    assert_eq!(stage.vault(), vault);
}
