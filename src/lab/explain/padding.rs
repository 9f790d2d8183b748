//! What is inside an RSA signature: which padding, which salt, over which text.

use sha2::{Digest, Sha256};

use crate::keys::PublicKey;

/// Bytes of a SHA-256 hash.
const HASH: usize = 32;

/// The last byte of a PSS block (RFC 8017, section 9.1.1).
const PSS_END: u8 = 0xbc;

/// What precedes a SHA-256 hash in the older padding (RFC 8017, section 9.2, note 1).
const DIGEST_INFO: [u8; 19] =
    *b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";

/// A signature, opened with a public key. A key that did not make it opens noise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Padding {
    /// RSASSA-PSS with SHA-256.
    Pss { salt: Vec<u8>, hash: Vec<u8> },
    /// RSASSA-PKCS1-v1_5 with SHA-256, the older one.
    Pkcs1 { hash: Vec<u8> },
}

impl Padding {
    /// None when the key did not make the signature, or with neither of the two paddings.
    pub fn open(key: &PublicKey, signature: &[u8]) -> Option<Self> {
        let block = key.open(signature)?;
        pss(&block).or_else(|| pkcs1(&block))
    }

    /// Whether the signature is over this text.
    pub fn covers(&self, text: &str) -> bool {
        let digest = Sha256::digest(text);
        match self {
            Padding::Pss { salt, hash } => {
                let salted = Sha256::new()
                    .chain_update([0; 8])
                    .chain_update(digest)
                    .chain_update(salt)
                    .finalize();
                salted.as_slice() == hash
            }
            Padding::Pkcs1 { hash } => digest.as_slice() == hash,
        }
    }
}

/// EMSA-PSS-VERIFY up to the salt (RFC 8017, section 9.1.2), for a salt of any length.
fn pss(block: &[u8]) -> Option<Padding> {
    let (&end, rest) = block.split_last()?;
    let (masked, hash) = rest.split_at_checked(rest.len().checked_sub(HASH)?)?;
    let mut plain = masked
        .iter()
        .zip(mask(hash, masked.len()))
        .map(|(byte, mask)| byte ^ mask)
        .collect::<Vec<_>>();
    // The block is one bit shorter than its bytes.
    *plain.first_mut()? &= 0x7f;
    let start = plain.iter().position(|byte| *byte != 0)?;
    let (one, salt) = plain.get(start..)?.split_first()?;
    (end == PSS_END && *one == 1).then(|| Padding::Pss { salt: salt.to_vec(), hash: hash.to_vec() })
}

/// MGF1 with SHA-256 (RFC 8017, appendix B.2.1).
fn mask(seed: &[u8], length: usize) -> impl Iterator<Item = u8> {
    (0_u32..)
        .flat_map(move |count| {
            Sha256::new().chain_update(seed).chain_update(count.to_be_bytes()).finalize()
        })
        .take(length)
}

fn pkcs1(block: &[u8]) -> Option<Padding> {
    let rest = block.strip_prefix(&[0, 1])?;
    let start = rest.iter().position(|byte| *byte != 0xff)?;
    let hash = rest.get(start..)?.strip_prefix(&[0])?.strip_prefix(&DIGEST_INFO)?;
    (hash.len() == HASH).then(|| Padding::Pkcs1 { hash: hash.to_vec() })
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::{Engine, engine::general_purpose::STANDARD};
    use rsa::pkcs1::DecodeRsaPrivateKey;
    use rsa::rand_core::OsRng;
    use rsa::signature::{RandomizedSigner, SignatureEncoding};

    use super::*;
    use crate::keys::SigningKey;

    static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

    fn private() -> rsa::RsaPrivateKey {
        let der = STANDARD.decode(KEY.encode().expose()).unwrap();
        rsa::RsaPrivateKey::from_pkcs1_der(&der).unwrap()
    }

    #[test]
    fn the_salt_of_any_length_is_found() {
        for length in [0, 1, 20, 32, 100] {
            let signer =
                rsa::pss::BlindedSigningKey::<Sha256>::new_with_salt_len(private(), length);
            let signature = signer.sign_with_rng(&mut OsRng, b"text").to_bytes();
            let opened = Padding::open(&KEY.public_key(), &signature).unwrap();
            assert!(matches!(&opened, Padding::Pss { salt, .. } if salt.len() == length));
            assert!(opened.covers("text") && !opened.covers("Text"));
        }
    }

    #[test]
    fn the_older_padding_is_found() {
        let signer = rsa::pkcs1v15::SigningKey::<Sha256>::new(private());
        let signature = signer.sign_with_rng(&mut OsRng, b"text").to_bytes();
        let opened = Padding::open(&KEY.public_key(), &signature).unwrap();
        assert!(matches!(opened, Padding::Pkcs1 { .. }));
        assert!(opened.covers("text") && !opened.covers("Text"));
    }

    #[test]
    fn another_key_opens_noise() {
        let signature = STANDARD.decode(KEY.sign("text")).unwrap();
        let other = SigningKey::generate().unwrap().public_key();
        assert_eq!(Padding::open(&other, &signature), None);
        for noise in [&[][..], &[0; 255], &[0; 256], &[1; 256], &[0xff; 256], &[0; 257]] {
            assert_eq!(Padding::open(&KEY.public_key(), noise), None);
        }
    }
}
