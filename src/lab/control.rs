//! The lab's own operations, under `/_lab/`: add, list and clear faults; look at the clock, set it;
//! end an activation.

use std::time::Duration;

use serde_json::{Value, json};
use time::UtcDateTime;

use super::answers::{Refusal, to_the_second};
use super::faults::{Faults, Standing, WireFault};
use super::message::Request;
use crate::pure::duration::display_duration;

/// The service's name in a credential scope.
pub const SERVICE: &str = "lab";

/// Where faults are: `GET` lists, `POST` adds, `DELETE` clears all, or the one whose number follows.
pub const FAULTS: &str = "/_lab/faults";

/// Where the clock is: `GET` shows it, `POST` sets it ([`super::clock::ClockSetting`]).
pub const CLOCK: &str = "/_lab/clock";

/// Where an activation ends before its time: `POST` of an `ActivationId`.
pub const EXPIRY: &str = "/_lab/activation-expiry";

pub fn is_control(request: &Request) -> bool {
    request.path.starts_with("/_lab/")
}

/// Does what an authenticated administrator asks for.
pub fn perform(faults: &mut Faults, request: &Request, now: UtcDateTime) -> Result<Value, Refusal> {
    match (request.method.as_str(), request.path.strip_prefix(FAULTS)) {
        ("GET", Some("")) => {
            let listed = faults.list(now).iter().map(|standing| describe(standing, now));
            Ok(json!({ "Faults": listed.collect::<Vec<_>>() }))
        }
        ("POST", Some("")) => {
            let fault = read(&request.body)?
                .decode(now)
                .map_err(|error| Refusal::validation(error.to_string()))?;
            let id = faults
                .add(fault)
                .map_err(|error| Refusal::new("LimitExceededException", error.to_string()))?;
            Ok(json!({ "Id": id }))
        }
        ("DELETE", Some("")) => Ok(json!({ "Cleared": faults.clear() })),
        ("DELETE", Some(id)) => match id.strip_prefix('/').and_then(|id| id.parse().ok()) {
            Some(id) if faults.remove(id) => Ok(json!({ "Cleared": 1 })),
            _ => Err(Refusal::new("ResourceNotFoundException", "No fault of that number stands")),
        },
        _ => Err(Refusal::with_status(
            404,
            "UnknownOperationException".into(),
            format!(
                "The lab's own operations are GET, POST and DELETE {FAULTS}, DELETE {FAULTS}/ID, \
                 GET and POST {CLOCK}, POST {EXPIRY}"
            ),
        )),
    }
}

/// Reads a wish. No secret belongs in one, so what is wrong with it can be repeated.
fn read(body: &[u8]) -> Result<WireFault, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new("SerializationException", format!("The body is no fault: {error}"))
    })
}

/// A fault as it was asked for, what it has done, and what is left of it.
fn describe(standing: &Standing, now: UtcDateTime) -> Value {
    let fault = &standing.fault;
    let mut value = json!(WireFault::from(fault));
    value["Id"] = standing.id.into();
    value["Description"] = fault.to_string().into();
    value["Hits"] = standing.hits.into();
    if let Some(left) = standing.left() {
        value["HitsLeft"] = left.into();
    }
    let moments = [("From", "BeginsIn", fault.from), ("Until", "EndsIn", fault.until)].into_iter();
    for (name, distance, at) in moments {
        if let Some(at) = at {
            value[name] = to_the_second(at).into();
            if let Ok(distant) = Duration::try_from(at - now) {
                value[distance] = display_duration(Duration::from_secs(distant.as_secs())).into();
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    fn perform_json(faults: &mut Faults, method: &str, body: &Value) -> Result<Value, Refusal> {
        perform_at(faults, method, FAULTS, body)
    }

    fn perform_at(
        faults: &mut Faults,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value, Refusal> {
        let request = Request {
            method: method.into(),
            path: path.into(),
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
            "Code": "InternalServerError", "Count": 3, "After": "1m", "For": "30s",
            "Probability": 0.5,
        });
        assert_eq!(perform_json(&mut faults, "POST", &wish).unwrap()["Id"], 1);
        let listed = perform_json(&mut faults, "GET", &Value::Null).unwrap();
        let expected = json!({
            "Id": 1, "Operation": "RequestManagedInstanceRoleToken", "Effect": "status",
            "Status": 500, "Code": "InternalServerError", "Probability": 0.5,
            "Description": "RequestManagedInstanceRoleToken, 50 % of them: \
                            status 500 InternalServerError",
            "Count": 3, "Hits": 0, "HitsLeft": 3,
            "From": "2026-11-22T00:01:00Z", "BeginsIn": "1m",
            "Until": "2026-11-22T00:01:30Z", "EndsIn": "1m30s",
        });
        assert_eq!(listed["Faults"], json!([expected]));
        assert_eq!(perform_json(&mut faults, "DELETE", &Value::Null).unwrap()["Cleared"], 1);
        let listed = perform_json(&mut faults, "GET", &Value::Null).unwrap();
        assert_eq!(listed["Faults"], json!([]));
    }

    #[test]
    fn one_of_several_is_cleared_by_its_number() {
        let mut faults = Faults::default();
        for _ in 0..2 {
            perform_json(&mut faults, "POST", &json!({ "Effect": "hang" })).unwrap();
        }
        let mut clear = |path| perform_at(&mut faults, "DELETE", path, &Value::Null);
        assert_eq!(clear("/_lab/faults/1").unwrap()["Cleared"], 1);
        for path in ["/_lab/faults/1", "/_lab/faults/", "/_lab/faults/x", "/_lab/faults2"] {
            assert_eq!(clear(path).unwrap_err().code, "ResourceNotFoundException", "{path}");
        }
        assert_eq!(faults.list(NOW)[0].id, 2);
    }

    #[test]
    fn an_odd_wish_hears_why() {
        let mut faults = Faults::default();
        for (wish, why) in [
            (json!({ "Effect": "explode" }), "unknown variant `explode`, expected one of `status`"),
            (json!({ "Effect": "status" }), "the status must be 400 to 599"),
        ] {
            let refusal = perform_json(&mut faults, "POST", &wish).unwrap_err();
            assert!(refusal.message.contains(why), "{}", refusal.message);
        }
        assert!(faults.list(NOW).is_empty());
    }
}
