//! One request to an endpoint nearby, on the AWS SDK's runtime.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::TransientErrorClassifier;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::{
    HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput,
};
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::retry::RetryConfig;
use futures_util::future::{BoxFuture, FutureExt};

use super::error::Problem;
use crate::connection::{self, ATTEMPTS, RequestLog, Route, UnusableConnection, is_local};
use crate::pure::secret::Secret;

/// What is nearby answers at once or not at all: botocore gives a container's endpoint 2 s, EC2's 1 s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// A client of one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Client {
    endpoint: String,
    route: Route,
    http: SharedHttpClient,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    pub method: http::Method,
    /// From the endpoint on, beginning with a slash.
    pub path: &'a str,
    pub header: Option<(&'static str, Secret<String>)>,
}

/// Any answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Secret<Vec<u8>>,
}

impl Client {
    /// Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the URL cannot be used: without TLS only what is on this machine is asked, or session and
    /// credentials would cross the network for all to read.
    pub(super) fn new(
        endpoint: &str,
        ca_bundle: Option<&Path>,
        proxy: Option<&str>,
    ) -> Result<Self, UnusableConnection> {
        let uri = endpoint.parse::<http::Uri>().unwrap_or_default();
        let unusable = |reason| Err(UnusableConnection::new("endpoint", endpoint, reason));
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_local(&uri) => {}
            Some("http") => {
                return unusable("without https only this machine and its link are asked");
            }
            _ => return unusable("this is not a URL of http or https"),
        }
        let http = connection::http_client(endpoint, ca_bundle, proxy)?;
        let route = Route::new(endpoint, proxy);
        Ok(Self { endpoint: endpoint.trim_end_matches('/').to_owned(), route, http })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Boxed, because the SDK's runtime nests deeply.
    pub(super) fn ask<'a>(
        &'a self,
        question: Question<'a>,
    ) -> BoxFuture<'a, Result<Answer, Problem>> {
        self.send(question).boxed()
    }

    async fn send(&self, question: Question<'_>) -> Result<Answer, Problem> {
        let request = self.request(question).map_err(|error| Problem::Local(error.to_string()))?;
        let mut layer = Layer::new("nearby");
        layer.store_put(SensitiveOutput);
        let call = Operation::builder()
            .service_name("credentials")
            .operation_name("ask")
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .endpoint_url(&self.endpoint)
            .no_auth()
            .sleep_impl(TokioSleep::new())
            .standard_retry(&RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .retry_classifier(TransientErrorClassifier::<Infallible>::new())
            .timeout_config(connection::timeouts(ATTEMPT_TIMEOUT))
            .interceptor(RequestLog::new("for the source's credentials", &self.route))
            .with_connection_poisoning()
            .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()))
            .serializer(|request: HttpRequest| Ok(request))
            .deserializer(|response: &HttpResponse| {
                let body = response.body().bytes().unwrap_or_default().to_vec();
                let status = response.status().as_u16();
                Ok::<_, OrchestratorError<Infallible>>(Answer { status, body: Secret::new(body) })
            })
            .build();
        call.invoke(request).await.map_err(|error| {
            let (class, message) = connection::without_answer(&error, &self.route);
            Problem::Unanswered { class, message }
        })
    }

    fn request(
        &self,
        Question { method, path, header }: Question<'_>,
    ) -> Result<HttpRequest, BoxError> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "*/*")
            .header("user-agent", concat!("rolekeeper/", env!("CARGO_PKG_VERSION")));
        if let Some((name, value)) = header {
            let mut value = http::HeaderValue::from_str(value.expose())?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        // With a body, though an empty one, a PUT says that its length is 0.
        Ok(HttpRequest::try_from(request.body(SdkBody::from(""))?)?)
    }
}
