//! A service that loses, delays and refuses requests, and a machine that crashes between any two
//! steps: whatever the order, the machine never loses the key that the service holds.

use proptest::prelude::*;

use super::*;

/// No start needs more decisions than this once nothing fails any more.
const MOST_DECISIONS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Old,
    New,
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    RequestLost,
    AnswerLost,
    /// Takes effect later, or never; the machine sees a timeout.
    Delayed,
    Denied,
    KeyRefused,
}

/// Where the machine crashes in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    Never,
    BeforeRecord,
    AfterRecord,
    BeforeAnswer,
    HalfwayThroughPromotion,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    fate: Fate,
    crash: Crash,
    /// A delayed publish takes effect before anything else.
    arrives: bool,
}

/// What the service holds, what the machine's disk holds, and what is between them.
#[derive(Debug)]
struct World {
    held: Key,
    registered: Key,
    staged: Option<Step>,
    publish_delayed: bool,
}

impl World {
    fn new() -> Self {
        Self {
            held: Key::Old,
            registered: Key::Old,
            staged: Some(Step::Staged),
            publish_delayed: false,
        }
    }

    fn assert_not_locked_out(&self) {
        let durable =
            self.held == self.registered || (self.held == Key::New && self.staged.is_some());
        assert!(durable, "the key that the service holds is gone: {self:?}");
    }

    /// The delayed publish was signed by the old key, and counts only while that one is held.
    fn delayed_publish_arrives(&mut self) {
        if std::mem::take(&mut self.publish_delayed) {
            self.held = Key::New;
        }
        self.assert_not_locked_out();
    }

    fn request(&mut self, next: Next, fate: Fate) -> Answer {
        let signer = if next == Next::ProveNew { Key::New } else { Key::Old };
        let publish = next == Next::Publish;
        match fate {
            Fate::RequestLost => Answer::Unclear,
            Fate::Delayed => {
                self.publish_delayed |= publish;
                Answer::Unclear
            }
            Fate::AnswerLost => {
                if publish && self.held == signer {
                    self.held = Key::New;
                }
                Answer::Unclear
            }
            Fate::Answered | Fate::Denied | Fate::KeyRefused if self.held != signer => {
                Answer::SignatureRefused
            }
            Fate::Denied => Answer::Denied,
            Fate::KeyRefused => Answer::KeyRefused,
            Fate::Answered => {
                if publish {
                    self.held = Key::New;
                }
                Answer::Accepted
            }
        }
    }

    /// A start after a crash: the vault finishes a promotion, and knows the step of a rotation.
    fn restart(&mut self) -> Option<(KeyRotation, Decision)> {
        if self.registered == Key::New {
            self.staged = None;
        }
        self.assert_not_locked_out();
        self.staged.map(|step| KeyRotation::resume(step, false))
    }

    /// One turn of the driver. `None` when the rotation is over.
    fn turn(
        &mut self,
        (mut rotation, decision): (KeyRotation, Decision),
        turn: Turn,
    ) -> Option<(KeyRotation, Decision)> {
        if turn.arrives {
            self.delayed_publish_arrives();
        }
        if turn.crash == Crash::BeforeRecord {
            return self.restart();
        }
        if let Some(step) = decision.record {
            self.staged = Some(step);
        }
        if turn.crash == Crash::AfterRecord {
            return self.restart();
        }
        match decision.next {
            Next::Publish | Next::ProveNew | Next::ProveOld => {
                let answer = self.request(decision.next, turn.fate);
                self.assert_not_locked_out();
                if turn.crash == Crash::BeforeAnswer {
                    return self.restart();
                }
                let decision = rotation.answered(answer);
                Some((rotation, decision))
            }
            Next::Promote => {
                self.registered = Key::New;
                self.assert_not_locked_out();
                if turn.crash == Crash::HalfwayThroughPromotion {
                    return self.restart();
                }
                self.staged = None;
                None
            }
            Next::Abandon => {
                self.staged = None;
                None
            }
            Next::Wait(_) => {
                // What has not arrived by the end of the wait is too old to count.
                self.publish_delayed = false;
                Some(KeyRotation::resume(rotation.step(), true))
            }
        }
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let fate = prop_oneof![
        3 => Just(Fate::Answered),
        1 => Just(Fate::RequestLost),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::Delayed),
        1 => Just(Fate::Denied),
        1 => Just(Fate::KeyRefused),
    ];
    let crash = prop_oneof![
        8 => Just(Crash::Never),
        1 => Just(Crash::BeforeRecord),
        1 => Just(Crash::AfterRecord),
        1 => Just(Crash::BeforeAnswer),
        1 => Just(Crash::HalfwayThroughPromotion),
    ];
    let turn = (fate, crash, prop::bool::weighted(0.2)).prop_map(|(fate, crash, arrives)| Turn {
        fate,
        crash,
        arrives,
    });
    prop::collection::vec(turn, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_faults_and_crashes_loses_the_key_and_calm_ends_the_rotation(turns in turns()) {
        let mut world = World::new();
        let mut rotation = Some(KeyRotation::begin());
        for turn in turns {
            rotation = rotation.and_then(|rotation| world.turn(rotation, turn));
            world.assert_not_locked_out();
        }
        world.delayed_publish_arrives();
        let calm = Turn { fate: Fate::Answered, crash: Crash::Never, arrives: false };
        for _ in 0..MOST_DECISIONS {
            rotation = rotation.and_then(|rotation| world.turn(rotation, calm));
            world.assert_not_locked_out();
        }
        prop_assert!(rotation.is_none(), "still under way: {rotation:?}");
        prop_assert!(world.staged.is_none() && world.registered == world.held, "{world:?}");
    }
}
