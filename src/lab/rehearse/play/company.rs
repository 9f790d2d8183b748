//! Who is on the stage: the machines with their daemons, and the activations that have names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::UtcDateTime;
use tokio::task::AbortHandle;

use crate::daemon::Seams;
use crate::hardware::Probe;
use crate::host::clock::{Clock, SystemClock};
use crate::lab::Lab;
use crate::lab::ledger::Outcome;
use crate::lab::rehearse::Unmet;
use crate::lab::rehearse::fixture;
use crate::lab::rehearse::passage::MachineClock;
use crate::lab::rehearse::running::Running;
use crate::lab::rehearse::stage::{Machine, Stage};
use crate::lab::scenario::{Hardware, MACHINE, Scenario};
use crate::pure::fingerprint::Observation;
use crate::pure::identity::Activation;

/// Everybody, and the stage.
pub struct Company<'a> {
    pub stage: &'a mut Stage,
    pub members: BTreeMap<String, Member>,
    pub activations: BTreeMap<String, Activation>,
    /// The faults that stand.
    pub faults: BTreeMap<u64, Standing>,
}

/// A fault, as the chronicle has it.
pub struct Standing {
    pub name: String,
    /// As the ledger has it.
    pub effect: &'static str,
    pub added_at: UtcDateTime,
}

/// A machine of the play.
pub struct Member {
    pub machine: Machine,
    pub clock: Arc<MachineClock>,
    pub daemon: Option<Running>,
    chassis: Arc<Chassis>,
    hardware: Hardware,
    /// Where the files are that the machine is made of; each change makes new ones.
    root: PathBuf,
    changes: u32,
}

/// A probe whose machine may become another.
#[derive(Debug)]
struct Chassis(Mutex<Arc<dyn Probe>>);

impl<'a> Company<'a> {
    /// The scenario's first machine; nothing has happened yet.
    pub fn gather(stage: &'a mut Stage, scenario: &Scenario) -> Result<Self, Unmet> {
        let mut company = Self {
            stage,
            members: BTreeMap::new(),
            activations: BTreeMap::new(),
            faults: BTreeMap::new(),
        };
        company.add(MACHINE, scenario.hardware.clone(), scenario.clock_behind)?;
        Ok(company)
    }

    /// One machine more.
    pub fn add(&mut self, name: &str, hardware: Hardware, behind: Duration) -> Result<(), Unmet> {
        let root = self.stage.directory().join(name).join("hardware");
        let probe = fixture::probe(&hardware, &root.join("0"))?;
        let chassis = Arc::new(Chassis(Mutex::new(probe)));
        let clock = self.stage.passage.clock(behind);
        let seams = Seams { clock: clock.clone(), probe: chassis.clone(), ..Seams::system() };
        let mut machine = self.stage.machine(name, seams);
        machine.clock = Some(clock.clone());
        let member = Member { machine, clock, daemon: None, chassis, hardware, root, changes: 0 };
        self.members.insert(name.to_owned(), member);
        Ok(())
    }

    /// The machine of that name.
    pub fn member(&mut self, name: &str) -> Result<&mut Member, Unmet> {
        let member = self.members.get_mut(name);
        member.ok_or_else(|| Unmet(format!("there is no machine '{name}'")))
    }

    /// Lets time pass for the lab and for all machines.
    pub async fn let_pass(&mut self, span: Duration) {
        let daemons = self.members.values().filter_map(|member| member.daemon.as_ref());
        let daemons = daemons.map(Running::handle).collect::<Vec<_>>();
        let running = || {
            let running = daemons.iter().filter(|daemon| !AbortHandle::is_finished(daemon));
            running.map(AbortHandle::id).collect()
        };
        let Stage { passage, lab, .. } = &*self.stage;
        passage.pass(span, running, |by| forward(lab, by)).await;
    }

    /// Pauses a machine: time passes for the lab and for all others.
    pub fn pause(&mut self, name: &str, span: Duration) -> Result<(), Unmet> {
        let clock = Arc::clone(&self.member(name)?.clock);
        clock.pause(span, |by| forward(&self.stage.lab, by));
        Ok(())
    }

    /// Writes down which faults are over: cleared, or with the last request that they met.
    pub fn close_faults(&mut self) {
        let (now, faults) = (self.stage.now(), std::mem::take(&mut self.faults));
        let (over, standing) = self.stage.lab.with_service(|service| {
            let ids = service.faults.list(now).iter().map(|fault| fault.id).collect::<Vec<_>>();
            let last_met = |fault: &Standing| {
                let entries = service.ledger.entries().rev();
                let mut since = entries.take_while(|entry| entry.at >= fault.added_at);
                since.find(|entry| entry.outcome == Outcome::Disturbed(fault.effect))
            };
            let (standing, over) =
                faults.into_iter().partition::<BTreeMap<_, _>, _>(|(id, _)| ids.contains(id));
            let over = over.into_values().map(|fault| {
                let since = last_met(&fault).map_or(now, |entry| entry.at);
                (fault.name, since)
            });
            (over.collect::<Vec<_>>(), standing)
        });
        for (name, since) in over {
            self.stage.chronicle.right_since(since, |what| what == name);
        }
        self.faults = standing;
    }

    /// Stops every daemon.
    pub async fn dismiss(self) {
        for member in self.members.into_values() {
            if let Some(daemon) = member.daemon {
                daemon.stop().await;
            }
        }
    }
}

fn forward(lab: &Lab, by: Duration) {
    lab.with_service(|service| {
        // It fails beyond the year 2200 alone, where the lab's time stands still.
        let _ = service.clock.forward(by, SystemClock.now());
        service.faults.changed().notify_one();
    });
}

impl Member {
    pub fn hardware(&self) -> &Hardware {
        &self.hardware
    }

    /// From now on its hardware is another, in what `change` says.
    pub fn change(&mut self, change: &Hardware) -> Result<(), Unmet> {
        self.hardware = change.over(&self.hardware);
        self.changes += 1;
        let root = self.root.join(self.changes.to_string());
        let probe = fixture::probe(&self.hardware, &root)?;
        *self.chassis.0.lock().unwrap_or_else(PoisonError::into_inner) = probe;
        Ok(())
    }
}

impl Probe for Chassis {
    fn observe(&self) -> Observation {
        let probe = Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        probe.observe()
    }
}
