//! `rolekeeper-lab fault`

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::{LabError, Reach, cell, now, print, print_json, table};
use crate::lab::client::FaultCall;
use crate::lab::control::WireFault;
use crate::lab::operation::Operation;
use crate::pure::duration::{display_duration, parse_duration};
use crate::pure::identity::InstanceId;

/// What a bare `--code` is answered with; throttling, for one, comes so.
const STATUS_OF_A_CODE: u16 = 400;

/// What a bare `--html` is answered with: a proxy without a service behind it.
const STATUS_OF_HTML: u16 = 502;

#[derive(Debug, Subcommand)]
pub enum Fault {
    Add(Box<Add>),
    List(List),
    Clear(Clear),
}

/// Add a fault: what, for which requests, how often or how long.
///
/// Without --operation and --node it meets every request to AWS. When several faults stand, the
/// oldest that fits decides.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("effect").required(true).multiple(true)
    .args(["status", "code", "html", "latency", "hang", "reset", "torn_body"]))]
#[command(after_help = "\
Examples:
  rolekeeper-lab fault add --operation RequestManagedInstanceRoleToken --status 500 --count 3
  rolekeeper-lab fault add --code ThrottlingException --probability 0.2
  rolekeeper-lab fault add --latency 2s --for 30s
  rolekeeper-lab fault add --hang --node mi-0123456789abcdef0
  rolekeeper-lab fault add --operation UpdateManagedInstancePublicKey --torn-body --count 1")]
pub struct Add {
    /// Meet this operation only
    #[arg(long, value_name = "OPERATION")]
    operation: Option<Operation>,
    /// Meet this machine's requests only
    #[arg(long, value_name = "mi-...")]
    node: Option<InstanceId>,
    /// Refuse with this HTTP status, 400 to 599
    #[arg(long, value_name = "N")]
    status: Option<u16>,
    /// Refuse with this error code (status 400 unless --status is given)
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Refuse with a web page, as a proxy does (status 502 unless --status is given)
    #[arg(long, conflicts_with = "code")]
    html: bool,
    /// Answer this much later
    #[arg(long, value_name = "DURATION", value_parser = parse_duration,
        conflicts_with_all = ["status", "code", "html"])]
    latency: Option<Duration>,
    /// Never answer
    #[arg(long, conflicts_with_all = ["status", "code", "html", "latency"])]
    hang: bool,
    /// Reset the connection
    #[arg(long, conflicts_with_all = ["status", "code", "html", "latency", "hang"])]
    reset: bool,
    /// Do what is asked, and send half of the answer
    #[arg(long, conflicts_with_all = ["status", "code", "html", "latency", "hang", "reset"])]
    torn_body: bool,
    /// Meet so many requests, then end
    #[arg(long, value_name = "N")]
    count: Option<u32>,
    /// End after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    lasting: Option<Duration>,
    /// Meet this share of the requests, as 0.2
    #[arg(long, value_name = "P")]
    probability: Option<f64>,
    /// Print the lab's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// List the faults that stand.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab fault list
  rolekeeper-lab fault list --json")]
pub struct List {
    /// Print the lab's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Remove all faults.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rolekeeper-lab fault clear")]
pub struct Clear {
    /// Print the lab's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Fault {
    pub async fn run(self) -> Result<(), LabError> {
        match self {
            Fault::Add(add) => add.run().await,
            Fault::List(list) => list.run().await,
            Fault::Clear(clear) => clear.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<(), LabError> {
        let wire = self.wire();
        // The same check as the lab's, before a word is sent.
        wire.clone().decode(now())?;
        let client = self.reach.client()?;
        let answer = client.faults(FaultCall::Add, &json!(wire), now()).await?;
        if self.json {
            print_json(&answer)
        } else {
            print(&format!("Fault {} stands: {}.\n", cell(&answer["Id"]), effect(&json!(wire))))
        }
    }

    fn wire(&self) -> WireFault {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let (effect, status) = if self.html {
            ("html", Some(self.status.unwrap_or(STATUS_OF_HTML)))
        } else if self.latency.is_some() {
            ("latency", None)
        } else if self.hang {
            ("hang", None)
        } else if self.reset {
            ("reset", None)
        } else if self.torn_body {
            ("torn-body", None)
        } else {
            ("status", Some(self.status.unwrap_or(STATUS_OF_A_CODE)))
        };
        WireFault {
            operation: self.operation.map(|operation| operation.name().to_owned()),
            node: self.node.as_ref().map(|node| node.as_str().to_owned()),
            effect: effect.to_owned(),
            status,
            code: self.code.clone(),
            latency_millis: self.latency.map(millis),
            count: self.count,
            for_millis: self.lasting.map(millis),
            probability: self.probability,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), LabError> {
        let answer = self.reach.client()?.faults(FaultCall::List, &Value::Null, now()).await?;
        if self.json {
            return print_json(&answer);
        }
        let heading = ["FAULT", "EFFECT", "OPERATION", "NODE", "HITS", "UNTIL", "PROBABILITY"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(answer["Faults"].as_array().into_iter().flatten().map(|fault| {
            let hits = match &fault["Count"] {
                Value::Null => cell(&fault["Hits"]),
                count => format!("{}/{count}", cell(&fault["Hits"])),
            };
            vec![
                cell(&fault["Id"]),
                effect(fault),
                cell(&fault["Operation"]),
                cell(&fault["Node"]),
                hits,
                cell(&fault["Until"]),
                cell(&fault["Probability"]),
            ]
        }));
        print(&table(&rows))
    }
}

impl Clear {
    async fn run(self) -> Result<(), LabError> {
        let answer = self.reach.client()?.faults(FaultCall::Clear, &Value::Null, now()).await?;
        if self.json {
            return print_json(&answer);
        }
        let cleared = answer["Cleared"].as_u64().unwrap_or(0);
        let s = if cleared == 1 { "" } else { "s" };
        print(&format!("{cleared} fault{s} removed.\n"))
    }
}

/// `status 400 ThrottlingException`, `latency 2s`, `hang`.
fn effect(fault: &Value) -> String {
    let mut words = vec![cell(&fault["Effect"])];
    words.extend(["Status", "Code"].iter().map(|name| cell(&fault[*name])).filter(|w| w != "-"));
    if let Some(millis) = fault["LatencyMillis"].as_u64() {
        words.push(display_duration(Duration::from_millis(millis)));
    }
    words.join(" ")
}
