//! The set: a lab on a free port, a directory that is gone afterwards, and the machines in it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use time::UtcDateTime;

use crate::config::Settings;
use crate::daemon::{Directories, Seams, targets};
use crate::hardware::AlteredProbe;
use crate::host::clock::{Clock, SystemClock};
use crate::lab::ledger::Outcome;
use crate::lab::operation::Operation;
use crate::lab::{Lab, LabSettings, StartError};
use crate::pure::advice::{Advice, Exit};
use crate::pure::fingerprint::Attribute;
use crate::pure::identity::InstanceId;
use crate::targets::Target;
use crate::vault::{FingerprintRecord, Vault};

use super::Unmet;
use super::chronicle::{Chronicle, Record};
use super::passage::{MachineClock, Passage};

/// How long credentials live at first: they are renewed after 7 to 8 s, and a program on a busy
/// machine has as long again to use them.
pub const SHORT_LIFE: Duration = Duration::from_secs(16);

/// How long they live from the outage on, which takes up to 20 s.
pub const LONG_LIFE: Duration = Duration::from_secs(120);

/// The code by which the service refuses a machine that is not the registered one.
pub const NOT_THIS_MACHINE: &str = "MachineFingerprintDoesNotMatch";

/// Where it all happens.
#[derive(Debug)]
pub struct Stage {
    pub lab: Lab,
    pub passage: Passage,
    pub chronicle: Chronicle,
    root: TempDir,
}

/// A machine: its directories, and what its hardware looks like.
#[derive(Debug, Clone)]
pub struct Machine {
    pub name: String,
    pub directories: Directories,
    pub seams: Seams,
    /// Its clock, where it is not this machine's own.
    pub clock: Option<Arc<MachineClock>>,
    /// Where it is written down what its daemon does.
    pub chronicle: Chronicle,
}

/// Who a machine is since it registered.
#[derive(Debug, Clone)]
pub struct Identity {
    pub instance_id: InstanceId,
    pub fingerprint: FingerprintRecord,
}

/// The rehearsal cannot even begin.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("no directory for the rehearsal in {}: {source}", place.display())]
    Directory { place: PathBuf, source: io::Error },
    #[error(transparent)]
    Lab(#[from] StartError),
}

impl Stage {
    /// Sets everything up; nothing has happened yet. Credentials live so long.
    ///
    /// # Errors
    ///
    /// Without a temporary directory, or without a port.
    pub async fn set(token_lifetime: Duration) -> Result<Self, StageError> {
        let root = tempfile::Builder::new().prefix("rolekeeper-rehearsal-").tempdir();
        let place = std::env::temp_dir();
        let root = root.map_err(|source| StageError::Directory { place, source })?;
        let settings = LabSettings { token_lifetime, ..LabSettings::default() };
        let lab = Lab::start(settings).await?;
        let passage = Passage::new();
        let chronicle = Chronicle::new(passage.clone());
        Ok(Self { lab, passage, chronicle, root })
    }

    /// Where everything is kept until the end.
    pub fn directory(&self) -> &Path {
        self.root.path()
    }

    /// Production's defaults, at the lab's address. The machine's own settings play no part.
    pub fn settings(&self) -> Settings {
        Settings::default().with_endpoint_url(Some(self.lab.endpoint_url()))
    }

    /// This very machine.
    pub fn this_machine(&self) -> Machine {
        self.machine("machine", Seams::system())
    }

    /// A machine of that name, with directories of its own and nothing in them.
    pub fn machine(&self, name: &str, seams: Seams) -> Machine {
        Machine {
            name: name.to_owned(),
            directories: self.directories(name),
            seams,
            clock: None,
            chronicle: self.chronicle.clone(),
        }
    }

    /// A machine that is `machine` in all but its machine-id, with copies of the vault and of the
    /// credentials file: what a cloned disk brings along.
    ///
    /// # Errors
    ///
    /// When files cannot be copied.
    pub fn clone_of(&self, machine: &Machine) -> io::Result<Machine> {
        let seams = altered(&machine.seams, "a clone", &[Attribute::MachineId]);
        let clone = self.machine("clone", seams);
        clone.take_files_of(machine)?;
        Ok(clone)
    }

    /// The time by which the lab goes.
    pub fn now(&self) -> UtcDateTime {
        self.passage.now()
    }

    /// What happened, all of it.
    pub fn record(&self) -> Record {
        self.lab.with_service(|service| self.chronicle.close(service.ledger.entries()))
    }

    /// Removes everything, and stops the lab.
    pub async fn strike(self) {
        self.lab.shutdown().await;
    }

    fn directories(&self, name: &str) -> Directories {
        let root = self.root.path().join(name);
        Directories { state: root.join("state"), runtime: root.join("run") }
    }

    /// How many of the machine's token requests the service has refused for
    /// another machine's fingerprint.
    pub fn refusals(&self, id: &InstanceId) -> usize {
        let refused = Outcome::Refused(NOT_THIS_MACHINE.to_owned());
        self.lab.with_service(|service| {
            let entries = service.ledger.entries().filter(|entry| {
                entry.operation == Some(Operation::RequestManagedInstanceRoleToken)
                    && entry.node.as_ref() == Some(id)
                    && entry.outcome == refused
            });
            entries.count()
        })
    }
}

impl Machine {
    /// Copies of the vault and of the credentials file of `other`: what a disk's copy brings along.
    ///
    /// # Errors
    ///
    /// When files cannot be copied.
    pub fn take_files_of(&self, other: &Machine) -> io::Result<()> {
        copy_files(&other.vault(), &self.vault())?;
        make_directory(&self.directories.runtime)?;
        let file = other.target().path;
        if file.exists() {
            fs::copy(file, self.target().path)?;
        }
        Ok(())
    }

    /// The same machine with other IP and MAC addresses.
    pub fn with_other_addresses(&self) -> Machine {
        let addresses = [Attribute::IpAddress, Attribute::MacAddress];
        Machine { seams: altered(&self.seams, "elsewhere", &addresses), ..self.clone() }
    }

    /// These directories on the hardware of `other`.
    pub fn on_hardware_of(&self, other: &Machine) -> Machine {
        Machine { seams: other.seams.clone(), ..self.clone() }
    }

    /// The credentials file that a daemon without settings keeps.
    pub fn target(&self) -> Target {
        let mut targets = targets(&Settings::default(), &self.directories.runtime);
        targets.pop().expect("there is a default target")
    }

    pub fn vault(&self) -> PathBuf {
        self.directories.state.join("vault")
    }

    /// What the vault says.
    pub fn identity(&self) -> Result<Identity, Unmet> {
        let vault = Vault::read_only(&self.directories.state)?;
        Ok(Identity {
            instance_id: vault.registration()?.instance_id,
            fingerprint: vault.fingerprint_record()?,
        })
    }
}

impl Advice for StageError {
    fn remedy(&self) -> String {
        match self {
            Self::Directory { .. } => "TMPDIR=DIR, a directory that you may write".to_owned(),
            // The port was a free one, and the state is in memory.
            Self::Lab(_) => "see whether the loopback interface is up: ip address".to_owned(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Directory { .. } => Exit::CannotCreate,
            Self::Lab(error) => error.exit(),
        }
    }
}

/// Another machine, which differs in `attributes`.
fn altered(seams: &Seams, name: &str, attributes: &[Attribute]) -> Seams {
    let probe = AlteredProbe::new(Arc::clone(&seams.probe), name, attributes);
    let clock = LongUp(Arc::clone(&seams.clock));
    Seams { probe: Arc::new(probe), clock: Arc::new(clock), ..seams.clone() }
}

/// The clock of a machine that has been up for days. One that is still booting is looked at three
/// times before it is taken for another, and this one may have been started just now.
#[derive(Debug)]
struct LongUp(Arc<dyn Clock>);

impl Clock for LongUp {
    fn now(&self) -> UtcDateTime {
        self.0.now()
    }

    fn since_boot(&self) -> Duration {
        const DAYS: Duration = Duration::from_secs(3 * 24 * 3600);
        self.0.since_boot() + DAYS
    }
}

/// The time that the administrator and the reports go by.
pub fn now() -> UtcDateTime {
    SystemClock.now()
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    make_directory(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
