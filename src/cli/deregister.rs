//! `rolekeeper deregister`

use clap::Args;

use super::{Places, local, print, say};
use crate::connection::OPERATION_TIMEOUT;
use crate::control::Complaint;
use crate::daemon::{forget_role_token, targets};
use crate::host::environment;
use crate::host::progress::Progress;
use crate::pure::advice::Exit;
use crate::pure::secret::Secret;
use crate::ssm::{AwsCredentials, InstanceKey, Ssm};
use crate::targets::withdraw;
use crate::vault::{Registration, Vault};

/// Take this machine's identity out of use, at the service and here
///
/// Signs with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY when they are set, otherwise with the
/// machine's own role, which must then allow ssm:DeregisterManagedInstance. The daemon must be
/// stopped. The credentials are withdrawn from every target; the vault's records are kept aside.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Deregister {
    /// Do not tell the service; the instance stays registered there
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
        let registration = vault.registration()?;
        let ssm = local::ssm(&settings, registration.region.clone()).await?;
        if !self.local_only {
            let progress = places.progress();
            let credentials = match administrator() {
                Some(credentials) => credentials,
                None => own_role(&vault, &ssm, &registration, &progress).await?,
            };
            let what = format!("asking {} to forget {}", ssm.endpoint(), registration.instance_id);
            progress.begin(what, Some(OPERATION_TIMEOUT));
            let asked = ssm.deregister(credentials, &registration.instance_id);
            progress.during(asked).await.map_err(|error| {
                let mut complaint = Complaint::of(&error);
                complaint.remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of an \
                                    administrator, or deregister elsewhere and use --local-only"
                    .to_owned();
                complaint
            })?;
        }
        for target in targets(&settings, &directories.runtime)? {
            if let Err(error) = withdraw(&target) {
                say(format_args!("warning: {error}"));
            }
        }
        if let Err(error) = forget_role_token(&directories.runtime) {
            say(format_args!("warning: {error}"));
        }
        let kept = vault.retire(ssm.clock().now())?;
        say(format_args!("the registration, with its private key, is kept as {}", kept.display()));
        print(&format!("{} is deregistered\n", registration.instance_id))
    }
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
