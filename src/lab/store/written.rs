//! How records write what serde cannot, or must not by itself.

/// A moment, in nanoseconds since 1970.
pub mod moment {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use time::UtcDateTime;

    /// As a number for SQLite, which has 64 bits: up to the year 2262.
    pub fn nanoseconds(at: UtcDateTime) -> i64 {
        let nanoseconds = at.unix_timestamp_nanos();
        i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
    }

    pub fn serialize<S: Serializer>(at: &UtcDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(nanoseconds(*at))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UtcDateTime, D::Error> {
        let nanoseconds = i64::deserialize(from)?;
        UtcDateTime::from_unix_timestamp_nanos(nanoseconds.into()).map_err(Error::custom)
    }
}

/// A secret, in plain: the file is its owner's alone, and what is in it opens nothing elsewhere.
pub mod secret {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::pure::secret::Secret;

    pub fn serialize<S: Serializer>(secret: &Secret<String>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret<String>, D::Error> {
        Secret::deserialize(from)
    }
}

/// What has a text form that reads back: an instance id.
pub mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(Error::custom)
    }
}
