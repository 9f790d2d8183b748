//! What to set and what to take away, so that a program sees our renewals. A remedy is proven before
//! it is given: the chain is walked again with it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::judgement::{Installation, judge};
use super::{Content, Found, Kind, Sdk, SharedFile, Surroundings, walk};
use crate::pure::shell::in_shell;

/// By which of our outlets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// `credential_process` in a file of its own.
    Process {
        /// The command line that the SDK runs.
        command: String,
        /// Where that file is to be.
        file: PathBuf,
        /// Which it sets, too.
        region: Option<String>,
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
const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// The change that leaves most of a program's files to it, and by which it sees our renewals; none where
/// nothing of this kind helps. Where its SDK is not known, all that it may be are to be there, each with
/// what it would look at.
pub fn mend(
    either: &[(Sdk, Surroundings)],
    installation: &Installation,
    way: &Way,
) -> Option<Mended> {
    let (_, first) = either.first()?;
    let names = first.environment.names();
    let all = past_proxy(either).into_iter().chain(candidates(&names, way));
    let proven = all.filter_map(|remedy| {
        let mut left = Vec::new();
        for (sdk, before) in either {
            let after = remedy.apply(*sdk, before);
            if !judge(&walk(*sdk, &after), installation).is_renewed() {
                return None;
            }
            left.extend(left_behind(before, &after));
        }
        left.sort();
        left.dedup();
        Some(Mended { remedy, left_behind: left })
    });
    // Of several the first.
    proven.min_by_key(|mended| mended.left_behind.len())
}

/// For an SDK that asks a proxy for its metadata endpoint: that host is taken out.
fn past_proxy(either: &[(Sdk, Surroundings)]) -> Option<Remedy> {
    either.iter().find_map(|(sdk, surroundings)| {
        let walk = walk(*sdk, surroundings);
        let Some(Found::Metadata { address, proxied: true, .. }) = walk.used() else { return None };
        let (name, except) = surroundings.environment.no_proxy();
        let before = except.map(|except| format!("{except},")).unwrap_or_default();
        let set = vec![(name, format!("{before}{}", address.host))];
        Some(Remedy { unset: Vec::new(), set, file: None })
    })
}

/// From the least change to the largest.
fn candidates(names: &[&'static str], way: &Way) -> Vec<Remedy> {
    let nothing = || NOTHING.to_owned();
    match way {
        Way::Process { command, file, region } => {
            let region = region.iter().map(|region| format!("region = {region}\n"));
            let region = region.collect::<String>();
            let content = format!("[default]\ncredential_process = {command}\n{region}");
            let ours = || file.display().to_string();
            let file = Some((file.clone(), content));
            // All but C++'s look for a process in the credentials file, too, and PHP's for long only
            // there.
            let sets = [
                vec![(CONFIG, ours())],
                vec![(CREDENTIALS, ours())],
                vec![(CONFIG, ours()), (CREDENTIALS, nothing())],
                vec![(CONFIG, ours()), (CREDENTIALS, ours())],
            ];
            let unset = unset(names, &[]);
            let remedy = |set| Remedy { unset: unset.clone(), set, file: file.clone() };
            sets.into_iter().map(remedy).collect()
        }
        Way::Container { uri, token_file } => {
            let set = vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.clone()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token_file.display().to_string()),
            ];
            let before = ["AWS_CONTAINER_AUTHORIZATION_TOKEN", RELATIVE_URI];
            hiding_files(set, &unset(names, &before))
        }
        Way::Metadata { uri } => {
            let set = vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", uri.clone())];
            let before = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", RELATIVE_URI, DISABLED];
            hiding_files(set, &unset(names, &before))
        }
    }
}

/// An endpoint, with the files as they are, and without the one or both.
fn hiding_files(set: Vec<(&'static str, String)>, unset: &[&'static str]) -> Vec<Remedy> {
    let hidden: [&[&'static str]; 3] = [&[], &[CREDENTIALS], &[CREDENTIALS, CONFIG]];
    let remedy = |hidden: &[&'static str]| {
        let hidden = hidden.iter().map(|name| (*name, NOTHING.to_owned()));
        let set = set.iter().cloned().chain(hidden).collect();
        Remedy { unset: unset.to_vec(), set, file: None }
    };
    hidden.into_iter().map(remedy).collect()
}

/// Those of `names` that lead elsewhere.
fn unset(names: &[&'static str], also: &[&str]) -> Vec<&'static str> {
    let leads = |name: &&&'static str| BEFORE_PROFILE.contains(name) || also.contains(name);
    names.iter().filter(leads).copied().collect()
}

/// What is read before and not after, and holds something.
fn left_behind(before: &Surroundings, after: &Surroundings) -> Vec<PathBuf> {
    let files = [(&before.credentials, &after.credentials), (&before.config, &after.config)];
    let left = files.into_iter().filter(|(before, after)| {
        let holds = match &before.content {
            Content::Sections(sections) => !sections.is_empty(),
            Content::Unusable(_) | Content::Refused(_) | Content::Unreadable(_) => true,
            Content::Absent | Content::Directory => false,
        };
        before.path != after.path && holds
    });
    left.filter_map(|(before, _)| before.path.clone()).collect()
}

impl Remedy {
    /// What the program would see.
    pub fn apply(&self, sdk: Sdk, surroundings: &Surroundings) -> Surroundings {
        let mut after = surroundings.clone();
        after.environment = after.environment.without(&self.unset);
        for (name, value) in &self.set {
            after.environment = after.environment.with(name, value);
            match *name {
                CREDENTIALS => after.credentials = self.read(sdk, value, Kind::Credentials),
                CONFIG => after.config = self.read(sdk, value, Kind::Config),
                _ => after.missing.retain(|missing| missing != Path::new(value)),
            }
        }
        after
    }

    /// A unit's drop-in, with which it is started behind the daemon. `UnsetEnvironment` also counts for
    /// what the unit's own files set.
    pub fn drop_in(&self) -> String {
        let mut text = String::from(
            "[Unit]\nWants=rolekeeper.service\nAfter=rolekeeper.service\n\n[Service]\n",
        );
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

    fn read(&self, sdk: Sdk, path: &str, kind: Kind) -> SharedFile {
        match &self.file {
            Some((file, content)) if file == Path::new(path) => {
                SharedFile::read_by(sdk, file.clone(), kind, content.as_bytes(), None)
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
            "[Unit]\nWants=rolekeeper.service\nAfter=rolekeeper.service\n\n\
             [Service]\nUnsetEnvironment=AWS_PROFILE\n\
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
