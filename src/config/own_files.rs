//! Files that neither credentials nor tokens are written to: those that the daemon keeps, and those that
//! the settings name to be read.

use std::path::{Path, PathBuf};

use super::Settings;
use super::tables::Clash;

/// What the daemon keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnFiles {
    /// All that is in these is the daemon's.
    pub directories: Vec<PathBuf>,
    pub files: Vec<PathBuf>,
}

impl Settings {
    /// Disables the targets and the consumers whose files are in the place of one of these, or of one
    /// that is read: settings, policies, certificates, tokens. It looks at directories, which may be
    /// links.
    #[must_use]
    pub fn keep_off(mut self, own: &OwnFiles) -> Self {
        let read = self.files_read();
        let what = |path: &Path| {
            let is_own = own.directories.iter().any(|directory| is_within(path, directory))
                || own.files.iter().any(|file| is_same(path, file));
            let found = || read.iter().find(|(_, file)| is_same(path, file)).map(|(what, _)| *what);
            is_own.then_some("a file that the daemon keeps").or_else(found)
        };
        self.targets.settle(|target, _| {
            let what = what(&target.path)?;
            let message = format!("its path is that of {what}");
            Some(Clash { keys: &["path"], message, remedy: OTHER_PATH })
        });
        self.consumers.settle(|consumer, _| {
            let what = what(&consumer.token_file.as_ref()?.path)?;
            let message = format!("its token_file is {what}");
            Some(Clash { keys: &["token_file"], message, remedy: OTHER_PATH })
        });
        self
    }

    fn files_read(&self) -> Vec<(&'static str, PathBuf)> {
        let files = self.files.paths().map(|path| ("a settings file", path));
        let policies = self.files.policy_paths().map(|path| ("a session policy's file", path));
        let certificates = self.ca_bundle.value.as_deref().map(|path| ("the ca_bundle", path));
        let token = self.identity.container_token_file.value.as_deref();
        let token = token.map(|path| ("the container_token_file", path));
        let all = files.chain(policies).chain(certificates).chain(token);
        all.map(|(what, path)| (what, path.to_owned())).collect()
    }
}

const OTHER_PATH: &str = "give it another path, then rolekeeper reload";

/// Whether both are one name in one directory. A link in its place is the writer's to refuse.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || (one.file_name() == other.file_name()
            && one.parent().map(real) == other.parent().map(real))
}

fn is_within(path: &Path, directory: &Path) -> bool {
    path.starts_with(directory)
        || path.parent().is_some_and(|parent| real(parent).starts_with(real(directory)))
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_path_is_one_of_another_use() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("state/vault")).unwrap();
        fs::create_dir(at("run")).unwrap();
        symlink(at("run"), at("link")).unwrap();
        symlink(at("state/vault"), at("vault")).unwrap();
        symlink(at("state/vault"), at("other-name")).unwrap();
        let policy = r#"{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#;
        fs::write(at("policy.json"), policy).unwrap();
        let own = OwnFiles {
            directories: vec![at("state/vault")],
            files: vec![at("run/control.sock"), at("run/role-token")],
        };
        let role = "arn:aws:iam::111122223333:role/r";
        for (path, expected) in [
            ("state/vault/RegistrationKey", Some("a file that the daemon keeps")),
            ("state/vault/any", Some("a file that the daemon keeps")),
            ("vault/RegistrationKey", Some("a file that the daemon keeps")),
            ("other-name/new", Some("a file that the daemon keeps")),
            ("run/control.sock", Some("a file that the daemon keeps")),
            ("link/role-token", Some("a file that the daemon keeps")),
            ("x.toml", Some("a settings file")),
            ("policy.json", Some("a session policy's file")),
            ("ca.pem", Some("the ca_bundle")),
            ("identity.token", Some("the container_token_file")),
            ("run/credentials", None),
            ("run/x.token", None),
            ("control.sock", None),
        ] {
            let shown = |name: &str| at(name).display().to_string();
            let text = format!(
                "[service]\nca_bundle = \"{}\"\n[identity]\ncontainer_token_file = \"{}\"\n\
                 [[target]]\nname = \"p\"\npath = \"{}\"\nrole_arn = \"{role}\"\n\
                 session_policy = \"policy.json\"\n",
                shown("ca.pem"),
                shown("identity.token"),
                shown("run/p"),
            );
            for (more, subject) in [
                (format!("[[target]]\nname = \"t\"\npath = \"{}\"\n", shown(path)), "target 't'"),
                (
                    format!(
                        "[[consumer]]\nname = \"c\"\nusers = [\"0\"]\ntoken_file = \"{}\"\n",
                        shown(path)
                    ),
                    "consumer 'c'",
                ),
            ] {
                fs::write(at("x.toml"), format!("{text}{more}")).unwrap();
                let settings = Settings::load(Some(&at("x.toml"))).unwrap();
                assert_eq!(settings.disabled().count(), 0);
                let settings = settings.keep_off(&own);
                let disabled = settings.disabled().collect::<Vec<_>>();
                match (expected, &disabled[..]) {
                    (None, []) => {}
                    (Some(expected), [one]) => {
                        assert!(one.error.ends_with(expected), "{path}: {one}");
                        assert_eq!(one.subject(), subject);
                    }
                    _ => panic!("{path}: {disabled:?}"),
                }
            }
        }
    }

    #[test]
    fn two_paths_to_one_file_are_one() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        fs::create_dir(at("run")).unwrap();
        symlink(at("run"), at("link")).unwrap();
        let target = |name: &str, path: &str, more: &str| {
            format!("[[target]]\nname = \"{name}\"\npath = \"{}\"\n{more}", at(path))
        };
        let consumer = |name: &str, path: &str| {
            let file = at(path);
            format!("[[consumer]]\nname = \"{name}\"\nusers = [\"0\"]\ntoken_file = \"{file}\"\n")
        };
        let first = target("a", "run/x", "") + &consumer("b", "run/t");
        for (other, is_clash) in [
            (target("c", "link/x", ""), true),
            (target("c", "link/x", "profile = \"p\"\nmode = \"0600\"\n"), true),
            (target("c", "link/x", "profile = \"p\"\n"), false),
            (target("c", "link/y", ""), false),
            (consumer("c", "link/x"), true),
            (consumer("c", "link/t"), true),
            (consumer("c", "link/u"), false),
        ] {
            fs::write(at("x.toml"), first.clone() + &other).unwrap();
            let settings = Settings::load(Some(Path::new(&at("x.toml")))).unwrap();
            assert_eq!(settings.disabled().count(), usize::from(is_clash), "{other}");
        }
    }
}
