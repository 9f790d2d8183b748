//! A request and a reply, without the connection that carries them.

use time::{UtcDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::signatures::Finding;

/// `Date`: `Sun, 22 Nov 2026 00:00:52 GMT` (RFC 9110, section 5.6.7).
const HTTP_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// The moment that a `Date` says.
pub fn parse_http_date(text: &str) -> Option<UtcDateTime> {
    UtcDateTime::parse(text, HTTP_DATE).ok()
}

/// What a client sent, whole.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// As sent, still escaped.
    pub path: String,
    /// Without the `?`; empty when there is none.
    pub query: String,
    /// In the order they came; names in any case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What its signature was found to be worth before the service was locked, if it was looked at.
    pub finding: Option<Finding>,
}

/// What the client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The header's value, if it was sent exactly once. A header sent twice has no one meaning.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str());
        values.next().filter(|_| values.next().is_none())
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name))
    }
}

impl Reply {
    pub fn new(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body }
    }

    /// With the two headers that every answer of AWS carries.
    pub fn stamped(mut self, request_id: String, now: UtcDateTime) -> Self {
        self.headers.push(("x-amzn-requestid", request_id));
        self.dated(now)
    }

    /// With this `Date`, and no other.
    pub fn dated(mut self, at: UtcDateTime) -> Self {
        self.headers.retain(|(name, _)| *name != "date");
        // The format has no component that a UtcDateTime lacks, so formatting cannot fail.
        self.headers.push(("date", at.format(HTTP_DATE).unwrap_or_default()));
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(sent, _)| *sent == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn a_header_sent_twice_is_no_header() {
        let mut request = Request::default();
        request.headers.push(("Host".into(), "a".into()));
        assert_eq!(request.header("host"), Some("a"));
        request.headers.push(("HOST".into(), "b".into()));
        assert_eq!(request.header("host"), None);
        assert!(request.has_header("host"));
    }

    #[test]
    fn the_date_header_is_an_http_date() {
        let at = utc_datetime!(2026-11-22 00:00:52);
        let reply = Reply::new(200, "text/plain", Vec::new()).stamped("id".into(), at);
        assert_eq!(reply.header("date"), Some("Sun, 22 Nov 2026 00:00:52 GMT"));
        assert_eq!(reply.header("date").and_then(parse_http_date), Some(at));
        assert_eq!(parse_http_date("yesterday"), None);
        let reply = reply.dated(at - time::Duration::hours(2));
        assert_eq!(reply.header("date"), Some("Sat, 21 Nov 2026 22:00:52 GMT"));
        assert_eq!(reply.headers.len(), 3);
    }
}
