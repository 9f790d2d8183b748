//! An administrator's calls to a lab that runs, here or in another process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::{Value, json};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::authority;
use super::clock::ClockSetting;
use super::control;
use super::message::{Request, parse_http_date};
use super::operation::Operation;
use super::tls::SPEAKS_TLS;
use super::tokens::AdminCredentials;
use crate::host::clock::timeout;
use crate::pure::advice::{Advice, Exit};
use crate::pure::identity::Region;
use crate::pure::signing::{
    Authorization, CredentialScope, SignedParts, amz_date, canonical_request, sha256_hex,
    sigv4_signature, string_to_sign,
};

/// How long a call may take: the lab answers at once, or a fault was asked for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Below this, a refused signature has another cause than the date.
const TOLERATED_SKEW: time::Duration = time::Duration::minutes(1);

/// The most that a `Describe` operation gives at once (the public API model).
const LARGEST_PAGE: u32 = 50;

#[derive(Debug)]
pub struct Client {
    /// `http` or `https`
    scheme: &'static str,
    /// `127.0.0.1:4599`
    authority: String,
    ca_bundle: Option<PathBuf>,
    credentials: AdminCredentials,
    region: Region,
    connector: Connector,
}

/// What to do with the faults of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCall {
    Add,
    List,
    Clear,
    /// One, by its number.
    Remove(u64),
}

/// A call that did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("'{0}' is no address of a lab")]
    Endpoint(String),
    #[error("AWS_CA_BUNDLE is not set, and {0} cannot be trusted without")]
    NoBundle(String),
    #[error("cannot read {path}: {reason}", path = .0.display(), reason = .1)]
    UnreadableBundle(PathBuf, String),
    #[error("{path} is not the certificate of a lab", path = .0.display())]
    ForeignBundle(PathBuf),
    #[error("no lab answers at {0}: {1}")]
    Unreachable(String, String),
    #[error("the lab at {0} did not answer within 10 s")]
    TimedOut(String),
    #[error("the lab at {0} speaks TLS")]
    SpeaksTls(String),
    #[error("the lab at {0} answered with status {1} and no JSON")]
    Unreadable(String, u16),
    #[error("the lab refused: {code}: {message}")]
    Refused { status: u16, code: String, message: String },
}

impl Client {
    /// `endpoint_url` is `http://HOST:PORT`, or `https` with the `ca_bundle` of a lab. Anything else
    /// is turned down, so that a command for the lab never reaches AWS.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn new(
        endpoint_url: &str,
        ca_bundle: Option<&Path>,
        credentials: AdminCredentials,
        region: Region,
    ) -> Result<Self, CallError> {
        let shown = || endpoint_url.chars().take(100).collect::<String>();
        let (scheme, rest) = match endpoint_url.split_once("://") {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            _ => return Err(CallError::Endpoint(shown())),
        };
        let authority = rest.trim_end_matches('/').to_owned();
        if authority.parse::<http::uri::Authority>().is_err() {
            return Err(CallError::Endpoint(shown()));
        }
        let connector = Connector::builder();
        let (connector, ca_bundle) = match (scheme, ca_bundle) {
            ("http", _) => (connector.build_http(), None),
            (_, None) => return Err(CallError::NoBundle(shown())),
            (_, Some(bundle)) => {
                let tls = Provider::Rustls(CryptoMode::AwsLc);
                let connector = connector.tls_provider(tls).tls_context(trusting(bundle)?).build();
                (connector, Some(bundle.to_owned()))
            }
        };
        Ok(Self { scheme, authority, ca_bundle, credentials, region, connector })
    }

    /// `http://127.0.0.1:4599`
    pub fn endpoint_url(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// What it trusts; nothing where there is no TLS.
    pub fn ca_bundle(&self) -> Option<&Path> {
        self.ca_bundle.as_deref()
    }

    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Calls an operation of Systems Manager.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn call(
        &self,
        operation: Operation,
        body: &Value,
        now: UtcDateTime,
    ) -> Result<Value, CallError> {
        let request = Request {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: vec![
                ("content-type".to_owned(), "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target".to_owned(), format!("AmazonSSM.{operation}")),
            ],
            body: body.to_string().into_bytes(),
            ..Request::default()
        };
        self.send(request, operation.service(), now).await
    }

    /// Calls a `Describe` operation until it has no next page; the answer is `list`'s items.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn call_all(
        &self,
        operation: Operation,
        list: &str,
        now: UtcDateTime,
    ) -> Result<Vec<Value>, CallError> {
        let mut items = Vec::new();
        let mut asked = json!({ "MaxResults": LARGEST_PAGE });
        loop {
            let mut answer = self.call(operation, &asked, now).await?;
            if let Value::Array(page) = answer[list].take() {
                items.extend(page);
            }
            match answer["NextToken"].take() {
                Value::Null => return Ok(items),
                token => asked["NextToken"] = token,
            }
        }
    }

    /// Adds a fault (`body` is a [`super::faults::WireFault`]), lists them, clears them all or one.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn faults(
        &self,
        call: FaultCall,
        body: &Value,
        now: UtcDateTime,
    ) -> Result<Value, CallError> {
        let method = match call {
            FaultCall::Add => "POST",
            FaultCall::List => "GET",
            FaultCall::Clear | FaultCall::Remove(_) => "DELETE",
        };
        let path = match call {
            FaultCall::Remove(id) => format!("{}/{id}", control::FAULTS),
            _ => control::FAULTS.to_owned(),
        };
        let body = if call == FaultCall::Add { body.to_string().into_bytes() } else { Vec::new() };
        let request = Request { method: method.to_owned(), path, body, ..Request::default() };
        self.send(request, control::SERVICE, now).await
    }

    /// What time it is in the lab, after a change if one is wished for: `Now`, `Machine`, `Rate`.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn clock(
        &self,
        setting: Option<&ClockSetting>,
        now: UtcDateTime,
    ) -> Result<Value, CallError> {
        let (method, body) = match setting {
            None => ("GET", Vec::new()),
            Some(setting) => ("POST", json!(setting).to_string().into_bytes()),
        };
        let request = Request {
            method: method.to_owned(),
            path: control::CLOCK.to_owned(),
            body,
            ..Request::default()
        };
        self.send(request, control::SERVICE, now).await
    }

    /// The lab's time, to the second.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn lab_time(&self, now: UtcDateTime) -> Result<UtcDateTime, CallError> {
        let shown = self.clock(None, now).await?;
        let at = shown["Now"].as_str().and_then(|text| UtcDateTime::parse(text, &Rfc3339).ok());
        at.ok_or_else(|| CallError::Unreadable(self.endpoint_url(), 200))
    }

    /// Ends an activation before its time.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn expire_activation(&self, id: &str, now: UtcDateTime) -> Result<Value, CallError> {
        let request = Request {
            method: "POST".to_owned(),
            path: control::EXPIRY.to_owned(),
            body: json!({ "ActivationId": id }).to_string().into_bytes(),
            ..Request::default()
        };
        self.send(request, control::SERVICE, now).await
    }

    /// Sends a request; where the lab's time is another than `now`, again by the lab's.
    async fn send(
        &self,
        request: Request,
        service: &str,
        now: UtcDateTime,
    ) -> Result<Value, CallError> {
        let mut date = None;
        let answer = self.send_at(request.clone(), service, now, &mut date).await;
        match (&answer, date) {
            (Err(CallError::Refused { code, .. }), Some(date))
                if code == "InvalidSignatureException" && (date - now).abs() > TOLERATED_SKEW =>
            {
                self.send_at(request, service, date, &mut None).await
            }
            _ => answer,
        }
    }

    /// Signs and sends; `date` becomes the answer's.
    async fn send_at(
        &self,
        mut request: Request,
        service: &str,
        now: UtcDateTime,
        date: &mut Option<UtcDateTime>,
    ) -> Result<Value, CallError> {
        request.headers.push(("host".to_owned(), self.authority.clone()));
        sign(&mut request, &self.credentials, self.region.as_str(), service, now);
        let mut outgoing = http::Request::builder().method(request.method.as_str()).uri(format!(
            "{}{}",
            self.endpoint_url(),
            request.path
        ));
        for (name, value) in &request.headers {
            outgoing = outgoing.header(name, value);
        }
        let unreachable = |why: String| CallError::Unreachable(self.endpoint_url(), why);
        let outgoing = outgoing
            .body(SdkBody::from(request.body))
            .map_err(|error| unreachable(error.to_string()))
            .and_then(|outgoing| {
                HttpRequest::try_from(outgoing).map_err(|error| unreachable(error.to_string()))
            })?;
        let exchange = async {
            let mut response =
                self.connector.call(outgoing).await.map_err(|error| unreachable(root(&error)))?;
            let status = response.status().as_u16();
            *date = response.headers().get("date").and_then(parse_http_date);
            let body = ByteStream::new(response.take_body())
                .collect()
                .await
                .map_err(|error| unreachable(root(&error)))?;
            Ok((status, body.into_bytes()))
        };
        let (status, body) = timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| CallError::TimedOut(self.endpoint_url()))??;
        if status == 400 && body.starts_with(SPEAKS_TLS.as_bytes()) {
            return Err(CallError::SpeaksTls(self.endpoint_url()));
        }
        let value = serde_json::from_slice::<Value>(&body)
            .map_err(|_| CallError::Unreadable(self.endpoint_url(), status))?;
        if status == 200 {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or("?").to_owned();
        // A refused signature comes with what should have been signed; an error here is one line.
        let message = text("message").lines().next().unwrap_or_default().to_owned();
        Err(CallError::Refused { status, code: text("__type"), message })
    }
}

/// Adds the headers of an AWS signature, which covers all headers so far.
pub fn sign(
    request: &mut Request,
    credentials: &AdminCredentials,
    region: &str,
    service: &str,
    now: UtcDateTime,
) {
    let date = amz_date(now);
    request.headers.push(("x-amz-date".to_owned(), date.clone()));
    let mut signed_headers =
        request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect::<Vec<_>>();
    signed_headers.sort();
    let scope = CredentialScope::new(now, region, service);
    let canonical = canonical_request(&SignedParts {
        method: &request.method,
        path: &request.path,
        query: &request.query,
        headers: &request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect::<Vec<_>>(),
        signed_headers: &signed_headers.iter().map(String::as_str).collect::<Vec<_>>(),
        payload_sha256: &sha256_hex(&request.body),
    });
    let text = string_to_sign(&date, &scope, &canonical);
    let authorization = Authorization {
        credential_id: credentials.access_key_id.clone(),
        signature: sigv4_signature(&credentials.secret_access_key, &scope, &text),
        scope,
        signed_headers,
    };
    request.headers.push(("authorization".to_owned(), authorization.to_string()));
}

impl Advice for CallError {
    fn remedy(&self) -> String {
        match self {
            CallError::Endpoint(_) => "--endpoint-url http://127.0.0.1:4599".to_owned(),
            CallError::NoBundle(_)
            | CallError::UnreadableBundle(..)
            | CallError::ForeignBundle(_)
            | CallError::SpeaksTls(_) => {
                "source the env file of the lab that runs now, which names its ca.pem".to_owned()
            }
            CallError::Unreachable(..) => {
                "rolekeeper-lab serve --env-file lab.env, and source lab.env in this shell".to_owned()
            }
            CallError::TimedOut(_) => {
                "rolekeeper-lab fault clear, or see whether something else has that port".to_owned()
            }
            CallError::Unreadable(..) => {
                "see whether something else than the lab has that port".to_owned()
            }
            CallError::Refused { status: 500.., .. } => "rolekeeper-lab fault list".to_owned(),
            CallError::Refused { code, .. } => match code.as_str() {
                "UnrecognizedClientException" | "InvalidSignatureException" => {
                    "source the env file of the lab that runs now; every start makes new credentials"
                        .to_owned()
                }
                "InvalidInstanceId" => "rolekeeper-lab node list".to_owned(),
                "InvalidActivation" => "rolekeeper-lab activation list".to_owned(),
                "ResourceNotFoundException" => "rolekeeper-lab fault list".to_owned(),
                _ => "the same command with --help".to_owned(),
            },
        }
    }

    fn exit(&self) -> Exit {
        match self {
            CallError::Endpoint(_) | CallError::NoBundle(_) => Exit::Usage,
            CallError::UnreadableBundle(..) | CallError::ForeignBundle(_) => Exit::BadData,
            CallError::SpeaksTls(_) => Exit::Usage,
            CallError::Unreachable(..) | CallError::TimedOut(_) | CallError::Unreadable(..) => {
                Exit::Unavailable
            }
            CallError::Refused { status: 500.., .. } => Exit::Unavailable,
            CallError::Refused { code, .. } if code == "ValidationException" => Exit::Usage,
            CallError::Refused { .. } => Exit::Refused,
        }
    }
}

/// Trust in the lab's certificate and in nothing else.
fn trusting(bundle: &Path) -> Result<TlsContext, CallError> {
    let unreadable = |why: String| CallError::UnreadableBundle(bundle.to_owned(), why);
    let pem = std::fs::read(bundle).map_err(|error| unreadable(error.to_string()))?;
    // Each is read before the SDK does, which panics over a damaged one.
    if !authority::is_of_labs(&pem) {
        return Err(CallError::ForeignBundle(bundle.to_owned()));
    }
    let trust = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(trust).build();
    context.map_err(|error| unreadable(error.to_string()))
}

/// The innermost cause: "Connection refused" says more than "dispatch failure".
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
