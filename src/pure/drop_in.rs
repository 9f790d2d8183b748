//! What is added to the service's unit, as one line to paste into root's shell.

use super::shell::in_shell;

/// Where a packaged machine has the examples; they lie in systemd/examples of the source.
const EXAMPLES: &str = "/usr/share/doc/rolekeeper/examples";

/// Where local changes of the unit are (systemd.unit(5)).
const DIRECTORY: &str = "/etc/systemd/system/rolekeeper.service.d";

/// Adds lines such as `ReadWritePaths=-/srv/app` to the unit's `[Service]`, and starts it anew. A path
/// that may be missing is to begin with `-`, or the service would not start.
pub fn lines_remedy(lines: &[String]) -> String {
    let lines = lines.iter().map(|line| in_shell(&line.replace('%', "%%")));
    let lines = lines.collect::<Vec<_>>().join(" ");
    format!(
        "mkdir -p {DIRECTORY} && printf '%s\\n' '[Service]' {lines} >> {DIRECTORY}/local.conf && \
         systemctl daemon-reload && systemctl restart rolekeeper"
    )
}

/// What the unit has to allow for a file in `directory` that is given to another owner, or to a group that
/// the service is not in. The directory is named in either case: the file is replaced by rename, so it has
/// to be writable, and what the capabilities reach ends there.
///
/// `CAP_CHOWN` gives the file away, `CAP_FOWNER` then sets its mode, `CAP_DAC_OVERRIDE` reads the old file
/// and makes the new one in a directory of somebody else's (capabilities(7)).
pub fn delivery_lines(directory: &str, to_owner: bool, to_group: Option<u32>) -> Vec<String> {
    let mut lines = Vec::new();
    if to_owner {
        const NEEDED: &str = "CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE";
        lines.push(format!("CapabilityBoundingSet={NEEDED}"));
        lines.push(format!("AmbientCapabilities={NEEDED}"));
    }
    lines.extend(to_group.map(|group| format!("SupplementaryGroups={group}")));
    lines.extend(directory_lines(directory));
    lines
}

/// By which the service may write in `directory`; one in a home, which the unit hides, is bound back in.
pub fn directory_lines(directory: &str) -> Vec<String> {
    let is_within = |home: &str| {
        directory.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if HOMES.into_iter().any(is_within) {
        vec!["ProtectHome=tmpfs".to_owned(), format!("BindPaths=-{directory}")]
    } else {
        vec![format!("ReadWritePaths=-{directory}")]
    }
}

/// What `ProtectHome=` keeps from a service (systemd.exec(5)).
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// Installs an example as it is, and starts the service anew. Whatever paths it names are to be there
/// in a form that a machine without them survives.
pub fn example_remedy(name: &str) -> String {
    format!(
        "install -D -m 0644 {EXAMPLES}/{name} {DIRECTORY}/{name}, set its paths to yours, then \
         systemctl daemon-reload && systemctl restart rolekeeper"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_somebody_elses_needs_its_directory_and_no_more_than_it_takes_to_give_it_away() {
        let caps = "CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE";
        let owner =
            [format!("CapabilityBoundingSet={caps}"), format!("AmbientCapabilities={caps}")];
        let there = "ReadWritePaths=-/srv/app".to_owned();
        let to_owner = delivery_lines("/srv/app", true, None);
        assert_eq!(to_owner, [&owner[..], std::slice::from_ref(&there)].concat());
        let to_group = delivery_lines("/srv/app", false, Some(34));
        assert_eq!(to_group, ["SupplementaryGroups=34".to_owned(), there]);
        for home in ["/home/alice/.aws", "/root", "/run/user/1000"] {
            let bind = format!("BindPaths=-{home}");
            assert_eq!(directory_lines(home), ["ProtectHome=tmpfs".to_owned(), bind]);
        }
        assert_eq!(directory_lines("/homes/x"), ["ReadWritePaths=-/homes/x"]);
    }

    #[test]
    fn a_line_is_one_word_for_the_shell_and_plain_for_systemd() {
        let line = "BindPaths=-/home/a b/100%".to_owned();
        let remedy = lines_remedy(&[line, "ProtectHome=tmpfs".to_owned()]);
        let expected = "printf '%s\\n' '[Service]' 'BindPaths=-/home/a b/100%%' \
                        ProtectHome=tmpfs >> /etc/systemd/system/rolekeeper.service.d/local.conf";
        assert!(remedy.contains(expected), "{remedy}");
    }
}
