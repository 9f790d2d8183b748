//! The lab's own operations, under `/_lab/`: add, list and clear faults; look at the clock, set it;
//! end an activation.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{UtcDateTime, format_description::well_known::Rfc3339};

use super::answers::Refusal;
use super::faults::{Effect, Fault, Faults, Standing};
use super::message::Request;
use super::service::body;

/// The service's name in a credential scope.
pub const SERVICE: &str = "lab";

/// Where faults are: `GET` lists, `POST` adds, `DELETE` clears.
pub const FAULTS: &str = "/_lab/faults";

/// Where the clock is: `GET` shows it, `POST` sets it ([`super::clock::ClockSetting`]).
pub const CLOCK: &str = "/_lab/clock";

/// Where an activation ends before its time: `POST` of an `ActivationId`.
pub const EXPIRY: &str = "/_lab/activation-expiry";

/// A fault on the wire; absent members mean "any" or "for ever".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct WireFault {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `status`, `html`, `latency`, `hang`, `reset` or `torn-body`.
    pub effect: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_millis: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_millis: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
}

/// A wish that is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedFault {
    #[error("{0}")]
    Operation(#[from] super::operation::UnknownOperation),
    #[error("{0}")]
    Node(#[from] crate::pure::identity::MalformedName),
    #[error("the effect must be status, html, latency, hang, reset or torn-body")]
    Effect,
    #[error("the status must be 400 to 599")]
    Status,
    #[error("the code must be 1 to 100 letters and digits, as ThrottlingException")]
    Code,
    #[error("a latency must be given, of at most a day")]
    Latency,
    #[error("the count must be at least 1")]
    Count,
    #[error("the probability must be above 0 and at most 1")]
    Probability,
    #[error("the fault must end within ten years")]
    End,
}

pub fn is_control(request: &Request) -> bool {
    request.path.starts_with("/_lab/")
}

/// Does what an authenticated administrator asks for.
pub fn perform(faults: &mut Faults, request: &Request, now: UtcDateTime) -> Result<Value, Refusal> {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", FAULTS) => {
            Ok(json!({ "Faults": faults.list(now).iter().map(describe).collect::<Vec<_>>() }))
        }
        ("POST", FAULTS) => {
            let fault = body::<WireFault>(request)?
                .decode(now)
                .map_err(|error| Refusal::validation(error.to_string()))?;
            let id = faults
                .add(fault)
                .map_err(|error| Refusal::new("LimitExceededException", error.to_string()))?;
            Ok(json!({ "Id": id }))
        }
        ("DELETE", FAULTS) => Ok(json!({ "Cleared": faults.clear() })),
        _ => Err(Refusal::with_status(
            404,
            "UnknownOperationException".into(),
            format!(
                "The lab's own operations are GET, POST and DELETE {FAULTS}, GET and POST {CLOCK}, \
                 POST {EXPIRY}"
            ),
        )),
    }
}

impl WireFault {
    /// The fault that is meant, from `now` on.
    pub fn decode(self, now: UtcDateTime) -> Result<Fault, MalformedFault> {
        let effect = self.effect()?;
        let probability = self.probability.unwrap_or(1.0);
        if !(probability > 0.0 && probability <= 1.0) {
            return Err(MalformedFault::Probability);
        }
        if self.count == Some(0) {
            return Err(MalformedFault::Count);
        }
        let until = match self.for_millis {
            None => None,
            Some(millis) => {
                let end = time::Duration::milliseconds(i64::try_from(millis).unwrap_or(i64::MAX));
                let end = Some(end).filter(|end| *end <= time::Duration::days(3650));
                Some(now + end.ok_or(MalformedFault::End)?)
            }
        };
        Ok(Fault {
            operation: self.operation.map(|name| name.parse()).transpose()?,
            node: self.node.map(|id| id.parse()).transpose()?,
            effect,
            count: self.count,
            until,
            probability,
        })
    }

    fn effect(&self) -> Result<Effect, MalformedFault> {
        let status = || {
            self.status.filter(|status| (400..600).contains(status)).ok_or(MalformedFault::Status)
        };
        match self.effect.as_str() {
            "status" => match &self.code {
                Some(code) if !is_code(code) => Err(MalformedFault::Code),
                code => Ok(Effect::Status { status: status()?, code: code.clone() }),
            },
            "html" => Ok(Effect::Html { status: status()? }),
            "latency" => self
                .latency_millis
                .filter(|millis| *millis <= 24 * 3600 * 1000)
                .map(|millis| Effect::Latency(Duration::from_millis(millis)))
                .ok_or(MalformedFault::Latency),
            "hang" => Ok(Effect::Hang),
            "reset" => Ok(Effect::Reset),
            "torn-body" => Ok(Effect::TornBody),
            _ => Err(MalformedFault::Effect),
        }
    }
}

fn describe(standing: &Standing) -> Value {
    let fault = &standing.fault;
    let (status, code, latency) = match &fault.effect {
        Effect::Status { status, code } => (Some(*status), code.clone(), None),
        Effect::Html { status } => (Some(*status), None, None),
        Effect::Latency(latency) => (None, None, u64::try_from(latency.as_millis()).ok()),
        Effect::Hang | Effect::Reset | Effect::TornBody => (None, None, None),
    };
    let wire = WireFault {
        operation: fault.operation.map(|operation| operation.name().to_owned()),
        node: fault.node.as_ref().map(|node| node.as_str().to_owned()),
        effect: fault.effect.name().to_owned(),
        status,
        code,
        latency_millis: latency,
        count: fault.count,
        for_millis: None,
        probability: Some(fault.probability).filter(|share| *share < 1.0),
    };
    let mut value = json!(wire);
    value["Id"] = standing.id.into();
    value["Hits"] = standing.hits.into();
    if let Some(until) = fault.until.and_then(to_the_second) {
        value["Until"] = until.into();
    }
    value
}

fn to_the_second(at: UtcDateTime) -> Option<String> {
    at.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}

fn is_code(code: &str) -> bool {
    (1..=100).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    fn perform_json(faults: &mut Faults, method: &str, body: &Value) -> Result<Value, Refusal> {
        let request = Request {
            method: method.into(),
            path: FAULTS.into(),
            body: body.to_string().into(),
            ..Request::default()
        };
        perform(faults, &request, NOW)
    }

    #[test]
    fn what_is_added_is_listed_and_can_be_cleared() {
        let mut faults = Faults::default();
        let wish = json!({
            "Operation": "RequestManagedInstanceRoleToken", "Effect": "status", "Status": 500,
            "Code": "InternalServerError", "Count": 3, "ForMillis": 30_000, "Probability": 0.5,
        });
        assert_eq!(perform_json(&mut faults, "POST", &wish).unwrap()["Id"], 1);
        let listed = perform_json(&mut faults, "GET", &Value::Null).unwrap();
        let fault = &listed["Faults"][0];
        assert_eq!(fault["Status"], 500);
        assert_eq!(fault["Until"], "2026-11-22T00:00:30Z");
        assert_eq!(fault["Hits"], 0);
        assert_eq!(perform_json(&mut faults, "DELETE", &Value::Null).unwrap()["Cleared"], 1);
        let listed = perform_json(&mut faults, "GET", &Value::Null).unwrap();
        assert_eq!(listed["Faults"], json!([]));
    }

    #[test]
    fn odd_wishes_are_refused() {
        let mut faults = Faults::default();
        for wish in [
            json!({}),
            json!({ "Effect": "explode" }),
            json!({ "Effect": "hang", "Color": "red" }),
            json!({ "Effect": "hang", "Operation": "Request" }),
            json!({ "Effect": "hang", "Node": "i-1" }),
            json!({ "Effect": "hang", "Count": 0 }),
            json!({ "Effect": "hang", "Probability": 0 }),
            json!({ "Effect": "hang", "Probability": 1.1 }),
            json!({ "Effect": "hang", "ForMillis": u64::MAX }),
            json!({ "Effect": "status" }),
            json!({ "Effect": "status", "Status": 200 }),
            json!({ "Effect": "status", "Status": 500, "Code": "a b" }),
            json!({ "Effect": "latency" }),
            json!({ "Effect": "latency", "LatencyMillis": u64::MAX }),
        ] {
            assert!(perform_json(&mut faults, "POST", &wish).is_err(), "{wish}");
        }
    }
}
