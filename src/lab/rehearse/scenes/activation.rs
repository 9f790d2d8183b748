//! Admission: an activation, a registration with it, and activations that admit nobody.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::daemon::{
    Application, RegistrationError, RegistrationStep, connection, register as register_machine,
};
use crate::host::clock::ServiceClock;
use crate::lab::nodes::Node;
use crate::lab::operation::Operation;
use crate::lab::rehearse::stage::{Identity, Machine, Stage, now};
use crate::lab::rehearse::{Seen, Unmet};
use crate::lab::store::StoreError;
use crate::pure::advice::Advice;
use crate::pure::fingerprint::SimilarityThreshold;
use crate::pure::identity::{Activation, ActivationCode};
use crate::pure::secret::Secret;
use crate::ssm::Ssm;
use crate::vault::Vault;

/// The role whose credentials machines get.
const ROLE: &str = "SSMServiceRole";

/// `CreateActivation` over HTTP, signed by the administrator.
pub async fn create(stage: &Stage) -> Result<Seen<Activation>, Unmet> {
    let activation = new_activation(stage, 1).await?;
    let text = format!("activation {}, role {ROLE}; its code is not shown", activation.id);
    Ok(Seen::that(text).with(activation))
}

/// What `rolekeeper register` does, on a machine that has no identity yet.
pub async fn register(
    stage: &Stage,
    machine: &Machine,
    activation: &Activation,
) -> Result<Seen<Identity>, Unmet> {
    let id = apply(stage, machine, activation, false).await?;
    let id = id.map_err(|error| Unmet(format!("{error}; try: {}", error.remedy())))?;
    let identity = machine.identity()?;
    Unmet::unless(identity.instance_id.to_string() == id, || {
        format!("the service said {id}, the vault says {}", identity.instance_id)
    })?;
    let known = stage.lab.with_service(|service| {
        let node = service.nodes.get(&identity.instance_id)?;
        let same = |node: Node| node.fingerprint == identity.fingerprint.fingerprint.to_string();
        Ok::<_, StoreError>(node.is_some_and(same))
    })?;
    Unmet::unless(known, || format!("the service does not know {id} by the vault's fingerprint"))?;
    let vault = machine.vault();
    for (path, mode) in [(vault.clone(), 0o700), (vault.join("RegistrationKey"), 0o600)] {
        let found = fs::metadata(&path)?.permissions().mode() & 0o7777;
        Unmet::unless(found == mode, || format!("{} has mode {found:04o}", path.display()))?;
    }
    let text = format!("{id} in {}; vault {}, mode 0700", stage.lab.region(), vault.display());
    Ok(Seen::that(text).with(identity))
}

/// Three activations that admit nobody, on a machine that has an identity and asks to replace it.
pub async fn refused(
    stage: &Stage,
    machine: &Machine,
    used_up: &Activation,
) -> Result<Seen, Unmet> {
    let before = files(&machine.vault())?;
    let expired = new_activation(stage, 1).await?;
    stage.lab.with_service(|service| service.activations.expire(expired.id.as_str(), now()))?;
    let mistyped = Activation { code: another_code()?, ..new_activation(stage, 1).await? };
    let mut codes = Vec::new();
    for (activation, code) in [
        (&expired, "ActivationExpired"),
        (used_up, "RegistrationLimitExceeded"),
        (&mistyped, "InvalidActivation"),
    ] {
        match apply(stage, machine, activation, true).await? {
            Err(RegistrationError::Service(error, _)) if error.code.as_deref() == Some(code) => {
                codes.push(code);
            }
            Err(error) => return Err(Unmet(format!("instead of {code}: {error}"))),
            Ok(id) => return Err(Unmet(format!("instead of {code}: registered as {id}"))),
        }
        let same = files(&machine.vault())? == before;
        Unmet::unless(same, || format!("{code} changed the vault's files"))?;
    }
    let count = before.len();
    Ok(Seen::that(format!("{}; all {count} files of the vault as before", codes.join(", "))))
}

/// A new activation for so many machines.
pub async fn new_activation(stage: &Stage, machines: u32) -> Result<Activation, Unmet> {
    let asked = json!({ "IamRole": ROLE, "RegistrationLimit": machines });
    let answer = stage.lab.client()?.call(Operation::CreateActivation, &asked, stage.now()).await?;
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    Ok(Activation {
        id: text("ActivationId").parse()?,
        code: ActivationCode::parse(Secret::new(text("ActivationCode")))?,
    })
}

/// A code of the right shape that belongs to no activation.
fn another_code() -> Result<ActivationCode, Unmet> {
    Ok(ActivationCode::parse(Secret::new("mistyped/mistyped/00".to_owned()))?)
}

/// Registers by the code that production registers with; the id that the service gave.
pub async fn apply(
    stage: &Stage,
    machine: &Machine,
    activation: &Activation,
    replace: bool,
) -> Result<Result<String, RegistrationError>, Unmet> {
    let mut vault = Vault::open(&machine.directories.state)?;
    let connection = connection(&stage.settings(), stage.lab.region().clone());
    let clock = ServiceClock::new(machine.seams.clock.clone());
    let ssm = Ssm::new(&connection, clock)?;
    let application = Application {
        activation: activation.clone(),
        tags: Vec::new(),
        threshold: SimilarityThreshold::default(),
        replace,
    };
    let mut announced = String::new();
    let announce = |step: RegistrationStep<'_>| {
        if let RegistrationStep::Accepted(id) = step {
            announced = id.to_string();
        }
    };
    let registered =
        register_machine(&mut vault, &ssm, &machine.seams, &application, announce).await;
    Ok(registered.map(|_| announced))
}

/// Every file of the vault, byte for byte.
fn files(vault: &Path) -> io::Result<BTreeMap<OsString, Secret<Vec<u8>>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(vault)? {
        let entry = entry?;
        files.insert(entry.file_name(), Secret::new(fs::read(entry.path())?));
    }
    Ok(files)
}
