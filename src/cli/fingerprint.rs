//! `rolekeeper fingerprint`

use std::fmt::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::refresh::ask;
use super::{Places, local, print};
use crate::control::{Command, Complaint};
use crate::daemon::recordable;
use crate::hardware::{Probe, SystemProbe};
use crate::host::clock::{Clock, SystemClock};
use crate::pure::advice::Exit;
use crate::pure::fingerprint::{
    Agreement, Attribute, Observation, Reading, Similarity, SimilarityThreshold, compare,
};
use crate::vault::{FingerprintRecord, Vault, VaultError};

/// Look at this machine as the daemon does, and judge it
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Fingerprint {
    Show(Show),
    Diff(Diff),
    Accept(Accept),
    SetThreshold(SetThreshold),
}

const EXAMPLES: &str = "\
Examples:
  rolekeeper fingerprint show
  rolekeeper fingerprint diff
  rolekeeper fingerprint accept
  rolekeeper fingerprint set-threshold 60";

/// Show the nine attributes of this machine as they are now
///
/// Needs no registration and no privilege; with access to the vault, the verdict is shown, too.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rolekeeper fingerprint show --json")]
pub(super) struct Show {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Show each attribute then and now, and the score
///
/// Exit status 0 when this is still the machine that registered, or the check is off, 77 when it is not.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rolekeeper fingerprint diff\n  rolekeeper fingerprint diff --json"
)]
pub(super) struct Diff {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Confirm that this is still the same machine: its hardware becomes the registered one
///
/// The fingerprint and the key stay; only what they are compared with changes. For the machine that was
/// registered, after somebody has replaced parts of it: look at `fingerprint diff` first. A copy of that
/// machine must never say so of itself: it would use the other's identity.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rolekeeper fingerprint accept")]
pub(super) struct Accept {}

/// Set how much of the hardware must agree
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rolekeeper fingerprint set-threshold 60")]
pub(super) struct SetThreshold {
    /// Percent, 1 to 100; -1 switches the check off
    #[arg(allow_hyphen_values = true)]
    threshold: SimilarityThreshold,
}

impl Fingerprint {
    pub(super) async fn execute(self, places: &Places) -> Result<(), Complaint> {
        match self {
            Self::Show(command) => command.execute(places),
            Self::Diff(command) => command.execute(places),
            Self::Accept(command) => command.execute(places).await,
            Self::SetThreshold(command) => command.execute(places).await,
        }
    }
}

impl Show {
    fn execute(self, places: &Places) -> Result<(), Complaint> {
        let now = SystemProbe::new().observe();
        let record = match record(places) {
            Ok(record) => Some(record),
            // The machine can be looked at by everybody; the vault cannot.
            Err(VaultError::Missing { .. } | VaultError::Unreadable { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let similarity =
            record.as_ref().map(|record| compare(&record.hardware_hash, &now, record.threshold));
        if self.json {
            let attributes = now
                .iter()
                .map(|(attribute, reading)| (attribute.name().to_owned(), reading_json(reading)))
                .collect::<serde_json::Map<_, _>>();
            let fingerprint = record.map(|record| record.fingerprint.to_string());
            let verdict = similarity.map(|similarity| similarity.verdict.name());
            let object =
                json!({"fingerprint": fingerprint, "verdict": verdict, "attributes": attributes});
            return print(&format!("{object}\n"));
        }
        let mut page = String::new();
        for (attribute, reading) in now.iter() {
            let (hash, shown) = match reading {
                Reading::Value { hash, shown } => (&hash[..12], shown.as_str()),
                Reading::Absent => ("-", "this machine has none"),
                Reading::Unknown(reason) => ("unknown", reason.as_str()),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(page, "{attribute:<16} {hash:<13} {shown}");
        }
        if let Some((record, similarity)) = record.zip(similarity) {
            let _ = writeln!(page, "\nfingerprint {}\n{similarity}", record.fingerprint);
        }
        print(&page)
    }
}

impl Diff {
    fn execute(self, places: &Places) -> Result<(), Complaint> {
        places.hybrid_settings()?;
        let record = record(places)?;
        let now = SystemProbe::new().observe();
        let similarity = compare(&record.hardware_hash, &now, record.threshold);
        if self.json {
            print(&format!("{}\n", diff_json(&record, &now, &similarity)))?;
        } else {
            print(&diff_page(&record, &now, &similarity))?;
        }
        if similarity.is_accepted() {
            Ok(())
        } else {
            Err(Complaint::new(
                Exit::Refused,
                "this is not the machine that registered",
                similarity.remedy(),
            ))
        }
    }
}

impl Accept {
    async fn execute(self, places: &Places) -> Result<(), Complaint> {
        if local::daemon_runs(places) {
            return ask(places, &Command::AcceptFingerprint).await;
        }
        places.hybrid_settings()?;
        let mut vault = Vault::open(&places.directories().state)?;
        vault.accept_hardware(&recordable(&SystemProbe::new().observe())?, SystemClock.now())?;
        print("this machine's hardware is now the registered one\n")
    }
}

impl SetThreshold {
    async fn execute(self, places: &Places) -> Result<(), Complaint> {
        if local::daemon_runs(places) {
            let threshold = self.threshold.as_i64();
            return ask(places, &Command::SetThreshold { threshold }).await;
        }
        places.hybrid_settings()?;
        Vault::open(&places.directories().state)?.set_threshold(self.threshold)?;
        print(&format!("the similarity threshold is now {}\n", self.threshold))
    }
}

fn record(places: &Places) -> Result<FingerprintRecord, VaultError> {
    Vault::read_only(&places.directories().state)?.fingerprint_record()
}

fn diff_page(record: &FingerprintRecord, now: &Observation, similarity: &Similarity) -> String {
    let mut page =
        format!("{:<16} {:<13} {:<13} {:<13} now\n", "attribute", "then", "now", "agreement");
    for contribution in &similarity.contributions {
        let attribute = contribution.attribute;
        let (hash, shown) = match now.get(attribute) {
            Reading::Value { hash, shown } => (&hash[..12], shown.as_str()),
            Reading::Absent => ("-", "this machine has none"),
            Reading::Unknown(reason) => ("unknown", reason.as_str()),
        };
        let agreement = match &contribution.agreement {
            Agreement::Unreadable(_) => "not readable".to_owned(),
            other => other.to_string(),
        };
        let then = then(record, attribute).unwrap_or("-");
        let _ = writeln!(page, "{attribute:<16} {then:<13} {hash:<13} {agreement:<13} {shown}");
    }
    let _ = writeln!(page, "\n{similarity}");
    page
}

fn diff_json(
    record: &FingerprintRecord,
    now: &Observation,
    similarity: &Similarity,
) -> serde_json::Value {
    let attributes = similarity
        .contributions
        .iter()
        .map(|contribution| {
            let attribute = contribution.attribute;
            let entry = json!({
                "then": record.hardware_hash.get(attribute),
                "now": reading_json(now.get(attribute)),
                "agreement": contribution.agreement.to_string(),
            });
            (attribute.name().to_owned(), entry)
        })
        .collect::<serde_json::Map<_, _>>();
    json!({
        "verdict": similarity.verdict.name(),
        "score": similarity.score,
        "threshold": similarity.threshold.as_i64(),
        "attributes": attributes,
    })
}

fn then(record: &FingerprintRecord, attribute: Attribute) -> Option<&str> {
    record.hardware_hash.get(attribute).map(|hash| hash.get(..12).unwrap_or(hash))
}

fn reading_json(reading: &Reading) -> serde_json::Value {
    match reading {
        Reading::Value { hash, shown } => json!({"hash": hash, "shown": shown}),
        Reading::Absent => serde_json::Value::Null,
        Reading::Unknown(reason) => json!({"unknown": reason}),
    }
}
