//! The table as commands meet it.

use super::*;
use crate::command::Command;
use crate::machine::Machine;
use crate::operation::Operation;
use bytes::Bytes;
use raft_core::envelope::Envelope;
use raft_core::{Entry, Payload};

/// A start of log time that a UUIDv7 can name.
const START: u64 = 1_700_000_000_000;

fn machine(retention: Retention) -> Machine {
    let mut machine = Machine::default();
    apply(&mut machine, START, None, &Command::Settings(retention));
    machine
}

fn apply(machine: &mut Machine, time_ms: u64, key: Option<&str>, command: &Command) -> Reply {
    let key = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let envelope = Envelope { time_ms, key, body: command.encode() }.encode();
    let id = EntryId { index: machine.applied().next(), ..EntryId::new(1, 0) };
    machine.apply(&Entry::new(id, Payload::Command(envelope))).unwrap().unwrap()
}

fn append(machine: &mut Machine, after_ms: u64, key: &str, entry: &'static str) -> Reply {
    let command = Command::One(Operation::Append(Bytes::from_static(entry.as_bytes())));
    apply(machine, START + after_ms, Some(key), &command)
}

/// A UUIDv7 made so many milliseconds after the start.
fn uuid(after_ms: u64, number: u64) -> String {
    let made = START + after_ms;
    format!("{:08x}-{:04x}-7000-8000-{number:012x}", made >> 16, made & 0xffff)
}

fn entries(machine: &Machine) -> usize {
    machine.page(Index(0), usize::MAX, usize::MAX).records.len()
}

const SMALL: Retention = Retention { window_ms: 1000, least_ms: 100, keys: 4 };
const DONE: Verdict = Verdict::PLAIN;

#[test]
fn a_repetition_is_answered_as_the_first_time_and_does_nothing() {
    let mut machine = machine(Retention::default());
    for key in ["any text", &uuid(0, 1)] {
        let first = append(&mut machine, 0, key, "x");
        assert_eq!((first.replayed, first.verdict), (false, DONE));
        let before = entries(&machine);
        let again = append(&mut machine, 1, key, "x");
        assert_eq!(again, Reply { replayed: true, ..first });
        let other = append(&mut machine, 1, key, "y");
        assert_eq!((other.replayed, other.verdict), (false, Verdict::Mismatch));
        assert_eq!(entries(&machine), before);
    }
    assert_eq!(append(&mut machine, 0, &uuid(0, 1).to_uppercase(), "x").verdict, DONE);
    assert_eq!(entries(&machine), 2, "digits of either case are the same key");
}

#[test]
fn what_failed_the_first_time_fails_again() {
    let mut machine = machine(Retention::default());
    let condition = crate::Condition { key: "k".into(), test: crate::Test::Exists };
    let put = || Operation::Put { key: "k".into(), value: "v".into() };
    let when = Command::When { conditions: vec![condition], then: vec![put()], otherwise: vec![] };
    let first = apply(&mut machine, START, Some("key"), &when);
    assert_eq!(first.verdict, Verdict::Failed { current: None });
    apply(&mut machine, START, None, &put().into());
    let again = apply(&mut machine, START, Some("key"), &when);
    assert_eq!(again, Reply { replayed: true, ..first }, "though now it would hold");
}

#[test]
fn keys_of_any_text_stay_for_the_window_and_get_half_of_the_room() {
    let mut machine = machine(SMALL);
    assert_eq!(append(&mut machine, 0, "a", "x").verdict, DONE);
    assert_eq!(append(&mut machine, 1, "b", "x").verdict, DONE);
    assert_eq!(append(&mut machine, 999, "c", "x").verdict, Verdict::Full);
    assert!(append(&mut machine, 999, "a", "x").replayed);
    assert_eq!(append(&mut machine, 1000, "c", "x").verdict, DONE, "a's window is over");
    assert_eq!(append(&mut machine, 1000, "d", "x").verdict, Verdict::Full);
    assert_eq!(machine.known_keys(), 2);
}

#[test]
fn the_oldest_timed_key_leaves_for_a_new_one_unless_it_is_young() {
    let mut machine = machine(SMALL);
    for (number, made) in [(1, 40), (2, 20), (3, 60), (4, 50)] {
        assert_eq!(append(&mut machine, 0, &uuid(made, number), "x").verdict, DONE);
    }
    assert_eq!(append(&mut machine, 99, &uuid(99, 5), "x").verdict, Verdict::Full, "all are young");
    assert_eq!(append(&mut machine, 100, &uuid(99, 5), "x").verdict, DONE);
    // The one made at 20 is gone, whatever came first: nothing at or below it can be told from it.
    for (number, made) in [(2, 20), (9, 15)] {
        assert_eq!(append(&mut machine, 100, &uuid(made, number), "x").verdict, Verdict::Expired);
    }
    assert!(append(&mut machine, 100, &uuid(40, 1), "x").replayed);
    // One that is above the horizon is taken, though the others are younger; it is young in the table, so it stays.
    assert_eq!(append(&mut machine, 100, &uuid(21, 6), "x").verdict, DONE);
    assert_eq!(append(&mut machine, 100, &uuid(30, 7), "x").verdict, Verdict::Expired, "40 has left");
    assert!(append(&mut machine, 100, &uuid(21, 6), "x").replayed);
    assert_eq!(machine.known_keys(), 4);
}

#[test]
fn no_timed_key_is_ever_applied_twice() {
    let mut machine = machine(SMALL);
    let keys: Vec<String> = (0..50).map(|number| uuid(number * 37 % 50, number)).collect();
    let mut done = std::collections::BTreeMap::new();
    for round in 0..200 {
        for (at, key) in keys.iter().enumerate() {
            if (at as u64 + round) % 7 < 3 {
                let reply = append(&mut machine, round * 31, key, "x");
                if reply.verdict == DONE && !reply.replayed {
                    *done.entry(key).or_insert(0) += 1;
                }
            }
        }
    }
    assert!(done.len() > 4 && done.values().all(|times| *times == 1), "{done:?}");
}

#[test]
fn a_key_ahead_of_log_time_is_refused() {
    let mut machine = machine(SMALL);
    let limit = 5 * 60 * 1000;
    assert_eq!(append(&mut machine, 0, &uuid(limit, 1), "x").verdict, DONE);
    assert_eq!(append(&mut machine, 0, &uuid(limit + 1, 2), "x").verdict, Verdict::Ahead);
}

#[test]
fn a_long_pause_empties_the_table_step_by_step() {
    let mut machine = machine(Retention { keys: 1000, ..SMALL });
    for number in 0..300 {
        assert_eq!(append(&mut machine, 0, &uuid(0, number), "x").verdict, DONE);
    }
    let mut left = Vec::new();
    for _ in 0..6 {
        apply(&mut machine, START + 5000, None, &Command::Mark);
        left.push(machine.known_keys());
    }
    assert_eq!(left, [236, 172, 108, 44, 0, 0]);
    assert_eq!(append(&mut machine, 5000, &uuid(0, 299), "x").verdict, Verdict::Expired);
}

#[test]
fn a_smaller_table_shrinks() {
    let mut machine = machine(Retention { keys: 10, ..SMALL });
    for number in 0..10 {
        append(&mut machine, 0, &uuid(number, number), "x");
    }
    apply(&mut machine, START + 200, None, &Command::Settings(SMALL));
    assert_eq!(append(&mut machine, 200, &uuid(200, 99), "x").verdict, DONE);
    assert_eq!(machine.known_keys(), 4);
}

#[test]
fn only_a_uuid_of_version_7_has_a_time() {
    let timed = |text: &str| matches!(Key::of(text.as_bytes()), Key::Timed(_));
    assert!(timed("018f0000-0000-7000-8000-000000000000") && timed("018F0000-0000-7000-BFFF-000000000000"));
    for other in [
        "",
        "018f0000-0000-4000-8000-000000000000",
        "018f0000-0000-7000-c000-000000000000",
        "018f0000-0000-7000-8000-00000000000",
        "018f0000-0000-7000-8000-0000000000000",
        "018f00000000-7000-8000-0000-00000000",
        "018f0000-0000-7000-8000-00000000000g",
    ] {
        assert!(!timed(other), "{other}");
        assert_eq!(&*Key::of(other.as_bytes()).text(), other.as_bytes());
    }
    let text = "018f0000-0000-7000-8000-0000000000ab";
    assert_eq!(&*Key::of(text.as_bytes()).text(), text.as_bytes());
}
