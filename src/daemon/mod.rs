//! Does: the only module that knows every adapter.
//!
//! [`Daemon::run`] waits until this machine is registered, then hands the vault to the driver, which
//! performs what `pure::refresher` decides. Beside the driver run small tasks that only read the
//! shelf, the control socket, the programs' sockets and the health ping, and one for each target with
//! a role of its own, which performs what `pure::assumer` decides.

mod access;
mod accounts;
mod assumption;
mod decisions;
mod deliveries;
mod driver;
mod ec2;
mod error;
mod health;
mod held;
mod hybrid;
mod keyring;
mod loopback;
mod provider;
mod region;
mod registration;
mod reload;
mod report;
mod roles;
mod rotation;
mod rules;
mod settings;
mod start;
mod targets;
mod verification;
mod warnings;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use access::{access_of, missing_programs};
pub use accounts::Accounts;
pub use deliveries::withdraw_all;
pub use error::DaemonError;
pub use held::{HeldError, forget as forget_role_token};
pub use provider::no_registration;
pub use region::{OtherRegion, registered_region};
pub use registration::{
    Application, RegistrationError, Step as RegistrationStep, recordable, register,
};
pub use rotation::{RotationOutcome, rotate};
pub use rules::Rules;
pub use settings::{InForce, SettingsReader};
pub use start::{own_files, would_start};
pub use targets::{default_path, targets};
pub use verification::{Examined, Verdict, VerificationError, examine};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::Settings;
use crate::connection::Connection;
use crate::control::{self, Complaint, Order, Wish};
use crate::hardware::{Probe, SystemProbe};
use crate::host::clock::{Clock, ServiceClock, SystemClock};
use crate::host::entropy::{Entropy, SystemEntropy};
use crate::host::service_manager;
use crate::host::socket::DIRECTORY_MODE;
use crate::host::{directory, log};
use crate::pure::advice::Exit;
use crate::pure::identity::Region;
use crate::pure::source::Source;
use crate::shelf::{Shelf, ShelfReader, State, Status};
use crate::vault::{Notice, Vault, VaultError};
use crate::vending::{self, Judge, Stock};

use accounts::AccountLookup;
use driver::Driver;
use ec2::Ec2;
use hybrid::Hybrid;
use keyring::{Keyring, KeyringNow};
use provider::Provider;
use rules::Rulebook;

/// Where a daemon keeps its things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Holds the vault.
    pub state: PathBuf,
    /// Holds the control socket and the default credentials file.
    pub runtime: PathBuf,
}

/// What cannot be repeated, so that a rehearsal can.
#[derive(Debug, Clone)]
pub struct Seams {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub probe: Arc<dyn Probe>,
}

/// A daemon that has not started.
#[derive(Debug)]
pub struct Daemon {
    pub settings: Settings,
    pub directories: Directories,
    pub seams: Seams,
    /// Reads the settings again.
    pub reader: SettingsReader,
    /// Why `settings` are not those that the files hold now.
    pub trouble: Option<Complaint>,
    /// Says that the operator asks for a reload.
    pub reloads: mpsc::Receiver<()>,
}

/// Orders that wait for a registration, and more that come.
struct Desk<'a> {
    inbox: &'a mut mpsc::Receiver<Order>,
    waiting: &'a mut Vec<Order>,
}

/// How often an unregistered machine looks for a registration; `register` also wakes it.
const REGISTRATION_LOOK: Duration = Duration::from_secs(60);

/// What a machine says of itself until then.
const UNREGISTERED: &str = "not registered; waiting for: rolekeeper register";

/// Orders that may wait for the driver.
const ORDERS: usize = 16;

impl Seams {
    /// This machine as it is.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            probe: Arc::new(SystemProbe::new()),
        }
    }
}

impl Daemon {
    /// Runs until it is dropped or cannot go on. `started` hears of the shelf before anything else
    /// happens.
    ///
    /// # Errors
    ///
    /// What stands in the way of starting; once it runs, a daemon does not give up.
    pub async fn run(self, started: impl FnOnce(ShelfReader)) -> Result<(), DaemonError> {
        let mut tasks = JoinSet::new();
        let outcome = self.serve(started, &mut tasks).await;
        // Whoever starts next in this process finds sockets and addresses free.
        tasks.shutdown().await;
        outcome
    }

    async fn serve(
        mut self,
        started: impl FnOnce(ShelfReader),
        tasks: &mut JoinSet<()>,
    ) -> Result<(), DaemonError> {
        let (shelf, reader) = Shelf::new();
        started(reader.clone());
        let (orders, mut inbox) = mpsc::channel(ORDERS);
        let mut accounts = AccountLookup::default();
        // Wrong settings show at once, also on a machine that is not registered yet.
        accounts.wait_for(&self.settings).await;
        let read = self.rules(&accounts);
        read.log(&[]);
        let rules = Rulebook::new(&read);
        let source = self.settings.identity.source.value;
        let vault = match source {
            Source::Hybrid => self.open_vault()?,
            // Without a registration there is nothing to remember yet.
            Source::InstanceMetadata | Source::Container | Source::Environment => None,
        };
        let is_unregistered = source == Source::Hybrid && vault.is_none();
        self.show(
            &shelf,
            &read,
            if is_unregistered { State::Unregistered } else { State::Starting },
        );
        let clock = ServiceClock::new(Arc::clone(&self.seams.clock));
        let (control, programs) = self.bind()?;
        tasks.spawn(control.serve(reader.clone(), orders));
        let keyring = Keyring::new(&self.directories, shelf.notices());
        let tokens = KeyringNow { keyring: keyring.clone(), clock: Arc::clone(&self.seams.clock) };
        let stock = Stock {
            shelf: reader.clone(),
            access: rules.access(),
            clock: clock.clone(),
            judge: Judge::default(),
            tokens: Arc::new(tokens),
        };
        tasks.spawn(programs.serve(stock.clone()));
        let means = loopback::Means {
            stock,
            keyring: keyring.clone(),
            token_files: rules.token_files(),
            listen: rules.listen(),
            signs: ["container", "imds"].map(|kind| shelf.sign(kind)),
        };
        tasks.spawn(loopback::keep(means, self.seams.clone()));

        let mut waiting = Vec::new();
        let provider = match source {
            Source::Hybrid => {
                let vault = match vault {
                    Some(vault) => vault,
                    None => {
                        let desk = Desk { inbox: &mut inbox, waiting: &mut waiting };
                        self.registered(desk, &shelf, &mut accounts).await?
                    }
                };
                Provider::Hybrid(Box::new(Hybrid::new(&self, vault, &clock, shelf.health())?))
            }
            Source::InstanceMetadata => {
                Provider::Ec2(Box::new(Ec2::new(&self, clock.clone(), shelf.health())?))
            }
            Source::Container => Provider::container(&self.settings, clock.clone())?,
            Source::Environment => Provider::environment(&self.settings, clock.clone())?,
        };
        let driver = Driver::new(self, shelf, rules, accounts, clock, provider, keyring)?;
        // In a box: what is nested deeper than this, the compiler does not lay out.
        Box::pin(driver.run(inbox, waiting)).await
    }

    /// The sockets of the operator and of the programs, in a runtime directory that others may pass
    /// through.
    fn bind(&self) -> Result<(control::Bound, vending::Bound), DaemonError> {
        let runtime = &self.directories.runtime;
        let failed = |source: io::Error| {
            let path = control::socket_path(runtime);
            match source.kind() {
                io::ErrorKind::AddrInUse => DaemonError::Occupied { path },
                _ => DaemonError::Socket { path, source },
            }
        };
        directory::make(runtime, DIRECTORY_MODE).map_err(failed)?;
        let control = control::bind(runtime).map_err(failed)?;
        Ok((control, vending::bind(runtime).map_err(failed)?))
    }

    /// What the settings come to with these accounts.
    fn rules(&self, accounts: &AccountLookup) -> Rules {
        Rules::of(&self.settings, &self.directories.runtime, accounts.found())
    }

    /// Before there is a driver, the settings are all that there is to show.
    fn show(&self, shelf: &Shelf, rules: &Rules, state: State) {
        let status = Status {
            state,
            source: self.settings.identity.source.value,
            disabled: rules.disabled.clone(),
            settings: self.trouble.as_ref().map(report::settings),
            ..Status::unregistered()
        };
        shelf.put(status, None, BTreeSet::new());
    }

    /// Waits until this machine is registered.
    async fn registered(
        &mut self,
        mut desk: Desk<'_>,
        shelf: &Shelf,
        accounts: &mut AccountLookup,
    ) -> Result<Vault, DaemonError> {
        tracing::info!("{UNREGISTERED}");
        loop {
            if let Some(vault) = self.wait_for_registration(&mut desk, shelf, accounts).await? {
                accounts.wait_for(&self.settings).await;
                return Ok(vault);
            }
        }
    }

    /// Reads the settings again, and says what of them waits for the next start, if anything does. Those
    /// that cannot be used change nothing.
    async fn read_again(&mut self) -> Result<Option<Complaint>, Complaint> {
        match self.reader.read_soon().await {
            Ok(settings) => {
                self.trouble = None;
                Ok(self.take_settings(settings))
            }
            Err(complaint) => {
                if self.trouble.as_ref() != Some(&complaint) {
                    let Complaint { message, remedy, .. } = &complaint;
                    tracing::error!("{message}; the settings stay as they were; try: {remedy}");
                }
                self.trouble = Some(complaint.clone());
                Err(complaint)
            }
        }
    }

    /// The same of a machine that is not registered.
    async fn reload(
        &mut self,
        shelf: &Shelf,
        accounts: &mut AccountLookup,
    ) -> Result<String, Complaint> {
        let read = self.read_again().await;
        accounts.wait_for(&self.settings).await;
        let rules = self.rules(accounts);
        rules.log(&[]);
        self.show(shelf, &rules, State::Unregistered);
        settings::outcome(&rules.disabled, read?)
    }

    /// New settings, with the source that there is: another one comes with the next start. What it is
    /// then to be told, if there is such a difference.
    fn take_settings(&mut self, settings: Settings) -> Option<Complaint> {
        let identity = std::mem::take(&mut self.settings.identity);
        let (running, wanted) = (identity.source.value, settings.identity.source.value);
        let differs = identity.difference(&settings.identity);
        let complaint = differs.map(|(key, origin)| {
            let (message, remedy) = match key {
                "source" => (
                    format!("{origin}: the source stays {running} while the daemon runs"),
                    format!("systemctl restart rolekeeper, to change to {wanted}"),
                ),
                _ => (
                    format!("{origin}: {key} stays as it was while the daemon runs"),
                    "systemctl restart rolekeeper".to_owned(),
                ),
            };
            Complaint::new(Exit::Configuration, message, remedy)
        });
        self.settings = Settings { identity, ..settings };
        log::adjust(self.settings.log_level.value.filter());
        complaint
    }

    /// The vault of a registered machine; nothing on one that is not registered yet.
    fn open_vault(&self) -> Result<Option<Vault>, DaemonError> {
        let vault = Vault::open_or_read(&self.directories.state)?;
        match vault.registration() {
            Ok(_) => Ok(Some(vault)),
            Err(VaultError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks again after a while, or when somebody asks for a refresh, who then waits for the
    /// driver. The vault is not locked meanwhile, so that `register` can have it.
    async fn wait_for_registration(
        &mut self,
        Desk { inbox, waiting }: &mut Desk<'_>,
        shelf: &Shelf,
        accounts: &mut AccountLookup,
    ) -> Result<Option<Vault>, DaemonError> {
        let status = shelf.reader().look().status;
        service_manager::ready(&format!("{UNREGISTERED}{}", report::remarks(&status)));
        service_manager::alive();
        let pause = service_manager::within_watchdog(REGISTRATION_LOOK);
        tokio::select! {
            Some(()) = self.reloads.recv() => {
                // What is wrong is in the log and in the status.
                let _ = self.reload(shelf, accounts).await;
            }
            Some(order) = inbox.recv() => match order.wish {
                // Nobody waits for it any more.
                _ if order.reply.is_closed() => {}
                Wish::Reload => {
                    // Who asked may have left.
                    let _ = order.reply.send(self.reload(shelf, accounts).await);
                }
                _ => waiting.push(order),
            },
            () = self.seams.clock.sleep(pause) => if self.trouble.is_some() {
                let _ = self.reload(shelf, accounts).await;
            },
        }
        match self.open_vault() {
            // `register` is at work.
            Err(DaemonError::Vault(VaultError::Locked { .. })) => Ok(None),
            Ok(None) => {
                for order in waiting.drain(..) {
                    // Who asked may have left.
                    let _ = order.reply.send(Err(unregistered()));
                }
                Ok(None)
            }
            found => found,
        }
    }
}

/// How to reach Systems Manager in `region`, by the settings.
pub fn connection(settings: &Settings, region: Region) -> Connection {
    Connection {
        region,
        endpoint_url: settings.endpoint_url.value.clone(),
        fips: settings.fips.value,
        dual_stack: settings.dual_stack.value,
        ca_bundle: settings.ca_bundle.value.clone(),
        proxy: settings.proxy.value.clone(),
        attempt_timeout: settings.timeout.value,
        out_of_reach: None,
    }
}

/// The same for STS. An address that names Systems Manager, as that of a VPC endpoint does, is not
/// STS's.
pub fn sts_connection(settings: &Settings, region: Region) -> Connection {
    let connection = connection(settings, region);
    let shared = connection.endpoint_url.clone().filter(|url| !names_systems_manager(url));
    Connection { endpoint_url: settings.sts_endpoint_url.value.clone().or(shared), ..connection }
}

fn names_systems_manager(url: &str) -> bool {
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    host.is_some_and(|host| host.split('.').any(|label| ["ssm", "ssm-fips"].contains(&label)))
}

fn unregistered() -> Complaint {
    Complaint::new(
        Exit::Unavailable,
        "this machine is not registered",
        "rolekeeper register --region REGION --activation-id ID --activation-code-file FILE",
    )
}

fn log(notice: &Notice) {
    match notice {
        Notice::Narrowed { path, mode } => {
            tracing::warn!(path = %path.display(), mode = format_args!("{mode:04o}"), "was open to others");
        }
        Notice::RegistrationCompleted(id) => {
            tracing::info!(instance_id = %id, "an interrupted registration was completed");
        }
        Notice::PromotionCompleted => tracing::info!("an interrupted key rotation was completed"),
        Notice::JournalUnusable(error) => {
            tracing::warn!(%error, "a registration's journal is unusable")
        }
        // Said with its remedy by whoever looks at the vault from time to time.
        Notice::ReadOnly(error) => tracing::debug!(%error, "the vault is read, and not written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, Setting};

    #[test]
    fn sts_is_where_the_settings_say_and_never_where_systems_manager_is_alone() {
        let sts_at = |endpoint_url: Option<&str>, sts_endpoint_url: Option<&str>| {
            let setting = |url: Option<&str>| Setting {
                value: url.map(str::to_owned),
                origin: Origin::Default,
            };
            let settings = Settings {
                endpoint_url: setting(endpoint_url),
                sts_endpoint_url: setting(sts_endpoint_url),
                ..Settings::default()
            };
            sts_connection(&settings, "eu-central-1".parse().unwrap()).endpoint_url
        };
        let lab = Some("http://127.0.0.1:4599");
        let vpc = Some("https://vpce-0.ssm.eu-central-1.vpce.amazonaws.com");
        let sts = Some("https://vpce-0.sts.eu-central-1.vpce.amazonaws.com");
        assert_eq!(sts_at(None, None), None);
        assert_eq!(sts_at(lab, None).as_deref(), lab);
        assert_eq!(sts_at(lab, sts).as_deref(), sts);
        assert_eq!(sts_at(vpc, None), None);
        assert_eq!(sts_at(vpc, sts).as_deref(), sts);
    }
}
