//! Which of a profile's settings the SDK for Go goes by: `setFromIniSections` of its
//! `config/shared_config.go`, and `resolveCredsFromProfile` of `config/resolve_credentials.go`.

use super::decision::{Decision, decided};
use super::search::{Outcome, Search, unusable};
use super::{Content, Found, Section, SharedFile, Source, shown};

/// A profile, and the one that its role is assumed from.
struct GoProfile {
    name: String,
    section: Section,
    source: Option<Box<GoProfile>>,
}

impl Search<'_> {
    /// Why the SDK fails before it looks anywhere.
    pub(super) fn failure_of_go(&self) -> Option<String> {
        let is_directory = |file: &&SharedFile| file.content == Content::Directory;
        if let Some(directory) = self.both().into_iter().find(is_directory) {
            return unusable(directory);
        }
        self.merged(self.profile)?;
        self.load(self.profile, &mut Vec::new()).err()
    }

    pub(super) fn by_go(&self) -> Option<Decision> {
        let profile = self.load(self.profile, &mut Vec::new()).ok()?;
        let source = self.source_of(&profile);
        // Behind the profile come the endpoints, which are looked at by themselves.
        if source.is_none() && !profile.section.role {
            return None;
        }
        let kind = match source {
            Some(kind) if !profile.section.role || kind == Source::WebIdentity => kind,
            _ => Source::AssumedRole,
        };
        decided(kind, self.resolve(&profile))
    }

    fn load(&self, name: &str, visited: &mut Vec<String>) -> Result<GoProfile, String> {
        let title = shown(name);
        let Some(mut section) = self.merged(name) else {
            return Err(format!("a role is to be assumed from [{title}], which no file has"));
        };
        let [credentials, config] = self.both().map(|file| file.profile(name, &self.habits));
        let has_half = |section: &Section| {
            section.has("aws_access_key_id") != section.has("aws_secret_access_key")
        };
        if credentials.or(config).is_some_and(has_half) {
            return Err(format!("[{title}] has half of a pair of keys"));
        }
        // Of two halves in two files nothing is taken.
        if !(section.access_key.is_some() && section.secret_access_key) {
            section.access_key = None;
        }
        let needs_role = section.source_profile.is_some()
            || section.credential_source.is_some()
            || section.web_identity_token_file.is_some();
        if visited.iter().any(|seen| seen == name) {
            (section.role, section.source_profile) = (false, None);
        } else if needs_role && !section.role {
            return Err(format!("[{title}] says how a role is assumed, and names none"));
        }
        let whole = |section| GoProfile { name: name.to_owned(), section, source: None };
        if !visited.is_empty() && section.access_key.is_some() {
            // Its own role is assumed, too.
            return Ok(whole(Section { source_profile: None, ..section }));
        }
        visited.push(name.to_owned());
        let ways = [
            section.source_profile.is_some(),
            section.credential_source.is_some(),
            section.process.is_some(),
            section.web_identity_token_file.is_some(),
        ];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            return Err(format!("[{title}] is configured in two ways at once"));
        }
        let Some(source) = section.source_profile.clone() else { return Ok(whole(section)) };
        let base = self.load(&source, visited)?;
        if self.source_of(&base).is_none() {
            let base = shown(&source);
            return Err(format!("[{title}] names [{base}] for its role, which has no credentials"));
        }
        Ok(GoProfile { source: Some(Box::new(base)), ..whole(section) })
    }

    /// What the profile itself has.
    fn source_of(&self, profile: &GoProfile) -> Option<Source> {
        let section = &profile.section;
        if profile.source.is_some() {
            Some(Source::AssumedRole)
        } else if section.access_key.is_some() {
            Some(Source::Keys)
        } else if section.credential_source.is_some() {
            Some(Source::AssumedRole)
        } else if section.web_identity_token_file.is_some() {
            Some(Source::WebIdentity)
        } else if section.single_sign_on {
            Some(Source::SingleSignOn)
        } else if section.login_session {
            Some(Source::LoginSession)
        } else {
            section.process.as_ref().map(|_| Source::Process)
        }
    }

    fn resolve(&self, profile: &GoProfile) -> Outcome {
        let search = Search { profile: &profile.name, ..*self };
        let section = &profile.section;
        let base = match (&profile.source, self.source_of(profile)) {
            (Some(source), _) => self.resolve(source),
            (None, Some(Source::Keys)) => search.keys_of(section),
            (None, Some(Source::AssumedRole)) => {
                let source = section.credential_source.as_deref().unwrap_or_default();
                search.named_source(source).unwrap_or(Outcome::Nothing)
            }
            (None, Some(Source::WebIdentity)) => {
                let file = section.web_identity_token_file.as_deref().unwrap_or_default();
                return search.token(file);
            }
            (None, Some(Source::SingleSignOn)) => Outcome::Found(Found::SingleSignOn),
            (None, Some(Source::LoginSession)) => Outcome::Found(Found::LoginSession),
            (None, Some(_)) => search.process_of(section),
            (None, None) => match self.container() {
                Outcome::Nothing => self.metadata(true),
                outcome => outcome,
            },
        };
        if section.role || section.credential_source.is_some() {
            search.assumed(base)
        } else {
            base
        }
    }
}
