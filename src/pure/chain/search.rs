//! Looking in one place.

use std::path::Path;

use super::address::{Address, CONTAINER_HOST, METADATA_HOST};
use super::decision::{Decision, SET_TO_NOTHING};
use super::sdk::MissingProfile;
use super::{Content, Found, Habits, Place, Sdk, Section, SharedFile, Source, Surroundings, shown};

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// More profiles than one would name by way of another.
const LONGEST_ROLE_CHAIN: usize = 8;

/// An SDK that looks.
pub(super) struct Search<'a> {
    pub habits: Habits,
    pub sdk: Sdk,
    pub surroundings: &'a Surroundings,
    pub profile: &'a str,
    /// Whether the environment names the profile.
    pub is_named: bool,
    /// The variable that names it.
    pub variable: Option<&'static str>,
}

/// What came of it.
pub(super) enum Outcome {
    Nothing,
    PassedOver(String),
    Found(Found),
    Ends(String),
}

use Outcome::{Ends, Nothing, PassedOver};

impl<'a> Search<'a> {
    /// One for the profile that the environment names.
    pub fn of(sdk: Sdk, surroundings: &'a Surroundings) -> Self {
        let habits = sdk.habits();
        let blank = habits.blank_profile;
        let named = habits.profile.iter().find_map(|name| {
            let is_blank = || (blank && surroundings.environment.is_blank(name)).then_some("");
            Some((*name, surroundings.environment.text(name).or_else(is_blank)?))
        });
        Search {
            habits,
            sdk,
            surroundings,
            profile: named.map_or("default", |(_, name)| name),
            is_named: named.is_some(),
            variable: named.map(|(variable, _)| variable),
        }
    }
}

impl Search<'_> {
    /// Why the SDK fails before it looks anywhere.
    pub fn failure(&self) -> Option<String> {
        let files = [&self.surroundings.credentials, &self.surroundings.config];
        let refused = files.into_iter().find_map(unusable).filter(|_| self.habits.refuses_files);
        // Of Go's two variables, one may name what is not there.
        let may_be = self.sdk == Sdk::Go && self.variable == Some("AWS_DEFAULT_PROFILE");
        let ends_all = self.habits.missing_profile == MissingProfile::EndsAll;
        let missing = ends_all && self.is_missing() && !may_be;
        let of_go = || (self.sdk == Sdk::Go).then(|| self.failure_of_go()).flatten();
        refused.or_else(|| missing.then(|| self.missing())).or_else(of_go)
    }

    pub fn look(&self, source: Source, place: Place) -> Outcome {
        let outcome = match (source, place) {
            (Source::Keys, Place::Environment) => self.environment_keys(false),
            (Source::WebIdentity, Place::Environment) => self.environment_token(),
            (Source::Container, _) => self.container(),
            (Source::InstanceMetadata, _) => self.metadata(false),
            (_, Place::Environment) => Nothing,
            _ => self.profile(source, place),
        };
        match outcome {
            // Its chain goes on behind whatever fails.
            Ends(why) if self.sdk == Sdk::Java => PassedOver(why),
            outcome => outcome,
        }
    }

    /// `for_role`: where a profile says that a role is assumed with them.
    pub(super) fn environment_keys(&self, for_role: bool) -> Outcome {
        let environment = &self.surroundings.environment;
        let Some((variable, access_key)) = environment.access_key(self.habits.access_key_id) else {
            return Nothing;
        };
        if !environment.has_secret(self.habits.secret_access_key) {
            return self.half_a_pair(variable);
        }
        if self.habits.profile_before_keys && self.is_named && !for_role {
            let why = "and this SDK passes keys over where the environment names a profile";
            return PassedOver(format!("{variable} is set, {why}"));
        }
        Outcome::Found(Found::EnvironmentKeys { variable, access_key: access_key.clone() })
    }

    fn half_a_pair(&self, what: &str) -> Outcome {
        let why = format!("{what} is set without its secret");
        if self.habits.half_a_pair_ends_it { Ends(why) } else { PassedOver(why) }
    }

    fn environment_token(&self) -> Outcome {
        const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
        const ROLE: &str = "AWS_ROLE_ARN";
        let environment = &self.surroundings.environment;
        let Some(file) = environment.text(FILE) else {
            return match self.sdk {
                // Taken literally, it is a file that is not there.
                Sdk::Rust if environment.is_blank(FILE) && self.is_there(ROLE) => {
                    Ends(format!("{FILE} {SET_TO_NOTHING}"))
                }
                _ => Nothing,
            };
        };
        // For its client of STS it reads the files, too.
        let refused = self.both().into_iter().find_map(unusable);
        if let Some(why) = refused.filter(|_| self.sdk == Sdk::Java) {
            return Ends(why);
        }
        if environment.text(ROLE).is_some() {
            return self.token(file);
        }
        let is_blank = environment.is_blank(ROLE);
        match self.sdk {
            Sdk::AwsCli | Sdk::Boto3 => {
                let section = self.merged(self.profile).filter(|_| !is_blank);
                match section.is_some_and(|section| section.role) {
                    true => self.token(file),
                    false => Ends(format!("{FILE} is set without {ROLE}")),
                }
            }
            Sdk::Go => Ends(format!("{FILE} is set without {ROLE}")),
            Sdk::Rust if is_blank => Ends(format!("{ROLE} {SET_TO_NOTHING}")),
            _ => PassedOver(format!("{FILE} is set without {ROLE}")),
        }
    }

    fn has_container_token(&self) -> bool {
        const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
        self.surroundings.environment.has_secret(&[TOKEN])
            || self.surroundings.environment.is_blank(TOKEN)
    }

    /// Whether a variable is there, be it set to nothing.
    fn is_there(&self, name: &str) -> bool {
        let environment = &self.surroundings.environment;
        environment.text(name).is_some() || environment.is_blank(name)
    }

    /// The first of them that this SDK takes for set, to nothing if need be.
    fn first_there(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        let environment = &self.surroundings.environment;
        let literally = matches!(self.sdk, Sdk::AwsCli | Sdk::Boto3 | Sdk::Java | Sdk::Rust);
        names.iter().find_map(|name| match environment.text(name) {
            Some(value) => Some((*name, value)),
            None => (literally && environment.is_blank(name)).then_some((*name, "")),
        })
    }

    pub(super) fn token(&self, file: &str) -> Outcome {
        if file.is_empty() {
            return Ends(format!("web_identity_token_file {SET_TO_NOTHING}"));
        }
        if self.is_unreadable(file) {
            return Ends(format!("the program cannot read the token file {}", shown(file)));
        }
        Outcome::Found(Found::WebIdentity { token_file: file.to_owned() })
    }

    /// Whether the container's endpoint is named by what is no URI, which the SDK for JavaScript does not
    /// catch.
    pub(super) fn is_container_misnamed(&self) -> bool {
        let named = self.first_there(&[RELATIVE, FULL]);
        named.is_some_and(|(name, uri)| name == FULL && Address::parse(uri).is_none())
    }

    pub(super) fn container(&self) -> Outcome {
        let environment = &self.surroundings.environment;
        let Some((name, uri)) = self.first_there(&[RELATIVE, FULL]) else { return Nothing };
        if uri.is_empty() {
            return Ends(format!("{name} {SET_TO_NOTHING}"));
        }
        let address = match name {
            RELATIVE => Some(Address::http(CONTAINER_HOST, uri)),
            _ => Address::parse(uri),
        };
        let Some(address) = address else {
            return Ends(format!("{name} is no URI of http or https"));
        };
        if !address.is_allowed() {
            return Ends(format!("{name}: SDKs go to {address} with TLS alone, so not at all"));
        }
        const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        // Java looks for the token itself first.
        if self.sdk == Sdk::Java && self.has_container_token() {
            return Outcome::Found(Found::Container(address));
        }
        if self.first_there(&[TOKEN_FILE]).is_some_and(|(_, file)| file.is_empty()) {
            return Ends(format!("{TOKEN_FILE} {SET_TO_NOTHING}"));
        }
        let token = environment.text(TOKEN_FILE);
        match token.filter(|file| self.is_unreadable(file)) {
            Some(file) => Ends(format!("the program cannot read the token file {}", shown(file))),
            None => Outcome::Found(Found::Container(address)),
        }
    }

    /// `for_role`: where a profile says that a role is assumed with it.
    pub(super) fn metadata(&self, for_role: bool) -> Outcome {
        const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
        let environment = &self.surroundings.environment;
        let disabled = self.first_there(&[DISABLED]).map(|(_, value)| value);
        let is = |value: &str, other: &str| value.eq_ignore_ascii_case(other);
        if self.sdk == Sdk::Java {
            if disabled.is_some_and(|value| !is(value, "true") && !is(value, "false")) {
                return Ends(format!("{DISABLED} is neither true nor false"));
            }
            // It looks into the profile, too.
            if let Some(why) = self.both().into_iter().find_map(unusable) {
                return Ends(why);
            }
        }
        let is_disabled = |value: &str| match self.sdk {
            Sdk::JavaScript => value != "false",
            _ => is(value, "true"),
        };
        if disabled.is_some_and(is_disabled) && !(for_role && self.sdk == Sdk::JavaScript) {
            return match environment.text("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
                Some(_) => PassedOver("AWS_EC2_METADATA_DISABLED is set".to_owned()),
                None => Nothing,
            };
        }
        let named = environment.text("AWS_EC2_METADATA_SERVICE_ENDPOINT").or_else(|| {
            let section = self.surroundings.config.profile(self.profile, &self.habits)?;
            section.metadata_endpoint.as_deref()
        });
        let configured = named.is_some();
        match named.map_or_else(|| Some(Address::http(METADATA_HOST, "/")), Address::parse) {
            Some(address) => {
                // `IMDSFetcher` of botocore; its `ContainerMetadataFetcher` asks no proxy.
                let proxied = matches!(self.sdk, Sdk::AwsCli | Sdk::Boto3)
                    && environment.is_proxied_by_python(&address);
                Outcome::Found(Found::Metadata { address, configured, proxied })
            }
            None => Ends("the metadata service's endpoint is no URI of http or https".to_owned()),
        }
    }

    fn profile(&self, source: Source, place: Place) -> Outcome {
        // Whoever reads both files for everything fails where the first is looked at.
        for file in if self.decide().is_some() { self.both().into() } else { self.files(place) } {
            if let Some(why) = unusable(file) {
                return Ends(why);
            }
        }
        if let Some(decision) = self.decide() {
            return self.by_decision(source, place, decision);
        }
        if self.habits.missing_profile == MissingProfile::EndsThere && self.is_missing() {
            return Ends(self.missing());
        }
        if self.habits.one_way_alone && self.ways() > 1 {
            let why = "is configured in two ways at once, and this SDK takes neither";
            return match self.within(source, place, &mut Vec::new()) {
                Nothing => Nothing,
                _ => PassedOver(format!("[{}] {why}", shown(self.profile))),
            };
        }
        self.within(source, place, &mut vec![self.profile.to_owned()])
    }

    /// What an SDK goes by is one setting; what comes before it in the usual order is passed over.
    fn by_decision(&self, source: Source, place: Place, decision: Option<Decision>) -> Outcome {
        let order = self.habits.order;
        let at = |source, place| {
            order.iter().position(|(s, p)| *s == source && (*p == place || *p == Place::Profile))
        };
        if let Some(Decision { source: taken, place: within, outcome }) = decision {
            if (taken, at(taken, within)) == (source, at(source, place)) {
                return outcome;
            }
            let is_later = at(taken, within) < at(source, place);
            if is_later && matches!(outcome, Outcome::Found(_) | Ends(_)) {
                return self.within(source, place, &mut vec![self.profile.to_owned()]);
            }
        }
        match self.within(source, place, &mut vec![self.profile.to_owned()]) {
            Nothing => Nothing,
            _ => PassedOver(format!(
                "[{}] has it, and this SDK does not take it",
                shown(self.profile)
            )),
        }
    }

    /// Looks in the profile itself. `visited` are the profiles on the way here.
    fn within(&self, source: Source, place: Place, visited: &mut Vec<String>) -> Outcome {
        match source {
            Source::Keys => self.file_keys(place),
            Source::AssumedRole => self.role(place, visited),
            Source::WebIdentity => {
                let file = self.set(place, |section| {
                    section.web_identity_token_file.as_ref().filter(|_| section.role)
                });
                file.map_or(Nothing, |file| self.token(file))
            }
            Source::SingleSignOn => {
                let set = self.set(place, |section| section.single_sign_on.then_some(section));
                set.map_or(Nothing, |_| Outcome::Found(Found::SingleSignOn))
            }
            Source::LoginSession => {
                let set = self.set(place, |section| section.login_session.then_some(section));
                set.map_or(Nothing, |_| Outcome::Found(Found::LoginSession))
            }
            Source::Process => {
                let process = self.set(place, |section| section.process.as_ref());
                process.map_or(Nothing, |process| Outcome::Found(Found::Process(process.clone())))
            }
            Source::Container | Source::InstanceMetadata => Nothing,
        }
    }

    fn file_keys(&self, place: Place) -> Outcome {
        for file in self.files(place) {
            let (Some(path), Some(section)) =
                (&file.path, file.profile(self.profile, &self.habits))
            else {
                continue;
            };
            let Some(access_key) = section.access_key.clone() else { continue };
            if !section.secret_access_key {
                return self
                    .half_a_pair(&format!("aws_access_key_id of [{}]", shown(self.profile)));
            }
            let (path, profile) = (path.clone(), self.profile.to_owned());
            return Outcome::Found(Found::FileKeys { path, profile, access_key });
        }
        Nothing
    }

    fn role(&self, place: Place, visited: &mut Vec<String>) -> Outcome {
        let role = self.set(place, |section| {
            (section.role && section.web_identity_token_file.is_none()).then_some(section)
        });
        if role.is_none() {
            return Nothing;
        }
        let source = self.set(place, |section| section.credential_source.as_deref());
        let profile = self.set(place, |section| section.source_profile.as_deref());
        let base = match (source, profile) {
            (Some("Environment"), None) => self.environment_keys(true),
            (Some("EcsContainer"), None) => self.container(),
            (Some("Ec2InstanceMetadata"), None) => self.metadata(true),
            (None, Some(name)) => self.base(name, visited),
            _ => Nothing,
        };
        match base {
            Outcome::Found(base) => Outcome::Found(Found::AssumedRole { base: Box::new(base) }),
            Ends(why) => Ends(why),
            Nothing | PassedOver(_) => Ends(format!(
                "the role of [{}] has no credentials to be assumed with",
                shown(self.profile)
            )),
        }
    }

    /// What the profile that a role names has. From the second profile on keys come first
    /// (botocore's `_resolve_credentials_from_profile`, and the others alike).
    fn base(&self, name: &str, visited: &mut Vec<String>) -> Outcome {
        let search = Search { profile: name, is_named: true, ..*self };
        let keys = search.file_keys(Place::Profile);
        if matches!(keys, Outcome::Found(_)) {
            return keys;
        }
        let seen = visited.iter().any(|seen| seen == name) || visited.len() >= LONGEST_ROLE_CHAIN;
        visited.push(name.to_owned());
        let places = self.habits.order.iter().filter(|(source, place)| {
            *place != Place::Environment && !(seen && *source == Source::AssumedRole)
        });
        for &(source, place) in places {
            match search.within(source, place, visited) {
                Nothing => {}
                outcome => return outcome,
            }
        }
        Nothing
    }

    /// The first file's value.
    fn set<'s, T>(&'s self, place: Place, value: impl Fn(&'s Section) -> Option<T>) -> Option<T> {
        let sections = self.files(place).into_iter();
        sections.filter_map(|file| file.profile(self.profile, &self.habits)).find_map(value)
    }

    fn files(&self, place: Place) -> Vec<&SharedFile> {
        let (credentials, config) = (&self.surroundings.credentials, &self.surroundings.config);
        match place {
            Place::Environment => vec![],
            Place::Profile => vec![credentials, config],
            Place::CredentialsFile => vec![credentials],
            Place::ConfigFile => vec![config],
        }
    }

    /// In how many ways the profile gets credentials.
    fn ways(&self) -> usize {
        let section = |value: fn(&Section) -> bool| {
            self.set(Place::Profile, |section| value(section).then_some(())).is_some()
        };
        let ways: [fn(&Section) -> bool; 3] =
            [|s| s.access_key.is_some(), |s| s.process.is_some(), |s| s.role];
        if section(|s| s.single_sign_on) {
            1
        } else {
            ways.into_iter().filter(|w| section(*w)).count()
        }
    }

    fn is_missing(&self) -> bool {
        self.is_named && self.set(Place::Profile, Some).is_none()
    }

    pub(super) fn missing(&self) -> String {
        format!("the environment names the profile '{}', which no file has", shown(self.profile))
    }

    fn is_unreadable(&self, file: &str) -> bool {
        self.surroundings.missing.iter().any(|missing| missing == Path::new(file))
    }
}

pub(super) fn unusable(file: &SharedFile) -> Option<String> {
    if let (Content::Directory, Some(path)) = (&file.content, &file.path) {
        return Some(format!("{} is a directory", shown(&path.to_string_lossy())));
    }
    if let (Content::Refused(refusal), Some(path)) = (&file.content, &file.path) {
        let path = shown(&path.to_string_lossy());
        let (line, why) = (refusal.line, refusal.why);
        return Some(format!("{path}: line {line} {why}: this SDK refuses such a file"));
    }
    let (Content::Unusable(unusable), Some(path)) = (&file.content, &file.path) else {
        return None;
    };
    let path = shown(&path.to_string_lossy());
    Some(format!("{path}: {unusable}: SDKs refuse such a file, or disagree about it"))
}
