//! A small, honest subset of IAM's policies: may this be done, and if not, why not?
//!
//! What is here means what it means at AWS: `Effect`, `Action`, `Resource` with `*` and `?`, and in
//! trust policies `Principal` and `StringEquals` on `sts:ExternalId`. An explicit deny wins over any
//! allow, and what nobody mentions is denied. Whatever else a policy says is refused when it is
//! loaded, by the statement's number: a lab that skipped a condition would permit too much.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ACCOUNT;

/// Versions that differ in policy variables alone, which the lab refuses in both.
const VERSIONS: [&str; 2] = ["2012-10-17", "2008-10-17"];

/// What an identity, or a session of it, may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy(Vec<Statement>);

/// Who may become a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy(Vec<TrustStatement>);

/// What one policy says about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// No statement allows it, and none denies it.
    Unmentioned,
    /// A statement denies it, whatever the others say.
    Denied,
}

/// What a trust policy says about one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The caller itself is named: nobody else has to allow it.
    Caller,
    /// Its account is named: the caller's own policy must allow it too.
    Account,
    Unmentioned,
    Denied,
}

/// Who asks a role for trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker<'a> {
    /// An AWS service, as `ssm.amazonaws.com`.
    Service(&'a str),
    /// Somebody of the lab's account, by every ARN that a policy could mean.
    Identity(&'a [String]),
}

/// A policy that the lab does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedPolicy {
    #[error("the policy is not JSON (line {0}, column {1})")]
    Json(usize, usize),
    #[error("the policy {0}")]
    Document(String),
    /// The statement's number, with its `Sid` if it has one.
    #[error("statement {0} {1}")]
    Statement(String, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Statement {
    effect: Effect,
    actions: Vec<String>,
    resources: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct TrustStatement {
    effect: Effect,
    actions: Vec<String>,
    principals: Vec<Principal>,
    /// One of them must come with the request, if there are any.
    external_ids: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Principal {
    /// The whole account, or everybody: there is only one account here.
    Account,
    Arn(String),
    Service(String),
}

impl Policy {
    /// What the policy says about an action (`s3:ListBucket`) on a resource (an ARN or `*`).
    pub fn decide(&self, action: &str, resource: &str) -> Decision {
        let meant = |statement: &&Statement| {
            includes_action(&statement.actions, action)
                && statement.resources.iter().any(|pattern| wildcard_match(pattern, resource))
        };
        let effects = self.0.iter().filter(meant).map(|statement| statement.effect);
        effects.fold(Decision::Unmentioned, |decision, effect| match (decision, effect) {
            (Decision::Denied, _) | (_, Effect::Deny) => Decision::Denied,
            (_, Effect::Allow) => Decision::Allowed,
        })
    }

    /// Reads a policy that is JSON already.
    ///
    /// # Errors
    ///
    /// It is no policy, or says what the lab does not evaluate.
    pub fn from_json(document: &Value) -> Result<Self, MalformedPolicy> {
        statements(document, &["Sid", "Effect", "Action", "Resource"], |statement| {
            Ok(Statement {
                effect: effect(statement)?,
                actions: actions(statement)?,
                resources: resources(statement)?,
            })
        })
        .map(Self)
    }
}

impl TrustPolicy {
    /// What the policy says about an action of `sts` by somebody who brings an external id, or none.
    pub fn decide(&self, action: &str, asker: Asker<'_>, external_id: Option<&str>) -> Trust {
        let mut trust = Trust::Unmentioned;
        for statement in &self.0 {
            if !includes_action(&statement.actions, action) || !statement.accepts(external_id) {
                continue;
            }
            let Some(found) = statement.names(asker) else { continue };
            trust = match (statement.effect, trust, found) {
                (Effect::Deny, ..) => return Trust::Denied,
                (Effect::Allow, Trust::Caller, _) => Trust::Caller,
                (Effect::Allow, _, found) => found,
            };
        }
        trust
    }

    /// Reads a trust policy that is JSON already.
    ///
    /// # Errors
    ///
    /// It is no trust policy, or says what the lab does not evaluate.
    pub fn from_json(document: &Value) -> Result<Self, MalformedPolicy> {
        let elements = ["Sid", "Effect", "Principal", "Action", "Condition"];
        statements(document, &elements, |statement| {
            Ok(TrustStatement {
                effect: effect(statement)?,
                actions: actions(statement)?,
                principals: principals(statement)?,
                external_ids: external_ids(statement)?,
            })
        })
        .map(Self)
    }
}

impl FromStr for Policy {
    type Err = MalformedPolicy;

    fn from_str(text: &str) -> Result<Self, MalformedPolicy> {
        Self::from_json(&json(text)?)
    }
}

impl FromStr for TrustPolicy {
    type Err = MalformedPolicy;

    fn from_str(text: &str) -> Result<Self, MalformedPolicy> {
        Self::from_json(&json(text)?)
    }
}

impl TrustStatement {
    fn accepts(&self, external_id: Option<&str>) -> bool {
        self.external_ids
            .as_ref()
            .is_none_or(|ids| external_id.is_some_and(|sent| ids.iter().any(|id| id == sent)))
    }

    /// How the statement names the asker, most exactly.
    fn names(&self, asker: Asker<'_>) -> Option<Trust> {
        let named = |principal: &Principal| match (principal, asker) {
            (Principal::Service(name), Asker::Service(asker)) if name == asker => {
                Some(Trust::Caller)
            }
            (Principal::Arn(arn), Asker::Identity(arns)) if arns.contains(arn) => {
                Some(Trust::Caller)
            }
            (Principal::Account, Asker::Identity(_)) => Some(Trust::Account),
            _ => None,
        };
        let found = self.principals.iter().filter_map(named).collect::<Vec<_>>();
        found.iter().find(|trust| **trust == Trust::Caller).or(found.first()).copied()
    }
}

/// `*` stands for any text, the empty one too, and `?` for any one character.
pub fn wildcard_match(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.chars().collect::<Vec<_>>(), text.chars().collect::<Vec<_>>());
    let (mut at, mut here) = (0, 0);
    // The last star, and the text's position up to which it has been stretched.
    let mut star = None;
    while here < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[here] => {
                at += 1;
                here += 1;
            }
            _ => {
                let Some((star_at, stretched)) = star else { return false };
                star = Some((star_at, stretched + 1));
                at = star_at + 1;
                here = stretched + 1;
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// Actions are compared without regard to case.
fn includes_action(patterns: &[String], action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    patterns.iter().any(|pattern| wildcard_match(&pattern.to_ascii_lowercase(), &action))
}

fn json(text: &str) -> Result<Value, MalformedPolicy> {
    serde_json::from_str(text).map_err(|error| MalformedPolicy::Json(error.line(), error.column()))
}

/// Reads every statement of a document, and names the one that cannot be read.
fn statements<T>(
    document: &Value,
    elements: &[&str],
    read: impl Fn(&Map<String, Value>) -> Result<T, String>,
) -> Result<Vec<T>, MalformedPolicy> {
    let of_document = |defect: &str| MalformedPolicy::Document(defect.to_owned());
    let document = document.as_object().ok_or_else(|| of_document("is no JSON object"))?;
    if let Some(name) = unknown(document, &["Version", "Id", "Statement"]) {
        return Err(of_document(&format!("has {name}, which the lab does not evaluate")));
    }
    let version = document.get("Version");
    if version.is_some_and(|version| !VERSIONS.iter().any(|known| version == known)) {
        return Err(of_document("has a Version other than 2012-10-17 and 2008-10-17"));
    }
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.as_slice(),
        Some(one @ Value::Object(_)) => std::slice::from_ref(one),
        _ => return Err(of_document("has no Statement")),
    };
    let numbered = statements.iter().enumerate();
    numbered
        .map(|(index, statement)| {
            let sid = statement.get("Sid").and_then(Value::as_str);
            let name = match sid {
                Some(sid) => format!("{} ('{}')", index + 1, shortened(sid)),
                None => (index + 1).to_string(),
            };
            let statement = statement.as_object().ok_or_else(|| "is no JSON object".to_owned());
            statement
                .and_then(|statement| match unknown(statement, elements) {
                    Some(name) => Err(format!("has {name}, which the lab does not evaluate here")),
                    None => read(statement),
                })
                .map_err(|defect| MalformedPolicy::Statement(name, defect))
        })
        .collect()
}

fn unknown(object: &Map<String, Value>, known: &[&str]) -> Option<String> {
    object.keys().find(|name| !known.contains(&name.as_str())).map(|name| shortened(name))
}

fn effect(statement: &Map<String, Value>) -> Result<Effect, String> {
    match statement.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Ok(Effect::Allow),
        Some("Deny") => Ok(Effect::Deny),
        _ => Err("needs an Effect, Allow or Deny".to_owned()),
    }
}

fn actions(statement: &Map<String, Value>) -> Result<Vec<String>, String> {
    let actions = texts(statement.get("Action")).ok_or("needs an Action: text, or a list of it")?;
    let is_action = |action: &str| {
        let plain = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let parts = action.split_once(':');
        action == "*" || parts.is_some_and(|(of, name)| plain(of, "-") && plain(name, "*?"))
    };
    match actions.iter().find(|action| !is_action(action)) {
        Some(odd) => Err(format!("has the Action '{}', not SERVICE:NAME or *", shortened(odd))),
        None => Ok(actions),
    }
}

fn resources(statement: &Map<String, Value>) -> Result<Vec<String>, String> {
    let resources =
        texts(statement.get("Resource")).ok_or("needs a Resource: text, or a list of it")?;
    for resource in &resources {
        if resource.contains("${") {
            return Err(format!(
                "has the policy variable '{}', which the lab does not fill in",
                shortened(resource)
            ));
        }
        if resource != "*" && !resource.starts_with("arn:") {
            return Err(format!("has the Resource '{}', no ARN and not *", shortened(resource)));
        }
    }
    Ok(resources)
}

fn principals(statement: &Map<String, Value>) -> Result<Vec<Principal>, String> {
    let element = match statement.get("Principal") {
        Some(Value::String(all)) if all == "*" => return Ok(vec![Principal::Account]),
        Some(Value::Object(element)) if !element.is_empty() => element,
        _ => return Err("needs a Principal: \"*\", or AWS or Service with names".to_owned()),
    };
    let mut principals = Vec::new();
    for (kind, names) in element {
        let names = texts(Some(names))
            .ok_or_else(|| format!("has the Principal {} without a name", shortened(kind)))?;
        for name in names {
            principals.push(match kind.as_str() {
                "AWS" => identity(name)?,
                "Service" => Principal::Service(name),
                _ => {
                    let kind = shortened(kind);
                    return Err(format!("has a Principal of kind {kind}; the lab has no such"));
                }
            });
        }
    }
    Ok(principals)
}

fn identity(name: String) -> Result<Principal, String> {
    if name == "*" || name == ACCOUNT || name == format!("arn:aws:iam::{ACCOUNT}:root") {
        Ok(Principal::Account)
    } else if name.contains(['*', '?']) {
        Err(format!("has the Principal '{}'; IAM takes no wildcard in one", shortened(&name)))
    } else if name.starts_with("arn:") {
        Ok(Principal::Arn(name))
    } else {
        Err(format!("has the Principal '{}', no ARN and not {ACCOUNT}", shortened(&name)))
    }
}

fn external_ids(statement: &Map<String, Value>) -> Result<Option<Vec<String>>, String> {
    let Some(condition) = statement.get("Condition") else { return Ok(None) };
    only_member(condition, "StringEquals")
        .and_then(|operator| only_member(operator, "sts:ExternalId"))
        .and_then(|ids| texts(Some(ids)))
        .map(Some)
        .ok_or_else(|| {
            "has a Condition other than StringEquals on sts:ExternalId, which is all that the lab \
             evaluates"
                .to_owned()
        })
}

/// The value of the one member that an object has. Keys of conditions have no case.
fn only_member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.iter().next().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// One text or several, but not none.
fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}

/// Enough of a text to find it again, on one line.
fn shortened(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
