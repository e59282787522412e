//! The table of idempotency keys against a plain list, whatever is sent, whenever, with which key, and from whichever
//! snapshot a replica has begun anew.
//!
//! What docs/http.md and docs/decisions.md promise: a key that is known is answered as the first time; a UUIDv7 takes
//! effect once for ever; every key stays for the window, or leaves before as the oldest of those that had the least time;
//! other texts never leave early, and get half of the room.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestError, TestRunner};
use raft_core::{Base, ClusterId, Entry, EntryId, Envelope, Index, Membership, NodeId, Payload};
use raft_machine::{
    Command, Condition, Key, Machine, Operation, Reply, Retention, Test, Verdict, planted, snapshot,
};
use std::collections::BTreeSet;

/// A start of log time that a UUIDv7 can name.
const START: u64 = 1_700_000_000_000;
/// How far a key may be ahead.
const AHEAD_MS: u64 = 300_000;
/// Fewer commands than the keys that one command may take out: then how many that are makes no difference.
const COMMANDS: usize = 60;

/// Keys that are no UUIDv7: other cases are other keys.
const TEXTS: [&str; 6] =
    ["", "a", "b", "c", "018f0000-0000-4000-8000-00000000000a", "018F0000-0000-4000-8000-00000000000A"];

/// A key that a client sends. Times are since the start.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Uuid { made_ms: u64, number: u8, upper: bool },
    Text(&'static str),
    None,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    AppendX,
    AppendY,
    /// Puts a key that is not there: succeeds once, and fails from then on.
    PutAbsent,
    Mark,
    Retain(Retention),
}

#[derive(Clone, Copy, Debug)]
enum Action {
    /// A command whose stamp is so many milliseconds from the highest one.
    Apply(i64, Sent, Body),
    /// The replica writes a snapshot.
    Take,
    /// It begins anew from its newest snapshot, and applies again what was committed since.
    Restore,
}

fn key() -> impl Strategy<Value = Sent> {
    let uuid = |made: std::ops::Range<u64>| {
        (made, 0..3_u8, any::<bool>()).prop_map(|(at, number, upper)| Sent::Uuid {
            made_ms: 50 * at,
            number,
            upper,
        })
    };
    prop_oneof![
        12 => uuid(0..12),
        1 => uuid(5_990..6_040),
        5 => prop::sample::select(&TEXTS[..]).prop_map(Sent::Text),
        1 => Just(Sent::None),
    ]
}

fn retention() -> impl Strategy<Value = Retention> {
    (0..1000_u64, 0..300_u64, 0..6_u64).prop_map(|(window_ms, least_ms, keys)| Retention {
        window_ms,
        least_ms,
        keys,
    })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        8 => Just(Body::AppendX),
        2 => Just(Body::AppendY),
        2 => Just(Body::PutAbsent),
        1 => Just(Body::Mark),
        1 => retention().prop_map(Body::Retain),
    ]
}

fn actions() -> impl Strategy<Value = (Retention, Vec<Action>)> {
    let stamp = prop_oneof![4 => 0..60_i64, 2 => -2000..0_i64, 1 => 0..2000_i64, 1 => Just(i64::MAX)];
    let action = prop_oneof![
        20 => (stamp, key(), body()).prop_map(|(from, key, body)| Action::Apply(from, key, body)),
        1 => Just(Action::Take),
        1 => Just(Action::Restore),
    ];
    (retention(), prop::collection::vec(action, 1..COMMANDS))
}

impl Sent {
    fn uuid(self) -> Option<u128> {
        let Sent::Uuid { made_ms, number, .. } = self else { return None };
        Some(u128::from(START + made_ms) << 80 | 7 << 76 | 0b10 << 62 | u128::from(number))
    }

    fn text(self) -> Option<String> {
        match self {
            Sent::Uuid { made_ms, number, upper } => {
                let made = START + made_ms;
                let text = format!("{:08x}-{:04x}-7000-8000-{number:012x}", made >> 16, made & 0xffff);
                Some(if upper { text.to_uppercase() } else { text })
            }
            Sent::Text(text) => Some(text.into()),
            Sent::None => None,
        }
    }
}

impl Body {
    fn command(self) -> Command {
        let append =
            |entry: &'static str| Command::One(Operation::Append(Bytes::from_static(entry.as_bytes())));
        match self {
            Body::AppendX => append("x"),
            Body::AppendY => append("y"),
            Body::PutAbsent => Command::When {
                conditions: vec![Condition { key: "k".into(), test: Test::Absent }],
                then: vec![Operation::Put { key: "k".into(), value: "v".into() }],
                otherwise: vec![],
            },
            Body::Mark => Command::Mark,
            Body::Retain(retention) => Command::Settings(retention),
        }
    }
}

/// What is kept of a key.
#[derive(Clone, Debug)]
struct Known {
    uuid: Option<u128>,
    text: String,
    at: EntryId,
    time_ms: u64,
    body: Bytes,
    verdict: Verdict,
    /// It had its least time, as that was then.
    had_its_time: bool,
}

/// What must come of commands.
#[derive(Clone, Debug, Default)]
struct Model {
    retention: Retention,
    time_ms: u64,
    known: Vec<Known>,
    /// The UUIDv7s that have left.
    gone: BTreeSet<u128>,
    /// Those that took effect, ever.
    effective: BTreeSet<u128>,
    entries: usize,
    put: Option<Index>,
}

impl Model {
    fn apply(&mut self, at: EntryId, stamp: u64, key: Sent, body: Body) -> Reply {
        self.time_ms = self.time_ms.max(stamp);
        let (now, kept) = (self.time_ms, self.retention);
        let stays = kept.window_ms.max(kept.least_ms);
        let over = |known: &Known| known.time_ms + stays <= now;
        self.gone.extend(self.known.iter().filter(|known| over(known)).filter_map(|known| known.uuid));
        self.known.retain(|known| !over(known));
        for known in &mut self.known {
            known.had_its_time |= known.time_ms + kept.least_ms <= now;
        }
        let reply = |verdict| Reply { id: at, replayed: false, verdict };
        let text = key.text().filter(|_| !matches!(body, Body::Mark));
        let Some(text) = text else { return reply(self.carry_out(at, body)) };
        let text = if key.uuid().is_some() { text.to_lowercase() } else { text };
        let request = body.command().encode();
        if let Some(known) = self.known.iter().find(|known| known.text == text) {
            let first = Reply { id: known.at, replayed: true, verdict: known.verdict };
            return if known.body == request { first } else { reply(Verdict::Mismatch) };
        }
        if let Some(refused) = self.refusal(key) {
            return reply(refused);
        }
        let verdict = self.carry_out(at, body);
        let uuid = key.uuid();
        assert!(uuid.is_none_or(|uuid| self.effective.insert(uuid)), "{text} took effect twice");
        self.known.push(Known { uuid, text, at, time_ms: now, body: request, verdict, had_its_time: false });
        reply(verdict)
    }

    /// Why there is no place for a key.
    fn refusal(&mut self, key: Sent) -> Option<Verdict> {
        let room = self.retention.keys as usize;
        match key.uuid() {
            Some(uuid) if self.gone.last().is_some_and(|gone| uuid <= *gone) => {
                return Some(Verdict::Expired);
            }
            Some(uuid) if (uuid >> 80) as u64 > self.time_ms + AHEAD_MS => return Some(Verdict::Ahead),
            Some(_) => {}
            None => {
                let texts = self.known.iter().filter(|known| known.uuid.is_none()).count();
                if 2 * texts >= room {
                    return Some(Verdict::Full);
                }
            }
        }
        while self.known.len() >= room {
            let may_leave =
                self.known.iter().filter(|known| known.had_its_time).filter_map(|known| known.uuid);
            let Some(oldest) = may_leave.min() else { return Some(Verdict::Full) };
            self.known.retain(|known| known.uuid != Some(oldest));
            self.gone.insert(oldest);
        }
        None
    }

    fn carry_out(&mut self, at: EntryId, body: Body) -> Verdict {
        let done = |bits| Verdict::Done { held: true, bits };
        match body {
            Body::AppendX | Body::AppendY => self.entries += 1,
            Body::PutAbsent => match self.put {
                Some(_) => return Verdict::Failed { current: self.put },
                None => {
                    (self.put, self.entries) = (Some(at.index), self.entries + 1);
                    return done(1);
                }
            },
            Body::Mark => return Verdict::Marked,
            Body::Retain(retention) => self.retention = retention,
        }
        done(0)
    }

    /// The keys with their places and times, UUIDv7s first.
    fn keys(&self) -> Vec<(Key, Index, u64)> {
        let mut keys: Vec<_> = self
            .known
            .iter()
            .map(|known| (Key::of(known.text.as_bytes()), known.at.index, known.time_ms))
            .collect();
        keys.sort();
        keys
    }
}

/// A replica: the machine, its newest snapshot, and what was applied since.
#[derive(Default)]
struct Replica {
    machine: Machine,
    bug: Option<planted::Bug>,
    snapshot: Option<Vec<u8>>,
    since: Vec<(Entry, Reply)>,
}

impl Replica {
    fn with(bug: Option<planted::Bug>) -> Replica {
        let mut replica = Replica { bug, ..Replica::default() };
        replica.plant();
        replica
    }

    /// A build without planted bugs has none to plant.
    fn plant(&mut self) {
        #[cfg(feature = "planted")]
        if let Some(bug) = self.bug {
            self.machine.plant(bug);
        }
        assert!(self.bug.is_none() || cfg!(feature = "planted"));
    }

    fn apply(&mut self, entry: Entry) -> Reply {
        let reply = self.machine.apply(&entry).expect("it can be read").expect("it is a command");
        self.since.push((entry, reply));
        reply
    }

    fn take(&mut self) {
        let id = EntryId { index: self.machine.applied(), ..EntryId::new(1, 0) };
        let membership = Membership::founders([NodeId(1)]).expect("one server is a cluster");
        let mut file = Vec::new();
        snapshot::write(&self.machine, &Base { id, hash: 0, membership }, ClusterId(1), &mut file)
            .expect("memory takes it");
        (self.snapshot, self.since) = (Some(file), Vec::new());
    }

    fn restore(&mut self) -> TestCaseResult {
        let Some(file) = &self.snapshot else { return Ok(()) };
        self.machine = snapshot::restore(&file[..], ClusterId(1)).expect("it was written whole").1;
        self.plant();
        for (entry, reply) in &self.since {
            let again = self.machine.apply(entry).expect("it could be read");
            prop_assert_eq!(again, Some(*reply), "after the snapshot {} came to something else", entry.id());
        }
        Ok(())
    }
}

/// Does all that to a replica and to the model.
fn agrees(bug: Option<planted::Bug>, retention: Retention, actions: &[Action]) -> TestCaseResult {
    let (mut replica, mut model) = (Replica::with(bug), Model::default());
    let begin = Action::Apply(START as i64, Sent::None, Body::Retain(retention));
    for action in std::iter::once(&begin).chain(actions) {
        match *action {
            Action::Apply(from, key, body) => {
                let stamp = model.time_ms.saturating_add_signed(from).min(START + 5 * 60_000);
                let id = EntryId { index: replica.machine.applied().next(), ..EntryId::new(1, 0) };
                let envelope = Envelope {
                    time_ms: stamp,
                    key: key.text().map(Bytes::from),
                    body: body.command().encode(),
                };
                let reply = replica.apply(Entry::new(id, Payload::Command(envelope.encode())));
                prop_assert_eq!(reply, model.apply(id, stamp, key, body), "the reply to {:?}", action);
            }
            Action::Take => replica.take(),
            Action::Restore => replica.restore()?,
        }
        let machine = &replica.machine;
        let keys: Vec<_> =
            machine.idempotency_keys().map(|(key, at, time_ms)| (key.clone(), at, time_ms)).collect();
        prop_assert_eq!(keys, model.keys(), "the keys after {:?}", action);
        prop_assert_eq!(
            machine.horizon(),
            model.gone.last().copied().unwrap_or(0),
            "the horizon after {:?}",
            action
        );
        prop_assert_eq!(machine.time_ms(), model.time_ms);
        prop_assert_eq!(machine.page(Index(0), usize::MAX, usize::MAX).records.len(), model.entries);
    }
    Ok(())
}

fn search(bug: Option<planted::Bug>) -> Result<(), TestError<(Retention, Vec<Action>)>> {
    let config = Config { cases: 2000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&actions(), |(retention, actions)| agrees(bug, retention, &actions))
}

#[test]
fn the_table_is_as_a_plain_list_says() {
    search(None).unwrap_or_else(|error| panic!("{error}"));
}

/// A build of their own has the bugs; raft-sim/tests/planted.rs makes it.
#[cfg(feature = "planted")]
#[test]
fn planted_bugs_differ_from_the_list() {
    for bug in [planted::Bug::HorizonForgotten, planted::Bug::YoungKeyLeaves, planted::Bug::StampIsLogTime] {
        let fell = matches!(search(Some(bug)), Err(TestError::Fail(..)));
        assert!(fell, "{bug:?} was not found");
    }
}
