//! What to set and what to take away, so that a program sees our renewals. A remedy is proven before
//! it is given: the chain is walked again with it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::judgement::{Installation, judge};
use super::{Content, Kind, Sdk, SharedFile, Surroundings, walk};

/// By which of our outlets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// `credential_process` in a config file of its own.
    Process {
        /// The command line that the SDK runs.
        command: String,
        /// Where that file is to be.
        file: PathBuf,
    },
    /// The container endpoint, for which a consumer has a token.
    Container { uri: String, token_file: PathBuf },
    /// The metadata endpoint.
    Metadata { uri: String },
}

/// What to change in a program's environment, and the file that it then reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// Variables that lead elsewhere, of those that are set.
    pub unset: Vec<&'static str>,
    pub set: Vec<(&'static str, String)>,
    /// A file to write, and what is to stand in it.
    pub file: Option<(PathBuf, String)>,
}

/// A remedy, and what is lost by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    pub remedy: Remedy,
    /// Files that the program read and will read no more, though they hold something: a region, say.
    pub left_behind: Vec<PathBuf>,
}

/// Stands for a file without content.
const NOTHING: &str = "/dev/null";

/// Lead past a profile, whatever it holds.
const BEFORE_PROFILE: &[&str] = &[
    "AMAZON_ACCESS_KEY_ID",
    "AMAZON_SECRET_ACCESS_KEY",
    "AMAZON_SESSION_TOKEN",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_PROFILE",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "SECRET_ACCESS_KEY",
];

const CREDENTIALS: &str = "AWS_SHARED_CREDENTIALS_FILE";
const CONFIG: &str = "AWS_CONFIG_FILE";

/// The least change by which `sdk` sees our renewals; none where nothing of this kind helps.
pub fn mend(
    sdk: Sdk,
    surroundings: &Surroundings,
    installation: &Installation,
    way: &Way,
) -> Option<Mended> {
    candidates(sdk, surroundings, way).into_iter().find_map(|remedy| {
        let after = remedy.apply(surroundings);
        judge(&walk(sdk, &after), installation)
            .is_renewed()
            .then(|| Mended { left_behind: left_behind(surroundings, &after), remedy })
    })
}

/// From the least change to the largest.
fn candidates(sdk: Sdk, surroundings: &Surroundings, way: &Way) -> Vec<Remedy> {
    let names = surroundings.environment.names();
    let unset = |also: &[&str]| {
        let leads = |name: &&str| BEFORE_PROFILE.contains(name) || also.contains(name);
        names.iter().copied().filter(leads).collect::<Vec<_>>()
    };
    let hidden = |file: &'static str| (file, NOTHING.to_owned());
    let hiding: [&[&'static str]; 3] = [&[], &[CREDENTIALS], &[CREDENTIALS, CONFIG]];
    match way {
        Way::Process { command, file } => {
            // PHP looks into the credentials file for a process, and read no other file for long.
            let (ours, other) =
                if sdk == Sdk::Php { (CREDENTIALS, CONFIG) } else { (CONFIG, CREDENTIALS) };
            let content = format!("[default]\ncredential_process = {command}\n");
            [&[][..], &[other]]
                .into_iter()
                .map(|hide| {
                    let mut set = vec![(ours, file.display().to_string())];
                    set.extend(hide.iter().copied().map(hidden));
                    let file = Some((file.clone(), content.clone()));
                    Remedy { unset: unset(&[]), set, file }
                })
                .collect()
        }
        Way::Container { uri, token_file } => hiding
            .into_iter()
            .map(|hide| {
                let mut set = vec![
                    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.clone()),
                    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token_file.display().to_string()),
                ];
                set.extend(hide.iter().copied().map(hidden));
                let unset = unset(&[
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                ]);
                Remedy { unset, set, file: None }
            })
            .collect(),
        Way::Metadata { uri } => hiding
            .into_iter()
            .map(|hide| {
                let mut set = vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", uri.clone())];
                set.extend(hide.iter().copied().map(hidden));
                let unset = unset(&[
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                    "AWS_EC2_METADATA_DISABLED",
                ]);
                Remedy { unset, set, file: None }
            })
            .collect(),
    }
}

/// What is read before and not after, and holds something.
fn left_behind(before: &Surroundings, after: &Surroundings) -> Vec<PathBuf> {
    let files = [(&before.credentials, &after.credentials), (&before.config, &after.config)];
    let left = files.into_iter().filter(|(before, after)| {
        let holds = match &before.content {
            Content::Sections(sections) => !sections.is_empty(),
            Content::Unusable(_) | Content::Unreadable(_) => true,
            Content::Absent => false,
        };
        before.path != after.path && holds
    });
    left.filter_map(|(before, _)| before.path.clone()).collect()
}

impl Remedy {
    /// What the program would see.
    pub fn apply(&self, surroundings: &Surroundings) -> Surroundings {
        let mut after = surroundings.clone();
        after.environment = after.environment.without(&self.unset);
        for (name, value) in &self.set {
            after.environment = after.environment.with(name, value);
            match *name {
                CREDENTIALS => after.credentials = self.read(value, Kind::Credentials),
                CONFIG => after.config = self.read(value, Kind::Config),
                _ => after.missing.retain(|missing| missing != Path::new(value)),
            }
        }
        after
    }

    /// A unit's drop-in. `UnsetEnvironment` also counts for what the unit's own files set.
    pub fn drop_in(&self) -> String {
        let mut text = String::from("[Service]\n");
        if !self.unset.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "UnsetEnvironment={}", self.unset.join(" "));
        }
        for (name, value) in &self.set {
            let _ = writeln!(text, "Environment={}", in_unit(&format!("{name}={value}")));
        }
        text
    }

    /// The same for a shell.
    pub fn shell(&self) -> String {
        let mut text = String::new();
        if !self.unset.is_empty() {
            let _ = writeln!(text, "unset {}", self.unset.join(" "));
        }
        for (name, value) in &self.set {
            let _ = writeln!(text, "export {name}={}", in_shell(value));
        }
        text
    }

    fn read(&self, path: &str, kind: Kind) -> SharedFile {
        match &self.file {
            Some((file, content)) if file == Path::new(path) => {
                SharedFile::of_bytes(file.clone(), kind, content.as_bytes())
            }
            _ => SharedFile::absent(Some(PathBuf::from(path))),
        }
    }
}

/// As systemd.syntax(7) has it: percent signs are doubled, blanks and quotes need quoting.
fn in_unit(assignment: &str) -> String {
    let text = assignment.replace('%', "%%");
    if text.contains([' ', '\t', '"', '\'', '\\']) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text
    }
}

fn in_shell(value: &str) -> String {
    let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-:@+,=".contains(&b));
    if plain { value.to_owned() } else { format!("'{}'", value.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let remedy = Remedy {
            unset: vec!["AWS_PROFILE"],
            set: vec![(CONFIG, "/a b/100%'\"".to_owned()), (CREDENTIALS, NOTHING.to_owned())],
            file: None,
        };
        assert_eq!(
            remedy.drop_in(),
            "[Service]\nUnsetEnvironment=AWS_PROFILE\n\
             Environment=\"AWS_CONFIG_FILE=/a b/100%%'\\\"\"\n\
             Environment=AWS_SHARED_CREDENTIALS_FILE=/dev/null\n"
        );
        assert_eq!(
            remedy.shell(),
            "unset AWS_PROFILE\nexport AWS_CONFIG_FILE='/a b/100%'\\''\"'\n\
             export AWS_SHARED_CREDENTIALS_FILE=/dev/null\n"
        );
    }
}
