//! The service asks for a new key (`UpdateKeyPair`), and gets one.

use crate::control::Command;
use crate::keys::PublicKey;
use crate::lab::rehearse::program::use_credentials;
use crate::lab::rehearse::running::Running;
use crate::lab::rehearse::stage::{Identity, Machine, Stage};
use crate::lab::rehearse::{Seen, Unmet};
use crate::vault::Vault;

/// The next role token asks for it; the daemon does the rest.
pub async fn asked_for(
    stage: &Stage,
    machine: &Machine,
    identity: &Identity,
) -> Result<Seen, Unmet> {
    let old = vault_key(machine)?;
    let id = &identity.instance_id;
    stage.lab.with_service(|service| service.nodes.ask_for_new_key(id))?;
    Running::during(stage.settings(), machine, async |daemon| {
        let promoted = || vault_key(machine).ok().filter(|key| *key != old);
        let new = daemon.until(|_| promoted()).await?;
        let (registered, changes) = stage
            .lab
            .with_service(|service| service.nodes.get(id))?
            .map(|node| (node.public_key, node.key_changes))
            .ok_or_else(|| Unmet(format!("the service does not know {id}")))?;
        Unmet::unless(registered == new, || "the service holds another key".to_owned())?;
        Unmet::unless(changes == 1, || format!("the key changed {changes} times"))?;
        let staged = Vault::read_only(&machine.directories.state)?.staged_key()?;
        Unmet::unless(staged.is_none(), || "a staged key is left".to_owned())?;
        daemon.order(Command::Refresh).await?;
        let caller = use_credentials(stage, machine).await?;
        Unmet::unless(caller.arn.ends_with(id.as_str()), || caller.arn.clone())?;
        Ok(Seen::that("vault and service hold the same new key; the next token is signed by it"))
    })
    .await
}

fn vault_key(machine: &Machine) -> Result<PublicKey, Unmet> {
    let vault = Vault::read_only(&machine.directories.state)?;
    Ok(vault.registration()?.signing_key.public_key())
}
