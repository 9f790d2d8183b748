//! Observes a running program: its environment, which AWS SDK it has, and the files that the SDK
//! would read, as that program sees them.

mod error;
mod recognition;
mod root;

pub use error::ProgramError;
pub use recognition::Recognised;
pub use root::{Reader, Root};

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};
use zeroize::Zeroizing;

use self::recognition::{Loaded, recognise};
use crate::host::process_files::{ProcessFiles, own_network};
use crate::host::{accounts, environment};
use crate::pure::access::peer::{executable, process_status, unit as unit_of_cgroup};
use crate::pure::chain::{
    Binding, Content, Environment, Kind, Paths, Sdk, SharedFile, Surroundings,
};
use crate::pure::metadata::container::BearerToken;
use crate::pure::unit_settings::UnitSettings;

/// An environment is not longer: the kernel allows 6 MiB of arguments and environment together.
const LONGEST_ENVIRONMENT: u64 = 8 << 20;

/// More than the lines of any usual program's mappings.
const LONGEST_MAPS: u64 = 16 << 20;

/// Some ten thousand mounts.
const LONGEST_MOUNTS: u64 = 4 << 20;

/// A token of ours has 64 characters.
const LONGEST_TOKEN: u64 = 16 << 10;

/// More than the kernel writes into a process's status or groups.
const LONGEST_STATUS: u64 = 64 << 10;

/// A credentials file is not longer, and botocore would read a longer one into memory whole.
const LONGEST_SHARED_FILE: u64 = 1 << 20;

/// So many of a program's open files are looked at.
const MOST_OPEN_FILES: usize = 4096;

/// A program.
#[derive(Debug)]
pub struct Program {
    /// None of one that does not run, and of an environment without a program.
    pub pid: Option<i32>,
    /// Its own path for it.
    pub executable: Option<PathBuf>,
    pub unit: Option<String>,
    pub reader: Reader,
    pub environment: Environment,
    pub sdk: Option<Recognised>,
    /// Whether it has a mount namespace or a root directory of its own.
    pub apart: bool,
    /// Its network namespace, as `/proc/PID/ns/net` names it; none where that cannot be read.
    pub network: Option<String>,
    root: Root,
    search_path: Vec<PathBuf>,
    /// What is mounted where it looks.
    mounts: String,
}

/// Looks at a process.
///
/// # Errors
///
/// When there is none of that number, or it is another user's and this one is not root.
pub fn running(pid: i32) -> Result<Program, ProgramError> {
    let gone = |error: io::Error| ProgramError::of(pid, error);
    let process = ProcessFiles::open(pid).map_err(gone)?;
    let status = process.text("status", LONGEST_STATUS).and_then(|text| process_status(&text));
    let status = status.ok_or(ProgramError::Gone { pid })?;
    let block = Zeroizing::new(process.read("environ", LONGEST_ENVIRONMENT).map_err(gone)?);
    let root = Root::of(&process).map_err(gone)?;
    let link = process.link("exe").ok();
    let executable = link.and_then(|link| executable(link.to_str()?));
    let loaded = Loaded {
        executable: executable.clone(),
        arguments: arguments(&process),
        mapped: mapped(&process),
        open: process.open_files(MOST_OPEN_FILES),
        image: process.file("exe").ok(),
        ..Loaded::finding_by(&block)
    };
    let search_path = loaded.search_path();
    let ours = ProcessFiles::open(own_pid()).ok();
    let same = |name: &str| {
        let theirs = process.link(name).ok();
        theirs.is_some() && theirs == ours.as_ref().and_then(|ours| ours.link(name).ok())
    };
    let apart = !same("ns/mnt") || !same("root");
    Ok(Program {
        pid: Some(pid),
        unit: process.text("cgroup", LONGEST_STATUS).and_then(|text| unit_of_cgroup(&text)),
        reader: Reader { uid: status.uid, groups: groups(&process, status.groups) },
        environment: Environment::of_block(&block),
        sdk: recognise(loaded, &root),
        executable,
        apart,
        network: process.network(),
        root,
        search_path,
        mounts: process.text("mountinfo", LONGEST_MOUNTS).unwrap_or_default(),
    })
}

/// What this process would hand to the next: the environment of the shell that runs it.
///
/// # Errors
///
/// When the root directory cannot be opened.
pub fn this_shell() -> Result<Program, ProgramError> {
    let uid = accounts::own_uid().as_raw();
    let block = Zeroizing::new(environment::block());
    Ok(Program {
        pid: None,
        executable: None,
        unit: None,
        reader: Reader { uid, groups: accounts::own_groups() },
        environment: Environment::of_block(&block),
        sdk: None,
        apart: false,
        network: own_network(),
        root: Root::ours().map_err(ProgramError::NoRoot)?,
        search_path: Loaded::finding_by(&block).search_path(),
        mounts: our_mounts(),
    })
}

/// A unit that does not run, by what systemd says of it.
///
/// # Errors
///
/// As [`this_shell`].
pub fn at_rest(settings: &UnitSettings) -> Result<Program, ProgramError> {
    let root = Root::ours().map_err(ProgramError::NoRoot)?;
    // A user that is made when the unit starts owns nothing yet.
    let named = |user: &str| accounts::user(user).map_or(u32::MAX, Uid::as_raw);
    let uid = settings.user.as_deref().map_or(0, named);
    let files = settings.environment_files.iter().map(|path| {
        let bytes = root.read(Path::new(path), LONGEST_SHARED_FILE).unwrap_or_default();
        // One that is no text is refused whole.
        String::from_utf8(bytes).unwrap_or_default()
    });
    let login = settings.login().map(accounts::login);
    let block = Zeroizing::new(settings.block(login.as_ref(), files));
    let executable = settings.executable.as_ref().map(PathBuf::from);
    let loaded = Loaded {
        arguments: settings.command.clone(),
        image: executable.as_ref().and_then(|path| root.open(path).ok()),
        executable: executable.clone(),
        ..Loaded::finding_by(&block)
    };
    let search_path = loaded.search_path();
    Ok(Program {
        pid: None,
        unit: settings.id.clone(),
        reader: Reader { uid, groups: groups_at_rest(settings, uid) },
        environment: Environment::of_block(&block),
        sdk: recognise(loaded, &root),
        executable,
        apart: false,
        network: network_at_rest(settings, &root),
        root,
        search_path,
        mounts: our_mounts(),
    })
}

impl Program {
    /// What an SDK in this program looks at.
    pub fn surroundings(&self, sdk: Sdk) -> Surroundings {
        let paths = self.paths(sdk);
        let credentials = self.shared_file(paths.credentials, Kind::Credentials, sdk);
        let config = self.shared_file(paths.config, Kind::Config, sdk);
        let sections = [&credentials, &config].into_iter().flat_map(|file| match &file.content {
            Content::Sections(sections) => &sections[..],
            _ => &[],
        });
        let sections = sections.collect::<Vec<_>>();
        let named = ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"];
        let named = named.iter().filter_map(|name| self.environment.text(name));
        let tokens = sections.iter().filter_map(|s| s.web_identity_token_file.as_deref());
        let tokens = named.chain(tokens).map(PathBuf::from);
        let processes = sections.iter().filter_map(|section| section.process.as_ref());
        let processes = processes.map(|process| process.program.clone());
        Surroundings {
            missing: tokens.filter(|path| !self.root.may_read(path, &self.reader)).collect(),
            not_run: processes.filter(|program| self.finds(program).is_none()).collect(),
            credentials,
            config,
            environment: self.environment.clone(),
        }
    }

    /// Where an SDK in this program looks for the shared files.
    pub fn paths(&self, sdk: Sdk) -> Paths {
        let home = accounts::home_of(self.reader.uid).filter(|_| !self.apart);
        Paths::of(&self.environment, &sdk.habits(), home.as_deref())
    }

    /// The unit that a drop-in could be for: a service of the system's.
    pub fn service(&self) -> Option<&str> {
        let unit = self.unit.as_deref().filter(|unit| unit.ends_with(".service"));
        unit.filter(|unit| !unit.starts_with("user@"))
    }

    /// The name of its user, or the number.
    pub fn user_name(&self) -> String {
        accounts::user_name(Uid::from_raw(self.reader.uid))
    }

    /// By what the program has our file `ours` at `path`; none where that is another file.
    pub fn binding(&self, path: &Path, ours: &Path) -> Option<Binding> {
        // Where there is no file yet, and in a directory that is closed to us, the name counts.
        let same_name = || (!self.apart && path == ours).then_some(Binding::Name);
        same_name().or_else(|| self.root.binding(path, ours, &self.mounts))
    }

    /// The container endpoint's token that the program would show, and the file that it is in.
    pub fn container_token(&self, sdk: Sdk) -> Option<(BearerToken, Option<PathBuf>)> {
        let itself = self.environment.container_token().map(|token| (*token, None));
        let file = self.environment.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        // Java looks for the token itself first.
        let file = file.filter(|_| sdk != Sdk::Java || itself.is_none());
        let Some(file) = file else { return itself };
        let file = PathBuf::from(file);
        let bytes = Zeroizing::new(self.root.read(&file, LONGEST_TOKEN).ok()?);
        let sent = if sdk == Sdk::Ruby { bytes.trim_ascii() } else { &bytes[..] };
        Some((BearerToken::of_text(sent), Some(file)))
    }

    /// The file that the program would run by that name, as it may.
    pub fn finds(&self, name: &str) -> Option<PathBuf> {
        let found = |path: &PathBuf| self.root.may_run(path, &self.reader);
        if name.contains('/') {
            return Some(self.root.absolute(Path::new(name))).filter(found);
        }
        self.search_path.iter().map(|directory| directory.join(name)).find(found)
    }

    /// Whether what the program sees at `path` is what we see at `ours`; none where that is not to be
    /// seen from here.
    pub fn sees_same(&self, path: &Path, ours: &Path) -> Option<bool> {
        self.root.is_same(path, ours)
    }

    /// The path that a relative one stands for in the program.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.root.absolute(path)
    }

    /// Whether the program sees anything there.
    pub fn sees(&self, path: &Path) -> bool {
        self.root.identity(path).is_some()
    }

    fn shared_file(&self, path: Option<PathBuf>, kind: Kind, sdk: Sdk) -> SharedFile {
        let Some(path) = path else { return SharedFile::absent(None) };
        if path.as_os_str().is_empty() {
            return SharedFile::absent(Some(path));
        }
        if sdk == Sdk::Go && self.root.is_directory(&path) {
            return SharedFile { path: Some(path), content: Content::Directory };
        }
        let unreadable = |path, why| SharedFile { path, content: Content::Unreadable(why) };
        match self.root.read(&path, LONGEST_SHARED_FILE).map(Zeroizing::new) {
            Ok(_) if !self.root.may_read(&path, &self.reader) => {
                let user = self.user_name();
                unreadable(Some(path), format!("user {user} may not read it"))
            }
            Ok(bytes) => {
                let home = self.environment.text("HOME");
                SharedFile::read_by(sdk, path, kind, &bytes, home)
            }
            // A device without content, as /dev/null, is a file without content.
            Err(error) if is_nothing(&error) || path == Path::new("/dev/null") => {
                SharedFile::absent(Some(path))
            }
            Err(error) => unreadable(Some(path), error.to_string()),
        }
    }
}

/// The groups that a unit's program gets: those of its user, unless the unit names the first one, and
/// those that the unit adds (systemd.exec(5), `Group=` and `SupplementaryGroups=`).
fn groups_at_rest(settings: &UnitSettings, uid: u32) -> Vec<u32> {
    let number = |name: &String| accounts::group(name).ok().map(Gid::as_raw);
    let own = settings.group.as_ref().and_then(number);
    let mut groups = match own {
        Some(gid) => accounts::groups_of(uid, Some(gid), &[]).unwrap_or_default(),
        None => accounts::all_groups_of(uid),
    };
    groups.extend(own.into_iter().chain(settings.supplementary_groups.iter().filter_map(number)));
    groups
}

/// The network namespace that a unit's program will be in, named as that of a process is. One that is made
/// when it starts is nobody else's.
fn network_at_rest(settings: &UnitSettings, root: &Root) -> Option<String> {
    match &settings.network_namespace {
        // The file of a namespace has its number for an inode (namespaces(7)).
        Some(path) => root.identity(Path::new(path)).map(|(_, inode)| format!("net:[{inode}]")),
        None if settings.private_network => Some("net:[]".to_owned()),
        None => own_network(),
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn our_mounts() -> String {
    let ours = ProcessFiles::open(own_pid()).ok();
    ours.and_then(|ours| ours.text("mountinfo", LONGEST_MOUNTS)).unwrap_or_default()
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

fn arguments(process: &ProcessFiles) -> Vec<String> {
    let bytes = process.read("cmdline", LONGEST_ENVIRONMENT).unwrap_or_default();
    let words = bytes.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    words.map(std::borrow::Cow::into_owned).filter(|word| !word.is_empty()).collect()
}

/// The files that are mapped, each once. What stands behind the inode is the path.
fn mapped(process: &ProcessFiles) -> Vec<PathBuf> {
    let bytes = process.read("maps", LONGEST_MAPS).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let paths = text.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    let mut paths = paths.map(PathBuf::from).collect::<Vec<_>>();
    paths.sort();
    paths.dedup();
    paths
}

/// All groups: `Gid:` has the effective one, `Groups:` the others.
fn groups(process: &ProcessFiles, mut others: Vec<u32>) -> Vec<u32> {
    let status = process.text("status", LONGEST_STATUS).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Gid:"));
    let effective = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u32>().ok());
    others.extend(effective);
    others
}
