//! A fault as it is written: a JSON object over HTTP, a table in a file.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use super::{Effect, Fault};
use crate::lab::operation::Operation;
use crate::pure::duration::{
    MalformedDuration, display_duration, display_offset, parse_duration, parse_offset,
};
use crate::pure::identity::InstanceId;

/// The longest delay of an answer.
const LONGEST_LATENCY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// A fault as somebody wants it. Absent members mean "any", "at once" or "for ever".
///
/// Members are written `Operation`, as AWS's are, or `operation`, as settings are. Durations are
/// text, as `30s`; an offset may have a sign, as `-2h`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct WireFault {
    #[serde(alias = "effect")]
    pub effect: Kind,
    #[serde(default, alias = "operation", with = "text", skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    #[serde(default, alias = "node", with = "text", skip_serializing_if = "Option::is_none")]
    pub node: Option<InstanceId>,
    /// Of `status` and `html`.
    #[serde(default, alias = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Of `status`.
    #[serde(default, alias = "code", skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Of `latency`.
    #[serde(default, alias = "latency", with = "text", skip_serializing_if = "Option::is_none")]
    pub latency: Option<Span>,
    /// Of `missing-member`.
    #[serde(default, alias = "member", skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Of `skewed-date` and `skewed-expiry`.
    #[serde(default, alias = "by", with = "text", skip_serializing_if = "Option::is_none")]
    pub by: Option<Offset>,
    #[serde(default, alias = "count", skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    #[serde(default, alias = "probability", skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// It begins so much later.
    #[serde(default, alias = "after", with = "text", skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// It ends so long after it began.
    #[serde(
        default,
        rename = "For",
        alias = "for",
        with = "text",
        skip_serializing_if = "Option::is_none"
    )]
    pub lasting: Option<Span>,
}

/// The name of an [`Effect`]; what belongs to it stands in members beside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    #[default]
    Status,
    Html,
    SignatureRefusal,
    Latency,
    Hang,
    Reset,
    RefusedConnection,
    TornBody,
    WrongJson,
    WrongShape,
    MissingMember,
    SkewedDate,
    SkewedExpiry,
    UpdateKeyPair,
    Deregistration,
}

/// A duration that is written `30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub std::time::Duration);

/// A duration that is written `30s` or `-30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset(pub time::Duration);

/// A wish that is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedFault {
    #[error("the status must be 400 to 599")]
    Status,
    #[error("the code must be 1 to 100 letters and digits, as ThrottlingException")]
    Code,
    #[error("a latency must be given, of at most a day")]
    Latency,
    #[error("a member must be named with 1 to 100 letters and digits, as UpdateKeyPair")]
    Member,
    #[error("it must be said by how much, as -2h")]
    By,
    #[error("the effect {effect} has no {member}")]
    Surplus { effect: &'static str, member: &'static str },
    #[error("the effect {effect} can do nothing to {operation}")]
    Operation { effect: &'static str, operation: Operation },
    #[error(
        "refused connections meet everybody, the lab's own commands too: say for how long, and \
             neither operation, node, count nor probability"
    )]
    RefusedConnection,
    #[error("the count must be at least 1")]
    Count,
    #[error("the probability must be above 0 and at most 1")]
    Probability,
}

impl WireFault {
    /// This effect, as far as its name says it all.
    pub fn of(effect: Kind) -> Self {
        Self { effect, ..Self::default() }
    }

    /// The fault that is meant, `now` being the moment that `after` counts from.
    ///
    /// # Errors
    ///
    /// See [`MalformedFault`].
    pub fn decode(mut self, now: UtcDateTime) -> Result<Fault, MalformedFault> {
        let effect = self.take_effect()?;
        self.check(&effect)?;
        let from = self.after.map(|Span(after)| now + after);
        let until = self.lasting.map(|Span(lasting)| from.unwrap_or(now) + lasting);
        Ok(Fault {
            operation: self.operation,
            node: self.node,
            effect,
            count: self.count,
            from,
            until,
            probability: self.probability.unwrap_or(1.0),
        })
    }

    /// Takes the members that belong to the effect.
    fn take_effect(&mut self) -> Result<Effect, MalformedFault> {
        Ok(match self.effect {
            Kind::Status => Effect::Status { status: self.take_status()?, code: self.take_code()? },
            Kind::Html => Effect::Html { status: self.take_status()? },
            Kind::SignatureRefusal => Effect::SignatureRefusal,
            Kind::Latency => {
                let given = self.latency.take().map(|Span(latency)| latency);
                let given = given.filter(|latency| *latency <= LONGEST_LATENCY);
                Effect::Latency(given.ok_or(MalformedFault::Latency)?)
            }
            Kind::Hang => Effect::Hang,
            Kind::Reset => Effect::Reset,
            Kind::RefusedConnection => Effect::RefusedConnection,
            Kind::TornBody => Effect::TornBody,
            Kind::WrongJson => Effect::WrongJson,
            Kind::WrongShape => Effect::WrongShape,
            Kind::MissingMember => {
                let given = self.member.take().filter(|member| is_name(member));
                Effect::MissingMember(given.ok_or(MalformedFault::Member)?)
            }
            Kind::SkewedDate => Effect::SkewedDate(self.take_offset()?),
            Kind::SkewedExpiry => Effect::SkewedExpiry(self.take_offset()?),
            Kind::UpdateKeyPair => Effect::UpdateKeyPair,
            Kind::Deregistration => Effect::Deregistration,
        })
    }

    fn take_status(&mut self) -> Result<u16, MalformedFault> {
        let given = self.status.take().filter(|status| (400..600).contains(status));
        given.ok_or(MalformedFault::Status)
    }

    fn take_code(&mut self) -> Result<Option<String>, MalformedFault> {
        match self.code.take() {
            Some(code) if !is_name(&code) => Err(MalformedFault::Code),
            code => Ok(code),
        }
    }

    fn take_offset(&mut self) -> Result<time::Duration, MalformedFault> {
        self.by.take().map(|Offset(by)| by).ok_or(MalformedFault::By)
    }

    /// Checks what is left once the effect's own members are taken.
    fn check(&self, effect: &Effect) -> Result<(), MalformedFault> {
        let left = [
            ("status", self.status.is_some()),
            ("code", self.code.is_some()),
            ("latency", self.latency.is_some()),
            ("member", self.member.is_some()),
            ("by", self.by.is_some()),
        ];
        if let Some((member, _)) = left.into_iter().find(|(_, given)| *given) {
            return Err(MalformedFault::Surplus { effect: effect.name(), member });
        }
        if let Some(operation) = self.operation.filter(|asked| !effect.fits(Some(*asked))) {
            return Err(MalformedFault::Operation { effect: effect.name(), operation });
        }
        if self.count == Some(0) {
            return Err(MalformedFault::Count);
        }
        if !self.probability.is_none_or(|share| share > 0.0 && share <= 1.0) {
            return Err(MalformedFault::Probability);
        }
        let aimed = self.operation.is_some()
            || self.node.is_some()
            || self.count.is_some()
            || self.probability.is_some();
        if *effect == Effect::RefusedConnection && (aimed || self.lasting.is_none()) {
            return Err(MalformedFault::RefusedConnection);
        }
        Ok(())
    }
}

/// The same wish back, without its window: that has become two moments.
impl From<&Fault> for WireFault {
    fn from(fault: &Fault) -> Self {
        let wire = Self {
            operation: fault.operation,
            node: fault.node.clone(),
            count: fault.count,
            probability: Some(fault.probability).filter(|share| *share < 1.0),
            ..Self::default()
        };
        match &fault.effect {
            Effect::Status { status, code } => {
                Self { effect: Kind::Status, status: Some(*status), code: code.clone(), ..wire }
            }
            Effect::Html { status } => Self { effect: Kind::Html, status: Some(*status), ..wire },
            Effect::SignatureRefusal => Self { effect: Kind::SignatureRefusal, ..wire },
            Effect::Latency(span) => {
                Self { effect: Kind::Latency, latency: Some(Span(*span)), ..wire }
            }
            Effect::Hang => Self { effect: Kind::Hang, ..wire },
            Effect::Reset => Self { effect: Kind::Reset, ..wire },
            Effect::RefusedConnection => Self { effect: Kind::RefusedConnection, ..wire },
            Effect::TornBody => Self { effect: Kind::TornBody, ..wire },
            Effect::WrongJson => Self { effect: Kind::WrongJson, ..wire },
            Effect::WrongShape => Self { effect: Kind::WrongShape, ..wire },
            Effect::MissingMember(name) => {
                Self { effect: Kind::MissingMember, member: Some(name.clone()), ..wire }
            }
            Effect::SkewedDate(by) => {
                Self { effect: Kind::SkewedDate, by: Some(Offset(*by)), ..wire }
            }
            Effect::SkewedExpiry(by) => {
                Self { effect: Kind::SkewedExpiry, by: Some(Offset(*by)), ..wire }
            }
            Effect::UpdateKeyPair => Self { effect: Kind::UpdateKeyPair, ..wire },
            Effect::Deregistration => Self { effect: Kind::Deregistration, ..wire },
        }
    }
}

impl FromStr for Span {
    type Err = MalformedDuration;

    fn from_str(text: &str) -> Result<Self, MalformedDuration> {
        parse_duration(text).map(Self)
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&display_duration(self.0))
    }
}

impl FromStr for Offset {
    type Err = MalformedDuration;

    fn from_str(text: &str) -> Result<Self, MalformedDuration> {
        parse_offset(text).map(Self)
    }
}

impl Display for Offset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&display_offset(self.0))
    }
}

fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A member that is text outside and more inside.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use time::macros::utc_datetime;

    use super::*;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

    /// Every effect, as somebody would write it.
    const ALL: [&str; 15] = [
        "effect = 'status'\nstatus = 400\ncode = 'ThrottlingException'",
        "effect = 'html'\nstatus = 502",
        "effect = 'signature-refusal'",
        "effect = 'latency'\nlatency = '2s'",
        "effect = 'hang'",
        "effect = 'reset'",
        "effect = 'refused-connection'\nfor = '30s'",
        "effect = 'torn-body'",
        "effect = 'wrong-json'",
        "effect = 'wrong-shape'",
        "effect = 'missing-member'\nmember = 'UpdateKeyPair'",
        "effect = 'skewed-date'\nby = '-2h'",
        "effect = 'skewed-expiry'\nby = '+2h'",
        "effect = 'update-key-pair'",
        "effect = 'deregistration'",
    ];

    fn decoded(text: &str) -> Result<Fault, MalformedFault> {
        toml::from_str::<WireFault>(text).unwrap().decode(NOW)
    }

    #[test]
    fn every_effect_can_be_written_in_a_file_and_over_http() {
        for text in ALL {
            let wire = toml::from_str::<WireFault>(text).unwrap();
            let fault = wire.clone().decode(NOW).unwrap();
            assert_eq!(json!(wire)["Effect"], fault.effect.name());
            assert_eq!(serde_json::from_value::<WireFault>(json!(wire)).unwrap(), wire);
            let back = WireFault { lasting: wire.lasting, ..WireFault::from(&fault) };
            assert_eq!(back, wire);
        }
    }

    #[test]
    fn a_window_is_counted_from_now() {
        let fault = decoded("effect = 'hang'\nafter = '30s'\nfor = '1m'").unwrap();
        assert_eq!(fault.from, Some(NOW + time::Duration::seconds(30)));
        assert_eq!(fault.until, Some(NOW + time::Duration::seconds(90)));
        let fault = decoded("effect = 'hang'\nfor = '1m'").unwrap();
        assert_eq!((fault.from, fault.until), (None, Some(NOW + time::Duration::MINUTE)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_reason() {
        use MalformedFault as E;
        let surplus = |effect, member| E::Surplus { effect, member };
        for (text, expected) in [
            ("effect = 'status'", E::Status),
            ("effect = 'status'\nstatus = 200", E::Status),
            ("effect = 'status'\nstatus = 500\ncode = 'a b'", E::Code),
            ("effect = 'html'\nstatus = 502\ncode = 'A'", surplus("html", "code")),
            ("effect = 'latency'", E::Latency),
            ("effect = 'latency'\nlatency = '25h'", E::Latency),
            ("effect = 'hang'\nlatency = '2s'", surplus("hang", "latency")),
            ("effect = 'missing-member'", E::Member),
            ("effect = 'missing-member'\nmember = ''", E::Member),
            ("effect = 'skewed-date'", E::By),
            ("effect = 'skewed-date'\nby = '1s'\nmember = 'A'", surplus("skewed-date", "member")),
            ("effect = 'reset'\nby = '1s'", surplus("reset", "by")),
            ("effect = 'reset'\nstatus = 500", surplus("reset", "status")),
            ("effect = 'hang'\ncount = 0", E::Count),
            ("effect = 'hang'\nprobability = 0.0", E::Probability),
            ("effect = 'hang'\nprobability = 1.1", E::Probability),
            ("effect = 'hang'\nprobability = nan", E::Probability),
            ("effect = 'refused-connection'", E::RefusedConnection),
            ("effect = 'refused-connection'\nfor = '1s'\ncount = 1", E::RefusedConnection),
            (
                "effect = 'update-key-pair'\noperation = 'CreateActivation'",
                E::Operation { effect: "update-key-pair", operation: Operation::CreateActivation },
            ),
            (
                "effect = 'wrong-json'\noperation = 'AssumeRole'",
                E::Operation { effect: "wrong-json", operation: Operation::AssumeRole },
            ),
        ] {
            assert_eq!(decoded(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        for (text, why) in [
            ("", "missing field"),
            ("effect = 'explode'", "unknown variant `explode`"),
            ("effect = 'hang'\ncolor = 'red'", "unknown field `color`"),
            ("effect = 'hang'\noperation = 'Request'", "the lab has no operation 'Request'"),
            ("effect = 'hang'\nnode = 'i-1'", "instance id 'i-1'"),
            ("effect = 'hang'\ncount = -1", "invalid value"),
            ("effect = 'hang'\nfor = '11000d'", "longer than ten years"),
            ("effect = 'hang'\nfor = 30", "invalid type"),
            ("effect = 'latency'\nlatency = '2'", "the number needs a unit"),
        ] {
            let error = toml::from_str::<WireFault>(text).unwrap_err();
            assert!(error.message().contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = toml::from_str::<WireFault>(&text).map(|wire| wire.decode(NOW));
            let _ = serde_json::from_str::<WireFault>(&text).map(|wire| wire.decode(NOW));
        }

        /// Whatever is taken means something, and says the same when it is written again.
        #[test]
        fn what_is_taken_reads_back(
            text in prop::sample::select(ALL.to_vec()),
            member in prop::sample::select(vec!["Operation", "Node", "Count", "Probability", "For",
                "After", "By", "Member", "Status", "Code", "Latency"]),
            value in prop_oneof![
                any::<u64>().prop_map(Value::from), any::<f64>().prop_map(Value::from),
                ".*".prop_map(Value::from),
                prop::sample::select(vec!["30s", "-2h", "AssumeRole", "mi-0123456789abcdef0"])
                    .prop_map(Value::from),
            ],
        ) {
            let mut wish = json!(toml::from_str::<WireFault>(text).unwrap());
            wish[member] = value;
            let Ok(wire) = serde_json::from_value::<WireFault>(wish) else { return Ok(()) };
            let Ok(fault) = wire.clone().decode(NOW) else { return Ok(()) };
            prop_assert!(fault.until.is_none_or(|until| until >= fault.from.unwrap_or(NOW)));
            let back = WireFault { lasting: wire.lasting, after: wire.after, ..(&fault).into() };
            prop_assert_eq!(back.decode(NOW).unwrap(), fault);
        }
    }
}
