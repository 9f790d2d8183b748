//! A request that did not succeed: who failed, how, and what the caller does next.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use crate::connection::{self, Route, UnusableConnection};
use crate::pure::advice::{Advice, Exit};
use crate::pure::aws_endpoint;
use crate::pure::failure::FailureClass;

/// A request that did not succeed. Its text never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} at {endpoint}: {message}{}", self.request_note())]
pub struct SsmError {
    pub operation: &'static str,
    pub endpoint: String,
    pub class: FailureClass,
    /// The service's own error code, when it answered with one.
    pub code: Option<String>,
    pub message: String,
    pub request_id: Option<String>,
    /// No attempt came as far as a connection: the service has heard nothing of it.
    pub unsent: bool,
}

/// The service answered with an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refusal {
    pub class: FailureClass,
    pub code: Option<String>,
    pub message: String,
    pub request_id: Option<String>,
}

impl SsmError {
    pub(super) fn local(operation: &'static str, endpoint: &str, message: String) -> Self {
        Self::without_answer(operation, endpoint, FailureClass::Local, message)
    }

    pub(super) fn bad_answer(operation: &'static str, endpoint: &str, message: String) -> Self {
        Self::without_answer(operation, endpoint, FailureClass::BadAnswer, message)
    }

    /// Reduces the runtime's error to what may be shown: its `Debug` form holds the raw answer.
    pub(super) fn from_runtime(
        operation: &'static str,
        endpoint: &str,
        route: &Route,
        error: SdkError<Refusal, HttpResponse>,
        unsent: bool,
    ) -> Self {
        match error {
            SdkError::ServiceError(context) => {
                let Refusal { class, code, message, request_id } = context.into_err();
                let endpoint = endpoint.to_owned();
                Self { operation, endpoint, class, code, message, request_id, unsent: false }
            }
            error => {
                let (class, message) = connection::without_answer(&error, route);
                let error = Self::without_answer(operation, endpoint, class, message);
                Self { unsent, ..error }
            }
        }
    }

    fn without_answer(
        operation: &'static str,
        endpoint: &str,
        class: FailureClass,
        message: String,
    ) -> Self {
        let endpoint = endpoint.to_owned();
        let (code, request_id) = (None, None);
        Self { operation, endpoint, class, code, message, request_id, unsent: false }
    }

    fn request_note(&self) -> String {
        self.request_id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default()
    }
}

impl From<UnusableConnection> for SsmError {
    fn from(UnusableConnection { part, place, reason }: UnusableConnection) -> Self {
        Self::local(part, &place, reason)
    }
}

impl Advice for SsmError {
    fn remedy(&self) -> String {
        match (self.class, self.code.as_deref()) {
            (FailureClass::Denied, Some("InvalidSignatureException")) => signature_remedy(self),
            (class, code) => class.remedy(code).to_owned(),
        }
    }

    fn exit(&self) -> Exit {
        self.class.exit()
    }
}

/// What a signature covers may have been changed on the way, where the way is not AWS's own: a key that
/// is thrown away for that is lost for nothing.
fn signature_remedy(error: &SsmError) -> String {
    let endpoint = &error.endpoint;
    if error.message.contains("scoped to a valid region") {
        return "take endpoint_url out of [service], or name the endpoint of the region that this \
                machine is registered in: `rolekeeper status` shows it"
            .to_owned();
    }
    match aws_endpoint::path(endpoint) {
        _ if aws_endpoint::is_of_aws(endpoint) => {
            error.class.remedy(error.code.as_deref()).to_owned()
        }
        Some(path) => format!(
            "take {path} out of endpoint_url, or let what stands at {endpoint} pass path and Host on \
             as they come: the signature covers both"
        ),
        None => format!(
            "let what stands at {endpoint} pass Host and path on as they come, because the signature \
             covers both (nginx: proxy_set_header Host $http_host); if it does, another program has \
             replaced this machine's key: `sudo rolekeeper doctor`"
        ),
    }
}
