//! What does not stop the daemon, and needs somebody all the same: each thing said once in the log, and
//! in `status` for as long as it lasts.

use std::collections::BTreeMap;

use crate::control::Complaint;
use crate::shelf::Warning;

/// By what they are about.
#[derive(Debug, Default)]
pub(super) struct Warnings(BTreeMap<&'static str, Complaint>);

impl Warnings {
    /// Takes what is wrong with `subject` now, if anything is.
    pub(super) fn put(&mut self, subject: &'static str, trouble: Option<Complaint>) {
        match trouble {
            Some(complaint) if self.0.get(subject) != Some(&complaint) => {
                tracing::error!("{}; try: {}", complaint.message, complaint.remedy);
                self.0.insert(subject, complaint);
            }
            // Said before.
            Some(_) => {}
            None => {
                if self.0.remove(subject).is_some() {
                    tracing::info!("{subject}: in order again");
                }
            }
        }
    }

    pub(super) fn get(&self, subject: &str) -> Option<&Complaint> {
        self.0.get(subject)
    }

    pub(super) fn has(&self, subject: &str) -> bool {
        self.0.contains_key(subject)
    }

    /// As `status` shows them.
    pub(super) fn shown(&self) -> Vec<Warning> {
        let shown = self.0.iter().map(|(subject, Complaint { message, remedy, .. })| Warning {
            subject: (*subject).to_owned(),
            message: message.clone(),
            remedy: remedy.clone(),
        });
        shown.collect()
    }
}
