//! Looking in one place.

use std::path::Path;

use super::address::{Address, CONTAINER_HOST, METADATA_HOST};
use super::decision::Decision;
use super::sdk::MissingProfile;
use super::{Content, Found, Habits, Place, Sdk, Section, SharedFile, Source, Surroundings, shown};

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
}

/// What came of it.
pub(super) enum Outcome {
    Nothing,
    PassedOver(String),
    Found(Found),
    Ends(String),
}

use Outcome::{Ends, Nothing, PassedOver};

impl Search<'_> {
    /// Why the SDK fails before it looks anywhere.
    pub fn failure(&self) -> Option<String> {
        let files = [&self.surroundings.credentials, &self.surroundings.config];
        let refused = files.into_iter().find_map(unusable).filter(|_| self.habits.refuses_files);
        let missing = self.habits.missing_profile == MissingProfile::EndsAll && self.is_missing();
        let of_go = || (self.sdk == Sdk::Go).then(|| self.failure_of_go()).flatten();
        refused.or_else(|| missing.then(|| self.missing())).or_else(of_go)
    }

    pub fn look(&self, source: Source, place: Place) -> Outcome {
        match (source, place) {
            (Source::Keys, Place::Environment) => self.environment_keys(),
            (Source::WebIdentity, Place::Environment) => self.environment_token(),
            (Source::Container, _) => self.container(),
            (Source::InstanceMetadata, _) => self.metadata(),
            (_, Place::Environment) => Nothing,
            _ => self.profile(source, place),
        }
    }

    pub(super) fn environment_keys(&self) -> Outcome {
        let environment = &self.surroundings.environment;
        let Some((variable, access_key)) = environment.access_key(self.habits.access_key_id) else {
            return Nothing;
        };
        if !environment.has_secret(self.habits.secret_access_key) {
            return self.half_a_pair(variable);
        }
        if self.habits.profile_before_keys && self.is_named {
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
        let environment = &self.surroundings.environment;
        match (environment.text("AWS_WEB_IDENTITY_TOKEN_FILE"), environment.text("AWS_ROLE_ARN")) {
            (Some(file), Some(_)) => self.token(file),
            (Some(_), None) => {
                PassedOver("AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN".to_owned())
            }
            (None, _) => Nothing,
        }
    }

    pub(super) fn token(&self, file: &str) -> Outcome {
        if self.is_unreadable(file) {
            return Ends(format!("the program cannot read the token file {}", shown(file)));
        }
        Outcome::Found(Found::WebIdentity { token_file: file.to_owned() })
    }

    pub(super) fn container(&self) -> Outcome {
        const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        let environment = &self.surroundings.environment;
        let Some((name, uri)) = environment.first_text(&[RELATIVE, FULL]) else { return Nothing };
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
        let token = environment.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        match token.filter(|file| self.is_unreadable(file)) {
            Some(file) => Ends(format!("the program cannot read the token file {}", shown(file))),
            None => Outcome::Found(Found::Container(address)),
        }
    }

    pub(super) fn metadata(&self) -> Outcome {
        let environment = &self.surroundings.environment;
        let disabled = environment.text("AWS_EC2_METADATA_DISABLED");
        if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
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
            Some(address) => Outcome::Found(Found::Metadata { address, configured }),
            None => Ends("the metadata service's endpoint is no URI of http or https".to_owned()),
        }
    }

    fn profile(&self, source: Source, place: Place) -> Outcome {
        // Java passes over what fails.
        let ends = |why| if self.sdk == Sdk::Java { PassedOver(why) } else { Ends(why) };
        // Whoever reads both files for everything fails where the first is looked at.
        for file in if self.decide().is_some() { self.both().into() } else { self.files(place) } {
            if let Some(why) = unusable(file) {
                return ends(why);
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
            (Some("Environment"), None) => self.environment_keys(),
            (Some("EcsContainer"), None) => self.container(),
            (Some("Ec2InstanceMetadata"), None) => self.metadata(),
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

fn unusable(file: &SharedFile) -> Option<String> {
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
