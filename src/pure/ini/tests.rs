use proptest::collection::vec;
use proptest::prelude::*;
use time::macros::utc_datetime;

use super::*;
use crate::pure::advice::Advice;

const SET: &str = "# rolekeeper: expires 2026-11-22T01:00:00Z\n\
                   aws_access_key_id = ASIAEXAMPLE000000001\n\
                   aws_secret_access_key = se/cr+et=\n\
                   aws_session_token = to/k+en==\n";

fn profile() -> ProfileName {
    "default".parse().unwrap()
}

fn token() -> RoleToken {
    RoleToken::new(
        Some("ASIAEXAMPLE000000001".into()),
        Some(Secret::new("se/cr+et=".into())),
        Some(Secret::new("to/k+en==".into())),
        utc_datetime!(2026-11-22 00:00),
        Some(utc_datetime!(2026-11-22 01:00:00.999)),
        false,
    )
    .unwrap()
}

fn set(text: &str) -> Result<String, Unusable> {
    let mut document = Document::parse(text.as_bytes())?;
    document.set_profile(&profile(), &token())?;
    Ok(String::from_utf8(document.as_bytes().to_vec()).unwrap())
}

fn withdrawn(text: &str) -> Result<String, Unusable> {
    let mut document = Document::parse(text.as_bytes())?;
    document.withdraw_profile(&profile())?;
    Ok(String::from_utf8(document.as_bytes().to_vec()).unwrap())
}

fn defect(text: &str) -> (usize, Defect) {
    let error = set(text).unwrap_err();
    let read = Document::parse(text.as_bytes()).and_then(|d| d.read_profile(&profile()));
    assert_eq!(read, Err(error), "{text:?}: reading refuses what writing refuses");
    assert_eq!(withdrawn(text), Err(error), "{text:?}: and so does withdrawing");
    (error.line, error.defect)
}

#[test]
fn a_new_file_holds_one_section() {
    assert_eq!(set("").unwrap(), format!("[default]\n{SET}"));
}

#[test]
fn a_new_section_stands_apart_from_the_one_before() {
    let other = "[other]\nregion = x\n";
    assert_eq!(set(other).unwrap(), format!("{other}\n[default]\n{SET}"));
    let set = set(other.trim_end()).unwrap();
    assert!(set.starts_with(&format!("{other}\n[default]\n# rolekeeper: expires")));
}

#[test]
fn a_file_whose_sections_end_in_a_blank_line_keeps_that_habit() {
    let other = "[other]\nregion = x\n\n";
    assert_eq!(set(other).unwrap(), format!("{other}[default]\n{SET}\n"));
}

#[test]
fn keys_are_replaced_where_they_stood_and_nothing_else_moves() {
    let text = "; mine\r\n[default]\r\nregion = x\r\ns3 =\r\n  addressing_style = path\r\n\
                AWS_Secret_Access_Key=old\r\n# keep\r\naws_access_key_id     = old\r\n\r\n\
                output = json\r\n[other]\naws_access_key_id = theirs";
    let want = format!(
        "; mine\r\n[default]\r\nregion = x\r\ns3 =\r\n  addressing_style = path\r\n\
         {SET}# keep\r\n\r\noutput = json\r\n[other]\naws_access_key_id = theirs"
    );
    assert_eq!(set(text).unwrap(), want);
}

#[test]
fn keys_go_under_a_header_that_has_none_even_without_a_line_end() {
    assert_eq!(set("[default]\nregion = x").unwrap(), format!("[default]\n{SET}region = x"));
    assert_eq!(
        set("[default] # mine\n\nregion = x").unwrap(),
        format!("[default] # mine\n{SET}\nregion = x")
    );
}

#[test]
fn a_comment_of_ours_within_a_nested_block_does_not_draw_the_keys_there() {
    let text = "[default]\ns3 =\n  a = b\n# rolekeeper: expires long ago\n  c = d\n";
    assert_eq!(set(text).unwrap(), format!("[default]\n{SET}s3 =\n  a = b\n  c = d\n"));
}

#[test]
fn what_was_set_is_read_back() {
    let document = Document::parse(set("[other]\n").unwrap().as_bytes()).unwrap();
    let published = document.read_profile(&profile()).unwrap().unwrap();
    assert_eq!(published.access_key_id.expose(), "ASIAEXAMPLE000000001");
    assert_eq!(published.secret_access_key.expose(), "se/cr+et=");
    assert_eq!(published.session_token.expose(), "to/k+en==");
    assert_eq!(published.expires_at, Some(utc_datetime!(2026-11-22 01:00)));
}

#[test]
fn a_profile_counts_as_published_only_with_all_three_keys() {
    let read =
        |text: &str| Document::parse(text.as_bytes()).unwrap().read_profile(&profile()).unwrap();
    let two = "[default]\naws_access_key_id = a\naws_secret_access_key = b\n";
    assert_eq!(read(""), None);
    assert_eq!(read(two), None);
    assert_eq!(read(&format!("{two}aws_session_token =\n")), None);
    let foreign = read(&format!("{two}aws_session_token = c\n")).unwrap();
    assert_eq!(foreign.expires_at, None);
}

#[test]
fn withdrawing_keeps_a_section_that_holds_more_than_ours() {
    let kept = "[default]\nregion = x\n\n[other]\n";
    assert_eq!(withdrawn(&set(kept).unwrap()).unwrap(), kept);
    let commented = "[default]\n# mine\n";
    assert_eq!(withdrawn(&set(commented).unwrap()).unwrap(), commented);
}

#[test]
fn withdrawing_a_section_between_two_leaves_one_blank_line() {
    let text = format!("[a]\nb = c\n\n[default]\n{SET}\n[d]\n");
    assert_eq!(withdrawn(&text).unwrap(), "[a]\nb = c\n\n[d]\n");
    assert_eq!(withdrawn("[a]\n\n[default]\n").unwrap(), "[a]\n\n[default]\n");
}

#[test]
fn withdrawing_leaves_keys_that_somebody_else_wrote() {
    let text = "[default]\naws_access_key_id = AKIA\naws_secret_access_key = x\n";
    assert_eq!(withdrawn(text).unwrap(), text);
}

#[test]
fn a_users_own_access_key_is_neither_overwritten_nor_withdrawn() {
    let keys = "AWS_Access_Key_Id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\n";
    for marked in ["", "# rolekeeper: expires 2026-01-01T00:00:00Z\n"] {
        let text = format!("[other]\n[default]\nregion = x\n{marked}{keys}");
        let line = 4 + marked.lines().count();
        assert_eq!(set(&text), Err(Unusable::at(line, Defect::LongTermKey)));
        assert_eq!(withdrawn(&text).unwrap(), text);
    }
    let elsewhere = format!("[other]\n{keys}\n");
    assert_eq!(set(&elsewhere).unwrap(), format!("{elsewhere}[default]\n{SET}\n"));
}

#[test]
fn what_botocore_refuses_is_refused_with_its_line() {
    for (text, want) in [
        ("\u{feff}[a]\n", (1, Defect::ByteOrderMark)),
        ("# c\nregion = x\n[a]\n", (2, Defect::OutsideSection)),
        ("[a]\nb = c\n\n[a]\n", (4, Defect::DuplicateSection { first: 1 })),
        ("[a]\nb = c\nd = e\nB: f\n", (4, Defect::DuplicateKey { first: 2 })),
        ("[a]\nb\n", (2, Defect::NotAKey)),
        ("[a]\n= b\n", (2, Defect::NotAKey)),
        ("[a]\nb =\n  c = d\n  e\n", (4, Defect::NestedNotAKey)),
        ("[a\nb = c\n", (1, Defect::UnclearSection)),
        ("[]\n", (1, Defect::UnclearSection)),
    ] {
        assert_eq!(defect(text), want, "{text:?}");
    }
    for text in ["[a]\nb\n", "b = c\n", "[a]\nb = c\nb = d\n"] {
        let error = Document::parse(text.as_bytes()).unwrap_err();
        assert!(error.refused_by.contains(Reader::Botocore), "{text:?}");
    }
    let error = Document::parse(b"[a]\nb = \xff\n").unwrap_err();
    assert_eq!((error.line, error.defect), (2, Defect::NotUtf8));
}

#[test]
fn what_programs_read_differently_is_refused_with_its_line() {
    for (text, want) in [
        ("[a]\rb = c\n", (1, Defect::BareCarriageReturn)),
        ("[a]\r", (1, Defect::BareCarriageReturn)),
        ("[DEFAULT]\n", (1, Defect::DefaultSection)),
        ("[default]#c\n", (1, Defect::AdjacentComment)),
        ("[other]; note\n", (1, Defect::AdjacentComment)),
        ("[default] #\n", (1, Defect::EmptyComment)),
        ("[default]\nb = c\n  d = [e]\naws_session_token = x\n", (3, Defect::Brackets)),
        ("[default] x\n", (1, Defect::UnclearSection)),
        ("[default] # [x]\n", (1, Defect::UnclearSection)),
        ("[ default ]\n", (1, Defect::ProfileVariant)),
        ("[profile default]\n", (1, Defect::ProfileVariant)),
        ("[profile \"default\"]\n", (1, Defect::ProfileVariant)),
        ("[a]\nb = c\n [default]\n", (3, Defect::ProfileVariant)),
        ("[default]\naws_session_token = x\n\n  y\n", (4, Defect::SecondLine)),
        ("[default]\naws_session_token = x\n  y = z\n", (3, Defect::Indented)),
        ("[default]\naws_session_token = x\n  # y\n", (3, Defect::Indented)),
        ("[default]\nb = c\n  [other]\n", (3, Defect::Indented)),
        ("[default]\ns3 =\n  aws_session_token = x\n", (3, Defect::NestedName)),
        ("[default]\naws_security_token = x\n", (2, Defect::SecurityToken)),
    ] {
        assert_eq!(defect(text), want, "{text:?}");
    }
}

#[test]
fn what_another_sdk_refuses_is_refused_with_its_line_and_the_sdk() {
    use Reader::{C, Cpp, Java, JavaScript, Ruby, Rust};
    for (text, line, want, readers) in [
        ("[o]\n  region = x\n", 2, Defect::ContinuesNothing, &[C, Java, Ruby, Rust][..]),
        ("[default]\n  [other]\n", 2, Defect::ContinuesNothing, &[C, Java, Rust]),
        (" [default]\n", 1, Defect::ContinuesNothing, &[C, Java, Rust]),
        ("[default]\n  # c\n", 2, Defect::IndentedComment, &[C, Java, Rust]),
        ("[o]\ns3 =\n  # c\n  a = b\n", 3, Defect::IndentedComment, &[C, Java, Rust]),
        ("[o]\ns3 =\n  = v\n", 3, Defect::NestedNameless, &[C, Java, Rust]),
        ("[o]\nregion : x\n", 2, Defect::Colon, &[Cpp, Java, Rust]),
        ("[o]\na = b\n  c d\n", 3, Defect::SecondLine, &[Cpp]),
        ("[o]\na = b\n\n  c = d\n", 4, Defect::NestedUnderUnknown, &[Ruby]),
        ("[profile x]\ns3 =\n  a = b\n", 3, Defect::NestedUnderUnknown, &[C]),
        ("[__proto__]\n", 1, Defect::ForbiddenSection, &[JavaScript]),
        ("[default]\n# c\n\n\x0b[other]\n", 4, Defect::ContinuesNothing, &[Java, Rust]),
        ("[o]\na = b\n\x0b\n", 3, Defect::OddBlanks, &[Java, Rust]),
    ] {
        assert_eq!(defect(text), (line, want), "{text:?}");
        let error = Document::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.refused_by.iter().collect::<Vec<_>>(), readers, "{text:?}");
        assert!(error.to_string().ends_with(&format!("(refused by {})", error.refused_by)));
    }
}

#[test]
fn what_everybody_reads_is_edited_however_odd() {
    for text in [
        "[ other ]\nregion = x\n# c\n",
        "[profile other]\nb = c\n",
        "[other]\naws_security_token = x\ns3 =\n  aws_session_token = y\n",
        "[Default]\n[default2]\n[xdefault]\n",
        "[other] # c\r\nempty =\r\na = b # c\r\n\r\ns3 =\r\n\tc = d\r\n",
        "[other]\nlist = [a]\n  more = [b]\n",
        "[sso-session x]\nsso_region = y\n[a b]\nc = d\n",
        "# c = d\n; e\n[\u{e4}]\nb c = \u{f6}\n",
    ] {
        assert_eq!(set(text).unwrap(), format!("{text}\n[default]\n{SET}"));
    }
    let brackets = "list = [a]\n";
    let below = format!("[default]\n{SET}{brackets}");
    assert_eq!(set(&below).unwrap(), below);
}

#[test]
fn damaged_files_are_called_what_they_are() {
    let utf16 = |big: bool| {
        let units = "\u{feff}[default]\n".encode_utf16();
        let bytes =
            units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() });
        bytes.collect::<Vec<_>>()
    };
    let half = "[default]\naws_access_key_id = ASIA123\naws_secret_acc";
    let merge = "[a]\nb = c\n<<<<<<< HEAD\nd = e\n=======\nd = f\n>>>>>>> theirs\n";
    for (bytes, line, want, remedy) in [
        (&[0; 538][..], 1, Defect::Nul, "restore the file"),
        (b"[default]\nregion = x\n\0\0\0\0", 3, Defect::Nul, "restore the file"),
        (b"[\0d\0e\0f\0]\0\n\0", 1, Defect::Nul, "restore the file"),
        (&utf16(false), 1, Defect::Utf16, "as UTF-8"),
        (&utf16(true), 1, Defect::Utf16, "as UTF-8"),
        ("\u{feff}[default]\n".as_bytes(), 1, Defect::ByteOrderMark, "without a byte order mark"),
        (half.as_bytes(), 3, Defect::Torn, "complete line 3"),
        (merge.as_bytes(), 3, Defect::ConflictMarker, "settle the merge"),
    ] {
        let error = Document::parse(bytes).unwrap_err();
        assert_eq!((error.line, error.defect), (line, want));
        assert!(error.remedy().contains(remedy), "{}", error.remedy());
    }
}

#[test]
fn a_section_that_was_there_stays_and_a_missing_line_end_stays_missing() {
    for text in [
        "[default]\n",
        "[default]",
        "[default]\r\n\r\n",
        "[a]\nb = c\n\n[default]\n\n[d]\n",
        "[a]\nb = c",
        "[a]\n  ",
        "\n",
        "",
        "[default]\nregion = x",
        "[default] # mine",
    ] {
        let once = set(text).unwrap();
        assert_eq!(withdrawn(&once).unwrap(), text, "{once:?}");
        let twice = set(&once).unwrap();
        assert_eq!(twice, once, "a renewal remembers what stood before");
        let document = Document::parse(once.as_bytes()).unwrap();
        let published = document.read_profile(&profile()).unwrap().unwrap();
        assert_eq!(published.expires_at, Some(utc_datetime!(2026-11-22 01:00)));
    }
    // What somebody added meanwhile keeps its line end.
    let added = set("[default]").unwrap() + "region = x\n";
    assert_eq!(withdrawn(&added).unwrap(), "[default]\nregion = x\n");
    // The words stand only where they are needed.
    assert!(set("[a]\n").unwrap().contains("01:00:00Z\n"));
    assert!(set("[default]").unwrap().contains("01:00:00Z keep-section no-line-end\n"));
}

#[test]
fn what_comes_before_our_keys_is_named_with_its_line() {
    for (above, want) in [
        ("role_arn = arn:aws:iam::1:role/x\nsource_profile = base\n", Some((6, "role_arn"))),
        ("Role_ARN = r\ncredential_source = Environment\n", Some((6, "role_arn"))),
        ("region = x\ncredential_process = /p\n", Some((7, "credential_process"))),
        ("web_identity_token_file = /t\n", Some((6, "web_identity_token_file"))),
        ("sso_session = s\n", Some((6, "sso_session"))),
        // The role is assumed with our keys.
        ("role_arn = r\nsource_profile = default\n", None),
        ("role_arn =\nregion = x\ns3 =\n  role_arn = r\n", None),
        ("[other]\nrole_arn = r\n", None),
    ] {
        let document = Document::parse(set(&format!("[default]\n{above}")).unwrap().as_bytes());
        let published = document.unwrap().read_profile(&profile()).unwrap().unwrap();
        assert_eq!(published.overridden.map(|it| (it.line, it.key)), want, "{above:?}");
    }
}

#[test]
fn no_refusal_repeats_what_stands_on_a_line() {
    let error = set("[default]\naws_secret_access_key = hunter2\nhunter2half\n").unwrap_err();
    let readers = "boto3 and the AWS CLI, the AWS SDK for C (CRT), the AWS SDK for C++, \
                   the AWS SDK for Java v2, the AWS SDK for Rust";
    let want = format!("line 3 is neither a [section] nor a `key = value` (refused by {readers})");
    assert_eq!(error.to_string(), want);
    assert_eq!(error.remedy(), "write line 3 as `key = value`, or remove it");
    let document = Document::parse(b"[default]\naws_secret_access_key = hunter2\n").unwrap();
    assert!(!format!("{document:?}").contains("hunter2"));
}

/// One line of somebody else's, without its line end.
fn line() -> impl Strategy<Value = String> {
    let blank = prop_oneof![Just(""), Just(" "), Just("\t")];
    let comment = "[ ]{0,2}[#;][ -~]{0,12}";
    let section = "\\[[a-z]{1,3}\\]( # [a-z]*)?";
    let key = "[A-Za-z]{2,4}[ ]{0,2}=[ ]{0,2}[ -~]{0,8}";
    let nested = "[ \\t]{1,3}[a-d]{1,3} = [ -~]{0,8}";
    let ours = prop_oneof![
        Just("[default]"),
        Just("aws_access_key_id = x"),
        Just("aws_secret_access_key=y"),
        Just("AWS_SESSION_TOKEN = z"),
        Just("# rolekeeper: expires 2026-01-01T00:00:00Z"),
    ];
    prop_oneof![
        1 => blank.prop_map(str::to_owned),
        1 => comment.prop_map(String::from),
        2 => section.prop_map(String::from),
        6 => key.prop_map(String::from),
        1 => "[A-Za-z]{2,4}[ ]{0,2}:[ -~]{0,8}".prop_map(String::from),
        1 => nested.prop_map(String::from),
        1 => "s3 =\n  [a-d]{1,3} = [a-z]{0,4}".prop_map(String::from),
        3 => ours.prop_map(str::to_owned),
    ]
}

/// A whole text of such lines, most of which parse.
fn text() -> impl Strategy<Value = String> {
    let line = (line(), prop_oneof![3 => Just("\n"), 1 => Just("\r\n")]);
    let start = prop_oneof![Just(""), Just("# c\n\n[a]\n"), Just("[default]\r\n"), Just("[b]\n")];
    (start, vec(line, 0..14), any::<bool>()).prop_map(|(start, lines, ended)| {
        let mut text = String::from(start);
        for (line, end) in lines {
            let line = line.replace('\n', end);
            text.extend([line.as_str(), end]);
        }
        let unended = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(if ended { text.len() } else { unended });
        text
    })
}

/// The lines that are nobody's but the operator's.
fn foreign(text: &str) -> Vec<&str> {
    let lines = grammar::parse(text).unwrap();
    let section = Section::find(&lines, &profile()).unwrap();
    let ours = |line: &Line<'_>| section.as_ref().is_some_and(|section| section.owns(line));
    lines.iter().filter(|line| !ours(line)).map(|line| line.whole).collect()
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_survive_parsing(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(document) = Document::parse(&bytes) {
            prop_assert_eq!(document.as_bytes(), bytes.as_slice());
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "(\\PC|[\\[\\]=: \t\r\n#;]|default){0,60}") {
        if let Ok(set) = set(&text) {
            prop_assert_eq!(super::tests::set(&set).unwrap(), set.as_str());
            withdrawn(&set).unwrap();
        }
    }

    #[test]
    fn every_foreign_line_survives_in_its_order(text in text()) {
        if let Ok(set) = set(&text) {
            let mut want = foreign(&text);
            let set = foreign(&set);
            // A last line may get its line end, a new section its header and a blank line.
            let at = want.len().saturating_sub(1);
            let same = set.len() >= want.len() && set[..at] == want[..at];
            prop_assert!(same, "{:?} became {:?}", want, set);
            if let Some(last) = want.pop() {
                prop_assert_eq!(set[at].trim_end_matches('\n'), last.trim_end_matches('\n'));
            }
            prop_assert!(set.len() <= want.len() + 3, "{:?}", set);
        }
    }

    #[test]
    fn setting_twice_is_setting_once(text in text()) {
        if let Ok(once) = set(&text) {
            prop_assert_eq!(set(&once).unwrap(), once);
        }
    }

    #[test]
    fn what_is_set_in_any_document_is_read_back(text in text()) {
        if let Ok(set) = set(&text) {
            let document = Document::parse(set.as_bytes()).unwrap();
            let published = document.read_profile(&profile()).unwrap().unwrap();
            prop_assert_eq!(published.session_token.expose(), "to/k+en==");
            prop_assert!(set.contains(SET.split_once('\n').unwrap().1));
        }
    }

    #[test]
    fn withdrawing_from_a_document_without_the_profile_undoes_setting(text in text()) {
        let text = text.replace("[default]", "[another]");
        if let Ok(set) = set(&text) {
            prop_assert_eq!(withdrawn(&set).unwrap(), text);
        }
    }

    #[test]
    fn withdrawing_leaves_no_key_and_every_foreign_line(text in text()) {
        if let Ok(kept) = withdrawn(&text) {
            let document = Document::parse(kept.as_bytes()).unwrap();
            let left = document.read_profile(&profile()).unwrap();
            prop_assert!(left.is_none_or(|left| left.expires_at.is_none() && kept == text));
            let said = |text: &str| {
                let lines = foreign(text).into_iter().map(str::trim).map(str::to_owned);
                lines.filter(|l| !l.is_empty() && l != "[default]").collect::<Vec<_>>()
            };
            prop_assert_eq!(said(&kept), said(&text));
            prop_assert_eq!(withdrawn(&kept).unwrap(), kept);
        }
    }
}
