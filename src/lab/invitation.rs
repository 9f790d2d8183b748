//! The line that a machine registers with, to be pasted into its shell.

use std::path::Path;

use crate::pure::secret::Secret;
use crate::pure::shell::in_shell;

#[derive(Debug)]
pub struct Invitation<'a> {
    pub activation_id: &'a str,
    pub activation_code: &'a Secret<String>,
    pub region: &'a str,
    pub endpoint_url: &'a str,
    /// What must be trusted to believe the endpoint, if the system does not.
    pub ca_bundle: Option<&'a Path>,
}

impl Invitation<'_> {
    /// For whoever has the machine's directories in hand.
    pub fn line(&self) -> Secret<String> {
        self.worded("")
    }

    /// For the system's own service. sudo keeps no variable by itself.
    pub fn line_as_root(&self) -> Secret<String> {
        self.worded(if self.ca_bundle.is_some() { "sudo env " } else { "sudo " })
    }

    /// The code comes by a pipe, so that no other user sees it among the arguments.
    fn worded(&self, become_root: &str) -> Secret<String> {
        let trust = self
            .ca_bundle
            .map(|bundle| format!("AWS_CA_BUNDLE={} ", in_shell(&bundle.to_string_lossy())))
            .unwrap_or_default();
        Secret::new(format!(
            "echo {} | {become_root}{trust}rolekeeper register --region {} --activation-id {} \
             --activation-code-file - --endpoint-url {}",
            self.activation_code.expose(),
            self.region,
            self.activation_id,
            self.endpoint_url,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation<'a>(code: &'a Secret<String>, ca_bundle: Option<&'a Path>) -> Invitation<'a> {
        Invitation {
            activation_id: "ID",
            activation_code: code,
            region: "us-east-1",
            endpoint_url: "http://127.0.0.1:4599",
            ca_bundle,
        }
    }

    #[test]
    fn the_line_says_all_that_register_needs() {
        let code = Secret::new("CODE".to_owned());
        let rest = "rolekeeper register --region us-east-1 --activation-id ID \
                    --activation-code-file - --endpoint-url http://127.0.0.1:4599";
        let plain = invitation(&code, None);
        assert_eq!(*plain.line().expose(), format!("echo CODE | {rest}"));
        assert_eq!(*plain.line_as_root().expose(), format!("echo CODE | sudo {rest}"));
        let over_tls = invitation(&code, Some(Path::new("/a b/ca.pem")));
        let trust = "AWS_CA_BUNDLE='/a b/ca.pem'";
        assert_eq!(*over_tls.line().expose(), format!("echo CODE | {trust} {rest}"));
        let line = over_tls.line_as_root();
        assert_eq!(*line.expose(), format!("echo CODE | sudo env {trust} {rest}"));
    }
}
