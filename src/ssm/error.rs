//! A request that did not succeed: who failed, how, and what the caller does next.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use crate::connection::{self, UnusableConnection};
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
            error => {
                let (class, message) = connection::without_answer(&error);
                Self::without_answer(operation, endpoint, class, message)
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
        Self { operation, endpoint, class, code: None, message, request_id: None }
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
        self.class.remedy(self.code.as_deref()).to_owned()
    }

    fn exit(&self) -> Exit {
        self.class.exit()
    }
}
