//! Does the service answer, and is it the service?
//!
//! An unsigned call is answered by AWS with an error of its own: that its signature is missing. Any
//! other answer is somebody else's.

use time::UtcDateTime;

use super::Finding;
use super::certificate::{Distrust, in_words};
use crate::pure::aws_endpoint;

/// A service that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    SystemsManager,
    TokenService,
}

/// One unsigned call: how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub endpoint: String,
    pub host: String,
    /// The proxy, and what names it.
    pub proxy: Option<String>,
    /// The CA bundle that the settings name.
    pub ca_bundle: Option<String>,
    /// What came before the outcome: addresses, connections.
    pub steps: Vec<String>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A setting by which nothing can be sent.
    Unusable(String),
    NoName {
        host: String,
        reason: String,
    },
    NoConnection {
        to: String,
        reason: String,
    },
    /// The name has IPv4 addresses alone, and this machine has a way to IPv6 alone.
    NoIpv4 {
        to: String,
    },
    Distrusted(Distrust),
    NoAnswer(String),
    Answered(Answer),
}

/// What can be told of an answer without knowing whose it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub date: Option<UtcDateTime>,
    pub content_type: Option<String>,
    /// The `Server` header, by which portals and proxies give themselves away.
    pub server: Option<String>,
    pub location: Option<String>,
    /// Whether AWS's request id came along.
    pub request_id: bool,
    /// The beginning of the body.
    pub body: String,
}

/// The longest excerpt of a stranger's page.
const EXCERPT: usize = 80;

impl Service {
    pub fn name(self) -> &'static str {
        match self {
            Self::SystemsManager => "Systems Manager",
            Self::TokenService => "STS",
        }
    }
}

impl Answer {
    /// The service's own error code: JSON's `__type`, or XML's `<Code>`.
    pub fn code(&self) -> Option<&str> {
        let kind = between(&self.body, "\"__type\":\"", "\"");
        let code = match kind {
            Some(kind) => kind.rsplit_once('#').map_or(kind, |(_, code)| code),
            None if self.body.contains("<ErrorResponse") => {
                between(&self.body, "<Code>", "</Code>")?
            }
            None => return None,
        };
        let code = code.split(':').next().unwrap_or(code);
        let plain = !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric());
        plain.then_some(code)
    }

    /// AWS answered, whatever it said.
    pub fn is_the_services(&self) -> bool {
        self.code().is_some() && !(200..400).contains(&self.status)
            || self.request_id && self.status >= 500
    }
}

/// Judges one call. Who answers an unsigned call with AWS's own error is AWS.
pub fn judge(service: Service, attempt: &Attempt) -> Finding {
    let (name, endpoint) = (service.name(), &attempt.endpoint);
    let finding = match &attempt.outcome {
        Outcome::Unusable(reason) => Finding::wrong(
            format!("no request can be sent to {endpoint}: {reason}"),
            "check [service] in the settings: rolekeeper config show",
        ),
        Outcome::NoName { host, reason } => Finding::wrong(
            format!("the name {host} is not known here: {reason}"),
            match &attempt.proxy {
                Some(proxy) => format!("check {proxy}, then DNS: getent hosts {host}"),
                None => format!("check DNS and the region: getent hosts {host}"),
            },
        ),
        Outcome::NoConnection { to, reason } => Finding::wrong(
            format!("no connection to {to}: {reason}"),
            match &attempt.proxy {
                Some(proxy) => format!("check {proxy}, and that it listens there"),
                None => "let port 443 out to the service, or name the proxy to go through: proxy \
                         in [service], or HTTPS_PROXY"
                    .to_owned(),
            },
        ),
        Outcome::NoIpv4 { to } => Finding::wrong(
            format!("no connection to {to}: this machine has a way to IPv6 addresses alone"),
            match &attempt.proxy {
                Some(proxy) => format!("name the proxy by its IPv6 address: {proxy}"),
                None if aws_endpoint::is_of_aws(endpoint) => "set dual_stack = true in [service], \
                     then systemctl reload rolekeeper: AWS's dual-stack names have IPv6 addresses"
                    .to_owned(),
                None => {
                    "name the endpoint by its IPv6 address: endpoint_url in [service]".to_owned()
                }
            },
        ),
        Outcome::Distrusted(distrust) => {
            let (text, remedy) = in_words(distrust, &attempt.host, attempt.ca_bundle.as_deref());
            Finding::wrong(text, remedy)
        }
        Outcome::NoAnswer(reason) => Finding::wrong(
            format!("{endpoint} was reached and gave no answer: {reason}"),
            "check proxy and firewall, which let the connection through and not the request",
        ),
        Outcome::Answered(answer) if !answer.is_the_services() => Finding::wrong(
            format!("what answers at {endpoint} is not {name}"),
            "check endpoint_url, proxy and captive portals: log in to the network first",
        )
        .all_seen(portrait(answer)),
        Outcome::Answered(answer) if answer.status >= 500 => Finding::warning(
            format!("{name} is failing: {}", said(answer)),
            "wait: the daemon keeps asking by itself; https://health.aws.amazon.com tells more",
        ),
        Outcome::Answered(answer) => {
            Finding::ok(format!("answers at {endpoint}")).seen(said(answer))
        }
    };
    let through = attempt.proxy.iter().map(|proxy| format!("through the proxy of {proxy}"));
    finding.all_seen(through).all_seen(attempt.steps.iter().cloned())
}

fn said(answer: &Answer) -> String {
    let code = answer.code().unwrap_or("no code");
    format!("HTTP {}, {code}", answer.status)
}

/// By which a person recognises whose answer it is.
fn portrait(answer: &Answer) -> Vec<String> {
    let line = |name: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("{name}: {}", excerpt(value)))
    };
    let title = between(&answer.body, "<title>", "</title>").map(excerpt);
    let title = title.or_else(|| between(&answer.body, "<TITLE>", "</TITLE>").map(excerpt));
    [
        Some(format!("HTTP status {}", answer.status)),
        line("Content-Type", &answer.content_type),
        line("Server", &answer.server),
        line("Location", &answer.location),
        title.map(|title| format!("a page titled '{title}'")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// On one line, of bounded length, without what a terminal would obey.
pub fn excerpt(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).take(EXCERPT).collect()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pure::diagnosis::Verdict;

    fn attempt(outcome: Outcome) -> Attempt {
        Attempt {
            endpoint: "https://ssm.eu-central-1.amazonaws.com".into(),
            host: "ssm.eu-central-1.amazonaws.com".into(),
            proxy: None,
            ca_bundle: None,
            steps: vec![],
            outcome,
        }
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.into(), ..Answer::default() }
    }

    fn judged(outcome: Outcome) -> Finding {
        judge(Service::SystemsManager, &attempt(outcome))
    }

    #[test]
    fn an_error_of_the_services_own_is_what_a_working_path_gives() {
        for (status, body) in [
            (400, r#"{"__type":"MissingAuthenticationTokenException","message":"x"}"#),
            (400, r#"{"__type":"com.amazonaws.ssm#UnknownOperationException"}"#),
            (403, "<ErrorResponse xmlns=\"x\"><Error><Code>MissingAuthenticationToken</Code>"),
        ] {
            let finding = judged(Outcome::Answered(answer(status, body)));
            assert_eq!(finding.verdict, Verdict::Ok, "{finding:?}");
        }
        let failing = judged(Outcome::Answered(answer(503, r#"{"__type":"InternalServerError"}"#)));
        assert_eq!(failing.verdict, Verdict::Warning);
        assert!(failing.text.contains("HTTP 503, InternalServerError"), "{}", failing.text);
    }

    #[test]
    fn a_page_is_not_the_service_however_it_calls_itself() {
        let portal = Answer {
            content_type: Some("text/html".into()),
            server: Some("PortalBox/1.0".into()),
            ..answer(200, "<html><title>Log in\n to the   network\x1b[2J</title>")
        };
        let finding = judged(Outcome::Answered(portal));
        assert_eq!(finding.verdict, Verdict::Wrong);
        assert!(finding.text.ends_with("is not Systems Manager"), "{}", finding.text);
        assert!(finding.evidence.contains(&"Server: PortalBox/1.0".to_owned()));
        assert!(finding.evidence.contains(&"a page titled 'Log in to the network[2J'".to_owned()));
        for (status, body) in [
            (200, r#"{"__type":"x"}"#),
            (302, ""),
            (403, "<html><Code>denied</Code>"),
            (502, "<html>Bad gateway"),
        ] {
            let finding = judged(Outcome::Answered(answer(status, body)));
            assert_eq!(finding.verdict, Verdict::Wrong, "{status} {body}");
        }
    }

    #[test]
    fn each_way_to_fail_names_the_place_where_it_did() {
        let (host, reason) = ("proxy.example".to_owned(), "no such name".to_owned());
        for (outcome, text, remedy) in [
            (Outcome::NoName { host, reason }, "proxy.example is not known", "getent hosts"),
            (
                Outcome::NoConnection { to: "10.0.0.1:443".into(), reason: "refused".into() },
                "no connection to 10.0.0.1:443: refused",
                "port 443",
            ),
            (Outcome::Distrusted(Distrust::Expired), "has ended", "clock"),
            (Outcome::NoAnswer("no answer in time".into()), "gave no answer", "proxy"),
            (Outcome::Unusable("bad".into()), "no request can be sent", "config show"),
        ] {
            let finding = judged(outcome.clone());
            assert!(finding.text.contains(text), "{finding:?}");
            assert!(finding.remedy.unwrap().contains(remedy));
            let proxied = Attempt { proxy: Some("$HTTPS_PROXY".into()), ..attempt(outcome) };
            let finding = judge(Service::TokenService, &proxied);
            assert_eq!(finding.evidence[0], "through the proxy of $HTTPS_PROXY");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_a_panic(body in "(?s).{0,200}", status: u16) {
            let answer = answer(status, &body);
            let _ = (answer.code(), answer.is_the_services(), portrait(&answer));
        }
    }
}
