//! Remedies about a machine's identity: nothing is registered again that was not lost, and no copy becomes
//! what it is a copy of.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use rolekeeper::host::clock::{Clock, SystemClock};
use rolekeeper::lab::faults::{Effect, Fault};
use rolekeeper::lab::operation::Operation::RegisterManagedInstance;
use rolekeeper::lab::{Lab, LabSettings};
use rolekeeper::pure::advice::Exit;
use rolekeeper::pure::failure::FailureClass;
use serde_json::Value;
use tokio::runtime;
use tokio::sync::oneshot;

use crate::between::{ReverseProxy, Rewrites, closed_proxy};
use crate::stage::{REGION, Stage, allow, printed, refusal};
use crate::world::{World, commands, edit};

/// With modes and owners.
fn copy_all(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// How many machines the service knows.
fn machines(stage: &Stage) -> usize {
    stage.lab.with_service(|service| service.nodes.count().unwrap())
}

/// The remedy of what keeps the daemon from new credentials, as `refresh` and `status` say it alike.
fn refused(stage: &Stage) -> String {
    let (message, remedy) = stage.refused(&["refresh"], Exit::Refused);
    assert!(message.contains("InvalidSignatureException"), "{message}");
    assert_eq!(stage.status()["failure"]["remedy"], remedy.as_str());
    assert!(!remedy.contains("rolekeeper register"), "{remedy}");
    remedy
}

#[test]
fn a_proxy_that_changes_what_is_signed_is_set_right_and_nothing_is_registered_again() {
    let lab = Stage::set();
    let proxy = ReverseProxy::before(lab.lab.address().to_string());
    let mut world = World::of(lab);
    let settings = world.stage.path("rolekeeper.toml");
    edit(&settings, &world.stage.lab.endpoint_url(), &proxy.url);
    // As nginx has it unless it is told otherwise. Registering is not signed, and so it works.
    proxy.set(Rewrites { host: Some("ssm.eu-central-1.amazonaws.com"), strip: None });
    world.stage.register();
    let vault = world.stage.vault();
    world.start();
    let remedy = refused(&world.stage);
    let expected = format!("let what stands at {} pass Host and path on as they come", proxy.url);
    assert!(remedy.starts_with(&expected), "{remedy}");
    proxy.set(Rewrites::default());
    world.stage.succeed(&["refresh"]);
    world.when_fresh();

    // A path that the proxy takes away.
    let with_path = format!("{}/ssm", proxy.url);
    edit(&settings, &proxy.url, &with_path);
    proxy.set(Rewrites { host: None, strip: Some("/ssm") });
    world.start();
    let remedy = refused(&world.stage);
    assert!(remedy.starts_with("take /ssm out of endpoint_url"), "{remedy}");
    edit(&settings, &with_path, &proxy.url);
    world.start();
    world.stage.succeed(&["refresh"]);
    assert_eq!(machines(&world.stage), 1, "no activation was spent");
    assert_eq!(world.stage.vault(), vault, "and the identity stayed");
}

#[test]
fn a_key_that_another_program_replaced_is_fetched_from_there() {
    let mut world = World::working();
    let copy = world.stage.path("copy");
    copy_all(&world.stage.path("state"), &copy);
    let mut rotate = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
    rotate.env_clear().arg("--config").arg(world.stage.path("rolekeeper.toml"));
    rotate.arg("--state-dir").arg(&copy).arg("--runtime-dir").arg(world.stage.path("elsewhere"));
    printed(rotate.arg("rotate-key").output().unwrap());

    // Here the endpoint is not AWS's own, so the way to it comes first, and then who else there is.
    let remedy = refused(&world.stage);
    assert!(remedy.contains("another program has replaced this machine's key"), "{remedy}");
    let at_aws = FailureClass::Denied.remedy(Some("InvalidSignatureException"));
    assert!(at_aws.contains("restore the vault from where the newest key is"), "{at_aws}");
    assert!(!at_aws.contains("register"), "{at_aws}");
    world.daemon = None;
    fs::remove_dir_all(world.stage.path("state")).unwrap();
    fs::rename(&copy, world.stage.path("state")).unwrap();
    world.start();
    world.when_fresh();
    assert_eq!(machines(&world.stage), 1);
}

/// What `doctor` and `fingerprint diff` say of other hardware.
fn of_other_hardware(world: &World) -> [String; 2] {
    let found = world.finding("hardware", None, None)["remedy"].as_str().unwrap().to_owned();
    let diff = refusal_of(world, &["fingerprint", "diff", "--json"]);
    [found, diff]
}

fn refusal_of(world: &World, arguments: &[&str]) -> String {
    refusal(&world.stage.run(arguments), Exit::Refused).1
}

#[test]
fn a_copy_of_a_machine_is_never_told_to_accept_itself() {
    let mut world = World::new();
    world.stage.register();
    world.stage.pretend_other_hardware();
    let before = world.stage.vault();
    let [found, diff] = of_other_hardware(&world);
    for remedy in [&found, &diff] {
        assert!(remedy.contains("a copy"), "{remedy}");
        assert!(remedy.contains("activation of its own") || remedy.contains("registered machine"));
    }
    // What comes first is a look. It ends with 77, because the hardware does differ.
    assert_eq!(commands(&found)[0], "rolekeeper fingerprint diff");
    let mut ensure = world.stage.registration(&world.stage.activation());
    let (_, remedy) = refusal(&ensure.arg("--ensure").output().unwrap(), Exit::Refused);
    assert_eq!(remedy, found, "what registers unattended says the same");
    refusal_of(&world, &["rotate-key"]);
    assert_eq!(world.stage.vault(), before, "the look changed nothing");

    // On the registered machine, whose parts were replaced, the second is right.
    world.carry_out(&commands(&found)[1]);
    assert_eq!(world.finding("hardware", None, None)["verdict"], "ok");
    world.start();
    world.when_fresh();
    assert_eq!(machines(&world.stage), 1);
}

#[test]
fn a_region_beside_the_registrations_is_taken_back_and_nothing_is_registered_again() {
    let mut world = World::new();
    world.stage.register();
    let vault = world.stage.vault();
    let settings = world.stage.path("rolekeeper.toml");
    edit(&settings, "[service]\n", "[service]\nregion = \"us-east-1\"\n");
    let (_, remedy) = refusal(&world.stage.run(&["run"]), Exit::Configuration);
    let take_out = format!("take region out of {}:2: the registration", settings.display());
    assert!(remedy.starts_with(&take_out), "{remedy}");
    edit(&settings, "region = \"us-east-1\"\n", "");
    world.start();
    world.when_fresh();

    let ensure = |region: &[&str], variable: Option<&str>| {
        let mut command = world.stage.command(&[&["register", "--ensure"], region].concat());
        command.envs(variable.map(|region| ("AWS_REGION", region))).output().unwrap()
    };
    let (_, remedy) = refusal(&ensure(&["--region", "us-east-1"], None), Exit::Configuration);
    assert!(remedy.starts_with("leave --region out: "), "{remedy}");
    let (_, remedy) = refusal(&ensure(&[], Some("us-east-1")), Exit::Configuration);
    assert!(remedy.starts_with("unset AWS_REGION: "), "{remedy}");
    let (_, remedy) = refusal(&ensure(&[], Some("nowhere!")), Exit::Configuration);
    assert!(remedy.starts_with("unset AWS_REGION, or set it to a region"), "{remedy}");
    assert!(ensure(&[], Some(REGION)).status.success());
    assert!(ensure(&[], None).status.success());
    assert_eq!((machines(&world.stage), world.stage.vault()), (1, vault));
}

#[test]
fn no_example_of_the_help_gives_an_identity_away() {
    let stage = Stage::set();
    let pages = [&["fingerprint", "diff"][..], &["fingerprint", "accept"], &["fingerprint"]];
    for page in pages {
        let help = stage.succeed(&[page, &["--help"]].concat());
        let examples = help.split("Example").nth(1).unwrap();
        assert!(!examples.contains("||"), "a failed look is no reason to accept: {examples}");
    }
    let all = ["register", "deregister", "rotate-key", "fingerprint", "doctor", "run", "status"];
    for command in all {
        let help = stage.succeed(&[command, "--help"]);
        let examples = help.split("Example").nth(1).unwrap_or_default();
        assert!(!examples.contains("--force"), "{command}: {examples}");
    }
}

#[test]
fn a_registration_that_reached_nobody_leaves_nothing_to_wonder_about() {
    let mut stage = Stage::set();
    let activation = stage.activation();
    let try_it = |stage: &Stage, variable: Option<&str>| {
        let mut command = stage.registration(&activation);
        command.envs(variable.map(|proxy| ("HTTPS_PROXY", proxy)));
        let (message, remedy) = refusal(&command.output().unwrap(), Exit::Unavailable);
        assert!(!remedy.contains("if an instance appears"), "{message}: {remedy}");
        let doctor = format!("`sudo rolekeeper doctor --region {REGION}`");
        assert!(remedy.starts_with(&doctor), "{message}: {remedy}");
        assert!(!stage.record("PendingRegistration").exists(), "{message}");
        commands(&remedy).swap_remove(0)
    };
    let settings = stage.path("rolekeeper.toml");
    let plain = stage.lab.endpoint_url();
    let far = "https://ssm.example";
    stage.drop_service();
    try_it(&stage, None);
    edit(&settings, &plain, far);
    try_it(&stage, Some(&closed_proxy()));
    try_it(&stage, Some("http://127.0.0.1:9"));
    edit(&settings, far, "https://ssm.eu-central-1.invalid");
    let doctor = try_it(&stage, None);
    let world = World::of(stage);
    // What it is sent to names the trouble, although no registration tells the region.
    let page = world.run(&doctor);
    let page = String::from_utf8_lossy(&page.stdout);
    assert!(page.contains("ssm.eu-central-1.invalid is not known here"), "{page}");
    let finding = world.finding("registration", None, None);
    assert_eq!(finding["finding"], "this machine is not registered", "{finding:#}");
}

#[test]
fn an_instance_that_a_lost_answer_left_is_taken_away_and_the_identity_stays() {
    let mut world = World::working();
    let before = world.stage.vault();
    let torn = Fault::always(Effect::TornBody).on(RegisterManagedInstance);
    world.stage.fault(torn);
    let limited = world.stage.activation();
    world.daemon = None;
    let output = world.stage.registration(&limited).arg("--force").output().unwrap();
    assert!(!output.status.success());
    world.stage.clear_faults();
    let finding = world.finding("registration", None, None);
    let remedy = finding["remedy"].as_str().unwrap().to_owned();
    assert_eq!(finding["verdict"], "warning", "{finding:#}");
    world.carry_out(&remedy);
    // What the AWS CLI was asked for, the lab does.
    let asked = fs::read_to_string(world.stage.path("aws.log")).unwrap();
    assert!(asked.contains("ssm describe-instance-information"), "{asked}");
    assert!(asked.contains("ssm deregister-managed-instance --instance-id ID"), "{asked}");
    let finding = world.finding("registration", None, None);
    assert_eq!(finding["verdict"], "ok", "{finding:#}");
    let mut after = world.stage.vault();
    after.retain(|(name, _)| !name.starts_with("PendingRegistration"));
    assert_eq!(after, before);
    world.start();
    world.when_fresh();
}

#[test]
fn a_machine_that_is_not_registered_registers_by_the_command_that_it_is_given() {
    let mut world = World::new();
    let activation = world.stage.activation();
    fs::write(world.stage.path("code"), &activation.code).unwrap();
    world.start();
    let (_, refresh) = world.stage.refused(&["refresh"], Exit::Unavailable);
    let (_, accept) = {
        let output = world.stage.run(&["fingerprint", "diff"]);
        refusal(&output, Exit::Configuration)
    };
    let found = world.finding("registration", None, None)["remedy"].as_str().unwrap().to_owned();
    assert_eq!([&refresh, &accept], [&found, &found]);
    let filled = found
        .replace("REGION", REGION)
        .replace("FILE", world.stage.path("code").to_str().unwrap())
        .replace(" ID", &format!(" {}", activation.id));
    world.carry_out(&filled);
    world.when_fresh();

    // A second time it is refused, and told what keeps the identity.
    let (_, remedy) = {
        let output = world.stage.registration(&world.stage.activation()).output().unwrap();
        refusal(&output, Exit::TryAgain)
    };
    assert!(remedy.contains("systemctl stop rolekeeper"), "{remedy}");
    world.daemon = None;
    let output = world.stage.registration(&world.stage.activation()).output().unwrap();
    let (_, remedy) = refusal(&output, Exit::CannotCreate);
    assert_eq!(commands(&remedy), ["rolekeeper status"]);
    assert_eq!(machines(&world.stage), 1);
}

#[test]
fn an_instance_that_is_gone_is_looked_for_before_it_is_replaced() {
    let mut world = World::working();
    let status = world.stage.status();
    let id = status["instance_id"].as_str().unwrap().parse().unwrap();
    world.stage.lab.with_service(|service| service.nodes.deregister(&id)).unwrap();
    let (_, remedy) = world.stage.refused(&["refresh"], Exit::Refused);
    let steps = commands(&remedy);
    assert!(steps[0].starts_with("aws ssm describe-instance-information"), "{steps:?}");
    assert!(remedy.find("only if it is gone").unwrap() < remedy.find("--force").unwrap());
    // As it stands there, from the stop to the start.
    assert_eq!(world.stage.status()["failure"]["remedy"], remedy.as_str());
    let sequence = with_activation(&world, &remedy[remedy.find("systemctl stop").unwrap()..]);
    assert_eq!(world.carry_out(&sequence).len(), 3, "{sequence}");
    world.when_fresh();
    assert_ne!(world.stage.status()["instance_id"], status["instance_id"]);
}

/// A command with a new activation in the places of its words.
fn with_activation(world: &World, command: &str) -> String {
    let activation = world.stage.activation();
    let code = world.stage.path("code");
    fs::write(&code, &activation.code).unwrap();
    let command = command.replace("REGION", REGION).replace("FILE", code.to_str().unwrap());
    command.replace("-id ID", &format!("-id {}", activation.id))
}

#[test]
fn every_remedy_that_registers_again_stops_the_daemon_before_and_starts_it_afterwards() {
    let mut world = World::working();
    let stop = "systemctl stop rolekeeper; rolekeeper register --force ";
    let start = "--activation-code-file FILE; systemctl start rolekeeper";
    let is_whole = |remedy: &str| remedy.contains(stop) && remedy.ends_with(start);
    let other_region = {
        let output = world.stage.run(&["register", "--ensure", "--region", "us-east-1"]);
        refusal(&output, Exit::Configuration).1
    };
    world.daemon = None;
    let record = world.stage.record("InstanceFingerprint");
    let whole = fs::read(&record).unwrap();
    let told =
        |world: &World| world.stage.status()["failure"]["remedy"].as_str().unwrap().to_owned();
    fs::write(&record, "{").unwrap();
    let damaged = told(&world);
    fs::remove_file(&record).unwrap();
    let missing = told(&world);
    fs::write(&record, &whole).unwrap();
    world.stage.pretend_other_hardware();
    let copy = world.finding("hardware", None, None)["remedy"].as_str().unwrap().to_owned();
    for remedy in [&other_region, &damaged, &missing, &copy] {
        assert!(is_whole(remedy), "{remedy}");
    }
    // Each is the same sequence; once is enough.
    world.start();
    let sequence = with_activation(&world, &missing[missing.find("systemctl stop").unwrap()..]);
    world.carry_out(&sequence);
    world.when_fresh();
}

#[test]
fn an_activation_that_is_spent_or_wrong_is_made_anew_or_copied_right() {
    let mut world = World::new();
    let mut activation = world.stage.activation();
    let expire = |service: &mut rolekeeper::lab::service::Service| {
        let now = service.clock.now(SystemClock.now());
        service.activations.expire(&activation.id, now).unwrap()
    };
    world.stage.lab.with_service(expire);
    let output = world.stage.registration(&activation).output().unwrap();
    let (_, remedy) = refusal(&output, Exit::Refused);
    assert!(remedy.starts_with("create a new activation (aws ssm create-activation)"), "{remedy}");
    let code = std::mem::replace(&mut activation.code, "0".repeat(20));
    activation.id = world.stage.activation().id;
    let output = world.stage.registration(&activation).output().unwrap();
    let (_, remedy) = refusal(&output, Exit::Refused);
    assert!(remedy.starts_with("check the activation's id, code and region"), "{remedy}");
    activation.code = code;
    world.stage.register();
    world.start();
    world.when_fresh();
}

#[test]
fn a_damaged_or_lost_record_is_restored_and_the_same_machine_goes_on() {
    let mut world = World::working();
    world.daemon = None;
    let backup = world.stage.path("backup");
    copy_all(&world.stage.path("state/vault"), &backup);
    for name in ["RegistrationKey", "InstanceFingerprint"] {
        let record = world.stage.record(name);
        fs::write(&record, "{").unwrap();
        let (_, remedy) = refusal(&world.stage.run(&["rotate-key"]), Exit::BadData);
        let restored = format!("restore {} from a backup", record.display());
        assert!(remedy.starts_with(&restored), "{remedy}");
        fs::copy(backup.join(name), &record).unwrap();
        assert_eq!(world.finding("vault", None, None)["verdict"], "ok");
    }
    fs::remove_file(world.stage.record("InstanceFingerprint")).unwrap();
    let output = world.stage.run(&["fingerprint", "diff"]);
    let (_, remedy) = refusal(&output, Exit::Configuration);
    assert!(remedy.starts_with("restore it from a backup"), "{remedy}");
    let name = "InstanceFingerprint";
    fs::copy(backup.join(name), world.stage.record(name)).unwrap();
    fs::write(world.stage.record("SubstituteFingerprint"), "{").unwrap();
    allow(&world.stage.record("SubstituteFingerprint"), 0o600);
    let subject = world.stage.record("SubstituteFingerprint").display().to_string();
    let finding = world.finding("vault", Some(&subject), None);
    world.carry_out(finding["remedy"].as_str().unwrap());
    assert_eq!(world.finding("vault", None, None)["verdict"], "ok");
    world.start();
    world.when_fresh();
    assert_eq!(machines(&world.stage), 1);
}

#[test]
fn the_vault_is_free_once_the_daemon_is_stopped() {
    let mut world = World::working();
    let output = world.stage.registration(&world.stage.activation()).arg("--force").output();
    let (_, remedy) = refusal(&output.unwrap(), Exit::TryAgain);
    assert!(!remedy.contains("kill"), "{remedy}");
    let before = world.stage.status()["instance_id"].clone();
    let steps = commands(&remedy);
    assert_eq!(steps[2..], ["systemctl stop rolekeeper", "systemctl start rolekeeper"]);
    assert!(remedy.contains("; then the same again; then systemctl start"), "{remedy}");
    world.carry_out(&steps[2]);
    assert!(world.daemon.is_none());
    let output = world.stage.registration(&world.stage.activation()).arg("--force").output();
    printed(output.unwrap());
    world.carry_out(&steps[3]);
    world.when_fresh();
    assert_ne!(world.stage.status()["instance_id"], before);
}

#[test]
fn a_check_that_is_off_or_near_its_end_is_set_right() {
    let mut world = World::new();
    world.stage.register();
    world.stage.succeed(&["fingerprint", "set-threshold", "--", "-1"]);
    let remedy = world.mend("hardware", None, None);
    assert_eq!(remedy, "rolekeeper fingerprint set-threshold 40");
    let (_, remedy) = {
        let output = world.stage.run(&["fingerprint", "set-threshold", "101"]);
        refusal(&output, Exit::Usage)
    };
    assert!(remedy.ends_with("--help"), "{remedy}");
    let status: Value = world.stage.status();
    assert_eq!(status["state"], "registered", "{status:#}");
}

/// A lab of another region, until the test is over.
fn lab_in(region: &str) -> (Lab, oneshot::Sender<()>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = LabSettings { region: region.parse().unwrap(), ..LabSettings::default() };
    let lab = runtime.block_on(Lab::start(settings)).unwrap();
    let (end, ended) = oneshot::channel::<()>();
    thread::spawn(move || runtime.block_on(ended));
    (lab, end)
}

#[test]
fn an_endpoint_of_another_region_is_exchanged_and_nothing_is_registered_again() {
    let mut world = World::working();
    let (elsewhere, _end) = lab_in("us-east-1");
    let settings = world.stage.path("rolekeeper.toml");
    let (right, wrong) = (world.stage.lab.endpoint_url(), elsewhere.endpoint_url());
    edit(&settings, &right, &wrong);
    world.start();
    let remedy = refused(&world.stage);
    assert!(remedy.starts_with("take endpoint_url out of [service], or name the"), "{remedy}");
    edit(&settings, &wrong, &right);
    world.carry_out("systemctl restart rolekeeper");
    world.when_fresh();
    assert_eq!(machines(&world.stage), 1);
}

#[test]
fn a_fingerprint_of_an_earlier_registration_gives_way_to_the_right_one() {
    let mut world = World::new();
    world.stage.register();
    let name = "InstanceFingerprint";
    let earlier = fs::read(world.stage.record(name)).unwrap();
    let output = world.stage.registration(&world.stage.activation()).arg("--force").output();
    printed(output.unwrap());
    let right = fs::read(world.stage.record(name)).unwrap();
    fs::write(world.stage.record(name), earlier).unwrap();
    world.start();
    let (message, remedy) = world.stage.refused(&["refresh"], Exit::Refused);
    assert!(message.contains("MachineFingerprintDoesNotMatch"), "{message}");
    world.carry_out(&remedy);
    assert!(remedy.contains("on the machine itself restore InstanceFingerprint"), "{remedy}");
    world.daemon = None;
    fs::write(world.stage.record(name), right).unwrap();
    world.start();
    world.when_fresh();
    assert_eq!(machines(&world.stage), 2);
}
