//! The names of what `pure::refresher` and `pure::assumer` hear and decide, for the log: what they carry is
//! as good as a key.

use crate::pure::assumer;
use crate::pure::failure::FailureClass;
use crate::pure::refresher::{self, AskAs};

/// What was heard, and how it failed.
pub(super) type Heard = (&'static str, Option<FailureClass>);

/// Logs what was decided about the credentials of that name.
pub(super) fn log(name: &str, (heard, class): Heard, decided: &[&str]) {
    // One that is none yet comes each minute.
    if decided.is_empty() && heard == DEADLINE {
        return;
    }
    let decided = if decided.is_empty() { "nothing to do".to_owned() } else { decided.join(", ") };
    tracing::debug!(name, class = class.map(FailureClass::name), "{heard}: {decided}");
}

const DEADLINE: &str = "deadline";

/// What the registered role's state machine hears.
pub(super) fn of_refresher(event: &refresher::Event) -> Heard {
    use refresher::Event;
    match event {
        Event::ClockSet => ("clock set", None),
        Event::Deadline => (DEADLINE, None),
        Event::Delivered { complete: true } => ("delivered", None),
        Event::Delivered { complete: false } => ("delivered in part", None),
        Event::Failed(class) => ("failed", Some(*class)),
        Event::Hardware { .. } => ("hardware looked at", None),
        Event::Nudged => ("asked for by the operator", None),
        Event::Retargeted => ("other targets", None),
        Event::Token(_) => ("token", None),
        Event::Unjudged => ("no hardware to look at", None),
    }
}

/// What it decides.
pub(super) fn by_refresher(action: &refresher::Action) -> &'static str {
    use refresher::Action;
    match action {
        Action::ProbeHardware => "look at the hardware",
        Action::Publish(_) => "publish",
        Action::RequestToken(AskAs::Registered) => "request a token",
        Action::RequestToken(AskAs::Stranger) => "request a token as a stranger",
        Action::RotateKey => "rotate the key",
        Action::Withdraw => "withdraw",
    }
}

/// What the state machine of a role that is assumed hears.
pub(super) fn of_assumer(event: &assumer::Event) -> Heard {
    use assumer::{Base, Event};
    match event {
        Event::Assumed(_) => ("assumed", None),
        Event::Base(Base::Gone) => ("no credentials to assume with", None),
        Event::Base(Base::Mismatch) => ("another machine", None),
        Event::Base(Base::Usable(_)) => ("credentials to assume with", None),
        Event::Deadline => (DEADLINE, None),
        Event::Delivered { complete: true } => ("delivered", None),
        Event::Delivered { complete: false } => ("delivered in part", None),
        Event::Failed(class) => ("failed", Some(*class)),
        Event::FileChanged => ("file changed by somebody else", None),
        Event::Nudged => ("asked for by the operator", None),
    }
}

/// What it decides.
pub(super) fn by_assumer(action: &assumer::Action) -> &'static str {
    use assumer::Action;
    match action {
        Action::Assume(_) => "assume",
        Action::Publish(_) => "publish",
        Action::Withdraw => "withdraw",
    }
}
