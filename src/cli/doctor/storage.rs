//! What is kept: the vault's records, and the hardware that they were made on.

use super::Patient;
use crate::cli::local;
use crate::control::Complaint;
use crate::pure::advice::{Advice, Exit};
use crate::pure::diagnosis::vault::{Entry, Kind};
use crate::pure::diagnosis::{self, AFTER_THAT, AS_ROOT, Check, Finding};
use crate::pure::source::Source;
use crate::vault::{self, Vault, VaultError};

pub(super) fn vault(patient: &Patient) -> Vec<Check> {
    match Vault::examine(&patient.directories.state) {
        Err(VaultError::Missing { .. }) if patient.source() != Source::Hybrid => {
            vec![Check::new("vault", Finding::inapplicable("nothing is kept: there is none"))]
        }
        Ok(examined) => {
            let entries = examined.entries.into_iter().map(entry).collect::<Vec<_>>();
            let mut checks = diagnosis::vault::judge(Ok(&entries));
            if let Some(error) = examined.unwritable {
                let what = "; the key is not replaced, nor a registration changed, until it can be";
                let finding = Finding::warning(format!("{error}{what}"), error.remedy());
                checks.push(Check::of("vault", "writing", finding));
            }
            checks
        }
        Err(error) => diagnosis::vault::judge(Err(&Complaint::of(&error))),
    }
}

pub(super) fn hardware(patient: &Patient) -> Vec<Check> {
    if let Some(checks) = patient.without_registration("hardware") {
        return checks;
    }
    let reader = Vault::read_only(&patient.directories.state);
    let finding = match reader.map_err(Complaint::from).and_then(|vault| local::similarity(&vault))
    {
        Ok(similarity) => diagnosis::hardware::judge(&similarity),
        Err(complaint) if complaint.exit == Exit::Configuration as u8 => {
            match Vault::read_only(&patient.directories.state).and_then(|it| it.registration()) {
                // The record that is missing is the fingerprint's.
                Ok(_) => complaint.into(),
                Err(_) => Finding::inapplicable("this machine is not registered"),
            }
        }
        // A damaged record has its line already.
        Err(complaint) => {
            let closed = complaint.exit == Exit::Refused as u8;
            let remedy = if closed { AS_ROOT } else { AFTER_THAT };
            Finding::skipped(format!("needs the vault: {}", complaint.message), remedy)
        }
    };
    vec![Check::new("hardware", finding)]
}

fn entry(entry: vault::Entry) -> Entry {
    let kind = match entry.kind {
        vault::Kind::Directory => Kind::Directory,
        vault::Kind::Record { name, read } => Kind::Record {
            name: name.to_owned(),
            read: read.map_err(|error| Complaint::of(&error)),
        },
        vault::Kind::KeptAside => Kind::KeptAside,
        vault::Kind::Lock | vault::Kind::Foreign => Kind::Other,
    };
    let path = entry.path.display().to_string();
    Entry { path, kind, owner: entry.owner, mode: entry.mode, most: entry.most }
}
