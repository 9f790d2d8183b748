//! Talks to Systems Manager: register, request a role token, replace the public key, report health.
//!
//! The wire is the reference agent's (AWS JSON 1.1, its bodies byte for byte); the carrier is the
//! AWS SDK's own runtime, with its timeouts, retries, TLS, proxies and endpoint rules, and a signer
//! of ours. Every attempt is signed anew, by the service's clock as far as it is known.

mod carrier;
mod error;
mod signer;
mod wire;

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

pub use error::SsmError;
pub use wire::{HealthReport, Tag};

use carrier::{Answer, Carrier};
use signer::Credential;

use crate::connection::{ATTEMPTS, Connection};
use crate::host::clock::ServiceClock;
use crate::keys::{PublicKey, SigningKey};
use crate::pure::identity::{Activation, Ec2InstanceId, Fingerprint, InstanceId, Region};
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;
use crate::pure::service_time::{Beside, Dated};

/// A client of one endpoint in one region. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ssm {
    carrier: Arc<Carrier>,
    clock: ServiceClock,
    attempts: u32,
}

/// What an instance signs its own requests with.
#[derive(Debug, Clone)]
pub struct InstanceKey {
    pub instance_id: InstanceId,
    pub signing_key: Arc<SigningKey>,
}

/// What an EC2 instance signs with under Default Host Management: its own credentials, and the key
/// that it registered.
#[derive(Debug, Clone)]
pub struct HostKey {
    pub credentials: AwsCredentials,
    pub signing_key: Arc<SigningKey>,
}

/// Ordinary AWS credentials: a role token's, or an administrator's.
#[derive(Debug, Clone)]
pub struct AwsCredentials {
    pub access_key_id: String,
    pub secret_access_key: Secret<String>,
    pub session_token: Option<Secret<String>>,
}

impl Ssm {
    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the region has no endpoint under the given rules, or the CA bundle cannot be read.
    pub fn new(connection: &Connection, clock: ServiceClock) -> Result<Self, SsmError> {
        let carrier = Arc::new(Carrier::new(connection, clock.clone())?);
        Ok(Self { carrier, clock, attempts: ATTEMPTS })
    }

    /// Where requests go.
    pub fn endpoint(&self) -> &str {
        self.carrier.endpoint()
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &Region {
        self.carrier.region()
    }

    /// The same client, for requests whose every attempt must be accounted for.
    #[must_use]
    pub fn without_retries(&self) -> Self {
        Self { attempts: 1, ..self.clone() }
    }

    /// The clock that answers correct.
    pub fn clock(&self) -> &ServiceClock {
        &self.clock
    }

    /// `RegisterManagedInstance`, unsigned: trades an activation for an instance id.
    ///
    /// # Errors
    ///
    /// The service's refusal, or no answer. After [`FailureClass::Unreachable`] or
    /// [`FailureClass::BadAnswer`] the service may have registered an instance all the same.
    ///
    /// [`FailureClass::Unreachable`]: crate::pure::failure::FailureClass::Unreachable
    /// [`FailureClass::BadAnswer`]: crate::pure::failure::FailureClass::BadAnswer
    pub async fn register(
        &self,
        activation: &Activation,
        fingerprint: Fingerprint,
        public_key: &PublicKey,
        tags: &[Tag],
    ) -> Result<InstanceId, SsmError> {
        const OPERATION: &str = "RegisterManagedInstance";
        let body = wire::register(activation, fingerprint, public_key, tags);
        let answer = self.call(OPERATION, body, Credential::Anonymous).await?;
        wire::read_registered(answer.expose()).map_err(|reason| self.bad_answer(OPERATION, reason))
    }

    /// `RequestManagedInstanceRoleToken`, signed by the instance's key.
    ///
    /// # Errors
    ///
    /// The service's refusal, no answer, or an answer that lacks what it must have.
    pub async fn request_role_token(
        &self,
        key: &InstanceKey,
        fingerprint: Fingerprint,
    ) -> Result<RoleToken, SsmError> {
        const OPERATION: &str = "RequestManagedInstanceRoleToken";
        let body = wire::request_role_token(fingerprint);
        let credential = Credential::Instance(key.clone());
        let answer = self.carrier.call(OPERATION, body, credential, self.attempts).boxed().await?;
        self.read_role_token(OPERATION, &answer)
    }

    /// `RegisterManagedInstance`, signed by an EC2 instance's own credentials in an activation's place.
    ///
    /// # Errors
    ///
    /// The service's refusal, or no answer. `InstanceAlreadyRegistered` when it knows this key or
    /// another of the instance.
    pub async fn register_host(
        &self,
        credentials: AwsCredentials,
        instance_id: &Ec2InstanceId,
        public_key: &PublicKey,
    ) -> Result<(), SsmError> {
        let body = wire::register_host(instance_id, public_key);
        let credential = Credential::Aws(credentials);
        self.call("RegisterManagedInstance", body, credential).await.map(drop)
    }

    /// `RequestManagedInstanceRoleToken` of an EC2 instance, signed twice: the credentials of the role
    /// that the account set for instances without one of their own.
    ///
    /// # Errors
    ///
    /// The service's refusal, no answer, or an answer that lacks what it must have.
    pub async fn request_host_token(
        &self,
        key: &HostKey,
        instance_id: &Ec2InstanceId,
    ) -> Result<RoleToken, SsmError> {
        const OPERATION: &str = "RequestManagedInstanceRoleToken";
        let body = wire::request_host_token(instance_id);
        let credential = Credential::Host(key.clone());
        let answer = self.carrier.call(OPERATION, body, credential, self.attempts).boxed().await?;
        let token = self.read_role_token(OPERATION, &answer)?;
        // The reference agent replaces no key on EC2.
        Ok(RoleToken { update_key_pair: false, ..token })
    }

    /// A `Date` by which the token beside it had ended, or lives longer than any, has not told the time:
    /// believing it would withdraw credentials that are good, or keep those that have ended.
    fn read_role_token(
        &self,
        operation: &'static str,
        answer: &Answer,
    ) -> Result<RoleToken, SsmError> {
        let token = wire::read_role_token(answer.body.expose(), self.clock.now())
            .map_err(|reason| self.bad_answer(operation, reason))?;
        if let Some(dated) = answer.dated.filter(|dated| token.may_be_given_out_at(dated.date)) {
            self.clock.hear(Dated { beside: Beside::Token, ..dated });
        }
        Ok(RoleToken { issued_at: self.clock.now(), ..token }.within_reason())
    }

    /// `UpdateManagedInstancePublicKey`, signed by the key that is to be replaced.
    ///
    /// # Errors
    ///
    /// The service's refusal, or no answer: then only a request signed by the new key can tell.
    pub async fn update_public_key(
        &self,
        old_key: &InstanceKey,
        new_key: &PublicKey,
    ) -> Result<(), SsmError> {
        let body = wire::update_public_key(new_key);
        let credential = Credential::Instance(old_key.clone());
        self.call("UpdateManagedInstancePublicKey", body, credential).await.map(drop)
    }

    /// `UpdateInstanceInformation`, the health ping, signed by the role's credentials.
    ///
    /// # Errors
    ///
    /// The service's refusal, or no answer.
    pub async fn report_health(
        &self,
        credentials: AwsCredentials,
        report: &HealthReport,
    ) -> Result<(), SsmError> {
        let body = wire::report_health(report);
        let credential = Credential::Aws(credentials);
        self.call("UpdateInstanceInformation", body, credential).await.map(drop)
    }

    /// `DeregisterManagedInstance`, by credentials that are allowed to.
    ///
    /// # Errors
    ///
    /// The service's refusal, or no answer.
    pub async fn deregister(
        &self,
        credentials: AwsCredentials,
        instance_id: &InstanceId,
    ) -> Result<(), SsmError> {
        let body = wire::deregister(instance_id);
        let credential = Credential::Aws(credentials);
        self.call("DeregisterManagedInstance", body, credential).await.map(drop)
    }

    /// Boxed, because the SDK's runtime nests deeply: every caller's future would hold it whole.
    fn call(
        &self,
        operation: &'static str,
        body: Secret<Vec<u8>>,
        credential: Credential,
    ) -> BoxFuture<'_, Result<Secret<Vec<u8>>, SsmError>> {
        let answer = self.carrier.call(operation, body, credential, self.attempts);
        async move {
            let Answer { body, dated } = answer.await?;
            if let Some(dated) = dated {
                self.clock.hear(dated);
            }
            Ok(body)
        }
        .boxed()
    }

    fn bad_answer(&self, operation: &'static str, reason: String) -> SsmError {
        SsmError::bad_answer(operation, self.endpoint(), reason)
    }
}

impl From<&RoleToken> for AwsCredentials {
    fn from(token: &RoleToken) -> Self {
        Self {
            access_key_id: token.access_key_id.as_str().to_owned(),
            secret_access_key: token.secret_access_key.clone(),
            session_token: Some(token.session_token.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
