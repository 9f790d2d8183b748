//! What a unit sets, as `systemctl show` prints it, and files of variables as the service manager
//! reads them (systemd.exec(5), `EnvironmentFile=`).

/// The properties that say how a unit's program is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitSettings {
    pub id: Option<String>,
    pub load_state: Option<String>,
    pub main_pid: Option<i32>,
    pub user: Option<String>,
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

    /// What the unit's program would find, as the kernel hands it over, without what systemd adds by
    /// itself. `files` are the texts of the environment files. Of two that set the same the later
    /// counts, and so comes first.
    pub fn block(&self, files: impl IntoIterator<Item = String>) -> Vec<u8> {
        let mut pairs = self.environment.clone();
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
        let block = settings.block(["A=5\nB=6\n".to_owned()]);
        assert_eq!(String::from_utf8(block).unwrap(), "A=5\0C=3\0A=1\0");
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
