//! Several settings files as one, key by key as systemd merges the drop-ins of a unit. Each key keeps
//! the place where it stands: spans count in bytes from the start of the first file, through all of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::role::Misplaced;
use super::{KeyOrigins, Origin};

/// What the files say together. It is not judged yet.
pub(super) struct Merged<'a> {
    /// All but the `[[target]]`s and `[[consumer]]`s.
    pub rest: Spanned<DeTable<'a>>,
    pub targets: Vec<Element<'a>>,
    pub consumers: Vec<Element<'a>>,
}

/// A `[[target]]` or a `[[consumer]]`, in the place of the first file that has it.
pub(super) struct Element<'a> {
    pub table: Spanned<DeValue<'a>>,
    /// There is one of its name before it in the same file.
    pub is_second: bool,
    name: Option<String>,
    /// The index of the last file that has it.
    file: usize,
    taken_back: TakenBack,
}

/// Keys that a later file took back, and where; those of tables in tables by their whole path.
type TakenBack = BTreeMap<String, Range<usize>>;

/// The files' texts, one after the other.
pub(super) struct Sources<'a>(Vec<Source<'a>>);

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    /// The span of its first byte.
    start: usize,
}

impl<'a> Merged<'a> {
    /// Merges the files in the order in which they count.
    ///
    /// # Errors
    ///
    /// The first file that is not TOML, or that has no array of tables where one is expected.
    pub fn of(sources: &Sources<'a>) -> Result<Self, Misplaced> {
        let mut rest = Spanned::new(0..0, DeTable::new());
        let (mut targets, mut consumers) = (Vec::new(), Vec::new());
        let mut taken_back = TakenBack::new();
        for (index, source) in sources.0.iter().enumerate() {
            let mut file = source.parse()?;
            for (kind, elements) in [("target", &mut targets), ("consumer", &mut consumers)] {
                for table in array(kind, file.remove(kind))? {
                    add(elements, table, index);
                }
            }
            one_kind(rest.get_ref(), &file)?;
            lay_over(rest.get_mut(), file, Some(""), &mut taken_back);
        }
        Ok(Self { rest, targets, consumers })
    }
}

impl Element<'_> {
    /// Where the last of these keys stands, or was taken back; where the table begins, if it has none of
    /// them.
    pub fn last_of(&self, keys: &[&str]) -> Range<usize> {
        let span = |key: &&str| {
            let value = self.table.get_ref().get(*key).map(Spanned::span);
            value.or_else(|| self.taken_back.get(*key).cloned())
        };
        let spans = keys.iter().filter_map(span);
        spans.max_by_key(|span| span.start).unwrap_or_else(|| self.table.span())
    }

    /// Where each of its keys stands.
    pub fn key_origins(&self, sources: &Sources<'_>) -> KeyOrigins {
        let keys = self.table.get_ref().as_table().into_iter().flatten();
        keys.map(|(key, value)| (key.get_ref().to_string(), sources.origin(&value.span())))
            .collect()
    }
}

impl Sources<'_> {
    /// Where a span begins.
    pub fn origin(&self, span: &Range<usize>) -> Origin {
        let (path, line, _) = self.place(span);
        Origin::File { path: path.to_owned(), line }
    }

    /// File, line and column, both from 1; columns count characters.
    pub fn place(&self, span: &Range<usize>) -> (&Path, usize, usize) {
        let Some(Source { path, text, start }) = self.at(span) else {
            return (Path::new(""), 1, 1);
        };
        let before = text.get(..span.start - start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (path, line, column)
    }

    /// The directory of the file in which a span begins.
    pub fn directory(&self, span: &Range<usize>) -> &Path {
        let path = self.at(span).and_then(|source| source.path.parent());
        path.unwrap_or(Path::new("/"))
    }

    fn at(&self, span: &Range<usize>) -> Option<&Source<'_>> {
        self.0.iter().rfind(|source| source.start <= span.start)
    }
}

impl<'a> Sources<'a> {
    pub fn of(texts: &'a [(PathBuf, String)]) -> Self {
        let mut start = 0;
        let sources = texts.iter().map(|(path, text)| {
            let source = Source { path, text, start };
            // The end of a file is a place, too.
            start += text.len() + 1;
            source
        });
        Self(sources.collect())
    }
}

impl<'a> Source<'a> {
    fn parse(&self) -> Result<DeTable<'a>, Misplaced> {
        let Self { text, start, .. } = *self;
        match DeTable::parse(text) {
            Ok(table) => Ok(moved_table(table.into_inner(), start)),
            Err(error) => {
                let misplaced = Misplaced::from(error);
                Err(Misplaced { span: moved_span(&misplaced.span, start), ..misplaced })
            }
        }
    }
}

/// The elements of `[[target]]` or `[[consumer]]`.
fn array<'a>(
    kind: &str,
    value: Option<Spanned<DeValue<'a>>>,
) -> Result<Vec<Spanned<DeValue<'a>>>, Misplaced> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let span = value.span();
    match value.into_inner() {
        DeValue::Array(tables) => Ok(tables.into_iter().collect()),
        _ => {
            Err((span, format!("expected [[{kind}]], in double brackets: there may be several"))
                .into())
        }
    }
}

/// Takes a table in: into that of an earlier file with the same name, if there is one.
fn add<'a>(elements: &mut Vec<Element<'a>>, table: Spanned<DeValue<'a>>, file: usize) {
    let name = table.get_ref().get("name").and_then(|name| name.get_ref().as_str());
    let name = name.map(str::to_owned);
    let same = |it: &Element<'_>| name.is_some() && it.name == name && !it.is_second;
    match elements.iter().position(same) {
        Some(index) if elements[index].file != file => {
            let before = &mut elements[index];
            before.file = file;
            // What has a name is a table.
            if let (DeValue::Table(below), DeValue::Table(over)) =
                (before.table.get_mut(), table.into_inner())
            {
                lay_over(below, over, None, &mut before.taken_back);
            }
        }
        found => {
            let (is_second, taken_back) = (found.is_some(), TakenBack::new());
            elements.push(Element { table, is_second, name, file, taken_back });
        }
    }
}

/// What is a section in one file is one in all of them.
fn one_kind(below: &DeTable<'_>, over: &DeTable<'_>) -> Result<(), Misplaced> {
    for (key, value) in over {
        let name = key.get_ref();
        let Some(before) = below.get(name.as_ref()) else { continue };
        let is_table = |value: &Spanned<DeValue<'_>>| matches!(value.get_ref(), DeValue::Table(_));
        let wrong = [before, value].into_iter().find(|value| !is_table(value));
        if let Some(wrong) = wrong {
            return Err((wrong.span(), format!("expected [{name}], a table")).into());
        }
    }
    Ok(())
}

/// Puts the keys of a later file over those of an earlier one. An empty value takes the earlier one
/// back: nothing is said then, however often. With the path of this table, those within it are merged, too.
fn lay_over<'a>(
    below: &mut DeTable<'a>,
    over: DeTable<'a>,
    path: Option<&str>,
    taken_back: &mut TakenBack,
) {
    for (key, value) in over {
        let name = key.get_ref().as_ref();
        if let Some(path) = path
            && let Some(DeValue::Table(below)) = below.get_mut(name).map(Spanned::get_mut)
            && let DeValue::Table(_) = value.get_ref()
        {
            let path = format!("{path}{name}.");
            if let DeValue::Table(over) = value.into_inner() {
                lay_over(below, over, Some(&path), taken_back);
            }
            continue;
        }
        let path = format!("{}{name}", path.unwrap_or_default());
        let was_said = below.remove(name).is_some() || taken_back.contains_key(&path);
        if was_said && is_empty(value.get_ref()) {
            taken_back.insert(path, value.span());
        } else {
            taken_back.remove(&path);
            below.insert(key, value);
        }
    }
}

fn is_empty(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(text) => text.is_empty(),
        DeValue::Array(items) => items.is_empty(),
        DeValue::Table(table) => table.is_empty(),
        _ => false,
    }
}

fn moved_table(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    table.into_iter().map(|(key, value)| (moved_key(key, by), moved(value, by))).collect()
}

fn moved_key<T>(key: Spanned<T>, by: usize) -> Spanned<T> {
    let span = moved_span(&key.span(), by);
    Spanned::new(span, key.into_inner())
}

fn moved(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = moved_span(&value.span(), by);
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(moved_table(table, by)),
        DeValue::Array(items) => {
            DeValue::Array(items.into_iter().map(|item| moved(item, by)).collect())
        }
        value => value,
    };
    Spanned::new(span, value)
}

fn moved_span(span: &Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::file::tests::read_all;
    use crate::config::Settings;

    const ROLE: &str = "arn:aws:iam::111122223333:role/r";

    fn files(texts: &[&str]) -> Settings {
        let names = ["/etc/1.toml", "/etc/2.toml", "/etc/3.toml"];
        let files = names.into_iter().zip(texts.iter().copied()).collect::<Vec<_>>();
        read_all(&files).unwrap()
    }

    fn faults(settings: &Settings) -> Vec<String> {
        settings.disabled().map(ToString::to_string).collect()
    }

    fn base() -> String {
        format!(
            "[[target]]\nname = \"a\"\npath = \"/c\"\nrole_arn = \"{ROLE}\"\ntags = {{ x = \"1\" }}\n"
        )
    }

    #[test]
    fn a_later_files_keys_are_put_over_the_earlier_ones() {
        let settings = files(&[&base(), "[[target]]\nname = \"a\"\nmode = \"0644\"\n"]);
        let target = &settings.targets[0];
        assert_eq!((settings.targets.len(), target.mode), (1, 0o644));
        assert_eq!(target.assumption.as_ref().unwrap().role().as_str(), ROLE);
        assert_eq!(target.origin.to_string(), "/etc/1.toml:1");
        assert_eq!(target.keys.of("mode").to_string(), "/etc/2.toml:3");
        assert_eq!(target.keys.of("path").to_string(), "/etc/1.toml:3");

        let consumer = "[[consumer]]\nname = \"c\"\nusers = [\"x\"]\nexecutables = [\"/x\"]\n";
        let first = format!("{consumer}[[consumer]]\nname = \"d\"\nusers = [\"x\"]\n");
        let settings = files(&[&first, "[[consumer]]\nname = \"c\"\nusers = [\"y\"]\n"]);
        // A list is a value, and the rule stays where it was in their order.
        assert_eq!(
            (&*settings.consumers[0].name, &*settings.consumers[0].users),
            ("c", &["y".into()][..])
        );
        assert_eq!(settings.consumers[0].executables.len(), 1);

        let settings = files(&[
            "[refresh]\ninterval = \"10m\"\non_expiry = \"keep\"\n[endpoint.imds]\nlisten = \"127.0.0.1:1\"\n",
            "[refresh]\ninterval = \"20m\"\n[endpoint.container]\nlisten = \"127.0.0.1:2\"\n",
        ]);
        assert_eq!(settings.interval.value, Duration::from_secs(1200));
        assert_eq!(settings.on_expiry.origin.to_string(), "/etc/1.toml:3");
        assert!(settings.imds_listen.value.is_some() && settings.container_listen.value.is_some());
    }

    #[test]
    fn an_empty_value_takes_an_earlier_one_back_and_is_none_by_itself() {
        let over = "[[target]]\nname = \"a\"\nrole_arn = \"\"\ntags = {}\n";
        let settings = files(&[&base(), over]);
        assert_eq!((faults(&settings), settings.targets[0].assumption.clone()), (vec![], None));
        // What is left must make sense.
        let over = over.replace("tags = {}\n", "");
        let expected = "/etc/1.toml:5:8: target 'a': tags is of no use without role_arn";
        assert!(faults(&files(&[&base(), &over]))[0].starts_with(expected));
        let proxy = "[service]\nproxy = \"http://p:1\"\n";
        let none = proxy.replace("http://p:1", "");
        assert_eq!(files(&[proxy, &none]).proxy.value, None);
        let again = files(&[proxy, &none, proxy]).proxy;
        assert_eq!(again.origin.to_string(), "/etc/3.toml:2");
        for texts in [[none.as_str(), proxy], [none.as_str(), ""]] {
            let files = [("/etc/1.toml", texts[0]), ("/etc/2.toml", texts[1])];
            match read_all(&files) {
                // Something is said after all.
                Ok(settings) => assert!(!texts[1].is_empty() && settings.proxy.value.is_some()),
                Err(error) => {
                    let error = error.to_string();
                    assert!(error.starts_with("/etc/1.toml:2:9: expected a URL"), "{error}");
                    assert!(error.ends_with("and none sets this"), "{error}");
                }
            }
        }
    }

    #[test]
    fn what_is_taken_back_twice_is_taken_back_and_named_where_it_was() {
        let none = "[[target]]\nname = \"a\"\nrole_arn = \"\"\ntags = {}\n";
        let settings = files(&[&base(), none, none]);
        assert_eq!((faults(&settings), settings.targets[0].assumption.clone()), (vec![], None));
        let proxy = "[service]\nproxy = \"http://p:1\"\n";
        let no_proxy = proxy.replace("http://p:1", "");
        assert_eq!(files(&[proxy, &no_proxy, &no_proxy]).proxy.value, None);
        let consumer = "[[consumer]]\nname = \"c\"\nusers = [\"x\"]\n";
        let settings = files(&[consumer, &format!("\n{}", consumer.replace("\"x\"", ""))]);
        assert!(faults(&settings)[0].starts_with("/etc/2.toml:4:9: consumer 'c': names neither"));
    }

    #[test]
    fn a_section_is_one_in_each_file() {
        for texts in [["refresh = 5\n", "[refresh]\n"], ["[refresh]\n", "refresh = \"\"\n"]] {
            let error = read_all(&[("/etc/1.toml", texts[0]), ("/etc/2.toml", texts[1])]);
            let error = error.unwrap_err().to_string();
            assert!(error.contains(":1:11: expected [refresh], a table"), "{error}");
        }
    }

    #[test]
    fn a_mistake_in_a_later_file_leaves_the_table_disabled_and_is_named_there() {
        for (over, expected) in [
            ("mode = \"0666\"", "/etc/2.toml:3:8: target 'a': credentials are never"),
            ("mdoe = \"0644\"", "/etc/2.toml:3:1: target 'a': unknown field `mdoe`"),
            ("mode = 1979-05-27", "/etc/2.toml:3:8: target 'a': 1979-05-27 is a date"),
            ("path = \"\"", "target 'a': missing field `path`"),
            (
                "role_chain = [\"arn:aws:iam::111122223333:role/x\"]",
                "/etc/2.toml:3:14: target 'a': role_arn and role_chain exclude",
            ),
        ] {
            let settings = files(&[&base(), &format!("[[target]]\nname = \"a\"\n{over}\n")]);
            let faults = faults(&settings);
            assert!(faults[0].contains(expected), "{faults:?}");
            assert!(settings.targets.is_empty(), "it must not get the registered role");
        }
        // What a later file mends is right.
        let mended =
            files(&[&base().replace("/c", "c"), "[[target]]\nname = \"a\"\npath = \"/c\"\n"]);
        assert_eq!(faults(&mended), Vec::<String>::new());
        // A clash is named where the later file makes it.
        let two = base() + &base().replace("\"a\"", "\"b\"").replace("/c", "/d");
        let clash = files(&[&two, "\n[[target]]\nname = \"b\"\npath = \"/c\"\n"]);
        assert!(
            faults(&clash)[0].starts_with("/etc/2.toml:4: target 'b': writes the same"),
            "{clash:?}"
        );
    }

    #[test]
    fn tables_without_a_name_or_in_single_brackets_merge_with_none() {
        let settings = files(&[&base(), "[[target]]\npath = \"/d\"\n[[target]]\nname = 7\n"]);
        assert_eq!((settings.targets.len(), settings.disabled().count()), (1, 2));
        for kind in ["target", "consumer"] {
            let over = format!("[{kind}]\nname = \"a\"\n");
            let error = read_all(&[("/etc/1.toml", &base()), ("/etc/2.toml", &over)]).unwrap_err();
            let expected = format!("/etc/2.toml:1:1: expected [[{kind}]], in double brackets");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
        // Twice in one file is twice, whatever other files say.
        let twice = base().repeat(2);
        let settings = files(&["[[target]]\nname = \"a\"\nmode = \"0600\"\n", &twice]);
        assert_eq!(settings.targets[0].mode, 0o600);
        assert!(faults(&settings)[0].starts_with("/etc/2.toml:6"), "{settings:?}");
    }
}
