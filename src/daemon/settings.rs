//! The settings that the daemon goes by. Those that cannot be used leave the last good ones in force,
//! which are kept in the state directory for a start.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::stat::{SFlag, fstat};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::DaemonError;
use crate::config::{ConfigError, Settings, SettingsFiles};
use crate::connection::http_client;
use crate::control::Complaint;
use crate::host::clock::timeout;
use crate::host::directory::{UnsafeDirectory, open_file, open_out_of_reach};
use crate::host::replace::{Access, replace_file_at};
use crate::pure::advice::Exit;
use crate::pure::disabled::{Disabled, in_one_line};
use crate::shelf::{EndpointStatus, Status, TargetStatus, Warning};

/// The copy's name in the state directory.
pub(super) const NAME: &str = "settings.json";

/// More than a copy has, in bytes: that of one file of the longest, and all of its policies.
const LARGEST: u64 = 16 * 1024 * 1024;

/// How long a reload waits for the disk that the settings are on.
const PATIENCE: Duration = Duration::from_secs(5);

/// An endpoint's address to judge a proxy and certificates by; nothing is sent there.
const SOME_ENDPOINT: &str = "https://ssm.us-east-1.amazonaws.com";

/// Reads the settings, as often as they are wanted.
#[derive(Clone)]
pub struct SettingsReader {
    /// The one file that was asked for, instead of the usual ones.
    place: Option<PathBuf>,
    read: Arc<Reading>,
}

type Reading = dyn Fn(Option<SettingsFiles>) -> Result<Settings, ConfigError> + Send + Sync;

/// Settings to start with.
#[derive(Debug)]
pub struct InForce {
    pub settings: Settings,
    /// Why they are not those that the files hold now.
    pub trouble: Option<Complaint>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Copy {
    place: Option<PathBuf>,
    files: SettingsFiles,
}

/// A copy that could not be written or read.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(transparent)]
    Directory(#[from] UnsafeDirectory),
    #[error("{NAME}: {0}")]
    File(#[from] io::Error),
    #[error("{NAME}: {0}")]
    Unusable(&'static str),
}

impl SettingsReader {
    /// `read` makes settings of these files, or else of those at `place`, or of the usual ones.
    pub fn new(
        place: Option<PathBuf>,
        read: impl Fn(Option<SettingsFiles>) -> Result<Settings, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        Self { place, read: Arc::new(read) }
    }

    /// Settings that are always the same.
    pub fn fixed(settings: Settings) -> Self {
        Self::new(None, move |_| Ok(settings.clone()))
    }

    /// The settings that the files hold now.
    ///
    /// # Errors
    ///
    /// What is wrong with them, unless it is one target's or consumer's.
    pub fn read(&self) -> Result<Settings, Complaint> {
        self.make(None)
    }

    /// What to start with: the settings that the files hold now, else the last good ones. Those that were
    /// good before are as good now, though the machine has lost what it reaches AWS with.
    ///
    /// # Errors
    ///
    /// What is wrong with the files, where there are no others.
    pub fn read_to_start(&self, state: &Path) -> Result<InForce, Complaint> {
        let read = (self.read)(None).map_err(Complaint::from);
        let trouble = match read.map(|settings| (reach(&settings), settings)) {
            Ok((Ok(()), settings)) => return Ok(InForce { settings, trouble: None }),
            Ok((Err(_), settings)) if self.kept(state).as_ref() == Some(&settings.files) => {
                return Ok(InForce { settings, trouble: None });
            }
            Ok((Err(error), _)) => error.into(),
            Err(complaint) => complaint,
        };
        self.last_good(state, trouble, None)
    }

    /// The last good settings, which are not `tried`, in the place of those that led to this trouble.
    ///
    /// # Errors
    ///
    /// The trouble, where there are none.
    pub fn last_good(
        &self,
        state: &Path,
        trouble: Complaint,
        tried: Option<&Settings>,
    ) -> Result<InForce, Complaint> {
        let kept = self.kept(state);
        let kept = kept.filter(|files| tried.is_none_or(|tried| tried.files != *files));
        let Some(Ok(settings)) = kept.map(|files| (self.read)(Some(files))) else {
            return Err(trouble);
        };
        let Complaint { message, remedy, .. } = &trouble;
        tracing::error!("{message}; the last good settings are in force; try: {remedy}");
        Ok(InForce { settings, trouble: Some(trouble) })
    }

    fn kept(&self, state: &Path) -> Option<SettingsFiles> {
        let copy = take_copy(state).unwrap_or_else(|error| {
            tracing::warn!("the last good settings are out of reach: {error}");
            None
        });
        copy.filter(|copy| copy.place == self.place).map(|copy| copy.files)
    }

    /// The same off the event loop; a disk that hangs is not waited for.
    pub(super) async fn read_soon(&self) -> Result<Settings, Complaint> {
        let reader = self.clone();
        self.soon(move || reader.read()).await
    }

    /// The settings of the same files, with those policies that could not be read before.
    pub(super) async fn complete(&self, mut files: SettingsFiles) -> Result<Settings, Complaint> {
        files.forget_unread();
        let reader = self.clone();
        self.soon(move || reader.make(Some(files))).await
    }

    async fn soon(
        &self,
        read: impl FnOnce() -> Result<Settings, Complaint> + Send + 'static,
    ) -> Result<Settings, Complaint> {
        // It does not panic.
        timeout(PATIENCE, spawn_blocking(read)).await.ok().and_then(Result::ok).unwrap_or_else(
            || {
                let message = "the settings could not be read in time: the disk does not answer";
                Err(Complaint::new(Exit::TryAgain, message, "look at that disk: dmesg | tail"))
            },
        )
    }

    fn make(&self, files: Option<SettingsFiles>) -> Result<Settings, Complaint> {
        let settings = (self.read)(files)?;
        reach(&settings)?;
        Ok(settings)
    }

    /// Keeps these settings for a start that has no better ones. Nobody waits for it.
    pub(super) fn keep(&self, state: &Path, settings: &Settings) {
        let copy = Copy { place: self.place.clone(), files: settings.files.clone() };
        let state = state.to_owned();
        spawn_blocking(move || {
            if let Err(error) = keep_copy(&state, &copy) {
                tracing::warn!("a start with unreadable settings will have no others: {error}");
            }
        });
    }
}

/// Whether AWS could be reached by these settings, as far as this machine can tell.
fn reach(settings: &Settings) -> Result<(), DaemonError> {
    let (bundle, proxy) = (settings.ca_bundle.value.as_deref(), settings.proxy.value.as_deref());
    if bundle.is_some() || proxy.is_some() {
        let url = settings.endpoint_url.value.as_deref().unwrap_or(SOME_ENDPOINT);
        http_client(url, bundle, proxy)?;
    }
    Ok(())
}

/// What the operator who reloads the settings hears: of what is disabled before what is not in force
/// yet.
pub(super) fn outcome(
    disabled: &[Disabled],
    not_in_force: Option<Complaint>,
) -> Result<String, Complaint> {
    match (in_one_line(disabled), disabled.first(), not_in_force) {
        (Some(line), Some(first), _) => {
            Err(Complaint::new(Exit::Configuration, line, first.remedy.clone()))
        }
        (_, _, Some(Complaint { message, remedy, .. })) => {
            Err(Complaint::new(Exit::Configuration, message, remedy))
        }
        _ => Ok("settings reloaded".to_owned()),
    }
}

/// What the settings ask for and this machine does not give, with the exit status that `status` has for
/// it; the first that counts there.
pub(super) fn shortfall(status: &Status) -> Option<Complaint> {
    let complaint = |exit, what: &str, remedy: &str| {
        Complaint::new(exit, format!("the settings are in force, but {what}"), remedy)
    };
    let target = |TargetStatus { name, error, remedy, .. }: &TargetStatus| {
        let (error, remedy) = (error.as_ref()?, remedy.as_deref().unwrap_or_default());
        Some(complaint(Exit::CannotCreate, &format!("target '{name}': {error}"), remedy))
    };
    let file = |Warning { subject, message, remedy }: &Warning| {
        complaint(Exit::CannotCreate, &format!("{subject}: {message}"), remedy)
    };
    let endpoint = |EndpointStatus { kind, address, error, remedy, .. }: &EndpointStatus| {
        let (error, remedy) = (error.as_ref()?, remedy.as_deref().unwrap_or_default());
        let what = format!("the {kind} endpoint does not listen at {address}: {error}");
        Some(complaint(Exit::Unavailable, &what, remedy))
    };
    let mut warnings = status.warnings.iter();
    let unwritten = status.targets.iter().find_map(target);
    unwritten
        .or_else(|| warnings.find(|it| it.is_of_token_file()).map(file))
        .or_else(|| status.endpoints.iter().find_map(endpoint))
}

fn keep_copy(state: &Path, copy: &Copy) -> Result<(), CopyError> {
    // A source of credentials that needs no vault may have no state directory either.
    if !state.exists() {
        return Ok(());
    }
    let text = Zeroizing::new(serde_json::to_vec(copy).map_err(io::Error::from)?);
    let directory = open_out_of_reach(state, None)?;
    let before = open_file(&directory, NAME.as_ref())?.map(read).transpose()?;
    if before.is_some_and(|before| *before == *text) {
        return Ok(());
    }
    Ok(replace_file_at(&directory, NAME, &text, Access::PRIVATE)?)
}

/// A copy that this user alone could have written.
fn take_copy(state: &Path) -> Result<Option<Copy>, CopyError> {
    if !state.exists() {
        return Ok(None);
    }
    let directory = open_out_of_reach(state, None)?;
    let Some(file) = open_file(&directory, NAME.as_ref())? else { return Ok(None) };
    let found = fstat(&file).map_err(io::Error::from)?;
    let is_file = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if !is_file || found.st_uid != geteuid().as_raw() || found.st_mode & 0o022 != 0 {
        return Err(CopyError::Unusable("is not this user's own"));
    }
    let copy = serde_json::from_slice(&read(file)?);
    Ok(Some(copy.map_err(|_| CopyError::Unusable("is no copy of settings"))?))
}

fn read(file: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

impl fmt::Debug for SettingsReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsReader").field("place", &self.place).finish_non_exhaustive()
    }
}
