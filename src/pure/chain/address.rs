//! Where an endpoint is, taken from a URI: enough to know our own, and whether an SDK goes there.

use core::net::{IpAddr, SocketAddr};
use std::fmt;

use super::shown;

/// A URI's scheme, host, port and path. A user name, a query and a fragment are dropped: they may be
/// secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub https: bool,
    pub host: String,
    pub port: u16,
    pub path: String,
}

/// Where a relative URI of a container leads: ECS's agent.
pub const CONTAINER_HOST: &str = "169.254.170.2";

/// EC2's metadata service.
pub const METADATA_HOST: &str = "169.254.169.254";

/// What every SDK takes without TLS beside loopback: the agents of ECS and EKS.
const AGENTS: [&str; 3] = [CONTAINER_HOST, "169.254.170.23", "fd00:ec2::23"];

impl Address {
    pub fn http(host: &str, path: &str) -> Self {
        Self { https: false, host: host.to_owned(), port: 80, path: path.to_owned() }
    }

    /// None of a text that is no `http` or `https` URI.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None if https => 443,
            None => 80,
        };
        let host = host.to_ascii_lowercase();
        (!host.is_empty()).then(|| Self { https, host, port, path: path.to_owned() })
    }

    /// Whether it is this listener of loopback.
    pub fn is(&self, listener: SocketAddr) -> bool {
        let same_host = match self.host.parse::<IpAddr>() {
            Ok(address) => address == listener.ip(),
            Err(_) => self.host == "localhost",
        };
        same_host && self.port == listener.port() && !self.https
    }

    /// Whether SDKs send their token there: by TLS anywhere, without it to loopback and to the known
    /// agents alone.
    pub fn is_allowed(&self) -> bool {
        let address = self.host.parse::<IpAddr>().ok();
        self.https
            || self.host == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || AGENTS.iter().any(|agent| address.is_some() && address == agent.parse().ok())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.https { ("https", 443) } else { ("http", 80) };
        let host = shown(&self.host);
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{host}]")?,
            false => write!(f, "{scheme}://{host}")?,
        }
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&shown(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uri_is_taken_apart_and_loses_what_may_be_secret() {
        for (text, expected) in [
            ("http://127.0.0.1:1338/credentials/a", "http://127.0.0.1:1338/credentials/a"),
            ("HTTP://user:hunter2@LocalHost/x?key=hunter2#y", "http://localhost/x"),
            ("https://[::1]:443/", "https://[::1]/"),
            ("http://[::1]:1338", "http://[::1]:1338"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "x", "http+unix://a", "http://", "http://a:b/", "http://[::1", "unix:///a"]
        {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_listener_is_known_by_address_and_port() {
        let listener = "127.0.0.1:1338".parse().unwrap();
        let is = |text: &str| Address::parse(text).unwrap().is(listener);
        assert!(is("http://127.0.0.1:1338/") && is("http://localhost:1338/credentials/a"));
        assert!(
            !is("http://127.0.0.1/")
                && !is("http://127.0.0.2:1338")
                && !is("https://127.0.0.1:1338")
        );
    }

    #[test]
    fn tokens_go_without_tls_to_loopback_and_agents_alone() {
        let allowed = |text: &str| Address::parse(text).unwrap().is_allowed();
        for text in ["http://127.1.2.3/", "http://[::1]/", "http://localhost", "https://a.b/"] {
            assert!(allowed(text), "{text}");
        }
        assert!(allowed("http://169.254.170.2/") && allowed("http://[fd00:ec2::23]/"));
        for text in ["http://host.docker.internal/", "http://10.0.0.1/", "http://169.254.169.254/"]
        {
            assert!(!allowed(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(text in "(http(s)?://)?[\\PC]{0,40}") {
            if let Some(address) = Address::parse(&text) {
                prop_assert!(!address.to_string().contains(['\n', '?', '#']));
            }
        }
    }
}
