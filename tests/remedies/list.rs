//! Every remedy of the sources stands in docs/remedies.md, with what shows that it helps; and nothing stands
//! there that no program says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::sources::{self, normal};

/// A row: when it is said, the remedy, and what shows that it helps.
struct Row {
    line: usize,
    cause: String,
    remedy: String,
    shown: String,
}

/// How a row says that nothing here carries it out; the reason follows.
const BY_HAND: &str = "by hand: ";

/// How a row says that a test reads the remedy and does not carry it out.
const SAID: &str = "said: ";

/// Where an expression is a remedy that was made elsewhere, under another name.
const HANDED_ON: &[(&str, &str)] = &[
    ("src/cli/advise/report.rs", "what to change in a program's environment is printed, not said"),
    (
        "src/pure/chain/remedy.rs",
        "a change of an environment, which the chain is walked again with",
    ),
    ("src/pure/diagnosis/mod.rs", "the constructors, whose callers are followed"),
    ("src/pure/diagnosis/service.rs", "of a certificate, which certificate.rs has"),
    ("src/cli/exec.rs", "the line as it was meant"),
    ("src/cli/status/offline.rs", "there is none"),
    ("src/config/role.rs", "there is none"),
    ("src/shelf.rs", "an endpoint's, which endpoints/ has"),
    ("src/daemon/report.rs", "there is none"),
];

#[test]
fn every_remedy_is_in_the_list_and_the_list_has_no_other() {
    let (found, unseen) = sources::all();
    let rows = rows();
    let said = found.iter().map(|it| (normal(&it.text), it.file.as_str()));
    let said = said.collect::<BTreeMap<_, _>>();
    let listed = rows.iter().map(|row| normal(&row.remedy)).collect::<BTreeSet<_>>();
    let missing = said.iter().filter(|(text, _)| !listed.contains(*text));
    let missing = missing.map(|(text, file)| format!("src/{file}: {text}")).collect::<Vec<_>>();
    let gone = rows.iter().filter(|row| !said.contains_key(&normal(&row.remedy)));
    let gone = gone.map(|row| format!("line {}: {}", row.line, row.remedy)).collect::<Vec<_>>();
    let unseen = unseen
        .into_iter()
        .filter(|place| !HANDED_ON.iter().any(|(file, _)| place.split(':').next() == Some(file)));
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/remedies.md lacks these: add a row with the cause, the remedy and the test that does it\n\
         {missing:#?}\nand has these, which nothing says any more\n{gone:#?}"
    );
    assert_eq!(
        unseen.collect::<Vec<_>>(),
        [""; 0],
        "a remedy that cannot be read here: write it in place, or in a function called …remedy"
    );
}

#[test]
fn every_row_names_a_test_that_there_is_or_says_why_there_is_none() {
    let mut tests = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for row in rows() {
        assert!(row.cause.len() > 5, "line {}: when is it said?", row.line);
        if let Some(reason) = row.shown.strip_prefix(BY_HAND) {
            assert!(reason.len() > 10, "line {}: by hand, for which reason?", row.line);
            continue;
        }
        let shown = row.shown.strip_prefix(SAID).unwrap_or(&row.shown);
        let Some((file, test)) = shown.trim_matches('`').split_once(": ") else {
            panic!("line {}: neither `FILE: TEST` nor '{BY_HAND}…': {}", row.line, row.shown);
        };
        let text = tests
            .entry(file.to_owned())
            .or_insert_with(|| fs::read_to_string(root.join(file)).unwrap_or_default());
        let declared = format!("fn {test}(");
        assert!(text.contains(&declared), "line {}: no {test} in {file}", row.line);
    }
}

#[test]
fn a_remedy_is_seen_however_it_is_written() {
    let text = "
        const AGAIN: &str = \"a\";
        fn f(x: u8) -> Complaint {
            let remedy = match x { 1 => \"b\", _ => AGAIN };
            tracing::warn!(\"it failed; try: c {}\", x);
            Finding::wrong(\"text\", if x > 2 { format!(\"d {x} {{e}}\") } else { \"f\".into() });
            Complaint::new(Exit::Usage, \"message\", elsewhere(x))
        }
        fn l(x: u8, y: Thing) {
            let (text, remedy) = match x { 1 => (\"text\", \"l\"), 2 => return, _ => { (\"text\", y.remedy) } };
            Finding::skipped(\"text\", \"m\");
            table.disabled(\"text\", Some(y.remedy).unwrap_or_else(|| \"n\".to_owned()));
            y.remedy += \"o\";
        }
        fn g_remedy(error: &str) -> &str { match error { \"code\" => \"h\", _ => error } }
        fn i() -> Finding { Finding::warning(\"text\", named()) }
        fn named() -> String { \"j\".to_owned() }
        #[cfg(test)] mod tests { fn remedy() -> &'static str { \"k\" } }
    ";
    let (found, unseen) = sources::in_text(text);
    let expected = ["a", "b", "c {}", "d {x} {{e}}", "f", "h", "j", "l", "m", "n", "o"];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(unseen, [7], "what elsewhere() says is not in this file");
    assert_eq!(normal("d {x} {{e}}\n  `f`"), normal("d {y} {{e}} f"));
}

/// The rows of all tables. A bar within a remedy is written `\|`.
fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/remedies.md");
    let text = fs::read_to_string(path).unwrap();
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| when ");
    let rows = text.lines().enumerate().filter(|(_, line)| is_row(line)).map(|(index, line)| {
        let whole = line.replace("\\|", "\u{1}");
        let cells =
            whole.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{1}', "|"));
        let [cause, remedy, shown]: [String; 3] =
            cells.collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("not three: {line}"));
        let remedy = remedy.trim_matches('`').to_owned();
        Row { line: index + 1, cause, remedy, shown }
    });
    rows.collect()
}
