//! A request that did not succeed: who failed, how, and what the caller does next.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use crate::pure::advice::{Advice, Exit};
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
        error: SdkError<Refusal, HttpResponse>,
    ) -> Self {
        match error {
            SdkError::ServiceError(context) => {
                let Refusal { class, code, message, request_id } = context.into_err();
                Self { operation, endpoint: endpoint.to_owned(), class, code, message, request_id }
            }
            SdkError::TimeoutError(_) => {
                let message = "no answer in time".to_owned();
                Self::without_answer(operation, endpoint, FailureClass::Unreachable, message)
            }
            SdkError::DispatchFailure(failure) => {
                let message = match failure.as_connector_error() {
                    Some(error) => innermost(error),
                    None => "the request could not be sent".to_owned(),
                };
                Self::without_answer(operation, endpoint, FailureClass::Unreachable, message)
            }
            SdkError::ResponseError(_) => {
                Self::bad_answer(operation, endpoint, "the answer broke off".to_owned())
            }
            other => Self::local(operation, endpoint, innermost(&other)),
        }
    }

    fn without_answer(
        operation: &'static str,
        endpoint: &str,
        class: FailureClass,
        message: String,
    ) -> Self {
        let endpoint = endpoint.to_owned();
        Self { operation, endpoint, class, code: None, message, request_id: None }
    }

    fn request_note(&self) -> String {
        self.request_id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default()
    }
}

impl Advice for SsmError {
    fn remedy(&self) -> String {
        self.class.remedy(self.code.as_deref()).to_owned()
    }

    fn exit(&self) -> Exit {
        match self.class {
            FailureClass::Denied => Exit::Refused,
            FailureClass::Local => Exit::Configuration,
            FailureClass::Throttled => Exit::TryAgain,
            FailureClass::BadAnswer
            | FailureClass::ClockSkew
            | FailureClass::ServiceFault
            | FailureClass::Unreachable => Exit::Unavailable,
        }
    }
}

/// The last error of the chain, which says what happened: "Connection refused", not "dispatch
/// failure".
fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
