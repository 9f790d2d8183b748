//! Who gives the driver its credentials: one of four, chosen by `[identity] source`. What becomes of
//! them is the same for all.

use std::path::PathBuf;

use http::Uri;

use super::DaemonError;
use super::ec2::Ec2;
use super::hybrid::Hybrid;
use super::report::LastFailure;
use crate::config::Settings;
use crate::connection::Connection;
use crate::control::Complaint;
use crate::host::clock::ServiceClock;
use crate::host::environment;
use crate::host::file_watch::Stamp;
use crate::pure::advice::{Advice, Exit};
use crate::pure::assumption::SessionName;
use crate::pure::failure::FailureClass;
use crate::pure::fingerprint::Similarity;
use crate::pure::identity::{InstanceId, Region};
use crate::pure::refresher::{AskAs, Event};
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;
use crate::pure::source::Source;
use crate::shelf::{Moment, RoleStatus};
use crate::sources::{
    BearerToken, ContainerEndpoint, METADATA_ENDPOINT, UnusableVariables, from_environment,
};
use crate::vault::VaultError;

/// One of four.
#[derive(Debug)]
pub(super) enum Provider {
    Hybrid(Box<Hybrid>),
    Ec2(Box<Ec2>),
    Container(Box<Container>),
    Environment(Environment),
}

/// The endpoint of a container, and what it said last.
#[derive(Debug)]
pub(super) struct Container {
    endpoint: ContainerEndpoint,
    /// What the client was made by, besides the source.
    trust: (Option<PathBuf>, Option<Stamp>, Option<String>),
    clock: ServiceClock,
    region: Option<Region>,
    role: Option<RoleStatus>,
}

/// The variables of this process, which stay as they are.
#[derive(Debug)]
pub(super) struct Environment {
    clock: ServiceClock,
    region: Option<Region>,
}

/// Whose credentials they are, as far as that is known.
#[derive(Debug, Clone)]
pub(super) struct Whose {
    pub source: Source,
    pub instance_id: Option<String>,
    pub region: Option<Region>,
    pub role: Option<RoleStatus>,
}

/// By what a client of AWS was made: another one is made when that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) connection: Connection,
    /// The file of certificates: a name alone does not say that they are the same.
    ca_bundle: Option<Stamp>,
}

/// What other roles are assumed with.
#[derive(Debug, Clone)]
pub(super) struct Footing {
    pub region: Region,
    pub session_name: SessionName,
}

/// What gives a container its token, where no file does.
const BEARER_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";

impl Provider {
    /// By the container's endpoint.
    ///
    /// # Errors
    ///
    /// When no endpoint is named, or it cannot be used.
    pub(super) fn container(settings: &Settings, clock: ServiceClock) -> Result<Self, DaemonError> {
        let endpoint = container_endpoint(settings)?;
        tracing::info!(endpoint = endpoint.endpoint(), "credentials from the container's endpoint");
        let (region, trust) = (settings.region.value.clone(), trust(settings));
        Ok(Self::Container(Box::new(Container { endpoint, trust, clock, region, role: None })))
    }

    /// By the environment.
    ///
    /// # Errors
    ///
    /// When it holds no credentials that can be handed on: waiting would not mend that.
    pub(super) fn environment(
        settings: &Settings,
        clock: ServiceClock,
    ) -> Result<Self, DaemonError> {
        from_environment(environment::variable, clock.now())?;
        tracing::info!("credentials from the environment");
        Ok(Self::Environment(Environment { clock, region: settings.region.value.clone() }))
    }

    /// Takes new settings over, but for the source. What is as it was is left alone.
    ///
    /// # Errors
    ///
    /// When nobody can be reached by them, or the daemon would ask itself: all stays as it was.
    pub(super) fn take_settings(&mut self, settings: &Settings) -> Result<(), DaemonError> {
        match self {
            Self::Hybrid(hybrid) => hybrid.take_settings(settings),
            Self::Ec2(ec2) => {
                metadata_endpoint(settings)?;
                ec2.take_settings(settings)
            }
            Self::Container(container) => container.take_settings(settings),
            Self::Environment(environment) => {
                environment.region.clone_from(&settings.region.value);
                Ok(())
            }
        }
    }

    /// Whether it was known when the client was made that it would reach nobody.
    pub(super) fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Hybrid(hybrid) => hybrid.is_out_of_reach(),
            Self::Ec2(ec2) => ec2.is_out_of_reach(),
            Self::Container(_) | Self::Environment(_) => false,
        }
    }

    /// Looks at the vault, and opens it again once it can be written. What is wrong with it, if anything
    /// is: the credentials are renewed all the same.
    pub(super) fn look_at_vault(&mut self) -> Option<Complaint> {
        let error = match self {
            Self::Hybrid(hybrid) => hybrid.look_at_vault(),
            Self::Ec2(ec2) => ec2.look_at_vault(),
            Self::Container(_) | Self::Environment(_) => None,
        }?;
        let (what, exit) = match error {
            VaultError::Missing { .. } | VaultError::Damaged { .. } => {
                ("the next start would fail", Exit::BadData)
            }
            _ => ("nothing is written down", Exit::CannotCreate),
        };
        let message = format!("{error}; credentials are renewed, but {what}");
        let remedy = match error {
            VaultError::Missing { path } => format!(
                "restore {} from a backup while the daemon runs: after a stop nothing knows this \
                 machine's key",
                path.display()
            ),
            error => error.remedy(),
        };
        Some(Complaint::new(exit, message, remedy))
    }

    /// Looks at the machine, where the credentials are for no other.
    pub(super) fn probe(&mut self) -> Event {
        match self {
            Self::Hybrid(hybrid) => hybrid.probe(),
            Self::Ec2(_) | Self::Container(_) | Self::Environment(_) => Event::Unjudged,
        }
    }

    pub(super) async fn request_token(&mut self, ask_as: AskAs) -> Result<RoleToken, LastFailure> {
        match self {
            Self::Hybrid(hybrid) => hybrid.request_token(ask_as).await,
            Self::Ec2(ec2) => ec2.request_token().await,
            Self::Container(container) => container.request_token().await,
            Self::Environment(environment) => environment.token(),
        }
    }

    pub(super) fn similarity(&self) -> Option<&Similarity> {
        match self {
            Self::Hybrid(hybrid) => hybrid.similarity(),
            Self::Ec2(_) | Self::Container(_) | Self::Environment(_) => None,
        }
    }

    pub(super) fn source(&self) -> Source {
        match self {
            Self::Hybrid(_) => Source::Hybrid,
            Self::Ec2(_) => Source::InstanceMetadata,
            Self::Container(_) => Source::Container,
            Self::Environment(_) => Source::Environment,
        }
    }

    pub(super) fn whose(&self) -> Whose {
        let source = self.source();
        match self {
            Self::Hybrid(hybrid) => Whose {
                source,
                instance_id: Some(hybrid.registration().instance_id.to_string()),
                region: Some(hybrid.ssm().region().clone()),
                role: None,
            },
            Self::Ec2(ec2) => ec2.whose(),
            Self::Container(container) => {
                let (region, role) = (container.region.clone(), container.role.clone());
                Whose { source, instance_id: None, region, role }
            }
            Self::Environment(Environment { region, .. }) => {
                Whose { source, instance_id: None, region: region.clone(), role: None }
            }
        }
    }

    /// Whose its credentials are, as far as that is known before anybody was asked.
    pub(super) fn identity(&self) -> String {
        let registered = self.registered().map(ToString::to_string);
        registered.unwrap_or_else(|| self.source().name().to_owned())
    }

    /// Who this machine is registered as.
    pub(super) fn registered(&self) -> Option<&InstanceId> {
        match self {
            Self::Hybrid(hybrid) => Some(&hybrid.registration().instance_id),
            Self::Ec2(_) | Self::Container(_) | Self::Environment(_) => None,
        }
    }

    /// What other roles are assumed with; nothing while it is not known yet.
    ///
    /// # Errors
    ///
    /// Where it will never be.
    pub(super) fn footing(&self) -> Result<Option<Footing>, DaemonError> {
        let region = match self {
            Self::Hybrid(hybrid) => {
                let registration = hybrid.registration();
                let session_name = SessionName::of_instance(&registration.instance_id);
                return Ok(Some(Footing { region: registration.region.clone(), session_name }));
            }
            Self::Ec2(ec2) => return Ok(ec2.footing()),
            Self::Container(container) => &container.region,
            Self::Environment(environment) => &environment.region,
        };
        let region = region.clone().ok_or(DaemonError::NoRegion)?;
        Ok(Some(Footing { region, session_name: SessionName::default() }))
    }

    /// The registered machine; others have neither key nor fingerprint.
    ///
    /// # Errors
    ///
    /// Which source there is instead.
    pub(super) fn hybrid(&mut self) -> Result<&mut Hybrid, Complaint> {
        let source = self.source();
        match self {
            Self::Hybrid(hybrid) => Ok(hybrid),
            _ => Err(no_registration(source)),
        }
    }
}

impl Reach {
    /// For a client that is there in any case: without its certificates it reaches nobody.
    pub(super) fn in_any_case(connection: Connection) -> Self {
        Self::of(connection.or_out_of_reach())
    }

    /// Whether it was known that nobody is reached.
    pub(super) fn is_out_of_reach(&self) -> bool {
        self.connection.out_of_reach.is_some()
    }

    pub(super) fn of(connection: Connection) -> Self {
        let ca_bundle = connection.ca_bundle.as_deref().and_then(Stamp::of);
        Self { connection, ca_bundle }
    }
}

impl Container {
    fn take_settings(&mut self, settings: &Settings) -> Result<(), DaemonError> {
        let url = settings.identity.container_credentials_url.value.as_deref();
        refuse_own(url.unwrap_or_default(), settings)?;
        let trust = trust(settings);
        if trust != self.trust {
            self.endpoint = container_endpoint(settings)?;
            self.trust = trust;
        }
        self.region.clone_from(&settings.region.value);
        Ok(())
    }

    async fn request_token(&mut self) -> Result<RoleToken, LastFailure> {
        let granted = self.endpoint.credentials(self.clock.now()).await?;
        self.role = Some(RoleStatus {
            granted_by: "container endpoint".to_owned(),
            name: None,
            arn: granted.token.role.as_ref().map(ToString::to_string),
            account_id: granted
                .account_id
                .or_else(|| granted.token.account_id().map(str::to_owned)),
        });
        Ok(granted.token)
    }
}

impl Environment {
    fn token(&self) -> Result<RoleToken, LastFailure> {
        let now = self.clock.now();
        let token = from_environment(environment::variable, now)?;
        if token.is_dead_on_arrival(now) {
            let end = Moment(token.expires_at);
            return Err(LastFailure {
                class: FailureClass::Denied,
                complaint: Complaint::new(
                    Exit::Unavailable,
                    format!("the environment's credentials ended at {end}"),
                    "start the daemon again with new ones: its environment cannot change while it runs",
                ),
            });
        }
        Ok(token)
    }
}

pub(super) fn container_endpoint(settings: &Settings) -> Result<ContainerEndpoint, DaemonError> {
    let identity = &settings.identity;
    let url = identity.container_credentials_url.value.as_deref();
    let url = url.ok_or(DaemonError::NoContainer)?;
    refuse_own(url, settings)?;
    let token = match &identity.container_token_file.value {
        Some(path) => BearerToken::File(path.clone()),
        None => match environment::variable(BEARER_TOKEN) {
            Some(token) => BearerToken::Value(Secret::new(token)),
            None => BearerToken::None,
        },
    };
    let (bundle, proxy) = (settings.ca_bundle.value.as_deref(), settings.proxy.value.as_deref());
    Ok(ContainerEndpoint::new(url, token, bundle, proxy)?)
}

fn trust(settings: &Settings) -> (Option<PathBuf>, Option<Stamp>, Option<String>) {
    let bundle = settings.ca_bundle.value.clone();
    let stamp = bundle.as_deref().and_then(Stamp::of);
    (bundle, stamp, settings.proxy.value.clone())
}

/// What needs a registration is refused under another source.
pub fn no_registration(source: Source) -> Complaint {
    Complaint::new(
        Exit::Configuration,
        format!(
            "this machine's credentials come from its {}: no registration is used",
            words(source)
        ),
        "rolekeeper status; or leave out source in [identity], then register",
    )
}

/// The address of EC2's metadata service, by the settings.
///
/// # Errors
///
/// When it is this daemon's own.
pub(super) fn metadata_endpoint(settings: &Settings) -> Result<&str, DaemonError> {
    let url = settings.identity.metadata_endpoint_url.value.as_deref();
    let url = url.unwrap_or(METADATA_ENDPOINT);
    refuse_own(url, settings)?;
    Ok(url)
}

/// Variables that are set for every program of a machine are set for the daemon, too, which would ask
/// itself.
fn refuse_own(url: &str, settings: &Settings) -> Result<(), DaemonError> {
    let uri = url.parse::<Uri>().ok();
    let address = uri.as_ref().and_then(|uri| Some((uri.host()?, uri.port_u16()?)));
    let own = [settings.container_listen.value, settings.imds_listen.value];
    let asks = own.into_iter().flatten().any(|own| {
        address.is_some_and(|(host, port)| {
            let host = host.trim_matches(['[', ']']);
            own.port() == port && (host == "localhost" || host == own.ip().to_string())
        })
    });
    if asks { Err(DaemonError::OwnEndpoint { url: url.to_owned() }) } else { Ok(()) }
}

fn words(source: Source) -> &'static str {
    match source {
        Source::Hybrid => "registration",
        Source::InstanceMetadata => "instance metadata",
        Source::Container => "container endpoint",
        Source::Environment => "environment",
    }
}

impl From<UnusableVariables> for LastFailure {
    fn from(error: UnusableVariables) -> Self {
        Self { class: FailureClass::Local, complaint: Complaint::of(&error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, Setting};

    #[test]
    fn the_daemon_never_asks_itself() {
        let listen = |address: &str| Setting {
            value: Some(address.parse().unwrap()),
            origin: Origin::Default,
        };
        let settings = Settings {
            imds_listen: listen("127.0.0.1:1339"),
            container_listen: listen("[::1]:1338"),
            ..Settings::default()
        };
        for url in ["http://127.0.0.1:1339/", "http://localhost:1338/x", "http://[::1]:1338/x"] {
            assert!(refuse_own(url, &settings).is_err(), "{url}");
        }
        for url in [METADATA_ENDPOINT, "http://127.0.0.1:1340/", "http://127.0.0.2:1339"] {
            assert!(refuse_own(url, &settings).is_ok(), "{url}");
        }
    }
}
