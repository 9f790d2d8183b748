//! `[endpoint.container]` and `[endpoint.imds]`: where programs may ask over HTTP.

use std::net::SocketAddr;
use std::ops::Range;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::file::set;
use super::role::Misplaced;
use super::value::Text;
use super::{Origin, Settings};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoints {
    container: Option<Endpoint>,
    imds: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    listen: Option<Spanned<Text<LoopbackAddress>>>,
}

/// Takes the endpoints over.
///
/// # Errors
///
/// Two that would listen at one address: the one that is named later.
pub(super) fn merge(
    settings: &mut Settings,
    endpoints: Endpoints,
    origin: impl Fn(Range<usize>) -> Origin,
) -> Result<(), Misplaced> {
    let listen = |endpoint: Option<Endpoint>| endpoint.and_then(|endpoint| endpoint.listen);
    let (container, imds) = (listen(endpoints.container), listen(endpoints.imds));
    let spans =
        container.as_ref().zip(imds.as_ref()).map(|(one, other)| (one.span(), other.span()));
    let address = |Text(LoopbackAddress(address))| Some(address);
    set(&mut settings.container_listen, container, address, &origin);
    set(&mut settings.imds_listen, imds, address, &origin);
    let (container, imds) = (&settings.container_listen, &settings.imds_listen);
    match (container.value, imds.value, spans) {
        (Some(one), Some(other), Some((first, second))) if one == other && one.port() != 0 => {
            let message = format!(
                "both endpoints are to listen at {one} ({} and {}): give one another port",
                container.origin, imds.origin
            );
            let later = if first.start > second.start { first } else { second };
            Err((later, message).into())
        }
        _ => Ok(()),
    }
}

struct LoopbackAddress(SocketAddr);

impl FromStr for LoopbackAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let address = text.parse::<SocketAddr>();
        let address = address.map_err(|_| "expected an address and a port, as 127.0.0.1:1338")?;
        if address.ip().is_loopback() {
            Ok(Self(address))
        } else {
            Err("only loopback will do, as 127.0.0.1:1338: on any other address, other machines \
                 could ask, whose users the kernel cannot name")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::read;
    use super::*;

    #[test]
    fn endpoints_are_off_until_they_are_named() {
        let settings = read("[endpoint.container]\n[endpoint.imds]\n").unwrap();
        assert_eq!((settings.container_listen.value, settings.imds_listen.value), (None, None));
        let settings = read("[endpoint.imds]\nlisten = \"[::1]:1339\"\n").unwrap();
        assert_eq!(settings.container_listen.value, None);
        assert_eq!(settings.imds_listen.value, Some("[::1]:1339".parse().unwrap()));
        assert_eq!(
            settings.imds_listen.origin,
            Origin::File { path: "/etc/x.toml".into(), line: 2 }
        );
    }

    #[test]
    fn what_others_could_reach_is_refused_with_the_reason() {
        for (listen, expected) in [
            ("0.0.0.0:1338", ":2:10: only loopback will do"),
            ("[::]:1338", "only loopback will do"),
            ("169.254.169.254:80", "only loopback will do"),
            ("192.0.2.1:1338", "only loopback will do"),
            ("localhost:1338", "expected an address and a port"),
            ("127.0.0.1", "expected an address and a port"),
            ("127.0.0.1:65536", "expected an address and a port"),
        ] {
            let error = read(&format!("[endpoint.container]\nlisten = \"{listen}\"\n"));
            let error = error.unwrap_err();
            assert!(error.contains(expected), "{listen}: {error}");
        }
        for (text, expected) in [
            ("[endpoint.ecs]\nlisten = \"127.0.0.1:1\"\n", "unknown field `ecs`"),
            ("[endpoint]\nlisten = \"127.0.0.1:1\"\n", "unknown field `listen`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn one_address_is_for_one_endpoint() {
        let both = |port: u16| {
            let listen = format!("listen = \"127.0.0.1:{port}\"");
            read(&format!("[endpoint.container]\n{listen}\n[endpoint.imds]\n{listen}\n"))
        };
        let error = both(1338).unwrap_err();
        assert!(error.contains("(/etc/x.toml:2 and /etc/x.toml:4)"), "{error}");
        assert!(both(0).is_ok());
    }
}
