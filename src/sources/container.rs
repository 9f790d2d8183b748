//! The endpoint that ECS, EKS and CloudShell give a container.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use http::Method;
use time::UtcDateTime;

use super::client::{Client, Question};
use super::document::{self, Granted};
use super::error::{Problem, SourceError};
use crate::connection::UnusableConnection;
use crate::pure::failure::FailureClass;
use crate::pure::secret::Secret;

/// What errors call it.
pub(super) const ASKED: &str = "the container's credentials";

/// A token is a few hundred bytes, a signed one a few thousand. More is another file.
const LONGEST_TOKEN: u64 = 16 * 1024;

/// Where ECS, EKS over IPv4 and EKS over IPv6 have their endpoints. Beside loopback nothing else is
/// asked without TLS: these three are what every SDK allows (AWS SDKs Reference Guide, "Container
/// credential provider"; botocore, `ContainerMetadataFetcher`).
const AGENTS: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
];

/// A client of one container's endpoint.
#[derive(Debug, Clone)]
pub struct ContainerEndpoint {
    client: Client,
    /// From the host on.
    path: String,
    token: BearerToken,
}

/// What the endpoint knows the container by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BearerToken {
    /// ECS needs none: the path is as good.
    None,
    /// Read anew each time: EKS replaces it.
    File(PathBuf),
    Value(Secret<String>),
}

impl ContainerEndpoint {
    /// Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When the URL cannot be used, as one without TLS that is neither on this machine nor an agent's.
    pub fn new(
        url: &str,
        token: BearerToken,
        ca_bundle: Option<&Path>,
        proxy: Option<&str>,
    ) -> Result<Self, UnusableConnection> {
        let unusable = |place: &str, reason| {
            UnusableConnection::new("the container's endpoint", place, reason)
        };
        let parsed = url.parse::<http::Uri>().ok();
        let (scheme, authority, path) = parsed
            .as_ref()
            .and_then(|uri| {
                Some((uri.scheme_str()?, uri.authority()?, uri.path_and_query()?.as_str()))
            })
            // A name and a password would be shown.
            .filter(|(_, authority, _)| !authority.as_str().contains('@'))
            .ok_or_else(|| unusable("(not shown)", "this is not a URL"))?;
        let endpoint = format!("{scheme}://{authority}");
        if scheme == "http" && !is_asked_without_tls(authority.host()) {
            let reason = "without https only loopback, 169.254.170.2, 169.254.170.23 and \
                          fd00:ec2::23 are asked";
            return Err(unusable(&endpoint, reason));
        }
        let client = Client::new(&endpoint, ca_bundle, proxy)?;
        Ok(Self { client, path: path.to_owned(), token })
    }

    /// Scheme and host: the path is as good as a token in ECS.
    pub fn endpoint(&self) -> &str {
        self.client.endpoint()
    }

    /// The credentials that there are now.
    ///
    /// # Errors
    ///
    /// What stands in the way: no answer, a refusal, a token that cannot be read.
    pub async fn credentials(&self, now: UtcDateTime) -> Result<Granted, SourceError> {
        self.ask(now).await.map_err(|problem| SourceError {
            asked: ASKED,
            endpoint: self.endpoint().to_owned(),
            problem,
        })
    }

    async fn ask(&self, now: UtcDateTime) -> Result<Granted, Problem> {
        let token = match &self.token {
            BearerToken::None => None,
            BearerToken::File(path) => Some(read_token(path)?),
            BearerToken::Value(token) => Some(checked(token.clone(), "the token")?),
        };
        let header = token.map(|token| ("authorization", token));
        let question = Question { method: Method::GET, path: &self.path, header };
        let answer = self.client.ask(question).await?;
        let said = || document::said(&answer);
        match answer.status {
            200 => document::read(&answer.body, now),
            401 | 403 => Err(Problem::TokenRefused(said())),
            400 | 404 => Err(Problem::NoContainerRole(said())),
            429 => Err(Problem::Failing { class: FailureClass::Throttled, message: said() }),
            500.. => Err(Problem::Failing { class: FailureClass::ServiceFault, message: said() }),
            _ => Err(Problem::Malformed(said())),
        }
    }
}

fn is_asked_without_tls(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost"
        || address
            .is_ok_and(|address| address.to_canonical().is_loopback() || AGENTS.contains(&address))
}

fn read_token(path: &Path) -> Result<Secret<String>, Problem> {
    let mut text = String::with_capacity(LONGEST_TOKEN as usize);
    let read = File::open(path).and_then(|file| file.take(LONGEST_TOKEN).read_to_string(&mut text));
    let text = Secret::new(text);
    let unusable =
        |reason: &str| Problem::Local(format!("the token's file {}: {reason}", path.display()));
    read.map_err(|error| unusable(&error.to_string()))?;
    checked(text, &format!("the token's file {}", path.display()))
}

/// One line that can stand in a header. The newline at a file's end is none of the token.
fn checked(text: Secret<String>, what: &str) -> Result<Secret<String>, Problem> {
    let token = text.expose().trim_end_matches(['\r', '\n']);
    if token.is_empty() {
        Err(Problem::Local(format!("{what} is empty")))
    } else if token.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        Ok(Secret::new(token.to_owned()))
    } else {
        Err(Problem::Local(format!("{what} holds more than one line of plain characters")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_nothing_leaves_this_machine() {
        let endpoint = |url: &str| {
            ContainerEndpoint::new(url, BearerToken::None, None, None)
                .map(|endpoint| endpoint.endpoint().to_owned())
                .map_err(|error| error.to_string())
        };
        for (url, shown) in [
            ("http://169.254.170.2/v2/credentials/uuid", "http://169.254.170.2"),
            ("http://localhost:1338/latest", "http://localhost:1338"),
            ("http://169.254.170.23/v1/credentials", "http://169.254.170.23"),
            ("http://[fd00:ec2::23]/v1/credentials", "http://[fd00:ec2::23]"),
            ("http://127.9.9.9/credentials", "http://127.9.9.9"),
            ("http://[::1]:1338/credentials", "http://[::1]:1338"),
            ("https://example.com/credentials", "https://example.com"),
        ] {
            assert_eq!(endpoint(url).as_deref(), Ok(shown));
        }
        for url in [
            "http://example.com/uuid",
            "http://192.0.2.1/uuid",
            "http://169.254.170.3/uuid",
            "http://169.254.169.254/uuid",
            "http://[fd00:ec2::254]/uuid",
            "http://[fe80::1]/uuid",
            "http://localhost.example/uuid",
        ] {
            let error = endpoint(url).unwrap_err();
            assert!(error.contains("without https only loopback"), "{error}");
            assert!(!error.contains("uuid"), "{error}");
        }
        for url in ["/v2/credentials/uuid", "http://me:hunter2@localhost/", ""] {
            let error = endpoint(url).unwrap_err();
            assert!(error.contains("not a URL") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_token_is_one_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            read_token(file.path()).map_err(|problem| problem.to_string())
        };
        for text in ["Bearer hunter2", "Bearer hunter2\n", "Bearer hunter2\r\n"] {
            assert_eq!(read(text).unwrap().expose(), "Bearer hunter2");
        }
        for text in ["", "\n", "hunter2\nX-Other: 1", "hunter\u{e9}"] {
            let error = read(text).unwrap_err();
            assert!(error.contains("the token's file /") && !error.contains("hunter"), "{error}");
        }
        let missing = read_token(Path::new("/nonexistent/token")).unwrap_err();
        assert!(missing.to_string().contains("No such file"), "{missing}");
    }
}
