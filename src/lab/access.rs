//! May this caller do that? Its role's policy and its session's policy must both allow it.

use super::ACCOUNT;
use super::answers::Refusal;
use super::policy::{Asker, Decision, Trust};
use super::roles::{Role, Roles};
use super::signatures::Caller;

/// What stands against a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Objection {
    Identity(Decision),
    Session(Decision),
    Trust(Trust),
}

/// Refuses what the caller's policies do not allow. `action` is as `s3:ListBucket`, `resource` an
/// ARN or `*`.
pub fn authorize(
    roles: &Roles,
    caller: &Caller,
    action: &str,
    resource: &str,
) -> Result<(), Refusal> {
    match objection(roles, caller, action, resource, false) {
        Some(objection) => Err(refusal(caller, action, resource, objection)),
        None => Ok(()),
    }
}

/// Refuses what a role's trust policy does not grant to the caller, or its own policies forbid.
///
/// A role that names its caller grants by itself; one that names the account leaves it to the
/// caller's policies. A session policy must allow it in both cases (AWS asks it only if the trust
/// policy names the role and not the session).
pub fn authorize_by_trust(
    roles: &Roles,
    caller: &Caller,
    role: &Role,
    action: &str,
    external_id: Option<&str>,
) -> Result<(), Refusal> {
    let names = names(roles, caller);
    let trust = role.trust.decide(action, Asker::Identity(&names), external_id);
    let granted = trust == Trust::Caller;
    let objection = match trust {
        Trust::Caller | Trust::Account => objection(roles, caller, action, &role.arn(), granted),
        Trust::Unmentioned | Trust::Denied => Some(Objection::Trust(trust)),
    };
    match objection {
        Some(objection) => Err(refusal(caller, action, &role.arn(), objection)),
        None => Ok(()),
    }
}

/// What `GetCallerIdentity` and refusals call somebody.
pub fn arn(caller: &Caller) -> String {
    let session =
        |role: &str, name: &str| format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}");
    match caller {
        Caller::Admin => format!("arn:aws:iam::{ACCOUNT}:user/lab-admin"),
        Caller::Role { node, role_name } => session(role_name, node.as_str()),
        Caller::Session(of) => session(&of.role_name, &of.name),
        Caller::Node(node) => format!("arn:aws:ssm::{ACCOUNT}:managed-instance/{node}"),
    }
}

/// The name of the caller's role, if it has one.
pub fn role_name(caller: &Caller) -> Option<&str> {
    match caller {
        Caller::Admin | Caller::Node(_) => None,
        Caller::Role { role_name, .. } => Some(role_name),
        Caller::Session(session) => Some(&session.role_name),
    }
}

/// A refusal in AWS's words, down to the reason.
pub fn not_authorized(caller: &Caller, action: &str, resource: &str, why: &str) -> Refusal {
    Refusal::new(
        "AccessDeniedException",
        format!(
            "User: {} is not authorized to perform: {action} on resource: {resource}{why}",
            arn(caller)
        ),
    )
}

/// A denial by anybody counts first. `granted` says that a trust policy has allowed it already, so
/// that the role's own policy may be silent.
fn objection(
    roles: &Roles,
    caller: &Caller,
    action: &str,
    resource: &str,
    granted: bool,
) -> Option<Objection> {
    let identity = match caller {
        Caller::Admin => Decision::Allowed,
        Caller::Node(_) => Decision::Denied,
        Caller::Role { .. } | Caller::Session(_) => role_name(caller)
            .and_then(|name| roles.get(name)?.policy.as_ref())
            .map_or(Decision::Unmentioned, |policy| policy.decide(action, resource)),
    };
    let session = match caller {
        Caller::Session(session) => session.policy.as_ref(),
        _ => None,
    };
    let session = session.map_or(Decision::Allowed, |policy| policy.decide(action, resource));
    match (identity, session) {
        (Decision::Denied, _) => Some(Objection::Identity(identity)),
        (_, Decision::Denied) => Some(Objection::Session(session)),
        (Decision::Unmentioned, _) if !granted => Some(Objection::Identity(identity)),
        (_, Decision::Unmentioned) => Some(Objection::Session(session)),
        (_, Decision::Allowed) => None,
    }
}

/// Every ARN that a trust policy could mean the caller by.
fn names(roles: &Roles, caller: &Caller) -> Vec<String> {
    let role = role_name(caller).and_then(|name| roles.get(name)).map(Role::arn);
    role.into_iter().chain([arn(caller)]).collect()
}

fn refusal(caller: &Caller, action: &str, resource: &str, objection: Objection) -> Refusal {
    let (denied, policy) = match objection {
        Objection::Identity(decision) => (decision == Decision::Denied, "identity-based policy"),
        Objection::Session(decision) => (decision == Decision::Denied, "session policy"),
        Objection::Trust(trust) => (trust == Trust::Denied, "resource-based policy"),
    };
    let why = if denied {
        let article = if policy.starts_with('i') { "an" } else { "a" };
        format!(" with an explicit deny in {article} {policy}")
    } else {
        format!(" because no {policy} allows the {action} action")
    };
    not_authorized(caller, action, resource, &why)
}
