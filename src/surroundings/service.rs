//! One unsigned call to a service: name, connection, TLS, request, each step told apart.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use http::Uri;
use rustls::CertificateError;
use tokio::net::{TcpStream, lookup_host};

use super::proxy::{self, Proxy};
use crate::connection::{self, Connection, Route, parse_http_date};
use crate::host::clock::timeout;
use crate::pure::diagnosis::certificate::Distrust;
use crate::pure::diagnosis::service::{Answer, Attempt, Outcome, Service};

/// How long a name, a connection and an answer may take, each.
const PATIENCE: Duration = Duration::from_secs(3);

/// Addresses of one name that are tried.
const ADDRESSES: usize = 2;

/// How much of an answer is looked at.
const BEGINNING: usize = 2048;

/// Calls a service without a signature, and says how far the call came.
pub async fn call(connection: &Connection, service: Service, endpoint: &str) -> Attempt {
    let uri = endpoint.parse::<Uri>().unwrap_or_default();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let proxy = proxy::between(connection, &uri);
    let mut attempt = Attempt {
        endpoint: endpoint.to_owned(),
        host: host.clone(),
        proxy: proxy.as_ref().map(|proxy| proxy.named_by.clone()),
        ca_bundle: connection.ca_bundle.as_ref().map(|path| path.display().to_string()),
        steps: Vec::new(),
        outcome: Outcome::Unusable("this is not a URL".to_owned()),
    };
    if host.is_empty() {
        return attempt;
    }
    let Proxy { host, port, .. } = proxy.unwrap_or_else(|| {
        let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        Proxy { named_by: String::new(), host, port: uri.port_u16().unwrap_or(default) }
    });
    attempt.outcome = match reach(&host, port, &mut attempt.steps).await {
        Err(outcome) => outcome,
        Ok(()) => exchange(connection, service, endpoint).await,
    };
    attempt
}

/// The first hop: the service itself, or the proxy.
async fn reach(host: &str, port: u16, steps: &mut Vec<String>) -> Result<(), Outcome> {
    let unnamed = |reason: String| Outcome::NoName { host: host.to_owned(), reason };
    let addresses = match timeout(PATIENCE, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.take(ADDRESSES).collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(unnamed(error.to_string())),
        Err(_) => return Err(unnamed("no name server answers".to_owned())),
    };
    let mut refused = unnamed("it has no address".to_owned());
    for address in addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                steps.push(format!("connected to {address}"));
                return Ok(());
            }
            Ok(Err(error)) if lacks_ipv4(address, &error) => {
                refused = Outcome::NoIpv4 { to: address.to_string() };
            }
            Ok(Err(error)) => refused = unconnected(address, error.to_string()),
            Err(_) => refused = unconnected(address, "nothing came back".to_owned()),
        }
    }
    Err(refused)
}

/// Whether there is no way to IPv4 addresses, and one to IPv6.
fn lacks_ipv4(address: SocketAddr, error: &io::Error) -> bool {
    /// A name server of the internet's root (`k.root-servers.net`): whatever way there is leads there.
    const FAR: &str = "[2001:7fd::1]:53";
    let has_ipv6 = || {
        let socket = UdpSocket::bind("[::]:0");
        // The kernel looks a route up; nothing is sent.
        socket.and_then(|socket| socket.connect(FAR)).is_ok()
    };
    address.is_ipv4() && error.kind() == io::ErrorKind::NetworkUnreachable && has_ipv6()
}

fn unconnected(address: SocketAddr, reason: String) -> Outcome {
    Outcome::NoConnection { to: address.to_string(), reason }
}

/// TLS, the request and its answer, by the very client that the daemon uses.
async fn exchange(connection: &Connection, service: Service, endpoint: &str) -> Outcome {
    let patient = Connection {
        attempt_timeout: PATIENCE.min(connection.attempt_timeout),
        ..connection.clone()
    };
    let http = match patient.http_client(endpoint) {
        Ok(http) => http,
        Err(unusable) => return Outcome::Unusable(unusable.reason),
    };
    let call = Operation::builder()
        .service_name("doctor")
        .operation_name("unsigned")
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .endpoint_url(endpoint)
        .sleep_impl(TokioSleep::new())
        .no_auth()
        .no_retry()
        .timeout_config(patient.timeouts())
        .serializer(move |()| request(service))
        .deserializer(|response: &HttpResponse| {
            Ok::<_, OrchestratorError<io::Error>>(answer(response))
        })
        .build();
    // In a box: the SDK's runtime nests deeply.
    match Box::pin(call.invoke(())).await {
        Ok(answer) => Outcome::Answered(answer),
        Err(error) => failed(&error),
    }
}

/// A call that takes no effect, whoever makes it. Without a signature none is carried out.
fn request(service: Service) -> Result<HttpRequest, aws_smithy_runtime_api::box_error::BoxError> {
    let (content_type, body) = match service {
        Service::SystemsManager => ("application/x-amz-json-1.1", "{}"),
        Service::TokenService => {
            ("application/x-www-form-urlencoded", "Action=GetCallerIdentity&Version=2011-06-15")
        }
    };
    let request = http::Request::post("/")
        .header("content-type", content_type)
        .header("user-agent", concat!("rolekeeper/", env!("CARGO_PKG_VERSION")));
    let request = match service {
        Service::SystemsManager => request.header("x-amz-target", "AmazonSSM.DescribeActivations"),
        Service::TokenService => request,
    };
    Ok(HttpRequest::try_from(request.body(SdkBody::from(body))?)?)
}

fn answer(response: &HttpResponse) -> Answer {
    let header = |name: &str| response.headers().get(name).map(str::to_owned);
    let bytes = response.body().bytes().unwrap_or_default();
    Answer {
        status: response.status().as_u16(),
        date: header("date").and_then(|date| parse_http_date(&date)),
        content_type: header("content-type"),
        server: header("server"),
        location: header("location"),
        request_id: header("x-amzn-requestid").or_else(|| header("x-amz-request-id")).is_some(),
        body: String::from_utf8_lossy(&bytes[..bytes.len().min(BEGINNING)]).into_owned(),
    }
}

fn failed(error: &SdkError<io::Error, HttpResponse>) -> Outcome {
    match distrust(error) {
        Some(distrust) => Outcome::Distrusted(distrust),
        // Which proxy it is, is known there already.
        None => Outcome::NoAnswer(connection::without_answer(error, &Route::default()).1),
    }
}

fn distrust(error: &(dyn Error + 'static)) -> Option<Distrust> {
    Some(match connection::tls_error(error)? {
        rustls::Error::InvalidCertificate(reason) => of_certificate(reason),
        other => Distrust::Other(other.to_string()),
    })
}

fn of_certificate(error: &CertificateError) -> Distrust {
    match error {
        // The second is said of an issuer that has the name of a trusted one, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Distrust::UnknownIssuer,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Distrust::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Distrust::NotYetValid
        }
        CertificateError::NotValidForName => Distrust::OtherNames(Vec::new()),
        CertificateError::NotValidForNameContext { presented, .. } => {
            Distrust::OtherNames(presented.clone())
        }
        other => Distrust::Other(other.to_string()),
    }
}
