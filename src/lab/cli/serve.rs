//! `rolekeeper-lab serve`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{LabError, now, print};
use crate::host::entropy::SystemEntropy;
use crate::host::progress::Progress;
use crate::host::replace::{Access, replace_file};
use crate::lab::authority::Authority;
use crate::lab::clock::{ClockSetting, HIGHEST_RATE};
use crate::lab::definitions::Definitions;
use crate::lab::ec2_instance::{CONTAINER_PATH, INSTANCE_ID};
use crate::lab::roles::DEFAULT_ROLE;
use crate::lab::service::Service;
use crate::lab::tls::Greeting;
use crate::lab::{Lab, LabSettings};
use crate::pure::duration::{MalformedDuration, display_duration, parse_duration};
use crate::pure::identity::Region;
use crate::pure::secret::Secret;
use crate::pure::shell::in_shell;

const EXAMPLES: &str = r#"Examples:
  rolekeeper-lab serve
  rolekeeper-lab serve --token-lifetime 30s --env-file lab.env
  rolekeeper-lab serve --listen 127.0.0.1:0 --region eu-central-1
  rolekeeper-lab serve --roles roles.toml --instance-role Backup
  rolekeeper-lab serve --data lab.db --rate 60
  rolekeeper-lab serve --tls --env-file lab.env

A file of roles, in TOML (or the same in JSON, if its name ends in .json):
  [[role]]
  name = "Backup"
  longest_session = "2h"
  trust_policy = '''{ "Statement": {
    "Effect": "Allow", "Action": "sts:AssumeRole",
    "Principal": { "AWS": "arn:aws:iam::000000000000:role/SSMServiceRole" }
  } }'''
  policy = '''{ "Statement": {
    "Effect": "Allow", "Action": "s3:*", "Resource": "*"
  } }'''

  [[bucket]]
  name = "backups"
  objects = { "2026/11/21.tar" = 1048576 }"#;

/// Run the service until it is stopped (Ctrl-C or SIGTERM).
///
/// Any AWS client works against it once the printed variables are set, and so do the commands of
/// this program, in another shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4599")]
    listen: SocketAddr,
    /// How long role credentials live
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = lifetime)]
    token_lifetime: Duration,
    /// Write the variables here too, once the lab listens (mode 0600)
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// The region that requests must be signed for
    #[arg(long, default_value = "us-east-1")]
    region: Region,
    /// Define roles, and buckets for S3, beside SSMServiceRole and rolekeeper-lab
    #[arg(long, value_name = "FILE")]
    roles: Option<PathBuf>,
    /// The role of the EC2 instance and of the container that the lab plays
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ROLE)]
    instance_role: String,
    /// Leave the instance and the container without a role
    #[arg(long, conflicts_with = "instance_role")]
    no_instance_role: bool,
    /// Write the container's token here (mode 0600), for AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
    #[arg(long, value_name = "FILE")]
    container_token_file: Option<PathBuf>,
    /// Keep nodes, activations, credentials, settings and the clock in this file; it is made if
    /// there is none
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// How many seconds of the lab pass in one of this machine [default: 1, or the file's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(HIGHEST_RATE)))]
    rate: Option<u32>,
    /// Speak HTTPS; AWS_CA_BUNDLE then names the certificate that clients must trust
    #[arg(long)]
    tls: bool,
    /// Where the certificate authority of --tls is kept: ca.pem, and ca.key for its owner alone.
    /// Made once; a later start goes on with it, so that clients go on trusting it
    #[arg(long, value_name = "DIR", default_value = "lab-tls", requires = "tls")]
    tls_dir: PathBuf,
    /// Listen on an address that other machines can reach
    #[arg(long)]
    i_know_this_is_a_lab: bool,
}

impl Serve {
    pub async fn run(self) -> Result<(), LabError> {
        let exposed = is_exposed(self.listen);
        if exposed && !self.i_know_this_is_a_lab {
            return Err(LabError::Exposed(self.listen));
        }
        let definitions = self.roles.as_deref().map(definitions).transpose()?;
        let progress = Progress::new(false);
        if self.tls {
            progress.begin(format!("opening the authority in {}", self.tls_dir.display()), None);
        }
        let greeting = self.greeting()?;
        // Before anything is announced, so that no signal is missed after it.
        let (mut interrupt, mut terminate) = stop_signals().map_err(LabError::Start)?;
        let settings = LabSettings {
            listen: self.listen,
            token_lifetime: self.token_lifetime,
            region: self.region,
            data: self.data.clone(),
            greeting,
        };
        if let Some(path) = &self.data {
            progress.begin(format!("opening {}", path.display()), None);
        }
        let lab = progress.during(Lab::start(settings)).await?;
        if let Some(rate) = self.rate {
            let setting = ClockSetting::Rate(rate);
            lab.with_service(|service| service.set_clock(&setting, now()))
                .map_err(LabError::Clock)?;
        }
        if let (Some(path), Some(definitions)) = (&self.roles, definitions) {
            lab.with_service(|service| definitions.apply(service, &SystemEntropy))
                .map_err(|error| LabError::Roles(path.clone(), error))?;
        }
        let role = Some(self.instance_role).filter(|_| !self.no_instance_role);
        let token = lab.with_service(|service| take_role(service, role))?;
        if let Some(path) = &self.container_token_file {
            // A newline at its end would be one in a header: SDKs refuse it.
            write_private(path, token.expose().as_bytes())?;
        }
        let variables = variables(&lab);
        if let Some(path) = &self.env_file {
            write_private(path, variables.expose().as_bytes())?;
        }
        print(&format!(
            "rolekeeper-lab listens on {} (region {}; credentials live {}).\n\
             {}{} For any AWS client:\n\n{}\n{}\
             For a browser on this machine:\n\n{}\n\n\
             Stop with Ctrl-C.\n",
            lab.endpoint_url(),
            lab.region(),
            display_duration(self.token_lifetime),
            if exposed { "Other machines can reach it.\n" } else { "" },
            match &self.data {
                Some(path) => format!("Everything is made up, and kept in {}.", path.display()),
                None => "Everything is made up and forgotten at the end.".to_owned(),
            },
            variables.expose(),
            how_to_trust(&lab),
            lab.dashboard_url(),
        ))?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        lab.shutdown().await;
        Ok(())
    }

    fn greeting(&self) -> Result<Greeting, LabError> {
        if !self.tls {
            return Ok(Greeting::Plain);
        }
        let (address, now) = (self.listen.ip(), now());
        let authority = Authority::open(&self.tls_dir, address, now)?;
        Ok(Greeting::tls(&authority, address, now)?)
    }
}

/// Whether other machines can reach it. Loopback's IPv4 addresses are loopback in IPv6's form, too.
fn is_exposed(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

fn definitions(path: &Path) -> Result<Definitions, LabError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| LabError::RolesFile(path.to_owned(), error))?;
    if path.extension().is_some_and(|extension| extension == "json") {
        Definitions::from_json(&text)
    } else {
        Definitions::from_toml(&text)
    }
    .map_err(|error| LabError::Roles(path.to_owned(), error))
}

/// Gives the instance its role; returns the container's token.
fn take_role(service: &mut Service, role: Option<String>) -> Result<Secret<String>, LabError> {
    if let Some(name) = role.as_ref().filter(|name| service.roles.get(name).is_none()) {
        return Err(LabError::InstanceRole(name.clone()));
    }
    service.instance.set_role(role);
    Ok(service.instance.container_token().clone())
}

/// What a shell sources. None of the values has a character that a shell would read; a path is
/// quoted where it does. Where the instance's and the container's credentials are stands in
/// comments: with the administrator's keys set, no SDK would look there.
fn variables(lab: &Lab) -> Secret<String> {
    let admin = lab.admin();
    let container_token = lab.with_service(|service| service.instance.container_token().clone());
    let trust = lab
        .ca_bundle()
        .map(|bundle| format!("export AWS_CA_BUNDLE={}\n", in_shell(&bundle.to_string_lossy())))
        .unwrap_or_default();
    let caveat = match lab.ca_bundle() {
        None => "",
        Some(_) => "# The AWS CLI and boto3 take both only from a lab without --tls.\n",
    };
    Secret::new(format!(
        "export AWS_ENDPOINT_URL={endpoint}\nexport AWS_ACCESS_KEY_ID={}\n\
         export AWS_SECRET_ACCESS_KEY={}\nexport AWS_REGION={region}\n\
         export AWS_DEFAULT_REGION={region}\n{trust}\n{caveat}\
         # As a process of the EC2 instance {INSTANCE_ID}, instead of the administrator:\n\
         # unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY\n\
         # export AWS_EC2_METADATA_SERVICE_ENDPOINT={endpoint}/\n\n\
         # As one in a container:\n\
         # unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY\n\
         # export AWS_CONTAINER_CREDENTIALS_FULL_URI={endpoint}{CONTAINER_PATH}\n\
         # export AWS_CONTAINER_AUTHORIZATION_TOKEN={}\n",
        admin.access_key_id,
        admin.secret_access_key.expose(),
        container_token.expose(),
        endpoint = lab.endpoint_url(),
        region = lab.region(),
    ))
}

/// Where the certificate goes in clients that AWS_CA_BUNDLE does not reach. Empty without TLS.
fn how_to_trust(lab: &Lab) -> String {
    let Some(bundle) = lab.ca_bundle().map(|bundle| bundle.to_string_lossy()) else {
        return String::new();
    };
    let setting =
        |name: &str, value: &str| format!("  {name} = {}\n", toml::Value::String(value.to_owned()));
    format!(
        "AWS_CA_BUNDLE reaches the AWS CLI, boto3 and rolekeeper in this shell. A service's settings \
         say it as:\n\n  [service]\n{}{}\n\
         Node reads NODE_EXTRA_CA_CERTS, Go SSL_CERT_FILE. Do not add it to the system's certificates.\n\n",
        setting("endpoint_url", &lab.endpoint_url()),
        setting("ca_bundle", &bundle),
    )
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    let failed = |error| LabError::EnvFile(path.to_owned(), error);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| failed(std::io::ErrorKind::InvalidFilename.into()))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    replace_file(directory, name, bytes, Access::PRIVATE).map_err(failed)
}

fn stop_signals() -> std::io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match parse_duration(text).map_err(|error: MalformedDuration| error.to_string())? {
        lifetime if lifetime < Duration::from_secs(1) => Err("at least 1s".to_owned()),
        lifetime => Ok(lifetime),
    }
}
