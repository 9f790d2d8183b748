//! Does what a step says.

use std::time::Duration;

use serde_json::json;

use super::Outcome;
use super::company::{Company, Standing};
use crate::control::{self, Command, ControlError};
use crate::daemon::RegistrationError;
use crate::host::clock::timeout;
use crate::lab::faults::WireFault;
use crate::lab::operation::Operation;
use crate::lab::rehearse::Unmet;
use crate::lab::rehearse::running::Running;
use crate::lab::rehearse::scenes::activation::{apply, new_activation};
use crate::lab::rehearse::scenes::outage::NOBODY_LISTENS;
use crate::lab::scenario::{
    Act, Hardware, NewActivation, NewMachine, Step, Threshold, fault_words,
};
use crate::pure::advice::Advice;
use crate::pure::identity::Activation;
use crate::vault::Vault;

impl Company<'_> {
    /// Does one act on the step's machine. A command's outcome comes back, good or bad, for the step
    /// to judge; only a registration must succeed that the step says nothing about.
    pub async fn perform(&mut self, act: &Act, step: &Step) -> Result<Option<Outcome>, Unmet> {
        let on = step.on.as_str();
        match act {
            Act::Register => self.register(step, None, false).await.map(Some),
            Act::RegisterAgain => self.register(step, None, true).await.map(Some),
            Act::RegisterWith(name) => self.register(step, Some(name), false).await.map(Some),
            Act::Refresh => self.order(step, Command::Refresh).await.map(Some),
            Act::RotateKey => self.order(step, Command::RotateKey).await.map(Some),
            Act::AcceptFingerprint => self.accept_fingerprint(step).await.map(Some),
            Act::SetThreshold(threshold) => self.set_threshold(step, *threshold).await.map(Some),
            Act::BeginKeyRotation => self.begin_key_rotation(on).map(|()| None),
            Act::Start => self.start(on).await.map(|()| None),
            Act::Stop => {
                self.running(on)?.stop().await;
                Ok(None)
            }
            Act::Kill => {
                self.running(on)?.kill().await;
                Ok(None)
            }
            Act::ChangeHardware(change) => self.member(on)?.change(change).map(|()| None),
            Act::PauseMachine(span) => self.pause(on, *span).map(|()| None),
            Act::SetClockBehind(span) => {
                self.member(on)?.clock.set_behind(*span);
                Ok(None)
            }
            Act::NewMachine(new) => self.add_machine(new).map(|()| None),
            Act::TimePasses(span) => {
                self.let_pass(*span).await;
                Ok(None)
            }
            _ => self.administer(act, on).await.map(|()| None),
        }
    }

    /// What is done at the service.
    async fn administer(&mut self, act: &Act, on: &str) -> Result<(), Unmet> {
        match act {
            Act::CreateActivation(NewActivation { name, machines }) => {
                let activation = new_activation(self.stage, *machines).await?;
                self.activations.insert(name.clone(), activation);
                Ok(())
            }
            Act::ExpireActivation(name) => {
                let (id, now) = (self.activation(name)?.id.clone(), self.stage.now());
                self.stage
                    .lab
                    .with_service(|service| service.activations.expire(id.as_str(), now))?;
                Ok(())
            }
            Act::DeleteActivation(name) => {
                let asked = json!({ "ActivationId": self.activation(name)?.id.as_str() });
                self.call(Operation::DeleteActivation, asked).await
            }
            Act::DeregisterNode => {
                let id = self.member(on)?.machine.identity()?.instance_id;
                let asked = json!({ "InstanceId": id.as_str() });
                self.call(Operation::DeregisterManagedInstance, asked).await
            }
            Act::AskForNewKey => {
                let id = self.member(on)?.machine.identity()?.instance_id;
                self.stage.lab.with_service(|service| service.nodes.ask_for_new_key(&id))?;
                Ok(())
            }
            Act::AddFault(fault) => self.add_fault(fault),
            Act::ClearFaults => {
                self.stage.lab.with_service(|service| service.faults.clear());
                for fault in std::mem::take(&mut self.faults).into_values() {
                    self.stage.chronicle.right(|what| what == fault.name);
                }
                Ok(())
            }
            Act::StopService => {
                self.stage.lab.stop_listening().await?;
                self.stage.chronicle.wrong(NOBODY_LISTENS);
                Ok(())
            }
            Act::StartService => {
                self.stage.lab.resume_listening()?;
                self.stage.chronicle.right(|what| what == NOBODY_LISTENS);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn register(
        &mut self,
        step: &Step,
        activation: Option<&str>,
        replace: bool,
    ) -> Result<Outcome, Unmet> {
        let activation = match activation {
            Some(name) => self.activation(name)?.clone(),
            None => new_activation(self.stage, 1).await?,
        };
        let machine = self.member(&step.on)?.machine.clone();
        let outcome = match apply(self.stage, &machine, &activation, replace).await? {
            Ok(id) => Outcome { exit: Some(0), message: format!("registered as {id}") },
            Err(error) => {
                let message = match &error {
                    RegistrationError::Service(refusal, _) => refusal.code.clone(),
                    _ => None,
                };
                let exit = Some(error.exit() as u8);
                Outcome { exit, message: message.unwrap_or_else(|| error.to_string()) }
            }
        };
        let judged = step.expect.exit.is_some() || step.expect.refused.is_some();
        if outcome.exit != Some(0) && !judged {
            return Err(Unmet(format!("the registration failed: {}", outcome.message)));
        }
        Ok(outcome)
    }

    async fn start(&mut self, on: &str) -> Result<(), Unmet> {
        let settings = self.stage.settings();
        let member = self.member(on)?;
        Unmet::unless(member.daemon.is_none(), || "its daemon runs already".to_owned())?;
        member.daemon = Some(Running::start(settings, &member.machine).await);
        Ok(())
    }

    /// Takes the machine's daemon, to end it.
    fn running(&mut self, on: &str) -> Result<Running, Unmet> {
        self.member(on)?.daemon.take().ok_or_else(|| Unmet("no daemon runs there".to_owned()))
    }

    /// What the operator's command would say; waits no longer than the step does.
    async fn order(&mut self, step: &Step, command: Command) -> Result<Outcome, Unmet> {
        let member = self.member(&step.on)?;
        let Some(daemon) = &member.daemon else {
            return Err(Unmet("no daemon runs there".to_owned()));
        };
        Ok(answer(step.within, daemon.order(command)).await)
    }

    fn begin_key_rotation(&mut self, on: &str) -> Result<(), Unmet> {
        let member = self.member(on)?;
        Unmet::unless(member.daemon.is_some(), || "no daemon runs there".to_owned())?;
        let runtime = member.machine.directories.runtime.clone();
        // It ends with the daemon at the latest; what it says then interests nobody.
        tokio::task::spawn_local(async move {
            let _ = control::ask(&runtime, &Command::RotateKey).await;
        });
        Ok(())
    }

    async fn accept_fingerprint(&mut self, step: &Step) -> Result<Outcome, Unmet> {
        let now = self.stage.now();
        let member = self.member(&step.on)?;
        if member.daemon.is_some() {
            return self.order(step, Command::AcceptFingerprint).await;
        }
        let hardware = member.machine.seams.probe.observe().hash();
        Vault::open(&member.machine.directories.state)?.accept_hardware(&hardware, now)?;
        Ok(Outcome { exit: Some(0), message: "the hardware is accepted".to_owned() })
    }

    async fn set_threshold(
        &mut self,
        step: &Step,
        Threshold(threshold): Threshold,
    ) -> Result<Outcome, Unmet> {
        let member = self.member(&step.on)?;
        if member.daemon.is_some() {
            let threshold = threshold.as_i64();
            return self.order(step, Command::SetThreshold { threshold }).await;
        }
        Vault::open(&member.machine.directories.state)?.set_threshold(threshold)?;
        Ok(Outcome { exit: Some(0), message: format!("the threshold is {threshold}") })
    }

    fn add_machine(&mut self, new: &NewMachine) -> Result<(), Unmet> {
        let (base, original) = match &new.copy_of {
            Some(name) => {
                let original = self.member(name)?;
                (original.hardware().clone(), Some(original.machine.clone()))
            }
            None => (Hardware::of(&new.name), None),
        };
        self.add(&new.name, new.hardware.over(&base), Duration::ZERO)?;
        if let Some(original) = original {
            self.member(&new.name)?.machine.take_files_of(&original)?;
        }
        Ok(())
    }

    fn add_fault(&mut self, wish: &WireFault) -> Result<(), Unmet> {
        let added_at = self.stage.now();
        let fault = wish.clone().decode(added_at)?;
        let (name, effect) = (fault_words(wish), fault.effect.name());
        self.stage.chronicle.fault(name.clone(), &fault);
        let id = self.stage.lab.with_service(|service| service.faults.add(fault))?;
        self.faults.insert(id, Standing { name, effect, added_at });
        Ok(())
    }

    fn activation(&self, name: &str) -> Result<&Activation, Unmet> {
        let activation = self.activations.get(name);
        activation.ok_or_else(|| Unmet(format!("there is no activation '{name}'")))
    }

    /// An administrator's call, over HTTP and signed as everybody's.
    async fn call(&self, operation: Operation, asked: serde_json::Value) -> Result<(), Unmet> {
        let client = self.stage.lab.client()?;
        client.call(operation, &asked, self.stage.now()).await?;
        Ok(())
    }
}

async fn answer(
    patience: Duration,
    order: impl Future<Output = Result<String, ControlError>>,
) -> Outcome {
    match timeout(patience, order).await {
        Ok(Ok(sentence)) => Outcome { exit: Some(0), message: sentence },
        Ok(Err(error)) => Outcome { exit: Some(error.exit() as u8), message: error.to_string() },
        Err(_) => Outcome { exit: None, message: "no answer yet".to_owned() },
    }
}
