use proptest::prelude::*;

use super::*;

const FORTY: SimilarityThreshold = SimilarityThreshold::Percent(40);

fn machine() -> Observation {
    Observation::from_fn(|attribute| Reading::of(attribute, "then\n", "then"))
}

fn changed(observation: Observation, attributes: &[Attribute]) -> Observation {
    attributes.iter().fold(observation, |observation, &attribute| {
        observation.with(attribute, Reading::of(attribute, "now\n", "now"))
    })
}

#[test]
fn an_equal_machine_is_similar() {
    let similarity = compare(&machine().hash(), &machine(), FORTY);
    assert_eq!((similarity.verdict, similarity.score), (Verdict::Similar, 100));
    assert_eq!(
        similarity.to_string(),
        "similar: the IP address is the same; 9 of 9 attributes agree (100 %)"
    );
}

#[test]
fn four_of_nine_pass_at_forty_percent_and_three_do_not() {
    use Attribute::*;
    let four = changed(machine(), &[IpAddress, MacAddress, Disk, Memory, Bios]);
    let similarity = compare(&machine().hash(), &four, FORTY);
    assert_eq!((similarity.verdict, similarity.score), (Verdict::Similar, 44));

    let three = changed(four, &[Hostname]);
    let similarity = compare(&machine().hash(), &three, FORTY);
    assert_eq!((similarity.verdict, similarity.rule), (Verdict::Different, Rule::Share));
    assert_eq!(
        similarity.to_string(),
        "different: 3 of 9 attributes agree (33 %), 40 % needed; changed: bios-hash, disk-info, \
         hostname-info, ipaddress-info, macaddr-info, memory-hash"
    );
}

#[test]
fn a_moved_machine_passes_at_40_and_not_at_95() {
    let moved = changed(machine(), &[Attribute::IpAddress, Attribute::MacAddress]);
    assert!(compare(&machine().hash(), &moved, FORTY).is_accepted());
    let strict = compare(&machine().hash(), &moved, SimilarityThreshold::Percent(95));
    assert!(!strict.is_accepted());
    assert_eq!((strict.agreeing(), strict.compared(), strict.score), (7, 9, 77));
    assert_eq!(strict.changed(), [Attribute::IpAddress, Attribute::MacAddress]);
}

#[test]
fn another_machine_id_is_another_machine_even_at_the_same_address() {
    let clone = changed(machine(), &[Attribute::MachineId]);
    let similarity = compare(&machine().hash(), &clone, SimilarityThreshold::Percent(1));
    assert_eq!((similarity.verdict, similarity.rule), (Verdict::Different, Rule::MachineId));
    assert_eq!(
        similarity.to_string(),
        "different: another machine-id; 8 of 9 attributes agree (88 %); changed: machine-id"
    );
}

#[test]
fn a_machine_id_that_cannot_be_read_is_never_the_same() {
    let unread = machine().with(Attribute::MachineId, Reading::Unknown("no such luck".into()));
    let similarity = compare(&machine().hash(), &unread, FORTY);
    assert_eq!(similarity.rule, Rule::MachineId);
    assert!(similarity.to_string().starts_with("different: the machine-id is not readable;"));
    assert_eq!(similarity.unreadable(), [Attribute::MachineId]);
    assert!(!compare(&unread.hash(), &unread, FORTY).is_accepted());
}

#[test]
fn what_is_on_neither_side_is_not_counted() {
    use Attribute::*;
    let container = [Bios, Disk, MacAddress, System]
        .into_iter()
        .fold(machine(), |observation, attribute| observation.with(attribute, Reading::Absent));
    let moved = changed(container.clone(), &[IpAddress]);
    let similarity = compare(&container.hash(), &moved, SimilarityThreshold::Percent(80));
    assert_eq!((similarity.agreeing(), similarity.compared()), (4, 5));
    assert!(similarity.is_accepted());
}

#[test]
fn two_missing_addresses_are_not_the_same_address() {
    let offline = machine().with(Attribute::IpAddress, Reading::Absent);
    assert_eq!(compare(&offline.hash(), &offline, FORTY).rule, Rule::Share);
}

#[test]
fn what_is_on_one_side_only_or_not_readable_counts_against() {
    use Attribute::*;
    let saved = machine().with(Bios, Reading::Absent).hash();
    let now = machine().with(IpAddress, Reading::Unknown("EIO".into())).with(Disk, Reading::Absent);
    let similarity = compare(&saved, &now, FORTY);
    let agreement =
        |attribute: Attribute| similarity.contributions[attribute as usize].agreement.clone();
    assert_eq!(agreement(Bios), Agreement::Appeared);
    assert_eq!(agreement(Disk), Agreement::Gone);
    assert_eq!(agreement(IpAddress), Agreement::Unreadable("EIO".into()));
    assert_eq!((similarity.agreeing(), similarity.compared()), (6, 9));
    assert_eq!(
        similarity.to_string(),
        "similar: 6 of 9 attributes agree (66 %), 40 % needed; changed: bios-hash, disk-info; \
         not readable: ipaddress-info"
    );
}

#[test]
fn nothing_to_compare_is_not_similarity() {
    let blind = Observation::from_fn(|_| Reading::Unknown("dark".into()));
    let bare = Observation::from_fn(|_| Reading::Absent);
    let nothing = HardwareHash::default();
    assert_eq!(compare(&nothing, &machine(), FORTY).rule, Rule::NothingSaved);
    assert_eq!(compare(&machine().hash(), &blind, FORTY).rule, Rule::NothingRead);
    assert_eq!(compare(&machine().hash(), &bare, FORTY).rule, Rule::NothingRead);
    assert_eq!(compare(&nothing, &blind, FORTY).verdict, Verdict::Different);
}

#[test]
fn a_check_that_is_off_still_says_what_changed() {
    let clone = changed(machine(), &[Attribute::MachineId]);
    let similarity = compare(&machine().hash(), &clone, SimilarityThreshold::Disabled);
    assert!(similarity.is_accepted());
    assert_eq!(
        similarity.to_string(),
        "disabled: the check is off; 8 of 9 attributes agree (88 %); changed: machine-id"
    );
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        3 => Just(value("a")),
        2 => Just(value("b")),
        1 => Just(Reading::Absent),
        1 => Just(Reading::Unknown("unplugged".into())),
    ]
}

fn value(hash: &str) -> Reading {
    Reading::Value { hash: hash.into(), shown: String::new() }
}

prop_compose! {
    fn observation()(readings in prop::array::uniform9(reading())) -> Observation {
        Observation::from_fn(|attribute| readings[attribute as usize].clone())
    }
}

proptest! {
    #[test]
    fn a_stricter_threshold_never_accepts_more(
        then in observation(), now in observation(), lax in 1_u8..=100, strict in 1_u8..=100,
    ) {
        let (lax, strict) = (lax.min(strict), lax.max(strict));
        let accepted = |percent| {
            compare(&then.hash(), &now, SimilarityThreshold::Percent(percent)).is_accepted()
        };
        prop_assert!(accepted(lax) || !accepted(strict));
    }

    #[test]
    fn a_machine_that_can_be_read_is_similar_to_itself_at_any_threshold(
        machine in observation(), percent in 1_u8..=100,
    ) {
        let machine = machine.with(Attribute::MachineId, value("a"));
        let similarity =
            compare(&machine.hash(), &machine, SimilarityThreshold::Percent(percent));
        prop_assert_eq!((similarity.verdict, similarity.score), (Verdict::Similar, 100));
        prop_assert!(similarity.changed().is_empty());
    }

    #[test]
    fn a_machine_is_accepted_only_with_its_own_machine_id(
        then in observation(), now in observation(), percent in 1_u8..=100,
    ) {
        let similarity = compare(&then.hash(), &now, SimilarityThreshold::Percent(percent));
        let readable = !matches!(now.get(Attribute::MachineId), Reading::Unknown(_));
        let same = then.hash().get(Attribute::MachineId) == now.get(Attribute::MachineId).hash();
        prop_assert!(!similarity.is_accepted() || (readable && same));
    }

    #[test]
    fn losing_an_attribute_never_helps(
        then in observation(), now in observation(), lost in 0_usize..9, percent in 1_u8..=100,
    ) {
        let threshold = SimilarityThreshold::Percent(percent);
        let attribute = Attribute::ALL[lost];
        prop_assume!(then.get(attribute).hash().is_some());
        let before = compare(&then.hash(), &now, threshold);
        let blind = now.with(attribute, Reading::Unknown("lost".into()));
        let after = compare(&then.hash(), &blind, threshold);
        prop_assert!(after.score <= before.score);
        prop_assert!(before.is_accepted() || !after.is_accepted());
    }

    #[test]
    fn the_score_is_the_exact_share_rounded_down(then in observation(), now in observation()) {
        let similarity = compare(&then.hash(), &now, FORTY);
        let (agreeing, compared) = (similarity.agreeing(), similarity.compared());
        prop_assert!(agreeing <= compared && similarity.contributions.len() == 9);
        for percent in 1..=100_usize {
            let reached = compared > 0 && agreeing * 100 >= percent * compared;
            prop_assert_eq!(usize::from(similarity.score) >= percent, reached);
        }
    }
}

/// `attributes` are hidden, as by InaccessiblePaths=/sys.
fn hidden(observation: Observation, attributes: &[Attribute]) -> Observation {
    attributes.iter().fold(observation, |observation, &attribute| {
        observation.with(attribute, Reading::Unknown("sysfs is not mounted".into()))
    })
}

#[test]
fn what_is_hidden_is_told_from_what_has_changed() {
    use Attribute::*;
    let sys = [IpAddress, MacAddress, Disk, Memory, Bios, System];
    let judged = |now: Observation| compare(&machine().hash(), &now, FORTY);
    let behind_a_hardening = judged(hidden(machine(), &sys));
    assert!(behind_a_hardening.hinges_on_unreadable());
    assert!(!behind_a_hardening.remedy().contains("copy"), "{}", behind_a_hardening.remedy());

    let everything = judged(hidden(machine(), &Attribute::ALL));
    assert!(everything.hinges_on_unreadable(), "{everything}");
    let machine_id = judged(hidden(machine(), &[MachineId]));
    assert!(machine_id.hinges_on_unreadable(), "{machine_id}");

    // It would be another machine whatever the hidden parts were.
    let copy = judged(hidden(changed(machine(), &[MachineId]), &sys));
    assert!(!copy.hinges_on_unreadable(), "{copy}");
    assert!(copy.remedy().contains("copy"));
    let other = judged(hidden(
        changed(machine(), &[IpAddress, MacAddress, Disk, Memory, Processor, Hostname]),
        &[Bios, System],
    ));
    assert!(!other.hinges_on_unreadable(), "{other}");
    // Nothing is said of a machine that was accepted.
    assert!(!judged(hidden(machine(), &[Bios])).hinges_on_unreadable());
    assert!(!judged(machine()).hinges_on_unreadable());
}
