//! The process's environment: the only place that reads it.

/// A variable's value. One that is absent, empty or not UTF-8 is no value.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
