//! Whose signature is it, and over what?

use super::alternatives::{Alternative, Reading};
use super::capture::Capture;
use super::departure::{Departure, Part};
use super::padding::Padding;
use super::signature::Signature;
use crate::keys::PublicKey;
use crate::pure::secret::Secret;
use crate::pure::signing::sigv4_signature;

/// The salt that the service asks for: as many bytes as the hash has.
const SALT: usize = 32;

/// A key to try, under the name that it is reported by.
#[derive(Debug, Clone)]
pub struct Key {
    pub name: String,
    pub secrecy: Secrecy,
}

#[derive(Debug, Clone)]
pub enum Secrecy {
    /// An instance's public key.
    Public(PublicKey),
    /// A secret access key.
    Secret(Secret<String>),
}

/// What one key says of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Made by this key, over this text, as the service asks.
    Signed,
    /// Made by this key; what departs is among the departures.
    Departs,
    /// Not made by this key.
    OtherKey,
    /// An HMAC that does not agree: another key, or another text.
    Disagrees,
    /// A key for the other kind of signature.
    OtherKind,
}

/// What all keys say.
#[derive(Debug, Default)]
pub struct Verdict {
    pub findings: Vec<Finding>,
    pub departures: Vec<Departure>,
}

/// Tries each key. Once one of them has made the signature, the others' complaints do not count.
pub fn judge(signature: &Signature, reading: &Reading, capture: &Capture, keys: &[Key]) -> Verdict {
    let judged = keys
        .iter()
        .map(|key| match (&key.secrecy, signature) {
            (Secrecy::Public(public), Signature::Rsa(bytes)) => {
                by_public_key(key, public, bytes, reading, capture)
            }
            (Secrecy::Secret(secret), Signature::Hmac(bytes)) => {
                by_secret(key, secret, bytes, reading, capture)
            }
            (Secrecy::Public(_), _) => {
                other_kind(key, "a public key, and the signature is not RSA's")
            }
            (Secrecy::Secret(_), _) => other_kind(key, "a secret, and the signature is no HMAC"),
        })
        .collect::<Vec<_>>();
    let findings = judged.iter().map(|(finding, _)| *finding).collect::<Vec<_>>();
    let maker =
        [Finding::Signed, Finding::Departs].into_iter().find(|made| findings.contains(made));
    let mut departures = Vec::new();
    for (finding, departure) in judged {
        if maker.is_none_or(|maker| maker == finding) {
            departures.extend(departure);
        }
    }
    Verdict { findings, departures }
}

type Judged = (Finding, Option<Departure>);

/// An RSA signature opens to its hash and salt, so the key is known even if the text is not.
fn by_public_key(
    key: &Key,
    public: &PublicKey,
    signature: &[u8],
    reading: &Reading,
    capture: &Capture,
) -> Judged {
    let Some(padding) = Padding::open(public, signature) else {
        let text = format!("{} did not make this signature, or not with SHA-256", key.name);
        return (Finding::OtherKey, Some(Departure::new(Part::Key, text)));
    };
    let text = reading.text().string_to_sign;
    match &padding {
        Padding::Pss { salt, .. } if salt.len() != SALT => {
            let text = format!("the salt has {} bytes; the service wants {SALT}", salt.len());
            return (Finding::Departs, Some(Departure::new(Part::Salt, text)));
        }
        Padding::Pkcs1 { .. } => {
            let text = "the padding is PKCS #1 v1.5; the service wants PSS";
            return (Finding::Departs, Some(Departure::new(Part::Padding, text)));
        }
        Padding::Pss { .. } if padding.covers(&text) => return (Finding::Signed, None),
        Padding::Pss { .. } => {}
    }
    let named = reading
        .alternatives(capture)
        .find(|alternative| padding.covers(&alternative.string_to_sign))
        .map(|alternative| alternative.departure);
    let unnamed = || {
        let text = format!(
            "{} made this signature, over another text: compare the canonical request with the \
             signer's own, line by line",
            key.name
        );
        Departure::new(Part::SignedText, text)
    };
    (Finding::Departs, Some(named.unwrap_or_else(unnamed)))
}

fn by_secret(
    key: &Key,
    secret: &Secret<String>,
    signature: &[u8],
    reading: &Reading,
    capture: &Capture,
) -> Judged {
    let sent = hex::encode(signature);
    let text = reading.text().string_to_sign;
    if sigv4_signature(secret, reading.scope(), &text) == sent {
        return (Finding::Signed, None);
    }
    let signed =
        |other: &Alternative| sigv4_signature(secret, &other.scope, &other.string_to_sign) == sent;
    match reading.alternatives(capture).find(signed) {
        Some(alternative) => (Finding::Departs, Some(alternative.departure)),
        None => {
            let text = format!(
                "another secret than {}'s, or another text: compare the canonical request with the \
                 signer's own, line by line",
                key.name
            );
            (Finding::Disagrees, Some(Departure::new(Part::KeyOrSignedText, text)))
        }
    }
}

fn other_kind(key: &Key, why: &str) -> Judged {
    (Finding::OtherKind, Some(Departure::new(Part::Key, format!("{} is {why}", key.name))))
}
