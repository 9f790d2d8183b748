//! Asks those who hand out credentials on the spot: EC2's metadata service, a container's endpoint,
//! the process's environment.
//!
//! | source | asks | proves itself by |
//! |---|---|---|
//! | [`InstanceMetadata`] | `/latest/…` of `169.254.169.254`, version 2 of the protocol alone | a session |
//! | [`ContainerEndpoint`] | the URL that ECS, EKS or CloudShell gives | a token, read anew each time |
//! | [`from_environment`] | `AWS_ACCESS_KEY_ID` and its like | nothing: they are there |
//!
//! The carrier is the AWS SDK's own runtime, as for Systems Manager. The SDK's providers are not used:
//! that of EC2 goes on with credentials that have ended, that of a container takes its URL from the
//! environment alone, and neither says what the caller should do about a failure.

mod client;
mod container;
mod document;
mod environment;
mod error;
mod instance_metadata;

pub use container::{BearerToken, ContainerEndpoint};
pub use document::Granted;
pub use environment::{UnusableVariables, from_environment};
pub use error::{Problem, SourceError};
pub use instance_metadata::{Instance, InstanceMetadata, METADATA_ENDPOINT, Profile};
