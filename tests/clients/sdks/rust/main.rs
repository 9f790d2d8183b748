//! A long-running program of the AWS SDK for Rust: a call to STS for each line that it reads, with a
//! new configuration where the line says so.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::BehaviorVersion;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_sts::config::{ConfigBag, Intercept, RuntimeComponents};
use serde_json::{Value, json};

/// Says which release of the SDK this is built with.
const LOCK: &str = include_str!("../../../../Cargo.lock");

#[tokio::main(flavor = "current_thread")]
async fn main() {
    say(&json!({ "version": version() }));
    let seen = Seen::default();
    let mut client = None;
    for line in io::stdin().lines().map_while(Result::ok) {
        let sts = match client.take() {
            Some(sts) if line != "anew" => sts,
            _ => connected(seen.clone()).await,
        };
        match sts.get_caller_identity().send().await {
            Ok(answer) => say(&json!({ "arn": answer.arn(), "key": seen.key() })),
            Err(error) => say(&json!({ "error": causes(&error) })),
        }
        client = Some(sts);
    }
}

/// Of the part that looks for credentials.
fn version() -> Option<&'static str> {
    let (_, package) = LOCK.split_once("name = \"aws-config\"\nversion = \"")?;
    package.split('"').next()
}

async fn connected(seen: Seen) -> Client {
    // The lab speaks plain HTTP; a machine without CA certificates is good enough for it.
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    let config = aws_sdk_sts::config::Builder::from(&config).interceptor(seen).build();
    Client::from_conf(config)
}

/// The key that signed the last request, as the request says.
#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<Option<String>>>);

impl Seen {
    fn key(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Intercept for Seen {
    fn name(&self) -> &'static str {
        "Seen"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let authorization = context.request().headers().get("authorization").unwrap_or_default();
        let credential = authorization.split_once("Credential=").map(|(_, rest)| rest);
        let key = credential.and_then(|text| text.split('/').next()).map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
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

fn say(what: &Value) {
    println!("{what}");
}
