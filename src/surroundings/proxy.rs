//! Which proxy a request would take, and what names it.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use crate::connection::{Connection, is_local};
use crate::host::environment;

/// A proxy without its password, and what names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// A setting, or a variable as `$HTTPS_PROXY`.
    pub named_by: String,
    pub host: String,
    pub port: u16,
}

/// The variables by scheme, in the order in which the SDK's client asks for them.
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const EXCLUSIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The proxy between here and `endpoint`, if there is one: the setting's, else the environment's,
/// `NO_PROXY` considered.
pub fn between(connection: &Connection, endpoint: &Uri) -> Option<Proxy> {
    if is_local(endpoint) {
        return None;
    }
    let (matcher, named_by) = match &connection.proxy {
        Some(url) => (
            Matcher::builder().all(url.as_str()).build(),
            "[service] proxy in the settings".to_owned(),
        ),
        None => (Matcher::from_env(), variable(endpoint)?),
    };
    let intercept = matcher.intercept(endpoint)?;
    let uri = intercept.uri();
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    Some(Proxy {
        named_by,
        host: uri.host()?.trim_matches(['[', ']']).to_owned(),
        port: uri.port_u16().unwrap_or(default),
    })
}

/// Variables about proxies that are set, without their values, which may hold passwords.
pub fn set_for(endpoint: &Uri) -> Vec<String> {
    let set = names(endpoint).filter(|name| environment::variable(name).is_some());
    set.map(|name| format!("${name}")).collect()
}

/// All variables by which an endpoint's proxy may be named, or left out.
pub fn names(endpoint: &Uri) -> impl Iterator<Item = &'static str> {
    by_scheme(endpoint).into_iter().chain(EXCLUSIONS)
}

fn by_scheme(endpoint: &Uri) -> [&'static str; 4] {
    if endpoint.scheme_str() == Some("http") { HTTP } else { HTTPS }
}

fn variable(endpoint: &Uri) -> Option<String> {
    let name =
        by_scheme(endpoint).into_iter().find(|name| environment::variable(name).is_some())?;
    Some(format!("${name}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_settings_proxy_is_named_without_its_password_and_loopback_needs_none() {
        let connection = Connection {
            region: "eu-central-1".parse().unwrap(),
            endpoint_url: None,
            fips: false,
            dual_stack: false,
            ca_bundle: None,
            proxy: Some("http://user:secret@proxy.example:3128".into()),
            attempt_timeout: Duration::from_secs(1),
            out_of_reach: None,
        };
        let through = |endpoint: &'static str| between(&connection, &Uri::from_static(endpoint));
        let proxy = through("https://ssm.eu-central-1.amazonaws.com").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        assert!(!format!("{proxy:?}").contains("secret"));
        assert_eq!(through("http://127.0.0.1:4599"), None);
        assert_eq!(through("http://[::1]:4599"), None);
    }
}
