//! `rolekeeper-lab node`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{LabError, Reach, cell, moment, now, print, print_json, table};
use crate::lab::operation::Operation;
use crate::pure::identity::InstanceId;

#[derive(Debug, Subcommand)]
pub enum Node {
    List(List),
    Deregister(Deregister),
}

/// List the machines that registered.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolekeeper-lab node list
  rolekeeper-lab node list --json")]
pub struct List {
    /// Print the service's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Forget a machine: its next request is refused with InvalidInstanceId.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rolekeeper-lab node deregister mi-0123456789abcdef0")]
pub struct Deregister {
    /// The machine's id
    #[arg(value_name = "ID")]
    id: InstanceId,
    /// Print the service's answer
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Node {
    pub async fn run(self) -> Result<(), LabError> {
        match self {
            Node::List(list) => list.run().await,
            Node::Deregister(deregister) => deregister.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), LabError> {
        let client = self.reach.client()?;
        let list = client
            .call_all(Operation::DescribeInstanceInformation, "InstanceInformationList", now())
            .await?;
        if self.json {
            return print_json(&json!({ "InstanceInformationList": list }));
        }
        let heading = ["NODE", "STATUS", "ROLE", "COMPUTER", "REGISTERED", "LAST PING"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(list.iter().map(|one| {
            vec![
                cell(&one["InstanceId"]),
                cell(&one["PingStatus"]),
                cell(&one["IamRole"]),
                cell(&one["ComputerName"]),
                moment(&one["RegistrationDate"]),
                moment(&one["LastPingDateTime"]),
            ]
        }));
        print(&table(&rows))
    }
}

impl Deregister {
    async fn run(self) -> Result<(), LabError> {
        let asked = json!({ "InstanceId": self.id.as_str() });
        let client = self.reach.client()?;
        let answer = client.call(Operation::DeregisterManagedInstance, &asked, now()).await?;
        if self.json {
            print_json(&answer)
        } else {
            print(&format!("{} is deregistered.\n", self.id))
        }
    }
}
