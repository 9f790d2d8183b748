//! What this installation has for a program: which of its outlets, and under which name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{ConsumerSettings, DEFAULT_TARGET, Settings};
use crate::control::{self, Command, Complaint, Reply};
use crate::daemon::targets;
use crate::host::accounts;
use crate::host::clock::timeout;
use crate::programs::Program;
use crate::pure::chain::{Binding, Installation, Network, Outlet, Sdk, Way, region};
use crate::pure::shell::in_shell;
use crate::vending::{self, VendingError, Via};

use super::super::{RUNTIME_DIRECTORY, wait};
use super::confirmation::{ask, is_disabled};

/// Where the profile with our process goes for a unit: every user may read it.
const PROFILE_OF_UNITS: &str = "/etc/rolekeeper/aws-profile";

/// The same for a person's own programs, at home.
const PROFILE_AT_HOME: &str = ".aws/rolekeeper";

/// The group whose members may ask for the registered role's credentials.
const GROUP: &str = "rolekeeper";

/// A daemon answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// What there is for one program.
#[derive(Debug)]
pub(super) struct Outlets {
    pub installation: Installation,
    /// The daemon's.
    pub runtime_dir: PathBuf,
    /// The token files of consumers, by name.
    token_files: Vec<(String, PathBuf)>,
    pub way: Way,
    /// A table that the settings lack, and its name: nothing lets the program's user ask.
    pub consumer: Option<(String, String)>,
    /// What keeps the way from working.
    pub obstacles: Vec<String>,
}

impl Outlets {
    pub fn of(
        settings: &Settings,
        runtime_dir: &Path,
        program: &Program,
        sdk: Option<Sdk>,
    ) -> Result<Self, Complaint> {
        let mut installation = Installation {
            outlets: Vec::new(),
            container: settings.container_listen.value,
            metadata: settings.imds_listen.value,
            network: Network::Shared,
        };
        if installation.container.is_some() || installation.metadata.is_some() {
            installation.network = network(runtime_dir, program);
        }
        let mut owns_a_target = false;
        for target in targets(settings, runtime_dir) {
            owns_a_target |= target.access.ids().0.as_raw() == program.reader.uid;
            let seen = as_seen(&target.path, program);
            installation.outlets.extend(seen.into_iter().map(|(path, binding)| Outlet {
                name: target.name.clone(),
                path,
                profile: target.profile.to_string(),
                binding,
            }));
        }
        let consumer = settings.consumers.iter().find(|consumer| names(consumer, program));
        let mut may_ask = consumer.is_some() || owns_a_target || is_served_anyhow(program);
        let mut disabled = None;
        if !may_ask {
            let via = Via::Process { target: None };
            match ask(runtime_dir, via, program, std::env::current_exe().ok()) {
                Ok(_) => may_ask = true,
                // A rule names it, and one more behind that would not serve it.
                Err(VendingError::Refused(complaint)) if is_disabled(&complaint) => {
                    may_ask = true;
                    disabled = Some(format!("{}: {}", complaint.message, complaint.remedy));
                }
                Err(_) => {}
            }
        }
        let sdk = sdk.or(program.sdk.as_ref().map(|told| told.sdk));
        // Every release of every SDK knows our process.
        let consumer = consumer.filter(|_| {
            installation.network == Network::Shared
                && sdk.is_some_and(|sdk| !sdk.habits().learnt_endpoints_late)
        });
        // A program that reads a target's file keeps that target's role.
        let target = installation.outlets.first().map(|outlet| outlet.name.clone());
        let way = way(settings, runtime_dir, program, consumer, target.as_deref());
        let token_files = settings.consumers.iter().filter_map(|consumer| {
            Some((consumer.name.clone(), consumer.token_file.as_ref()?.path.clone()))
        });
        Ok(Self {
            installation,
            runtime_dir: runtime_dir.to_owned(),
            token_files: token_files.collect(),
            consumer: (!may_ask).then(|| consumer_table(program)),
            obstacles: obstacles(&way, runtime_dir, program).into_iter().chain(disabled).collect(),
            way,
        })
    }
}

impl Outlets {
    /// Whether the program finds each new token of a consumer in that file.
    pub fn renews_token(&self, consumer: &str, file: &Path, program: &Program) -> bool {
        let ours = self.token_files.iter().find(|(name, _)| name == consumer);
        ours.is_some_and(|(_, ours)| program.binding(file, ours) == Some(Binding::Name))
    }
}

/// Whether the program is in the daemon's network.
fn network(runtime_dir: &Path, program: &Program) -> Network {
    match (vending::network_namespace(runtime_dir), &program.network) {
        (Ok(Some(ours)), Some(theirs)) if ours == *theirs => Network::Shared,
        (Ok(Some(_)), Some(_)) => Network::Another,
        (Ok(_) | Err(VendingError::Refused(_)), _) => Network::Unseen,
        // Without a daemon nothing is renewed, and that is what is said.
        (Err(_), _) => Network::Shared,
    }
}

/// Where the program would come to a file of ours, and by what: a container sees it elsewhere, or sees
/// another file there.
fn as_seen(ours: &Path, program: &Program) -> Vec<(PathBuf, Binding)> {
    let both = Sdk::ALL.map(|sdk| program.paths(sdk));
    let both = both.into_iter().flat_map(|paths| [paths.credentials, paths.config]);
    let mut paths = both.flatten().collect::<Vec<_>>();
    paths.sort();
    paths.dedup();
    let seen = paths.into_iter().filter_map(|path| {
        let binding = program.binding(&path, ours)?;
        Some((path, binding))
    });
    seen.collect()
}

/// Whether a consumer is for this program. What the account database does not know names nobody.
fn names(consumer: &ConsumerSettings, program: &Program) -> bool {
    let reader = &program.reader;
    let is_user = |name: &String| accounts::user(name).is_ok_and(|uid| uid.as_raw() == reader.uid);
    let is_group = |name: &String| {
        accounts::group(name).is_ok_and(|gid| reader.groups.contains(&gid.as_raw()))
    };
    let unit = program.unit.as_ref();
    let executable = program.executable.as_ref();
    let in_unit =
        consumer.units.is_empty() || unit.is_some_and(|unit| consumer.units.contains(unit));
    let is_program = consumer.executables.is_empty()
        || executable.is_some_and(|path| consumer.executables.iter().any(leads_to(path)));
    let named = consumer.users.iter().any(is_user) || consumer.groups.iter().any(is_group);
    named && in_unit && is_program
}

/// Whether a path is that of the program, or a symbolic link to it.
fn leads_to(program: &Path) -> impl Fn(&PathBuf) -> bool {
    move |named| named == program || named.canonicalize().is_ok_and(|it| it == program)
}

/// Root, and members of the service's group.
fn is_served_anyhow(program: &Program) -> bool {
    let group = accounts::group(GROUP).map(nix::unistd::Gid::as_raw);
    program.reader.uid == 0 || group.is_ok_and(|group| program.reader.groups.contains(&group))
}

/// The container endpoint where `consumer` has a token for it, else our process.
fn way(
    settings: &Settings,
    runtime_dir: &Path,
    program: &Program,
    consumer: Option<&ConsumerSettings>,
    target: Option<&str>,
) -> Way {
    let token = consumer.and_then(|consumer| Some((&consumer.name, consumer.token_file.as_ref()?)));
    if let (Some(listen), Some((name, file))) = (settings.container_listen.value, token) {
        let uri = format!("http://{listen}/credentials/{name}");
        return Way::Container { uri, token_file: file.path.clone() };
    }
    let mut command = in_shell(&our_program().to_string_lossy());
    if runtime_dir != Path::new(RUNTIME_DIRECTORY) {
        command += &format!(" --runtime-dir {}", in_shell(&runtime_dir.to_string_lossy()));
    }
    command += " credential-process";
    if let Some(target) = target.filter(|name| *name != DEFAULT_TARGET) {
        // A target's name has no character that a shell takes for more.
        command += &format!(" --target {target}");
    }
    let home = program.environment.text("HOME").map(PathBuf::from);
    let home = home.or_else(|| accounts::home_of(program.reader.uid));
    let file = match home {
        Some(home) if program.service().is_none() => home.join(PROFILE_AT_HOME),
        _ => PathBuf::from(PROFILE_OF_UNITS),
    };
    Way::Process { command, file, region: region_for(settings, runtime_dir, program) }
}

/// Ours, for a program that has none of its own: the file may be other programs', too.
fn region_for(settings: &Settings, runtime_dir: &Path, program: &Program) -> Option<String> {
    let has_own = |sdk| region(sdk, &program.surroundings(sdk), &Installation::default()).is_some();
    if Sdk::ALL.into_iter().any(has_own) {
        return None;
    }
    let ours = settings.region.value.as_ref().map(ToString::to_string);
    ours.or_else(|| region_of_daemon(runtime_dir))
}

/// As its status has it, which is not for everybody.
fn region_of_daemon(runtime_dir: &Path) -> Option<String> {
    let asked = async { Ok(timeout(PATIENCE, control::ask(runtime_dir, &Command::Status)).await) };
    match wait(asked) {
        Ok(Ok(Ok(Reply::Status(status)))) => status.region,
        _ => None,
    }
}

fn our_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "/usr/bin/rolekeeper".into())
}

/// The settings by which the program's user may ask, behind their name.
fn consumer_table(program: &Program) -> (String, String) {
    let user = program.user_name();
    let stem = program.service().and_then(|unit| unit.strip_suffix(".service"));
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name = stem.unwrap_or(&user).chars().map(plain).take(64).collect::<String>();
    let table = format!("[[consumer]]\nname = \"{name}\"\nusers = [\"{user}\"]\n");
    (name, table)
}

fn obstacles(way: &Way, runtime_dir: &Path, program: &Program) -> Vec<String> {
    if !program.apart {
        return Vec::new();
    }
    let Way::Process { .. } = way else { return Vec::new() };
    let rolekeeper = our_program();
    let [_, socket] = vending::socket_paths(runtime_dir);
    let hidden = [rolekeeper.as_path(), &socket].into_iter().filter(|path| !program.sees(path));
    let line = |path: &Path| {
        let path = path.display();
        format!(
            "from where the program is, it does not see {path}: mount its directory there, read-only"
        )
    };
    hidden.map(line).collect()
}
