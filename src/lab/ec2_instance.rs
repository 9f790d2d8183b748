//! The EC2 instance that the lab plays, and a container beside it: the other ways in which a process
//! gets a role's credentials. What is answered is decided by [`crate::pure::metadata`]; here is what
//! there is to tell, and whose credentials they are.
//!
//! Both are below `/latest`, the container where CloudShell has it. A request that is signed for S3
//! is none of theirs, so a bucket may be called `latest`.

use std::time::Duration;

use time::UtcDateTime;

use super::answers::to_the_second;
use super::message::{Reply, Request};
use super::operation::Operation;
use super::roles::{DEFAULT_ROLE, EC2, ECS_TASKS, Role, Roles};
use super::store::{Store, StoreError};
use super::tokens::{Session, Tokens};
use super::{ACCOUNT, issue};
use crate::host::entropy::Entropy;
use crate::pure::identity::Region;
use crate::pure::metadata::container::{BearerToken, Grant};
use crate::pure::metadata::session::SessionKey;
use crate::pure::metadata::tree::{Leaf, Tree};
use crate::pure::metadata::{self, Head, Unavailable};
use crate::pure::role_token::RoleToken;
use crate::pure::secret::Secret;

/// The instance's id: the one of AWS's documentation.
pub const INSTANCE_ID: &str = "i-1234567890abcdef0";

/// The role that is an instance's identity, in all accounts; no role of an account can have a colon
/// in its name.
pub const IDENTITY_ROLE: &str = "aws:ec2-instance";

/// Where a container finds its credentials: CloudShell's path.
pub const CONTAINER_PATH: &str = "/latest/meta-data/container/security-credentials";

/// The name of the container's session; ECS takes the task's id.
const TASK_ID: &str = "1234567890abcdef1234567890abcdef";

/// What else the instance says about itself; none of it can be reached.
const IMAGE_ID: &str = "ami-1234567890abcdef0";
const INSTANCE_TYPE: &str = "t3.micro";
const PRIVATE_IP: &str = "192.0.2.10";
const PROFILE_ID: &str = "AIPAIOSFODNN7EXAMPLE";
const LAUNCHED_AT: &str = "2026-01-01T00:00:00Z";

/// Why the identity document comes without what would prove it.
const UNSIGNED: &str = "only AWS can sign an identity document, and the lab forges nothing";

/// The instance, and what it has been given.
#[derive(Debug)]
pub struct Ec2Instance {
    /// The instance profile's role, and the container's; without one neither has credentials.
    role_name: Option<String>,
    region: Region,
    session_key: SessionKey,
    container_token: Secret<String>,
    profile: Option<RoleToken>,
    identity: Option<RoleToken>,
    container: Option<RoleToken>,
}

/// Who hands out credentials, when, and for how long.
pub struct Issuer<'a> {
    pub roles: &'a Roles,
    pub tokens: &'a mut Tokens,
    pub lifetime: Duration,
    pub entropy: &'a dyn Entropy,
    pub now: UtcDateTime,
}

/// Which of the two a request asks, by its path.
pub fn requested(request: &Request) -> Option<Operation> {
    if request.path.starts_with(CONTAINER_PATH) {
        Some(Operation::ContainerCredentials)
    } else {
        // The list of versions is missing: at `/` are the other services.
        metadata::instance::below_version(&request.path).map(|_| Operation::InstanceMetadata)
    }
}

impl Ec2Instance {
    /// With the default role.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub fn new(store: &Store, region: Region, entropy: &dyn Entropy) -> Result<Self, StoreError> {
        let token = || issue::bearer_token(entropy).expose().clone();
        Ok(Self {
            role_name: Some(DEFAULT_ROLE.to_owned()),
            region,
            session_key: issue::session_key(entropy),
            container_token: Secret::new(store.fact_or("container-token", token)?),
            profile: None,
            identity: None,
            container: None,
        })
    }

    pub fn role_name(&self) -> Option<&str> {
        self.role_name.as_deref()
    }

    /// Gives the instance and the container another role, or none. What they hold is dropped, not
    /// revoked.
    pub fn set_role(&mut self, name: Option<String>) {
        self.role_name = name;
        (self.profile, self.container) = (None, None);
    }

    /// What the container must send in its `Authorization` header.
    pub fn container_token(&self) -> &Secret<String> {
        &self.container_token
    }

    /// Answers a request of one of the two.
    pub fn answer(
        &mut self,
        operation: Operation,
        request: &Request,
        issuer: Issuer<'_>,
    ) -> Result<Reply, StoreError> {
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = headers.collect::<Vec<_>>();
        let (method, path) = (&request.method, &request.path);
        let head = Head { method, authority: None, path, headers: &headers };
        let reply = match operation {
            Operation::ContainerCredentials => self.answer_container(&head, issuer)?,
            _ => self.answer_instance(&head, issuer)?,
        };
        let body = reply.body.expose().clone();
        Ok(Reply { status: reply.status, headers: reply.headers, body })
    }

    fn answer_instance(
        &mut self,
        head: &Head<'_>,
        mut issuer: Issuer<'_>,
    ) -> Result<metadata::Reply, StoreError> {
        let role = match self.role_name.as_deref() {
            None => None,
            Some(name) => {
                let held = issuer.of_role(&mut self.profile, name, EC2, INSTANCE_ID)?;
                Some((name, held.ok_or_else(|| unauthorized(name))))
            }
        };
        let identity = issuer.held(&mut self.identity, IDENTITY_ROLE, INSTANCE_ID)?;
        let tree = tree(&self.region, role, identity);
        let nonce = issue::nonce(issuer.entropy);
        Ok(metadata::instance::answer(head, &self.session_key, &tree, nonce, issuer.now))
    }

    fn answer_container(
        &mut self,
        head: &Head<'_>,
        mut issuer: Issuer<'_>,
    ) -> Result<metadata::Reply, StoreError> {
        let token = BearerToken::new(&self.container_token);
        let name = self.role_name.as_deref();
        let role_arn = name.and_then(|name| issuer.roles.get(name)).map(Role::arn);
        let credentials = match name {
            None => Err(Unavailable::Now),
            Some(name) => issuer
                .of_role(&mut self.container, name, ECS_TASKS, TASK_ID)?
                .ok_or_else(|| not_trusting(name)),
        };
        let grant = Grant {
            token: &token,
            path: CONTAINER_PATH,
            credentials,
            account_id: Some(ACCOUNT),
            role_arn: role_arn.as_deref(),
        };
        Ok(metadata::container::answer(head, &[grant], issuer.now))
    }
}

impl Issuer<'_> {
    /// A role's credentials, if it lets the service hand it out.
    fn of_role<'t>(
        &mut self,
        held: &'t mut Option<RoleToken>,
        role: &str,
        service: &str,
        session: &str,
    ) -> Result<Option<&'t RoleToken>, StoreError> {
        if !self.roles.get(role).is_some_and(|role| role.trusts_service(service)) {
            return Ok(None);
        }
        self.held(held, role, session).map(Some)
    }

    /// The credentials that are held, with new ones in their place at half of their life.
    fn held<'t>(
        &mut self,
        held: &'t mut Option<RoleToken>,
        role: &str,
        session: &str,
    ) -> Result<&'t RoleToken, StoreError> {
        let is_young = |token: &RoleToken| self.now - token.issued_at < token.expires_at - self.now;
        let token = match held.take() {
            Some(token) if is_young(&token) => token,
            _ => self.issue(role, session)?,
        };
        Ok(held.insert(token))
    }

    fn issue(&mut self, role: &str, name: &str) -> Result<RoleToken, StoreError> {
        let session = Session::plain(role, name);
        let issued = self.tokens.issue_session(session, self.lifetime, self.entropy, self.now)?;
        let token = RoleToken::new(
            Some(issued.access_key_id),
            Some(issued.secret_access_key),
            Some(issued.session_token),
            self.now,
            Some(issued.expires_at),
            false,
        );
        Ok(token.expect("the lab's credentials have the shape of AWS's"))
    }
}

/// All that the metadata service tells.
fn tree<'a>(
    region: &Region,
    role: Option<(&str, Result<&'a RoleToken, Unavailable>)>,
    identity: &'a RoleToken,
) -> Tree<'a> {
    let tree = with_identity(machine(region), identity);
    match role {
        Some((name, credentials)) => with_profile(tree, name, credentials, identity.issued_at),
        None => tree,
    }
}

fn machine<'a>(region: &Region) -> Tree<'a> {
    let text = |text: &str| Leaf::Text(text.to_owned());
    let zone = format!("{region}a");
    let domain = if region.as_str() == "us-east-1" { "ec2" } else { region.as_str() };
    let host = format!("ip-{}.{domain}.internal", PRIVATE_IP.replace('.', "-"));
    let document = "dynamic/instance-identity";
    Tree::default()
        .with("meta-data/ami-id", text(IMAGE_ID))
        .with("meta-data/hostname", text(&host))
        .with("meta-data/instance-id", text(INSTANCE_ID))
        .with("meta-data/instance-type", text(INSTANCE_TYPE))
        .with("meta-data/local-hostname", text(&host))
        .with("meta-data/local-ipv4", text(PRIVATE_IP))
        .with("meta-data/placement/availability-zone", text(&zone))
        .with("meta-data/placement/region", text(region.as_str()))
        .with(format!("{document}/document"), identity_document(region, &zone))
        .with(format!("{document}/pkcs7"), Leaf::Missing(UNSIGNED))
        .with(format!("{document}/rsa2048"), Leaf::Missing(UNSIGNED))
        .with(format!("{document}/signature"), Leaf::Missing(UNSIGNED))
}

fn with_identity<'a>(tree: Tree<'a>, identity: &'a RoleToken) -> Tree<'a> {
    let below = "meta-data/identity-credentials/ec2";
    let account = ("AccountId", Some(ACCOUNT.to_owned()));
    let info = [&success(identity.issued_at)[..], &[account]].concat();
    tree.with(format!("{below}/info"), Leaf::Document(info))
        .with(format!("{below}/security-credentials/ec2-instance"), Leaf::Credentials(Ok(identity)))
}

/// `since` is when a role that cannot be had was looked at.
fn with_profile<'a>(
    tree: Tree<'a>,
    role: &str,
    credentials: Result<&'a RoleToken, Unavailable>,
    since: UtcDateTime,
) -> Tree<'a> {
    let since = credentials.as_ref().map_or(since, |token| token.issued_at);
    let arn = format!("arn:aws:iam::{ACCOUNT}:instance-profile/{role}");
    let profile =
        [("InstanceProfileArn", Some(arn)), ("InstanceProfileId", Some(PROFILE_ID.to_owned()))];
    let info = [&success(since)[..], &profile].concat();
    tree.with("meta-data/iam/info", Leaf::Document(info))
        .with(format!("meta-data/iam/security-credentials/{role}"), Leaf::Credentials(credentials))
}

/// What documents begin with.
fn success(updated: UtcDateTime) -> [(&'static str, Option<String>); 2] {
    [("Code", Some("Success".to_owned())), ("LastUpdated", Some(to_the_second(updated)))]
}

/// The members that AWS documents; those that the lab has nothing to say of are null, as there.
fn identity_document<'a>(region: &Region, zone: &str) -> Leaf<'a> {
    let members = [
        ("accountId", Some(ACCOUNT)),
        ("architecture", Some("x86_64")),
        ("availabilityZone", Some(zone)),
        ("billingProducts", None),
        ("devpayProductCodes", None),
        ("marketplaceProductCodes", None),
        ("imageId", Some(IMAGE_ID)),
        ("instanceId", Some(INSTANCE_ID)),
        ("instanceType", Some(INSTANCE_TYPE)),
        ("kernelId", None),
        ("pendingTime", Some(LAUNCHED_AT)),
        ("privateIp", Some(PRIVATE_IP)),
        ("ramdiskId", None),
        ("region", Some(region.as_str())),
        ("version", Some("2017-09-30")),
    ];
    Leaf::Document(members.map(|(name, value)| (name, value.map(str::to_owned))).to_vec())
}

/// EC2's words for a role that does not trust it.
fn unauthorized(role: &str) -> Unavailable {
    Unavailable::Refused {
        code: "AssumeRoleUnauthorizedAccess",
        message: format!("EC2 cannot assume the role {role}: it must trust {EC2}."),
    }
}

fn not_trusting(role: &str) -> Unavailable {
    Unavailable::Refused {
        code: "AccessDenied",
        message: format!("The role {role} does not trust {ECS_TASKS}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::entropy::SystemEntropy;

    #[test]
    fn the_containers_token_outlives_a_restart_that_the_store_does() {
        let region = "us-east-1".parse::<Region>().unwrap();
        let store = Store::in_memory(&region).unwrap();
        let instance = || Ec2Instance::new(&store, region.clone(), &SystemEntropy).unwrap();
        assert_eq!(instance().container_token(), instance().container_token());
        let other = Store::in_memory(&region).unwrap();
        let other = Ec2Instance::new(&other, region.clone(), &SystemEntropy).unwrap();
        assert_ne!(instance().container_token(), other.container_token());
    }

    #[test]
    fn a_path_says_which_of_the_two_is_asked() {
        let asked = |path: &str| requested(&Request { path: path.into(), ..Request::default() });
        assert_eq!(asked(CONTAINER_PATH), Some(Operation::ContainerCredentials));
        for path in ["/latest", "/latest/", "/latest/api/token", "/latest/meta-data/iam/info"] {
            assert_eq!(asked(path), Some(Operation::InstanceMetadata), "{path}");
        }
        for path in ["/", "/latest-logs", "/_lab/faults", "latest"] {
            assert_eq!(asked(path), None, "{path}");
        }
    }
}
