//! Whether what clients saw can be explained: by the order of the log, and by a search that knows nothing of logs.

use crate::clients::Done;
use crate::cluster::history::{Event, check_linearizable};
use crate::cluster::ledger::Entry;
use crate::search::{self, Effect, Operation, Searched};
use std::collections::BTreeMap;
use std::time::Instant;

/// The log as the witness: it gives each operation its place, and each read at its place the value that it found.
pub(crate) fn explained_by_log(done: &[Done], log: &[Entry]) -> Result<(), String> {
    let mut events: Vec<Event> = done.iter().map(|done| done.event).collect();
    check_linearizable(&mut events)?;
    let mut puts: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for entry in log {
        let (key, value) = entry.text.split_once(':').expect("only puts were made");
        puts.entry(key).or_default().push((entry.index, value));
    }
    for read in done.iter().filter(|done| !done.event.is_write) {
        let puts = puts.get(read.key.to_string().as_str()).map_or(&[][..], Vec::as_slice);
        let before = puts.partition_point(|(index, _)| *index <= read.event.place);
        let there = before.checked_sub(1).map(|newest| puts[newest].1);
        if there != read.value.map(|value| value.to_string()).as_deref() {
            return Err(format!("{there:?} stands there, for {read:?}"));
        }
    }
    Ok(())
}

/// How many keys were searched, and of how many that was given up.
pub(crate) fn explained_by_search(done: &[Done]) -> Result<(usize, usize), String> {
    let start = done.iter().map(|done| done.event.began).min();
    let Some(start) = start else { return Ok((0, 0)) };
    let nanos =
        |moment: Instant| u64::try_from((moment - start).as_nanos()).expect("no test takes 500 years");
    let mut keys: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    for Done { key, value, event } in done {
        let effect = match (event.is_write, value) {
            (true, Some(value)) => Effect::Put { value: *value, sure: true },
            _ => Effect::Get { value: *value },
        };
        let (invoked, returned) = (nanos(event.began), event.ended.map(nanos));
        keys.entry(*key).or_default().push(Operation { invoked, returned, effect });
    }
    let mut given_up = 0;
    for (key, operations) in &keys {
        match search::linearize(operations) {
            Searched::Found => {}
            Searched::GaveUp => given_up += 1,
            Searched::None => {
                let lines: Vec<String> = operations.iter().map(Operation::to_string).collect();
                return Err(format!("no order explains what was seen of key {key}: {}", lines.join("; ")));
            }
        }
    }
    Ok((keys.len(), given_up))
}
