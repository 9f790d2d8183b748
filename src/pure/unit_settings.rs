//! What a unit sets, as `systemctl show` prints it, and files of variables as the service manager
//! reads them (systemd.exec(5), `EnvironmentFile=`).

/// Whom a unit runs as, by the account database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    pub name: String,
    pub home: Option<String>,
    pub shell: Option<String>,
}

/// Shells of those who do not log in, which systemd does not set (`is_nologin_shell`).
const NO_SHELLS: [&str; 6] = [
    "/bin/false",
    "/bin/true",
    "/sbin/nologin",
    "/usr/bin/false",
    "/usr/bin/true",
    "/usr/sbin/nologin",
];

impl Login {
    /// What systemd sets of it, before all that the unit sets. A home directory that is none it leaves
    /// out, and whatever the database says of `nobody` (`get_user_creds` with `USER_CREDS_CLEAN`).
    fn variables(&self) -> Vec<(String, String)> {
        let is_somebody = |_: &&String| self.name != "nobody";
        let home = self.home.as_ref().filter(is_somebody);
        let home = home.filter(|home| home.starts_with('/') && *home != "/");
        let shell = self.shell.as_ref().filter(is_somebody);
        let shell =
            shell.filter(|shell| shell.starts_with('/') && !NO_SHELLS.contains(&shell.as_str()));
        let all = [
            ("HOME", home),
            ("LOGNAME", Some(&self.name)),
            ("SHELL", shell),
            ("USER", Some(&self.name)),
        ];
        let set = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
        set.map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }
}

/// The properties that say how a unit's program is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitSettings {
    pub id: Option<String>,
    pub load_state: Option<String>,
    pub main_pid: Option<i32>,
    pub user: Option<String>,
    /// Whether the account's variables are asked for. "No" is also what systemd prints of a unit that
    /// says nothing, and of those with a user it sets them then.
    pub login_environment: bool,
    pub environment: Vec<(String, String)>,
    pub environment_files: Vec<String>,
    /// Names, or whole assignments.
    pub unset: Vec<String>,
    pub executable: Option<String>,
    pub command: Vec<String>,
}

impl UnitSettings {
    /// Reads `NAME=VALUE` lines. What it does not know is left out.
    pub fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            match name {
                "Id" => settings.id = Some(value.to_owned()),
                "LoadState" => settings.load_state = Some(value.to_owned()),
                "MainPID" => settings.main_pid = value.parse().ok().filter(|pid| *pid > 0),
                "User" => settings.user = Some(value.to_owned()),
                "SetLoginEnvironment" => settings.login_environment = value == "yes",
                "Environment" => {
                    let words = words(value);
                    let pairs = words.iter().filter_map(|word| word.split_once('='));
                    let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
                    settings.environment.extend(owned);
                }
                "EnvironmentFiles" => {
                    let path =
                        value.rsplit_once(" (ignore_errors=").map_or(value, |(path, _)| path);
                    settings.environment_files.push(path.to_owned());
                }
                "UnsetEnvironment" => settings.unset.extend(words(value)),
                "ExecStart" if settings.executable.is_none() => settings.set_command(value),
                _ => {}
            }
        }
        settings
    }

    /// The name of the account whose variables systemd sets (systemd.exec(5), `User=` and
    /// `SetLoginEnvironment=`).
    pub fn login(&self) -> Option<&str> {
        self.user.as_deref().or(self.login_environment.then_some("root"))
    }

    /// What the unit's program would find, as the kernel hands it over: of what systemd adds by itself
    /// only the account's variables. `files` are the texts of the environment files. Of two that set
    /// the same the later counts, and so comes first.
    pub fn block(&self, login: Option<&Login>, files: impl IntoIterator<Item = String>) -> Vec<u8> {
        let mut pairs = login.map(Login::variables).unwrap_or_default();
        pairs.extend(self.environment.iter().cloned());
        pairs.extend(files.into_iter().flat_map(|text| environment_file(&text)));
        pairs.retain(|(name, value)| {
            let whole = format!("{name}={value}");
            !self.unset.iter().any(|unset| unset == name || *unset == whole)
        });
        let entries = pairs.iter().rev().map(|(name, value)| format!("{name}={value}\0"));
        entries.collect::<String>().into_bytes()
    }

    /// `{ path=/usr/bin/x ; argv[]=/usr/bin/x --flag ; … }`
    fn set_command(&mut self, value: &str) {
        let part = |name: &str| {
            let parts = value.trim_start_matches('{').split(" ; ");
            parts.map(str::trim).find_map(|part| part.strip_prefix(name))
        };
        self.executable = part("path=").map(str::to_owned);
        let words = part("argv[]=").unwrap_or_default().split_whitespace();
        self.command = words.map(str::to_owned).collect();
    }
}

/// The variables of a file. Comments, and lines that set nothing, are left out; a value may be quoted,
/// and go on over lines behind a backslash.
fn environment_file(text: &str) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let joined = text.replace("\\\n", "");
    for line in joined.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        let value = words(value).join(" ");
        variables.push((name.trim().to_owned(), value));
    }
    variables
}

/// Words as a shell would part them: quotes hold together, a backslash takes the next as it is.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => {
                word.get_or_insert_default().extend(letters.next());
            }
            (letter, Some(open)) if letter == open => quote = None,
            (letter, Some(_)) => word.get_or_insert_default().push(letter),
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, None) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_systemctl_prints_is_read() {
        let settings = UnitSettings::parse(
            "Id=web.service\nLoadState=loaded\nMainPID=0\nUser=web\n\
             SetLoginEnvironment=no\n\
             Environment=A=1 \"B=two words\" C=a\\\"b\n\
             EnvironmentFiles=/etc/default/web (ignore_errors=yes)\n\
             EnvironmentFiles=/etc/a b (ignore_errors=no)\nUnsetEnvironment=X Y=1\n\
             ExecStart={ path=/usr/bin/python3 ; argv[]=/usr/bin/python3 /srv/app.py ; pid=0 }\n",
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = UnitSettings {
            id: Some("web.service".into()),
            load_state: Some("loaded".into()),
            main_pid: None,
            user: Some("web".into()),
            login_environment: false,
            environment: vec![pair("A", "1"), pair("B", "two words"), pair("C", "a\"b")],
            environment_files: vec!["/etc/default/web".into(), "/etc/a b".into()],
            unset: vec!["X".into(), "Y=1".into()],
            executable: Some("/usr/bin/python3".into()),
            command: vec!["/usr/bin/python3".into(), "/srv/app.py".into()],
        };
        assert_eq!(settings, expected);
        assert_eq!(UnitSettings::parse("MainPID=17\nUser=\n").main_pid, Some(17));
    }

    #[test]
    fn a_later_variable_counts_and_what_is_unset_is_gone() {
        let settings = UnitSettings::parse("Environment=A=1 B=2 C=3\nUnsetEnvironment=B C=4\n");
        let block = settings.block(None, ["A=5\nB=6\n".to_owned()]);
        assert_eq!(String::from_utf8(block).unwrap(), "A=5\0C=3\0A=1\0");
    }

    #[test]
    fn the_accounts_variables_come_before_what_the_unit_sets() {
        let block = |text: &str, home: &str, shell: &str| {
            let settings = UnitSettings::parse(text);
            let (home, shell) = (Some(home.to_owned()), Some(shell.to_owned()));
            let login = settings.login().map(|name| Login { name: name.into(), home, shell });
            String::from_utf8(settings.block(login.as_ref(), None)).unwrap()
        };
        assert_eq!(
            block("User=web\n", "/srv/web", "/bin/sh"),
            "USER=web\0SHELL=/bin/sh\0LOGNAME=web\0HOME=/srv/web\0"
        );
        let unit = "User=web\nEnvironment=HOME=/x\nUnsetEnvironment=USER LOGNAME\n";
        assert_eq!(block(unit, "/srv/web", "/usr/sbin/nologin"), "HOME=/x\0HOME=/srv/web\0");
        assert_eq!(block("User=web\n", "/", ""), "USER=web\0LOGNAME=web\0");
        let nobody = block("User=nobody\n", "/nonexistent", "/bin/sh");
        assert_eq!(nobody, "USER=nobody\0LOGNAME=nobody\0");
        assert_eq!(block("Id=web.service\n", "/root", "/bin/sh"), "");
        let asked = block("SetLoginEnvironment=yes\n", "/root", "");
        assert_eq!(asked, "USER=root\0LOGNAME=root\0HOME=/root\0");
    }

    #[test]
    fn a_file_of_variables_is_read_as_the_service_manager_does() {
        let text =
            "# AWS_PROFILE=x\n; y\n\nAWS_PROFILE = web \nA=\"b c\" \nB=one\\\n two\nnothing\n";
        let read = environment_file(text);
        let read = read.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let expected = [("AWS_PROFILE", "web"), ("A", "b c"), ("B", "one two")];
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\PC|[\"'\\\\\n= ;{}]){0,120}") {
            UnitSettings::parse(&text);
            environment_file(&text);
        }

        #[test]
        fn plain_words_are_parted_at_blanks(parts in proptest::collection::vec("[a-z=]{1,5}", 0..6)) {
            prop_assert_eq!(words(&parts.join("  ")), parts);
        }
    }
}
