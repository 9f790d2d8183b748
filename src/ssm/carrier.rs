//! Carries one request on the AWS SDK's runtime: endpoint, TLS, proxy, timeouts, retries.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ssm::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::TransientErrorClassifier;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{AuthSchemeOptionResolverParams, SharedAuthScheme};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef, InterceptorContext,
};
use aws_smithy_runtime_api::client::orchestrator::{
    HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput,
};
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{ConfigBag, Layer};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use futures_util::future::FutureExt;
use serde::Deserialize;

use super::error::{Refusal, SsmError};
use super::signer::{Credential, Holder, SCHEME, Signer};
use crate::connection::{
    Connection, RequestLog, Route, came_before_connection, parse_http_date, refusal_text,
};
use crate::host::clock::ServiceClock;
use crate::pure::failure::FailureClass;
use crate::pure::identity::Region;
use crate::pure::secret::Secret;
use crate::pure::service_time::{Beside, Dated, Reading};

#[derive(Debug)]
pub(super) struct Carrier {
    endpoint: String,
    route: Route,
    region: Region,
    timeouts: TimeoutConfig,
    http: SharedHttpClient,
    clock: ServiceClock,
}

/// A request's body on its way into the runtime, which wants `Debug` of it.
#[derive(Debug)]
struct Body(Secret<Vec<u8>>);

/// A success.
#[derive(Debug)]
pub(super) struct Answer {
    pub body: Secret<Vec<u8>>,
    /// What time the service said that it was, if it did.
    pub dated: Option<Dated>,
}

impl Carrier {
    pub(super) fn new(connection: &Connection, clock: ServiceClock) -> Result<Self, SsmError> {
        let endpoint = resolve_endpoint(connection)?;
        let http = connection.http_client(&endpoint)?;
        let (region, timeouts) = (connection.region.clone(), connection.timeouts());
        let route = connection.route(&endpoint);
        Ok(Self { endpoint, route, region, timeouts, http, clock })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    /// Sends `body` as `AmazonSSM.<operation>`; the answer when the status says success. What a
    /// refusal says about the time has been heard then; of a success it is for the caller to judge.
    pub(super) async fn call(
        &self,
        operation: &'static str,
        body: Secret<Vec<u8>>,
        credential: Credential,
        attempts: u32,
    ) -> Result<Answer, SsmError> {
        let clock = self.clock.clone();
        let departure = Departure::now(&clock);
        let reach = Reach::default();
        let call = Operation::builder()
            .service_name("ssm")
            .operation_name(operation)
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .endpoint_url(&self.endpoint)
            .sleep_impl(TokioSleep::new())
            .standard_retry(&RetryConfig::standard().with_max_attempts(attempts))
            .retry_classifier(TransientErrorClassifier::<Refusal>::new())
            .retry_classifier(ByClass)
            .timeout_config(self.timeouts.clone())
            .interceptor(reach.clone())
            .interceptor(RequestLog::new(operation, &self.route))
            .with_connection_poisoning()
            .runtime_plugin(self.authentication(credential))
            .interceptor(departure.clone())
            .serializer(move |body: Body| request(operation, &body.0))
            .deserializer(move |response| read_answer(response, &clock, departure.last()))
            .build();
        let answer = call.invoke(Body(body)).await;
        answer.map_err(|error| {
            SsmError::from_runtime(operation, &self.endpoint, &self.route, error, reach.is_none())
        })
    }

    fn authentication(&self, credential: Credential) -> StaticRuntimePlugin {
        let mut layer = Layer::new("authentication");
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        layer.store_put(SensitiveOutput);
        let signer = Signer { region: self.region.to_string(), clock: self.clock.clone() };
        let holder = Holder(Arc::new(credential));
        let components = RuntimeComponentsBuilder::new("authentication")
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![
                SCHEME,
            ])))
            .with_auth_scheme(SharedAuthScheme::new(signer))
            .with_identity_cache(Some(IdentityCache::no_cache()))
            .with_identity_resolver(SCHEME, SharedIdentityResolver::new(holder));
        StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components)
    }
}

/// The SDK's own rules for partitions, FIPS and dual stack, or the URL from the settings.
fn resolve_endpoint(connection: &Connection) -> Result<String, SsmError> {
    let params = Params::builder()
        .region(connection.region.as_str())
        .use_fips(connection.fips)
        .use_dual_stack(connection.dual_stack)
        .set_endpoint(connection.endpoint_url.clone())
        .build();
    let wanted = connection.endpoint_url.as_deref().unwrap_or(connection.region.as_str());
    let params = params.map_err(|error| SsmError::local("endpoint", wanted, error.to_string()))?;
    // The SDK's rules are a table: the answer is there at once.
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).now_or_never();
    let endpoint = endpoint.unwrap_or_else(|| Err("the rules did not answer".into()));
    let endpoint =
        endpoint.map_err(|error| SsmError::local("endpoint", wanted, error.to_string()))?;
    Ok(endpoint.url().to_owned())
}

fn request(operation: &str, body: &Secret<Vec<u8>>) -> Result<HttpRequest, BoxError> {
    let request = http::Request::post("/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("AmazonSSM.{operation}"))
        .header("user-agent", concat!("rolekeeper/", env!("CARGO_PKG_VERSION")))
        .body(SdkBody::from(body.expose().as_slice()))?;
    Ok(HttpRequest::try_from(request)?)
}

/// When the attempt that is under way was sent.
#[derive(Debug, Clone)]
struct Departure {
    clock: ServiceClock,
    at: Arc<Mutex<Reading>>,
}

impl Departure {
    fn now(clock: &ServiceClock) -> Self {
        Self { clock: clock.clone(), at: Arc::new(Mutex::new(clock.read())) }
    }

    fn last(&self) -> Reading {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Departure {
    fn name(&self) -> &'static str {
        "departure"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = self.clock.read();
        Ok(())
    }
}

/// A success, or the service's refusal. Whoever answers as the service does is believed about the time.
fn read_answer(
    response: &HttpResponse,
    clock: &ServiceClock,
    sent: Reading,
) -> Result<Answer, OrchestratorError<Refusal>> {
    let bytes = response.body().bytes().unwrap_or_default();
    let header = |name: &str| response.headers().get(name);
    let date = header("date").and_then(parse_http_date);
    let received = clock.read();
    let dated = date.map(|date| Dated { date, sent, received, beside: Beside::Nothing });
    let request_id = header("x-amzn-requestid").or_else(|| header("x-amz-request-id"));
    if response.status().is_success() {
        let dated = dated.filter(|_| request_id.is_some());
        return Ok(Answer { body: Secret::new(bytes.to_vec()), dated });
    }
    let status = response.status().as_u16();
    let (code, message) = read_error(bytes, header("x-amzn-errortype"));
    let class = FailureClass::of_answer(status, code.as_deref(), message.as_deref());
    if let (Some(dated), Some(_)) = (dated, &code) {
        let is_skew = class == FailureClass::ClockSkew;
        clock.hear(if is_skew { Dated { beside: Beside::Skew, ..dated } } else { dated });
    }
    let message = refusal_text(status, code.as_deref(), message.as_deref());
    let request_id = request_id.map(str::to_owned);
    Err(OrchestratorError::operation(Refusal { class, code, message, request_id }))
}

/// Code and message of an AWS JSON error: `{"__type":"ns#Code:uri","message":"…"}`. The message's
/// first line alone: after it, a refused signature's answer repeats the request, credentials and all.
fn read_error(bytes: &[u8], header: Option<&str>) -> (Option<String>, Option<String>) {
    #[derive(Deserialize, Default)]
    struct ErrorDocument {
        #[serde(rename = "__type")]
        kind: Option<String>,
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let document: ErrorDocument = serde_json::from_slice(bytes).unwrap_or_default();
    let code = document.kind.as_deref().or(header).map(|kind| {
        let name = kind.rsplit_once('#').map_or(kind, |(_, name)| name);
        name.split(':').next().unwrap_or(name).to_owned()
    });
    let message = document.message.map(|text| text.lines().next().unwrap_or_default().to_owned());
    (code.filter(|code| !code.is_empty()), message)
}

/// Tells the runtime which refusals are worth another attempt within the same call.
#[derive(Debug)]
struct ByClass;

impl ClassifyRetry for ByClass {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err);
        let refusal = error.and_then(OrchestratorError::as_operation_error);
        match refusal.and_then(|error| error.downcast_ref::<Refusal>()).map(|error| error.class) {
            Some(FailureClass::Throttled) => RetryAction::throttling_error(),
            Some(FailureClass::ServiceFault) => RetryAction::server_error(),
            // The clock has been set by the answer; the next signature is dated right.
            Some(FailureClass::ClockSkew) => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "failure class"
    }
}

/// Counts the attempts that begin, and those of them that end before there is a connection.
#[derive(Debug, Clone, Default)]
struct Reach(Arc<[AtomicU32; 2]>);

impl Reach {
    /// Whether no attempt can have reached anybody. One that was cut short by a timeout may have.
    fn is_none(&self) -> bool {
        let [begun, unconnected] = &*self.0;
        let begun = begun.load(Ordering::Relaxed);
        begun > 0 && begun == unconnected.load(Ordering::Relaxed)
    }
}

impl Intercept for Reach {
    fn name(&self) -> &'static str {
        "reach"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let error = context.output_or_error().and_then(Result::err);
        let error = error.and_then(OrchestratorError::as_connector_error);
        if error.is_some_and(|error| came_before_connection(error)) {
            self.0[1].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn error_codes_lose_namespace_and_uri() {
        for text in ["Code", "com.amazonaws.ssm#Code", "Code:http://example.com/x"] {
            let body = format!(r#"{{"__type":"{text}","message":"why\n\nPOST"}}"#);
            let (code, message) = read_error(body.as_bytes(), None);
            assert_eq!((code.as_deref(), message.as_deref()), (Some("Code"), Some("why")));
        }
        assert_eq!(read_error(b"<html>", Some("Code:")), (Some("Code".into()), None));
        assert_eq!(read_error(b"<html>", None), (None, None));
    }

    #[test]
    fn endpoints_follow_partition_fips_and_dual_stack() {
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
            (connection("eu-central-1", false, false), "https://ssm.eu-central-1.amazonaws.com"),
            (connection("us-east-1", true, false), "https://ssm-fips.us-east-1.amazonaws.com"),
            (connection("us-east-1", false, true), "https://ssm.us-east-1.api.aws"),
            (connection("cn-north-1", false, false), "https://ssm.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(resolve_endpoint(&connection).unwrap(), url);
        }
    }
}
