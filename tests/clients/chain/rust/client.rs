//! Which credentials the SDK for Rust takes in this process's environment. What it asks of STS goes to
//! CHAIN_STS: by itself, the SDK assumes roles at AWS alone.

use std::error::Error;

use aws_config::BehaviorVersion;
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let said = match take().await {
        Ok(key) => json!({ "key": key }),
        Err(error) => json!({ "error": causes(&*error) }),
    };
    println!("{said}");
}

#[expect(clippy::disallowed_methods, reason = "it is told by its environment alone")]
async fn take() -> Result<String, Box<dyn Error>> {
    let sts = std::env::var("CHAIN_STS")?;
    let inner = SharedHttpClient::new(aws_smithy_http_client::Builder::new().build_http());
    let http = Rerouted { inner, sts };
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    let provider = config.credentials_provider().ok_or("no provider")?;
    Ok(provider.provide_credentials().await?.access_key_id().to_owned())
}

#[derive(Debug, Clone)]
struct Rerouted<T> {
    inner: T,
    sts: String,
}

impl HttpClient for Rerouted<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Rerouted { inner, sts: self.sts.clone() })
    }
}

impl HttpConnector for Rerouted<SharedHttpConnector> {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        if request.uri().contains(".amazonaws.com")
            && let Err(error) = request.set_uri(self.sts.as_str())
        {
            eprintln!("{error}");
        }
        self.inner.call(request)
    }
}

/// What failed, and why.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error;
    while let Some(inner) = cause.source() {
        text = format!("{text}: {inner}");
        cause = inner;
    }
    text
}
