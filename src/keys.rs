//! RSA-2048 signing keys: generate, sign, encode.
//!
//! The machine's key signs role-token requests with RSASSA-PSS (SHA-256, MGF1-SHA-256, salt of 32
//! bytes) and never decrypts, so the timing advisory on the `rsa` crate (RUSTSEC-2023-0071), which is
//! about decryption oracles, does not reach it; signing is blinded all the same.

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::{Engine, engine::general_purpose::STANDARD};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::{DecodePublicKey, EncodePublicKey};
use rsa::pss::BlindedSigningKey;
use rsa::rand_core::OsRng;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, RsaPrivateKey, RsaPublicKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::pure::secret::Secret;

/// The only size that the service registers (`PublicKey` has 392 base64 characters).
const BITS: usize = 2048;

/// The machine's private key. Its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct SigningKey(RsaPrivateKey);

/// The half that the service keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(RsaPublicKey);

/// A key that cannot be used, or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key is not base64")]
    Base64,
    #[error("the key is not an RSA key in DER")]
    Der,
    #[error("the key has {0} bits instead of 2048")]
    Size(usize),
    #[error("no RSA key could be generated")]
    Generate,
}

impl SigningKey {
    /// A new key pair. Takes about 0.1 s, in bad luck four times that: call it off the event loop.
    pub fn generate() -> Result<Self, KeyError> {
        RsaPrivateKey::new(&mut OsRng, BITS).map(Self).map_err(|_| KeyError::Generate)
    }

    /// From base64 of PKCS#1 DER, the form that the vault keeps.
    pub fn decode(text: &Secret<String>) -> Result<Self, KeyError> {
        let der =
            STANDARD.decode(text.expose()).map(Zeroizing::new).map_err(|_| KeyError::Base64)?;
        let key = RsaPrivateKey::from_pkcs1_der(&der).map_err(|_| KeyError::Der)?;
        match key.size() * 8 {
            BITS => Ok(Self(key)),
            bits => Err(KeyError::Size(bits)),
        }
    }

    /// Base64 of PKCS#1 DER.
    pub fn encode(&self) -> Secret<String> {
        let der = self.0.to_pkcs1_der().expect("an RSA key of two primes always has a PKCS#1 form");
        Secret::new(STANDARD.encode(der.as_bytes()))
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.to_public_key())
    }

    /// Signs a text; base64, 344 characters. Never the same twice: the salt is random.
    pub fn sign(&self, text: &str) -> String {
        let signer = BlindedSigningKey::<Sha256>::new(self.0.clone());
        STANDARD.encode(signer.sign_with_rng(&mut OsRng, text.as_bytes()).to_bytes())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl PublicKey {
    /// From base64 of SubjectPublicKeyInfo DER, the form on the wire.
    pub fn decode(text: &str) -> Result<Self, KeyError> {
        let der = STANDARD.decode(text).map_err(|_| KeyError::Base64)?;
        let key = RsaPublicKey::from_public_key_der(&der).map_err(|_| KeyError::Der)?;
        match key.size() * 8 {
            BITS => Ok(Self(key)),
            bits => Err(KeyError::Size(bits)),
        }
    }

    /// Base64 of SubjectPublicKeyInfo DER: 392 characters.
    pub fn encode(&self) -> String {
        let der = self.0.to_public_key_der().expect("an RSA public key always has a DER form");
        STANDARD.encode(der.as_bytes())
    }

    /// Whether `signature` (base64) is this key's over `text`. Any salt but 32 bytes is refused.
    ///
    /// AWS-LC verifies what the rsa crate signs: a mistake of one would not hide in both.
    pub fn verify(&self, text: &str, signature: &str) -> bool {
        let modulus = self.0.n().to_bytes_be();
        let exponent = self.0.e().to_bytes_be();
        let key = RsaPublicKeyComponents { n: &modulus, e: &exponent };
        STANDARD.decode(signature).is_ok_and(|signature| {
            key.verify(&RSA_PSS_2048_8192_SHA256, text.as_bytes(), &signature).is_ok()
        })
    }

    /// The padded block of 256 bytes inside a signature (RSAVP1 of RFC 8017, section 5.2.2), for
    /// looking at a signature that does not verify. None when it is no signature of this size.
    pub fn open(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let number = BigUint::from_bytes_be(signature);
        if signature.len() != BITS / 8 || number >= *self.0.n() {
            return None;
        }
        let block = number.modpow(self.0.e(), self.0.n()).to_bytes_be();
        let mut padded = vec![0; BITS / 8 - block.len()];
        padded.extend(block);
        Some(padded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_encoding_and_signs_what_it_verifies() {
        let key = SigningKey::generate().unwrap();
        let read = SigningKey::decode(&key.encode()).unwrap();
        let public = PublicKey::decode(&read.public_key().encode()).unwrap();
        assert_eq!(public.encode().len(), 392);
        let signature = read.sign("text");
        assert_eq!(signature.len(), 344);
        assert!(public.verify("text", &signature));
        assert!(!public.verify("Text", &signature));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let decode = |text: &str| SigningKey::decode(&Secret::new(text.into())).unwrap_err();
        assert_eq!(decode("%"), KeyError::Base64);
        assert_eq!(decode("AAAA"), KeyError::Der);
        assert_eq!(PublicKey::decode("AAAA"), Err(KeyError::Der));
    }
}
