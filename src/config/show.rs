//! `config show`: the effective settings as a settings file, each line with its origin.

use std::fmt::{self, Display, Write};
use std::path::Path;

use super::{
    ConsumerSettings, DisabledTable, IdentitySettings, KeyOrigins, OnExpiry, Origin, Setting,
    Settings, Table, TargetSettings,
};
use crate::pure::assumption::Assumption;
use crate::pure::duration::display_duration;
use crate::pure::reload::Reload;

impl Settings {
    /// As TOML, with the default target, whose file `default_path` is. A proxy's account is left out;
    /// an absent value is a comment, and so is what is disabled.
    pub fn show(&self, default_path: &Path) -> String {
        let mut page = Page::default();
        page.identity(&self.identity);
        page.section("[service]");
        let region = self.region.value.as_ref().map(quoted);
        page.optional(
            "region",
            region,
            &self.region.origin,
            "from the registration, or as the source says",
        );
        let url = self.endpoint_url.value.as_ref().map(quoted);
        page.optional("endpoint_url", url, &self.endpoint_url.origin, "AWS's own for the region");
        let url = self.sts_endpoint_url.value.as_ref().map(quoted);
        let otherwise = "endpoint_url, or AWS's own for the region";
        page.optional("sts_endpoint_url", url, &self.sts_endpoint_url.origin, otherwise);
        page.setting("fips", &self.fips);
        page.setting("dual_stack", &self.dual_stack);
        let bundle = self.ca_bundle.value.as_ref().map(|path| quoted(path.display()));
        page.optional("ca_bundle", bundle, &self.ca_bundle.origin, "the system's certificates");
        let proxy = self.proxy.value.as_deref().map(|url| quoted(without_account(url)));
        page.optional("proxy", proxy, &self.proxy.origin, "from the environment");
        page.line("timeout", quoted(display_duration(self.timeout.value)), &self.timeout.origin);
        page.section("[refresh]");
        let interval = quoted(display_duration(self.interval.value));
        page.line("interval", interval, &self.interval.origin);
        page.line("on_expiry", quoted(self.on_expiry.value), &self.on_expiry.origin);
        page.section("[health]");
        page.setting("enabled", &self.health);
        let interval = quoted(display_duration(self.health_interval.value));
        page.line("interval", interval, &self.health_interval.origin);
        page.section("[log]");
        page.line("level", quoted(self.log_level.value), &self.log_level.origin);
        for (section, listen) in [
            ("[endpoint.container]", &self.container_listen),
            ("[endpoint.imds]", &self.imds_listen),
        ] {
            if let Some(address) = listen.value {
                page.section(section);
                page.line("listen", quoted(address), &listen.origin);
            }
        }
        if let Some(program) = &self.systemctl.value {
            page.section("[reload]");
            page.line("systemctl", quoted(program.display()), &self.systemctl.origin);
        }
        page.section("[targets]");
        page.setting("default", &self.default_target);
        if let Some(target) = self.default_target(default_path) {
            page.target(&target);
        }
        for table in self.targets.in_order() {
            match table {
                Table::Usable(target) => page.target(target),
                Table::Disabled(disabled) => page.disabled(disabled),
            }
        }
        for table in self.consumers.in_order() {
            match table {
                Table::Usable(consumer) => page.consumer(consumer),
                Table::Disabled(disabled) => page.disabled(disabled),
            }
        }
        page.0
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn section(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(title);
        self.0.push('\n');
    }

    fn setting<T: Display>(&mut self, name: &str, setting: &Setting<T>) {
        self.line(name, &setting.value, &setting.origin);
    }

    fn optional(&mut self, name: &str, value: Option<String>, origin: &Origin, otherwise: &str) {
        match value {
            Some(value) => self.line(name, value, origin),
            // Writing to a String cannot fail.
            None => {
                let _ = writeln!(self.0, "# {name}: {otherwise}");
            }
        }
    }

    fn line(&mut self, name: &str, value: impl Display, origin: &Origin) {
        let assignment = format!("{name} = {value}");
        let _ = writeln!(self.0, "{assignment:<48} # {origin}");
    }

    fn key(&mut self, name: &str, value: impl Display, keys: &KeyOrigins) {
        self.line(name, value, keys.of(name));
    }

    fn disabled(&mut self, disabled: &DisabledTable) {
        let kind = disabled.fault.kind.name();
        let _ = write!(self.0, "\n# [[{kind}]] is disabled: {}\n", disabled.fault);
    }

    fn identity(&mut self, identity: &IdentitySettings) {
        self.section("[identity]");
        self.line("source", quoted(identity.source.value), &identity.source.origin);
        let (metadata, container, token) = (
            &identity.metadata_endpoint_url,
            &identity.container_credentials_url,
            &identity.container_token_file,
        );
        let url = metadata.value.as_ref().map(quoted);
        let otherwise = "the address that every EC2 instance has";
        self.optional("metadata_endpoint_url", url, &metadata.origin, otherwise);
        let url = container.value.as_deref().map(|url| match container.origin {
            // In ECS the path is what tells one container from another.
            Origin::Environment(_) => quoted(without_path(url)),
            _ => quoted(url),
        });
        let otherwise = "from the environment";
        self.optional("container_credentials_url", url, &container.origin, otherwise);
        let path = token.value.as_ref().map(|path| quoted(path.display()));
        self.optional("container_token_file", path, &token.origin, otherwise);
    }

    fn target(&mut self, target: &TargetSettings) {
        let TargetSettings { name, path, profile, owner, group, mode, .. } = target;
        let TargetSettings { assumption, reload, origin: _, keys, .. } = target;
        self.section("[[target]]");
        self.key("name", quoted(name), keys);
        self.key("path", quoted(path.display()), keys);
        self.key("profile", quoted(profile), keys);
        for (name, account) in [("owner", owner), ("group", group)] {
            if let Some(account) = account {
                self.key(name, quoted(account), keys);
            }
        }
        self.key("mode", quoted(format_args!("{mode:04o}")), keys);
        if let Some(reload) = reload {
            self.reload(reload, keys);
        }
        if let Some(assumption) = assumption {
            self.role(assumption, keys);
        }
    }

    fn reload(&mut self, reload: &Reload, keys: &KeyOrigins) {
        let Reload { unit, signal, pace } = reload;
        let unit = format!("unit = {}", quoted(unit));
        let signal = signal.as_ref().map(|signal| format!("signal = {}", quoted(signal)));
        let min_interval = quoted(display_duration(pace.min_interval));
        let jitter = quoted(display_duration(pace.jitter));
        let pace = format!("min_interval = {min_interval}, jitter = {jitter}");
        let parts = [Some(unit), signal, Some(pace)].into_iter().flatten().collect::<Vec<_>>();
        self.key("reload", format_args!("{{ {} }}", parts.join(", ")), keys);
    }

    fn role(&mut self, assumption: &Assumption, keys: &KeyOrigins) {
        match assumption.chain.roles() {
            // Of a chain of one, too.
            [role] => {
                let chain = keys.of("role_chain");
                let origin = if *chain == Origin::Default { keys.of("role_arn") } else { chain };
                self.line("role_arn", quoted(role), origin);
            }
            roles => self.key("role_chain", list(roles), keys),
        }
        let texts = [
            ("session_name", assumption.session_name.as_ref().map(quoted)),
            ("external_id", assumption.external_id.as_ref().map(quoted)),
            ("source_identity", assumption.source_identity.as_ref().map(quoted)),
        ];
        for (key, value) in texts {
            value.into_iter().for_each(|value| self.key(key, value, keys));
        }
        let tags = assumption.tags.iter();
        let transitive = tags.clone().filter(|(_, _, is_transitive)| *is_transitive);
        let transitive = transitive.map(|(key, ..)| key).collect::<Vec<_>>();
        if !assumption.tags.is_empty() {
            let tags = tags.map(|(key, value, _)| format!("{} = {}", quoted(key), quoted(value)));
            let tags = tags.collect::<Vec<_>>().join(", ");
            self.key("tags", format_args!("{{ {tags} }}"), keys);
        }
        if !transitive.is_empty() {
            self.key("transitive_tags", list(&transitive), keys);
        }
        self.key("duration", quoted(assumption.duration), keys);
        if let Some(policy) = &assumption.policy {
            self.key("session_policy", quoted(policy), keys);
        }
        if !assumption.policy_arns.is_empty() {
            self.key("session_policy_arns", list(&assumption.policy_arns), keys);
        }
    }
}

impl Page {
    fn consumer(&mut self, consumer: &ConsumerSettings) {
        let ConsumerSettings { name, target, users, groups, units, executables, .. } = consumer;
        let ConsumerSettings { assumption, token_file, origin: _, keys, .. } = consumer;
        self.section("[[consumer]]");
        self.key("name", quoted(name), keys);
        if let Some(target) = target {
            self.key("target", quoted(target), keys);
        }
        let executables = executables.iter().map(|path| path.display().to_string()).collect();
        for (name, list) in
            [("users", users), ("groups", groups), ("units", units), ("executables", &executables)]
        {
            if !list.is_empty() {
                let list = list.iter().map(quoted).collect::<Vec<_>>().join(", ");
                self.key(name, format_args!("[{list}]"), keys);
            }
        }
        if let Some(file) = token_file {
            self.key("token_file", quoted(file.path.display()), keys);
            for (name, account) in [("owner", &file.owner), ("group", &file.group)] {
                if let Some(account) = account {
                    self.key(name, quoted(account), keys);
                }
            }
            self.key("mode", quoted(format_args!("{:04o}", file.mode)), keys);
        }
        if let Some(assumption) = assumption {
            self.role(assumption, keys);
        }
    }
}

impl Display for OnExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Withdraw => "withdraw",
        })
    }
}

fn quoted(text: impl Display) -> String {
    toml::Value::String(text.to_string()).to_string()
}

fn list(items: &[impl Display]) -> String {
    format!("[{}]", items.iter().map(quoted).collect::<Vec<_>>().join(", "))
}

/// `http://169.254.170.2/v2/credentials/…` as `http://169.254.170.2/***`.
fn without_path(url: &str) -> String {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (host, _) = rest.split_once('/')?;
        Some(format!("{scheme}://{host}/***"))
    });
    parts.unwrap_or_else(|| url.to_owned())
}

/// `http://user:password@proxy` as `http://***@proxy`: either of the two may be a token.
pub fn without_account(url: &str) -> String {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (_, host) = rest[..end].rsplit_once('@')?;
        Some(format!("{scheme}://***@{host}{}", &rest[end..]))
    });
    parts.unwrap_or_else(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::read;
    use super::*;

    #[test]
    fn what_is_shown_reads_back_as_the_same_settings() {
        let text = "[service]\nregion = \"eu-central-1\"\n[[target]]\nname = \"a\"\npath = \"/c\"\n\
                    owner = \"backup\"\nreload = { unit = \"a.service\", signal = \"SIGHUP\" }\n\
                    [reload]\nsystemctl = \"/s\"\n[[consumer]]\nname = \"b\"\nusers = [\"x\", \"y\"]\n\
                    units = [\"b.service\"]\ntoken_file = \"/t\"\ngroup = \"x\"\n\
                    [endpoint.imds]\nlisten = \"127.0.0.1:1339\"\n[refresh]\non_expiry = \"keep\"\n";
        let settings = read(text).unwrap();
        let again = read(&settings.show("/default".as_ref())).unwrap();
        assert_eq!(again.region.value, settings.region.value);
        assert_eq!(again.on_expiry.value, OnExpiry::Keep);
        assert_eq!(again.targets[1].owner, settings.targets[0].owner);
        assert!(settings.targets[0].reload.is_some());
        assert_eq!(again.targets[1].reload, settings.targets[0].reload);
        assert_eq!(again.systemctl.value, settings.systemctl.value);
        assert_eq!(again.consumers[0].users, ["x", "y"]);
        assert_eq!(again.consumers[0].units, settings.consumers[0].units);
        assert_eq!(again.consumers[0].token_file, settings.consumers[0].token_file);
        assert_eq!(again.imds_listen.value, settings.imds_listen.value);
        assert_eq!(again.targets[0].name, "default");
        assert!(settings.show("/default".as_ref()).contains("# /etc/x.toml:2"));
    }
    #[test]
    fn a_role_that_is_shown_reads_back_as_the_same_role() {
        let text = r#"
[[target]]
name = "a"
path = "/c"
role_chain = ["arn:aws:iam::111122223333:role/hub", "arn:aws:iam::444455556666:role/leaf"]
session_name = "nightly"
external_id = "ours"
source_identity = "alice"
tags = { "Cost Center" = "42", Team = "a" }
transitive_tags = ["Team"]
duration = "20m"
session_policy = '{ "Statement": [ { "Effect": "Allow", "Action": "s3:Get*", "Resource": "*" } ] }'
session_policy_arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
[[target]]
name = "b"
path = "/d"
role_arn = "arn:aws:iam::111122223333:role/b"
"#;
        let settings = read(text).unwrap();
        let again = read(&settings.show("/default".as_ref())).unwrap();
        for (shown, target) in again.targets.iter().skip(1).zip(&settings.targets) {
            assert!(target.assumption.is_some());
            assert_eq!(shown.assumption, target.assumption);
        }
    }

    #[test]
    fn a_containers_path_is_not_shown_when_the_environment_tells_it() {
        assert_eq!(without_path("http://169.254.170.2/v2/uuid"), "http://169.254.170.2/***");
        assert_eq!(without_path("http://169.254.170.2"), "http://169.254.170.2");
        assert_eq!(without_path("odd/path"), "odd/path");
    }

    #[test]
    fn a_source_that_is_shown_reads_back_as_the_same_source() {
        let text = "[identity]\nsource = \"container\"\n\
                    metadata_endpoint_url = \"http://127.0.0.1:1339\"\n\
                    container_credentials_url = \"http://127.0.0.1:1338/x\"\n\
                    container_token_file = \"/t\"\n";
        let settings = read(text).unwrap();
        let again = read(&settings.show("/default".as_ref())).unwrap();
        let (again, settings) = (again.identity, settings.identity);
        assert_eq!(again.source.value, settings.source.value);
        assert_eq!(again.metadata_endpoint_url.value, settings.metadata_endpoint_url.value);
        assert_eq!(again.container_credentials_url.value, settings.container_credentials_url.value);
        assert_eq!(again.container_token_file.value, settings.container_token_file.value);
    }

    #[test]
    fn neither_user_nor_password_of_a_proxy_is_shown() {
        for (url, expected) in [
            ("http://me:hunter2@proxy:3128", "http://***@proxy:3128"),
            ("http://token@proxy:3128", "http://***@proxy:3128"),
            ("http://token:@proxy:3128/x?y", "http://***@proxy:3128/x?y"),
            ("http://a@b:c@proxy", "http://***@proxy"),
            ("http://proxy:3128", "http://proxy:3128"),
            ("http://proxy/a@b", "http://proxy/a@b"),
        ] {
            assert_eq!(without_account(url), expected);
        }
        let shown = read("[service]\nproxy = \"http://token@proxy:1\"\n").unwrap();
        let shown = shown.show("/default".as_ref());
        assert!(shown.contains("***@proxy:1") && !shown.contains("token@"), "{shown}");
    }

    #[test]
    fn each_key_is_shown_with_its_own_file_and_line() {
        let role = "arn:aws:iam::111122223333:role/r";
        let one = format!(
            "[service]\nfips = true\n[[target]]\nname = \"a\"\npath = \"/c\"\nrole_chain = [\"{role}\"]\n\
             [[consumer]]\nname = \"c\"\nusers = [\"x\"]\n"
        );
        let two = "[service]\ndual_stack = true\n[[target]]\nmode = \"0644\"\nname = \"a\"\n\
                   [[consumer]]\nname = \"c\"\n\ngroups = [\"g\"]\n";
        let files = [("/etc/1.toml", one.as_str()), ("/etc/2.toml", two)];
        let shown = super::super::file::tests::read_all(&files).unwrap().show("/default".as_ref());
        for (line, origin) in [
            ("fips = true", "/etc/1.toml:2"),
            ("dual_stack = true", "/etc/2.toml:2"),
            ("path = \"/c\"", "/etc/1.toml:5"),
            ("role_arn = \"arn", "/etc/1.toml:6"),
            ("mode = \"0644\"", "/etc/2.toml:4"),
            ("users = [\"x\"]", "/etc/1.toml:9"),
            ("groups = [\"g\"]", "/etc/2.toml:9"),
            ("duration = \"1h\"", "default"),
        ] {
            let found = shown.lines().find(|it| it.starts_with(line)).unwrap();
            assert!(found.ends_with(&format!(" # {origin}")), "{found}");
        }
    }
}
