//! `rolekeeper export`

use clap::{Args, ValueEnum};
use serde::Serialize;
use zeroize::Zeroizing;

use super::vended::vended;
use super::{Places, print, region};
use crate::control::Complaint;
use crate::pure::advice::Exit;
use crate::pure::role_token::RoleToken;
use crate::shelf::Moment;

/// Print credentials as `aws configure export-credentials` does
///
/// Asks the daemon, as credential-process does. For a shell there are AWS_REGION and AWS_DEFAULT_REGION,
/// too, the daemon's region: unless the profile in the config file has a region, or one is set, which then says the other.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Export {
    /// A target's or a consumer's name [default: the first that this user may have]
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Process)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  eval \"$(rolekeeper export --format env)\"
  (umask 077; rolekeeper export --format env-no-export > credentials.env)
  rolekeeper export --format fish | source";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// JSON, as credential_process prints it
    Process,
    /// export NAME=VALUE
    Env,
    /// NAME=VALUE
    EnvNoExport,
    /// $Env:NAME="VALUE"
    Powershell,
    /// set NAME=VALUE
    WindowsCmd,
    /// set -gx NAME "VALUE"
    Fish,
}

/// The members in the order in which the AWS CLI prints them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Process<'a> {
    version: u8,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: &'a str,
    expiration: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
}

impl Export {
    pub(super) fn execute(self, places: &Places) -> Result<(), Complaint> {
        let vended = vended(places, self.target.as_deref())?;
        print(&self.format.write(&vended.token)?)?;
        if self.format == Format::Process {
            return Ok(());
        }
        // A region has letters, digits and hyphens, which every shell takes as they are.
        let region = region::variables(vended.region.as_ref(), false);
        let lines = region.iter().flat_map(|(name, value)| self.format.line(name, value));
        print(&lines.collect::<String>())
    }
}

/// What the AWS SDKs read from the environment.
pub(super) fn variables<'a>(
    token: &'a RoleToken,
    expiration: &'a str,
) -> [(&'static str, &'a str); 4] {
    [
        ("AWS_ACCESS_KEY_ID", token.access_key_id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", token.secret_access_key.expose()),
        ("AWS_SESSION_TOKEN", token.session_token.expose()),
        ("AWS_CREDENTIAL_EXPIRATION", expiration),
    ]
}

impl Format {
    /// The credentials' text, its end included. No shell takes it for anything but values: whoever
    /// can make the service answer something else does not get it run.
    pub(super) fn write(self, token: &RoleToken) -> Result<Zeroizing<String>, Complaint> {
        let expiration = Moment(token.expires_at).to_string();
        let variables = variables(token, &expiration);
        // Room for all of it at once: a text that grew would leave its old halves in memory.
        let room = variables.iter().map(|(name, value)| name.len() + 2 * value.len() + 32).sum();
        let mut text = Zeroizing::new(String::with_capacity(room));
        if let Self::Process = self {
            let [(_, access_key_id), (_, secret_access_key), (_, session_token), _] = variables;
            let expiration = Moment(token.expires_at);
            let account_id = token.account_id();
            let process = Process {
                version: 1,
                access_key_id,
                secret_access_key,
                session_token,
                expiration,
                account_id,
            };
            let json = Zeroizing::new(serde_json::to_string(&process).unwrap_or_default());
            text.extend([json.as_str(), "\n"]);
            return Ok(text);
        }
        for (name, value) in variables {
            if !is_plain(value) {
                return Err(Complaint::new(
                    Exit::BadData,
                    format!("{name} has a character that a shell might take for more than that"),
                    "rolekeeper export --format process",
                ));
            }
            text.extend(self.line(name, value));
        }
        Ok(text)
    }

    fn line<'a>(self, name: &'a str, value: &'a str) -> [&'a str; 5] {
        match self {
            Self::Process | Self::EnvNoExport => ["", name, "=", value, "\n"],
            Self::Env => ["export ", name, "=", value, "\n"],
            Self::Powershell => ["$Env:", name, "=\"", value, "\"\n"],
            Self::WindowsCmd => ["set ", name, "=", value, "\n"],
            Self::Fish => ["set -gx ", name, " \"", value, "\"\n"],
        }
    }
}

/// Base64, base64url, and what a time has: nothing that any of the shells expands, unquoted.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=-_.:".contains(&b))
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;
    use crate::pure::secret::Secret;

    fn token(secret: &str) -> RoleToken {
        RoleToken::new(
            Some("ASIAEXAMPLE000000001".into()),
            Some(Secret::new(secret.into())),
            Some(Secret::new("the/token+of==".into())),
            utc_datetime!(2026-11-22 00:00),
            Some(utc_datetime!(2026-11-22 01:00:00.9)),
            false,
        )
        .unwrap()
    }

    #[test]
    fn credential_process_gets_its_documented_bytes() {
        let text = Format::Process.write(&token("sec/r+et")).unwrap();
        assert_eq!(
            text.as_str(),
            "{\"Version\":1,\"AccessKeyId\":\"ASIAEXAMPLE000000001\",\
             \"SecretAccessKey\":\"sec/r+et\",\"SessionToken\":\"the/token+of==\",\
             \"Expiration\":\"2026-11-22T01:00:00Z\"}\n"
        );
        let role = "arn:aws:iam::111122223333:role/web".parse().unwrap();
        let text = Format::Process.write(&token("sec/r+et").of(role)).unwrap();
        assert!(text.ends_with("Z\",\"AccountId\":\"111122223333\"}\n"), "{}", text.as_str());
    }

    #[test]
    fn a_secret_that_a_shell_would_run_is_not_printed_for_one() {
        for secret in ["a$(reboot)", "a;reboot", "`reboot`x", "a|b", "a&b", "a\"b", "%PATH%", "a\\"]
        {
            let token = token(secret);
            for format in Format::value_variants() {
                let written = format.write(&token);
                assert_eq!(written.is_ok(), *format == Format::Process, "{format:?} {secret}");
            }
        }
    }
}
