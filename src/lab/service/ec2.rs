//! What an EC2 instance asks: its own metadata service, and Systems Manager without an activation
//! (Default Host Management).

use serde_json::{Value, json};
use time::UtcDateTime;

use super::{RoleTokenRequest, Service, body, denied, require_own};
use crate::host::entropy::Entropy;
use crate::lab::ACCOUNT;
use crate::lab::access::authorize;
use crate::lab::answers::{self, Refusal};
use crate::lab::ec2_instance::{IDENTITY_ROLE, INSTANCE_ID, Issuer};
use crate::lab::hosts::{HEADER, proving};
use crate::lab::ledger::{Entry, Outcome};
use crate::lab::message::{Reply, Request};
use crate::lab::nodes::{Information, Register, unknown_instance};
use crate::lab::operation::Operation;
use crate::lab::roles::SYSTEMS_MANAGER;
use crate::lab::signatures::{Caller, authenticate};
use crate::lab::tokens::{Holder, Session};
use crate::pure::signing::Authorization;

impl Service {
    /// What a process of the instance or of the container asks; its answers carry no request id.
    pub(super) fn metadata(
        &mut self,
        operation: Operation,
        request: &Request,
        entropy: &dyn Entropy,
        at: UtcDateTime,
    ) -> Reply {
        let issuer = Issuer {
            roles: &self.roles,
            tokens: &mut self.tokens,
            lifetime: self.token_lifetime,
            entropy,
            now: at,
        };
        let reply = self.instance.answer(operation, request, issuer);
        let reply =
            reply.unwrap_or_else(|error| answers::refusal(operation.dialect(), &error.into(), ""));
        let outcome = match reply.status {
            200 => Outcome::Done,
            status => Outcome::Refused(status.to_string()),
        };
        self.ledger.record(Entry { at, operation: Some(operation), node: None, outcome });
        reply.dated(at)
    }

    /// `RegisterManagedInstance`, signed by the instance's identity in an activation's place.
    pub(super) fn register_host(
        &mut self,
        request: &Request,
        asked: Register,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let operation = Operation::RegisterManagedInstance;
        let region = self.region.as_str();
        match authenticate(request, self.keyring(), region, operation.service(), now)? {
            Caller::Session(session) if session.role_name == IDENTITY_ROLE => {}
            _ => return Err(denied(operation)),
        }
        let key = self.nodes.read_key(asked.public_key, asked.public_key_type)?;
        if asked.fingerprint.as_deref() != Some(INSTANCE_ID) {
            return Err(Refusal::validation("An EC2 instance's fingerprint is its instance id"));
        }
        self.hosts.register(INSTANCE_ID, &key, now)?;
        Ok(json!({ "InstanceId": INSTANCE_ID }))
    }

    /// The request without the header that proves the key of the instance whose identity signed it;
    /// None when it proves nothing, or nothing is to be proven.
    ///
    /// The signature in it covers the `Authorization` header, so it came after that one and is not
    /// covered by it. What else stands under its name was there before: a client that tries again
    /// may send its first proof too, and sign it.
    pub(super) fn without_proof(&self, request: &Request) -> Result<Option<Request>, Refusal> {
        let Some(header) = request.header("authorization").filter(|_| request.has_header(HEADER))
        else {
            return Ok(None);
        };
        let id = Authorization::parse(header).map(|parsed| parsed.credential_id);
        let issued = id.ok().map(|id| self.tokens.get(&id)).transpose()?.flatten();
        let Some(Holder::Session(Session { role_name, name, .. })) = issued.map(|one| one.holder)
        else {
            return Ok(None);
        };
        if role_name != IDENTITY_ROLE {
            return Ok(None);
        }
        let Some(key) = self.hosts.key(&name)? else { return Ok(None) };
        let Some(proof) = proving(request, header, &key) else { return Ok(None) };
        let mut covered = request.clone();
        covered.headers.remove(proof);
        Ok(Some(covered))
    }

    /// `RequestManagedInstanceRoleToken`, signed by the instance's identity: credentials of the role
    /// that the account set for instances without one of their own.
    pub(super) fn host_token(
        &mut self,
        request: &Request,
        is_proven: bool,
        entropy: &dyn Entropy,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let asked = body::<RoleTokenRequest>(request)?;
        if self.hosts.key(INSTANCE_ID)?.is_none() {
            return Err(unknown_instance());
        }
        if !is_proven {
            return Err(unproven(request));
        }
        let fingerprint =
            asked.fingerprint.ok_or_else(|| Refusal::validation("Fingerprint is missing"))?;
        if fingerprint != INSTANCE_ID {
            return Err(Refusal::new(
                "MachineFingerprintDoesNotMatch",
                "The fingerprint is not the instance's id",
            ));
        }
        let denied = |message: String| Refusal::new("AccessDeniedException", message);
        let role = self.settings.default_host_role()?.ok_or_else(|| {
            denied(format!(
                "Systems Manager's instance management role is not configured for account: {ACCOUNT}"
            ))
        })?;
        let role_name = role.rsplit('/').next().unwrap_or_default();
        if self.roles.get(role_name).is_some_and(|role| !role.trusts_service(SYSTEMS_MANAGER)) {
            return Err(denied(format!("The role {role_name} does not trust {SYSTEMS_MANAGER}")));
        }
        let session = Session::plain(role_name, INSTANCE_ID);
        let token = self.tokens.issue_session(session, self.token_lifetime, entropy, now)?;
        Ok(token.answer(false))
    }

    /// `UpdateInstanceInformation` by credentials that name the instance: those of its profile, or
    /// of the account's role. What they may do is in the role's policy.
    pub(super) fn host_ping(
        &mut self,
        caller: &Caller,
        said: Information,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let operation = Operation::UpdateInstanceInformation;
        authorize(&self.roles, caller, &format!("ssm:{operation}"), "*")?;
        require_own(operation, INSTANCE_ID, said.instance_id.as_deref())?;
        self.hosts.ping(INSTANCE_ID, said, now)?;
        Ok(json!({}))
    }
}

/// Why the key that the instance registered is not proven.
fn unproven(request: &Request) -> Refusal {
    if request.has_header(HEADER) {
        Refusal::new(
            "InvalidSignatureException",
            "SSM-AsymmetricKeyAuthorization must be Signature=, and the signature of the whole \
             Authorization header by the key that the instance registered",
        )
    } else {
        Refusal::new(
            "AccessDeniedException",
            "An EC2 instance must prove its key in SSM-AsymmetricKeyAuthorization",
        )
    }
}
