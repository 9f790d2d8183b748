//! Where a program's AWS SDK takes its region from: without one a call fails before it is made.

use super::judgement::{Installation, Network};
use super::search::{Outcome, Search};
use super::{Found, Sdk, Surroundings, shown};

/// What gives a program its region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Region {
    Variable {
        name: &'static str,
        value: String,
    },
    Profile {
        name: String,
        value: String,
    },
    /// Our metadata endpoint, which has the daemon's.
    Metadata,
}

/// The region of a program of that SDK; none where it finds none, but for what EC2's own metadata service
/// may say.
pub fn region(
    sdk: Sdk,
    surroundings: &Surroundings,
    installation: &Installation,
) -> Option<Region> {
    let search = Search::of(sdk, surroundings);
    let habits = &search.habits;
    if let Some((name, value)) = surroundings.environment.first_text(habits.region) {
        return Some(Region::Variable { name, value: value.to_owned() });
    }
    if let Some(value) = search.merged(search.profile).and_then(|section| section.region) {
        return Some(Region::Profile { name: search.profile.to_owned(), value });
    }
    if !habits.region_of_metadata || installation.network == Network::Another {
        return None;
    }
    match search.metadata(false) {
        Outcome::Found(Found::Metadata { address, proxied: false, .. }) => {
            installation.metadata.is_some_and(|ours| address.is(ours)).then_some(Region::Metadata)
        }
        _ => None,
    }
}

impl Region {
    /// In words, on one line.
    pub fn describe(&self) -> String {
        match self {
            Self::Variable { name, value } => format!("{}, by {name}", shown(value)),
            Self::Profile { name, value } => format!("{}, by [{}]", shown(value), shown(name)),
            Self::Metadata => "the daemon's, by its metadata endpoint".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, Kind, SharedFile};
    use super::*;

    fn of(sdk: Sdk, environment: &[(&str, &str)], config: &str) -> Option<String> {
        let surroundings = Surroundings {
            environment: Environment::of_pairs(environment.iter().copied()),
            credentials: SharedFile::absent(None),
            config: SharedFile::read_by(sdk, "/c".into(), Kind::Config, config.as_bytes(), None),
            missing: Vec::new(),
            not_run: Vec::new(),
        };
        let metadata = "127.0.0.1:1339".parse().ok();
        let installation = Installation { metadata, ..Installation::default() };
        region(sdk, &surroundings, &installation).map(|region| region.describe())
    }

    #[test]
    fn each_sdk_has_variables_of_its_own() {
        let sdks = |name: &str| {
            let set = |sdk: &Sdk| of(*sdk, &[(name, "eu-west-1")], "").is_some();
            Sdk::ALL.into_iter().filter(set).map(Sdk::name).collect::<Vec<_>>()
        };
        let all_but = |without: &[Sdk]| {
            let others = Sdk::ALL.into_iter().filter(|sdk| !without.contains(sdk));
            others.map(Sdk::name).collect::<Vec<_>>()
        };
        assert_eq!(sdks("AWS_REGION"), all_but(&[Sdk::Boto3]));
        assert_eq!(
            sdks("AWS_DEFAULT_REGION"),
            all_but(&[Sdk::DotNet, Sdk::Java, Sdk::JavaScript, Sdk::Php])
        );
        assert_eq!(sdks("AMAZON_REGION"), ["ruby"]);
    }

    #[test]
    fn a_profile_has_one_and_our_metadata_endpoint() {
        for sdk in Sdk::ALL {
            let profile = [("AWS_PROFILE", "a")];
            let config = "[profile a]\nregion = eu-west-1\n";
            assert_eq!(of(sdk, &profile, config).as_deref(), Some("eu-west-1, by [a]"), "{sdk}");
            assert_eq!(of(sdk, &profile, "[profile a]\nregion =\n"), None, "{sdk}");
            assert_eq!(of(sdk, &[], config), None, "{sdk}");
        }
        let endpoint = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1339")];
        let by_metadata = Some("the daemon's, by its metadata endpoint");
        assert_eq!(of(Sdk::Java, &endpoint, "").as_deref(), by_metadata);
        assert_eq!(of(Sdk::Java, &[], ""), None);
        assert_eq!(of(Sdk::Go, &endpoint, ""), None);
    }
}
