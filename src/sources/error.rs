//! Credentials that were not given: who did not give them, why, and what to do about it.

use crate::pure::advice::{Advice, Exit};
use crate::pure::failure::FailureClass;

/// Credentials that were not given. Its text never holds one, nor the path of a container's endpoint,
/// which is as good as a key there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{asked} at {endpoint}: {problem}")]
pub struct SourceError {
    /// In words, as `the instance's role`.
    pub asked: &'static str,
    pub endpoint: String,
    pub problem: Problem,
}

/// Why, split by what the operator does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A member that is missing, HTML, an unknown path.
    #[error("{0}")]
    Malformed(String),
    /// Something on this machine: a token's file, a URL.
    #[error("{0}")]
    Local(String),
    /// The metadata service is switched off for this instance.
    #[error("the metadata service is switched off: {0}")]
    MetadataOff(String),
    /// Nobody there speaks version 2 of the metadata protocol.
    #[error("no session is to be had: {0}")]
    NoSession(String),
    /// The container has no role.
    #[error("no credentials here: {0}")]
    NoContainerRole(String),
    /// There is a role, and it is not given.
    #[error("{message}")]
    Refused { message: String },
    /// The endpoint fails, or is asked too often.
    #[error("{message}")]
    Failing { class: FailureClass, message: String },
    /// The bearer token is not the endpoint's.
    #[error("the token was refused: {0}")]
    TokenRefused(String),
    /// No answer.
    #[error("{message}")]
    Unanswered { class: FailureClass, message: String },
}

impl SourceError {
    /// What the daemon does next.
    pub fn class(&self) -> FailureClass {
        match &self.problem {
            Problem::Malformed(_) | Problem::NoSession(_) => FailureClass::BadAnswer,
            Problem::Local(_) => FailureClass::Local,
            Problem::MetadataOff(_)
            | Problem::NoContainerRole(_)
            | Problem::Refused { .. }
            | Problem::TokenRefused(_) => FailureClass::Denied,
            Problem::Failing { class, .. } | Problem::Unanswered { class, .. } => *class,
        }
    }
}

impl Advice for SourceError {
    fn remedy(&self) -> String {
        let remedy = match &self.problem {
            Problem::Malformed(_) => {
                "look at what answers there: it is neither EC2, ECS, EKS nor CloudShell"
            }
            Problem::Local(_) => "mend what the message names, then `rolekeeper refresh`",
            Problem::MetadataOff(_) => {
                "switch it on (EC2 console: Actions, Instance settings, Modify instance metadata \
                 options; or aws ec2 modify-instance-metadata-options --http-endpoint enabled), then \
                 `rolekeeper refresh`"
            }
            Problem::NoSession(_) => {
                "check metadata_endpoint_url: what answers there does not speak version 2 of the \
                 metadata protocol, and version 1 is not used"
            }
            Problem::NoContainerRole(_) => {
                "give the container a role (taskRoleArn in ECS, a Pod Identity association in EKS), \
                 and start it again"
            }
            Problem::Refused { .. } => {
                "let the role's trust policy name the service that hands it out, then `rolekeeper \
                 refresh`"
            }
            Problem::TokenRefused(_) => {
                "name the token that this container was given: container_token_file in [identity], \
                 AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or AWS_CONTAINER_AUTHORIZATION_TOKEN; then \
                 `rolekeeper refresh`"
            }
            Problem::Failing { .. } => "again later: the daemon keeps asking by itself",
            Problem::Unanswered { .. } if self.is_of_ec2() => {
                "check that this is an EC2 instance whose metadata service is on; in a container on \
                 one, allow two hops (aws ec2 modify-instance-metadata-options \
                 --http-put-response-hop-limit 2); the daemon tries again by itself"
            }
            Problem::Unanswered { .. } => {
                "check that this runs in ECS, EKS or CloudShell; the daemon tries again by itself"
            }
        };
        remedy.to_owned()
    }

    fn exit(&self) -> Exit {
        self.class().exit()
    }
}

impl SourceError {
    fn is_of_ec2(&self) -> bool {
        self.asked != super::container::ASKED
    }
}
