//! What else may have been signed: the request with one thing changed back.

use time::Duration;

use super::capture::Capture;
use super::departure::{Departure, Part};
use crate::lab::message::Request;
use crate::lab::operation::{Operation, requested};
use crate::lab::signed_text::{SignedText, shown_canonical_request};
use crate::pure::signing::{
    Authorization, CredentialScope, amz_date, parse_amz_date, sha256_hex, string_to_sign,
};

/// How far around the date that was sent a signed one is looked for.
const DATE_SEARCH: Duration = Duration::minutes(15);

/// What S3's clients sign in place of a body's hash.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Content types that AWS's protocols send.
const CONTENT_TYPES: [&str; 4] = [
    "application/x-amz-json-1.1",
    "application/x-amz-json-1.0",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-8",
];

/// What a signature is checked against.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Without its body, for which the hash stands.
    request: Request,
    authorization: Authorization,
    payload_sha256: String,
}

/// Something else that may have been signed.
#[derive(Debug, Clone)]
pub struct Alternative {
    /// What it says if this is it.
    pub departure: Departure,
    pub string_to_sign: String,
    pub scope: CredentialScope,
}

impl Reading {
    /// The request as it stands.
    pub fn of(request: &Request, authorization: &Authorization) -> Self {
        let request_without_body = Request {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            body: Vec::new(),
            finding: None,
        };
        let unsigned = authorization.scope.service == "s3"
            && request.header("x-amz-content-sha256") == Some(UNSIGNED);
        let payload_sha256 = if unsigned { UNSIGNED.to_owned() } else { sha256_hex(&request.body) };
        Self { request: request_without_body, authorization: authorization.clone(), payload_sha256 }
    }

    pub fn text(&self) -> SignedText {
        SignedText::of(&self.request, &self.authorization, self.date(), &self.payload_sha256)
    }

    /// The canonical request with its credentials shortened.
    pub fn shown(&self) -> String {
        shown_canonical_request(&self.request, &self.authorization, &self.payload_sha256)
    }

    pub fn payload_sha256(&self) -> &str {
        &self.payload_sha256
    }

    fn date(&self) -> &str {
        self.request.header("x-amz-date").unwrap_or_default()
    }

    pub fn scope(&self) -> &CredentialScope {
        &self.authorization.scope
    }

    /// The likely mistakes first, the search through the dates last.
    pub fn alternatives(&self, capture: &Capture) -> impl Iterator<Item = Alternative> {
        let mut found = self.bodies(capture);
        found.extend(self.hosts(capture));
        found.extend(self.values(capture));
        found.extend(self.blanks());
        found.extend(self.scopes(capture));
        found.into_iter().chain(self.dates())
    }

    fn with(&self, departure: Departure, change: impl FnOnce(&mut Self)) -> Alternative {
        let mut changed = self.clone();
        change(&mut changed);
        Alternative {
            departure,
            string_to_sign: changed.text().string_to_sign,
            scope: changed.authorization.scope,
        }
    }

    fn signs(&self, name: &str) -> bool {
        self.authorization.signed_headers.iter().any(|signed| signed == name)
    }

    fn with_value(&self, part: Part, name: &str, value: &str) -> Option<Alternative> {
        let sent = self.request.header(name)?;
        if sent == value || !self.signs(name) {
            return None;
        }
        let text = format!("the signature is over '{name}: {value}'; sent was '{sent}'");
        Some(self.with(Departure::new(part, text), |changed| {
            for (sent, old) in &mut changed.request.headers {
                if sent.eq_ignore_ascii_case(name) {
                    value.clone_into(old);
                }
            }
        }))
    }

    fn bodies(&self, capture: &Capture) -> Vec<Alternative> {
        let body = &capture.request.body;
        let trimmed = body.trim_ascii_end();
        let hashes = [
            (sha256_hex(trimmed), "the body without the line end or blanks that it ends with"),
            (sha256_hex(&[trimmed, b"\n"].concat()), "the body with a line feed at its end"),
            (
                self.request.header("x-amz-content-sha256").unwrap_or_default().to_owned(),
                "the body that x-amz-content-sha256 names: the body was changed after it was signed",
            ),
            (sha256_hex(b""), "an empty body"),
            (
                UNSIGNED.to_owned(),
                "UNSIGNED-PAYLOAD in place of the body's hash, which is S3's alone",
            ),
        ];
        hashes
            .into_iter()
            .filter(|(hash, _)| !hash.is_empty() && *hash != self.payload_sha256)
            .map(|(hash, what)| {
                let departure = Departure::new(Part::Body, format!("the signature is over {what}"));
                self.with(departure, |changed| changed.payload_sha256 = hash)
            })
            .collect()
    }

    fn hosts(&self, capture: &Capture) -> Vec<Alternative> {
        let host = self.request.header("host").unwrap_or_default();
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        let scope = &self.authorization.scope;
        let with_port = |name: &str| match port {
            "" => name.to_owned(),
            port => format!("{name}:{port}"),
        };
        let likely = [
            name.to_owned(),
            format!("{name}:80"),
            format!("{name}:443"),
            host.to_ascii_lowercase(),
            with_port("localhost"),
            with_port("127.0.0.1"),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            format!("{}.{}.amazonaws.com", scope.service, scope.region),
            format!("{}.amazonaws.com", scope.service),
            capture.authority.clone().unwrap_or_default(),
        ];
        likely.iter().filter_map(|value| self.with_value(Part::Host, "host", value)).collect()
    }

    fn values(&self, capture: &Capture) -> Vec<Alternative> {
        let mut found = Vec::new();
        let mut or =
            |name: &str, value: &str| found.extend(self.with_value(Part::Header, name, value));
        for content_type in CONTENT_TYPES {
            or("content-type", content_type);
        }
        for operation in Operation::ALL {
            or("x-amz-target", &format!("AmazonSSM.{operation}"));
        }
        or("content-length", &capture.request.body.len().to_string());
        for (method, path) in [("POST", "/"), ("GET", "/")] {
            if (method, path) != (self.request.method.as_str(), self.request.path.as_str()) {
                let text = format!("the signature is over {method} {path}");
                found.push(self.with(Departure::new(Part::SignedText, text), |changed| {
                    changed.request.method = method.to_owned();
                    changed.request.path = path.to_owned();
                    changed.request.query.clear();
                }));
            }
        }
        found
    }

    /// Runs of blanks kept as they are, and tabs taken for spaces.
    fn blanks(&self) -> Vec<Alternative> {
        let mut found = Vec::new();
        for name in &self.authorization.signed_headers {
            let Some(value) = self.request.header(name) else { continue };
            let words = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            if value.contains('\t') {
                let text = format!("'{name}' was signed with its tabs taken for spaces");
                found.push(self.with(Departure::new(Part::Whitespace, text), |changed| {
                    for (sent, old) in &mut changed.request.headers {
                        if sent.eq_ignore_ascii_case(name) {
                            words.clone_into(old);
                        }
                    }
                }));
            }
            if value.contains("  ") {
                // The canonical form collapses blanks, so what kept them is put in afterwards.
                let canonical = self.text().canonical_request;
                let line = |value: &str| format!("\n{name}:{value}\n");
                let raw = canonical.replace(&line(&words), &line(value));
                let text = format!("'{name}' was signed with its runs of blanks kept");
                found.push(Alternative {
                    departure: Departure::new(Part::Whitespace, text),
                    string_to_sign: string_to_sign(self.date(), &self.authorization.scope, &raw),
                    scope: self.authorization.scope.clone(),
                });
            }
        }
        found
    }

    fn scopes(&self, capture: &Capture) -> Vec<Alternative> {
        let scope = &self.authorization.scope;
        let with = |change: &dyn Fn(&mut CredentialScope)| {
            let mut other = scope.clone();
            change(&mut other);
            (other != *scope).then(|| {
                let text = format!("the signature is for the scope {other}; sent was {scope}");
                self.with(Departure::new(Part::Scope, text), |changed| {
                    changed.authorization.scope = other.clone();
                })
            })
        };
        let mut found = Vec::new();
        found.extend(with(&|other| other.date = self.date().chars().take(8).collect()));
        if let Some(region) = region_of(self.request.header("host").unwrap_or_default()) {
            found.extend(with(&|other| region.clone_into(&mut other.region)));
        }
        let (_, operation) = requested(&capture.request);
        let service = operation.ok().map(Operation::service);
        for service in service.into_iter().chain(["ssm", "sts", "s3"]) {
            found.extend(with(&|other| service.clone_into(&mut other.service)));
        }
        found
    }

    fn dates(&self) -> impl Iterator<Item = Alternative> {
        let sent = parse_amz_date(self.date()).filter(|_| self.signs("x-amz-date"));
        let bound = DATE_SEARCH.whole_seconds();
        sent.into_iter().flat_map(move |sent| {
            (-bound..=bound).filter_map(move |seconds| {
                let date = amz_date(sent.checked_add(Duration::seconds(seconds))?);
                self.with_value(Part::Date, "x-amz-date", &date)
            })
        })
    }
}

/// The region in `ssm.eu-central-1.amazonaws.com`.
pub fn region_of(host: &str) -> Option<&str> {
    let name = host.split(':').next()?;
    let name = name.strip_suffix(".amazonaws.com").or(name.strip_suffix(".amazonaws.com.cn"))?;
    let (_, region) = name.rsplit_once('.')?;
    region.ends_with(|last: char| last.is_ascii_digit()).then_some(region)
}
