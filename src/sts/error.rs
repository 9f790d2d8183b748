//! A role that was not assumed: which one, who failed, how, and what the caller does next.

use aws_sdk_sts::error::ProvideErrorMetadata;
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use crate::connection::{self, Route};
use crate::pure::advice::{Advice, Exit};
use crate::pure::assumption::RoleArn;
use crate::pure::failure::FailureClass;

/// A role that was not assumed. Its text never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("AssumeRole {role} at {endpoint}: {message}{}", self.request_note())]
pub struct StsError {
    /// Which role of the chain.
    pub role: RoleArn,
    pub endpoint: String,
    pub class: FailureClass,
    /// The service's own error code, when it answered with one.
    pub code: Option<String>,
    pub message: String,
    pub request_id: Option<String>,
}

/// The credentials that signed have ended for STS and not for us: the clocks differ.
const EXPIRED_CODES: [&str; 2] = ["ExpiredToken", "ExpiredTokenException"];

impl StsError {
    pub(super) fn local(role: &RoleArn, endpoint: &str, message: String) -> Self {
        Self::without_code(role, endpoint, FailureClass::Local, message)
    }

    pub(super) fn bad_answer(role: &RoleArn, endpoint: &str, message: String) -> Self {
        Self::without_code(role, endpoint, FailureClass::BadAnswer, message)
    }

    /// Reduces the SDK's error to what may be shown: its `Debug` form holds the raw answer.
    pub(super) fn from_runtime(
        role: &RoleArn,
        endpoint: &str,
        route: &Route,
        error: SdkError<AssumeRoleError, HttpResponse>,
    ) -> Self {
        let SdkError::ServiceError(context) = &error else {
            let (class, message) = connection::without_answer(&error, route);
            return Self::without_code(role, endpoint, class, message);
        };
        let (refusal, status) = (context.err(), context.raw().status().as_u16());
        let code = refusal.code().filter(|code| !code.is_empty());
        // The first line alone: after it, a refused signature's answer repeats the request.
        let message = refusal.message().map(|text| text.lines().next().unwrap_or_default());
        let class = match code {
            Some(code) if EXPIRED_CODES.contains(&code) => FailureClass::ClockSkew,
            code => FailureClass::of_answer(status, code, message),
        };
        Self {
            role: role.clone(),
            endpoint: endpoint.to_owned(),
            class,
            code: code.map(str::to_owned),
            message: connection::refusal_text(status, code, message),
            request_id: refusal.request_id().map(str::to_owned),
        }
    }

    fn without_code(role: &RoleArn, endpoint: &str, class: FailureClass, message: String) -> Self {
        let (role, endpoint) = (role.clone(), endpoint.to_owned());
        Self { role, endpoint, class, code: None, message, request_id: None }
    }

    fn request_note(&self) -> String {
        self.request_id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default()
    }
}

impl Advice for StsError {
    fn remedy(&self) -> String {
        let remedy = match (self.class, self.code.as_deref()) {
            (FailureClass::Denied, Some("AccessDenied" | "AccessDeniedException")) => {
                "let the role's trust policy name the role before it, and that one's policy allow \
                 sts:AssumeRole (for tags sts:TagSession, for source_identity \
                 sts:SetSourceIdentity, too); then `rolekeeper refresh`"
            }
            (
                FailureClass::Denied,
                Some("MalformedPolicyDocument" | "PackedPolicyTooLarge" | "ValidationError"),
            ) => "mend the target's settings, then reload: `systemctl reload rolekeeper`",
            (FailureClass::Denied, Some("RegionDisabledException")) => {
                "activate STS for the region in the account's settings, or set sts_endpoint_url to \
                 another region's"
            }
            (FailureClass::Denied, _) => {
                "check that sts_endpoint_url is STS for the account, then `rolekeeper refresh`"
            }
            (FailureClass::BadAnswer, _) => {
                "check sts_endpoint_url, proxy and captive portals: what answered was not STS"
            }
            (class, code) => return class.remedy(code).to_owned(),
        };
        remedy.to_owned()
    }

    fn exit(&self) -> Exit {
        self.class.exit()
    }
}
