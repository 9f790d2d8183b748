use time::macros::utc_datetime;

use super::*;
use crate::lab::rehearse::chronicle::Chronicle;
use crate::lab::rehearse::passage::Passage;
use crate::lab::scenario::shipped;
use crate::shelf::{Credentials, Failure, State, Status};

const HOSTILE: &str = "\"'><script>alert(1)</script>&\u{7}";

fn line(title: &str, ok: bool) -> Line {
    Line {
        at: Moment(utc_datetime!(2026-11-22 00:00)),
        step: "1".to_owned(),
        title: title.to_owned(),
        ok,
        expected: format!("state fresh; {title}"),
        seen: format!("state stale; {title}"),
        took_ms: 1234,
    }
}

/// A machine of that name, whose daemon is fresh and then fails; and a fault of that name.
fn record(name: &str) -> Record {
    let chronicle = Chronicle::new(Passage::new());
    chronicle.step(0);
    let at = |minutes| Moment(utc_datetime!(2026-11-22 00:00) + time::Duration::minutes(minutes));
    let credentials = Credentials {
        access_key_id_suffix: name.to_owned(),
        issued_at: at(0),
        expires_at: at(60),
        next_refresh_at: at(30),
    };
    let fresh =
        Status { state: State::Fresh, credentials: Some(credentials), ..Status::unregistered() };
    chronicle.status(name, &fresh);
    chronicle.wrong(name);
    let failure = Failure {
        class: name.to_owned(),
        message: String::new(),
        remedy: String::new(),
        attempts: 1,
        next_try_at: None,
    };
    chronicle.status(name, &Status { state: State::Stale, failure: Some(failure), ..fresh });
    chronicle.close(std::iter::empty())
}

/// Every element is closed, in order; the page is XML but for its first line.
fn check_form(page: &str) {
    let mut open = Vec::new();
    let body = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let mut rest = body.to_owned();
    if let (Some(start), Some(end)) = (rest.find("<style>"), rest.find("</style>")) {
        // A style sheet has `>` of its own.
        rest.replace_range(start + 7..end, "");
    }
    for tag in rest.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(name.to_owned());
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn the_page_is_well_formed_and_says_what_was_expected_and_seen() {
    let text = shipped::text("clone").unwrap();
    let about = About::of(&Scenario::parse(text).unwrap(), text);
    let lines = [line("one step", true), line("another", false)];
    let page = page(&about, &record("server"), &lines);
    check_form(&page);
    for part in [
        "<h1>clone</h1>",
        "1 of 2 expectations held",
        "<h3>another</h3>",
        "did not hold",
        "<span>state fresh</span><span>state stale</span>",
        "on copy: new machine copy with the disk of machine, start the daemon",
        "1.2 s",
        &escape("[[step]]\ntitle = \"The original registers"),
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn whatever_has_a_name_is_escaped_wherever_it_stands() {
    let about = About {
        title: HOSTILE.to_owned(),
        summary: HOSTILE.to_owned(),
        learn: HOSTILE.to_owned(),
        token_lifetime: HOSTILE.to_owned(),
        hardware: HOSTILE.to_owned(),
        acts: vec![HOSTILE.to_owned()],
        source: Some(HOSTILE.to_owned()),
    };
    let page = page(&about, &record(HOSTILE), &[line(HOSTILE, false)]);
    check_form(&page);
    assert!(!page.contains("<script") && !page.contains('\u{7}'), "{page}");
    assert!(page.matches(&escape(HOSTILE)).count() > 10);
}

#[test]
fn the_legend_has_what_is_drawn_and_nothing_else() {
    let drawn = page(&About::the_tour(), &record("server"), &[line("one step", true)]);
    let legend =
        drawn.split("class=\"legend\"").nth(1).unwrap().split("</figcaption>").next().unwrap();
    assert!(legend.contains("credentials, from issue"), "{legend}");
    for absent in ["hibernating", "mismatch", "expired", "refused"] {
        assert!(!legend.contains(absent), "{absent}: {legend}");
    }
}

/// The lab cannot know what was sent to a port where it does not listen; the daemon says so.
#[test]
fn requests_that_found_nobody_are_drawn_too() {
    let chronicle = Chronicle::new(Passage::new());
    chronicle.step(0);
    let failing = |attempts| {
        let failure = Failure {
            class: "unreachable".to_owned(),
            message: String::new(),
            remedy: String::new(),
            attempts,
            next_try_at: None,
        };
        Status { state: State::Stale, failure: Some(failure), ..Status::unregistered() }
    };
    // Not because of a refused connection.
    chronicle.status("machine", &failing(1));
    chronicle.wrong("connections refused");
    for attempts in [2, 2, 3, 3, 4] {
        chronicle.status("machine", &failing(attempts));
    }
    let record = chronicle.close(std::iter::empty());
    assert_eq!(record.requests.len(), 3, "{:?}", record.requests);
    let page = page(&About::the_tour(), &record, &[line("one step", true)]);
    assert_eq!(page.matches("RequestManagedInstanceRoleToken: connections refused").count(), 3);
}

#[test]
fn the_policy_allows_this_style_sheet_and_nothing_else() {
    let page = page(&About::the_tour(), &record("machine"), &[]);
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let hash = STANDARD.encode(Sha256::digest(style));
    assert!(page.contains(&format!(
        "content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'"
    )));
    for outside in ["http:", "https:", "url(", "@import", " style=", "<script", "<link", "<img"] {
        assert!(!page.contains(outside), "{outside}");
    }
}
