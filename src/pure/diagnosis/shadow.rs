//! Do files in a user's home come before what the daemon hands out?

use super::Finding;
use crate::pure::chain::{
    Environment, Found, Installation, Judgement, Kind, Sdk, SharedFile, Surroundings, Walk, judge,
    shown, walk,
};

/// A user's two files, as its programs find them without a variable that says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The user.
    pub name: String,
    pub path: String,
    pub credentials: SharedFile,
    pub config: SharedFile,
}

/// A credentials file of ours that the user may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    pub path: String,
    pub profile: String,
}

/// Stands for what the daemon writes. Which keys these are makes no difference to the order.
const KEYS: &str = "aws_access_key_id = ASIA0000000000000000\naws_secret_access_key = -\n\
                    aws_session_token = -\n";

/// Judges what programs of the user take that are told nothing else.
pub fn by_default(home: &Home, installation: &Installation) -> Finding {
    let environment = Environment::of_pairs([("HOME", home.path.as_str())]);
    let walks = walks(&surroundings(home, environment, home.credentials.clone()));
    let name = &home.name;
    if let Some(why) = walks.iter().find_map(Walk::end) {
        let sdks = sdks(walks.iter().filter(|walk| walk.end().is_some()));
        let text = format!("programs of {name} get no credentials: {why}");
        return Finding::wrong(text, "mend that file").seen(format!("so it is for {sdks}"));
    }
    let others = |walk: &&Walk| {
        walk.used().is_some_and(|found| found.is_meant()) && !is_ours(walk, installation)
    };
    let Some(first) = walks.iter().find(others) else {
        return Finding::ok(format!("nothing in {} comes before the daemon", home.path));
    };
    let found = first.used().map(Found::describe).unwrap_or_default();
    let hidden = walks.iter().find_map(|walk| {
        let mut shadowed = walk.shadowed().filter(|_| !is_ours(walk, installation));
        shadowed.find(|found| is_our_process(found)).map(Found::describe)
    });
    let finding = match hidden {
        Some(ours) => Finding::wrong(
            format!("{found} hides {ours} from programs of {name}"),
            format!("take those keys out of the file of {name}"),
        ),
        None => Finding::warning(
            format!("programs of {name} that are told nothing else take {found}"),
            format!(
                "take it out, or name ours in their environment; rolekeeper advise --unit UNIT \
                 tells what a program of {name} does"
            ),
        ),
    };
    finding.seen(format!("so it is for {}", sdks(walks.iter().filter(others))))
}

/// Judges what programs take that are led to one of our files.
pub fn at_outlet(home: &Home, outlet: &Outlet) -> Finding {
    let Outlet { path, profile } = outlet;
    let mut pairs = vec![("HOME", home.path.as_str()), ("AWS_SHARED_CREDENTIALS_FILE", path)];
    if profile != "default" {
        pairs.push(("AWS_PROFILE", profile));
    }
    let text = format!("[{profile}]\n{KEYS}");
    let ours = SharedFile::of_bytes(path.into(), Kind::Credentials, text.as_bytes());
    let walks = walks(&surroundings(home, Environment::of_pairs(pairs), ours));
    let is_taken = |walk: &&Walk| matches!(walk.used(), Some(Found::FileKeys { path: found, .. }) if found.as_os_str() == path.as_str());
    let Some(first) = walks.iter().find(|walk| !is_taken(walk)) else {
        return Finding::ok(format!("nothing in {} comes before {path} [{profile}]", home.path));
    };
    let instead = match (first.used(), first.end()) {
        (Some(found), _) => format!("{} comes before {path} [{profile}]", found.describe()),
        (None, why) => format!("{path} [{profile}] is not taken: {}", why.unwrap_or("not found")),
    };
    let config = home.config.path.as_ref().map(|path| path.display().to_string());
    let config = shown(&config.unwrap_or_default());
    Finding::wrong(
        instead,
        format!("give the profile another name in {config}, or set AWS_CONFIG_FILE=/dev/null"),
    )
    .seen(format!("so it is for {}", sdks(walks.iter().filter(|walk| !is_taken(walk)))))
}

fn walks(surroundings: &Surroundings) -> Vec<Walk> {
    Sdk::ALL.into_iter().map(|sdk| walk(sdk, surroundings)).collect()
}

fn surroundings(home: &Home, environment: Environment, credentials: SharedFile) -> Surroundings {
    Surroundings {
        environment,
        credentials,
        config: home.config.clone(),
        missing: Vec::new(),
        not_run: Vec::new(),
    }
}

/// Whether it takes what we hand out, seen renewals or not.
fn is_ours(walk: &Walk, installation: &Installation) -> bool {
    let in_file = match walk.used() {
        Some(Found::FileKeys { path, profile, .. }) => {
            let mut outlets = installation.outlets.iter();
            outlets.any(|outlet| outlet.path == *path && outlet.profile == *profile)
        }
        _ => false,
    };
    in_file || matches!(judge(walk, installation), Judgement::Renewed(_))
}

fn is_our_process(found: &Found) -> bool {
    matches!(found, Found::Process(process) if process.is_ours())
}

fn sdks<'a>(walks: impl Iterator<Item = &'a Walk>) -> String {
    walks.map(|walk| walk.sdk.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::chain;
    use crate::pure::diagnosis::Verdict;

    const OWN: &str = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n\
                       aws_secret_access_key = hunter2\n";

    fn home(credentials: &str, config: &str) -> Home {
        let file = |path: &str, kind, text: &str| match text {
            "" => SharedFile::absent(Some(path.into())),
            text => SharedFile::of_bytes(path.into(), kind, text.as_bytes()),
        };
        Home {
            name: "web".into(),
            path: "/home/web".into(),
            credentials: file("/home/web/.aws/credentials", Kind::Credentials, credentials),
            config: file("/home/web/.aws/config", Kind::Config, config),
        }
    }

    fn installation() -> Installation {
        Installation {
            outlets: vec![chain::Outlet {
                name: "web".into(),
                path: "/home/web/.aws/credentials".into(),
                profile: "default".into(),
                binding: chain::Binding::Name,
            }],
            ..Installation::default()
        }
    }

    #[test]
    fn a_stale_default_profile_is_a_warning_and_wrong_where_it_hides_ours() {
        let none = Installation::default();
        assert_eq!(by_default(&home("", ""), &none).verdict, Verdict::Ok);
        let finding = by_default(&home(OWN, ""), &none);
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.text.contains("/home/web/.aws/credentials (access key id ..MPLE"));
        assert!(!format!("{finding:?}").contains("hunter2"));

        let ours = "[default]\ncredential_process = /usr/bin/rolekeeper credential-process\n";
        let finding = by_default(&home(OWN, ours), &none);
        assert_eq!(finding.verdict, Verdict::Wrong);
        assert!(finding.text.contains("hides what /usr/bin/rolekeeper prints"), "{finding:?}");
        assert!(finding.evidence[0].contains("boto3"), "{finding:?}");
        assert_eq!(by_default(&home("", ours), &none).verdict, Verdict::Ok);
        // The same file, where it is a target.
        assert_eq!(by_default(&home(OWN, ""), &installation()).verdict, Verdict::Ok);
    }

    #[test]
    fn a_file_that_programs_refuse_is_wrong() {
        let finding = by_default(&home("[default\n", ""), &Installation::default());
        assert_eq!(finding.verdict, Verdict::Wrong, "{finding:?}");
        assert!(finding.text.contains("programs of web get no credentials"), "{finding:?}");
    }

    #[test]
    fn a_profile_of_the_targets_name_in_the_config_file_is_found() {
        let outlet =
            Outlet { path: "/run/rolekeeper/credentials".into(), profile: "backup".into() };
        let look = |config: &str| at_outlet(&home(OWN, config), &outlet);
        assert_eq!(look("").verdict, Verdict::Ok);
        assert_eq!(
            look("[profile other]\nrole_arn = x\nsource_profile = y\n").verdict,
            Verdict::Ok
        );
        let role = "[profile backup]\nrole_arn = x\ncredential_source = Ec2InstanceMetadata\n";
        let finding = look(role);
        assert_eq!(finding.verdict, Verdict::Wrong);
        assert!(finding.evidence[0].contains("boto3"), "{finding:?}");
        assert!(finding.remedy.unwrap().contains("/home/web/.aws/config"));
    }
}
