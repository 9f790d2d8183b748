//! How this machine reaches AWS: endpoint, certificates, proxy, patience. Every client of AWS is
//! built from it, so that what helps one helps all.

mod bounded;
mod request_log;
mod route;

pub use request_log::RequestLog;
pub use route::Route;

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::timeout::TimeoutConfig;
use http_body_util::LengthLimitError;
use rustls::CertificateError::{ExpiredContext, NotValidYetContext};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use crate::pure::failure::FailureClass;
use crate::pure::identity::Region;
use bounded::{Bounded, LONGEST_ANSWER};

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
    /// Why nobody is reached over TLS, where that is known: each request fails with it.
    pub out_of_reach: Option<String>,
}

/// Sends nothing, and says why.
#[derive(Debug, Clone)]
struct OutOfReach(String);

/// A setting by which nothing can be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct UnusableConnection {
    /// Whose use it was to be: `endpoint`, `proxy` or `connection`.
    pub part: &'static str,
    /// A URL or a setting; never one with a password.
    pub place: String,
    pub reason: String,
}

/// The longest that a request with its retries takes: three attempts of 20 s. The reference agent
/// allows 60 s for each of four.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);

/// The AWS SDKs' standard: one try, two retries.
pub const ATTEMPTS: u32 = 3;

/// The AWS SDKs give a connection 3.1 s; a slow satellite link needs more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept. Requests come minutes apart, so none is worth waking for.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest text of a service's error that is passed on.
const LONGEST_MESSAGE: usize = 300;

impl Connection {
    /// A client for the endpoint with that URL. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the URL, the proxy or the CA bundle cannot be used.
    pub fn http_client(&self, endpoint: &str) -> Result<SharedHttpClient, UnusableConnection> {
        match &self.out_of_reach {
            Some(reason) if !endpoint.starts_with("http:") => {
                let connector = OutOfReach(reason.clone());
                Ok(http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone())))
            }
            _ => http_client(endpoint, self.ca_bundle.as_deref(), self.proxy.as_deref()),
        }
    }

    /// The same; where the certificates cannot be read, one by which nobody is reached. A machine that has
    /// lost them gets them back.
    #[must_use]
    pub fn or_out_of_reach(self) -> Self {
        let reason = |path: &Path| read_bundle(path).err().map(|it| without_bundle(path, &it));
        Self { out_of_reach: self.ca_bundle.as_deref().and_then(reason), ..self }
    }

    /// The way to the endpoint with that URL.
    pub fn route(&self, endpoint: &str) -> Route {
        Route::new(endpoint, self.proxy.as_deref())
    }

    /// For an attempt, and for all of them together.
    pub fn timeouts(&self) -> TimeoutConfig {
        timeouts(self.attempt_timeout)
    }
}

/// A client for the endpoint with that URL, through the proxy, or else that of the environment, unless
/// the endpoint is on this machine. Nothing is sent yet.
///
/// # Errors
///
/// When the URL, the proxy or the CA bundle cannot be used.
pub fn http_client(
    endpoint: &str,
    ca_bundle: Option<&Path>,
    proxy: Option<&str>,
) -> Result<SharedHttpClient, UnusableConnection> {
    let uri = endpoint.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some());
    let uri =
        uri.ok_or_else(|| UnusableConnection::new("endpoint", endpoint, "this is not a URL"))?;
    let proxy = proxy_config(&uri, proxy)?;
    // Without TLS there is no reason to read the system's certificates.
    let tls = match uri.scheme_str() {
        Some("http") => None,
        _ => Some(tls_context(endpoint, ca_bundle)?),
    };
    let client = Builder::new().build_with_connector_fn(move |settings, _| {
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
    });
    Ok(SharedHttpClient::new(Bounded(client)))
}

/// For an attempt that may take so long, and for all of them together.
pub fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT.min(attempt))
        .operation_attempt_timeout(attempt)
        .operation_timeout(OPERATION_TIMEOUT.min(attempt * ATTEMPTS))
        .build()
}

fn proxy_config(uri: &http::Uri, proxy: Option<&str>) -> Result<ProxyConfig, UnusableConnection> {
    match proxy {
        _ if is_local(uri) => Ok(ProxyConfig::disabled()),
        None => Ok(ProxyConfig::from_env()),
        // The URL may hold a password, so the error does not repeat it.
        Some(url) => ProxyConfig::all(url).map_err(|_| {
            UnusableConnection::new("proxy", "[service] proxy", "this is not a proxy's URL")
        }),
    }
}

fn tls_context(endpoint: &str, ca_bundle: Option<&Path>) -> Result<TlsContext, UnusableConnection> {
    let trust_store = match ca_bundle {
        None => TrustStore::default(),
        Some(path) => {
            let pem = read_bundle(path).map_err(|reason| {
                UnusableConnection::new("connection", endpoint, without_bundle(path, &reason))
            })?;
            TrustStore::empty().with_pem_certificate(pem)
        }
    };
    let context = TlsContext::builder().with_trust_store(trust_store).build();
    context.map_err(|error| UnusableConnection::new("connection", endpoint, error.to_string()))
}

fn without_bundle(bundle: &Path, reason: &str) -> String {
    format!("the CA bundle {}: {reason}", bundle.display())
}

impl HttpConnector for OutOfReach {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Err(ConnectorError::user(self.0.clone().into())))
    }
}

impl UnusableConnection {
    pub fn new(part: &'static str, place: &str, reason: impl Into<String>) -> Self {
        Self { part, place: place.to_owned(), reason: reason.into() }
    }
}

/// Whether an endpoint is this machine's, or answers to it alone: the metadata service of EC2 and the
/// agents of ECS and EKS, at link-local addresses and in `fd00:ec2::/32`. No proxy stands between.
pub fn is_local(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| match address.to_canonical() {
            IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
            IpAddr::V6(address) => {
                address.is_loopback() || address.segments().starts_with(&[0xfd00, 0x0ec2])
            }
        })
}

/// `Sun, 22 Nov 2026 00:00:52 GMT` (RFC 9110, section 5.6.7).
pub fn parse_http_date(text: &str) -> Option<UtcDateTime> {
    let date = text.strip_suffix("GMT").map(|rest| format!("{rest}+0000"))?;
    let moment = time::OffsetDateTime::parse(&date, &time::format_description::well_known::Rfc2822);
    moment.ok().map(time::OffsetDateTime::to_utc)
}

/// What became of a request that the service has not answered, and of which proxy. The runtime's error goes
/// no further: its `Debug` form holds the raw answer.
pub fn without_answer<E>(error: &SdkError<E, HttpResponse>, route: &Route) -> (FailureClass, String)
where
    E: Error + 'static,
{
    let (class, message) = unanswered(error);
    (class, if class == FailureClass::Local { message } else { route.blame(message) })
}

fn unanswered<E>(error: &SdkError<E, HttpResponse>) -> (FailureClass, String)
where
    E: Error + 'static,
{
    match error {
        SdkError::TimeoutError(_) => (FailureClass::Unreachable, "no answer in time".to_owned()),
        SdkError::DispatchFailure(failure) => {
            let Some(error) = failure.as_connector_error() else {
                return (FailureClass::Unreachable, "the request could not be sent".to_owned());
            };
            match tls_error(error) {
                Some(&rustls::Error::InvalidCertificate(NotValidYetContext {
                    time,
                    not_before,
                })) => (FailureClass::ClockSkew, not_yet_valid(time, not_before)),
                Some(&rustls::Error::InvalidCertificate(ExpiredContext { time, not_after })) => {
                    (FailureClass::Unreachable, expired(time, not_after))
                }
                _ => (FailureClass::Unreachable, innermost(error)),
            }
        }
        SdkError::ResponseError(_) => (FailureClass::BadAnswer, unreadable(error)),
        other => (FailureClass::Local, innermost(other)),
    }
}

fn unreadable(error: &(dyn Error + 'static)) -> String {
    let mut chain = std::iter::successors(Some(error), |&error| error.source());
    if chain.any(|error| error.is::<LengthLimitError>()) {
        format!("the answer is longer than {LONGEST_ANSWER} bytes")
    } else {
        "the answer broke off".to_owned()
    }
}

/// Whether a request failed before there was a connection to send it on: no name, no route, refused, no
/// tunnel through the proxy, no TLS. Nobody has heard of it then.
pub fn came_before_connection(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return error.is_connect();
        }
        next = error.source();
    }
    false
}

/// A service's refusal as it is shown: its code, and its message on one line of bounded length.
pub fn refusal_text(status: u16, code: Option<&str>, message: Option<&str>) -> String {
    let text = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => format!("HTTP status {status} without an error of the service"),
    };
    text.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect()
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

/// What the TLS library said, where it is in the chain. An I/O error hides what it wraps.
pub fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = error.downcast_ref::<rustls::Error>();
        let tls = tls.or_else(|| wrapped.and_then(|wrapped| wrapped.downcast_ref()));
        if tls.is_some() {
            return tls;
        }
        next = wrapped.map(|wrapped| wrapped as &dyn Error).or_else(|| error.source());
    }
    None
}

/// A machine without a clock of its own boots in a year in which no certificate is valid yet.
fn not_yet_valid(clock: UnixTime, not_before: UnixTime) -> String {
    format!(
        "this machine's clock says {}, and the service's certificate is valid from {} on",
        moment(clock),
        moment(not_before)
    )
}

fn expired(clock: UnixTime, not_after: UnixTime) -> String {
    format!(
        "the service's certificate was valid until {}, and this machine's clock says {}",
        moment(not_after),
        moment(clock)
    )
}

fn moment(at: UnixTime) -> String {
    let seconds = i64::try_from(at.as_secs()).ok();
    let at = seconds.and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok());
    let text = at.and_then(|at| at.format(&Rfc3339).ok());
    text.unwrap_or_else(|| "a date that no calendar has".to_owned())
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

#[cfg(test)]
mod tests {
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
    fn what_is_local_is_reached_without_a_proxy() {
        let local = |host: &&str| is_local(&format!("http://{host}/").parse().unwrap());
        let hosts = ["localhost", "127.0.0.1", "169.254.169.254", "169.254.170.2"];
        for host in hosts.iter().chain(&["[::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"]) {
            assert!(local(host), "{host}");
        }
        for host in ["example.com", "192.0.2.1", "10.0.0.1", "[fd00:ec3::1]", "[2001:db8::1]"] {
            assert!(!local(&host), "{host}");
        }
    }

    #[test]
    fn http_dates_parse() {
        let date = parse_http_date("Sun, 22 Nov 2026 00:00:52 GMT");
        assert_eq!(date, Some(time::macros::utc_datetime!(2026-11-22 00:00:52)));
        assert_eq!(parse_http_date("yesterday"), None);
    }

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
}
