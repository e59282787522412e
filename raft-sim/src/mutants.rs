//! Behaviours changed at one place, none of which may be followed: without them it would not be known that the
//! specification refuses anything. Only such changes are made as contradict the rest. A message less, for example, is no
//! contradiction if it could have been lost.

use crate::behaviour::Event;
use crate::tla::{Record, Value};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What is done to a behaviour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// An event is left out.
    Drop {
        /// Its place, from 0.
        at: usize,
    },
    /// An event and the next one change places.
    Swap {
        /// The place of the first.
        at: usize,
    },
    /// A field of an event is another.
    Alter {
        /// Its place.
        at: usize,
        /// The event as it is now.
        event: Event,
    },
}

impl Mutant {
    /// As a variant of a run.
    pub fn variant(self, run: usize) -> Value {
        let (op, at, event) = match self {
            Mutant::Drop { at } => ("drop", at, Vec::new()),
            Mutant::Swap { at } => ("swap", at, Vec::new()),
            Mutant::Alter { at, event } => ("alter", at, event),
        };
        let mut variant: Record =
            vec![("run", (run as u64).into()), ("op", op.into()), ("at", (at as u64 + 1).into())];
        if !event.is_empty() {
            variant.push(("event", Value::Record(event)));
        }
        Value::Record(variant)
    }
}

/// So many different changes of a behaviour, of each kind as many as of the others.
pub fn mutants(events: &[Event], seed: u64, count: usize) -> Vec<Mutant> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut kinds: [Vec<Mutant>; 3] = Default::default();
    for at in 0..events.len() {
        let seen = is_seen(events, at);
        kinds[0].extend((seen && must_stay(events, at)).then_some(Mutant::Drop { at }));
        kinds[1].extend((seen && is_in_order(events, at)).then_some(Mutant::Swap { at }));
        kinds[2].extend(altered(events, at).into_iter().map(|event| Mutant::Alter { at, event }));
    }
    let mut chosen = Vec::new();
    while chosen.len() < count && kinds.iter().any(|kind| !kind.is_empty()) {
        let kind = &mut kinds[chosen.len() % 3];
        if kind.is_empty() {
            kinds.rotate_left(1);
            continue;
        }
        let at = dice.next_u64() % kind.len() as u64;
        chosen.push(kind.swap_remove(at as usize));
    }
    chosen
}

fn get<'a>(record: &'a Record, name: &str) -> Option<&'a Value> {
    record.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
}

fn kind(event: &Event) -> &str {
    match get(event, "k") {
        Some(Value::Text(kind)) => kind,
        _ => "",
    }
}

fn message(event: &Event) -> Option<&Record> {
    match get(event, "m") {
        Some(Value::Record(message)) => Some(message),
        _ => None,
    }
}

/// Whether the event sends an answer that a message asks for or a promise, and nothing else says the same.
fn is_owed(events: &[Event], at: usize) -> bool {
    let Some(message) = message(&events[at]).filter(|_| kind(&events[at]) == "send") else { return false };
    let owed = ["VoteReply", "PreVoteReply", "Appended", "Conflict", "HeartbeatReply", "Vote"];
    let owed = owed.iter().any(|kind| get(message, "kind") == Some(&Value::from(*kind)));
    owed && !events.iter().enumerate().any(|(other, event)| other != at && event == &events[at])
}

/// Whether the node is looked at after this turn: one that halts isn't.
fn is_seen(events: &[Event], at: usize) -> bool {
    events[at..]
        .iter()
        .find(|event| ["end", "halt"].contains(&kind(event)))
        .is_some_and(|it| kind(it) == "end")
}

/// The state that a node was in after its last turn before this place, and the one after this turn.
fn around(events: &[Event], at: usize) -> Option<(&Value, &Value)> {
    let own = |event: &&Event| get(event, "i") == get(&events[at], "i") && kind(event) == "end";
    let after = events[at..].iter().find(own).and_then(|event| get(event, "s"))?;
    let before = events[..at].iter().rfind(own).and_then(|event| get(event, "s"))?;
    Some((before, after))
}

/// Whether a turn that begins with a message or a receipt changed its node, other than by what a node may do at any time.
fn matters(events: &[Event], at: usize) -> bool {
    let begins = at > 0 && ["end", "die", "halt"].contains(&kind(&events[at - 1]));
    let alone = events.get(at + 1).is_some_and(|next| !["recv", "persisted", "tick"].contains(&kind(next)));
    let Some((Value::Record(before), Value::Record(after))) = around(events, at) else { return false };
    let changed = ["term", "commit", "last", "durable", "vote"];
    begins && alone && changed.iter().any(|field| get(before, field) != get(after, field))
}

/// Whether a behaviour without this event contradicts itself.
fn must_stay(events: &[Event], at: usize) -> bool {
    match kind(&events[at]) {
        "write" | "apply" | "start" | "release" | "captured" => true,
        "send" => is_owed(events, at),
        "recv" | "persisted" => matters(events, at),
        _ => false,
    }
}

/// Whether this event and the next one can't have happened the other way round.
fn is_in_order(events: &[Event], at: usize) -> bool {
    let Some(next) = events.get(at + 1).filter(|next| get(next, "i") == get(&events[at], "i")) else {
        return false;
    };
    // To the specification a founder is founded from the beginning: when it writes that down is all the same.
    if get(&events[at], "founds") == Some(&true.into()) {
        return false;
    }
    match (kind(&events[at]), kind(next)) {
        ("recv" | "persisted", "write" | "apply") | ("write" | "apply", "end") | ("apply", "apply") => true,
        ("recv" | "persisted", "send") => is_owed(events, at + 1),
        ("send", "end") => is_owed(events, at),
        ("recv" | "persisted", "end") => matters(events, at),
        ("start", "write") | ("die", "start") => true,
        _ => false,
    }
}

/// The event with one field altered, in every way that contradicts the rest.
fn altered(events: &[Event], at: usize) -> Vec<Event> {
    let event = &events[at];
    let paths: &[&[&str]] = match kind(event) {
        "end" => &[
            &["s", "term"],
            &["s", "vote"],
            &["s", "commit"],
            &["s", "applied"],
            &["s", "durable"],
            &["s", "snap"],
            &["s", "last", "index"],
            &["s", "last", "term"],
            &["s", "base", "index"],
        ],
        "send" | "recv" => &[
            &["m", "term"],
            &["m", "boot"],
            &["m", "to"],
            &["m", "commit"],
            &["m", "matched"],
            &["m", "granted"],
            &["m", "round"],
            &["m", "index"],
            &["m", "last", "index"],
            &["m", "last", "term"],
            &["m", "prev", "term"],
            &["m", "hint", "index"],
        ],
        "write" => &[&["n"]],
        "apply" => &[&["index"], &["entry", "term"], &["entry", "val"]],
        "start" => &[&["boot"], &["term"], &["snap"], &["vote"]],
        "committed" => &[&["id", "term"]],
        "answer" => &[&["index"]],
        _ => &[],
    };
    let said = |event: &Event| {
        message(event).is_some() && events.iter().any(|other| get(other, "m") == get(event, "m"))
    };
    let mutants = paths.iter().filter_map(|path| alter(event, path));
    mutants.filter(|mutant| !said(mutant)).collect()
}

/// The record with the field at this path altered, if it has one.
fn alter(record: &Record, path: &[&str]) -> Option<Record> {
    let (name, rest) = path.split_first()?;
    let mut record = record.clone();
    let (_, value) = record.iter_mut().find(|(field, _)| field == name)?;
    match value {
        Value::Record(inner) => *inner = alter(inner, rest)?,
        Value::Int(number) => *number += 1,
        Value::Bool(truth) => *truth = !*truth,
        Value::Text(text) => text.push('x'),
        Value::Sequence(_) | Value::Set(_) => return None,
    }
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Behaviour;

    #[test]
    fn mutants_are_of_all_kinds_and_change_something() {
        let events = Behaviour::of(1, 300).expect("no invariant falls");
        let mutants = mutants(&events, 1, 30);
        assert_eq!(mutants.len(), 30);
        let count = |is: fn(&Mutant) -> bool| mutants.iter().filter(|mutant| is(mutant)).count();
        assert_eq!(count(|it| matches!(it, Mutant::Drop { .. })), 10);
        assert_eq!(count(|it| matches!(it, Mutant::Swap { .. })), 10);
        for mutant in &mutants {
            match mutant {
                Mutant::Alter { at, event } => assert_ne!(event, &events[*at]),
                Mutant::Swap { at } => assert_ne!(events[*at], events[at + 1]),
                Mutant::Drop { at } => assert!(*at < events.len()),
            }
        }
    }
}
