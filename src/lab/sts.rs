//! STS: who am I, and roles from roles.

use std::time::Duration;

use time::UtcDateTime;

use super::access::{self, authorize_by_trust, not_authorized};
use super::answers::{self, Refusal};
use super::form::Form;
use super::message::{Reply, Request};
use super::policy::{MalformedPolicy, Policy};
use super::roles::{Role, Roles, is_name_character};
use super::signatures::Caller;
use super::tokens::{Session, SessionTag, Tokens};
use crate::host::entropy::Entropy;

/// How long a session lasts unless asked otherwise, and the bounds of what may be asked for (STS API
/// reference, `AssumeRole`).
const USUAL_SECONDS: u32 = 3600;
const SECONDS: std::ops::RangeInclusive<u32> = 900..=43_200;

/// The longest session that a role's credentials may ask for (IAM user guide, "role chaining").
const LONGEST_CHAINED: Duration = Duration::from_secs(3600);

/// The most characters of a session policy, and the most tags of a session.
const LONGEST_POLICY: usize = 2048;
const MOST_TAGS: usize = 50;

/// Members of AWS's `AssumeRole` that would have to mean something, and do not here.
const NOT_HERE: [&str; 4] = ["PolicyArns", "SerialNumber", "TokenCode", "ProvidedContexts"];

/// `AssumeRole`'s request.
#[derive(Debug)]
struct AssumeRole {
    role_arn: String,
    session_name: String,
    lifetime: Duration,
    external_id: Option<String>,
    policy: Option<Policy>,
    /// The policy's share of its bound, in percent.
    packed_policy_size: Option<usize>,
    tags: Vec<SessionTag>,
    /// Keys of tags that the next session of a chain inherits.
    transitive: Vec<String>,
    source_identity: Option<String>,
}

/// `AssumeRole`: new credentials, if the role trusts the caller.
pub fn assume_role(
    request: &Request,
    caller: &Caller,
    roles: &Roles,
    tokens: &mut Tokens,
    request_id: &str,
    entropy: &dyn Entropy,
    now: UtcDateTime,
) -> Result<Reply, Refusal> {
    let mut asked = AssumeRole::parse(&form(request)?)?;
    let role = asked.permit(caller, roles)?;
    asked.check_lifetime(caller, role)?;
    asked.inherit_tags(caller)?;
    let session = Session {
        role_name: role.name.clone(),
        name: asked.session_name,
        policy: asked.policy,
        tags: asked.tags,
        transitive: asked.transitive,
        source_identity: asked.source_identity,
    };
    let token = tokens.issue_session(session.clone(), asked.lifetime, entropy, now)?;
    let mut result = answers::elements(&[
        ("AccessKeyId", &token.access_key_id),
        ("SecretAccessKey", token.secret_access_key.expose()),
        ("SessionToken", token.session_token.expose()),
        ("Expiration", &answers::to_the_second(token.expires_at)),
    ]);
    result = format!("<Credentials>\n{result}</Credentials>\n");
    let id = format!("{}:{}", role.id, session.name);
    let source_identity = session.source_identity.clone();
    let arn = access::arn(&Caller::Session(session));
    let user = answers::elements(&[("Arn", &arn), ("AssumedRoleId", &id)]);
    result += &format!("<AssumedRoleUser>\n{user}</AssumedRoleUser>\n");
    if let Some(share) = asked.packed_policy_size {
        result += &answers::elements(&[("PackedPolicySize", &share.to_string())]);
    }
    if let Some(identity) = &source_identity {
        result += &answers::elements(&[("SourceIdentity", identity)]);
    }
    Ok(answers::query_result("AssumeRole", &result, request_id))
}

/// `GetCallerIdentity`. `role_id` stands in for the id of a role that is not defined.
pub fn caller_identity(
    caller: &Caller,
    roles: &Roles,
    user_id: &str,
    role_id: &str,
    request_id: &str,
) -> Reply {
    let name = match caller {
        Caller::Admin => None,
        Caller::Role { node, .. } | Caller::Node(node) => Some(node.as_str()),
        Caller::Session(session) => Some(session.name.as_str()),
    };
    let role = access::role_name(caller).and_then(|name| roles.get(name));
    let user_id = match name {
        Some(name) => format!("{}:{name}", role.map_or(role_id, |role| &role.id)),
        None => user_id.to_owned(),
    };
    answers::caller_identity(&access::arn(caller), &user_id, request_id)
}

impl AssumeRole {
    /// The role, if it and the caller's own policies allow all that is asked. Whoever comes with a
    /// source identity keeps it.
    fn permit<'a>(&mut self, caller: &Caller, roles: &'a Roles) -> Result<&'a Role, Refusal> {
        let role = roles
            .by_arn(&self.role_arn)
            .ok_or_else(|| not_authorized(caller, "sts:AssumeRole", &self.role_arn, ""))?;
        if let Caller::Session(Session { source_identity: Some(held), .. }) = caller {
            let wanted = self.source_identity.get_or_insert_with(|| held.clone());
            if wanted != held {
                let why = " because the session has another source identity";
                return Err(not_authorized(caller, "sts:SetSourceIdentity", &role.arn(), why));
            }
        }
        let needed = [
            ("sts:AssumeRole", true),
            ("sts:TagSession", !self.tags.is_empty()),
            ("sts:SetSourceIdentity", self.source_identity.is_some()),
        ];
        for (action, _) in needed.into_iter().filter(|(_, needed)| *needed) {
            authorize_by_trust(roles, caller, role, action, self.external_id.as_deref())?;
        }
        Ok(role)
    }

    /// What goes on along the chain: a tag of that key cannot be set anew.
    fn inherit_tags(&mut self, caller: &Caller) -> Result<(), Refusal> {
        let Caller::Session(session) = caller else { return Ok(()) };
        let is_transitive =
            |tag: &&SessionTag| session.transitive.iter().any(|key| is_same_key(key, &tag.key));
        for tag in session.tags.iter().filter(is_transitive) {
            if self.tags.iter().any(|own| is_same_key(&own.key, &tag.key)) {
                return Err(Refusal::new(
                    "InvalidParameterValue",
                    "One of the specified transitive tag keys can't be set because it conflicts \
                     with a transitive tag key from the calling session.",
                ));
            }
            self.tags.push(tag.clone());
            self.transitive.push(tag.key.clone());
        }
        Ok(())
    }

    fn check_lifetime(&self, caller: &Caller, role: &Role) -> Result<(), Refusal> {
        if self.lifetime > role.longest_session {
            Err(Refusal::validation(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            ))
        } else if access::role_name(caller).is_some() && self.lifetime > LONGEST_CHAINED {
            Err(Refusal::validation(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed \
                 by role chaining",
            ))
        } else {
            Ok(())
        }
    }

    fn parse(form: &Form) -> Result<Self, Refusal> {
        let odd = form.names().find(|sent| {
            NOT_HERE.iter().any(|name| sent.split('.').next().is_some_and(|sent| sent == *name))
        });
        if let Some(name) = odd {
            let name = name.chars().take(60).collect::<String>();
            return Err(Refusal::validation(format!("The lab's AssumeRole does not take {name}")));
        }
        let role_arn = required(form, "RoleArn", 20..=2048)?;
        let session_name = name(required(form, "RoleSessionName", 2..=64)?, "roleSessionName")?;
        let seconds = match form.get("DurationSeconds") {
            None => USUAL_SECONDS,
            Some(text) => text
                .parse()
                .map_err(|_| violation(text, "durationSeconds", "Member must be an integer"))?,
        };
        if seconds < *SECONDS.start() {
            let rule = "Member must have value greater than or equal to 900";
            return Err(violation(&seconds.to_string(), "durationSeconds", rule));
        }
        if seconds > *SECONDS.end() {
            let rule = "Member must have value less than or equal to 43200";
            return Err(violation(&seconds.to_string(), "durationSeconds", rule));
        }
        let external_id = optional(form, "ExternalId", 2..=1224)?;
        if let Some(id) = &external_id
            && !id.bytes().all(|byte| is_name_character(byte) || b":/".contains(&byte))
        {
            return Err(pattern("externalId", r"[\w+=,.@:\/-]*"));
        }
        let source_identity = optional(form, "SourceIdentity", 2..=64)?
            .map(|identity| name(identity, "sourceIdentity"))
            .transpose()?;
        let (policy, packed_policy_size) = match form.get("Policy") {
            None => (None, None),
            Some(text) if text.len() > LONGEST_POLICY => {
                return Err(Refusal::new(
                    "PackedPolicyTooLarge",
                    format!("The session policy is longer than {LONGEST_POLICY} characters"),
                ));
            }
            Some(text) => {
                let policy = text.parse().map_err(|error: MalformedPolicy| {
                    Refusal::new("MalformedPolicyDocument", error.to_string())
                })?;
                (Some(policy), Some((text.len() * 100).div_ceil(LONGEST_POLICY)))
            }
        };
        let tags = tags(form)?;
        Ok(Self {
            role_arn,
            session_name,
            lifetime: Duration::from_secs(seconds.into()),
            external_id,
            policy,
            packed_policy_size,
            transitive: transitive(form, &tags)?,
            tags,
            source_identity,
        })
    }
}

fn form(request: &Request) -> Result<Form, Refusal> {
    let text = std::str::from_utf8(&request.body).unwrap_or("%");
    Form::parse(text).map_err(|error| {
        Refusal::new("MalformedQueryString", format!("The form cannot be read: {error}"))
    })
}

/// `Tags.member.N.Key` and `.Value`, from 1 on without a gap.
fn tags(form: &Form) -> Result<Vec<SessionTag>, Refusal> {
    let mut tags = Vec::<SessionTag>::new();
    while let Some(key) = form.get(&format!("Tags.member.{}.Key", tags.len() + 1)) {
        let value = form.get(&format!("Tags.member.{}.Value", tags.len() + 1)).unwrap_or_default();
        if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
            return Err(Refusal::validation(
                "A tag's key must have 1 to 128 characters, its value at most 256",
            ));
        }
        if tags.iter().any(|tag| is_same_key(&tag.key, key)) {
            return Err(Refusal::new(
                "InvalidParameterValue",
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        tags.push(SessionTag { key: key.to_owned(), value: value.to_owned() });
    }
    let sent = form.names().filter(|name| name.starts_with("Tags.") && name.ends_with(".Key"));
    if sent.count() != tags.len() {
        return Err(Refusal::validation("Tags must be numbered from 1 on"));
    }
    if tags.len() > MOST_TAGS {
        return Err(Refusal::validation(format!("A session has at most {MOST_TAGS} tags")));
    }
    Ok(tags)
}

/// `TransitiveTagKeys.member.N`, each of a tag that is sent.
fn transitive(form: &Form, tags: &[SessionTag]) -> Result<Vec<String>, Refusal> {
    let mut keys = Vec::new();
    while let Some(key) = form.get(&format!("TransitiveTagKeys.member.{}", keys.len() + 1)) {
        if !tags.iter().any(|tag| is_same_key(&tag.key, key)) {
            return Err(Refusal::validation(
                "The specified transitive tag key must be included in the requested tags.",
            ));
        }
        keys.push(key.to_owned());
    }
    Ok(keys)
}

/// Keys of tags are told apart without regard to upper and lower case.
fn is_same_key(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn required(
    form: &Form,
    name: &str,
    length: std::ops::RangeInclusive<usize>,
) -> Result<String, Refusal> {
    optional(form, name, length)?.ok_or_else(|| {
        Refusal::validation(format!(
            "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member \
             must not be null",
            lower_first(name)
        ))
    })
}

fn optional(
    form: &Form,
    name: &str,
    length: std::ops::RangeInclusive<usize>,
) -> Result<Option<String>, Refusal> {
    let Some(value) = form.get(name) else { return Ok(None) };
    let rule = if value.len() < *length.start() {
        format!("Member must have length greater than or equal to {}", length.start())
    } else if value.len() > *length.end() {
        format!("Member must have length less than or equal to {}", length.end())
    } else {
        return Ok(Some(value.to_owned()));
    };
    Err(violation(value, &lower_first(name), &rule))
}

fn name(value: String, member: &str) -> Result<String, Refusal> {
    if value.bytes().all(is_name_character) {
        Ok(value)
    } else {
        Err(violation(
            &value,
            member,
            r"Member must satisfy regular expression pattern: [\w+=,.@-]*",
        ))
    }
}

/// As [`violation`], for values that are better not repeated.
fn pattern(member: &str, pattern: &str) -> Refusal {
    Refusal::validation(format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: {pattern}"
    ))
}

fn violation(value: &str, member: &str, rule: &str) -> Refusal {
    let value = value.chars().take(80).collect::<String>();
    Refusal::validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: \
         {rule}"
    ))
}

fn lower_first(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}
