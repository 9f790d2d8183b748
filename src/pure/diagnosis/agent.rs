//! Does amazon-ssm-agent use the same registration? It would replace the key behind our back.

use super::{AS_ROOT, Finding};

/// What was seen of the reference agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its processes.
    pub processes: Vec<u32>,
    /// The instance that it registered as; none where it never did. `Err` is why nobody knows.
    pub instance: Result<Option<String>, String>,
}

const STOP: &str = "systemctl disable --now amazon-ssm-agent";

/// Judges it beside our own registration, `ours`, where that is known.
pub fn judge(agent: &Agent, ours: Option<&str>) -> Finding {
    let runs = agent.processes.first();
    let same = |theirs: &str| ours == Some(theirs);
    match (runs, &agent.instance) {
        (None, Ok(None)) => Finding::ok("no amazon-ssm-agent here"),
        (Some(pid), Ok(Some(theirs))) if same(theirs) => Finding::wrong(
            format!(
                "amazon-ssm-agent (pid {pid}) runs as {theirs}, too: when it replaces the key, this \
                 registration is lost"
            ),
            STOP,
        ),
        (None, Ok(Some(theirs))) if same(theirs) => Finding::warning(
            format!("amazon-ssm-agent has this registration, {theirs}, and its next start uses it"),
            STOP,
        ),
        (Some(pid), Err(reason)) => Finding::skipped(
            format!("amazon-ssm-agent runs (pid {pid}); as whom is not to be seen: {reason}"),
            AS_ROOT,
        ),
        (None, Err(reason)) => Finding::skipped(format!("not to be seen: {reason}"), AS_ROOT),
        (Some(pid), Ok(Some(_))) if ours.is_none() => Finding::skipped(
            format!("amazon-ssm-agent runs (pid {pid}); whether as this machine needs the vault"),
            AS_ROOT,
        ),
        (Some(pid), Ok(Some(theirs))) => {
            Finding::ok(format!("amazon-ssm-agent (pid {pid}) is another instance, {theirs}"))
        }
        (Some(pid), Ok(None)) => {
            Finding::ok(format!("amazon-ssm-agent (pid {pid}) runs and is not registered"))
        }
        (None, Ok(Some(theirs))) => {
            Finding::ok(format!("amazon-ssm-agent does not run; it was another instance, {theirs}"))
        }
    }
}

/// Whether a process is the agent's, by its short name (the kernel keeps 15 bytes of it) and by the
/// name that it was called by.
pub fn is_agent(short_name: &str, called: &str) -> bool {
    const NAME: &str = "amazon-ssm-agent";
    let called = called.rsplit('/').next().unwrap_or(called);
    called == NAME || short_name == &NAME[..15] && !called.starts_with("amazon-ssm-agent-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::diagnosis::Verdict;

    #[test]
    fn only_the_same_registration_is_wrong() {
        let ours = Some("mi-0123456789abcdef0");
        let same = || Ok(ours.map(str::to_owned));
        let other = || Ok(Some("mi-0fedcba9876543210".to_owned()));
        let unseen = || Err("needs root".to_owned());
        for (runs, instance, ours, verdict) in [
            (true, same(), ours, Verdict::Wrong),
            (false, same(), ours, Verdict::Warning),
            (true, other(), ours, Verdict::Ok),
            (false, other(), ours, Verdict::Ok),
            (true, Ok(None), ours, Verdict::Ok),
            (false, Ok(None), ours, Verdict::Ok),
            (true, unseen(), ours, Verdict::Skipped),
            (false, unseen(), ours, Verdict::Skipped),
            (true, same(), None, Verdict::Skipped),
            (false, Ok(None), None, Verdict::Ok),
        ] {
            let agent = Agent { processes: if runs { vec![7] } else { vec![] }, instance };
            let finding = judge(&agent, ours);
            assert_eq!(finding.verdict, verdict, "{agent:?} {ours:?}: {finding:?}");
        }
    }

    #[test]
    fn the_agent_is_known_by_either_name() {
        assert!(is_agent("amazon-ssm-agen", "/usr/bin/amazon-ssm-agent"));
        assert!(is_agent("amazon-ssm-agen", ""));
        assert!(is_agent("agent", "/snap/bin/amazon-ssm-agent"));
        assert!(!is_agent("bash", "bash"));
        assert!(!is_agent("amazon-ssm-agen", "/usr/bin/amazon-ssm-agent-updater"));
    }
}
