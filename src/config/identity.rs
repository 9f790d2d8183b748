//! `[identity]`: where the daemon's own credentials come from.

use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::file::set;
use super::value::{AbsolutePath, Text, Url};
use super::{ConfigError, Origin, Setting, Settings, default};
use crate::pure::identity::Region;
use crate::pure::source::Source;

/// Where the daemon's own credentials come from, and where to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySettings {
    pub source: Setting<Source>,
    /// Instead of the address that every EC2 instance has.
    pub metadata_endpoint_url: Setting<Option<String>>,
    /// What ECS, EKS or CloudShell tells a container. Its path is as good as a key in ECS.
    pub container_credentials_url: Setting<Option<String>>,
    pub container_token_file: Setting<Option<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    source: Option<Spanned<Text<Source>>>,
    metadata_endpoint_url: Option<Spanned<Text<Url>>>,
    container_credentials_url: Option<Spanned<Text<Url>>>,
    container_token_file: Option<Spanned<Text<AbsolutePath>>>,
}

const METADATA_ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const CONTAINER_PATH: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const CONTAINER_URL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const CONTAINER_TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// Where ECS answers to a relative URI (ECS Developer Guide, "Task IAM role").
const ECS_AGENT: &str = "http://169.254.170.2";

/// Takes a file's table over.
pub(super) fn merge(
    settings: &mut IdentitySettings,
    identity: Identity,
    origin: impl Fn(Range<usize>) -> Origin,
) {
    let url = |Text(Url(url))| Some(url);
    let path = |Text(AbsolutePath(path))| Some(path);
    set(&mut settings.source, identity.source, |Text(source)| source, &origin);
    set(&mut settings.metadata_endpoint_url, identity.metadata_endpoint_url, url, &origin);
    let container = &mut settings.container_credentials_url;
    set(container, identity.container_credentials_url, url, &origin);
    set(&mut settings.container_token_file, identity.container_token_file, path, &origin);
}

impl IdentitySettings {
    /// The first key by which `other` names another source or another place to ask, and where that
    /// stands.
    pub fn difference<'a>(&self, other: &'a Self) -> Option<(&'static str, &'a Origin)> {
        let Self { source, metadata_endpoint_url, container_credentials_url, container_token_file } =
            self;
        let differences = [
            differs("source", source, &other.source),
            differs("metadata_endpoint_url", metadata_endpoint_url, &other.metadata_endpoint_url),
            differs(
                "container_credentials_url",
                container_credentials_url,
                &other.container_credentials_url,
            ),
            differs("container_token_file", container_token_file, &other.container_token_file),
        ];
        differences.into_iter().flatten().next()
    }
}

impl Settings {
    /// Takes the region that the environment names, where neither an option nor a file does: first
    /// `AWS_REGION`, then `AWS_DEFAULT_REGION`, as the AWS CLI v2 and the SDKs but botocore do, which
    /// knows the latter alone (AWS SDKs and Tools Reference Guide, "AWS Region").
    ///
    /// # Errors
    ///
    /// A name that no region has.
    pub fn with_region_variables(
        mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut named = REGIONS.into_iter().filter_map(|name| Some((name, variable(name)?)));
        if self.region.value.is_none()
            && let Some((name, value)) = named.next()
        {
            let region = value
                .parse::<Region>()
                .map_err(|error| ConfigError::Variable { name, message: error.to_string() })?;
            self.region = Setting { value: Some(region), origin: Origin::Environment(name) };
        }
        Ok(self)
    }

    /// What the environment says of the source that the files name, where they are silent. A machine
    /// outside AWS is told nothing: its region is its registration's.
    #[must_use]
    pub fn with_source_variables(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let found = |name: &'static str| {
            let value = variable(name)?;
            Some(Setting { value, origin: Origin::Environment(name) })
        };
        let source = self.identity.source.value;
        if source != Source::Hybrid && self.region.value.is_none() {
            let mut named = REGIONS.into_iter().filter_map(found);
            // A name that is none is as if there were none: other programs say so.
            if let Some((region, origin)) =
                named.find_map(|said| Some((said.value.parse::<Region>().ok()?, said.origin)))
            {
                self.region = Setting { value: Some(region), origin };
            }
        }
        match source {
            Source::Hybrid | Source::Environment => {}
            Source::InstanceMetadata => {
                fill(&mut self.identity.metadata_endpoint_url, found(METADATA_ENDPOINT));
            }
            Source::Container => {
                let ecs = found(CONTAINER_PATH)
                    .map(|path| Setting { value: format!("{ECS_AGENT}{}", path.value), ..path });
                let url = ecs.or_else(|| found(CONTAINER_URL));
                fill(&mut self.identity.container_credentials_url, url);
                let file = found(CONTAINER_TOKEN_FILE);
                let file =
                    file.map(|file| Setting { value: file.value.into(), origin: file.origin });
                fill(&mut self.identity.container_token_file, file);
            }
        }
        self
    }
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            source: default(Source::Hybrid),
            metadata_endpoint_url: default(None),
            container_credentials_url: default(None),
            container_token_file: default(None),
        }
    }
}

fn differs<'a, T: PartialEq>(
    key: &'static str,
    one: &Setting<T>,
    other: &'a Setting<T>,
) -> Option<(&'static str, &'a Origin)> {
    (one.value != other.value).then_some((key, &other.origin))
}

fn fill<T>(setting: &mut Setting<Option<T>>, found: Option<Setting<T>>) {
    if let (None, Some(Setting { value, origin })) = (&setting.value, found) {
        *setting = Setting { value: Some(value), origin };
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file;
    use super::*;

    fn read(text: &str, variables: &[(&str, &str)]) -> Settings {
        let settings = file::tests::read(text).unwrap();
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
        settings.with_source_variables(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_source_is_one_of_four_and_hybrid_unless_named() {
        assert_eq!(read("", &[]).identity, IdentitySettings::default());
        for source in Source::ALL {
            let settings = read(&format!("[identity]\nsource = \"{source}\"\n"), &[]);
            assert_eq!(settings.identity.source.value, source);
            assert_eq!(settings.identity.source.origin.to_string(), "/etc/x.toml:2");
        }
        let error = file::tests::read("[identity]\nsource = \"ec2\"\n").unwrap_err();
        assert!(error.contains("/etc/x.toml:2:10: expected \"hybrid\""), "{error}");
    }

    #[test]
    fn a_region_is_an_options_then_a_files_then_the_variables_in_the_clis_order() {
        let variables = |first: &'static str| {
            move |name: &str| match name {
                "AWS_REGION" => Some(first.to_owned()).filter(|first| !first.is_empty()),
                "AWS_DEFAULT_REGION" => Some("us-west-2".to_owned()),
                _ => None,
            }
        };
        let (flag, file) = ("eu-west-1", "[service]\nregion = \"eu-north-1\"\n");
        for (flag, text, first, expected, origin) in [
            (Some(flag), file, "us-east-1", "eu-west-1", "--region"),
            (None, file, "us-east-1", "eu-north-1", "/etc/x.toml:2"),
            (None, "", "us-east-1", "us-east-1", "$AWS_REGION"),
            (None, "", "", "us-west-2", "$AWS_DEFAULT_REGION"),
        ] {
            let settings = read(text, &[]).with_region(flag.map(|it| it.parse().unwrap()));
            let Setting { value, origin: found } =
                settings.with_region_variables(variables(first)).unwrap().region;
            assert_eq!((value.unwrap().as_str(), found.to_string().as_str()), (expected, origin));
        }
        let error = read("", &[]).with_region_variables(variables("Frankfurt")).unwrap_err();
        assert!(error.to_string().starts_with("$AWS_REGION: region 'Frankfurt'"), "{error}");
        assert!(read(file, &[]).with_region_variables(variables("Frankfurt")).is_ok());
    }

    #[test]
    fn the_environment_speaks_for_the_source_that_is_chosen_and_where_the_files_are_silent() {
        let variables = [
            (METADATA_ENDPOINT, "http://127.0.0.1:1"),
            (CONTAINER_URL, "http://127.0.0.1:2/x"),
            (CONTAINER_TOKEN_FILE, "/t"),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
        ];
        assert_eq!(read("", &variables), read("", &[]));

        let settings = read("[identity]\nsource = \"instance-metadata\"\n", &variables);
        let IdentitySettings { metadata_endpoint_url, container_credentials_url, .. } =
            settings.identity;
        assert_eq!(metadata_endpoint_url.value.as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(metadata_endpoint_url.origin.to_string(), "$AWS_EC2_METADATA_SERVICE_ENDPOINT");
        assert_eq!(container_credentials_url.value, None);
        assert_eq!(settings.region.value.unwrap().as_str(), "eu-west-1");

        let chosen = "[identity]\nsource = \"container\"\ncontainer_token_file = \"/own\"\n";
        let identity = read(chosen, &variables).identity;
        assert_eq!(identity.container_credentials_url.value.unwrap(), "http://127.0.0.1:2/x");
        assert_eq!(identity.container_token_file.value.unwrap(), Path::new("/own"));

        // In ECS the relative one comes first.
        let ecs = [(CONTAINER_URL, "http://127.0.0.1:2/x"), (CONTAINER_PATH, "/v2/uuid")];
        let identity = read(chosen, &ecs).identity;
        let url = identity.container_credentials_url.value.unwrap();
        assert_eq!(url, "http://169.254.170.2/v2/uuid");
    }
}
