//! Carries one request on the AWS SDK's runtime: endpoint, TLS, proxy, timeouts, retries.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ssm::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::TransientErrorClassifier;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{AuthSchemeOptionResolverParams, SharedAuthScheme};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::{
    HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput,
};
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use futures_util::future::FutureExt;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use time::UtcDateTime;

use super::error::{Refusal, SsmError};
use super::signer::{Credential, Holder, SCHEME, Signer};
use crate::host::clock::ServiceClock;
use crate::pure::failure::FailureClass;
use crate::pure::identity::Region;
use crate::pure::secret::Secret;

/// Where and how to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub region: Region,
    /// Instead of AWS's own endpoint for the region.
    pub endpoint_url: Option<String>,
    pub fips: bool,
    pub dual_stack: bool,
    /// PEM certificates to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// A proxy for everything; otherwise `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count.
    pub proxy: Option<String>,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
}

/// The longest that a request with its retries takes: three attempts of 20 s. The reference agent
/// allows 60 s for each of four.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);

/// The AWS SDKs' standard: one try, two retries.
pub(super) const ATTEMPTS: u32 = 3;

/// The AWS SDKs give a connection 3.1 s; a slow satellite link needs more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept. Requests come minutes apart, so none is worth waking for.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest error text that is passed on.
const LONGEST_MESSAGE: usize = 300;

#[derive(Debug)]
pub(super) struct Carrier {
    endpoint: String,
    region: Region,
    attempt_timeout: Duration,
    http: SharedHttpClient,
    clock: ServiceClock,
}

/// A request's body on its way into the runtime, which wants `Debug` of it.
#[derive(Debug)]
struct Body(Secret<Vec<u8>>);

impl Carrier {
    pub(super) fn new(connection: &Connection, clock: ServiceClock) -> Result<Self, SsmError> {
        let endpoint = resolve_endpoint(connection)?;
        let http = http_client(connection, &endpoint)?;
        let region = connection.region.clone();
        Ok(Self { endpoint, region, attempt_timeout: connection.attempt_timeout, http, clock })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    /// Sends `body` as `AmazonSSM.<operation>`; the answer's body when the status says success.
    pub(super) async fn call(
        &self,
        operation: &'static str,
        body: Secret<Vec<u8>>,
        credential: Credential,
        attempts: u32,
    ) -> Result<Secret<Vec<u8>>, SsmError> {
        let clock = self.clock.clone();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(self.attempt_timeout))
            .operation_attempt_timeout(self.attempt_timeout)
            .operation_timeout(OPERATION_TIMEOUT.min(self.attempt_timeout * ATTEMPTS))
            .build();
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
            .timeout_config(timeouts)
            .with_connection_poisoning()
            .runtime_plugin(self.authentication(credential))
            .serializer(move |body: Body| request(operation, &body.0))
            .deserializer(move |response| read_answer(response, &clock).map(Body))
            .build();
        match call.invoke(Body(body)).await {
            Ok(Body(answer)) => Ok(answer),
            Err(error) => Err(SsmError::from_runtime(operation, &self.endpoint, error)),
        }
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

fn http_client(connection: &Connection, endpoint: &str) -> Result<SharedHttpClient, SsmError> {
    let uri = endpoint.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some());
    let uri =
        uri.ok_or_else(|| SsmError::local("endpoint", endpoint, "this is not a URL".to_owned()))?;
    let proxy = proxy(connection, &uri)?;
    // Without TLS there is no reason to read the system's certificates.
    let tls = match uri.scheme_str() {
        Some("http") => None,
        _ => Some(tls_context(connection, endpoint)?),
    };
    Ok(Builder::new().build_with_connector_fn(move |settings, _| {
        let mut connector = Connector::builder()
            .sleep_impl(TokioSleep::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        match &tls {
            None => connector.build_http(),
            Some(tls) => connector
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(tls.clone())
                .build(),
        }
    }))
}

fn proxy(connection: &Connection, uri: &http::Uri) -> Result<ProxyConfig, SsmError> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match &connection.proxy {
        _ if local => Ok(ProxyConfig::disabled()),
        None => Ok(ProxyConfig::from_env()),
        // The URL may hold a password, so the error does not repeat it.
        Some(url) => ProxyConfig::all(url.as_str()).map_err(|_| {
            SsmError::local("proxy", "[service] proxy", "this is not a proxy's URL".to_owned())
        }),
    }
}

fn tls_context(connection: &Connection, endpoint: &str) -> Result<TlsContext, SsmError> {
    let trust_store = match &connection.ca_bundle {
        None => TrustStore::default(),
        Some(path) => {
            let pem = read_bundle(path).map_err(|reason| {
                let message = format!("the CA bundle {}: {reason}", path.display());
                SsmError::local("connection", endpoint, message)
            })?;
            TrustStore::empty().with_pem_certificate(pem)
        }
    };
    let context = TlsContext::builder().with_trust_store(trust_store).build();
    context.map_err(|error| SsmError::local("connection", endpoint, error.to_string()))
}

/// The SDK panics over a certificate that it cannot read, so each is read here first.
fn read_bundle(path: &Path) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(&pem)) {
        let certificate = certificate.map_err(|error| format!("certificate {number}: {error}"))?;
        roots.add(certificate).map_err(|error| match error {
            rustls::Error::InvalidCertificate(reason) => format!("certificate {number}: {reason}"),
            error => format!("certificate {number}: {error}"),
        })?;
    }
    if roots.is_empty() { Err("holds no PEM certificate".to_owned()) } else { Ok(pem) }
}

fn request(
    operation: &str,
    body: &Secret<Vec<u8>>,
) -> Result<HttpRequest, aws_smithy_runtime_api::box_error::BoxError> {
    let request = http::Request::post("/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("AmazonSSM.{operation}"))
        .header("user-agent", concat!("rolekeeper/", env!("CARGO_PKG_VERSION")))
        .body(SdkBody::from(body.expose().as_slice()))?;
    Ok(HttpRequest::try_from(request)?)
}

/// A success's body, or the service's refusal. Whoever answers as the service does is believed
/// about the time.
fn read_answer(
    response: &HttpResponse,
    clock: &ServiceClock,
) -> Result<Secret<Vec<u8>>, OrchestratorError<Refusal>> {
    let bytes = response.body().bytes().unwrap_or_default();
    let header = |name: &str| response.headers().get(name);
    let date = header("date").and_then(parse_http_date);
    let request_id = header("x-amzn-requestid").or_else(|| header("x-amz-request-id"));
    if response.status().is_success() {
        if let (Some(date), Some(_)) = (date, request_id) {
            clock.heard(date);
        }
        return Ok(Secret::new(bytes.to_vec()));
    }
    let status = response.status().as_u16();
    let (code, message) = read_error(bytes, header("x-amzn-errortype"));
    if let (Some(date), Some(_)) = (date, &code) {
        clock.heard(date);
    }
    let class = FailureClass::of_answer(status, code.as_deref(), message.as_deref());
    let message = match (&code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.clone(),
        (None, _) => format!("HTTP status {status} without an error of the service"),
    };
    let message = message.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect();
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

/// `Sun, 22 Nov 2026 00:00:52 GMT` (RFC 9110, section 5.6.7).
fn parse_http_date(text: &str) -> Option<UtcDateTime> {
    let date = text.strip_suffix("GMT").map(|rest| format!("{rest}+0000"))?;
    let moment = time::OffsetDateTime::parse(&date, &time::format_description::well_known::Rfc2822);
    moment.ok().map(time::OffsetDateTime::to_utc)
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

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    /// Made by `openssl req -x509` with a key that nobody kept.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBdDCCARugAwIBAgIUIXlGSVLJKMANT+opGqCC2Nk47KswCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEVGVzdDAgFw0yNjExMjIwMjM0MzhaGA8yMTI2MTAyOTAyMzQz\n\
OFowDzENMAsGA1UEAwwEVGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABC9z\n\
qrt5mCvXYLzRCroOLoMrDBt+fraOnogrxAyV/QImF4xXj3Zm1ZAgVZT+puZv/YbX\n\
3f9v0EQxPdMiVLQkoNqjUzBRMB0GA1UdDgQWBBTlU115vkmq4ztW84799VFBMDpy\n\
2jAfBgNVHSMEGDAWgBTlU115vkmq4ztW84799VFBMDpy2jAPBgNVHRMBAf8EBTAD\n\
AQH/MAoGCCqGSM49BAMCA0cAMEQCIAgP8ZIhbRQ60CWeLgITXQ2Fsor2N/KqYK5J\n\
8J2B3posAiANIL2sYkoeN1mU5I47Z14Fgn2nop6QLNDZDFurwI1mHQ==\n\
-----END CERTIFICATE-----\n";

    #[test]
    fn a_ca_bundle_is_whole_or_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            read_bundle(file.path())
        };
        let bundle = format!("# ours\n{CERTIFICATE}\n{CERTIFICATE}");
        assert_eq!(read(&bundle), Ok(bundle.into_bytes()));

        let (start, end) = ("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n");
        for damaged in [format!("{start}AAAA\n{end}"), format!("{start}?\n{end}"), start.to_owned()]
        {
            let reason = read(&format!("{CERTIFICATE}{damaged}")).unwrap_err();
            assert!(reason.starts_with("certificate 2: "), "{reason}");
        }
        for text in ["", "no certificate"] {
            assert_eq!(read(text), Err("holds no PEM certificate".to_owned()));
        }
    }

    #[test]
    fn http_dates_parse() {
        let date = parse_http_date("Sun, 22 Nov 2026 00:00:52 GMT");
        assert_eq!(date, Some(utc_datetime!(2026-11-22 00:00:52)));
        assert_eq!(parse_http_date("yesterday"), None);
    }

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
