//! New ids and credentials, in the shapes that AWS gives them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::host::entropy::Entropy;
use crate::pure::identity::InstanceId;
use crate::pure::metadata::session::{Nonce, SessionKey};
use crate::pure::secret::Secret;

/// What the characters of an access key id are drawn from; 32 of them, so that a byte's lower five
/// bits draw evenly.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// `mi-` and 17 hexadecimal digits.
pub fn instance_id(entropy: &dyn Entropy) -> InstanceId {
    let digits = hex::encode(bytes::<9>(entropy));
    format!("mi-{}", &digits[..17]).parse().expect("17 hexadecimal digits make an instance id")
}

/// A version-4 UUID: an activation's id, a request's id.
pub fn uuid(entropy: &dyn Entropy) -> Uuid {
    uuid::Builder::from_random_bytes(bytes(entropy)).into_uuid()
}

/// 20 characters.
pub fn activation_code(entropy: &dyn Entropy) -> Secret<String> {
    Secret::new(STANDARD.encode(Zeroizing::new(bytes::<15>(entropy))))
}

/// `AKIA` or `ASIA` (`AROA` and `AIDA` for ids of roles and users) and 16 letters and digits.
pub fn access_key_id(prefix: &str, entropy: &dyn Entropy) -> String {
    let letters = bytes::<16>(entropy).map(|byte| char::from(BASE32[usize::from(byte & 31)]));
    prefix.chars().chain(letters).collect()
}

/// 40 characters of base64.
pub fn secret_access_key(entropy: &dyn Entropy) -> Secret<String> {
    Secret::new(STANDARD.encode(Zeroizing::new(bytes::<30>(entropy))))
}

/// Long and base64-like, as AWS's are, with the word `lab` for whoever finds one in a log.
pub fn session_token(entropy: &dyn Entropy) -> Secret<String> {
    let random = Zeroizing::new(STANDARD.encode(Zeroizing::new(bytes::<255>(entropy))));
    Secret::new(format!("IQoJb3JpZ2luX2lab/{}", random.as_str()))
}

/// What a container must send; nothing that a shell or a header would mind.
pub fn bearer_token(entropy: &dyn Entropy) -> Secret<String> {
    let random = Zeroizing::new(URL_SAFE_NO_PAD.encode(Zeroizing::new(bytes::<32>(entropy))));
    Secret::new(format!("lab-{}", random.as_str()))
}

/// What metadata sessions are signed with.
pub fn session_key(entropy: &dyn Entropy) -> SessionKey {
    SessionKey::new(Secret::new(bytes(entropy)))
}

/// What makes a metadata session's token differ from any other.
pub fn nonce(entropy: &dyn Entropy) -> Nonce {
    bytes(entropy)
}

fn bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::entropy::SystemEntropy;

    #[test]
    fn credentials_have_the_shapes_of_aws() {
        let id = access_key_id("ASIA", &SystemEntropy);
        assert!(id.len() == 20 && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
        assert_eq!(secret_access_key(&SystemEntropy).expose().len(), 40);
        assert_eq!(activation_code(&SystemEntropy).expose().len(), 20);
        let token = session_token(&SystemEntropy);
        assert!(token.expose().contains("lab") && token.expose().len() > 300);
        assert_eq!(instance_id(&SystemEntropy).as_str().len(), 20);
    }
}
