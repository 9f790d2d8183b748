//! Who gets what, by single rules and by all orders of small sets of them.

use proptest::prelude::*;

use super::*;

const OWNER: u32 = 990;
const BACKUP: u32 = 34;
const WEB: u32 = 33;
const NOBODY: u32 = 65534;

fn peer(uid: u32, groups: &[u32]) -> Peer {
    Peer { gid: uid, groups: groups.to_vec(), groups_known: true, ..Peer::of_user(uid) }
}

fn grant(name: &str, rule: Rule) -> Grant {
    Grant { name: name.to_owned(), target: None, rule, disabled: false }
}

fn access() -> Access {
    let group = |gid| Rule { groups: vec![gid], ..Rule::default() };
    let user = |uid| Rule { users: vec![uid], ..Rule::default() };
    Access {
        owner: OWNER,
        targets: vec![grant("default", group(OWNER)), grant("dump", user(BACKUP))],
        consumers: vec![
            grant("backup", user(BACKUP)),
            grant("web", Rule { units: vec!["web.service".into()], ..group(WEB) }),
        ],
    }
}

fn name(wanted: Option<&str>, peer: &Peer) -> Result<String, Denial> {
    let access = access();
    let judged = access.judge(wanted, peer);
    judged.map(|allowed| allowed.name.to_owned()).map_err(|denied| denied.because)
}

#[test]
fn root_and_the_owner_have_everything_and_the_first_target_unasked() {
    for uid in [0, OWNER] {
        let peer = peer(uid, &[]);
        assert_eq!(name(None, &peer).unwrap(), "default");
        assert_eq!(name(Some("web"), &peer).unwrap(), "web");
        assert_eq!(name(Some("x"), &peer).unwrap_err(), Denial::Unknown("x".into()));
    }
}

#[test]
fn whom_no_rule_names_gets_nothing_and_hears_no_names() {
    let stranger = peer(NOBODY, &[100]);
    assert_eq!(name(None, &stranger).unwrap_err(), Denial::Nothing(NOBODY));
    let existing = access().judge(Some("backup"), &stranger).unwrap_err();
    let missing = access().judge(Some("x"), &stranger).unwrap_err();
    assert_eq!(existing.to_string().replace("backup", "x"), missing.to_string());
    assert_eq!((existing.instead, missing.instead), (vec![], vec![]));
    assert_eq!(access().judge(None, &stranger).unwrap_err().exit(), Exit::Refused);
}

#[test]
fn a_user_gets_what_names_it_consumers_first() {
    let backup = peer(BACKUP, &[]);
    assert_eq!(name(None, &backup).unwrap(), "backup");
    assert_eq!(name(Some("dump"), &backup).unwrap(), "dump");
    let denied = access().judge(Some("default"), &backup).unwrap_err();
    assert_eq!(denied.remedy(), "--target backup or dump");
    let wrong = Denial::NotNamed { uid: BACKUP, name: "default".into() };
    assert_eq!(denied.because, wrong);
}

#[test]
fn a_token_stands_for_its_consumer_and_for_no_target() {
    let access = access();
    let allowed = access.bearer("web").unwrap();
    assert_eq!((allowed.name, allowed.because), ("web", Grounds::Token));
    assert_eq!(access.bearer("default"), None);
}

#[test]
fn a_group_counts_whether_it_is_the_first_or_another() {
    assert_eq!(name(None, &peer(1000, &[4, OWNER])).unwrap(), "default");
    assert_eq!(name(None, &Peer { gid: OWNER, ..peer(1000, &[]) }).unwrap(), "default");
}

#[test]
fn a_unit_narrows_a_rule_and_never_opens_one() {
    let in_unit = |uid, unit: &str| Peer { unit: Some(unit.into()), ..peer(uid, &[]) };
    assert_eq!(name(None, &in_unit(WEB, "web.service")).unwrap(), "web");
    let elsewhere = name(None, &in_unit(WEB, "cron.service")).unwrap_err();
    assert_eq!(elsewhere.to_string(), "'web' is for other units than 'cron.service'");
    let hidden = access().judge(Some("web"), &peer(WEB, &[])).unwrap_err();
    assert_eq!(hidden.to_string(), "'web' is for other units than one that cannot be seen");
    assert!(hidden.remedy().contains("consumers-by-unit.conf"));
    assert_eq!(name(None, &in_unit(1, "web.service")).unwrap_err(), Denial::Nothing(1));
}

#[test]
fn a_program_narrows_a_rule_by_its_whole_path() {
    let mut access = access();
    access.consumers[0].rule.executables = vec!["/usr/bin/restic".into()];
    let running = |path: &str| Peer { executable: Some(path.into()), ..peer(BACKUP, &[]) };
    assert!(access.judge(Some("backup"), &running("/usr/bin/restic")).is_ok());
    for other in ["/tmp/restic", "/usr/bin/restic2"] {
        let denied = access.judge(Some("backup"), &running(other)).unwrap_err();
        assert!(matches!(denied.because, Denial::OtherExecutable { .. }), "{denied:?}");
        assert_eq!(denied.instead, ["dump"]);
    }
    // Without a name, what it may have instead is what it gets.
    assert_eq!(access.judge(None, &running("/tmp/x")).unwrap().name, "dump");
}

#[test]
fn a_file_that_everyone_may_read_is_everyones() {
    let mut access = access();
    access.targets[0].rule.everyone = true;
    let allowed = access.judge(None, &peer(NOBODY, &[])).unwrap();
    assert_eq!(allowed, Allowed { name: "default", target: None, because: Grounds::Everyone });
}

#[test]
fn a_disabled_rule_keeps_its_place_and_nobody_else_feels_it() {
    let mut access = access();
    access.consumers[0].disabled = true;
    let backup = peer(BACKUP, &[]);
    let denied = access.judge(None, &backup).unwrap_err();
    assert_eq!(denied.because, Denial::Disabled("backup".into()));
    assert_eq!((denied.exit(), denied.remedy().contains("status")), (Exit::Configuration, true));
    assert_eq!(denied.instead, ["dump"]);
    // By its name the later rule is still what it was.
    assert_eq!(access.judge(Some("dump"), &backup).unwrap().name, "dump");
    let root = access.judge(Some("backup"), &peer(0, &[])).unwrap_err();
    assert_eq!(root.because, Denial::Disabled("backup".into()));
    assert_eq!(access.judge(None, &peer(1000, &[OWNER])).unwrap().name, "default");
    let stranger = access.judge(Some("backup"), &peer(NOBODY, &[])).unwrap_err();
    assert_eq!(stranger.because, Denial::NotNamed { uid: NOBODY, name: "backup".into() });
    assert_eq!(access.bearer("backup"), None);
    assert!(access.bearer("web").is_some());
}

#[test]
fn behind_a_rule_that_is_not_known_whole_who_is_named_is_served() {
    let mut access = access();
    access.consumers[1] =
        grant("web", Rule { users: vec![WEB], incomplete: true, ..Rule::default() });
    assert_eq!(access.judge(None, &peer(WEB, &[])).unwrap().name, "web");
    assert_eq!(access.judge(None, &peer(BACKUP, &[])).unwrap().name, "backup");
    access.consumers.remove(0);
    assert_eq!(access.judge(None, &peer(BACKUP, &[])).unwrap().name, "dump");
    // A member of the group may be whomever the rule means.
    let member = peer(1000, &[OWNER]);
    let denied = access.judge(None, &member).unwrap_err();
    assert_eq!((&denied.because, denied.exit()), (&Denial::Undecided(1000), Exit::TryAgain));
    assert_eq!(denied.instead, ["default"]);
    assert_eq!(access.judge(Some("default"), &member).unwrap().name, "default");
    let stranger = access.judge(None, &peer(NOBODY, &[])).unwrap_err();
    assert_eq!(stranger.because, Denial::Undecided(NOBODY));
}

proptest! {
    #[test]
    fn nobody_is_allowed_what_no_rule_says(
        uid in 1_u32..8, gid in 1_u32..8, groups in prop::collection::vec(1_u32..8, 0..3),
        users in prop::collection::vec(1_u32..8, 0..3),
        members in prop::collection::vec(1_u32..8, 0..3),
        unit in prop::option::of("[ab]"), units in prop::collection::vec("[ab]", 0..2),
    ) {
        let peer = Peer { gid, unit: unit.clone(), ..peer(uid, &groups) };
        let rule = Rule { users, groups: members, units, ..Rule::default() };
        let named = rule.users.contains(&uid)
            || rule.groups.contains(&gid)
            || rule.groups.iter().any(|group| groups.contains(group));
        let narrowed = rule.units.is_empty() || unit.is_some_and(|unit| rule.units.contains(&unit));
        let access =
            Access { owner: OWNER, targets: vec![], consumers: vec![grant("a", rule)] };
        prop_assert_eq!(access.judge(Some("a"), &peer).is_ok(), named && narrowed);
        prop_assert_eq!(access.judge(None, &peer).is_ok(), named && narrowed);
    }
}

/// Kinds of rules, each with another name: whether it is disabled, and what it says.
fn kinds() -> Vec<(bool, Rule)> {
    let user = |uid| Rule { users: vec![uid], ..Rule::default() };
    let group = |gid| Rule { groups: vec![gid], ..Rule::default() };
    let narrowed = |rule| Rule { units: vec!["web.service".into()], ..rule };
    let everyone = Rule { everyone: true, ..Rule::default() };
    vec![
        (false, user(WEB)),
        (false, user(BACKUP)),
        (false, group(4)),
        (false, group(5)),
        (false, narrowed(user(WEB))),
        (false, narrowed(group(4))),
        (false, Rule { executables: vec!["/usr/bin/restic".into()], ..group(5) }),
        (false, everyone),
        (true, user(WEB)),
        (true, group(4)),
        (true, narrowed(group(5))),
    ]
}

/// All orders of up to three of them, as consumers with a target or two behind them.
fn orders() -> Vec<Access> {
    let kinds = kinds();
    let named = |at: usize| {
        let (disabled, rule) = kinds[at].clone();
        Grant { disabled, ..grant(&format!("rule {at}"), rule) }
    };
    let mut orders = Vec::new();
    let all = 0..kinds.len();
    for (a, b) in all.clone().flat_map(|a| all.clone().map(move |b| (a, b))) {
        for c in all.clone().filter(|c| a != b && *c != a && *c != b) {
            for consumers in 0..=3 {
                let grants = [a, b, c].map(named);
                let (consumers, targets) = grants.split_at(consumers);
                let (consumers, targets) = (consumers.to_vec(), targets.to_vec());
                orders.push(Access { owner: OWNER, targets, consumers });
            }
        }
    }
    orders
}

/// The first rule that means the peer, and whether it is disabled.
fn first_match<'a>(access: &'a Access, wanted: Option<&str>, peer: &Peer) -> Option<&'a Grant> {
    let mut grants = access.consumers.iter().chain(&access.targets);
    grants.find(|Grant { name, rule, .. }| {
        let asked = wanted.is_none_or(|wanted| name == wanted);
        let member = rule.groups.iter().any(|group| peer.groups.contains(group));
        let meant = rule.everyone || rule.users.contains(&peer.uid) || member;
        let here = rule.units.is_empty() || peer.unit.iter().any(|it| rule.units.contains(it));
        let runs = peer.executable.iter().any(|it| rule.executables.contains(it));
        asked && meant && here && (rule.executables.is_empty() || runs)
    })
}

#[test]
fn in_every_order_the_first_rule_that_means_the_peer_decides() {
    let orders = orders();
    let groups = [&[][..], &[4], &[5], &[4, 5]];
    let units = [None, Some("web.service")];
    let peers = [WEB, NOBODY].into_iter().flat_map(|uid| {
        groups.iter().flat_map(move |groups| {
            units.into_iter().map(move |unit| Peer {
                unit: unit.map(str::to_owned),
                executable: unit.map(|_| "/usr/bin/restic".into()),
                ..peer(uid, groups)
            })
        })
    });
    for known in peers {
        let unknown = Peer { groups: Vec::new(), groups_known: false, ..known.clone() };
        for (access, wanted) in orders.iter().flat_map(|it| [(it, None), (it, Some("rule 2"))]) {
            let expected = first_match(access, wanted, &known);
            let allowed = expected.filter(|grant| !grant.disabled).map(|it| it.name.as_str());
            let judged = access.judge(wanted, &known);
            assert_eq!(judged.as_ref().ok().map(|it| it.name), allowed, "{access:#?} {known:#?}");
            // Without the groups it is the same, or it is said that they are missing.
            match access.judge(wanted, &unknown) {
                Err(Denied { because: Denial::GroupsUnknown(_), .. }) => {}
                without => {
                    let allowed_without = without.ok().map(|it| it.name);
                    assert_eq!(allowed_without, allowed, "{access:#?} {known:#?}");
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_known_of_a_group_lets_nobody_through_to_a_later_rule() {
    let group = Rule { groups: vec![4], ..Rule::default() };
    let everyone = Rule { everyone: true, ..Rule::default() };
    let user = Rule { users: vec![WEB], ..Rule::default() };
    let access = |rules: [&Rule; 2]| {
        let grants = rules.iter().zip(["first", "second"]);
        let consumers = grants.map(|(rule, name)| grant(name, (*rule).clone())).collect();
        Access { owner: OWNER, targets: vec![], consumers }
    };
    let unknown = Peer { groups_known: false, ..peer(WEB, &[]) };
    for later in [&everyone, &user] {
        let rules = access([&group, later]);
        let denied = rules.judge(None, &unknown).unwrap_err();
        assert_eq!((&denied.because, denied.exit()), (&Denial::GroupsUnknown(WEB), Exit::TryAgain));
        assert_eq!(rules.judge(Some("second"), &unknown).unwrap().name, "second");
        assert_eq!(rules.judge(None, &peer(WEB, &[])).unwrap().name, "second");
        // Nobody waits for what does not matter.
        assert_eq!(access([later, &group]).judge(None, &unknown).unwrap().name, "first");
    }
}

#[test]
fn a_link_to_the_program_is_the_program() {
    let python =
        |path: &str| Rule { users: vec![WEB], executables: vec![path.into()], ..Rule::default() };
    let access = |path| Access {
        owner: OWNER,
        targets: vec![],
        consumers: vec![grant("python", python(path))],
    };
    let executable = Some(PathBuf::from("/usr/bin/python3.13"));
    let running = Peer { executable, ..peer(WEB, &[]) };
    let by_link = Peer { links: vec!["/usr/bin/python3".into()], ..running.clone() };
    assert!(access("/usr/bin/python3").judge(None, &running).is_err());
    assert!(access("/usr/bin/python3").judge(None, &by_link).is_ok());
    assert!(access("/usr/bin/python3.13").judge(None, &by_link).is_ok());
    assert!(access("/usr/bin/python2").judge(None, &by_link).is_err());
}

#[test]
fn a_refusal_is_one_line_however_many_names_there_are() {
    let names = |count: usize| Denied {
        because: Denial::Unknown("x".into()),
        instead: (0..count).map(|number| format!("n{number}")).collect(),
    };
    assert_eq!(names(2).remedy(), "--target n0 or n1");
    let expected = "--target n0 or n1 or n2 or n3 or n4 or n5 or n6 or n7";
    assert_eq!(names(8).remedy(), expected);
    assert_eq!(names(1500).remedy(), format!("{expected}, or one of 1492 more"));
}
