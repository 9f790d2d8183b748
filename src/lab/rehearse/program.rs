//! Another program: this one, started again with an empty environment, that knows nothing but the
//! credentials file and the endpoint. It loads the file as every program with an AWS SDK does.

use std::error::Error;
use std::process::Stdio;
use std::time::SystemTime;

use aws_config::BehaviorVersion;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_sts::error::ProvideErrorMetadata;
use aws_smithy_async::time::TimeSource;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::host::clock::{Clock, SystemClock, timeout};

use super::stage::{Machine, Stage};
use super::{PATIENCE, Unmet};

/// The hidden command of `rolekeeper-lab` that is this program.
pub const COMMAND: &str = "caller-identity";

/// How its complaint begins; what the SDK or the service said comes after it.
pub const SAYS: &str = "who this program is cannot be said: ";

/// Who the service took the program for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Caller {
    pub arn: String,
    /// The last four characters, as much as is ever shown.
    pub access_key_id_suffix: String,
}

/// What became of its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    Accepted(Caller),
    /// The service's code and message, or what the SDK said.
    Refused(String),
}

/// Starts the program with the machine's credentials file, and wants its call to be accepted.
pub async fn use_credentials(stage: &Stage, machine: &Machine) -> Result<Caller, Unmet> {
    match try_credentials(stage, machine).await? {
        Use::Accepted(caller) => Ok(caller),
        Use::Refused(complaint) => Err(Unmet(format!("the other program failed: {complaint}"))),
    }
}

/// Starts the program with the machine's credentials file, on the machine's clock.
pub async fn try_credentials(stage: &Stage, machine: &Machine) -> Result<Use, Unmet> {
    let offset = machine.clock.as_ref().map_or(time::Duration::ZERO, |clock| clock.offset());
    let output = Command::new(std::env::current_exe()?)
        .arg(COMMAND)
        .arg(format!("--clock-offset={}", offset.whole_seconds()))
        .env_clear()
        .env("AWS_SHARED_CREDENTIALS_FILE", machine.target().path)
        .env("AWS_ENDPOINT_URL", stage.lab.endpoint_url())
        .env("AWS_REGION", stage.lab.region().as_str())
        // The file is the only source: without it, nobody is asked.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.map_err(|_| {
        Unmet(format!("the other program did not end within {} s", PATIENCE.as_secs()))
    })??;
    if output.status.success() {
        return Ok(Use::Accepted(serde_json::from_slice(&output.stdout)?));
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.lines().find(|line| !line.is_empty()).unwrap_or("no word");
    let complaint = complaint.split_once(SAYS).map_or(complaint, |(_, said)| said);
    Ok(Use::Refused(complaint.to_owned()))
}

/// The program itself: `sts:GetCallerIdentity` with whatever credentials the SDK finds.
///
/// # Errors
///
/// What the SDK or the service said. No secret is in it.
pub async fn caller_identity(offset: time::Duration) -> Result<Caller, String> {
    // The lab speaks plain HTTP; a machine without CA certificates is good enough for it.
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .time_source(OffsetClock(offset))
        .load()
        .await;
    let provider = config.credentials_provider().ok_or("no source of credentials")?;
    let credentials = provider.provide_credentials().await.map_err(|error| innermost(&error))?;
    let id = credentials.access_key_id();
    let access_key_id_suffix = id.get(id.len().saturating_sub(4)..).unwrap_or_default().to_owned();
    // The very same credentials sign: the file may have been rewritten since.
    let sts = aws_sdk_sts::config::Builder::from(&config).credentials_provider(credentials).build();
    let answer = aws_sdk_sts::Client::from_conf(sts).get_caller_identity().send().await;
    let answer = answer.map_err(|error| match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => innermost(&error),
    })?;
    let arn = answer.arn().ok_or("the answer has no ARN")?.to_owned();
    Ok(Caller { arn, access_key_id_suffix })
}

/// The clock of the machine that the program is on.
#[derive(Debug)]
struct OffsetClock(time::Duration);

impl TimeSource for OffsetClock {
    fn now(&self) -> SystemTime {
        SystemClock.now().saturating_add(self.0).into()
    }
}

/// The last error of the chain, which says what happened.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
