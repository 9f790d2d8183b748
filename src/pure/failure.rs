//! Why a request failed, and how long to wait before the next one.
//!
//! | class | first wait | longest wait | after |
//! |---|---|---|---|
//! | `ClockSkew` | 1 s | 4 min | the service's clock is known from the answer: try again at once |
//! | `Unreachable`, `ServiceFault` | 2 s | 4 min | the SDK has already tried three times |
//! | `BadAnswer` | 5 s | 4 min | something between us and the service speaks for it |
//! | `Throttled`, `Local` | 10 s | 4 min | haste would make it worse |
//! | `Denied` | 10 min | 60 min | a person has to act; the waits are those of hibernation |
//!
//! A wait doubles with every failure in a row and is spread over its upper half, so that a fleet
//! does not come back in step; denials are spread by a tenth.

use std::time::Duration;

use super::advice::Exit;
use super::jitter::Jitter;

/// What a caller does next about a failure, and nothing finer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// An answer that is not the service's: HTML, half a body, a missing member.
    BadAnswer,
    /// The service found our date too far from its own.
    ClockSkew,
    /// The service knows us and says no, or no longer knows us.
    Denied,
    /// This machine failed: a file, a key, a signature.
    Local,
    /// The service failed (5xx).
    ServiceFault,
    /// The service asks us to slow down.
    Throttled,
    /// No answer: no route, no name, no connection, no TLS, no reply in time.
    Unreachable,
}

/// The longest wait for everything but a denial. With the minute that a request may take
/// (`connection::OPERATION_TIMEOUT`) a service that has recovered is heard within five minutes.
const LONGEST: Duration = Duration::from_secs(240);

/// Hibernation's steps; the reference agent's, whose pings come every 10, 20, 40 and 60 minutes
/// (`agent/hibernation`: 300 s doubled, at most 3600 s).
const DENIED: [Duration; 4] = [
    Duration::from_secs(10 * 60),
    Duration::from_secs(20 * 60),
    Duration::from_secs(40 * 60),
    Duration::from_secs(60 * 60),
];

/// Codes by which AWS services ask for a slower pace (the AWS SDKs' common list).
const THROTTLING_CODES: [&str; 11] = [
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TooManyUpdates",
];

/// Codes about our date. `InvalidSignatureException` is among them when its text says so.
const CLOCK_CODES: [&str; 3] = ["RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"];

/// Codes of a failing service that come with a 4xx status (the AWS SDKs' common list).
const FAULT_CODES: [&str; 4] =
    ["InternalServerError", "InternalFailure", "RequestTimeout", "RequestTimeoutException"];

impl FailureClass {
    /// Reduces an error answer of the service to its class.
    pub fn of_answer(status: u16, code: Option<&str>, message: Option<&str>) -> Self {
        let says = |text| message.is_some_and(|message| message.contains(text));
        let dated = says("Signature expired") || says("Signature not yet current");
        match code {
            Some(code) if THROTTLING_CODES.contains(&code) => Self::Throttled,
            Some(code) if CLOCK_CODES.contains(&code) || dated => Self::ClockSkew,
            _ if status == 429 => Self::Throttled,
            Some(code) if FAULT_CODES.contains(&code) => Self::ServiceFault,
            _ if status >= 500 => Self::ServiceFault,
            // A service's refusal has a code; a proxy's or a captive portal's has none.
            Some(_) => Self::Denied,
            None => Self::BadAnswer,
        }
    }

    /// What a command ends with that failed so.
    pub fn exit(self) -> Exit {
        match self {
            Self::Denied => Exit::Refused,
            Self::Local => Exit::Configuration,
            Self::Throttled => Exit::TryAgain,
            Self::BadAnswer | Self::ClockSkew | Self::ServiceFault | Self::Unreachable => {
                Exit::Unavailable
            }
        }
    }

    /// How long to wait after the `attempt`th failure in a row (the first is 0).
    pub fn delay(self, attempt: u32, jitter: Jitter) -> Duration {
        let first = match self {
            Self::Denied => {
                let step = DENIED[(attempt as usize).min(DENIED.len() - 1)];
                return step + jitter.of(step / 10);
            }
            Self::ClockSkew => 1,
            Self::Unreachable | Self::ServiceFault => 2,
            Self::BadAnswer => 5,
            Self::Throttled | Self::Local => 10,
        };
        let ceiling = Duration::from_secs(first).saturating_mul(1 << attempt.min(16)).min(LONGEST);
        ceiling / 2 + jitter.of(ceiling / 2)
    }

    /// The name in `status` and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadAnswer => "bad-answer",
            Self::ClockSkew => "clock-skew",
            Self::Denied => "denied",
            Self::Local => "local",
            Self::ServiceFault => "service-fault",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
        }
    }

    /// What the operator can do, given the service's error code where there is one.
    pub fn remedy(self, code: Option<&str>) -> &'static str {
        match (self, code) {
            (Self::Denied, Some("MachineFingerprintDoesNotMatch")) => {
                "`rolekeeper fingerprint diff`; a copy of the registered machine is registered as \
                 a machine of its own, on the machine itself restore InstanceFingerprint from the \
                 backup that its RegistrationKey came with"
            }
            (Self::Denied, Some("InvalidInstanceId")) => {
                "look for it where it was registered: aws ssm describe-instance-information, in \
                 that account and region; only if it is gone from there, with a new activation: \
                 systemctl stop rolekeeper; rolekeeper register --force --region REGION \
                 --activation-id ID --activation-code-file FILE; systemctl start rolekeeper"
            }
            (Self::Denied, Some("InvalidActivation")) => {
                "check the activation's id, code and region (aws ssm describe-activations)"
            }
            (Self::Denied, Some("ActivationExpired" | "RegistrationLimitExceeded")) => {
                "create a new activation (aws ssm create-activation) and register with it"
            }
            (Self::Denied, Some("InvalidSignatureException")) => {
                "stop whoever else uses this identity and has replaced its key: a copy of this \
                 machine, or amazon-ssm-agent (`sudo rolekeeper doctor` finds it); then restore the \
                 vault from where the newest key is"
            }
            (Self::Denied, _) => {
                "check the activation's IAM role and its trust in ssm.amazonaws.com, then \
                 `rolekeeper refresh`"
            }
            (Self::BadAnswer, _) => {
                "`sudo rolekeeper doctor`, which shows what answered: it was not Systems Manager, \
                 but a proxy, a captive portal or another endpoint_url"
            }
            (Self::ClockSkew, _) => "set the clock: check chrony or systemd-timesyncd",
            (Self::Local, _) => "mend what the message names; the daemon tries again by itself",
            (Self::ServiceFault, _) => {
                "again later: the service is failing, and the daemon keeps asking by itself"
            }
            (Self::Throttled, _) => {
                "again later: the service asked for a slower pace, and the daemon keeps to it"
            }
            (Self::Unreachable, _) => {
                "`sudo rolekeeper doctor`, which tells DNS, network, proxy and certificates apart \
                 (of a proxy that opens TLS: ca_bundle in [service], or AWS_CA_BUNDLE); the daemon \
                 tries again by itself"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [FailureClass; 7] = [
        FailureClass::BadAnswer,
        FailureClass::ClockSkew,
        FailureClass::Denied,
        FailureClass::Local,
        FailureClass::ServiceFault,
        FailureClass::Throttled,
        FailureClass::Unreachable,
    ];

    #[test]
    fn no_wait_is_shorter_than_half_a_second_or_longer_than_its_row_says() {
        for class in ALL {
            let longest = if class == FailureClass::Denied { 66 * 60 } else { 240 };
            for attempt in (0..40).chain([u32::MAX]) {
                for bits in [0, u64::MAX / 2, u64::MAX] {
                    let delay = class.delay(attempt, Jitter::from_bits(bits));
                    assert!(delay >= Duration::from_millis(500), "{class:?} {attempt}");
                    assert!(delay <= Duration::from_secs(longest), "{class:?} {attempt}");
                }
            }
        }
    }

    #[test]
    fn hibernation_steps_are_10_20_40_60_minutes() {
        let minutes = (0..5).map(|n| FailureClass::Denied.delay(n, Jitter::NONE).as_secs() / 60);
        assert_eq!(minutes.collect::<Vec<_>>(), [10, 20, 40, 60, 60]);
    }

    proptest! {
        #[test]
        fn a_wait_never_shrinks_by_failing_once_more(attempt: u32, bits: u64) {
            let jitter = Jitter::from_bits(bits);
            for class in ALL {
                let next = class.delay(attempt.saturating_add(1), jitter);
                prop_assert!(class.delay(attempt, jitter) <= next, "{class:?}");
            }
        }

        #[test]
        fn any_answer_has_a_class_and_only_one_with_a_code_is_a_denial(
            status: u16,
            code in prop::option::of(".*"),
            message in prop::option::of(".*"),
        ) {
            let class = FailureClass::of_answer(status, code.as_deref(), message.as_deref());
            prop_assert!(class != FailureClass::Denied || code.is_some());
            prop_assert!(class != FailureClass::Local && class != FailureClass::Unreachable);
        }
    }

    #[test]
    fn answers_are_classed_by_code_then_by_status() {
        use FailureClass as C;
        let dated = "Signature expired: 20261122T000000Z is now earlier than 20261122T010000Z";
        for (status, code, message, expected) in [
            (400, Some("ThrottlingException"), None, C::Throttled),
            (400, Some("MachineFingerprintDoesNotMatch"), None, C::Denied),
            (400, Some("InvalidSignatureException"), Some("does not match"), C::Denied),
            (400, Some("InvalidSignatureException"), Some(dated), C::ClockSkew),
            (400, Some("RequestExpired"), None, C::ClockSkew),
            (500, Some("InternalServerError"), None, C::ServiceFault),
            (503, None, None, C::ServiceFault),
            (400, Some("RequestTimeout"), None, C::ServiceFault),
            (429, None, None, C::Throttled),
            (403, None, None, C::BadAnswer),
        ] {
            assert_eq!(C::of_answer(status, code, message), expected, "{status} {code:?}");
        }
    }
}
