//! Both opinions on histories: each is shown one that nothing explains, and tricky ones that something does.

use super::*;
use crate::facts::Value;
use raft_core::EntryId;

/// A history in the making: puts are committed at the next index.
#[derive(Default)]
struct Told {
    history: History,
    now: Time,
    last: u64,
}

const KEY: Key = 7;

fn put(value: Value) -> Action {
    Action::Put { key: KEY, value }
}

fn got(value: Option<Value>, index: u64) -> Outcome {
    Outcome::Got { value, index: Index(index) }
}

fn put_at(index: u64) -> Outcome {
    Outcome::Put { index: Index(index) }
}

impl Told {
    fn invoke(&mut self, op: u64, action: Action) {
        self.now += 1;
        self.history.invoked(self.now, OpId(op), action).unwrap();
    }

    fn commit(&mut self, value: Value) -> Verdict {
        self.takes(value, Takes::Once)
    }

    fn takes(&mut self, value: Value, takes: Takes) -> Verdict {
        self.last += 1;
        let command = put(value).command(0, 3, None).unwrap();
        self.history.committed(&Entry::new(EntryId::new(1, self.last), Payload::Command(command)), takes)
    }

    fn tell(&mut self, op: u64, outcome: Outcome) -> Verdict {
        self.now += 1;
        self.history.returned(self.now, OpId(op), outcome, Index(self.last))
    }

    /// An operation from its invocation to its answer.
    fn run(&mut self, op: u64, action: Action, outcome: Outcome) -> Verdict {
        self.invoke(op, action);
        self.tell(op, outcome)
    }

    /// Value 1 is put at index 1 and acknowledged.
    fn with_a_put() -> Told {
        let mut told = Told::default();
        told.invoke(1, put(1));
        told.commit(1).unwrap();
        told.tell(1, put_at(1)).unwrap();
        told
    }
}

#[track_caller]
fn falls(verdict: Verdict) {
    assert_eq!(verdict.unwrap_err().invariant, WITNESS);
}

const GET: Action = Action::Get { key: KEY };

#[test]
fn a_read_sees_what_was_acknowledged() {
    Told::with_a_put().run(2, GET, got(Some(1), 1)).unwrap();
    falls(Told::with_a_put().run(2, GET, got(None, 0)));
    falls(Told::with_a_put().run(2, GET, got(None, 1)));
    falls(Told::with_a_put().run(2, GET, got(Some(2), 1)));
    falls(Told::with_a_put().run(2, GET, got(Some(1), 2)));
}

#[test]
fn a_read_that_began_before_may_miss_a_put() {
    let mut told = Told::default();
    told.invoke(2, GET);
    told.invoke(1, put(1));
    told.commit(1).unwrap();
    told.tell(1, put_at(1)).unwrap();
    told.tell(2, got(None, 0)).unwrap();
}

#[test]
fn reads_never_go_back() {
    let mut told = Told::default();
    told.invoke(1, put(1));
    told.commit(1).unwrap();
    told.run(2, GET, got(Some(1), 1)).unwrap();
    falls(told.run(3, GET, got(None, 0)));
}

#[test]
fn a_put_is_where_its_client_was_told_and_after_what_it_knew() {
    let mut told = Told::with_a_put();
    told.invoke(2, put(2));
    falls(told.tell(2, put_at(2)));
    let mut earlier = Told::default();
    earlier.commit(2).unwrap();
    earlier.commit(1).unwrap();
    earlier.run(5, GET, got(Some(1), 2)).unwrap();
    falls(earlier.run(2, put(2), put_at(1)));
}

#[test]
fn no_put_is_committed_twice_or_after_a_refusal() {
    falls(Told::with_a_put().commit(1));
    let mut refused = Told::default();
    refused.run(1, put(1), Outcome::NotApplied).unwrap();
    falls(refused.commit(1));
    let mut applied = Told::default();
    applied.invoke(1, put(1));
    applied.commit(1).unwrap();
    falls(applied.tell(1, Outcome::NotApplied));
}

#[test]
fn an_unknown_put_may_take_effect_late_or_never() {
    let mut told = Told::default();
    told.run(1, put(1), Outcome::Unknown).unwrap();
    told.run(2, put(2), Outcome::Unknown).unwrap();
    told.run(3, GET, got(None, 0)).unwrap();
    told.commit(1).unwrap();
    told.run(4, GET, got(Some(1), 1)).unwrap();
    let mut coverage = Coverage::default();
    told.history.ended(&mut coverage).unwrap();
    let reached = [Mark::UnknownPutTookEffect, Mark::UnknownPutVanished, Mark::HistoriesSearched];
    assert_eq!(reached.map(|mark| coverage.count(mark)), [1, 1, 1]);
}

/// Its key had left when it was repeated, after its client had the answer: that is an operation of its own.
#[test]
fn a_put_that_takes_effect_again_stands_at_both_places() {
    let mut told = Told::with_a_put();
    told.invoke(2, put(2));
    told.commit(2).unwrap();
    told.tell(2, put_at(2)).unwrap();
    told.run(3, GET, got(Some(2), 2)).unwrap();
    told.takes(1, Takes::Again).unwrap();
    told.run(4, GET, got(Some(1), 3)).unwrap();
    told.history.ended(&mut Coverage::default()).unwrap();
    falls(told.run(5, GET, got(Some(2), 3)));
    let mut while_open = Told::default();
    while_open.invoke(1, put(1));
    while_open.commit(1).unwrap();
    while_open.takes(2, Takes::None).unwrap();
    while_open.takes(1, Takes::Again).unwrap();
    while_open.tell(1, put_at(3)).unwrap();
    while_open.run(2, GET, got(Some(1), 3)).unwrap();
    while_open.history.ended(&mut Coverage::default()).unwrap();
    let mut nowhere = Told::with_a_put();
    nowhere.invoke(2, put(2));
    falls(nowhere.takes(2, Takes::Again));
    falls(Told::with_a_put().takes(1, Takes::Once));
}

#[test]
fn an_answer_of_another_kind_or_to_nobody_is_reported() {
    falls(Told::with_a_put().run(2, GET, put_at(1)));
    falls(Told::with_a_put().tell(9, Outcome::Unknown));
}

fn operation(invoked: Time, returned: Option<Time>, effect: Effect) -> Operation {
    Operation { invoked, returned, effect }
}

fn sure(value: Value, invoked: Time, returned: Time) -> Operation {
    operation(invoked, Some(returned), Effect::Put { value, sure: true })
}

fn perhaps(value: Value, invoked: Time) -> Operation {
    operation(invoked, None, Effect::Put { value, sure: false })
}

fn saw(value: Option<Value>, invoked: Time, returned: Time) -> Operation {
    operation(invoked, Some(returned), Effect::Get { value })
}

#[test]
fn the_search_finds_what_overlap_allows() {
    let explained: [&[Operation]; 5] = [
        &[],
        &[sure(1, 0, 9), saw(Some(1), 1, 2), saw(Some(1), 3, 4)],
        &[sure(1, 0, 9), sure(2, 0, 9), saw(Some(2), 1, 2), saw(Some(1), 3, 4)],
        &[perhaps(1, 0), saw(None, 5, 6), saw(Some(1), 7, 8)],
        &[perhaps(1, 0), saw(None, 5, 6)],
    ];
    for operations in explained {
        assert_eq!(search::linearize(operations), Searched::Found, "{operations:?}");
    }
}

#[test]
fn the_search_refuses_what_nothing_explains() {
    let unexplained: [&[Operation]; 6] = [
        &[saw(Some(1), 0, 1)],
        &[sure(1, 0, 1), saw(None, 2, 3)],
        &[sure(1, 0, 9), saw(Some(1), 1, 2), saw(None, 3, 4)],
        &[sure(1, 0, 1), sure(2, 2, 3), saw(Some(1), 4, 5)],
        &[perhaps(1, 5), saw(Some(1), 0, 4)],
        &[sure(1, 0, 9), sure(2, 0, 9), saw(Some(2), 1, 2), saw(Some(1), 3, 4), saw(Some(2), 5, 6)],
    ];
    for operations in unexplained {
        assert_eq!(search::linearize(operations), Searched::None, "{operations:?}");
    }
}

#[test]
fn the_end_of_a_run_asks_the_search() {
    let mut told = Told::with_a_put();
    told.run(2, GET, got(Some(1), 1)).unwrap();
    told.history.ended(&mut Coverage::default()).unwrap();
    let mut wrong = Told::with_a_put();
    assert!(wrong.run(2, GET, got(None, 1)).is_err());
    assert_eq!(wrong.history.ended(&mut Coverage::default()).unwrap_err().invariant, SEARCH);
}

/// Plays three clients against one register whose reads are sometimes stale. What the witness accepts, the search must
/// explain.
#[test]
fn the_two_opinions_agree() {
    let mut state = 1_u64;
    let mut draw = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let (mut clean, mut refused) = (0, 0);
    for _ in 0..2_000 {
        let mut told = Told::default();
        let mut busy: [Option<(u64, Action, Option<Outcome>)>; 3] = [None; 3];
        let mut values: Vec<Option<Value>> = vec![None];
        let mut sound = true;
        for op in 1..30 {
            let client = &mut busy[usize::try_from(draw(3)).unwrap()];
            match *client {
                None => {
                    let action = if draw(2) == 0 { put(op) } else { GET };
                    told.invoke(op, action);
                    *client = Some((op, action, None));
                }
                Some((op, action, None)) => {
                    let outcome = if let Action::Put { value, .. } = action {
                        told.commit(value).unwrap();
                        values.push(Some(value));
                        put_at(told.last)
                    } else {
                        let seen = told.last.saturating_sub(u64::from(draw(8) == 0));
                        got(values[usize::try_from(seen).unwrap()], seen)
                    };
                    *client = Some((op, action, Some(outcome)));
                }
                Some((op, _, Some(outcome))) => {
                    sound &= told.tell(op, outcome).is_ok();
                    *client = None;
                }
            }
        }
        let searched = told.history.ended(&mut Coverage::default());
        assert!(!sound || searched.is_ok(), "{searched:?}");
        clean += u32::from(sound);
        refused += u32::from(searched.is_err());
    }
    assert!(clean > 100 && refused > 100, "{clean} clean histories, {refused} refused ones");
}
