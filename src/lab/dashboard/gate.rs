//! Who may come in: somebody on this machine who knows the address that the lab printed.
//!
//! A page of another origin in the same browser is somebody on this machine too. It does not know
//! the token; the names it can give to this machine are not taken (DNS rebinding), and what it makes
//! the browser send says where it comes from.

use std::net::IpAddr;

use crate::host::entropy::Entropy;
use crate::lab::form::Form;
use crate::lab::message::Request;
use crate::pure::secret::Secret;

/// The query's field that holds the token.
pub const TOKEN: &str = "token";

/// What must be known to come in.
#[derive(Debug)]
pub struct Gate {
    token: Secret<String>,
}

/// Why somebody may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TurnedAway {
    #[error("The request has no Host header.")]
    NoHost,
    #[error("The dashboard answers only the machine that the lab runs on.")]
    Elsewhere,
    #[error(
        "The dashboard answers only to localhost, 127.0.0.1 and [::1]; this request gave it another \
         name."
    )]
    Name,
    #[error(
        "This is rolekeeper-lab, a stand-in for AWS on this machine. Its dashboard is at the address \
         that `rolekeeper-lab serve` printed, which ends in a token: http://…/?token=…"
    )]
    Token,
    #[error("A page from elsewhere made your browser send this; nothing was done.")]
    Origin,
}

impl Gate {
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self { token: Secret::new(hex::encode(bytes)) }
    }

    /// What the address ends in.
    pub fn token(&self) -> &str {
        self.token.expose()
    }

    /// Whether the request comes from this machine, and meant to. Enough for a style sheet.
    pub fn check_place(&self, request: &Request, peer: IpAddr) -> Result<(), TurnedAway> {
        if !peer.to_canonical().is_loopback() {
            return Err(TurnedAway::Elsewhere);
        }
        let host = request.header("host").ok_or(TurnedAway::NoHost)?;
        if is_loopback_name(host) { Ok(()) } else { Err(TurnedAway::Name) }
    }

    /// Whether the query has the token.
    pub fn check_token(&self, request: &Request) -> Result<(), TurnedAway> {
        let query = Form::parse(&request.query).map_err(|_| TurnedAway::Token)?;
        let sent = query.get(TOKEN).unwrap_or_default();
        if alike(sent.as_bytes(), self.token().as_bytes()) {
            Ok(())
        } else {
            Err(TurnedAway::Token)
        }
    }

    /// Whether a page of ours sent this, or no page at all (`curl`). A browser that says where the
    /// request comes from is believed: no page can make it lie.
    pub fn check_origin(&self, request: &Request) -> Result<(), TurnedAway> {
        let same = match (request.header("sec-fetch-site"), request.header("origin")) {
            (Some(site), _) => site == "same-origin",
            (None, Some(origin)) => {
                let host = request.header("host");
                origin.split_once("://").is_some_and(|(_, origin)| Some(origin) == host)
            }
            // A header sent twice has no one meaning.
            (None, None) => !request.has_header("sec-fetch-site") && !request.has_header("origin"),
        };
        if same { Ok(()) } else { Err(TurnedAway::Origin) }
    }
}

impl TurnedAway {
    pub fn status(self) -> u16 {
        match self {
            TurnedAway::NoHost => 400,
            _ => 403,
        }
    }
}

/// `localhost` or a loopback address, on any port: a tunnel's end has a port of its own.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Compares in a time that tells nothing about where the two differ.
fn alike(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |seen, (a, b)| seen | (a ^ b));
    one.len() == other.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::host::entropy::SystemEntropy;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn request(query: &str, headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Request { query: query.into(), headers: headers.collect(), ..Request::default() }
    }

    #[test]
    fn the_token_lets_in_and_nothing_else_does() {
        let gate = Gate::new(&SystemEntropy);
        let token = gate.token().to_owned();
        let check = |query: &str| gate.check_token(&request(query, &[]));
        assert_eq!(token.len(), 32);
        assert_eq!(check(&format!("token={token}")), Ok(()));
        assert_eq!(check(&format!("created=x&token={token}")), Ok(()));
        for wrong in [
            String::new(),
            "token".into(),
            "token=".into(),
            format!("token={}", &token[1..]),
            format!("token={token}0"),
            format!("token={}", "0".repeat(32)),
            format!("token={token}&token={token}"),
            format!("Token={token}"),
            "token=%ff".into(),
        ] {
            assert_eq!(check(&wrong), Err(TurnedAway::Token), "{wrong}");
        }
        assert_ne!(Gate::new(&SystemEntropy).token(), token);
    }

    #[test]
    fn only_names_of_this_machine_are_taken() {
        let gate = Gate::new(&SystemEntropy);
        let check = |host: &str| gate.check_place(&request("", &[("Host", host)]), HERE);
        for good in
            ["127.0.0.1:4599", "127.0.0.1", "localhost:8080", "LocalHost", "[::1]:4599", "[::1]"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "rebound.example:4599",
            "127.0.0.1.rebound.example",
            "localhost.rebound.example:80",
            "192.0.2.7:4599",
            "0.0.0.0:4599",
            "127.0.0.1:4599:1",
            "user@127.0.0.1",
            "127.1",
            "",
        ] {
            assert_eq!(check(bad), Err(TurnedAway::Name), "{bad}");
        }
        assert_eq!(gate.check_place(&request("", &[]), HERE), Err(TurnedAway::NoHost));
        let twice = request("", &[("Host", "localhost"), ("Host", "rebound.example")]);
        assert_eq!(gate.check_place(&twice, HERE), Err(TurnedAway::NoHost));
    }

    #[test]
    fn only_this_machine_comes_in() {
        let gate = Gate::new(&SystemEntropy);
        let check = |peer: &str| {
            gate.check_place(&request("", &[("Host", "localhost")]), peer.parse().unwrap())
        };
        assert_eq!(check("127.0.0.1"), Ok(()));
        assert_eq!(check("127.9.9.9"), Ok(()));
        assert_eq!(check(&Ipv6Addr::LOCALHOST.to_string()), Ok(()));
        assert_eq!(check("::ffff:127.0.0.1"), Ok(()));
        for elsewhere in ["192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "fe80::1", "0.0.0.0"] {
            assert_eq!(check(elsewhere), Err(TurnedAway::Elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn another_page_cannot_make_the_browser_act() {
        let gate = Gate::new(&SystemEntropy);
        let check = |headers: &[(&str, &str)]| {
            let mut all = vec![("Host", "127.0.0.1:4599")];
            all.extend(headers);
            gate.check_origin(&request("", &all))
        };
        for good in [
            &[][..],
            &[("Sec-Fetch-Site", "same-origin")],
            // What a page without referrers sends.
            &[("Sec-Fetch-Site", "same-origin"), ("Origin", "null")],
            &[("Origin", "http://127.0.0.1:4599")],
            &[("Origin", "https://127.0.0.1:4599")],
        ] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for bad in [
            &[("Sec-Fetch-Site", "cross-site")][..],
            &[("Sec-Fetch-Site", "same-site")],
            &[("Sec-Fetch-Site", "none")],
            &[("Sec-Fetch-Site", "cross-site"), ("Origin", "http://127.0.0.1:4599")],
            &[("Origin", "null")],
            &[("Origin", "http://127.0.0.1:80")],
            &[("Origin", "http://elsewhere.example")],
            &[("Origin", "http://127.0.0.1:4599"), ("Origin", "http://elsewhere.example")],
        ] {
            assert_eq!(check(bad), Err(TurnedAway::Origin), "{bad:?}");
        }
    }
}
