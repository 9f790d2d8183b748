//! The service itself: requests in, answers out. No sockets, no clock, no chance of its own.

mod ec2;

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use time::UtcDateTime;

use super::access::{arn, authorize};
use super::activations::{Activations, Create};
use super::answers::{self, Refusal};
use super::buckets::Buckets;
use super::clock::{ClockSetting, LabClock};
use super::ec2_instance::{Ec2Instance, IDENTITY_ROLE, INSTANCE_ID};
use super::faults::Faults;
use super::hosts::Hosts;
use super::ledger::{Entry, Ledger, Outcome};
use super::message::{Reply, Request};
use super::nodes::{Deregister, Information, Nodes, Register};
use super::operation::{Dialect, Operation, UnknownOperation, requested};
use super::roles::{Roles, SYSTEMS_MANAGER};
use super::settings::Settings;
use super::signatures::{Caller, Keyring, authenticate, claimed_node};
use super::store::{Store, StoreError};
use super::tokens::{AdminCredentials, Tokens};
use super::{control, instance_information, issue, s3, signatures, sts};
use crate::host::entropy::Entropy;
use crate::pure::identity::{InstanceId, Region};
use crate::pure::secret::Secret;

/// The store's name for the lab's clock.
const CLOCK: &str = "clock";

/// Everything that the lab knows.
#[derive(Debug)]
pub struct Service {
    pub activations: Activations,
    pub nodes: Nodes,
    pub hosts: Hosts,
    pub tokens: Tokens,
    pub roles: Roles,
    pub buckets: Buckets,
    pub settings: Settings,
    pub instance: Ec2Instance,
    pub faults: Faults,
    pub ledger: Ledger,
    /// How long new role credentials live.
    pub token_lifetime: Duration,
    /// What time it is in the lab, at any time of this machine; kept by [`Service::set_clock`].
    pub clock: LabClock,
    store: Store,
    region: Region,
    admin: AdminCredentials,
    /// The ids that `GetCallerIdentity` shows: the admin's, and that of roles without a definition.
    user_id: String,
    role_id: String,
}

impl Service {
    /// A service that forgets everything at its end.
    ///
    /// # Panics
    ///
    /// Without memory for an empty database.
    pub fn new(region: Region, token_lifetime: Duration, entropy: &dyn Entropy) -> Self {
        Store::in_memory(&region)
            .and_then(|store| Self::open(store, region, token_lifetime, entropy))
            .expect("an empty database fits into memory")
    }

    /// A service that goes on from what the store holds. Roles and buckets are defined anew at each
    /// start, and neither faults nor the ledger outlive one.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub fn open(
        store: Store,
        region: Region,
        token_lifetime: Duration,
        entropy: &dyn Entropy,
    ) -> Result<Self, StoreError> {
        let id = |prefix| issue::access_key_id(prefix, entropy);
        Ok(Self {
            activations: Activations::new(&store),
            nodes: Nodes::new(&store),
            hosts: Hosts::new(&store),
            tokens: Tokens::new(&store),
            roles: Roles::new(entropy),
            buckets: Buckets::default(),
            settings: Settings::new(&store),
            instance: Ec2Instance::new(&store, region.clone(), entropy)?,
            faults: Faults::default(),
            ledger: Ledger::default(),
            token_lifetime,
            clock: store.fact(CLOCK)?.unwrap_or_default(),
            region,
            admin: store.fact_or("administrator", || AdminCredentials::new(entropy))?,
            user_id: store.fact_or("user-id", || id("AIDA"))?,
            role_id: store.fact_or("role-id", || id("AROA"))?,
            store,
        })
    }

    /// Sets the lab's time forward, or its rate; it stays so in the store. `now` is this machine's
    /// time.
    ///
    /// # Errors
    ///
    /// It is no time that the lab can have, or the store fails.
    pub fn set_clock(&mut self, setting: &ClockSetting, now: UtcDateTime) -> Result<(), Refusal> {
        let mut clock = self.clock;
        clock.set(setting, now)?;
        self.store.set_fact(CLOCK, &clock)?;
        self.clock = clock;
        Ok(())
    }

    pub fn region(&self) -> &Region {
        &self.region
    }

    pub fn admin(&self) -> &AdminCredentials {
        &self.admin
    }

    /// Answers a request as the real service would. `now` is this machine's time.
    pub fn answer(&mut self, request: &Request, entropy: &dyn Entropy, now: UtcDateTime) -> Reply {
        let request_id = issue::uuid(entropy).to_string();
        let at = self.clock.now(now);
        if control::is_control(request) {
            let result = self.control(request, now);
            return reply(
                Dialect::Json,
                result.map(|value| answers::json_result(&value)),
                &request_id,
            )
            .stamped(request_id, at);
        }
        let (dialect, operation) = requested(request);
        if let (Dialect::Metadata, Ok(operation)) = (dialect, &operation) {
            return self.metadata(*operation, request, entropy, at);
        }
        let node = claimed_node(request, &self.tokens);
        let result = match &operation {
            Ok(operation) => self.perform(*operation, request, &request_id, entropy, at),
            Err(unknown) => Err(not_an_operation(request, unknown)),
        };
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err(refusal) => Outcome::Refused(refusal.code.to_string()),
        };
        self.ledger.record(Entry { at, operation: operation.ok(), node, outcome });
        reply(dialect, result, &request_id).stamped(request_id, at)
    }

    fn perform(
        &mut self,
        operation: Operation,
        request: &Request,
        request_id: &str,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Reply, Refusal> {
        if operation.dialect() == Dialect::Rest {
            let signed = s3::as_signed(request)?;
            let region = self.region.as_str();
            let caller = authenticate(&signed, self.keyring(), region, s3::SERVICE, now)?;
            return s3::perform(operation, request, &caller, &self.roles, &self.buckets);
        }
        if request.path != "/" || request.method != "POST" {
            return Err(Refusal::with_status(
                404,
                "UnknownOperationException".into(),
                "AWS's operations are reached by POST /",
            ));
        }
        if operation == Operation::RegisterManagedInstance {
            return self.register(request, entropy, now).map(|value| answers::json_result(&value));
        }
        let region = self.region.as_str();
        let proven = self.without_proof(request)?;
        let signed = proven.as_ref().unwrap_or(request);
        let caller = authenticate(signed, self.keyring(), region, operation.service(), now)?;
        match (operation, &caller) {
            (Operation::GetCallerIdentity | Operation::AssumeRole, Caller::Node(_)) => {
                return Err(denied(operation));
            }
            (Operation::GetCallerIdentity, _) => {
                let (user_id, role_id) = (&self.user_id, &self.role_id);
                let roles = &self.roles;
                return Ok(sts::caller_identity(&caller, roles, user_id, role_id, request_id));
            }
            (Operation::AssumeRole, _) => {
                let (roles, tokens) = (&self.roles, &mut self.tokens);
                return sts::assume_role(request, &caller, roles, tokens, request_id, entropy, now);
            }
            (Operation::RequestManagedInstanceRoleToken, Caller::Session(session))
                if session.role_name == IDENTITY_ROLE =>
            {
                let token = self.host_token(request, proven.is_some(), entropy, now);
                return token.map(|value| answers::json_result(&value));
            }
            _ => {}
        }
        self.managed(operation, &caller, request, entropy, now)
            .map(|value| answers::json_result(&value))
    }

    /// Everything of Systems Manager that is signed: who may, and what it does.
    fn managed(
        &mut self,
        operation: Operation,
        caller: &Caller,
        request: &Request,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        match (operation, caller) {
            (Operation::RequestManagedInstanceRoleToken, Caller::Node(id)) => {
                self.role_token(id, body(request)?, entropy, now)
            }
            (Operation::UpdateManagedInstancePublicKey, Caller::Node(id)) => {
                self.nodes.update_key(id, body(request)?)
            }
            (Operation::UpdateInstanceInformation, Caller::Role { node, .. }) => {
                let said = body::<Information>(request)?;
                require_own(operation, node.as_str(), said.instance_id.as_deref())?;
                self.nodes.ping(node, said, now)
            }
            (Operation::UpdateInstanceInformation, Caller::Session(session))
                if session.name == INSTANCE_ID =>
            {
                self.host_ping(caller, body(request)?, now)
            }
            (Operation::DeregisterManagedInstance, Caller::Role { node, .. }) => {
                let asked = body::<Deregister>(request)?;
                require_own(operation, node.as_str(), asked.instance_id.as_deref())?;
                self.nodes.deregister(node)
            }
            (_, Caller::Admin) => self.administered(operation, request, entropy, now),
            // A role may do what its policy allows, and then does it as the administrator would.
            (_, Caller::Role { .. } | Caller::Session(_)) => {
                authorize(&self.roles, caller, &format!("ssm:{operation}"), "*")?;
                self.administered(operation, request, entropy, now)
            }
            _ => Err(denied(operation)),
        }
    }

    /// The control plane: what an administrator does, from anywhere.
    pub(super) fn administered(
        &mut self,
        operation: Operation,
        request: &Request,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let region = &self.region;
        match operation {
            Operation::CreateActivation => {
                let asked = body::<Create>(request)?;
                asked.role().map_or(Ok(()), |role| self.roles.check_for_machines(role))?;
                self.activations.create(asked, entropy, now)
            }
            Operation::DescribeActivations => self.activations.describe(&body(request)?, now),
            Operation::DeleteActivation => self.activations.delete(body(request)?),
            Operation::DescribeInstanceInformation => {
                instance_information::describe(&self.nodes, &self.hosts, &body(request)?, now)
            }
            Operation::UpdateManagedInstanceRole => self.nodes.update_role(body(request)?),
            Operation::DeregisterManagedInstance => {
                self.nodes.deregister(&body::<Deregister>(request)?.read()?)
            }
            Operation::AddTagsToResource => self.nodes.add_tags(body(request)?),
            Operation::ListTagsForResource => self.nodes.list_tags(body(request)?),
            Operation::RemoveTagsFromResource => self.nodes.remove_tags(body(request)?),
            Operation::GetServiceSetting => self.settings.get(body(request)?, region),
            Operation::UpdateServiceSetting => {
                self.settings.update(body(request)?, region, &arn(&Caller::Admin), now)
            }
            Operation::ResetServiceSetting => self.settings.reset(body(request)?, region),
            _ => Err(denied(operation)),
        }
    }

    fn register(
        &mut self,
        request: &Request,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let asked = body::<Register>(request)?;
        if asked.activation_id.is_none() && request.has_header("authorization") {
            return self.register_host(request, asked, now);
        }
        let id = asked.activation_id.clone().unwrap_or_default();
        let no_code = Secret::new(String::new());
        let code = asked.activation_code.as_ref().unwrap_or(&no_code);
        let both = self.store.begin()?;
        let activation = self.activations.check(&id, code, now)?;
        let answer = self.nodes.register(asked, &activation, entropy, now)?;
        self.activations.count_registration(&id)?;
        both.commit()?;
        Ok(answer)
    }

    fn role_token(
        &mut self,
        id: &InstanceId,
        asked: RoleTokenRequest,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let node = self.nodes.get(id)?.ok_or_else(super::nodes::unknown_instance)?;
        let fingerprint =
            asked.fingerprint.ok_or_else(|| Refusal::validation("Fingerprint is missing"))?;
        if fingerprint != node.fingerprint {
            return Err(Refusal::new(
                "MachineFingerprintDoesNotMatch",
                "The fingerprint is not the one that this managed instance registered with",
            ));
        }
        let role = self.roles.get(node.role_name());
        if role.is_some_and(|role| !role.trusts_service(SYSTEMS_MANAGER)) {
            return Err(Refusal::new(
                "AccessDeniedException",
                format!("The role {} does not trust {SYSTEMS_MANAGER}", node.role_name()),
            ));
        }
        Ok(self.tokens.issue(&node, self.token_lifetime, entropy, now)?)
    }

    fn keyring(&self) -> Keyring<'_> {
        let tolerance = signatures::TOLERANCE * self.clock.rate();
        Keyring { admin: &self.admin, tokens: &self.tokens, nodes: &self.nodes, tolerance }
    }

    /// The lab's own operations: signed by the administrator for the service `lab`.
    fn control(&mut self, request: &Request, now: UtcDateTime) -> Result<Value, Refusal> {
        let region = self.region.as_str();
        let at = self.clock.now(now);
        if authenticate(request, self.keyring(), region, control::SERVICE, at)? != Caller::Admin {
            let message = "Only the administrator may do that";
            return Err(Refusal::new("AccessDeniedException", message));
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", control::CLOCK) => Ok(self.clock.describe(now)),
            ("POST", control::CLOCK) => {
                self.set_clock(&body(request)?, now)?;
                Ok(self.clock.describe(now))
            }
            ("POST", control::EXPIRY) => self.activations.expire_asked(body(request)?, at),
            _ => control::perform(&mut self.faults, request, at),
        }
    }
}

/// `RequestManagedInstanceRoleToken`'s request.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleTokenRequest {
    fingerprint: Option<String>,
}

fn reply(dialect: Dialect, result: Result<Reply, Refusal>, request_id: &str) -> Reply {
    result.unwrap_or_else(|refusal| answers::refusal(dialect, &refusal, request_id))
}

/// Reads a JSON body. What it held is not repeated: it may have been a secret.
pub(super) fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    serde_json::from_slice(&request.body).map_err(|error| {
        Refusal::new(
            "SerializationException",
            format!(
                "The body is not the JSON that this operation takes (line {}, column {})",
                error.line(),
                error.column()
            ),
        )
    })
}

fn not_an_operation(request: &Request, unknown: &UnknownOperation) -> Refusal {
    let status = if request.path == "/" { 400 } else { 404 };
    let message = if unknown.0.is_empty() {
        "Send X-Amz-Target: AmazonSSM.OPERATION, or a form with Action=GetCallerIdentity".to_owned()
    } else {
        unknown.to_string()
    };
    Refusal::with_status(status, "UnknownOperationException".into(), message)
}

fn require_own(operation: Operation, own: &str, named: Option<&str>) -> Result<(), Refusal> {
    match named {
        Some(named) if named == own => Ok(()),
        Some(_) => Err(denied(operation)),
        None => Err(Refusal::validation("InstanceId is missing")),
    }
}

fn denied(operation: Operation) -> Refusal {
    Refusal::new(
        "AccessDeniedException",
        format!("The caller is not authorized to perform: {}:{operation}", operation.service()),
    )
}

#[cfg(test)]
mod tests;
