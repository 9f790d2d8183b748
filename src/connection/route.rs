//! The way to an endpoint, as it may be shown: no path, no password.

use hyper_util::client::proxy::matcher::Matcher;

use super::is_local;

/// An endpoint's host, and the proxy before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// With its port, where that is not the scheme's own.
    pub host: String,
    /// `scheme://host:port`.
    pub proxy: Option<String>,
}

impl Route {
    /// The way to the endpoint with that URL: through the proxy, or else that of the environment, as
    /// [`http_client`] takes it.
    ///
    /// [`http_client`]: super::http_client
    pub fn new(endpoint: &str, proxy: Option<&str>) -> Self {
        let Ok(uri) = endpoint.parse::<http::Uri>() else { return Self::default() };
        let host = uri.host().unwrap_or_default();
        let host = uri.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        Self { host, proxy: between(&uri, proxy) }
    }

    /// What went wrong on this way, where nothing came back: the proxy may have been at fault.
    pub fn blame(&self, message: String) -> String {
        match &self.proxy {
            Some(proxy) => format!("{message} (through the proxy {proxy})"),
            None => message,
        }
    }
}

fn between(endpoint: &http::Uri, proxy: Option<&str>) -> Option<String> {
    if is_local(endpoint) {
        return None;
    }
    let matcher = match proxy {
        Some(url) => Matcher::builder().all(url).build(),
        None => Matcher::from_env(),
    };
    let intercept = matcher.intercept(endpoint)?;
    let uri = intercept.uri();
    let scheme = uri.scheme_str().unwrap_or("http");
    let default = if scheme == "https" { 443 } else { 80 };
    // Without the user and the password before the host.
    Some(format!("{scheme}://{}:{}", uri.host()?, uri.port_u16().unwrap_or(default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_without_its_password() {
        let aws = "https://ssm.eu-central-1.amazonaws.com/a/path";
        for (proxy, shown) in [
            ("http://user:hidden@proxy.example:3128", "http://proxy.example:3128"),
            ("http://proxy.example", "http://proxy.example:80"),
            ("https://hidden@proxy.example", "https://proxy.example:443"),
            ("http://[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
        ] {
            let route = Route::new(aws, Some(proxy));
            assert_eq!(route.host, "ssm.eu-central-1.amazonaws.com");
            assert_eq!(route.proxy.as_deref(), Some(shown));
            let blame = route.blame("Connection refused".to_owned());
            assert_eq!(blame, format!("Connection refused (through the proxy {shown})"));
        }
        let local = Route::new("http://127.0.0.1:4599/secret", Some("http://proxy.example:3128"));
        assert_eq!(local, Route { host: "127.0.0.1:4599".to_owned(), proxy: None });
        assert_eq!(local.blame("no".to_owned()), "no");
    }
}
