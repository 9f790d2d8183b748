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
    pub group: Option<String>,
    pub supplementary_groups: Vec<String>,
    /// Whether its network is one of its own, which nobody else is in.
    pub private_network: bool,
    /// The file of the network namespace that it joins.
    pub network_namespace: Option<String>,
    /// Whether the account's variables are asked for. "No" is also what systemd prints of a unit that
    /// says nothing, and of those with a user it sets them then.
    pub login_environment: bool,
    /// What the service manager hands to each unit: `DefaultEnvironment=` and `systemctl set-environment`.
    pub manager_environment: Vec<(String, String)>,
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
                "Group" => settings.group = Some(value.to_owned()),
                "SupplementaryGroups" => settings.supplementary_groups.extend(words(value)),
                "PrivateNetwork" => settings.private_network = value == "yes",
                "NetworkNamespacePath" => settings.network_namespace = Some(value.to_owned()),
                "SetLoginEnvironment" => settings.login_environment = value == "yes",
                "Environment" => settings.environment.extend(assignments(value)),
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
        let mut pairs = self.manager_environment.clone();
        pairs.extend(login.map(Login::variables).unwrap_or_default());
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

/// The assignments of an `Environment=` that `systemctl show` prints.
fn assignments(value: &str) -> Vec<(String, String)> {
    let words = words(value);
    let pairs = words.iter().filter_map(|word| word.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The variables of a file, as systemd reads it (`parse_env_file_internal` of `src/basic/env-file.c`):
/// quotes count only where a value begins or where one has just ended, and what stands behind a closing
/// quote belongs to the value. What is no name is left out (`env_name_is_valid`). A backslash at the end of a comment has nothing go on, as of systemd 254.
fn environment_file(text: &str) -> Vec<(String, String)> {
    let mut reader = EnvironmentFile::default();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        reader.read(letter, &mut letters);
    }
    reader.end_of_line();
    let is_name = |name: &str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
    };
    reader.variables.retain(|(name, _)| is_name(name));
    reader.variables
}

/// Reads a file of variables.
#[derive(Default)]
struct EnvironmentFile {
    variables: Vec<(String, String)>,
    name: String,
    value: String,
    /// So much of the value stays, be it blanks at the end.
    kept: usize,
    part: Part,
}

/// Where in a line the reader is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    BeforeName,
    Name,
    BeforeValue,
    Value,
    Comment,
}

impl EnvironmentFile {
    fn read(&mut self, letter: char, rest: &mut std::str::Chars<'_>) {
        let ends_line = matches!(letter, '\n' | '\r');
        let is_blank = ends_line || matches!(letter, ' ' | '\t');
        match (self.part, letter) {
            (Part::BeforeName, '#' | ';') => self.part = Part::Comment,
            (Part::BeforeName, _) if is_blank => {}
            _ if ends_line => self.end_of_line(),
            (Part::Comment, _) => {}
            (Part::Name, '=') => self.part = Part::BeforeValue,
            (Part::BeforeName | Part::Name, _) => {
                self.part = Part::Name;
                self.name.push(letter);
            }
            (Part::BeforeValue, '\'') => {
                self.value.extend(rest.by_ref().take_while(|c| *c != '\''));
                self.kept = self.value.len();
            }
            (Part::BeforeValue, '"') => {
                self.double_quoted(rest);
                self.kept = self.value.len();
            }
            (Part::BeforeValue, _) if is_blank => {}
            (Part::BeforeValue | Part::Value, '\\') => {
                self.part = Part::Value;
                // An escaped end of a line is eaten up.
                self.value.extend(rest.next().filter(|next| !matches!(next, '\n' | '\r')));
                self.kept = self.value.len();
            }
            (Part::BeforeValue | Part::Value, _) => {
                self.part = Part::Value;
                self.value.push(letter);
            }
        }
    }

    /// As a shell: a backslash stands for itself before what needs none.
    fn double_quoted(&mut self, rest: &mut std::str::Chars<'_>) {
        while let Some(letter) = rest.next().filter(|letter| *letter != '"') {
            match letter {
                '\\' => match rest.next() {
                    Some(next @ ('"' | '\\' | '`' | '$')) => self.value.push(next),
                    Some('\n') | None => {}
                    Some(next) => self.value.extend(['\\', next]),
                },
                _ => self.value.push(letter),
            }
        }
    }

    fn end_of_line(&mut self) {
        let variables = std::mem::take(&mut self.variables);
        let Self { name, mut value, kept, part, .. } = std::mem::take(self);
        self.variables = variables;
        if matches!(part, Part::BeforeValue | Part::Value) {
            let end = value[kept..].trim_end_matches([' ', '\t']).len();
            value.truncate(kept + end);
            self.variables.push((name.trim_end().to_owned(), value));
        }
    }
}

/// Words as `systemctl show` prints them (`shell_maybe_quote`): in double quotes where they must be, with
/// control characters written out as in C.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut is_quoted = false;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => word.get_or_insert_default().extend(unescaped(&mut letters)),
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// What stands for the letters behind a backslash (`cescape_char`).
fn unescaped(letters: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match letters.next()? {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        first @ '0'..='3' => {
            let digits = [first, letters.next()?, letters.next()?];
            let number = digits.iter().try_fold(0, |sum, d| Some(sum * 8 + d.to_digit(8)?))?;
            char::from_u32(number)?
        }
        itself => itself,
    })
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
             Group=www\nSupplementaryGroups=rolekeeper adm\nPrivateNetwork=yes\n\
             NetworkNamespacePath=/run/netns/web\n\
             Environment=A=1 \"B=two words\" \"C=a\\\"b\\n\\t'\"\n\
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
            group: Some("www".into()),
            supplementary_groups: vec!["rolekeeper".into(), "adm".into()],
            private_network: true,
            network_namespace: Some("/run/netns/web".into()),
            login_environment: false,
            manager_environment: Vec::new(),
            environment: vec![pair("A", "1"), pair("B", "two words"), pair("C", "a\"b\n\t'")],
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
        let manager_environment = vec![("A".into(), "0".into()), ("B".into(), "0".into())];
        let settings = UnitSettings { manager_environment, ..settings };
        let block = settings.block(None, None);
        assert_eq!(String::from_utf8(block).unwrap(), "C=3\0A=1\0A=0\0");
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

    /// Each as systemd 252 read it: `systemd-run -p EnvironmentFile=` with `env`.
    #[test]
    fn a_file_of_variables_is_read_as_the_service_manager_does() {
        for (text, expected) in [
            ("# A=x\n; A=y\n\nA = web \nnothing\n", "web"),
            ("A=\"b c\" \n", "b c"),
            ("A=one\\\n two\n", "one two"),
            ("A=two  blanks\n", "two  blanks"),
            ("A=\"b  c\"\n", "b  c"),
            ("A=arn \"inner\" it's\n", "arn \"inner\" it's"),
            ("A='b'\"c\"d\n", "bcd"),
            ("A=\"b \" c \n", "b c"),
            ("A=\"b \"  \n", "b "),
            ("A=b\\ \n", "b "),
            ("A=\\\"b\\\"\n", "\"b\""),
            ("A='it\\n'\n", "it\\n"),
            ("A=\"\\$X \\n \\\"\"\n", "$X \\n \""),
            ("A=b # c\n", "b # c"),
            ("A='two\nlines'\n", "two\nlines"),
            ("A=1\r\nB=2", "1"),
            ("A=", ""),
            ("A='open\nB=1\n", "open\nB=1\n"),
        ] {
            let read = environment_file(text);
            let read = read.iter().find(|(name, _)| name == "A").map(|(_, value)| value.as_str());
            assert_eq!(read, Some(expected), "{text:?}");
        }
        for text in ["export A=1", "1A=1", "=1", "A B=1", "A-B=1", "A", "#A=1", "  ;A=1"] {
            assert_eq!(environment_file(text), [], "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\PC|[\"'\\\\\n= ;{}]){0,120}") {
            UnitSettings::parse(&text);
            environment_file(&text);
        }

        #[test]
        fn plain_words_are_parted_at_blanks(parts in proptest::collection::vec("[a-z=]{1,5}", 0..6)) {
            prop_assert_eq!(words(&parts.join(" ")), parts);
        }
    }
}
