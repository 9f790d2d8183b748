//! The `Signature=` part: hex or base64, and whose kind that is.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::departure::{Departure, Part};

/// Bytes of an RSA-2048 signature.
pub const RSA_BYTES: usize = 256;

/// Bytes of an HMAC-SHA256.
const HMAC_BYTES: usize = 32;

/// A signature's bytes, by the kind that their number tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    Rsa(Vec<u8>),
    Hmac(Vec<u8>),
    Unknown,
}

/// How a signature is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    Hex,
    Base64,
    Neither,
}

impl Signature {
    /// Reads generously, and says where the text is not as the service wants it.
    pub fn read(text: &str) -> (Self, Writing, Vec<Departure>) {
        let mut departures = Vec::new();
        let mut depart = |why: String| departures.push(Departure::new(Part::SignatureForm, why));
        let dense = text.split_ascii_whitespace().collect::<String>();
        if let Ok(bytes) = hex::decode(&dense) {
            if dense != text {
                depart("there are blanks in it".into());
            }
            if dense.bytes().any(|digit| digit.is_ascii_uppercase()) {
                depart("its hexadecimal digits are in upper case; the service wants lower".into());
            }
            let signature = Self::of(bytes);
            match &signature {
                Signature::Rsa(_) => {
                    depart("an RSA signature in hexadecimal; the service wants base64".into());
                }
                Signature::Hmac(_) => {}
                Signature::Unknown => depart(length_complaint(dense.len() / 2)),
            }
            return (signature, Writing::Hex, departures);
        }
        let Some((bytes, oddity)) = base64_bytes(text, &dense) else {
            depart("it is neither hexadecimal nor base64".into());
            return (Signature::Unknown, Writing::Neither, departures);
        };
        if let Some(oddity) = oddity {
            depart(oddity.into());
        }
        let length = bytes.len();
        let signature = Self::of(bytes);
        match &signature {
            Signature::Rsa(_) => {}
            Signature::Hmac(_) => {
                depart("an HMAC in base64; the service wants 64 hexadecimal digits".into());
            }
            Signature::Unknown => depart(length_complaint(length)),
        }
        (signature, Writing::Base64, departures)
    }

    fn of(bytes: Vec<u8>) -> Self {
        match bytes.len() {
            RSA_BYTES => Signature::Rsa(bytes),
            HMAC_BYTES => Signature::Hmac(bytes),
            _ => Signature::Unknown,
        }
    }
}

fn length_complaint(length: usize) -> String {
    format!("it has {length} bytes; an RSA-2048 signature has {RSA_BYTES}, an HMAC {HMAC_BYTES}")
}

/// The bytes, and what had to be overlooked to get them.
fn base64_bytes(text: &str, dense: &str) -> Option<(Vec<u8>, Option<&'static str>)> {
    let plus = text.replace(' ', "+");
    let attempts = [
        (STANDARD.decode(text), None),
        (STANDARD.decode(&plus), Some("each '+' became a blank, as in a form that was decoded")),
        (STANDARD.decode(dense), Some("there are blanks in it")),
        (STANDARD_NO_PAD.decode(dense), Some("the '=' at its end are missing")),
        (URL_SAFE.decode(dense), Some("it is in the URL-safe alphabet ('-' and '_')")),
        (URL_SAFE_NO_PAD.decode(dense), Some("it is in the URL-safe alphabet ('-' and '_')")),
    ];
    attempts.into_iter().find_map(|(bytes, oddity)| Some((bytes.ok()?, oddity)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_in_its_own_writing_departs_from_nothing() {
        let (hmac, rsa) = (vec![0xfb; 32], vec![0xfb; 256]);
        let read = Signature::read(&hex::encode(&hmac));
        assert_eq!(read, (Signature::Hmac(hmac), Writing::Hex, vec![]));
        let read = Signature::read(&STANDARD.encode(&rsa));
        assert_eq!(read, (Signature::Rsa(rsa), Writing::Base64, vec![]));
    }

    #[test]
    fn any_other_writing_is_named() {
        let (hmac, rsa) = ([0xfb; 32], [0xfb; 256]);
        let standard = STANDARD.encode(rsa);
        for (text, expected) in [
            (hex::encode(rsa), "wants base64"),
            (hex::encode_upper(hmac), "upper case"),
            (STANDARD.encode(hmac), "wants 64 hexadecimal"),
            (standard.replace('+', " "), "form"),
            (format!("{} {}", &standard[..9], &standard[9..]), "blanks"),
            (standard.trim_end_matches('=').to_owned(), "'='"),
            (URL_SAFE.encode(rsa), "URL-safe"),
            (STANDARD.encode([0; 100]), "100 bytes"),
            (hex::encode([0; 20]), "20 bytes"),
            ("%".to_owned(), "neither"),
        ] {
            let (_, _, departures) = Signature::read(&text);
            assert!(departures.len() == 1 && departures[0].text.contains(expected), "{text}");
        }
    }
}
