//! `rolekeeper deregister`

use std::path::Path;

use clap::Args;

use super::{Places, local, print, say};
use crate::connection::OPERATION_TIMEOUT;
use crate::control::Complaint;
use crate::daemon::{forget_role_token, registered_region, targets, withdraw_all};
use crate::host::clock::{Clock, SystemClock};
use crate::host::environment;
use crate::host::progress::Progress;
use crate::pure::advice::{Advice, Exit};
use crate::pure::secret::Secret;
use crate::ssm::{AwsCredentials, InstanceKey, Ssm};
use crate::targets::withdraw;
use crate::vault::{Registration, Vault, VaultError};

/// Take this machine's identity out of use, at the service and here
///
/// Signs with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY when they are set, otherwise with the
/// machine's own role, which must then allow ssm:DeregisterManagedInstance. The daemon must be
/// stopped. The credentials are withdrawn from every target; the vault's records are kept aside.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Deregister {
    /// Do not tell the service; the instance stays listed there, and how to remove it is said
    #[arg(long)]
    local_only: bool,
}

const EXAMPLES: &str = "\
Examples:
  systemctl stop rolekeeper && rolekeeper deregister
  rolekeeper deregister --local-only";

impl Deregister {
    pub(super) async fn execute(self, places: &Places) -> Result<(), Complaint> {
        let settings = places.hybrid_settings()?;
        let directories = places.directories();
        let mut vault = Vault::open(&directories.state)?;
        let registration = match vault.registration() {
            // An earlier try may have left a file that it could not empty.
            Err(VaultError::Missing { .. }) if withdraw_rest(&directories.state)? => {
                return print("credentials that were left in files are withdrawn\n");
            }
            registration => registration?,
        };
        let (id, mut now) = (&registration.instance_id, SystemClock.now());
        let targets = targets(&settings, &directories.runtime);
        if !self.local_only {
            let region = registered_region(&settings, &registration, &vault)?;
            let ssm = local::ssm(&settings, region).await?;
            let progress = places.progress();
            let credentials = match administrator() {
                Some(credentials) => credentials,
                None => own_role(&vault, &ssm, &registration, &progress).await?,
            };
            progress.begin(
                format!("asking {} to forget {id}", ssm.endpoint()),
                Some(OPERATION_TIMEOUT),
            );
            let asked = ssm.deregister(credentials, id);
            progress.during(asked).await.map_err(|error| {
                let mut complaint = Complaint::of(&error);
                complaint.remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of an \
                                    administrator, or deregister elsewhere and use --local-only"
                    .to_owned();
                complaint
            })?;
            now = ssm.clock().now();
        }
        // What cannot be emptied keeps nobody from being deregistered, and is no success either.
        let left = targets.iter().filter_map(|target| withdraw(target).err()).collect::<Vec<_>>();
        // Those of targets that are in the settings no more, or disabled, among them.
        let rest = withdraw_rest(&directories.state);
        if let Err(error) = forget_role_token(&directories.runtime) {
            say(format_args!("warning: {error}"));
        }
        let kept = vault.retire(now)?;
        say(format_args!("the registration, with its private key, is kept as {}", kept.display()));
        if self.local_only {
            print(&format!("{id} is out of use here, and the service still lists it\n"))?;
            let command = local::deregistration(&settings, &registration.region, id);
            say(format_args!("to remove it there: {command}"));
        } else {
            print(&format!("{id} is deregistered\n"))?;
        }
        match left.as_slice() {
            [] => rest.map(|_| ()),
            [first, more @ ..] => {
                more.iter().for_each(|error| say(format_args!("warning: {error}")));
                Err(left_behind(first.exit(), &first.to_string(), &first.remedy()))
            }
        }
    }
}

/// Empties what the daemon has written down that it wrote; whether there was anything.
fn withdraw_rest(state: &Path) -> Result<bool, Complaint> {
    withdraw_all(state).map_err(|Complaint { message, remedy, exit }| {
        left_behind(Exit::from_code(exit), &message, &remedy)
    })
}

/// `mend` is for a file that cannot be edited. One that cannot be written is let be written: another path,
/// which helps a target, would leave the credentials where they are.
fn left_behind(exit: Exit, what: &str, mend: &str) -> Complaint {
    let message = format!("credentials may be left in a file: {what}");
    let remedy = match exit {
        Exit::BadData => format!("{mend}; then rolekeeper deregister --local-only"),
        _ => "let the file be written, then rolekeeper deregister --local-only".to_owned(),
    };
    Complaint::new(exit, message, remedy)
}

fn administrator() -> Option<AwsCredentials> {
    Some(AwsCredentials {
        access_key_id: environment::variable("AWS_ACCESS_KEY_ID")?,
        secret_access_key: Secret::new(environment::variable("AWS_SECRET_ACCESS_KEY")?),
        session_token: environment::variable("AWS_SESSION_TOKEN").map(Secret::new),
    })
}

async fn own_role(
    vault: &Vault,
    ssm: &Ssm,
    registration: &Registration,
    progress: &Progress,
) -> Result<AwsCredentials, Complaint> {
    let similarity = local::similarity(vault)?;
    if !similarity.is_accepted() {
        return Err(Complaint::new(
            Exit::Refused,
            format!("hardware {similarity}: the identity is not used"),
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of an administrator",
        ));
    }
    let key = InstanceKey {
        instance_id: registration.instance_id.clone(),
        signing_key: std::sync::Arc::new(registration.signing_key.clone()),
    };
    let fingerprint = vault.fingerprint_record()?.fingerprint;
    let what = format!("asking {} for this machine's role", ssm.endpoint());
    progress.begin(what, Some(OPERATION_TIMEOUT));
    let token = progress.during(ssm.request_role_token(&key, fingerprint)).await?;
    Ok(AwsCredentials::from(&token))
}
