//! The dashboard at `/`: the lab in a browser, as it is and as it changes.
//!
//! `survey` looks at the service and notes a `snapshot`; `sections` render it, into the
//! `page` for everybody and again into `events` for whoever watches; `script.js` puts what
//! arrives in place. Every button is a plain form, a `wish`, so that all of it works without the
//! script. `gate` says who may come in: this machine, with the token.

mod events;
mod gate;
mod marks;
mod page;
mod sections;
mod snapshot;
mod survey;
#[cfg(test)]
mod tests;
mod trouble;
mod wish;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::response::Response;
use time::UtcDateTime;
use tokio::sync::{Semaphore, watch};

use self::gate::{Gate, TurnedAway};
use self::marks::Actions;
use self::page::{Notice, Place, page};
use self::snapshot::Snapshot;
use self::survey::survey;
use self::wish::{NewActivation, Wish};
use super::answers::Refusal;
use super::connection::whole;
use super::form::Form;
use super::invitation::Invitation;
use super::message::{Reply, Request};
use super::server::lock;
use super::service::Service;
use super::store::StoreError;
use super::tls::Greeting;
use crate::host::entropy::Entropy;

/// Where things are.
const PAGE: &str = "/";
const EVENTS: &str = "/dashboard/events";
const STYLE: &str = "/dashboard/style.css";
const SCRIPT: &str = "/dashboard/script.js";
const ICON: &str = "/dashboard/icon.svg";

/// The query's field that names an activation whose code waits to be shown.
const CREATED: &str = "created";

/// Codes that wait for their page; the oldest goes first.
const MOST_CODES: usize = 16;

/// Browsers that may watch at once.
const MOST_WATCHERS: usize = 16;

/// What every answer carries. Nothing is loaded from elsewhere, nothing inline is run, nobody may
/// frame the page or keep it, and its address is told to nobody.
const PRECAUTIONS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// The dashboard of one lab; clones are the same one.
#[derive(Debug, Clone)]
pub struct Dashboard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Arc<Mutex<Service>>,
    gate: Gate,
    endpoint_url: String,
    ca_bundle: Option<PathBuf>,
    region: String,
    /// Told whenever the service may have changed.
    changes: watch::Sender<()>,
    watchers: Arc<Semaphore>,
    new_activations: Mutex<Vec<NewActivation>>,
}

impl Dashboard {
    /// Of a lab that listens on `address`.
    pub fn new(
        service: Arc<Mutex<Service>>,
        greeting: &Greeting,
        address: SocketAddr,
        entropy: &dyn Entropy,
    ) -> Self {
        let region = lock(&service).region().as_str().to_owned();
        Self(Arc::new(Inner {
            service,
            gate: Gate::new(entropy),
            endpoint_url: greeting.url(address),
            ca_bundle: greeting.ca_bundle().map(Path::to_owned),
            region,
            changes: watch::Sender::new(()),
            watchers: Arc::new(Semaphore::new(MOST_WATCHERS)),
            new_activations: Mutex::default(),
        }))
    }

    /// Where a browser on this machine finds it, token included: who has it may do everything here.
    pub fn url(&self) -> String {
        format!("{}{}", self.0.endpoint_url, self.actions().to(PAGE))
    }

    /// The service may have changed: whoever watches gets to see it soon.
    pub fn changed(&self) {
        self.0.changes.send_replace(());
    }

    /// Answers what is asked of the dashboard; nothing for what is asked of AWS. Signed requests are
    /// AWS's, `GET /` among them: it lists S3's buckets.
    ///
    /// `peer` is the other end of the connection, `now` this machine's time.
    pub fn answer(
        &self,
        request: &Request,
        peer: IpAddr,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Option<Response> {
        let is_page = request.path == PAGE && ["GET", "HEAD"].contains(&request.method.as_str());
        if request.has_header("authorization")
            || !(is_page || request.path.starts_with("/dashboard/"))
        {
            return None;
        }
        if let Err(away) = self.0.gate.check_place(request, peer) {
            return Some(turned_away(away));
        }
        let asset = |kind: &str, text: &str| text_reply(200, kind, text.to_owned());
        Some(match (request.method.as_str(), request.path.as_str()) {
            ("GET", STYLE) => asset("text/css", include_str!("style.css")),
            ("GET", SCRIPT) => asset("text/javascript", include_str!("script.js")),
            ("GET", ICON) => asset("image/svg+xml", include_str!("icon.svg")),
            _ => match self.0.gate.check_token(request) {
                Ok(()) => self.answer_guest(request, entropy, now),
                Err(away) => turned_away(away),
            },
        })
    }

    /// For who has the token.
    fn answer_guest(&self, request: &Request, entropy: &dyn Entropy, now: UtcDateTime) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", PAGE) => self.page(200, self.notice(request).as_ref(), now),
            ("HEAD", PAGE) => self.page(200, None, now),
            ("GET", EVENTS) => self.watch(),
            ("POST", _) => match self.0.gate.check_origin(request) {
                Ok(()) => self.fulfil(request, entropy, now),
                Err(away) => turned_away(away),
            },
            _ => text_reply(404, "text/plain", "There is nothing here.\n".to_owned()),
        }
    }

    /// Does what a form asks for, and leads back to the page.
    fn fulfil(&self, request: &Request, entropy: &dyn Entropy, now: UtcDateTime) -> Response {
        let form = std::str::from_utf8(&request.body).ok().and_then(|body| Form::parse(body).ok());
        let Some(wish) = form.and_then(|form| Wish::read(&request.path, &form)) else {
            return text_reply(404, "text/plain", "There is no such form.\n".to_owned());
        };
        let granted = wish.and_then(|wish| wish.grant(&mut lock(&self.0.service), entropy, now));
        self.changed();
        match granted {
            Ok(None) => see_other(&self.actions().to(PAGE)),
            Ok(Some(activation)) => {
                let back = format!("{}&{CREATED}={}", self.actions().to(PAGE), activation.id);
                self.keep(activation);
                see_other(&back)
            }
            Err(Refusal { code, message, .. }) => {
                let notice = Notice::Refused { code: code.into_owned(), message };
                self.page(400, Some(&notice), now)
            }
        }
    }

    fn page(&self, status: u16, notice: Option<&Notice>, now: UtcDateTime) -> Response {
        let place = Place { endpoint_url: &self.0.endpoint_url, region: &self.0.region };
        match self.snapshot(now) {
            Ok(snapshot) => {
                let text = page(&snapshot, place, self.actions(), notice).into_string();
                text_reply(status, "text/html", text)
            }
            Err(error) => text_reply(500, "text/plain", format!("{error}\n")),
        }
    }

    fn snapshot(&self, now: UtcDateTime) -> Result<Snapshot, StoreError> {
        survey(&mut lock(&self.0.service), now)
    }

    /// Keeps a new activation's code until its page is asked for.
    fn keep(&self, activation: NewActivation) {
        let mut waiting = lock(&self.0.new_activations);
        if waiting.len() == MOST_CODES {
            waiting.remove(0);
        }
        waiting.push(activation);
    }

    /// What the page says about the activation that its address names: the code, the first time.
    fn notice(&self, request: &Request) -> Option<Notice> {
        let query = Form::parse(&request.query).ok()?;
        let id = query.get(CREATED)?;
        let mut waiting = lock(&self.0.new_activations);
        let Some(at) = waiting.iter().position(|activation| activation.id == id) else {
            return Some(Notice::AlreadyShown);
        };
        let NewActivation { id, code } = waiting.remove(at);
        let invitation = Invitation {
            activation_id: &id,
            activation_code: &code,
            region: &self.0.region,
            endpoint_url: &self.0.endpoint_url,
            ca_bundle: self.0.ca_bundle.as_deref(),
        };
        let command = invitation.line_as_root();
        Some(Notice::Activation { id, command })
    }

    /// A stream of what changes, while there is room.
    fn watch(&self) -> Response {
        match self.0.watchers.clone().try_acquire_owned() {
            Ok(seat) => {
                let mut response = guarded(Reply::new(200, "text/event-stream", Vec::new()));
                response.headers_mut().remove("content-length");
                *response.body_mut() = Body::from_stream(events::events(self.clone(), seat));
                response
            }
            Err(_) => text_reply(503, "text/plain", "Too many are watching.\n".to_owned()),
        }
    }

    fn actions(&self) -> Actions<'_> {
        Actions { token: self.0.gate.token() }
    }
}

fn turned_away(away: TurnedAway) -> Response {
    text_reply(away.status(), "text/plain", format!("{away}\n"))
}

fn see_other(address: &str) -> Response {
    let mut reply = Reply::new(303, "text/plain", Vec::new());
    reply.headers.push(("location", address.to_owned()));
    guarded(reply)
}

fn text_reply(status: u16, kind: &str, text: String) -> Response {
    guarded(Reply::new(status, &format!("{kind}; charset=utf-8"), text.into_bytes()))
}

/// With the precautions.
fn guarded(mut reply: Reply) -> Response {
    reply.headers.extend(PRECAUTIONS.map(|(name, value)| (name, value.to_owned())));
    whole(reply)
}
