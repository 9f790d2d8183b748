//! `rolekeeper-lab fault`

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::{LabError, Reach, cell, now, print, print_json, table};
use crate::lab::client::FaultCall;
use crate::lab::faults::{Kind, Offset, Span, WireFault};
use crate::lab::operation::Operation;
use crate::pure::identity::InstanceId;

/// What a bare `--code` is answered with; throttling, for one, comes so.
const STATUS_OF_A_CODE: u16 = 400;

/// What a bare `--html` is answered with: a proxy without a service behind it.
const STATUS_OF_HTML: u16 = 502;

const EXAMPLES: &str = "\
Examples, one for each effect:
  rolekeeper-lab fault add --operation RequestManagedInstanceRoleToken \\
      --status 500 --count 3
  rolekeeper-lab fault add --code ThrottlingException --probability 0.2
  rolekeeper-lab fault add --html --status 503 --after 1m --for 30s
  rolekeeper-lab fault add --signature-refusal --count 1
  rolekeeper-lab fault add --latency 2s --for 30s
  rolekeeper-lab fault add --hang --node mi-0123456789abcdef0
  rolekeeper-lab fault add --reset --count 1
  rolekeeper-lab fault add --refused-connection --after 10s --for 1h
  rolekeeper-lab fault add --operation UpdateManagedInstancePublicKey \\
      --torn-body --count 1
  rolekeeper-lab fault add --wrong-json
  rolekeeper-lab fault add --operation RegisterManagedInstance --wrong-shape
  rolekeeper-lab fault add --operation RequestManagedInstanceRoleToken \\
      --missing-member TokenExpirationDate
  rolekeeper-lab fault add --skewed-date -2h --for 10m
  rolekeeper-lab fault add --operation AssumeRole --skewed-expiry +12h
  rolekeeper-lab fault add --update-key-pair --count 1
  rolekeeper-lab fault add --deregistration --node mi-0123456789abcdef0

A fault that refuses connections shuts the lab's own commands out too, until \
its end.";

#[derive(Debug, Subcommand)]
pub enum Fault {
    Add(Box<Add>),
    List(List),
    Clear(Clear),
}

/// Add a fault: what, for which requests, how often, from when, and how long.
///
/// EFFECT is one of the options from --status to --deregistration; --status goes with --code and --html.
/// Without --operation and --node it meets every request to AWS. When several faults stand, the
/// oldest that fits decides.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("effect").required(true).multiple(true)
    .args(["status", "code", "html"]).args(OTHERS))]
#[command(group = ArgGroup::new("others").args(OTHERS))]
#[command(override_usage = "rolekeeper-lab fault add [OPTIONS] EFFECT", after_help = EXAMPLES)]
pub struct Add {
    /// Meet this operation only
    #[arg(long, value_name = "OPERATION")]
    operation: Option<Operation>,
    /// Meet this machine's requests only
    #[arg(long, value_name = "mi-...")]
    node: Option<InstanceId>,
    /// Refuse with this HTTP status, 400 to 599
    #[arg(long, value_name = "N", conflicts_with = "others")]
    status: Option<u16>,
    /// Refuse with this error code (status 400 unless --status is given)
    #[arg(long, value_name = "CODE", conflicts_with = "others")]
    code: Option<String>,
    /// Refuse with a web page, as a proxy does (status 502 unless --status is given)
    #[arg(long, conflicts_with_all = ["code", "others"])]
    html: bool,
    /// Say that the signature is wrong, though it is right
    #[arg(long)]
    signature_refusal: bool,
    /// Answer this much later
    #[arg(long, value_name = "DURATION")]
    latency: Option<Span>,
    /// Never answer
    #[arg(long)]
    hang: bool,
    /// Reset the connection
    #[arg(long)]
    reset: bool,
    /// Refuse every connection; needs --for
    #[arg(long)]
    refused_connection: bool,
    /// Do what is asked, and send half of the answer
    #[arg(long)]
    torn_body: bool,
    /// Do what is asked, and answer what is no JSON
    #[arg(long)]
    wrong_json: bool,
    /// Do what is asked, and answer with members of the wrong type
    #[arg(long)]
    wrong_shape: bool,
    /// Do what is asked, and leave this member out of the answer
    #[arg(long, value_name = "MEMBER")]
    missing_member: Option<String>,
    /// Do what is asked, and answer with a Date that is off by this much, as -2h
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    skewed_date: Option<Offset>,
    /// Do what is asked, and say that the credentials end this much later, or sooner, as -2h
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    skewed_expiry: Option<Offset>,
    /// Ask the machine for a new key, until it has changed
    #[arg(long)]
    update_key_pair: bool,
    /// Deregister the machine first, and let the service answer
    #[arg(long)]
    deregistration: bool,
    /// Meet so many requests, then end
    #[arg(long, value_name = "N")]
    count: Option<u32>,
    /// Begin after this time
    #[arg(long, value_name = "DURATION")]
    after: Option<Span>,
    /// End this long after the beginning
    #[arg(long = "for", value_name = "DURATION")]
    lasting: Option<Span>,
    /// Meet this share of the requests, as 0.2
    #[arg(long, value_name = "P")]
    probability: Option<f64>,
    /// Print the lab's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Effects that go with no other.
const OTHERS: [&str; 13] = [
    "signature_refusal",
    "latency",
    "hang",
    "reset",
    "refused_connection",
    "torn_body",
    "wrong_json",
    "wrong_shape",
    "missing_member",
    "skewed_date",
    "skewed_expiry",
    "update_key_pair",
    "deregistration",
];

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

/// Remove all faults, or one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab fault clear
  rolekeeper-lab fault clear 2")]
pub struct Clear {
    /// The number that `fault list` shows [default: all]
    id: Option<u64>,
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
        let fault = wire.clone().decode(now())?;
        let client = self.reach.client()?;
        let answer = client.faults(FaultCall::Add, &json!(wire), now()).await?;
        if self.json {
            return print_json(&answer);
        }
        let begins = wire.after.map(|after| format!(", in {after}")).unwrap_or_default();
        let ends = wire.lasting.map(|lasting| format!(", for {lasting}")).unwrap_or_default();
        print(&format!("Fault {} stands{begins}{ends}: {fault}.\n", cell(&answer["Id"])))
    }

    fn wire(&self) -> WireFault {
        WireFault {
            operation: self.operation,
            node: self.node.clone(),
            count: self.count,
            probability: self.probability,
            after: self.after,
            lasting: self.lasting,
            ..self.effect()
        }
    }

    /// The effect and what belongs to it. Clap has made sure that there is exactly one.
    fn effect(&self) -> WireFault {
        let flags = [
            (self.signature_refusal, Kind::SignatureRefusal),
            (self.hang, Kind::Hang),
            (self.reset, Kind::Reset),
            (self.refused_connection, Kind::RefusedConnection),
            (self.torn_body, Kind::TornBody),
            (self.wrong_json, Kind::WrongJson),
            (self.wrong_shape, Kind::WrongShape),
            (self.update_key_pair, Kind::UpdateKeyPair),
            (self.deregistration, Kind::Deregistration),
        ];
        if let Some((_, kind)) = flags.into_iter().find(|(given, _)| *given) {
            WireFault::of(kind)
        } else if self.html {
            let status = self.status.or(Some(STATUS_OF_HTML));
            WireFault { status, ..WireFault::of(Kind::Html) }
        } else if self.latency.is_some() {
            WireFault { latency: self.latency, ..WireFault::of(Kind::Latency) }
        } else if self.missing_member.is_some() {
            let member = self.missing_member.clone();
            WireFault { member, ..WireFault::of(Kind::MissingMember) }
        } else if self.skewed_date.is_some() {
            WireFault { by: self.skewed_date, ..WireFault::of(Kind::SkewedDate) }
        } else if self.skewed_expiry.is_some() {
            WireFault { by: self.skewed_expiry, ..WireFault::of(Kind::SkewedExpiry) }
        } else {
            let status = self.status.or(Some(STATUS_OF_A_CODE));
            WireFault { status, code: self.code.clone(), ..WireFault::of(Kind::Status) }
        }
    }
}

impl List {
    async fn run(self) -> Result<(), LabError> {
        let answer = self.reach.client()?.faults(FaultCall::List, &Value::Null, now()).await?;
        if self.json {
            return print_json(&answer);
        }
        let heading = ["FAULT", "HITS", "LEFT", "BEGINS", "ENDS", "WHAT HAPPENS"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(answer["Faults"].as_array().into_iter().flatten().map(|fault| {
            let distance = |name: &str| match &fault[name] {
                Value::String(span) => format!("in {span}"),
                _ => "-".to_owned(),
            };
            vec![
                cell(&fault["Id"]),
                cell(&fault["Hits"]),
                cell(&fault["HitsLeft"]),
                distance("BeginsIn"),
                distance("EndsIn"),
                cell(&fault["Description"]),
            ]
        }));
        print(&table(&rows))
    }
}

impl Clear {
    async fn run(self) -> Result<(), LabError> {
        let call = self.id.map_or(FaultCall::Clear, FaultCall::Remove);
        let answer = self.reach.client()?.faults(call, &Value::Null, now()).await?;
        if self.json {
            return print_json(&answer);
        }
        let cleared = answer["Cleared"].as_u64().unwrap_or(0);
        let s = if cleared == 1 { "" } else { "s" };
        print(&format!("{cleared} fault{s} removed.\n"))
    }
}
