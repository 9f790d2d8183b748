//! Which of a profile's settings an SDK goes by, and what becomes of it: each as its own source has it.

use super::search::{Outcome, Search};
use super::{Content, Found, Place, Runs, Sdk, Section, SharedFile, Source, shown};

use Outcome::{Ends, Nothing, PassedOver};

/// The setting that an SDK takes first, and what comes of it.
pub(super) struct Decision {
    pub source: Source,
    pub place: Place,
    pub outcome: Outcome,
}

/// Of a command line that our program refuses, or answers with its help.
pub(super) const IN_VAIN: &str =
    "rolekeeper prints no credentials for the words that follow it in credential_process";

pub(super) const SET_TO_NOTHING: &str = "is set to nothing";

impl Search<'_> {
    /// Of an SDK whose rules are held against the SDK itself; `None`: they are not, and the order of its
    /// places stands for them.
    pub(super) fn decide(&self) -> Option<Option<Decision>> {
        Some(match self.sdk {
            Sdk::AwsCli | Sdk::Boto3 => self.by_botocore(),
            Sdk::Go => self.by_go(),
            Sdk::Java => self.by_java(&mut Vec::new()),
            Sdk::JavaScript => self.by_java_script(),
            Sdk::Rust => self.by_rust(),
            Sdk::Cpp | Sdk::DotNet | Sdk::Php | Sdk::Ruby => return None,
        })
    }

    /// The profile as both files give it, if either does.
    pub(super) fn merged(&self, name: &str) -> Option<Section> {
        let [credentials, config] = self.both().map(|file| file.profile(name, &self.habits));
        match (config, credentials) {
            (Some(config), Some(credentials)) => {
                let mut merged = config.clone();
                merged.overlay(credentials);
                Some(merged)
            }
            (one, other) => one.or(other).cloned(),
        }
    }

    pub(super) fn both(&self) -> [&SharedFile; 2] {
        [&self.surroundings.credentials, &self.surroundings.config]
    }

    /// `create_credential_resolver` of botocore. A key that is set to nothing is there.
    fn by_botocore(&self) -> Option<Decision> {
        let section = self.merged(self.profile)?;
        let environment = &self.surroundings.environment;
        if section.has("role_arn") && !section.has("web_identity_token_file") {
            let outcome = self.role_by_botocore(&section, &mut vec![self.profile.to_owned()]);
            return decided(Source::AssumedRole, outcome);
        }
        const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
        let by_environment = environment.text(FILE).is_some() || environment.is_blank(FILE);
        if let Some(file) = section.web_identity_token_file.as_ref().filter(|_| !by_environment) {
            let role = environment.text("AWS_ROLE_ARN").is_some()
                || (section.role && !environment.is_blank("AWS_ROLE_ARN"));
            let outcome = if role { self.token(file) } else { Ends(self.no_role()) };
            return decided(Source::WebIdentity, outcome);
        }
        self.providers_of_botocore(&section)
    }

    /// What a profile has beside a role.
    fn providers_of_botocore(&self, section: &Section) -> Option<Decision> {
        if section.single_sign_on {
            return decided(Source::SingleSignOn, Outcome::Found(Found::SingleSignOn));
        }
        let [credentials, config] = self.both().map(|f| f.profile(self.profile, &self.habits));
        let keys = |section: Option<&Section>, place| {
            let section = section.filter(|section| section.has("aws_access_key_id"))?;
            Some(Decision { source: Source::Keys, place, outcome: self.keys_of(section) })
        };
        if let Some(decision) = keys(credentials, Place::CredentialsFile) {
            return Some(decision);
        }
        if section.login_session {
            return decided(Source::LoginSession, Outcome::Found(Found::LoginSession));
        }
        if section.has("credential_process") {
            return decided(Source::Process, self.process_of(section));
        }
        keys(config, Place::ConfigFile)
    }

    fn role_by_botocore(&self, section: &Section, visited: &mut Vec<String>) -> Outcome {
        let name = shown(self.profile);
        let has = |key| section.has(key);
        if !section.role {
            return Ends(format!("role_arn of [{name}] {SET_TO_NOTHING}"));
        }
        match (has("source_profile"), has("credential_source")) {
            (true, true) => return Ends(format!("[{name}] has two sources for its role")),
            (false, false) => return Ends(self.no_base()),
            (false, true) => {
                let source = section.credential_source.as_deref().unwrap_or_default();
                return self.assumed(self.named_source(source).unwrap_or(Nothing));
            }
            (true, false) => {}
        }
        let source = section.source_profile.as_deref().unwrap_or_default();
        let search = Search { profile: source, ..*self };
        let Some(base) = self.merged(source) else { return Ends(self.no_base()) };
        let has_keys = base.has("aws_access_key_id") || base.has("aws_secret_access_key");
        if visited.iter().any(|seen| seen == source) && (source != self.profile || !has_keys) {
            return Ends(self.circle());
        }
        visited.push(source.to_owned());
        let web = base.has("web_identity_token_file");
        if base.has("role_arn") && !web && !has_keys {
            return self.assumed(search.role_by_botocore(&base, visited));
        }
        let decision = match (&base.web_identity_token_file, base.role) {
            (Some(file), true) => decided(Source::WebIdentity, self.token(file)),
            (Some(_), false) => decided(Source::WebIdentity, Ends(search.no_role())),
            (None, _) => search.providers_of_botocore(&base),
        };
        self.assumed(decision.map_or(Nothing, |decision| decision.outcome))
    }

    /// `ProfileCredentialsUtils` of the SDK for Java. Whatever fails is passed over.
    fn by_java(&self, visited: &mut Vec<String>) -> Option<Decision> {
        let section = self.merged(self.profile)?;
        let has = |key| section.has(key);
        let (source, outcome) = if has("role_arn") && has("web_identity_token_file") {
            let file = section.web_identity_token_file.as_deref().unwrap_or_default();
            let outcome = if section.role { self.token(file) } else { Ends(self.no_role()) };
            (Source::WebIdentity, outcome)
        } else if section.single_sign_on {
            (Source::SingleSignOn, Outcome::Found(Found::SingleSignOn))
        } else if has("role_arn")
            && (has("source_profile") || has("credential_source"))
            && (!section.role || (has("source_profile") && has("credential_source")))
        {
            (Source::AssumedRole, Ends(self.no_base()))
        } else if has("role_arn") && has("source_profile") {
            let seen = visited.iter().any(|seen| seen == self.profile);
            visited.push(self.profile.to_owned());
            let source = section.source_profile.as_deref().unwrap_or_default();
            let search = Search { profile: source, ..*self };
            let base = if seen { None } else { search.by_java(visited) };
            let base = base.map_or(Nothing, |decision| decision.outcome);
            (Source::AssumedRole, self.assumed(base))
        } else if has("role_arn") && has("credential_source") {
            let source = section.credential_source.as_deref().unwrap_or_default();
            let base = self.named_source(source).unwrap_or(Nothing);
            (Source::AssumedRole, self.assumed(self.if_reached(base)))
        } else if section.login_session {
            (Source::LoginSession, Outcome::Found(Found::LoginSession))
        } else if has("credential_process") {
            (Source::Process, self.process_of(&section))
        } else if has("aws_access_key_id") {
            (Source::Keys, self.keys_of(&section))
        } else {
            return None;
        };
        decided(source, passed_over(outcome))
    }

    /// `resolveProfileData` of the SDK for JavaScript, then its process provider.
    fn by_java_script(&self) -> Option<Decision> {
        let section = self.merged(self.profile)?;
        let own = self.profile_by_java_script(&section, &[], false);
        match own {
            Some(Decision { outcome: Nothing | PassedOver(_), .. }) | None
                if section.process.is_some() =>
            {
                decided(Source::Process, passed_over(self.process_of(&section)))
            }
            own => own,
        }
    }

    fn profile_by_java_script(
        &self,
        section: &Section,
        visited: &[&str],
        by_source: bool,
    ) -> Option<Decision> {
        let has_keys = section.access_key.is_some() && section.secret_access_key;
        let keys = || decided(Source::Keys, self.keys_of(section));
        if !visited.is_empty() && has_keys {
            return keys();
        }
        let (source, profile) = (&section.credential_source, &section.source_profile);
        if by_source || (section.role && source.is_some() != profile.is_some()) {
            let base = match profile {
                Some(name) if visited.contains(&name.as_str()) => PassedOver(self.circle()),
                Some(name) => {
                    let base = self.merged(name).unwrap_or_default();
                    let search = Search { profile: name, ..*self };
                    let visited = [visited, &[name.as_str()]].concat();
                    let by_source = !base.role && base.credential_source.is_some();
                    let decision = search.profile_by_java_script(&base, &visited, by_source);
                    decision.map_or(Nothing, |decision| decision.outcome)
                }
                None => {
                    let source = source.as_deref().unwrap_or_default();
                    self.if_reached(self.named_source(source).unwrap_or(Nothing))
                }
            };
            if by_source && !section.role {
                return decided(Source::AssumedRole, passed_over(base));
            }
            let by_container = source.as_deref() == Some("EcsContainer");
            let throws = source.is_none() || (by_container && self.is_container_misnamed());
            let is_final = matches!(&base, Ends(_)) && throws;
            let outcome = self.assumed(base);
            let outcome = if is_final { outcome } else { passed_over(outcome) };
            return decided(Source::AssumedRole, outcome);
        }
        if has_keys {
            return keys();
        }
        if let Some(file) = section.web_identity_token_file.as_ref().filter(|_| section.role) {
            return decided(Source::WebIdentity, self.token(file));
        }
        if section.process.is_some() {
            return decided(Source::Process, passed_over(self.process_of(section)));
        }
        if section.single_sign_on {
            return decided(Source::SingleSignOn, Outcome::Found(Found::SingleSignOn));
        }
        if section.login_session {
            return decided(Source::LoginSession, Outcome::Found(Found::LoginSession));
        }
        None
    }

    /// `resolve_chain` of aws-config.
    fn by_rust(&self) -> Option<Decision> {
        let is_empty = |file: &&SharedFile| match &file.content {
            Content::Sections(sections) => sections.is_empty(),
            _ => true,
        };
        if self.both().iter().all(is_empty) {
            return None;
        }
        let Some(section) = self.merged(self.profile) else {
            let why = || PassedOver(self.missing());
            return (self.profile != "default")
                .then(why)
                .and_then(|why| decided(Source::Keys, why));
        };
        if section.has("role_arn") && !section.has("web_identity_token_file") {
            let outcome = self.role_by_rust(&section, &mut vec![self.profile]);
            return decided(Source::AssumedRole, outcome);
        }
        self.base_by_rust(&section)
    }

    fn base_by_rust(&self, section: &Section) -> Option<Decision> {
        if section.has("credential_source") {
            let source = section.credential_source.as_deref().unwrap_or_default();
            let outcome = match self.named_source(source) {
                Some(outcome @ (Outcome::Found(_) | Ends(_))) => outcome,
                _ => Ends(self.no_base()),
            };
            return decided(Source::AssumedRole, outcome);
        }
        if section.has("web_identity_token_file") {
            let outcome = match &section.web_identity_token_file {
                Some(file) if section.role => self.token(file),
                _ => Ends(self.no_role()),
            };
            return decided(Source::WebIdentity, outcome);
        }
        if section.single_sign_on {
            return decided(Source::SingleSignOn, Outcome::Found(Found::SingleSignOn));
        }
        if section.login_session {
            return decided(Source::LoginSession, Outcome::Found(Found::LoginSession));
        }
        if section.has("credential_process") {
            return decided(Source::Process, self.process_of(section));
        }
        let any = section.has("aws_access_key_id")
            || section.has("aws_secret_access_key")
            || section.session_token;
        any.then(|| self.keys_of(section)).and_then(|outcome| decided(Source::Keys, outcome))
    }

    fn role_by_rust<'s>(&'s self, section: &'s Section, visited: &mut Vec<&'s str>) -> Outcome {
        match self.role_source_by_rust(section, visited) {
            // STS refuses it.
            Outcome::Found(_) if !section.role => {
                Ends(format!("role_arn of [{}] {SET_TO_NOTHING}", shown(self.profile)))
            }
            outcome => outcome,
        }
    }

    fn role_source_by_rust<'s>(
        &'s self,
        section: &'s Section,
        visited: &mut Vec<&'s str>,
    ) -> Outcome {
        let has = |key| section.has(key);
        let own_base = || match self.base_by_rust(section) {
            Some(decision) => self.assumed(decision.outcome),
            None => PassedOver(self.no_base()),
        };
        match (has("source_profile"), has("credential_source")) {
            (true, true) | (false, false) => return Ends(self.no_base()),
            (false, true) => return own_base(),
            (true, false) => {}
        }
        let source = section.source_profile.as_deref().unwrap_or_default();
        if source == self.profile {
            return own_base();
        }
        // As it takes a profile that is not there.
        let Some(base) = self.merged(source) else { return PassedOver(self.no_base()) };
        if visited.contains(&source) {
            return Ends(self.circle());
        }
        let search = Search { profile: source, ..*self };
        if base.has("aws_access_key_id") && base.has("aws_secret_access_key") {
            return self.assumed(search.keys_of(&base));
        }
        if base.has("role_arn") && !base.has("web_identity_token_file") {
            let mut visited = [&visited[..], &[source]].concat();
            return self.assumed(search.role_by_rust(&base, &mut visited));
        }
        let decision = search.base_by_rust(&base);
        self.assumed(decision.map_or(Nothing, |decision| decision.outcome))
    }

    /// An access key and its secret, which must be there, too.
    pub(super) fn keys_of(&self, section: &Section) -> Outcome {
        let name = shown(self.profile);
        if !section.has("aws_secret_access_key") || !section.has("aws_access_key_id") {
            return Ends(format!("[{name}] has an access key without its secret"));
        }
        match (&section.access_key, &section.keys_path) {
            // botocore and the SDK for Rust sign with a secret of no characters.
            (Some(access_key), Some(path))
                if section.secret_access_key
                    || matches!(self.sdk, Sdk::AwsCli | Sdk::Boto3 | Sdk::Rust) =>
            {
                Outcome::Found(Found::FileKeys {
                    path: path.clone(),
                    profile: self.profile.to_owned(),
                    access_key: access_key.clone(),
                })
            }
            _ => Ends(format!("an access key of [{name}] {SET_TO_NOTHING}")),
        }
    }

    pub(super) fn process_of(&self, section: &Section) -> Outcome {
        let name = shown(self.profile);
        match &section.process {
            None => Ends(format!("credential_process of [{name}] {SET_TO_NOTHING}")),
            Some(process) if process.program.is_empty() => {
                Ends(format!("credential_process of [{name}] is no command line, or more than one"))
            }
            Some(process) if self.surroundings.not_run.contains(&process.program) => {
                Ends(format!("the program cannot run {}", shown(&process.program)))
            }
            Some(process) if process.runs == Runs::OursInVain => Ends(IN_VAIN.to_owned()),
            Some(process) => Outcome::Found(Found::Process(process.clone())),
        }
    }

    /// What a `credential_source` leads to; none of one that nobody knows.
    pub(super) fn named_source(&self, source: &str) -> Option<Outcome> {
        Some(match source {
            "Environment" => self.environment_keys(true),
            "EcsContainer" => self.container(),
            "Ec2InstanceMetadata" => self.metadata(true),
            _ if self.sdk == Sdk::Rust && source.eq_ignore_ascii_case("environment") => {
                self.environment_keys(true)
            }
            _ => return None,
        })
    }

    /// Of SDKs that go on behind a metadata service that does not answer: EC2's own is taken not to be
    /// there, as it is at the end of every chain.
    fn if_reached(&self, base: Outcome) -> Outcome {
        match base {
            Outcome::Found(Found::Metadata { address, configured: false, .. }) => {
                PassedOver(format!(
                    "the role of [{}] is assumed with {address}, if anything answers there",
                    shown(self.profile)
                ))
            }
            base => base,
        }
    }

    /// The role, assumed with what was found for it.
    pub(super) fn assumed(&self, base: Outcome) -> Outcome {
        match base {
            Outcome::Found(base) => Outcome::Found(Found::AssumedRole { base: Box::new(base) }),
            Ends(why) => Ends(why),
            Nothing | PassedOver(_) => Ends(self.no_base()),
        }
    }

    pub(super) fn no_base(&self) -> String {
        format!("the role of [{}] has no credentials to be assumed with", shown(self.profile))
    }

    fn no_role(&self) -> String {
        format!("[{}] has a web identity's token and no role for it", shown(self.profile))
    }

    fn circle(&self) -> String {
        format!("the profiles that [{}] names lead back to it", shown(self.profile))
    }
}

pub(super) fn decided(source: Source, outcome: Outcome) -> Option<Decision> {
    Some(Decision { source, place: Place::Profile, outcome })
}

fn passed_over(outcome: Outcome) -> Outcome {
    match outcome {
        Ends(why) => PassedOver(why),
        outcome => outcome,
    }
}
