//! How the service words what it says: JSON 1.1 for Systems Manager, XML for STS and S3.

use std::borrow::Cow;

use serde_json::{Value, json};
use time::{UtcDateTime, format_description::well_known::Rfc3339};

use super::message::Reply;
use super::operation::Dialect;

/// A request that is turned down, under Systems Manager's code for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: Cow<'static, str>,
    pub message: String,
}

impl Refusal {
    /// Nearly everything that AWS JSON refuses has status 400.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code: Cow::Borrowed(code), message: message.into() }
    }

    pub fn with_status(status: u16, code: String, message: impl Into<String>) -> Self {
        Self { status, code: Cow::Owned(code), message: message.into() }
    }

    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// The same under STS's name and status for it.
    fn for_query(&self) -> (u16, &str) {
        match self.code.as_ref() {
            "AccessDeniedException" => (403, "AccessDenied"),
            "ExpiredTokenException" => (403, "ExpiredToken"),
            "IncompleteSignatureException" => (400, "IncompleteSignature"),
            "InvalidSignatureException" => (403, "SignatureDoesNotMatch"),
            "MissingAuthenticationTokenException" => (403, "MissingAuthenticationToken"),
            "UnknownOperationException" => (400, "InvalidAction"),
            "UnrecognizedClientException" => (403, "InvalidClientTokenId"),
            "ValidationException" => (400, "ValidationError"),
            other => (self.status, other),
        }
    }

    /// The same under S3's.
    fn for_rest(&self) -> (u16, &str) {
        match self.code.as_ref() {
            "AccessDeniedException" => (403, "AccessDenied"),
            "ExpiredTokenException" => (400, "ExpiredToken"),
            "IncompleteSignatureException" => (400, "AuthorizationHeaderMalformed"),
            "InvalidSignatureException" => (403, "SignatureDoesNotMatch"),
            "UnknownOperationException" => (501, "NotImplemented"),
            "UnrecognizedClientException" => (403, "InvalidAccessKeyId"),
            "ValidationException" => (400, "InvalidArgument"),
            other => (self.status, other),
        }
    }
}

/// A result of S3: `result` is the XML inside of it.
pub fn rest_result(element: &str, result: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <{element} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n{result}</{element}>\n"
    );
    Reply::new(200, "application/xml", body.into_bytes())
}

/// A result of Systems Manager.
pub fn json_result(value: &Value) -> Reply {
    Reply::new(200, "application/x-amz-json-1.1", value.to_string().into_bytes())
}

/// A refusal, in the words of the service that was asked.
pub fn refusal(dialect: Dialect, refusal: &Refusal, request_id: &str) -> Reply {
    match dialect {
        Dialect::Json => {
            let body = json!({ "__type": refusal.code, "message": refusal.message });
            Reply::new(refusal.status, "application/x-amz-json-1.1", body.to_string().into_bytes())
        }
        Dialect::Query => {
            let (status, code) = refusal.for_query();
            let kind = if status < 500 { "Sender" } else { "Receiver" };
            let body = format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    \
                 <Type>{kind}</Type>\n    <Code>{}</Code>\n    <Message>{}</Message>\n  </Error>\n  \
                 <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
                escape(code),
                escape(&refusal.message),
            );
            Reply::new(status, "text/xml", body.into_bytes())
        }
        Dialect::Rest => {
            let (status, code) = refusal.for_rest();
            let told = [("Code", code), ("Message", &refusal.message), ("RequestId", request_id)];
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n{}</Error>\n",
                elements(&told)
            );
            Reply::new(status, "application/xml", body.into_bytes())
        }
        Dialect::Metadata => {
            let body = json!({ "Code": refusal.code, "Message": refusal.message });
            Reply::new(refusal.status, "application/json", body.to_string().into_bytes())
        }
    }
}

/// A result of STS: `result` is the XML inside of it.
pub fn query_result(operation: &str, result: &str, request_id: &str) -> Reply {
    let body = format!(
        "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n\
         <{operation}Result>\n{result}</{operation}Result>\n<ResponseMetadata>\n\
         <RequestId>{request_id}</RequestId>\n</ResponseMetadata>\n</{operation}Response>\n"
    );
    Reply::new(200, "text/xml", body.into_bytes())
}

/// XML elements with text in them, one in a line.
pub fn elements(named: &[(&str, &str)]) -> String {
    named.iter().map(|(name, text)| format!("<{name}>{}</{name}>\n", escape(text))).collect()
}

/// The answer of `sts:GetCallerIdentity`.
pub fn caller_identity(arn: &str, user_id: &str, request_id: &str) -> Reply {
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
         <GetCallerIdentityResult>\n    <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    \
         <Account>{}</Account>\n  </GetCallerIdentityResult>\n  <ResponseMetadata>\n    \
         <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n</GetCallerIdentityResponse>\n",
        escape(arn),
        escape(user_id),
        super::ACCOUNT,
    );
    Reply::new(200, "text/xml", body.into_bytes())
}

/// What a broken proxy in front of the service would say.
pub fn html(status: u16) -> Reply {
    let body = format!(
        "<!DOCTYPE html>\n<html><head><title>{status}</title></head>\n\
         <body><h1>{status}</h1><p>The lab was asked to answer like a broken proxy.</p></body></html>\n"
    );
    Reply::new(status, "text/html", body.into_bytes())
}

/// A moment as AWS JSON writes it: seconds since 1970, with a fraction to the millisecond if any.
pub fn epoch(at: UtcDateTime) -> Value {
    match at.millisecond() {
        0 => json!(at.unix_timestamp()),
        millis => json!(at.unix_timestamp() as f64 + f64::from(millis) / 1000.0),
    }
}

/// A moment as XML has it: `2026-11-22T00:00:52Z`.
pub fn to_the_second(at: UtcDateTime) -> String {
    // No moment of the lab is beyond what RFC 3339 can say.
    at.replace_nanosecond(0).ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn moments_are_epoch_seconds() {
        assert_eq!(epoch(utc_datetime!(2026-11-22 00:00)), json!(1_795_305_600));
        assert_eq!(epoch(utc_datetime!(2026-11-22 00:00:00.106)).to_string(), "1795305600.106");
    }

    #[test]
    fn each_service_has_its_own_words_for_the_same_refusal() {
        let expired = Refusal::new("ExpiredTokenException", "a < b");
        let json = refusal(Dialect::Json, &expired, "id");
        assert_eq!(json.status, 400);
        assert_eq!(json.body, br#"{"__type":"ExpiredTokenException","message":"a < b"}"#);
        let xml = refusal(Dialect::Query, &expired, "id");
        let text = String::from_utf8(xml.body).unwrap();
        assert_eq!(xml.status, 403);
        assert!(text.contains("<Code>ExpiredToken</Code>") && text.contains("a &lt; b"), "{text}");
    }
}
