//! Answers of bounded length: whoever is asked, what comes back fits into memory.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::Limited;

/// The longest body that is read, in bytes. AWS's longest answer here is a role's credentials: a
/// session token of less than 4 kB as a rule (STS API Reference, AssumeRole), and the policy's packed
/// size beside it.
pub(super) const LONGEST_ANSWER: usize = 64 * 1024;

/// A client whose answers break off where they are too long.
#[derive(Debug)]
pub(super) struct Bounded<T>(pub T);

impl HttpClient for Bounded<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Bounded(self.0.http_connector(settings, components)))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }
}

impl HttpConnector for Bounded<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let bound = |body| SdkBody::from_body_1_x(Limited::new(body, LONGEST_ANSWER));
            Ok(answer.await?.map(bound))
        })
    }
}
