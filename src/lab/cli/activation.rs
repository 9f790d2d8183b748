//! `rolekeeper-lab activation`

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{LabError, Reach, cell, moment, now, print, print_json, table};
use crate::lab::client::Client;
use crate::lab::invitation::Invitation;
use crate::lab::operation::Operation;
use crate::pure::duration::{display_duration, parse_duration};
use crate::pure::identity::ActivationId;
use crate::pure::secret::Secret;

#[derive(Debug, Subcommand)]
pub enum Activation {
    Create(Create),
    List(List),
    Expire(Expire),
}

/// Create an activation, and show the command that registers a machine with it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab activation create
  rolekeeper-lab activation create --role service-role/Web --limit 100
  rolekeeper-lab activation create --expires-in 30d
  rolekeeper-lab activation create --json")]
pub struct Create {
    /// The role whose credentials the machines get
    #[arg(long, value_name = "NAME", default_value = "SSMServiceRole")]
    role: String,
    /// How many machines may register, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 1)]
    limit: u32,
    /// How long the activation lasts, at most 30d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    expires_in: Duration,
    /// Print the service's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// List the activations.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab activation list
  rolekeeper-lab activation list --json")]
pub struct List {
    /// Print the service's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// End an activation now, as if its time were over. Machines that it admitted stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rolekeeper-lab activation expire 01234567-89ab-cdef-0123-456789abcdef")]
pub struct Expire {
    /// The activation's id
    #[arg(value_name = "ID")]
    id: ActivationId,
    /// Print the lab's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Activation {
    pub async fn run(self) -> Result<(), LabError> {
        match self {
            Activation::Create(create) => create.run().await,
            Activation::List(list) => list.run().await,
            Activation::Expire(expire) => expire.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), LabError> {
        let client = self.reach.client()?;
        let now = now();
        let expires_at =
            (client.lab_time(now).await? + self.expires_in).unix_timestamp_nanos() / 1_000_000;
        let asked = json!({
            "IamRole": self.role,
            "RegistrationLimit": self.limit,
            "ExpirationDate": expires_at as f64 / 1000.0,
        });
        let answer = client.call(Operation::CreateActivation, &asked, now).await?;
        if self.json { print_json(&answer) } else { print(&self.in_words(&client, &answer)) }
    }

    fn in_words(&self, client: &Client, answer: &Value) -> String {
        let id = cell(&answer["ActivationId"]);
        let invitation = Invitation {
            activation_id: &id,
            activation_code: &Secret::new(cell(&answer["ActivationCode"])),
            region: client.region().as_str(),
            endpoint_url: &client.endpoint_url(),
            ca_bundle: client.ca_bundle(),
        };
        format!(
            "Activation {id}: role {role}, {limit} machine{s}, for {life}.\n\
             Register a machine with it:\n\n{line}\n",
            role = self.role,
            limit = self.limit,
            s = if self.limit == 1 { "" } else { "s" },
            life = display_duration(self.expires_in),
            line = invitation.line().expose(),
        )
    }
}

impl Expire {
    async fn run(self) -> Result<(), LabError> {
        let answer = self.reach.client()?.expire_activation(self.id.as_str(), now()).await?;
        if self.json { print_json(&answer) } else { print(&format!("{} has expired.\n", self.id)) }
    }
}

impl List {
    async fn run(self) -> Result<(), LabError> {
        let client = self.reach.client()?;
        let list = client.call_all(Operation::DescribeActivations, "ActivationList", now()).await?;
        if self.json {
            return print_json(&json!({ "ActivationList": list }));
        }
        let heading = ["ACTIVATION", "ROLE", "USED", "EXPIRES", "STATE"].map(str::to_owned);
        let mut rows = vec![heading.to_vec()];
        rows.extend(list.iter().map(|one| {
            let (used, limit) = (cell(&one["RegistrationsCount"]), cell(&one["RegistrationLimit"]));
            let state = match (&one["Expired"], used == limit) {
                (Value::Bool(true), _) => "expired",
                (_, true) => "used up",
                _ => "open",
            };
            vec![
                cell(&one["ActivationId"]),
                cell(&one["IamRole"]),
                format!("{used}/{limit}"),
                moment(&one["ExpirationDate"]),
                state.to_owned(),
            ]
        }));
        print(&table(&rows))
    }
}
