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

/// Whether a text goes through a terminal, and from there into a shell, as it is: without control
/// characters, without those that turn the direction of writing, and without what stands for bytes that
/// are no text.
pub fn can_be_pasted(text: &str) -> bool {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(|c| c.is_control() || turns(c) || c == char::REPLACEMENT_CHARACTER)
}

/// The same text without control characters but the ends of lines: they are written out.
pub fn without_controls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    shown
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

    #[test]
    fn what_a_terminal_acts_on_is_not_pasted() {
        assert!(can_be_pasted("/home/älice's files $x"));
        for text in
            ["/h\u{1b}[2J", "/h\n", "/h\t", "/h\u{9b}", "/h\u{7f}", "/h\u{202e}", "/h\u{fffd}"]
        {
            assert!(!can_be_pasted(text), "{text:?}");
        }
        assert_eq!(without_controls("a\u{1b}\n\u{9b}b\r"), "a\\u{1b}\n\\u{9b}b\\r");
    }
}
