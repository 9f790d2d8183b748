//! Names and values as forms and query strings carry them: `Action=AssumeRole&DurationSeconds=900`.

use std::fmt::Write;

/// Names with their values, in the order they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedForm {
    #[error("a percent sign is not followed by two hexadecimal digits")]
    Escape,
    #[error("what is escaped is not UTF-8")]
    Encoding,
    #[error("a name stands twice")]
    Twice,
}

impl Form {
    /// Reads `name=value` pairs between `&`. A name that stands twice has no one meaning.
    pub fn parse(text: &str) -> Result<Self, MalformedForm> {
        let mut fields = Vec::<(String, String)>::new();
        for field in text.split('&').filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            fields.push((decode_field(name)?, decode_field(value)?));
        }
        let mut names = fields.iter().map(|(name, _)| name).collect::<Vec<_>>();
        names.sort();
        if names.windows(2).any(|two| two[0] == two[1]) {
            return Err(MalformedForm::Twice);
        }
        Ok(Self(fields))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The form that a signature covers: escaped anew, sorted, each name with its `=`.
    pub fn canonical(&self) -> String {
        let mut fields = self
            .0
            .iter()
            .map(|(name, value)| format!("{}={}", escape(name, ""), escape(value, "")))
            .collect::<Vec<_>>();
        fields.sort();
        fields.join("&")
    }
}

/// Escapes every byte but letters, digits, `-._~` and those of `kept`, as AWS signatures want it.
pub fn escape(text: &str, kept: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        if character.is_ascii_alphanumeric()
            || "-._~".contains(character)
            || kept.contains(character)
        {
            escaped.push(character);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// Undoes [`escape`]; a plus stays a plus.
pub fn unescape(text: &str) -> Result<String, MalformedForm> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = after.get(..2).ok_or(MalformedForm::Escape)?;
            bytes.extend(hex::decode(digits).map_err(|_| MalformedForm::Escape)?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| MalformedForm::Encoding)
}

fn decode_field(text: &str) -> Result<String, MalformedForm> {
    unescape(&text.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_unescaped() {
        let form = Form::parse("Action=AssumeRole&Policy=%7B%22a+b%22%7D&empty=&bare").unwrap();
        assert_eq!(form.get("Policy"), Some("{\"a b\"}"));
        assert_eq!((form.get("empty"), form.get("bare")), (Some(""), Some("")));
        assert_eq!(form.get("absent"), None);
    }

    #[test]
    fn broken_forms_are_told_apart() {
        assert_eq!(Form::parse("a=%4"), Err(MalformedForm::Escape));
        assert_eq!(Form::parse("a=%zz"), Err(MalformedForm::Escape));
        assert_eq!(Form::parse("a=%ff"), Err(MalformedForm::Encoding));
        assert_eq!(Form::parse("a=1&%61=2"), Err(MalformedForm::Twice));
    }

    #[test]
    fn the_canonical_form_is_sorted_and_complete() {
        let form = Form::parse("prefix=a/b c&list-type=2&acl").unwrap();
        assert_eq!(form.canonical(), "acl=&list-type=2&prefix=a%2Fb%20c");
    }

    proptest! {
        #[test]
        fn what_is_escaped_reads_back(text in "\\PC{0,40}") {
            prop_assert_eq!(unescape(&escape(&text, "")), Ok(text.clone()));
            let form = Form::parse(&format!("x={}", escape(&text, ""))).unwrap();
            prop_assert_eq!(form.get("x"), Some(text.as_str()));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[%&=+0-9a-fé]{0,30}") {
            if let Ok(form) = Form::parse(&text) {
                prop_assert_eq!(Form::parse(&form.canonical()).map(|form| form.canonical()),
                    Ok(form.canonical()));
            }
        }
    }
}
