//! A line of the log for each attempt of a request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::{Route, innermost};
use crate::host::clock::since_boot;

/// Logs the attempts of one request at debug level: the operation, which way it went, the status and the
/// request id of the answer or what kept it away, and how long it took. Neither headers, path nor body.
#[derive(Debug, Clone)]
pub struct RequestLog {
    operation: &'static str,
    route: Route,
    last: Arc<Mutex<Attempt>>,
}

/// Counted from 1.
#[derive(Debug, Default)]
struct Attempt {
    number: u32,
    began: Duration,
}

/// The longest request id that is logged. AWS's are UUIDs of 36 characters.
const LONGEST_ID: usize = 64;

impl RequestLog {
    pub fn new(operation: &'static str, route: &Route) -> Self {
        Self { operation, route: route.clone(), last: Arc::default() }
    }
}

impl Intercept for RequestLog {
    fn name(&self) -> &'static str {
        "request log"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Attempt { number: last.number + 1, began: since_boot() };
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let took = since_boot().saturating_sub(last.began);
        let error = context.output_or_error().and_then(Result::err);
        let error = error.and_then(|error| match error.as_connector_error() {
            Some(error) => Some(innermost(error)),
            None if error.is_timeout_error() => Some("no answer in time".to_owned()),
            // The answer says more.
            None => None,
        });
        tracing::debug!(
            host = self.route.host,
            proxy = self.route.proxy,
            attempt = last.number,
            status = context.response().map(|answer| answer.status().as_u16()),
            request_id = context.response().and_then(request_id),
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            error,
            "request {}",
            self.operation,
        );
        Ok(())
    }
}

fn request_id(answer: &HttpResponse) -> Option<String> {
    let header = |name: &str| answer.headers().get(name);
    let id = header("x-amzn-requestid").or_else(|| header("x-amz-request-id"))?;
    Some(id.chars().take(LONGEST_ID).collect())
}
