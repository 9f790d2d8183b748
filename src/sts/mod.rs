//! Talks to STS: roles assumed from roles, one after another.
//!
//! The client is the AWS SDK's own, with the connection that Systems Manager has and the service's
//! clock instead of this machine's. The credentials of the roles on the way live in here for as long
//! as a chain takes, and nowhere else.

mod error;

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_sts::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use aws_sdk_sts::{Client, Config};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_types::retry::RetryConfig;
use futures_util::future::{BoxFuture, FutureExt};
use time::UtcDateTime;

pub use error::StsError;

use crate::connection::{ATTEMPTS, Connection, RequestLog, Route, UnusableConnection};
use crate::host::clock::ServiceClock;
use crate::pure::assumption::Step;
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;

/// A client of STS in one region. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sts {
    config: Config,
    endpoint: String,
    route: Route,
    clock: ServiceClock,
}

impl Sts {
    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the region has no endpoint under the given rules, or the CA bundle cannot be read.
    pub fn new(connection: &Connection, clock: ServiceClock) -> Result<Self, UnusableConnection> {
        let endpoint = resolve_endpoint(connection)?;
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(connection.region.to_string()))
            .endpoint_url(&endpoint)
            .http_client(connection.http_client(&endpoint)?)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(connection.timeouts())
            // An answer is small, and its time is bounded already.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .sleep_impl(TokioSleep::new())
            .time_source(ServiceTime(clock.clone()))
            // Each request has credentials of its own.
            .identity_cache(IdentityCache::no_cache())
            .build();
        let route = connection.route(&endpoint);
        Ok(Self { config, endpoint, route, clock })
    }

    /// Where requests go.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// `AssumeRole` for every step, each signed by the credentials of the one before; the last one's
    /// credentials. Boxed, because the SDK's runtime nests deeply.
    ///
    /// # Errors
    ///
    /// The first refusal, or no answer; it names the role.
    pub fn assume<'a>(
        &'a self,
        base: &'a RoleToken,
        steps: &'a [Step<'a>],
    ) -> BoxFuture<'a, Result<RoleToken, StsError>> {
        async move {
            let mut token = base.clone();
            for step in steps {
                token = self.assume_one(&token, step).await?;
            }
            Ok(token)
        }
        .boxed()
    }

    async fn assume_one(&self, token: &RoleToken, step: &Step<'_>) -> Result<RoleToken, StsError> {
        let tags = step.tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value));
        let tags = tags.map(|tag| tag.build()).collect::<Result<Vec<_>, _>>();
        let tags = tags.map_err(|error| self.local(step, error.to_string()))?;
        let arns = step.policy_arns.iter();
        let arns = arns.map(|arn| PolicyDescriptorType::builder().arn(arn.as_str()).build());
        let transitive = step.transitive.iter().map(|key| (*key).to_owned());
        let seconds = i32::try_from(step.duration.as_secs()).unwrap_or(i32::MAX);
        let config = self.config.to_builder().credentials_provider(credentials(token));
        let config = config.interceptor(RequestLog::new("AssumeRole", &self.route)).build();
        let answer = Client::from_conf(config)
            .assume_role()
            .role_arn(step.role.as_str())
            .role_session_name(step.session_name.as_str())
            .duration_seconds(seconds)
            .set_external_id(step.external_id.map(ToString::to_string))
            .set_source_identity(step.source_identity.map(ToString::to_string))
            .set_tags(some(tags))
            .set_transitive_tag_keys(some(transitive.collect()))
            .set_policy(step.policy.map(ToString::to_string))
            .set_policy_arns(some(arns.collect()))
            .send()
            .await;
        let answer = answer.map_err(|error| {
            StsError::from_runtime(step.role, &self.endpoint, &self.route, error)
        })?;
        let token = self.read(&answer).map_err(|reason| self.bad_answer(step, reason))?;
        Ok(token.within_reason().of(step.role.clone()))
    }

    fn read(&self, answer: &AssumeRoleOutput) -> Result<RoleToken, String> {
        let given = answer.credentials().ok_or("the answer's Credentials are missing")?;
        let end = UtcDateTime::from_unix_timestamp(given.expiration().secs())
            .map_err(|_| "the answer's Expiration is not a point in time")?;
        let secret = |text: &str| Some(Secret::new(text.to_owned()));
        RoleToken::new(
            Some(given.access_key_id().to_owned()),
            secret(given.secret_access_key()),
            secret(given.session_token()),
            self.clock.now(),
            Some(end),
            false,
        )
        .map_err(|error| error.to_string())
    }

    fn local(&self, step: &Step<'_>, message: String) -> StsError {
        StsError::local(step.role, &self.endpoint, message)
    }

    fn bad_answer(&self, step: &Step<'_>, message: String) -> StsError {
        StsError::bad_answer(step.role, &self.endpoint, message)
    }
}

/// The clock by which the SDK dates its signatures.
#[derive(Debug)]
struct ServiceTime(ServiceClock);

impl TimeSource for ServiceTime {
    fn now(&self) -> SystemTime {
        self.0.signing_date().into()
    }
}

/// The SDK's own rules for partitions, FIPS and dual stack, or the URL from the settings. Always the
/// region's endpoint: the global one hands out tokens that not every region takes.
fn resolve_endpoint(connection: &Connection) -> Result<String, UnusableConnection> {
    let wanted = connection.endpoint_url.as_deref().unwrap_or(connection.region.as_str());
    let unusable = |reason| UnusableConnection::new("endpoint", wanted, reason);
    let params = Params::builder()
        .region(connection.region.as_str())
        .use_fips(connection.fips)
        .use_dual_stack(connection.dual_stack)
        .use_global_endpoint(false)
        .set_endpoint(connection.endpoint_url.clone())
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    // The SDK's rules are a table: the answer is there at once.
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).now_or_never();
    let endpoint = endpoint.unwrap_or_else(|| Err("the rules did not answer".into()));
    endpoint.map(|endpoint| endpoint.url().to_owned()).map_err(|error| unusable(error.to_string()))
}

fn credentials(token: &RoleToken) -> Credentials {
    Credentials::new(
        token.access_key_id.as_str(),
        token.secret_access_key.expose(),
        Some(token.session_token.expose().clone()),
        None,
        "rolekeeper",
    )
}

/// An empty list is left out: the service takes it for a mistake.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn endpoints_are_the_regions_own() {
        let connection = |region: &str, fips, dual_stack| Connection {
            region: region.parse().unwrap(),
            endpoint_url: None,
            fips,
            dual_stack,
            ca_bundle: None,
            proxy: None,
            attempt_timeout: Duration::from_secs(20),
            out_of_reach: None,
        };
        for (connection, url) in [
            (connection("eu-central-1", false, false), "https://sts.eu-central-1.amazonaws.com"),
            (connection("us-east-1", false, false), "https://sts.us-east-1.amazonaws.com"),
            (connection("us-east-1", true, false), "https://sts-fips.us-east-1.amazonaws.com"),
            (connection("us-east-1", false, true), "https://sts.us-east-1.api.aws"),
            (connection("cn-north-1", false, false), "https://sts.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(resolve_endpoint(&connection).unwrap(), url);
        }
    }
}
