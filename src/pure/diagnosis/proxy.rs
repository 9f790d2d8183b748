//! Is there a proxy between here and the service, and who says so?

use super::Finding;

/// What is known of the way to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The endpoint's host.
    pub host: String,
    /// The proxy's host and port, and what names it.
    pub through: Option<(String, String)>,
    /// Variables about proxies that are set here.
    pub variables: Vec<String>,
    /// On this machine, where no proxy is asked.
    pub is_local: bool,
}

/// Says which proxy it is. Whether it works, the call to the service tells.
pub fn judge(way: &Way) -> Finding {
    let Way { host, through, variables, is_local } = way;
    let set = (!variables.is_empty()).then(|| format!("set here: {}", variables.join(", ")));
    let environment = "the daemon has an environment of its own: systemctl show -p Environment \
                       rolekeeper";
    let excludes = variables.iter().any(|name| name.eq_ignore_ascii_case("$NO_PROXY"));
    let finding = match through {
        Some((proxy, named_by)) => {
            Finding::ok(format!("{host} is reached through {proxy}, which {named_by} names"))
                .seen(environment)
        }
        None if variables.is_empty() => Finding::ok("none"),
        None if *is_local => Finding::ok(format!("none: {host} is this machine")),
        None if excludes => Finding::ok(format!("none for {host}")),
        None => Finding::warning(
            format!("none for {host}, although variables name one: they hold no proxy's URL"),
            "write it as HTTPS_PROXY=http://proxy.example:3128",
        ),
    };
    finding.all_seen(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::diagnosis::Verdict;

    fn way(through: bool, variables: &[&str], is_local: bool) -> Finding {
        judge(&Way {
            host: "ssm.eu-central-1.amazonaws.com".into(),
            through: through.then(|| ("proxy.example:3128".into(), "$HTTPS_PROXY".into())),
            variables: variables.iter().map(|name| (*name).to_owned()).collect(),
            is_local,
        })
    }

    #[test]
    fn a_proxy_is_named_with_what_names_it() {
        let finding = way(true, &["$HTTPS_PROXY"], false);
        assert!(finding.text.ends_with("proxy.example:3128, which $HTTPS_PROXY names"));
        assert!(finding.evidence[0].contains("an environment of its own"));
        assert_eq!(way(false, &[], false).text, "none");
    }

    #[test]
    fn a_variable_that_names_none_is_a_warning_unless_there_is_a_reason() {
        assert_eq!(way(false, &["$HTTPS_PROXY"], false).verdict, Verdict::Warning);
        assert_eq!(way(false, &["$HTTPS_PROXY"], true).verdict, Verdict::Ok);
        assert_eq!(way(false, &["$HTTPS_PROXY", "$no_proxy"], false).verdict, Verdict::Ok);
    }
}
