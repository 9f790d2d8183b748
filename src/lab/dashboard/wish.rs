//! What the page's forms ask for, and how it is granted: as the administrator, by the service's own
//! rules.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Value, json};
use time::UtcDateTime;

use super::trouble::{self, BROKEN, RESET, SLOW, THROTTLED, Trouble};
use crate::host::entropy::Entropy;
use crate::lab::answers::Refusal;
use crate::lab::faults::{Span, WireFault};
use crate::lab::form::Form;
use crate::lab::ledger::{Entry, Outcome};
use crate::lab::message::Request;
use crate::lab::operation::Operation;
use crate::lab::service::Service;
use crate::pure::duration::parse_duration;
use crate::pure::identity::InstanceId;
use crate::pure::secret::Secret;

/// Where forms are sent.
pub const ACTIVATIONS: &str = "/dashboard/activations";
pub const FAULTS: &str = "/dashboard/faults";
pub const FAULTS_CLEARED: &str = "/dashboard/faults/cleared";
pub const NODES: &str = "/dashboard/nodes";

/// Their fields.
pub const ROLE: &str = "role";
pub const NAME: &str = "name";
pub const LIMIT: &str = "limit";
pub const TROUBLE: &str = "trouble";
pub const OPERATION: &str = "operation";
pub const NODE: &str = "node";
pub const COUNT: &str = "count";
pub const LASTING: &str = "for";
pub const FAULT: &str = "fault";
pub const DO: &str = "do";

/// What [`DO`] may say of a node.
pub const BREAK: &str = "break";
pub const THROTTLE: &str = "throttle";
pub const SLOW_DOWN: &str = "slow";
pub const RESET_CONNECTIONS: &str = "reset";
pub const NEW_KEY: &str = "new-key";
pub const MEND: &str = "mend";
pub const DEREGISTER: &str = "deregister";

#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// In the service's own words.
    CreateActivation(Value),
    AddFault(WireFault),
    ClearFault(u64),
    ClearAllFaults,
    /// Clear what is meant for this node alone.
    Mend(InstanceId),
    Deregister(InstanceId),
}

/// An activation that was just made, and the only copy of its code that is shown.
#[derive(Debug)]
pub struct NewActivation {
    pub id: String,
    pub code: Secret<String>,
}

impl Wish {
    /// Nothing where the path is not a form's.
    pub fn read(path: &str, form: &Form) -> Option<Result<Self, Refusal>> {
        let wish = match path {
            ACTIVATIONS => create_activation(form),
            FAULTS => add_fault(form),
            FAULTS_CLEARED => clear_faults(form),
            NODES => about_node(form),
            _ => return None,
        };
        Some(wish)
    }

    /// `now` is this machine's time.
    pub fn grant(
        self,
        service: &mut Service,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Option<NewActivation>, Refusal> {
        let at = service.clock.now(now);
        match self {
            Wish::CreateActivation(asked) => {
                let answer = administer(service, Operation::CreateActivation, &asked, entropy, at)?;
                let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
                let code = Secret::new(text("ActivationCode"));
                return Ok(Some(NewActivation { id: text("ActivationId"), code }));
            }
            Wish::AddFault(wire) => {
                let fault =
                    wire.decode(at).map_err(|error| Refusal::validation(error.to_string()))?;
                let added = service.faults.add(fault);
                added.map_err(|error| Refusal::new("LimitExceededException", error.to_string()))?;
            }
            // Its time may have come meanwhile; then the wish has come true.
            Wish::ClearFault(id) => {
                service.faults.remove(id);
            }
            Wish::ClearAllFaults => {
                service.faults.clear();
            }
            Wish::Mend(node) => {
                let standing = service.faults.list(at).to_vec();
                for one in standing.iter().filter(|one| one.fault.node.as_ref() == Some(&node)) {
                    service.faults.remove(one.id);
                }
            }
            Wish::Deregister(node) => {
                let asked = json!({ "InstanceId": node.as_str() });
                administer(service, Operation::DeregisterManagedInstance, &asked, entropy, at)?;
            }
        }
        Ok(None)
    }
}

/// Does it in the administrator's name, and records it like everybody's requests.
fn administer(
    service: &mut Service,
    operation: Operation,
    asked: &Value,
    entropy: &dyn Entropy,
    at: UtcDateTime,
) -> Result<Value, Refusal> {
    let request = Request { body: asked.to_string().into(), ..Request::default() };
    let result = service.administered(operation, &request, entropy, at);
    let outcome = match &result {
        Ok(_) => Outcome::Done,
        Err(refusal) => Outcome::Refused(refusal.code.to_string()),
    };
    service.ledger.record(Entry { at, operation: Some(operation), node: None, outcome });
    result
}

fn create_activation(form: &Form) -> Result<Wish, Refusal> {
    let mut asked = json!({ "IamRole": given(form, ROLE).unwrap_or_default() });
    if let Some(limit) = parsed::<i64>(form, LIMIT)? {
        asked["RegistrationLimit"] = limit.into();
    }
    if let Some(name) = given(form, NAME) {
        asked["DefaultInstanceName"] = name.into();
    }
    Ok(Wish::CreateActivation(asked))
}

fn add_fault(form: &Form) -> Result<Wish, Refusal> {
    let trouble = given(form, TROUBLE)
        .and_then(Trouble::find)
        .ok_or_else(|| Refusal::validation("Choose what goes wrong"))?;
    let lasting = given(form, LASTING)
        .map(|text| parse_duration(text).map(Span).map_err(|error| malformed(LASTING, &error)))
        .transpose()?;
    Ok(Wish::AddFault(WireFault {
        operation: parsed(form, OPERATION)?,
        node: parsed(form, NODE)?,
        count: parsed(form, COUNT)?,
        lasting,
        ..trouble.wire()
    }))
}

fn clear_faults(form: &Form) -> Result<Wish, Refusal> {
    Ok(parsed(form, FAULT)?.map_or(Wish::ClearAllFaults, Wish::ClearFault))
}

fn about_node(form: &Form) -> Result<Wish, Refusal> {
    let node =
        parsed::<InstanceId>(form, NODE)?.ok_or_else(|| Refusal::validation("Choose a node"))?;
    let fault = |trouble: Trouble| WireFault { node: Some(node.clone()), ..trouble.wire() };
    match given(form, DO) {
        Some(BREAK) => Ok(Wish::AddFault(fault(BROKEN))),
        Some(THROTTLE) => Ok(Wish::AddFault(fault(THROTTLED))),
        Some(SLOW_DOWN) => Ok(Wish::AddFault(fault(SLOW))),
        Some(RESET_CONNECTIONS) => Ok(Wish::AddFault(fault(RESET))),
        // Asked once: the next role token says it.
        Some(NEW_KEY) => {
            Ok(Wish::AddFault(WireFault { count: Some(1), ..fault(trouble::NEW_KEY) }))
        }
        Some(MEND) => Ok(Wish::Mend(node)),
        Some(DEREGISTER) => Ok(Wish::Deregister(node)),
        _ => Err(Refusal::validation("There is no such wish")),
    }
}

/// A field that was filled in.
fn given<'a>(form: &'a Form, field: &str) -> Option<&'a str> {
    form.get(field).map(str::trim).filter(|text| !text.is_empty())
}

fn parsed<T: FromStr<Err: Display>>(form: &Form, field: &str) -> Result<Option<T>, Refusal> {
    given(form, field)
        .map(|text| text.parse().map_err(|error| malformed(field, &error)))
        .transpose()
}

fn malformed(field: &str, why: &dyn Display) -> Refusal {
    Refusal::validation(format!("The field '{field}': {why}"))
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::host::entropy::SystemEntropy;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    fn service() -> Service {
        Service::new(
            "us-east-1".parse().unwrap(),
            std::time::Duration::from_secs(3600),
            &SystemEntropy,
        )
    }

    fn wish(path: &str, form: &str) -> Result<Wish, Refusal> {
        Wish::read(path, &Form::parse(form).unwrap()).unwrap()
    }

    fn grant(service: &mut Service, path: &str, form: &str) -> Option<NewActivation> {
        wish(path, form).unwrap().grant(service, &SystemEntropy, NOW).unwrap()
    }

    #[test]
    fn an_activation_is_made_by_the_services_rules_and_recorded() {
        let mut service = service();
        let made = grant(&mut service, ACTIVATIONS, "role=Role&limit=3&name=edge+1&").unwrap();
        let kept = service.activations.get(&made.id).unwrap().unwrap();
        assert_eq!((kept.limit, kept.default_instance_name.as_deref()), (3, Some("edge 1")));
        assert!(service.activations.check(&made.id, &made.code, NOW).is_ok());
        let asked = Wish::CreateActivation(json!({ "IamRole": "a b" }));
        let refusal = asked.grant(&mut service, &SystemEntropy, NOW).unwrap_err();
        assert_eq!(refusal.code, "ValidationException");
        let outcomes = service.ledger.entries().map(|entry| entry.outcome.clone());
        let refused = Outcome::Refused("ValidationException".into());
        assert_eq!(outcomes.collect::<Vec<_>>(), [Outcome::Done, refused]);
    }

    #[test]
    fn a_fault_is_added_for_whom_it_says_and_cleared_again() {
        let mut service = service();
        let (one, other) = ("mi-0123456789abcdef0", "mi-0123456789abcdef1");
        grant(&mut service, NODES, &format!("node={one}&do=break"));
        grant(&mut service, NODES, &format!("node={other}&do=slow"));
        grant(
            &mut service,
            FAULTS,
            "trouble=throttled&operation=CreateActivation&node=&count=2&for=30s",
        );
        let standing = service.faults.list(NOW).to_vec();
        assert_eq!(standing[0].fault.node.as_ref().unwrap().as_str(), one);
        let third = &standing[2].fault;
        assert_eq!((third.node.as_ref(), third.count), (None, Some(2)));
        assert_eq!(third.until, Some(NOW + std::time::Duration::from_secs(30)));
        grant(&mut service, NODES, &format!("node={one}&do=mend"));
        assert_eq!(service.faults.list(NOW).len(), 2);
        grant(&mut service, FAULTS_CLEARED, &format!("fault={}", standing[2].id));
        assert_eq!(service.faults.list(NOW).len(), 1);
        grant(&mut service, FAULTS_CLEARED, "");
        assert!(service.faults.list(NOW).is_empty());
    }

    #[test]
    fn odd_forms_are_refused_with_a_reason() {
        for (path, form) in [
            (ACTIVATIONS, "role=Role&limit=many"),
            (FAULTS, ""),
            (FAULTS, "trouble=locusts"),
            (FAULTS, "trouble=hang&count=-1"),
            (FAULTS, "trouble=hang&for=soon"),
            (FAULTS_CLEARED, "fault=all"),
            (NODES, "do=break"),
            (NODES, "node=i-1&do=break"),
            (NODES, "node=mi-0123456789abcdef0"),
            (NODES, "node=mi-0123456789abcdef0&do=praise"),
        ] {
            assert_eq!(wish(path, form).unwrap_err().code, "ValidationException", "{path} {form}");
        }
        assert!(Wish::read("/dashboard/elsewhere", &Form::default()).is_none());
        let gone = wish(NODES, "node=mi-0123456789abcdef0&do=deregister").unwrap();
        let refusal = gone.grant(&mut service(), &SystemEntropy, NOW).unwrap_err();
        assert_eq!(refusal.code, "InvalidInstanceId");
    }
}
