//! What a fault does to a request.

use std::fmt;
use std::time::Duration;

use crate::lab::operation::{Dialect, Operation};
use crate::pure::duration::{display_duration, display_offset};

/// What happens to a request, or to whoever wants to send one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Refused with this status; without a code, the usual one for the status.
    Status { status: u16, code: Option<String> },
    /// Refused with a page for people, as a proxy would.
    Html { status: u16 },
    /// The service says that the signature is wrong, right or not.
    SignatureRefusal,
    /// Answered as always, but late.
    Latency(Duration),
    /// Never answered.
    Hang,
    /// The connection is reset; the service has not seen the request.
    Reset,
    /// Nobody listens. Meets everybody, the lab's own control too, and needs an end.
    RefusedConnection,
    /// The service does what was asked; half of the answer arrives.
    TornBody,
    /// The service does what was asked; the answer arrives whole, and its body cannot be parsed.
    WrongJson,
    /// The same; the body can be parsed, and is not what it should be.
    WrongShape,
    /// The same; this member is left out.
    MissingMember(String),
    /// The same; the `Date` header is off by so much.
    SkewedDate(time::Duration),
    /// The same; the credentials are said to end so much later or, below zero, sooner.
    SkewedExpiry(time::Duration),
    /// The node's role tokens ask for a new key from now on, until it has changed.
    UpdateKeyPair,
    /// The node is deregistered first; what follows is the service's own answer.
    Deregistration,
}

impl Effect {
    /// One word for lists, files and the ledger.
    pub fn name(&self) -> &'static str {
        match self {
            Effect::Status { .. } => "status",
            Effect::Html { .. } => "html",
            Effect::SignatureRefusal => "signature-refusal",
            Effect::Latency(_) => "latency",
            Effect::Hang => "hang",
            Effect::Reset => "reset",
            Effect::RefusedConnection => "refused-connection",
            Effect::TornBody => "torn-body",
            Effect::WrongJson => "wrong-json",
            Effect::WrongShape => "wrong-shape",
            Effect::MissingMember(_) => "missing-member",
            Effect::SkewedDate(_) => "skewed-date",
            Effect::SkewedExpiry(_) => "skewed-expiry",
            Effect::UpdateKeyPair => "update-key-pair",
            Effect::Deregistration => "deregistration",
        }
    }

    /// Whether the service still gets to see the request.
    pub fn lets_through(&self) -> bool {
        match self {
            Effect::Status { .. }
            | Effect::Html { .. }
            | Effect::SignatureRefusal
            | Effect::Hang
            | Effect::Reset
            | Effect::RefusedConnection => false,
            Effect::Latency(_)
            | Effect::TornBody
            | Effect::WrongJson
            | Effect::WrongShape
            | Effect::MissingMember(_)
            | Effect::SkewedDate(_)
            | Effect::SkewedExpiry(_)
            | Effect::UpdateKeyPair
            | Effect::Deregistration => true,
        }
    }

    /// Whether it can do anything to this operation. `None` is a request that names none.
    pub fn fits(&self, operation: Option<Operation>) -> bool {
        let dialect = operation.map(Operation::dialect);
        match self {
            Effect::SkewedExpiry(_) => matches!(
                operation,
                Some(
                    Operation::RequestManagedInstanceRoleToken
                        | Operation::AssumeRole
                        | Operation::InstanceMetadata
                        | Operation::ContainerCredentials
                )
            ),
            Effect::UpdateKeyPair => operation == Some(Operation::RequestManagedInstanceRoleToken),
            Effect::WrongJson | Effect::WrongShape | Effect::MissingMember(_) => {
                matches!(dialect, Some(Dialect::Json | Dialect::Metadata))
            }
            // Nobody signs what is asked of the machine itself.
            Effect::SignatureRefusal => dialect != Some(Dialect::Metadata),
            _ => true,
        }
    }

    /// Whether it is done to a node, and so does nothing to a request that comes from none.
    pub fn needs_node(&self) -> bool {
        matches!(self, Effect::UpdateKeyPair | Effect::Deregistration)
    }
}

/// What a client gets, in words.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Status { status, code: None } => write!(f, "status {status}"),
            Effect::Status { status, code: Some(code) } => write!(f, "status {status} {code}"),
            Effect::Html { status } => write!(f, "a web page with status {status}"),
            Effect::SignatureRefusal => f.write_str("the signature is refused"),
            Effect::Latency(span) => write!(f, "an answer {} late", display_duration(*span)),
            Effect::Hang => f.write_str("no answer, ever"),
            Effect::Reset => f.write_str("the connection is reset"),
            Effect::RefusedConnection => f.write_str("connections are refused"),
            Effect::TornBody => f.write_str("half of the answer"),
            Effect::WrongJson => f.write_str("an answer that cannot be parsed"),
            Effect::WrongShape => f.write_str("an answer of the wrong shape"),
            Effect::MissingMember(name) => write!(f, "an answer without {name}"),
            Effect::SkewedDate(by) => write!(f, "a Date that is off by {}", display_offset(*by)),
            Effect::SkewedExpiry(by) => {
                write!(f, "an expiry that is off by {}", display_offset(*by))
            }
            Effect::UpdateKeyPair => f.write_str("the node is asked for a new key"),
            Effect::Deregistration => f.write_str("the node is deregistered"),
        }
    }
}
