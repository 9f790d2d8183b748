//! What the public API model demands of a request's members, and how the service says which of its
//! demands were not met: all of them at once, in one `ValidationException`.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::answers::Refusal;

/// How much of a value that does not fit is repeated.
const EXCERPT: usize = 100;

/// What was not met so far, in the service's words.
#[derive(Debug, Default)]
pub struct Constraints {
    unmet: Vec<String>,
    /// Members that are not there: of these nothing else is said.
    absent: Vec<String>,
}

/// A regular expression, and a function that means the same.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    pub text: &'static str,
    pub fits: fn(&str) -> bool,
}

/// Names and tags: letters, digits and separators of any script, and `_.:/=+-@`.
pub const PLAIN_TEXT: Pattern = Pattern {
    text: r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$",
    fits: |text| {
        text.chars().all(|c| {
            let separator = c.is_whitespace() && !c.is_control();
            c.is_alphanumeric() || separator || "_.:/=+-@".contains(c)
        })
    },
};

/// An activation's id: a UUID in lower case.
pub const ACTIVATION_ID: Pattern = Pattern {
    text: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    fits: |text| {
        let groups = text.split('-').collect::<Vec<_>>();
        let lengths = groups.iter().map(|group| group.len());
        lengths.eq([8, 4, 4, 4, 12]) && groups.into_iter().all(is_hex)
    },
};

/// A managed instance's id. The real pattern allows Kubernetes clusters too, which the lab has not.
pub const MANAGED_INSTANCE_ID: Pattern = Pattern {
    text: r"(^mi-[0-9a-f]{17}$)|(^eks_c:[0-9A-Za-z][A-Za-z0-9\-_]{0,99}_\w{17}$)",
    fits: is_managed_instance_id,
};

pub fn is_managed_instance_id(text: &str) -> bool {
    text.strip_prefix("mi-").is_some_and(|digits| digits.len() == 17 && is_hex(digits))
}

impl Constraints {
    /// The value of a member that must be there; empty, and noted, when it is not.
    pub fn required<T: Default>(&mut self, member: &str, value: Option<T>) -> T {
        if value.is_none() {
            self.unmet.push(format!(
                "Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ));
            self.absent.push(member.to_owned());
        }
        value.unwrap_or_default()
    }

    /// A text's length in characters.
    pub fn length(&mut self, member: &str, value: &str, allowed: RangeInclusive<usize>) {
        let demand = "Member must have length";
        self.bounds(member, &excerpt(value), demand, value.chars().count(), allowed);
    }

    /// A list's length.
    pub fn count(&mut self, member: &str, count: usize, allowed: RangeInclusive<usize>) {
        let shown = format!("a list of {count}");
        self.bounds(member, &shown, "Member must have length", count, allowed);
    }

    pub fn range(&mut self, member: &str, value: i64, allowed: RangeInclusive<i64>) {
        self.bounds(member, &value.to_string(), "Member must have value", value, allowed);
    }

    pub fn pattern(&mut self, member: &str, value: &str, pattern: Pattern) {
        if !(pattern.fits)(value) {
            let demand =
                format!("Member must satisfy regular expression pattern: {}", pattern.text);
            self.note(member, &excerpt(value), &demand);
        }
    }

    pub fn one_of(&mut self, member: &str, value: &str, allowed: &[&str]) {
        if !allowed.contains(&value) {
            let demand = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
            self.note(member, &excerpt(value), &demand);
        }
    }

    /// Whether all was met.
    pub fn check(self) -> Result<(), Refusal> {
        let count = self.unmet.len();
        if count == 0 {
            return Ok(());
        }
        let s = if count == 1 { "" } else { "s" };
        let all = self.unmet.join("; ");
        Err(Refusal::validation(format!("{count} validation error{s} detected: {all}")))
    }

    fn bounds<T: PartialOrd + Display>(
        &mut self,
        member: &str,
        shown: &str,
        demand: &str,
        value: T,
        allowed: RangeInclusive<T>,
    ) {
        if value < *allowed.start() {
            let demand = format!("{demand} greater than or equal to {}", allowed.start());
            self.note(member, shown, &demand);
        } else if value > *allowed.end() {
            let demand = format!("{demand} less than or equal to {}", allowed.end());
            self.note(member, shown, &demand);
        }
    }

    fn note(&mut self, member: &str, shown: &str, demand: &str) {
        if !self.absent.iter().any(|absent| absent == member) {
            self.unmet.push(format!(
                "Value '{shown}' at '{member}' failed to satisfy constraint: {demand}"
            ));
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn excerpt(value: &str) -> String {
    value.chars().take(EXCERPT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut constraints = Constraints::default();
        let role = constraints.required::<String>("iamRole", None);
        constraints.length("iamRole", &role, 1..=64);
        constraints.range("registrationLimit", 1001, 1..=1000);
        constraints.range("maxResults", 5, 5..=50);
        constraints.length("description", "", 0..=256);
        let refusal = constraints.check().unwrap_err();
        assert_eq!(refusal.code, "ValidationException");
        assert_eq!(
            refusal.message,
            "2 validation errors detected: Value null at 'iamRole' failed to satisfy constraint: \
             Member must not be null; Value '1001' at 'registrationLimit' failed to satisfy \
             constraint: Member must have value less than or equal to 1000"
        );
    }

    #[test]
    fn patterns_mean_what_they_say() {
        for good in ["", "Größe 3", "a_b.c:d/e=f+g-h@i", "東京"] {
            assert!((PLAIN_TEXT.fits)(good), "{good}");
        }
        for bad in ["a\tb", "a\nb", "50%", "<b>", "a,b"] {
            assert!(!(PLAIN_TEXT.fits)(bad), "{bad:?}");
        }
        let id = "01234567-89ab-cdef-0123-456789abcdef";
        assert!((ACTIVATION_ID.fits)(id));
        assert!(!(ACTIVATION_ID.fits)(&id.to_uppercase()) && !(ACTIVATION_ID.fits)(&id[1..]));
        assert!(is_managed_instance_id("mi-0123456789abcdef0"));
        assert!(!is_managed_instance_id("i-0123456789abcdef0"));
        assert!(!is_managed_instance_id("mi-0123456789ABCDEF0"));
    }

    #[test]
    fn a_long_value_is_not_repeated_whole() {
        let mut constraints = Constraints::default();
        constraints.length("description", &"x".repeat(5000), 0..=256);
        assert!(constraints.check().unwrap_err().message.len() < 300);
    }
}
