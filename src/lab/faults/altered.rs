//! An answer of the service, changed on its way to the client. Headers that tell of the body, such as
//! its length, are made later and fit what is left.

use serde_json::{Map, Value};
use time::{Duration, UtcDateTime, format_description::well_known::Rfc3339};

use crate::lab::answers::{epoch, to_the_second};
use crate::lab::message::Reply;

/// The member of a role token that says when it ends: epoch seconds.
const EXPIRY: &str = "TokenExpirationDate";

/// The same of an instance's or a container's credentials, and of STS's: text.
const EXPIRATION: &str = "Expiration";
const EXPIRATION_ELEMENT: (&str, &str) = ("<Expiration>", "</Expiration>");

/// Cut off in the middle, as by a proxy that reports what it has as the whole.
pub fn unparsable(reply: Reply) -> Reply {
    let mut body = reply.body;
    body.truncate(body.len() / 2);
    Reply { body, ..reply }
}

/// Every member's value is in a list of its own; an object without members becomes a list.
pub fn misshapen(reply: Reply) -> Reply {
    with_members(reply, |members| {
        if members.is_empty() {
            return Value::Array(Vec::new());
        }
        members.into_iter().map(|(name, value)| (name, Value::Array(vec![value]))).collect()
    })
}

/// Without one member, if it was there.
pub fn without(reply: Reply, member: &str) -> Reply {
    with_members(reply, |mut members| {
        members.remove(member);
        Value::Object(members)
    })
}

/// With credentials that are said to end `by` later. What the service knows of them stays.
pub fn expiring(reply: Reply, by: Duration) -> Reply {
    let reply = with_members(reply, |mut members| {
        let said = members.get(EXPIRY).and_then(Value::as_f64);
        if let Some(at) = said.and_then(from_epoch) {
            members.insert(EXPIRY.to_owned(), epoch(at.saturating_add(by)));
        }
        if let Some(text) = members.get(EXPIRATION).and_then(|said| moved(said.as_str()?, by)) {
            members.insert(EXPIRATION.to_owned(), text.into());
        }
        Value::Object(members)
    });
    match expiring_xml(&reply.body, by) {
        Some(body) => Reply { body, ..reply },
        None => reply,
    }
}

fn with_members(reply: Reply, change: impl FnOnce(Map<String, Value>) -> Value) -> Reply {
    match serde_json::from_slice::<Value>(&reply.body) {
        Ok(Value::Object(members)) => {
            Reply { body: change(members).to_string().into_bytes(), ..reply }
        }
        _ => reply,
    }
}

fn expiring_xml(body: &[u8], by: Duration) -> Option<Vec<u8>> {
    let (opening, closing) = EXPIRATION_ELEMENT;
    let (before, rest) = std::str::from_utf8(body).ok()?.split_once(opening)?;
    let (said, after) = rest.split_once(closing)?;
    Some(format!("{before}{opening}{}{closing}{after}", moved(said, by)?).into_bytes())
}

fn moved(said: &str, by: Duration) -> Option<String> {
    let at = UtcDateTime::parse(said, &Rfc3339).ok()?;
    Some(to_the_second(at.saturating_add(by)))
}

fn from_epoch(seconds: f64) -> Option<UtcDateTime> {
    let millis = i128::from((seconds * 1000.0).round() as i64);
    UtcDateTime::from_unix_timestamp_nanos(millis * 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::lab::answers::json_result;

    fn token() -> Reply {
        json_result(&json!({
            "AccessKeyId": "ASIA", "TokenExpirationDate": 1_795_309_252.106, "UpdateKeyPair": false,
        }))
    }

    fn body(reply: &Reply) -> Value {
        serde_json::from_slice(&reply.body).unwrap()
    }

    #[test]
    fn half_a_json_text_does_not_parse() {
        for reply in [token(), json_result(&json!({}))] {
            assert!(serde_json::from_slice::<Value>(&unparsable(reply).body).is_err());
        }
    }

    #[test]
    fn the_wrong_shape_still_parses() {
        let members = body(&misshapen(token()));
        assert_eq!(members["AccessKeyId"], json!(["ASIA"]));
        assert_eq!(members["UpdateKeyPair"], json!([false]));
        assert_eq!(body(&misshapen(json_result(&json!({})))), json!([]));
    }

    #[test]
    fn one_member_is_left_out_and_the_others_stay() {
        let members = body(&without(token(), "UpdateKeyPair"));
        assert_eq!(
            members,
            json!({ "AccessKeyId": "ASIA", "TokenExpirationDate": 1_795_309_252.106 })
        );
        assert_eq!(without(token(), "Nothing").body, token().body);
    }

    #[test]
    fn the_expiry_is_moved_however_it_is_written() {
        let members = body(&expiring(token(), Duration::hours(-2)));
        assert_eq!(members["TokenExpirationDate"], 1_795_302_052.106);
        let metadata = json_result(&json!({ "Expiration": "2026-11-22T00:00:52Z", "Token": "t" }));
        let members = body(&expiring(metadata, Duration::hours(-2)));
        assert_eq!(members, json!({ "Expiration": "2026-11-21T22:00:52Z", "Token": "t" }));
        let xml = |at: &str| format!("<C>\n<Expiration>{at}</Expiration>\n</C>").into_bytes();
        let reply = Reply::new(200, "text/xml", xml("2026-11-22T00:00:52Z"));
        let moved = expiring(reply, Duration::hours(2));
        assert_eq!(moved.body, xml("2026-11-22T02:00:52Z"));
    }

    #[test]
    fn an_answer_that_has_nothing_to_change_stays() {
        let empty = Reply::new(403, "text/xml", Vec::new());
        assert_eq!(expiring(empty.clone(), Duration::HOUR), empty);
        assert_eq!(misshapen(empty.clone()), empty);
    }

    #[test]
    fn an_expiry_moves_no_further_than_dates_go() {
        let year_9999 = json_result(&json!({ "TokenExpirationDate": 253_402_300_799_u64 }));
        let members = body(&expiring(year_9999, Duration::HOUR));
        assert_eq!(members["TokenExpirationDate"], 253_402_300_799.999);
    }

    proptest! {
        #[test]
        fn no_body_panics(bytes in any::<Vec<u8>>(), seconds in any::<i64>()) {
            let reply = Reply::new(200, "application/x-amz-json-1.1", bytes);
            let _ = (unparsable(reply.clone()), misshapen(reply.clone()));
            let _ = expiring(reply, Duration::seconds(seconds));
        }

        #[test]
        fn no_expiry_panics(at in any::<f64>(), seconds in any::<i64>()) {
            let reply = json_result(&json!({ "TokenExpirationDate": at }));
            let _ = expiring(reply, Duration::seconds(seconds));
        }
    }
}
