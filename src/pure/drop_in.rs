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
    fn a_line_is_one_word_for_the_shell_and_plain_for_systemd() {
        let line = "BindPaths=-/home/a b/100%".to_owned();
        let remedy = lines_remedy(&[line, "ProtectHome=tmpfs".to_owned()]);
        let expected = "printf '%s\\n' '[Service]' 'BindPaths=-/home/a b/100%%' \
                        ProtectHome=tmpfs >> /etc/systemd/system/rolekeeper.service.d/local.conf";
        assert!(remedy.contains(expected), "{remedy}");
    }
}
