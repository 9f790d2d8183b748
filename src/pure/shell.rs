//! Words of a command that a person pastes into a shell.

/// A value as one word of POSIX `sh`, quoted where it must be.
pub fn in_shell(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-:@+,=".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_take_apart_is_quoted() {
        for (value, word) in [
            ("/srv/app/credentials", "/srv/app/credentials"),
            ("/home/alice's files", "'/home/alice'\\''s files'"),
            ("$(reboot)", "'$(reboot)'"),
            ("", "''"),
        ] {
            assert_eq!(in_shell(value), word);
        }
    }
}
