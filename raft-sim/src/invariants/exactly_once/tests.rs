//! The judge of keys is shown logs with replies that it must refuse, and odd ones that it must accept.

use super::super::key_table::{marks_digest, row_digest, text_digest, timed_digest};
use super::*;
use crate::facts::Action;
use bytes::Bytes;
use raft_machine::{Command, Retention};

/// A log in the making, by its judge.
#[derive(Default)]
struct Told {
    once: Once,
    coverage: Coverage,
    last: u64,
}

const DONE: Decided = Decided::Done { held: true, bits: 0 };
const SMALL: Retention = Retention { window_ms: 100, least_ms: 10, keys: 4 };

fn uuid(made_ms: u64, number: u64) -> String {
    format!("{:08x}-{:04x}-7000-8000-{number:012x}", made_ms >> 16, made_ms & 0xffff)
}

/// The same as a number.
fn number(made_ms: u64, number: u64) -> u128 {
    u128::from(made_ms) << 80 | 0x7000_8000 << 48 | u128::from(number)
}

/// The body of the put of a value.
fn body(value: u64) -> Bytes {
    let command = Action::Put { key: 1, value }.command(0, 0, None).unwrap();
    Envelope::decode(command).unwrap().body
}

impl Told {
    fn new() -> Told {
        let mut told = Told::default();
        told.set(0, SMALL);
        told
    }

    fn set(&mut self, time_ms: u64, retention: Retention) {
        let body = Command::Settings(retention).encode();
        assert_eq!(self.commit(Envelope { time_ms, key: None, body }), Effect::Once);
    }

    fn commit(&mut self, envelope: Envelope) -> Effect {
        self.last += 1;
        let entry = Entry::new(EntryId::new(1, self.last), Payload::Command(envelope.encode()));
        self.once.committed(&entry, &mut self.coverage).unwrap()
    }

    /// The put of a value with a key is committed.
    fn put(&mut self, time_ms: u64, key: &str, value: u64) -> Effect {
        let key = Some(Bytes::copy_from_slice(key.as_bytes()));
        self.commit(Envelope { time_ms, key, body: body(value) })
    }

    fn reply(&mut self, at: u64, first: u64, replayed: bool, verdict: Decided) -> bool {
        let reply = Reply { id: EntryId::new(1, first), replayed, verdict };
        let judged = self.once.replied(NodeId(1), Index(at), &reply, &mut self.coverage);
        judged.map_err(|broken| assert_eq!(broken.invariant, NAME)).is_ok()
    }

    /// Whether the newest command may be said to be done, and whether it may be refused like this.
    fn done_or(&mut self, refused: Decided) -> (bool, bool) {
        let at = self.last;
        (self.reply(at, at, false, DONE), self.reply(at, at, false, refused))
    }
}

#[test]
fn a_repetition_is_answered_with_the_first_place() {
    let mut told = Told::new();
    assert_eq!(told.put(0, "a", 7), Effect::Once);
    assert_eq!(told.put(0, "b", 8), Effect::Once);
    assert_eq!(told.put(0, "a", 7), Effect::None);
    assert!(told.reply(2, 2, false, DONE));
    assert!(told.reply(4, 2, true, DONE));
    assert!(!told.reply(4, 4, false, DONE), "applied twice");
    assert!(!told.reply(4, 2, false, DONE), "not said to be a repetition");
    assert!(!told.reply(4, 3, true, DONE), "another's place");
    assert!(!told.reply(3, 2, true, DONE), "it was never applied");
    assert!(!told.reply(3, 3, false, Decided::Expired));
    assert!(!told.reply(9, 9, false, DONE), "it was never committed");
}

#[test]
fn every_answer_to_a_command_is_the_same() {
    let mut told = Told::new();
    told.put(0, "a", 7);
    told.put(0, "a", 7);
    let new = Decided::Done { held: true, bits: 1 };
    assert!(told.reply(2, 2, false, new));
    assert!(!told.reply(2, 2, false, DONE), "another node decides otherwise");
    assert!(!told.reply(3, 2, true, DONE), "the repetition is told something else");
    assert!(told.reply(3, 2, true, new));
}

#[test]
fn a_key_of_another_command_is_refused_and_stays_that_of_the_first() {
    let mut told = Told::new();
    told.put(0, "a", 7);
    assert_eq!(told.put(99, "a", 8), Effect::None);
    assert_eq!(told.done_or(Decided::Mismatch), (false, true));
    assert!(!told.reply(3, 2, true, DONE));
    // The window of the first is over: now the key is anybody's.
    assert_eq!(told.put(100, "a", 8), Effect::Once);
    assert_eq!(told.put(100, "a", 7), Effect::None);
    assert_eq!(told.done_or(Decided::Mismatch), (false, true));
    assert_eq!(told.put(200, "a", 7), Effect::Again, "its command had taken effect before the other");
}

#[test]
fn another_text_takes_effect_again_when_its_window_is_over_and_not_before() {
    let mut told = Told::new();
    told.put(5, "a", 7);
    assert_eq!(told.put(104, "a", 7), Effect::None);
    assert!(!told.reply(3, 3, false, DONE));
    // A leader whose clock is behind doesn't turn log time back.
    assert_eq!(told.put(0, "b", 8), Effect::Once);
    assert_eq!(told.put(105, "a", 7), Effect::Again);
    assert!(told.reply(5, 5, false, DONE) && !told.reply(5, 2, true, DONE));
    assert_eq!(told.put(203, "b", 8), Effect::None, "it is of 104, not of 0");
    assert!(told.reply(6, 4, true, DONE) && !told.reply(6, 6, false, DONE));
}

#[test]
fn a_uuid_never_takes_effect_again() {
    let mut told = Told::new();
    told.put(5, &uuid(0xa5, 1), 7);
    assert_eq!(told.put(50, &uuid(0xa5, 1).to_uppercase(), 7), Effect::None);
    assert!(told.reply(3, 2, true, DONE), "digits of either case are the same key");
    assert_eq!(told.put(105, &uuid(0xa5, 1), 7), Effect::None);
    assert_eq!(told.done_or(Decided::Expired), (false, true));
    assert_eq!(told.put(105, &uuid(0xa4, 9), 8), Effect::None, "nobody can tell that it was never known");
    assert_eq!(told.done_or(Decided::Expired), (false, true));
    assert_eq!(told.put(105, &uuid(0xa6, 1), 9), Effect::Once, "it is above the horizon");
    assert_eq!(told.done_or(Decided::Expired), (true, false));
    assert_eq!(told.put(105, &uuid(300_106, 1), 10), Effect::None);
    assert_eq!(told.done_or(Decided::Ahead), (false, true));
    assert_eq!(told.put(105, &uuid(300_105, 1), 10), Effect::Once);
}

#[test]
fn a_full_table_lets_the_oldest_uuid_go_if_it_is_not_young() {
    let mut told = Told::new();
    told.put(0, "a", 1);
    for (number, made) in [(1, 4), (2, 2), (3, 6)] {
        told.put(0, &uuid(made, number), number);
    }
    assert_eq!(told.put(9, &uuid(9, 4), 4), Effect::None);
    assert_eq!(told.done_or(Decided::Full), (false, true));
    assert_eq!(told.put(10, &uuid(9, 4), 4), Effect::Once);
    assert_eq!(told.done_or(Decided::Full), (true, false));
    assert_eq!(told.put(10, &uuid(2, 2), 2), Effect::None);
    assert_eq!(told.done_or(Decided::Expired), (false, true), "it was made first, whatever came first");
    assert_eq!(told.put(10, &uuid(4, 1), 1), Effect::None);
    assert!(told.reply(told.last, 3, true, DONE));
    assert_eq!(told.put(10, "b", 5), Effect::Once);
    assert_eq!(told.put(10, "c", 6), Effect::None, "half of the room is theirs");
    assert_eq!(told.done_or(Decided::Full), (false, true));
}

#[test]
fn what_is_to_be_kept_may_change() {
    let mut told = Told::new();
    told.put(0, "a", 7);
    told.set(50, Retention { window_ms: 20, ..SMALL });
    assert_eq!(told.put(50, "a", 7), Effect::Again);
    told.set(50, Retention { window_ms: 1000, ..SMALL });
    assert_eq!(told.put(1049, "a", 7), Effect::None);
    assert_eq!(told.put(1050, "a", 7), Effect::Again);
}

/// Whatever the table says: the promise is looked at on its own.
#[test]
fn a_fate_that_breaks_a_promise_is_reported() {
    let mut told = Told::new();
    told.put(0, &uuid(0, 1), 1);
    told.put(0, "a", 2);
    let judge = |now: u64, name: Name, value: u64, fate: Fate| {
        let mut effects = told.once.effects.clone();
        let judged = effects.took(EntryId::new(1, 5), now, name, body(value), fate);
        judged.map_err(|broken| broken.invariant)
    };
    let (timed, text) = (|| Name::Timed(number(0, 1)), || Name::Text(Bytes::from_static(b"a")));
    let (refused, repeats) = (Fate::Refused, |index| Fate::Repeats(EntryId::new(1, index)));
    assert_eq!(judge(1 << 40, timed(), 1, Fate::Done), Err(NAME));
    assert_eq!(judge(99, text(), 2, Fate::Done), Err(NAME));
    assert_eq!(judge(100, text(), 2, Fate::Done), Ok(Effect::Again));
    assert_eq!(judge(9, timed(), 1, refused(Decided::Expired)), Err(NAME), "it was young");
    assert_eq!(judge(10, timed(), 1, refused(Decided::Expired)), Ok(Effect::None));
    assert_eq!(judge(999, timed(), 1, refused(Decided::Ahead)), Err(NAME), "it was taken before");
    assert_eq!(judge(99, text(), 2, refused(Decided::Full)), Err(NAME));
    assert_eq!(judge(100, text(), 2, refused(Decided::Full)), Ok(Effect::None));
    assert_eq!(judge(1, text(), 2, refused(Decided::Mismatch)), Err(NAME), "it is the same");
    assert_eq!(judge(1, text(), 3, refused(Decided::Mismatch)), Ok(Effect::None));
    assert_eq!(judge(1, text(), 3, repeats(3)), Err(NAME));
    assert_eq!(judge(1, text(), 2, repeats(2)), Err(NAME));
    assert_eq!(judge(1, text(), 2, repeats(3)), Ok(Effect::None));
    let unknown = || Name::Timed(number(1, 1));
    assert_eq!(judge(1, unknown(), 3, repeats(2)), Err(NAME));
    assert_eq!(judge(1, unknown(), 3, refused(Decided::Mismatch)), Err(NAME));
    assert_eq!(judge(1, unknown(), 3, refused(Decided::Full)), Ok(Effect::None));
}

#[test]
fn applications_keep_the_same_keys() {
    let mut told = Told::new();
    told.put(5, "a", 7);
    told.put(6, &uuid(3, 1), 8);
    let keeps = |told: &Told, at, rows: &[u64], time_ms, horizon| {
        let table = rows.iter().fold(marks_digest(time_ms, horizon), |sum, row| sum.wrapping_add(*row));
        told.once.keeps(NodeId(1), Index(at), table).map_err(|broken| broken.invariant)
    };
    let text = |key: &str, at, time_ms| row_digest(text_digest(key.as_bytes()), Index(at), time_ms);
    let (a, timed) = (text("a", 2, 5), row_digest(timed_digest(number(3, 1)), Index(3), 6));
    assert_eq!(keeps(&told, 0, &[], 0, 0), Ok(()));
    assert_eq!(keeps(&told, 2, &[a], 5, 0), Ok(()));
    assert_eq!(keeps(&told, 3, &[a, timed], 6, 0), Ok(()));
    assert_eq!(keeps(&told, 3, &[timed], 6, 0), Err(TABLES), "one is forgotten");
    assert_eq!(keeps(&told, 3, &[a, timed], 5, 0), Err(TABLES), "log time is");
    told.put(105, "b", 9);
    told.put(107, "c", 9);
    let rows = [text("b", 4, 105), text("c", 5, 107)];
    assert_eq!(keeps(&told, 5, &rows, 107, number(3, 1)), Ok(()));
    assert_eq!(keeps(&told, 5, &rows, 107, 0), Err(TABLES), "the horizon is");
}
