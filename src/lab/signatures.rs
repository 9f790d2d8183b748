//! Who is calling? Both kinds of signature, checked from the headers that the client says it signed.

use time::{Duration, UtcDateTime};

use super::answers::Refusal;
use super::message::Request;
use super::nodes::{Nodes, unknown_instance};
use super::s3;
use super::signed_text::{SignedText, named_twice, shown_canonical_request};
use super::tokens::{AdminCredentials, Holder, Session, Tokens};
use crate::keys::PublicKey;
use crate::pure::identity::InstanceId;
use crate::pure::signing::{
    Authorization, CredentialScope, amz_date, parse_amz_date, sha256_hex, sigv4_signature,
};

/// How far a request's date may be off (AWS General Reference: five minutes for most services). In a
/// lab whose time runs faster it is as many more: a request takes no less time to arrive.
pub const TOLERANCE: Duration = Duration::minutes(5);

/// What S3 takes for a body's hash when the signature does not cover the body.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// AWS's words for a signature that does not fit.
const MISMATCH: &str = "The request signature we calculated does not match the signature you \
    provided. Check your AWS Secret Access Key and signing method. Consult the service documentation \
    for details.";

/// Who has proven to be calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// SigV4 by the administrator's credentials.
    Admin,
    /// SigV4 by credentials that a node was given.
    Role { node: InstanceId, role_name: String },
    /// SigV4 by credentials from `AssumeRole`.
    Session(Session),
    /// RSA-PSS by a node's own key.
    Node(InstanceId),
}

/// What a node's signature is worth: a function of the three before it, and found out once.
///
/// It takes longer than all else that a request takes, so it is found out while nobody has to wait
/// for the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    key: PublicKey,
    text: String,
    signature: String,
    holds: bool,
}

/// Whose signatures can be checked, and how far their clocks may be off.
#[derive(Clone, Copy)]
pub struct Keyring<'a> {
    pub admin: &'a AdminCredentials,
    pub tokens: &'a Tokens,
    pub nodes: &'a Nodes,
    pub tolerance: Duration,
}

/// Checks date, scope, body and signature. A signature may come again: clients resend.
///
/// `service` is the name that the credential scope must have, `now` the service's time.
pub fn authenticate(
    request: &Request,
    keyring: Keyring<'_>,
    region: &str,
    service: &str,
    now: UtcDateTime,
) -> Result<Caller, Refusal> {
    if !request.has_header("authorization") {
        return Err(Refusal::new(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    }
    let header = request
        .header("authorization")
        .ok_or_else(|| incomplete("there is more than one Authorization header"))?;
    let authorization =
        Authorization::parse(header).map_err(|error| incomplete(&error.to_string()))?;
    require_signed(request, &authorization)?;
    let date = request.header("x-amz-date").unwrap_or_default();
    check_date(date, keyring.tolerance, now)?;
    check_scope(&authorization.scope, date, region, service)?;
    let text = signed_text(request, &authorization, date)?;
    if authorization.credential_id.starts_with("mi-") {
        verify_rsa(request, &authorization, &text, keyring.nodes)
    } else {
        verify_sigv4(request, &authorization, &text, keyring, now)
    }
}

/// The key that a request must have been signed by, if it comes from the node that it names.
pub fn claimed_key(request: &Request, nodes: &Nodes) -> Option<PublicKey> {
    let authorization = Authorization::parse(request.header("authorization")?).ok()?;
    let id = authorization.credential_id.parse().ok()?;
    // Without an answer of the store the request itself will fail, and say why.
    Some(nodes.get(&id).ok()??.public_key)
}

/// Whom a request claims to come from, believed without a check: enough to aim a fault.
pub fn claimed_node(request: &Request, tokens: &Tokens) -> Option<InstanceId> {
    let authorization = Authorization::parse(request.header("authorization")?).ok()?;
    let id = authorization.credential_id;
    // Without an answer of the store the request itself will fail, and say why.
    id.parse().ok().or_else(|| tokens.get(&id).ok()??.node().cloned())
}

impl Finding {
    /// Verifies a request's signature by `key`. None where nothing can be verified; why, the service
    /// will say.
    pub fn of(request: &Request, key: PublicKey) -> Option<Self> {
        let authorization = Authorization::parse(request.header("authorization")?).ok()?;
        require_signed(request, &authorization).ok()?;
        let text = signed_text(request, &authorization, request.header("x-amz-date")?).ok()?;
        let (text, signature) = (text.string_to_sign, authorization.signature);
        Some(Self { holds: key.verify(&text, &signature), key, text, signature })
    }
}

/// What a request hears whose signature is wrong, said of one that may be right.
pub fn refuse(request: &Request) -> Refusal {
    let authorization =
        request.header("authorization").and_then(|text| Authorization::parse(text).ok());
    let Some(authorization) = authorization.filter(|sent| require_signed(request, sent).is_ok())
    else {
        return invalid(MISMATCH);
    };
    let date = request.header("x-amz-date").unwrap_or_default();
    match signed_text(request, &authorization, date) {
        Ok(text) => mismatch(request, &authorization, &text),
        Err(refusal) => refusal,
    }
}

/// `host` and `x-amz-date` must be covered, or a signature could be moved to another place or time,
/// and every name that is covered must have been sent, and be named once.
fn require_signed(request: &Request, authorization: &Authorization) -> Result<(), Refusal> {
    if named_twice(authorization).is_some() {
        return Err(incomplete("SignedHeaders names a header twice"));
    }
    for name in ["host", "x-amz-date"] {
        if !authorization.signed_headers.iter().any(|signed| signed == name) {
            return Err(Refusal::new(
                "InvalidSignatureException",
                format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."),
            ));
        }
        if request.header(name).is_none() {
            return Err(incomplete(&format!("the header '{name}' must be sent exactly once")));
        }
    }
    match authorization.signed_headers.iter().find(|name| !request.has_header(name)) {
        Some(name) => {
            let name = name.chars().take(60).collect::<String>();
            Err(incomplete(&format!("SignedHeaders names '{name}', which was not sent")))
        }
        None => Ok(()),
    }
}

fn check_date(date: &str, tolerance: Duration, now: UtcDateTime) -> Result<(), Refusal> {
    let at = parse_amz_date(date)
        .ok_or_else(|| incomplete("x-amz-date must look like 20261122T000052Z"))?;
    let (sent, here) = (amz_date(at), amz_date(now));
    let minutes = tolerance.whole_minutes();
    if at < now - tolerance {
        let bound = amz_date(now - tolerance);
        Err(invalid(format!(
            "Signature expired: {sent} is now earlier than {bound} ({here} - {minutes} min.)"
        )))
    } else if at > now + tolerance {
        let bound = amz_date(now + tolerance);
        Err(invalid(format!(
            "Signature not yet current: {sent} is still later than {bound} ({here} + {minutes} min.)"
        )))
    } else {
        Ok(())
    }
}

fn check_scope(
    scope: &CredentialScope,
    date: &str,
    region: &str,
    service: &str,
) -> Result<(), Refusal> {
    if !date.starts_with(&scope.date) || scope.date.len() != 8 {
        Err(invalid("Date in Credential scope does not match YYYYMMDD from x-amz-date."))
    } else if scope.region != region {
        Err(invalid(format!("Credential should be scoped to a valid region; this is '{region}'.")))
    } else if scope.service != service {
        Err(invalid(format!("Credential should be scoped to correct service: '{service}'.")))
    } else {
        Ok(())
    }
}

/// The texts to verify, from what was received.
fn signed_text(
    request: &Request,
    authorization: &Authorization,
    date: &str,
) -> Result<SignedText, Refusal> {
    let sent_sha256 = request.header("x-amz-content-sha256");
    let payload_sha256 = match sent_sha256 {
        Some(UNSIGNED_PAYLOAD) if authorization.scope.service == s3::SERVICE => {
            UNSIGNED_PAYLOAD.to_owned()
        }
        _ => sha256_hex(&request.body),
    };
    if sent_sha256.is_some_and(|sent| sent != payload_sha256) {
        return Err(invalid("x-amz-content-sha256 is not the SHA-256 of the body that arrived."));
    }
    Ok(SignedText::of(request, authorization, date, &payload_sha256))
}

fn verify_rsa(
    request: &Request,
    authorization: &Authorization,
    text: &SignedText,
    nodes: &Nodes,
) -> Result<Caller, Refusal> {
    let id = authorization.credential_id.parse().map_err(|_| unknown_instance())?;
    let node = nodes.get(&id)?.ok_or_else(unknown_instance)?;
    let found = request.finding.as_ref().filter(|finding| {
        finding.key == node.public_key
            && finding.text == text.string_to_sign
            && finding.signature == authorization.signature
    });
    // A key that has changed meanwhile, or was not known: then it is found out here.
    let holds = found.map_or_else(
        || node.public_key.verify(&text.string_to_sign, &authorization.signature),
        |finding| finding.holds,
    );
    if holds { Ok(Caller::Node(node.id)) } else { Err(mismatch(request, authorization, text)) }
}

/// The secrets here are worth nothing elsewhere, so they are compared in plain time.
fn verify_sigv4(
    request: &Request,
    authorization: &Authorization,
    text: &SignedText,
    keyring: Keyring<'_>,
    now: UtcDateTime,
) -> Result<Caller, Refusal> {
    let id = authorization.credential_id.as_str();
    let sent_token = request.header("x-amz-security-token");
    let issued = keyring.tokens.get(id)?;
    let (secret, caller) = match &issued {
        Some(token) if sent_token == Some(token.session_token.expose().as_str()) => (
            &token.secret_access_key,
            match token.holder.clone() {
                Holder::Node { node, role_name } => Caller::Role { node, role_name },
                Holder::Session(session) => Caller::Session(session),
            },
        ),
        None if id == keyring.admin.access_key_id && sent_token.is_none() => {
            (&keyring.admin.secret_access_key, Caller::Admin)
        }
        _ => {
            return Err(Refusal::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        }
    };
    let signature = sigv4_signature(secret, &authorization.scope, &text.string_to_sign);
    if signature != authorization.signature {
        return Err(mismatch(request, authorization, text));
    }
    if issued.is_some_and(|token| token.expires_at <= now) {
        return Err(Refusal::new(
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ));
    }
    Ok(caller)
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidSignatureException", message)
}

/// With what was computed, in AWS's words, so that the client's two texts can be laid beside it.
fn mismatch(request: &Request, authorization: &Authorization, text: &SignedText) -> Refusal {
    let canonical_request =
        shown_canonical_request(request, authorization, &sha256_hex(&request.body));
    invalid(format!(
        "{MISMATCH}\n\nThe Canonical String for this request should have been\n'{canonical_request}'\n\n\
         The String-to-Sign should have been\n'{}'\n",
        text.string_to_sign,
    ))
}

fn incomplete(why: &str) -> Refusal {
    Refusal::new("IncompleteSignatureException", format!("Authorization is incomplete: {why}"))
}
