use proptest::prelude::*;

use super::*;
use crate::lab::scenario::shipped::SHIPPED;

/// The first lines that every scenario has; a step comes on line 4.
const HEAD: &str = "name = \"n\"\nsummary = \"s\"\nlearn = \"l\"\n";

fn error(rest: &str) -> String {
    read(&format!("{HEAD}{rest}")).unwrap_err().to_string()
}

fn steps(rest: &str) -> Vec<Step> {
    read(&format!("{HEAD}{rest}")).unwrap().steps
}

#[test]
fn the_shipped_ones_are_well_formed_and_called_as_their_files_are() {
    for (name, text) in SHIPPED {
        let scenario = read(text).unwrap_or_else(|error| panic!("{name}.toml:{error}"));
        assert_eq!(scenario.name, name);
        assert!(scenario.steps.iter().any(|step| !step.expect.is_empty()), "{name}");
        assert!(text.lines().all(|line| !line.ends_with(' ')), "{name}");
    }
    assert!(SHIPPED.is_sorted_by_key(|(name, _)| name));
}

#[test]
fn one_act_needs_no_brackets() {
    let one = steps("[[step]]\ntitle = \"t\"\ndo = \"register\"");
    let same = steps("[[step]]\ntitle = \"t\"\ndo = [\"register\"]");
    assert_eq!(one, same);
    assert_eq!(one[0].acts, [Act::Register]);
    assert_eq!((one[0].on.as_str(), one[0].within), (MACHINE, USUAL_PATIENCE));
    let table = steps("[[step]]\ntitle = \"t\"\ndo = { time-passes = \"1h30m\" }");
    assert_eq!(table[0].acts, [Act::TimePasses(Duration::from_secs(5400))]);
}

#[test]
fn what_nobody_knows_is_refused_with_its_place() {
    for (rest, place, word) in [
        ("colour = 1\n", "4:1", "unknown field `colour`"),
        ("[lab]\ntoken_life = \"1h\"\n", "5:1", "unknown field `token_life`"),
        ("[machine]\ncpu = 1\n", "5:1", "unknown field `cpu`"),
        ("[machine.hardware]\nserial = \"1\"\n", "5:1", "unknown field `serial`"),
        ("[[step]]\ntitle = \"t\"\nthen = 1\n", "6:1", "unknown field `then`"),
        ("[[step]]\ntitle = \"t\"\ndo = \"explode\"\n", "6:6", "unknown variant `explode`"),
        ("[[step]]\ntitle = \"t\"\ndo = [\"start\", \"x\"]\n", "6:16", "unknown variant `x`"),
        ("[[step]]\ntitle = \"t\"\ndo = { go = 1 }\n", "6:8", "unknown variant `go`"),
        (
            "[[step]]\ntitle = \"t\"\ndo = { add-fault = { effect = \"hang\", who = 1 } }\n",
            "6:39",
            "unknown field `who`",
        ),
        ("[[step]]\ntitle = \"t\"\nexpect = { mood = 1 }\n", "6:12", "unknown field `mood`"),
        ("[[step]]\ntitle = \"t\"\nexpect = { state = \"x\" }\n", "6:20", "unknown variant `x`"),
        (
            "[[step]]\ntitle = \"t\"\nexpect = { requests = { operation = \"Go\", at_least = 1 } }\n",
            "6:37",
            "the lab has no operation 'Go'",
        ),
    ] {
        let error = error(rest);
        assert!(error.starts_with(&format!("{place}: ")), "{rest}: {error}");
        assert!(error.contains(word), "{rest}: {error}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let step = |rest: &str| format!("[[step]]\ntitle = \"t\"\n{rest}\n");
    for (rest, place, word) in [
        (String::new(), "1:1", "there is no [[step]]"),
        (step(""), "4:1", "a step needs `do` or `expect`"),
        (step("on = \"moon\"\ndo = \"start\""), "6:6", "there is no machine 'moon' by then"),
        (step("do = { register-with = \"x\" }"), "6:6", "there is no activation 'x' by then"),
        (step("do = [\"start\", { delete-activation = \"x\" }]"), "6:16", "no activation 'x'"),
        (step("do = { new-machine = { name = \"../x\" } }"), "6:6", "is no name"),
        (
            step("do = { new-machine = { name = \"machine\" } }"),
            "6:6",
            "a machine 'machine' already",
        ),
        (step("do = { new-machine = { name = \"b\", copy_of = \"c\" } }"), "6:6", "no machine 'c'"),
        (step("do = { time-passes = \"soon\" }"), "6:22", "expected a number and a unit"),
        (step("do = { time-passes = \"1000d\" }"), "6:6", "expected 1ms to 31d"),
        (step("do = { set-threshold = 0 }"), "6:24", "expected 1 to 100"),
        (step("do = { add-fault = { effect = \"status\", status = 200 } }"), "6:6", "400 to 599"),
        (step("do = { change-hardware = { machine_id = \"x\" } }"), "6:6", "32 hexadecimal digits"),
        (step("do = \"start\"\nwithin = \"1d\""), "7:10", "expected 1ms to 10m"),
        (step("expect = { exit = 0 }"), "6:10", "this step does none"),
        (step("do = \"refresh\"\nexpect = { refused = \"no\" }"), "7:10", "a code such as"),
        (step("expect = { call = \"maybe not\" }"), "6:19", "expected accepted"),
        (step("expect = { changed = [\"gpu\"] }"), "6:10", "unknown hardware attribute 'gpu'"),
        (step("expect = { asks_again_in = {} }"), "6:10", "needs at_least or at_most"),
        (
            step("expect = { asks_again_in = { at_least = \"2m\", at_most = \"1m\" } }"),
            "6:10",
            "at_least is more than at_most",
        ),
        (
            format!("[lab]\ntoken_lifetime = \"0s\"\n{}", step("do = \"start\"")),
            "5:18",
            "1s to 12h",
        ),
        (step("do = \"start\"").replace("\"t\"", "\"a\\u001bb\""), "5:9", "no control characters"),
        (
            step("do = \"start\"").replace("\"t\"", "\"\""),
            "5:9",
            "title must be 1 to 120 characters",
        ),
    ] {
        let error = error(&rest);
        assert!(error.starts_with(&format!("{place}: ")), "{rest}: {error}");
        assert!(error.contains(word), "{rest}: {error}");
    }
}

#[test]
fn a_mistake_cannot_steer_the_terminal_that_shows_it() {
    let error = error(&format!("\"\\u001b[2J\\n{}\" = 1\n", "x".repeat(1000)));
    assert!(error.starts_with("4:1: unknown field ` [2J x"), "{error}");
    assert!(!error.contains(char::is_control) && error.len() < 520, "{error}");
}

#[test]
fn sizes_are_bounded() {
    let many = "[[step]]\ntitle = \"t\"\ndo = \"start\"\n".repeat(MOST_STEPS + 1);
    assert!(error(&many).ends_with("more than 100 steps"));
    let acts = vec!["\"start\""; MOST_ACTS + 1].join(", ");
    assert!(error(&format!("[[step]]\ntitle = \"t\"\ndo = [{acts}]\n")).contains("more than 20"));
    let long = format!("# {}\n", "x".repeat(LARGEST));
    assert!(error(&long).contains("larger than 64 KiB"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn no_change_of_a_scenario_panics_and_each_error_has_its_place(
        which in 0..SHIPPED.len(), at in 0.0..1.0_f64, length in 0_usize..40, new in "\\PC{0,10}"
    ) {
        let mut text = SHIPPED[which].1.chars().collect::<Vec<_>>();
        let at = (text.len() as f64 * at) as usize;
        let end = (at + length).min(text.len());
        text.splice(at..end, new.chars());
        let text = text.into_iter().collect::<String>();
        if let Err(error) = read(&text) {
            let line = text.split('\n').nth(error.line - 1);
            let columns = line.map_or(0, |line| line.chars().count());
            prop_assert!(error.column <= columns + 1, "{error}\n{text}");
        }
    }
}
