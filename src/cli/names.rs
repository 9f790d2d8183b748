//! Names beside the numbers of users, wherever a message has a number alone: the daemon gives numbers,
//! because it must not wait for an account database.

use crate::host::accounts::local_user_name;

/// What stands before a user's number.
const MARKS: [&str; 2] = ["uid ", "user "];

/// The text with the name of each user behind its number, as `user 33 (www-data)`, where `/etc/passwd` has
/// one and the text has not.
pub(super) fn with_names(text: &str) -> String {
    insert(text, local_user_name)
}

fn insert(text: &str, name_of: impl Fn(u32) -> Option<String>) -> String {
    let mut named = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let (digits, after) =
            from.split_at(from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len()));
        named.push_str(before);
        named.push_str(digits);
        let is_marked = MARKS.iter().any(|mark| is_word(before, mark));
        // One that stands around it already closes the bracket, one behind it opens another.
        let is_named = after.starts_with(')') || after.starts_with(" (");
        let is_alone = is_marked && !is_named;
        if let Some(name) = digits.parse().ok().filter(|_| is_alone).and_then(&name_of) {
            named.push_str(&format!(" ({name})"));
        }
        rest = after;
    }
    named.push_str(rest);
    named
}

/// Whether the text ends in the mark, and the mark is no end of another word.
fn is_word(text: &str, mark: &str) -> bool {
    let before = text.strip_suffix(mark);
    before.is_some_and(|before| {
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_a_user_gets_its_name_and_no_other_number_does() {
        let name_of = |uid| (uid == 33).then(|| "www-data".to_owned());
        for (text, named) in [
            ("user 33 may have nothing", "user 33 (www-data) may have nothing"),
            ("was taken by uid 33, and", "was taken by uid 33 (www-data), and"),
            ("belongs to user 33", "belongs to user 33 (www-data)"),
            ("web (uid 33)", "web (uid 33)"),
            ("uid 33 (www-data)", "uid 33 (www-data)"),
            ("user 34 may not", "user 34 may not"),
            ("superuser 33, gid 33, 33 users", "superuser 33, gid 33, 33 users"),
            ("user 99999999999999999999", "user 99999999999999999999"),
            ("", ""),
        ] {
            assert_eq!(insert(text, name_of), named);
        }
    }
}
