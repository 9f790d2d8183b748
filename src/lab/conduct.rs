//! How a request is met once the faults have had their say.

use std::time::Duration;

use time::UtcDateTime;

use super::answers::{self, Refusal};
use super::faults::{Effect, altered};
use super::ledger::{Entry, Outcome};
use super::message::{Reply, Request};
use super::operation::{Dialect, requested};
use super::service::Service;
use super::signatures::claimed_node;
use super::{control, issue, signatures};
use crate::host::entropy::Entropy;

/// How a request is met once the faults have had their say.
#[derive(Debug, PartialEq, Eq)]
pub enum Conduct {
    Answer(Reply),
    /// Wait, then [`Service::answer`].
    AnswerAfter(Duration),
    /// Say that the whole is coming, send half, close.
    Tear(Reply),
    Hang,
    Reset,
}

impl Service {
    /// Meets a request, faults included. `now` is this machine's time.
    pub fn receive(
        &mut self,
        request: &Request,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Conduct {
        if control::is_control(request) {
            return Conduct::Answer(self.answer(request, entropy, now));
        }
        let (dialect, operation) = requested(request);
        let operation = operation.ok();
        let node = claimed_node(request, &self.tokens);
        let at = self.clock.now(now);
        let Some(effect) = self.faults.verdict(operation, node.as_ref(), entropy.jitter(), at)
        else {
            return Conduct::Answer(self.answer(request, entropy, now));
        };
        if !effect.lets_through() {
            let outcome = Outcome::Disturbed(effect.name());
            self.ledger.record(Entry { at, operation, node: node.clone(), outcome });
        }
        let answer = |service: &mut Self| service.answer(request, entropy, now);
        Conduct::Answer(match effect {
            Effect::Status { status, code } => {
                let code = code.unwrap_or_else(|| usual_code(status).to_owned());
                let refusal = Refusal::with_status(status, code, "A fault of the lab answers");
                // A fault's status counts as given, also where STS would have another for the code.
                Reply { status, ..refuse(dialect, &refusal, entropy, at) }
            }
            Effect::SignatureRefusal => refuse(dialect, &signatures::refuse(request), entropy, at),
            Effect::Html { status } => answers::html(status),
            Effect::Latency(delay) => return Conduct::AnswerAfter(delay),
            Effect::Hang => return Conduct::Hang,
            // Who is connected already when connections are refused is reset.
            Effect::Reset | Effect::RefusedConnection => return Conduct::Reset,
            Effect::TornBody => return Conduct::Tear(answer(self)),
            Effect::WrongJson => altered::unparsable(answer(self)),
            Effect::WrongShape => altered::misshapen(answer(self)),
            Effect::MissingMember(member) => altered::without(answer(self), &member),
            Effect::SkewedDate(by) => answer(self).dated(at.saturating_add(by)),
            Effect::SkewedExpiry(by) => altered::expiring(answer(self), by),
            Effect::UpdateKeyPair => {
                // What cannot be done to the node, the answer says.
                let _ = node.map(|node| self.nodes.ask_for_new_key(&node));
                answer(self)
            }
            Effect::Deregistration => {
                let _ = node.map(|node| self.nodes.deregister(&node));
                answer(self)
            }
        })
    }
}

/// A fault's answer in the service's place.
fn refuse(dialect: Dialect, refusal: &Refusal, entropy: &dyn Entropy, now: UtcDateTime) -> Reply {
    let request_id = issue::uuid(entropy).to_string();
    answers::refusal(dialect, refusal, &request_id).stamped(request_id, now)
}

/// What AWS usually says with a status.
fn usual_code(status: u16) -> &'static str {
    match status {
        429 => "TooManyRequestsException",
        503 => "ServiceUnavailableException",
        403 => "AccessDeniedException",
        400..=499 => "ValidationException",
        _ => "InternalServerError",
    }
}
