//! Two ways to hand credentials to programs over HTTP that every AWS SDK knows: the instance
//! metadata service of EC2, version 2 ([`instance`]), and the container credentials endpoint of ECS
//! and CloudShell ([`container`]). A request's head and what there is to tell go in, a reply comes
//! out.
//!
//! Both are for programs on this machine. What a proxy passed on, what a browser sent and what came
//! under a foreign name is refused before anything else is looked at: a page that a user visits
//! must not read credentials through their browser, nor a client through a careless server.

use core::net::{Ipv4Addr, Ipv6Addr};

use time::{UtcDateTime, format_description::well_known::Rfc3339};

use super::secret::Secret;

pub mod bearer_tokens;
pub mod container;
pub mod instance;
pub mod session;
pub mod tree;

/// What a client sent, without the body: no request here has one.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub method: &'a str,
    /// What stands before the path where the target is a whole URL, as clients send that take us for
    /// a proxy (RFC 9112, section 3.2.2).
    pub authority: Option<&'a str>,
    /// As sent, without the query.
    pub path: &'a str,
    /// Names in any case.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What the client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// Often credentials.
    pub body: Secret<Vec<u8>>,
    /// Why there are none.
    pub refused: Option<Refusal>,
}

/// Why there are no credentials to hand out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// None at the moment; the client should ask again.
    Now,
    /// The role cannot be had until somebody changes it, under AWS's code for that.
    Refused { code: &'static str, message: String },
}

/// A request that gets nothing. The text says what to do instead; it holds nothing that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("send the Host header once")]
    NoHost,
    #[error("the Host header must be an address or localhost")]
    ForeignHost,
    #[error("a request that was passed on is not answered")]
    PassedOn,
    #[error("a browser is not answered")]
    Browser,
    #[error("send no body")]
    Body,
    #[error("this user may have no credentials here")]
    NotAllowed,
    #[error("send X-aws-ec2-metadata-token-ttl-seconds with 1 to 21600")]
    Lifetime,
    #[error("send X-aws-ec2-metadata-token with a token from PUT /latest/api/token")]
    NoSession,
    #[error("send the authorization token in the Authorization header")]
    NoAuthorization,
    #[error("the authorization token is not the one of this endpoint")]
    WrongAuthorization,
    #[error("there is nothing at this path")]
    Nothing,
    #[error("there is nothing at this path: {0}")]
    Missing(&'static str),
    /// With the method that would do.
    #[error("the method must be {0}")]
    Method(&'static str),
    #[error("there are no usable credentials at the moment")]
    NoCredentials,
    #[error("whether this user may have credentials here cannot be told at the moment")]
    Undecided,
    #[error("this user asks too often; wait, and keep the credentials until they end")]
    TooMany,
}

/// What proxies and browsers add to a request, and no SDK does. One that ends in a dash stands for all
/// that begin with it.
///
/// A browser's name is no mark: PowerShell, whose requests are a program's, calls itself `Mozilla/5.0`
/// as well. Every browser since 2023 sends `Sec-Fetch-Site` to this machine; an older one comes under
/// a page's own name, or sends `Origin` before anything that a page could read.
const MARKS: [(&str, Refusal); 20] = [
    ("forwarded", Refusal::PassedOn),
    ("via", Refusal::PassedOn),
    ("x-forwarded-", Refusal::PassedOn),
    ("x-original-", Refusal::PassedOn),
    ("x-envoy-", Refusal::PassedOn),
    ("x-real-ip", Refusal::PassedOn),
    ("x-client-ip", Refusal::PassedOn),
    ("x-cluster-client-ip", Refusal::PassedOn),
    ("true-client-ip", Refusal::PassedOn),
    ("cf-connecting-ip", Refusal::PassedOn),
    ("fastly-client-ip", Refusal::PassedOn),
    ("fly-client-ip", Refusal::PassedOn),
    ("x-azure-clientip", Refusal::PassedOn),
    ("cdn-loop", Refusal::PassedOn),
    ("max-forwards", Refusal::PassedOn),
    ("proxy-connection", Refusal::PassedOn),
    ("origin", Refusal::Browser),
    ("referer", Refusal::Browser),
    ("sec-ch-", Refusal::Browser),
    ("sec-fetch-", Refusal::Browser),
];

impl<'a> Head<'a> {
    /// The header's value, if it was sent exactly once. A header sent twice has no one meaning.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Refuses what does not come from a program on this machine.
    ///
    /// An address as Host is as good as another: a browser is led here under a *name* that somebody
    /// else controls (DNS rebinding), and then sends that name.
    fn check_origin(&self) -> Result<(), Refusal> {
        let host = self.header("host").ok_or(Refusal::NoHost)?;
        if !is_address(host) && !without_port(host).eq_ignore_ascii_case("localhost") {
            return Err(Refusal::ForeignHost);
        }
        // A URL of somebody else's is for a proxy to fetch.
        if self.authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(host)) {
            return Err(Refusal::ForeignHost);
        }
        if let Some(refusal) = self.headers.iter().find_map(|(name, _)| mark(name)) {
            return Err(refusal);
        }
        // Nothing here needs one, and where two say differently how long it is, or a proxy would have
        // read it otherwise, there might be another request in it.
        let ends = self.values("content-length").any(|length| length != "0");
        if ends || self.values("transfer-encoding").next().is_some() {
            return Err(Refusal::Body);
        }
        Ok(())
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }
}

impl Reply {
    fn new(status: u16, content_type: &str, body: Secret<Vec<u8>>) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { status, headers, body, refused: None }
    }

    fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain", Secret::new(text.as_bytes().to_vec()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(sent, _)| *sent == name).map(|(_, value)| value.as_str())
    }
}

impl Refusal {
    pub fn status(self) -> u16 {
        match self {
            Refusal::NoHost | Refusal::Lifetime | Refusal::Body => 400,
            Refusal::NoSession | Refusal::NoAuthorization => 401,
            Refusal::ForeignHost
            | Refusal::PassedOn
            | Refusal::Browser
            | Refusal::NotAllowed
            | Refusal::WrongAuthorization => 403,
            Refusal::Nothing | Refusal::Missing(_) => 404,
            Refusal::Method(_) => 405,
            Refusal::TooMany => 429,
            Refusal::NoCredentials | Refusal::Undecided => 503,
        }
    }

    /// `reply`, with what its status needs beside the body (RFC 9110, section 15.5.6).
    fn complete(self, mut reply: Reply) -> Reply {
        reply.refused = Some(self);
        if let Refusal::Method(allowed) = self {
            reply.headers.push(("allow", allowed.to_owned()));
        }
        reply
    }
}

/// How a JSON object is set: AWS's metadata service has a member on each line, and scripts that cut
/// it up with `grep`; its container endpoints have it in one.
struct Layout {
    open: &'static str,
    colon: &'static str,
    comma: &'static str,
    close: &'static str,
}

const IN_LINES: Layout = Layout { open: "{\n  ", colon: " : ", comma: ",\n  ", close: "\n}" };
const COMPACT: Layout = Layout { open: "{", colon: ":", comma: ",", close: "}" };

impl Layout {
    /// The object with these members, in this order; `None` is null.
    fn object(&self, members: &[(&str, Option<&str>)]) -> Secret<Vec<u8>> {
        // Room for all of it, so that no half of a secret stays behind in memory that was outgrown.
        let long = |value: &Option<&str>| value.map_or(0, str::len);
        let room = members.iter().map(|(name, value)| name.len() + long(value) + 16).sum();
        let mut text = Vec::with_capacity(room);
        let mut before = self.open;
        for (name, value) in members {
            text.extend_from_slice(before.as_bytes());
            // Writing text to memory cannot fail.
            let _ = serde_json::to_writer(&mut text, name);
            text.extend_from_slice(self.colon.as_bytes());
            let _ = serde_json::to_writer(&mut text, value);
            before = self.comma;
        }
        text.extend_from_slice(self.close.as_bytes());
        Secret::new(text)
    }
}

/// A moment as every SDK reads it: `2026-11-22T00:00:52Z`, whole seconds.
fn to_the_second(at: UtcDateTime) -> String {
    at.replace_nanosecond(0).ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Who else than a program adds a header of this name.
fn mark(name: &str) -> Option<Refusal> {
    let is = |mark: &str| match name.get(..mark.len()) {
        Some(start) if mark.ends_with('-') => start.eq_ignore_ascii_case(mark),
        _ => name.eq_ignore_ascii_case(mark),
    };
    MARKS.iter().find(|(mark, _)| is(mark)).map(|(_, refusal)| *refusal)
}

/// Whether a Host header is an IP address, perhaps with a port.
fn is_address(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || is_port(port))
        }
        None => without_port(host).parse::<Ipv4Addr>().is_ok(),
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if is_port(&host[at..]) => &host[..at],
        _ => host,
    }
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|digits| {
        (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    mod properties;

    use super::*;

    fn origin(headers: &[(&str, &str)]) -> Result<(), Refusal> {
        Head { method: "GET", authority: None, path: "/", headers }.check_origin()
    }

    #[test]
    fn addresses_and_localhost_are_hosts_and_names_are_not() {
        for host in [
            "127.0.0.1:4599",
            "127.0.0.1",
            "169.254.169.254",
            "[::1]:80",
            "[fd00:ec2::254]",
            "localhost:1338",
            "LOCALHOST",
        ] {
            assert_eq!(origin(&[("Host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "127.0.0.1.evil.example",
            "127.0.0.1:80:80",
            "127.1",
            "",
            ":80",
            "[::1",
            "[::1]x",
            "::1",
            "localhost:123456",
            "user@localhost",
        ] {
            assert_eq!(origin(&[("Host", host)]), Err(Refusal::ForeignHost), "{host}");
        }
    }

    #[test]
    fn no_host_and_two_hosts_are_bad_requests() {
        assert_eq!(origin(&[]), Err(Refusal::NoHost));
        assert_eq!(origin(&[("host", "localhost"), ("Host", "127.0.0.1")]), Err(Refusal::NoHost));
    }

    #[test]
    fn what_proxies_and_browsers_send_is_refused() {
        let host = ("Host", "localhost");
        for (header, refusal) in [
            (("X-Forwarded-For", ""), Refusal::PassedOn),
            (("Forwarded", "for=192.0.2.1"), Refusal::PassedOn),
            (("Origin", "null"), Refusal::Browser),
            (("Referer", "http://localhost/"), Refusal::Browser),
            (("Sec-Fetch-Site", "same-origin"), Refusal::Browser),
            (("Sec-Fetch-Mode", "cors"), Refusal::Browser),
            (("sec-ch-ua", "\"Chromium\";v=\"130\""), Refusal::Browser),
            (("Via", "1.1 squid"), Refusal::PassedOn),
            (("VIA", "1.1 google"), Refusal::PassedOn),
            (("X-Forwarded-Host", "localhost"), Refusal::PassedOn),
            (("X-Forwarded-Proto", "https"), Refusal::PassedOn),
            (("X-Real-IP", "192.0.2.1"), Refusal::PassedOn),
            (("x-client-ip", "192.0.2.1"), Refusal::PassedOn),
            (("X-Original-URL", "/"), Refusal::PassedOn),
            (("Proxy-Connection", "keep-alive"), Refusal::PassedOn),
            (("Fastly-Client-IP", "192.0.2.1"), Refusal::PassedOn),
            (("CDN-Loop", "cloudflare"), Refusal::PassedOn),
            (("Max-Forwards", "10"), Refusal::PassedOn),
        ] {
            assert_eq!(origin(&[host, header]), Err(refusal), "{header:?}");
            assert_eq!(refusal.status(), 403);
        }
    }

    #[test]
    fn programs_are_answered_whatever_they_call_themselves() {
        let host = ("Host", "localhost");
        for header in [
            ("User-Agent", "curl/8.5.0"),
            // Invoke-RestMethod of PowerShell 7.4, and of Windows PowerShell 5.1.
            ("User-Agent", "Mozilla/5.0 (Linux; Debian GNU/Linux 12; en-US) PowerShell/7.4.6"),
            (
                "User-Agent",
                "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1",
            ),
            ("User-Agent", ""),
            ("Accept", "*/*"),
            ("X-Forward", "a mark's beginning is no mark"),
            ("Viaduct", "nor is more than one"),
            ("sec-\u{fc}", "nor what is cut within a letter"),
        ] {
            assert_eq!(origin(&[host, header]), Ok(()), "{header:?}");
        }
    }

    #[test]
    fn a_whole_url_is_answered_when_it_is_our_own() {
        let whole = |authority, host| {
            let headers = [("Host", host)];
            let authority = Some(authority);
            Head { method: "GET", authority, path: "/", headers: &headers }.check_origin()
        };
        assert_eq!(whole("127.0.0.1:1339", "127.0.0.1:1339"), Ok(()));
        assert_eq!(whole("LocalHost:1339", "localhost:1339"), Ok(()));
        for (authority, host) in [
            ("evil.example", "127.0.0.1:1339"),
            ("127.0.0.1:1339", "evil.example"),
            ("evil.example", "evil.example"),
            ("169.254.169.254", "127.0.0.1:1339"),
            ("user@127.0.0.1:1339", "127.0.0.1:1339"),
        ] {
            assert_eq!(whole(authority, host), Err(Refusal::ForeignHost), "{authority} {host}");
        }
    }

    #[test]
    fn a_request_that_announces_a_body_is_refused() {
        let host = ("Host", "localhost");
        assert_eq!(origin(&[host, ("Content-Length", "0")]), Ok(()));
        for header in [
            ("Content-Length", "1"),
            ("Content-Length", "+0"),
            ("Transfer-Encoding", "chunked"),
            ("Transfer-Encoding", ""),
        ] {
            assert_eq!(origin(&[host, header]), Err(Refusal::Body), "{header:?}");
        }
    }

    #[test]
    fn objects_are_set_in_lines_or_in_one() {
        let members = [("Code", None), ("Token", Some("a\"b"))];
        let text = |layout: Layout| String::from_utf8(layout.object(&members).expose().clone());
        assert_eq!(text(IN_LINES).unwrap(), "{\n  \"Code\" : null,\n  \"Token\" : \"a\\\"b\"\n}");
        assert_eq!(text(COMPACT).unwrap(), r#"{"Code":null,"Token":"a\"b"}"#);
    }
}
