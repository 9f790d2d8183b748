//! An EC2 instance: the role of its profile, or the one that the account has set for instances without
//! (Default Host Management).
//!
//! ```text
//!  which instance, which region         once; until then nothing else is asked
//!      ▼
//!  the profile's credentials ── none, or EC2 cannot have the role ─┐
//!      ▼                                                           │
//!  UpdateInstanceInformation by them ── AccessDenied ──────────────┤
//!      │ yes: this role is the one from now on                     ▼
//!      │                     a key in the vault, registered once by the instance's own credentials
//!      │                                                           ▼
//!      ▼                     RequestManagedInstanceRoleToken, signed by both
//!    token ◀───────────────────────────────────────────────────────┘
//! ```
//!
//! The order and its conditions are the reference agent's. Without `[health]` nothing is to be proven:
//! the profile's role is taken as it is.

mod proof;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::health::{self, Reports};
use super::provider::{Footing, Reach, Whose, metadata_endpoint};
use super::report::LastFailure;
use super::{Daemon, DaemonError, connection};
use crate::config::Settings;
use crate::control::Complaint;
use crate::host::clock::{ServiceClock, timeout};
use crate::keys::{KeyError, SigningKey};
use crate::pure::advice::{Advice, Exit};
use crate::pure::assumption::SessionName;
use crate::pure::failure::FailureClass;
use crate::pure::identity::Region;
use crate::pure::role_token::RoleToken;
use crate::pure::source::Source;
use crate::shelf::{HealthPlace, RoleStatus};
use crate::sources::{Instance, InstanceMetadata, Problem, Profile};
use crate::ssm::{AwsCredentials, HostKey, Ssm, SsmError};
use crate::vault::{Ec2Key, Vault, VaultError};
use proof::Proof;

/// What is known of the instance, and what it needs to ask.
#[derive(Debug)]
pub(super) struct Ec2 {
    metadata: InstanceMetadata,
    settings: Settings,
    state_directory: PathBuf,
    clock: ServiceClock,
    reports: Reports,
    /// Once the metadata service has answered.
    known: Option<Known>,
    /// The profile's role that Systems Manager has heard.
    proven: Option<String>,
    /// The same of the run before.
    proof: Proof,
    role: Option<RoleStatus>,
    /// Opened when a key is needed.
    vault: Option<Vault>,
}

#[derive(Debug, Clone)]
struct Known {
    instance: Instance,
    ssm: Ssm,
    /// What the client was made by.
    reach: Reach,
}

/// Why the profile's role is not used.
#[derive(Debug)]
enum Without {
    NoProfile,
    /// EC2 cannot have the role.
    NotGiven(String),
    /// The role may not report to Systems Manager.
    NotAllowed {
        role: String,
        refusal: String,
    },
}

/// How long a report may take of a role that was heard before: whoever asks for credentials waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The service's code for a role without the rights.
const ACCESS_DENIED: [&str; 2] = ["AccessDeniedException", "AccessDenied"];

impl Ec2 {
    /// Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When the metadata service's address cannot be used.
    pub(super) fn new(
        daemon: &Daemon,
        clock: ServiceClock,
        health: HealthPlace,
    ) -> Result<Self, DaemonError> {
        let metadata = InstanceMetadata::new(metadata_endpoint(&daemon.settings)?)?;
        tracing::info!(endpoint = metadata.endpoint(), "credentials from the instance's metadata");
        Ok(Self {
            metadata,
            settings: daemon.settings.clone(),
            state_directory: daemon.directories.state.clone(),
            clock,
            reports: Reports::new(health, Arc::clone(&daemon.seams.entropy)),
            known: None,
            proven: None,
            proof: Proof::of_run_before(&daemon.directories.state),
            role: None,
            vault: None,
        })
    }

    /// Takes new settings over, as far as they are not about the source.
    ///
    /// # Errors
    ///
    /// When nothing can be reached by them: the client then stays as it was.
    pub(super) fn take_settings(&mut self, settings: &Settings) -> Result<(), DaemonError> {
        self.settings = settings.clone();
        let Some(known) = &mut self.known else { return Ok(()) };
        let reach = Reach::of(connection(settings, region(settings, &known.instance)));
        let is_new = reach != known.reach;
        if is_new {
            known.ssm = Ssm::new(&reach.connection, self.clock.clone())?;
            known.reach = reach;
        }
        self.reports.follow(settings, &known.ssm, is_new, || machine(&known.instance));
        Ok(())
    }

    pub(super) async fn request_token(&mut self) -> Result<RoleToken, LastFailure> {
        let known = self.known().await?;
        let without = match self.metadata.profile(self.clock.now()).await {
            Ok(Some(profile)) => match self.prove(&known, &profile).await? {
                None => return Ok(self.take_profile(&known.instance, profile)),
                Some(without) => without,
            },
            Ok(None) => Without::NoProfile,
            Err(error) => match error.problem {
                Problem::Refused { message } => Without::NotGiven(message),
                _ => return Err(error.into()),
            },
        };
        self.proven = None;
        self.proof.forget();
        tracing::debug!("{without}: asking for Default Host Management");
        let token = self.request_host_token(&known, &without).await?;
        self.role = Some(RoleStatus {
            granted_by: "default host management".to_owned(),
            name: None,
            arn: None,
            account_id: known.instance.account_id,
        });
        Ok(token)
    }

    pub(super) fn is_out_of_reach(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.reach.is_out_of_reach())
    }

    pub(super) fn whose(&self) -> Whose {
        let known = self.known.as_ref();
        let region = known.map(|known| known.ssm.region().clone());
        Whose {
            source: Source::InstanceMetadata,
            instance_id: known.map(|known| known.instance.id.to_string()),
            region: region.or_else(|| self.settings.region.value.clone()),
            role: self.role.clone(),
        }
    }

    pub(super) fn footing(&self) -> Option<Footing> {
        let Known { instance, ssm, .. } = self.known.as_ref()?;
        let session_name = SessionName::of_ec2_instance(&instance.id);
        Some(Footing { region: ssm.region().clone(), session_name })
    }

    /// Which instance this is, asked until it is answered.
    async fn known(&mut self) -> Result<Known, LastFailure> {
        if let Some(known) = &self.known {
            return Ok(known.clone());
        }
        let instance = self.metadata.instance().await?;
        let connection = connection(&self.settings, region(&self.settings, &instance));
        let reach = Reach::in_any_case(connection);
        let ssm = Ssm::new(&reach.connection, self.clock.clone())?;
        tracing::info!(
            instance_id = %instance.id,
            region = %ssm.region(),
            endpoint = ssm.endpoint(),
            "this is an EC2 instance",
        );
        self.reports.follow(&self.settings, &ssm, true, || machine(&instance));
        Ok(self.known.insert(Known { instance, ssm, reach }).clone())
    }

    /// Whether Systems Manager hears the profile's role. Asked once for each role: what the network
    /// does later takes no credentials away, after a restart neither.
    async fn prove(
        &mut self,
        Known { instance, ssm, .. }: &Known,
        Profile { role, granted }: &Profile,
    ) -> Result<Option<Without>, LastFailure> {
        if !self.settings.health.value || self.proven.as_ref() == Some(role) {
            return Ok(None);
        }
        let report = health::report(instance.id.as_str(), zone(instance));
        let report = ssm.report_health(AwsCredentials::from(&granted.token), &report);
        let was_heard = self.proof.is_of(&instance.id, role);
        let heard = match was_heard {
            true => timeout(PATIENCE, report).await,
            false => Ok(report.await),
        };
        let Ok(heard) = heard else {
            tracing::warn!("Systems Manager is silent; it has heard the role {role} before");
            self.proven = Some(role.clone());
            return Ok(None);
        };
        match heard {
            Ok(()) => {
                self.proven = Some(role.clone());
                self.proof.keep(&instance.id, role);
                Ok(None)
            }
            Err(error) if is_access_denied(&error) => {
                Ok(Some(Without::NotAllowed { role: role.clone(), refusal: error.to_string() }))
            }
            Err(error) if error.class != FailureClass::Denied && was_heard => {
                tracing::warn!("{error}; Systems Manager has heard the role {role} before");
                self.proven = Some(role.clone());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn take_profile(&mut self, instance: &Instance, profile: Profile) -> RoleToken {
        self.role = Some(RoleStatus {
            granted_by: "instance profile".to_owned(),
            name: Some(profile.role),
            arn: profile.granted.token.role.as_ref().map(ToString::to_string),
            account_id: profile.granted.account_id.or_else(|| instance.account_id.clone()),
        });
        profile.granted.token
    }

    async fn request_host_token(
        &mut self,
        known: &Known,
        without: &Without,
    ) -> Result<RoleToken, LastFailure> {
        let Known { instance, ssm, .. } = known;
        let identity = self.metadata.own_identity(self.clock.now()).await?;
        let credentials = AwsCredentials::from(&identity.token);
        let Ec2Key { signing_key, registered, .. } = self.key(known).await?;
        let key = HostKey { credentials, signing_key: Arc::new(signing_key) };
        let refused = |error| denied(error, without);
        if !registered {
            self.register(known, &key).await?.map_err(refused)?;
        }
        match ssm.request_host_token(&key, &instance.id).await {
            // It has been forgotten there.
            Err(error) if registered && error.code.as_deref() == Some("InvalidInstanceId") => {
                self.register(known, &key).await?.map_err(refused)?;
                ssm.request_host_token(&key, &instance.id).await.map_err(refused)
            }
            answer => answer.map_err(refused),
        }
    }

    async fn register(
        &mut self,
        Known { instance, ssm, .. }: &Known,
        key: &HostKey,
    ) -> Result<Result<(), SsmError>, VaultError> {
        let public_key = key.signing_key.public_key();
        match ssm.register_host(key.credentials.clone(), &instance.id, &public_key).await {
            Ok(()) => tracing::info!("Systems Manager has this instance's key"),
            // This key or another: the next request tells.
            Err(error) if error.code.as_deref() == Some("InstanceAlreadyRegistered") => {
                tracing::info!("Systems Manager has a key of this instance already");
            }
            Err(error) => return Ok(Err(error)),
        }
        self.vault()?.confirm_ec2_key(ssm.clock().now()).map(Ok)
    }

    /// The key of this instance; a new one is in the vault before anybody hears of it.
    async fn key(&mut self, Known { instance, ssm, .. }: &Known) -> Result<Ec2Key, LastFailure> {
        if let Some(key) = self.vault()?.ec2_key()?
            && key.instance_id == instance.id
        {
            return Ok(key);
        }
        // Generating takes a moment: off the event loop.
        let signing_key = tokio::task::spawn_blocking(SigningKey::generate).await;
        let signing_key = signing_key.unwrap_or(Err(KeyError::Generate))?;
        let now = ssm.clock().now();
        self.vault()?.stage_ec2_key(&instance.id, ssm.region(), &signing_key, now)?;
        Ok(Ec2Key { instance_id: instance.id.clone(), signing_key, registered: false })
    }

    /// One that could only be read is opened anew each time.
    fn vault(&mut self) -> Result<&mut Vault, VaultError> {
        let vault = match self.vault.take().filter(Vault::is_whole) {
            Some(vault) => vault,
            None => Vault::open_or_read(&self.state_directory)?,
        };
        Ok(self.vault.insert(vault))
    }

    /// Why nothing can be written in the vault, where one is in use.
    pub(super) fn look_at_vault(&self) -> Option<VaultError> {
        self.vault.as_ref()?.check().err()
    }
}

/// The settings' region, or else the instance's own.
fn region(settings: &Settings, instance: &Instance) -> Region {
    settings.region.value.clone().unwrap_or_else(|| instance.region.clone())
}

fn machine(instance: &Instance) -> health::Machine {
    let (instance_id, availability_zone) = (instance.id.to_string(), zone(instance).to_owned());
    health::Machine { instance_id, availability_zone }
}

fn zone(instance: &Instance) -> &str {
    instance.availability_zone.as_deref().unwrap_or_default()
}

fn is_access_denied(error: &SsmError) -> bool {
    error.class == FailureClass::Denied
        && error.code.as_deref().is_some_and(|code| ACCESS_DENIED.contains(&code))
}

/// Neither the one nor the other.
fn denied(error: SsmError, without: &Without) -> LastFailure {
    if error.class != FailureClass::Denied {
        return error.into();
    }
    let remedy = match error.code.as_deref() {
        Some(code) if ACCESS_DENIED.contains(&code) => without.remedy().to_owned(),
        Some("InvalidSignatureException") => {
            "the service holds another key of this instance, which amazon-ssm-agent made (in \
             /var/lib/amazon/ssm): give the instance a profile, whose role needs no key"
                .to_owned()
        }
        _ => error.remedy(),
    };
    let message = format!("{without}; Default Host Management: {error}");
    let complaint = Complaint::new(Exit::Refused, message, remedy);
    LastFailure { class: FailureClass::Denied, complaint }
}

impl Without {
    fn remedy(&self) -> &'static str {
        match self {
            Self::NoProfile => {
                "attach a role (EC2 console: Actions, Security, Modify IAM role), or switch on \
                 Default Host Management (Systems Manager console: Settings); then `rolekeeper refresh`"
            }
            Self::NotGiven(_) => {
                "let the role's trust policy name ec2.amazonaws.com, or switch on Default Host \
                 Management (Systems Manager console: Settings); then `rolekeeper refresh`"
            }
            Self::NotAllowed { .. } => {
                "allow the role ssm:UpdateInstanceInformation (as AmazonSSMManagedInstanceCore does), \
                 or set enabled = false in [health] to use it without; then restart rolekeeper"
            }
        }
    }
}

impl std::fmt::Display for Without {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoProfile => f.write_str("the instance has no profile"),
            Self::NotGiven(message) => {
                write!(f, "EC2 does not give the profile's role ({message})")
            }
            Self::NotAllowed { role, refusal } => {
                write!(f, "the role {role} may not report to Systems Manager ({refusal})")
            }
        }
    }
}

impl From<KeyError> for LastFailure {
    fn from(error: KeyError) -> Self {
        let complaint = Complaint::new(Exit::Bug, error.to_string(), "rolekeeper refresh");
        Self { class: FailureClass::Local, complaint }
    }
}
