//! What matters of a process's environment, and nothing that is secret of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Address, shown};
use crate::pure::metadata::container::BearerToken;
use crate::pure::role_token::is_long_term;

/// Whose values are kept: names, paths and addresses.
const TEXTS: &[&str] = &[
    "AMAZON_REGION",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "HOME",
    "NO_PROXY",
    "REQUEST_METHOD",
    "RUNTIME_DIRECTORY",
    "no_proxy",
];

/// Those that lead to no credentials by themselves.
const ASIDE: &[&str] = &[
    "AMAZON_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "HOME",
    "HTTP_PROXY",
    "NO_PROXY",
    "REQUEST_METHOD",
    "RUNTIME_DIRECTORY",
    "http_proxy",
    "no_proxy",
];

/// Of which the end is kept.
const ACCESS_KEY_IDS: &[&str] = &["AMAZON_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID"];

/// Of which it is kept that they are set.
const SECRETS: &[&str] = &[
    "AMAZON_SECRET_ACCESS_KEY",
    "AMAZON_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    // May hold a password.
    "HTTP_PROXY",
    "SECRET_ACCESS_KEY",
    "http_proxy",
];

/// In which botocore puts the values of variables.
const PATHS: [&str; 2] = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];

const CONTAINER_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";

/// A name or a path is not longer: the kernel's `PATH_MAX`.
const LONGEST: usize = 4096;

/// The variables that an SDK looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    texts: BTreeMap<&'static str, String>,
    /// The paths among them that name variables, with what these have.
    expanded: BTreeMap<&'static str, String>,
    access_keys: BTreeMap<&'static str, AccessKey>,
    secrets: BTreeSet<&'static str>,
    /// What is set to nothing, which some SDKs take literally.
    blank: BTreeSet<&'static str>,
    /// Of the container endpoint, as its digest.
    container_token: Option<BearerToken>,
}

/// What may be shown of an access key id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Four characters.
    pub suffix: String,
    /// A user's own, without an end.
    pub long_term: bool,
}

impl Environment {
    /// Of `NAME=VALUE` as the kernel hands it over. Of a name that stands twice the first counts, as it
    /// does for `getenv`.
    pub fn of_block(block: &[u8]) -> Self {
        let pairs = block.split(|&byte| byte == 0).filter_map(|entry| {
            let at = entry.iter().position(|&byte| byte == b'=')?;
            Some((&entry[..at], &entry[at + 1..]))
        });
        Self::of(pairs)
    }

    /// Of names and values.
    pub fn of_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        Self::of(pairs.collect::<Vec<_>>().into_iter())
    }

    fn of<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Self {
        let mut environment = Self::default();
        for (name, value) in pairs.clone() {
            environment.add(name, value);
        }
        let value = |name: &str| {
            let is_secret = [ACCESS_KEY_IDS, SECRETS].iter().any(|names| names.contains(&name));
            let mut named = pairs.clone().filter(|(other, _)| *other == name.as_bytes());
            named.next().filter(|_| !is_secret).map(|(_, value)| String::from_utf8_lossy(value))
        };
        for name in PATHS {
            let Some(path) = environment.texts.get(name).filter(|path| path.contains('$')) else {
                continue;
            };
            environment.expanded.insert(name, expand(path, value));
        }
        environment
    }

    /// A path with the values of the variables that it names, where it names any.
    pub fn expanded(&self, name: &str) -> Option<&str> {
        self.expanded.get(name).map(String::as_str)
    }

    /// A variable that names something.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Whether it is there, and set to nothing.
    pub fn is_blank(&self, name: &str) -> bool {
        self.blank.contains(name)
    }

    fn is_set(&self, name: &str) -> bool {
        self.texts.contains_key(name)
            || self.access_keys.contains_key(name)
            || self.secrets.contains(name)
    }

    /// The first of them that is set, by name and value.
    pub fn first_text(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|name| Some((*name, self.text(name)?)))
    }

    /// The first access key id of these names.
    pub fn access_key(&self, names: &[&'static str]) -> Option<(&'static str, &AccessKey)> {
        names.iter().find_map(|name| Some((*name, self.access_keys.get(name)?)))
    }

    /// The container endpoint's token, where the environment holds the token itself.
    pub fn container_token(&self) -> Option<&BearerToken> {
        self.container_token.as_ref()
    }

    /// Whether any of these secrets is there.
    pub fn has_secret(&self, names: &[&'static str]) -> bool {
        names.iter().any(|name| self.secrets.contains(name))
    }

    /// Whether Python sends what goes there without TLS to a proxy (`getproxies_environment` and
    /// `proxy_bypass_environment` of `urllib.request`).
    pub fn is_proxied_by_python(&self, address: &Address) -> bool {
        let is_cgi = self.text("REQUEST_METHOD").is_some() || self.is_blank("REQUEST_METHOD");
        let upper = self.secrets.contains("HTTP_PROXY") && !is_cgi && !self.is_blank("http_proxy");
        if address.https || !(upper || self.secrets.contains("http_proxy")) {
            return false;
        }
        let Some(except) = self.no_proxy().1 else { return true };
        let host = match address.host.contains(':') {
            true => format!("[{}]", address.host),
            false => address.host.clone(),
        };
        let with_port = format!("{host}:{}", address.port);
        let is_excepted = |name: &str| {
            let name = name.trim().trim_start_matches('.').to_lowercase();
            let below = format!(".{name}");
            !name.is_empty()
                && [&host, &with_port].iter().any(|it| **it == name || it.ends_with(&below))
        };
        except != "*" && !except.split(',').any(is_excepted)
    }

    /// The variable of the hosts that Python sends to no proxy, and what it has.
    pub fn no_proxy(&self) -> (&'static str, Option<&str>) {
        match self.text("no_proxy") {
            None if !self.is_blank("no_proxy") => ("NO_PROXY", self.text("NO_PROXY")),
            lower => ("no_proxy", lower),
        }
    }

    /// The names of all that are set and lead an SDK somewhere, in their order.
    pub fn names(&self) -> Vec<&'static str> {
        let names = self
            .texts
            .keys()
            .chain(self.access_keys.keys())
            .chain(&self.secrets)
            .chain(&self.blank);
        let names = names.copied().filter(|name| !ASIDE.contains(name));
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The same without these.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.texts.retain(|name, _| !names.contains(name));
        self.expanded.retain(|name, _| !names.contains(name));
        self.access_keys.retain(|name, _| !names.contains(name));
        self.secrets.retain(|name| !names.contains(name));
        self.blank.retain(|name| !names.contains(name));
        self.container_token = self.container_token.filter(|_| !names.contains(&CONTAINER_TOKEN));
        self
    }

    /// The same, with one set to another value.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        let mut environment = self.without(&[name]);
        environment.add(name.as_bytes(), value.as_bytes());
        environment
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        let known = |names: &'static [&'static str]| {
            names.iter().find(|known| known.as_bytes() == name).copied()
        };
        if value.is_empty() {
            let names = [TEXTS, ACCESS_KEY_IDS, SECRETS].into_iter().find_map(known);
            self.blank.extend(names.filter(|name| !self.is_set(name)));
            return;
        }
        let is_blank = |name: &[u8]| self.blank.iter().any(|blank| blank.as_bytes() == name);
        if is_blank(name) {
            return;
        }
        if let Some(name) = known(TEXTS) {
            let value = String::from_utf8_lossy(&value[..value.len().min(LONGEST)]).into_owned();
            self.texts.entry(name).or_insert(value);
        } else if let Some(name) = known(ACCESS_KEY_IDS) {
            let key = AccessKey::of(&String::from_utf8_lossy(value));
            self.access_keys.entry(name).or_insert(key);
        } else if let Some(name) = known(SECRETS) {
            let is_first = self.secrets.insert(name);
            if name == CONTAINER_TOKEN && is_first {
                self.container_token = Some(BearerToken::of_text(value));
            }
        }
    }
}

/// As Python's `posixpath.expandvars`: what is not set stays as it is, and nothing is replaced twice.
fn expand<'a>(path: &str, value: impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>) -> String {
    let mut expanded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, length) = match behind.strip_prefix('{') {
            Some(braced) => {
                let end = braced.find('}');
                end.map_or(("", 0), |end| (&braced[..end], end + 2))
            }
            None => {
                let end = behind.find(|c| !is_word(c)).unwrap_or(behind.len());
                (&behind[..end], end)
            }
        };
        match value(name).filter(|_| !name.is_empty()) {
            Some(value) => expanded.push_str(&value),
            None => expanded.push_str(&rest[at..=at + length]),
        }
        rest = &behind[length..];
    }
    expanded.push_str(rest);
    expanded.chars().take(LONGEST).collect()
}

impl AccessKey {
    /// Of a whole access key id. Of one that is too short to be one nothing is shown: it may be a
    /// secret in the wrong place.
    pub fn of(id: &str) -> Self {
        let plain =
            id.len() >= 16 && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        let suffix = if plain { id[id.len() - 4..].to_owned() } else { "?".to_owned() };
        Self { suffix, long_term: is_long_term(id) }
    }

    /// In words.
    pub fn describe(&self) -> String {
        let kind = if self.long_term { "a user's own, without an end" } else { "temporary" };
        format!("access key id ..{}, {kind}", shown(&self.suffix))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_secret_is_kept() {
        let environment = Environment::of_block(
            b"AWS_SECRET_ACCESS_KEY=hunter2\0AWS_SESSION_TOKEN=hunter2\0PASSWORD=hunter2\0\
              AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\0AWS_CONTAINER_AUTHORIZATION_TOKEN=hunter2\0\
              AWS_PROFILE=web\0AWS_CONFIG_FILE=\0",
        );
        let debug = format!("{environment:?}");
        assert!(!debug.contains("hunter2") && !debug.contains("IOSFODNN"), "{debug}");
        assert_eq!(environment.text("AWS_PROFILE"), Some("web"));
        assert_eq!(environment.text("AWS_CONFIG_FILE"), None);
        let (name, key) = environment.access_key(&["AWS_ACCESS_KEY_ID"]).unwrap();
        assert_eq!(
            (name, key.describe().as_str()),
            ("AWS_ACCESS_KEY_ID", "access key id ..MPLE, a user's own, without an end")
        );
        assert!(environment.has_secret(&["AWS_SECRET_ACCESS_KEY"]));
        assert!(environment.is_blank("AWS_CONFIG_FILE"));
        assert_eq!(environment.names().len(), 6);
    }

    #[test]
    fn a_secret_in_the_place_of_an_access_key_id_is_not_shown() {
        for id in ["hunter2", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "", "ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ"]
        {
            assert_eq!(AccessKey::of(id).suffix, "?", "{id}");
        }
    }

    #[test]
    fn a_proxy_is_taken_as_python_takes_it() {
        let address = Address::parse("http://127.0.0.1:1339/").unwrap();
        let proxied = |text: &str| {
            let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
            Environment::of_pairs(pairs).is_proxied_by_python(&address)
        };
        for text in [
            "HTTP_PROXY=p",
            "http_proxy=p",
            "http_proxy=p REQUEST_METHOD=GET",
            "HTTP_PROXY=p NO_PROXY=localhost,10.0.0.1",
            "HTTP_PROXY=p NO_PROXY=127.0.0.1 no_proxy=",
            "HTTP_PROXY=p NO_PROXY=127.0.0.1 no_proxy=a",
            "HTTP_PROXY=p NO_PROXY=127.0.0.0/8",
            "HTTP_PROXY=p NO_PROXY=*,a",
        ] {
            assert!(proxied(text), "{text}");
        }
        for text in [
            "A=1",
            "https_proxy=p",
            "HTTP_PROXY=p http_proxy=",
            "HTTP_PROXY=p REQUEST_METHOD=GET",
            "HTTP_PROXY=p NO_PROXY=*",
            "HTTP_PROXY=p no_proxy=127.0.0.1",
            "http_proxy=p NO_PROXY=a,.0.0.1",
            "http_proxy=p NO_PROXY=127.0.0.1:1339",
        ] {
            assert!(!proxied(text), "{text}");
        }
        let debug = format!("{:?}", Environment::of_pairs([("HTTP_PROXY", "u:hunter2@p")]));
        assert!(!debug.contains("hunter2"), "{debug}");
    }

    #[test]
    fn the_first_of_two_counts() {
        let environment = Environment::of_block(b"AWS_PROFILE=a\0AWS_PROFILE=b\0");
        assert_eq!(environment.text("AWS_PROFILE"), Some("a"));
    }

    proptest! {
        #[test]
        fn any_block_is_read(block in vec(any::<u8>(), 0..300)) {
            Environment::of_block(&block);
        }
    }
}
