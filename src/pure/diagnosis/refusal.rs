//! What the service means by its refusals.

/// Its error codes, each in a sentence.
const WORDS: [(&str, &str); 9] = [
    ("InvalidActivation", "the service knows no activation with this id and code in this region"),
    ("ActivationExpired", "the activation's date has passed"),
    ("RegistrationLimitExceeded", "the activation has registered as many machines as it may"),
    (
        "MachineFingerprintDoesNotMatch",
        "the service knows this instance by another fingerprint: a copy of the vault is in use \
         elsewhere, or the hardware differs",
    ),
    ("InvalidInstanceId", "the service does not know this instance (any more)"),
    (
        "InvalidSignatureException",
        "the signature does not fit what arrived: the key is another, or what stands between \
         changes requests",
    ),
    (
        "AssumeRoleUnauthorizedAccess",
        "the activation's role does not let ssm.amazonaws.com assume it",
    ),
    ("AccessDenied", "a policy forbids it, or the role's trust does"),
    ("ThrottlingException", "the service asks for fewer requests"),
];

/// The sentence for the code that stands in a message of the daemon.
pub fn in_words(message: &str) -> Option<&'static str> {
    let mut words = message.split(|c: char| !c.is_ascii_alphanumeric());
    words.find_map(|word| {
        let same = |code: &str| word == code || word.strip_suffix("Exception") == Some(code);
        WORDS.iter().find(|(code, _)| same(code)).map(|(_, sentence)| *sentence)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_in_a_message_is_put_in_words() {
        let message = "RegisterManagedInstance at http://x: ActivationExpired: gone (request id 7)";
        assert_eq!(in_words(message), Some("the activation's date has passed"));
        assert!(in_words("AccessDeniedException: no").unwrap().starts_with("a policy"));
        assert_eq!(in_words("InvalidActivationCode: no"), None);
        assert_eq!(in_words("Connection refused"), None);
    }
}
