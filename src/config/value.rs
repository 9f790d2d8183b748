//! The types of single values: each is parsed where it stands.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::{OnExpiry, without_account};
use crate::pure::duration::parse_duration;

/// A TOML string that is parsed where it stands, so that the error has its place.
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parse<T>(PhantomData<T>);

        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(|error| match text {
                    "" => E::custom(format_args!("{error}; {NOTHING_TAKEN_BACK}")),
                    _ => E::custom(error),
                })
            }
        }

        deserializer.deserialize_str(Parse(PhantomData))
    }
}

/// What an empty value means, for whoever writes one by itself.
const NOTHING_TAKEN_BACK: &str =
    "an empty value takes back what an earlier file sets, and none sets this";

/// Without an account: it would be shown with the URL, and no request uses it.
pub(super) struct Url(pub(super) String);

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let ProxyUrl(url) = text
            .parse()
            .map_err(|_| "expected a URL such as https://example.com or http://127.0.0.1:4599")?;
        match without_account(&url) == url {
            true => Ok(Self(url)),
            false => Err("expected a URL without an account in front of its host"),
        }
    }
}

/// A URL that may say by which account.
pub(super) struct ProxyUrl(pub(super) String);

impl FromStr for ProxyUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let uri = text.parse::<http::Uri>().ok();
        let usable = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        });
        if usable {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a URL such as http://proxy.example.net:3128")
        }
    }
}

pub(super) struct AbsolutePath(pub(super) PathBuf);

impl FromStr for AbsolutePath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let path = PathBuf::from(text);
        let plain = path.is_absolute() && path.file_name().is_some() && !text.contains("/../");
        if plain { Ok(Self(path)) } else { Err("expected an absolute path of a file") }
    }
}

pub(super) struct OutletName(pub(super) String);

impl FromStr for OutletName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if matches!(text, "." | "..") {
            // It is a part of a URL, in which these are steps.
            Err("'.' and '..' are no names")
        } else if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a name of 1 to 64 letters, digits, '-', '_' and '.'")
        }
    }
}

pub(super) struct AccountName(pub(super) String);

impl FromStr for AccountName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b':' | b'/' | b',');
        if !text.is_empty() && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected the name or the number of a user or group")
        }
    }
}

pub(super) struct FileMode(pub(super) u32);

impl FromStr for FileMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let octal = text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|_| octal);
        let mode = mode.ok_or("expected an octal mode such as \"0640\"")?;
        if mode & 0o600 != 0o600 {
            Err("the owner must be able to read and write the file: expected 0600, 0640 or 0644")
        } else if mode & !0o644 != 0 {
            Err("credentials are never executable and never writable by others than the owner: \
                 expected 0600, 0640 or 0644")
        } else {
            Ok(Self(mode))
        }
    }
}

impl FromStr for OnExpiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "keep" => Ok(Self::Keep),
            "withdraw" => Ok(Self::Withdraw),
            _ => Err("expected \"withdraw\" or \"keep\""),
        }
    }
}

/// A duration within bounds, in seconds.
pub(super) struct Bounded<const LEAST: u64, const MOST: u64>(pub(super) Duration);

impl<const LEAST: u64, const MOST: u64> FromStr for Bounded<LEAST, MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = parse_duration(text).map_err(|error| error.to_string())?;
        let (least, most) = (Duration::from_secs(LEAST), Duration::from_secs(MOST));
        if (least..=most).contains(&duration) {
            Ok(Self(duration))
        } else {
            let show = crate::pure::duration::display_duration;
            Err(format!("expected {} to {}", show(least), show(most)))
        }
    }
}
