//! What is tried on each directory that a power cut leaves: the storage's own recovery, once more, and writing on.

use crate::contract::{is_rest, with};
use crate::draw::Draw;
use crate::life::node;
use crate::medium::Medium;
use crate::world::{World, newest};
use crate::{Driver, Opened, PEERS, Storage, Tree};
use raft_core::{
    Body, Entry, EntryId, Index, Input, LogSlice, Message, Node, Output, Payload, Persisted, Recovered, Term,
    Update, Write,
};

fn open<D: Driver>(driver: &D, medium: &D::Medium) -> Result<Opened<D::Storage>, String> {
    driver.open(medium).map_err(|error| format!("a power cut is taken for something else: {error}"))
}

/// What is found in these files, after everything that can be found wrong without knowing what is owed.
pub(crate) fn recover<D: Driver>(
    world: &World<'_, D>,
    scratch: &mut D::Medium,
    tree: &Tree,
    draw: &mut Draw,
) -> Result<Recovered, String> {
    scratch.put(tree);
    let first = open(world.driver, scratch)?;
    world.is_of(&first.state, first.recovered.snapshot.as_ref())?;
    let found = first.recovered.clone();
    drop(first);
    let second = open(world.driver, scratch)?;
    if second.recovered != found {
        return Err("a second recovery finds something else than the first".into());
    }
    let expected = go_on::<D>(second, draw.once_in(3))?;
    let third = open(world.driver, scratch)?;
    let released = found.snapshot.as_ref().map_or(Index(0), |snapshot| snapshot.last().index);
    if !is_rest(&third.recovered, &expected, released) || third.recovered.snapshot != found.snapshot {
        return Err("what was written after the recovery is not there at the next start".into());
    }
    Ok(found)
}

/// A node starts on what was found, and a leader of a new term replaces its last entry, if it may, and adds one. Or the node
/// ends right after its start: what the cut left behind the log is not yet overwritten then. What the log is then.
fn go_on<D: Driver>(opened: Opened<D::Storage>, ends: bool) -> Result<Recovered, String> {
    let Opened { mut storage, recovered, disk, .. } = opened;
    let mut node = node(disk, 0, recovered.clone())?;
    let mut log = recovered.clone();
    let outputs = node.turn().drain().collect();
    persist(&mut storage, &mut node, outputs, &mut log)?;
    if let Some(message) = from_a_leader(&recovered).filter(|_| !ends) {
        let outputs = node.step(Input::Receive { from: PEERS[0], message }).collect();
        persist(&mut storage, &mut node, outputs, &mut log)?;
        if log.entries.last().map(Entry::term) != Some(recovered.hard.term.next()) {
            return Err("the node takes nothing from a new leader".into());
        }
    }
    Ok(log)
}

fn from_a_leader(recovered: &Recovered) -> Option<Message> {
    let base = recovered.base.as_ref()?.id;
    let term: Term = recovered.hard.term.next();
    let committed = recovered.snapshot.as_ref().map_or(base, |snapshot| snapshot.last().max(base));
    let ids = || recovered.entries.iter().map(Entry::id);
    let last = ids().next_back().unwrap_or(base);
    let before = ids().nth_back(1).unwrap_or(base);
    let prev: EntryId = if last > committed { before } else { last };
    let entry = |behind: u64| {
        let id = EntryId { term, index: Index(prev.index.0 + behind) };
        Entry::new(id, Payload::Noop)
    };
    let slice = LogSlice::new(prev, vec![entry(1), entry(2)])?;
    Some(Message { from: newest(PEERS[0]), to: None, term, body: Body::Append { slice, commit: Index(0) } })
}

/// Carries out what belongs to the log.
fn persist(
    storage: &mut impl Storage,
    node: &mut Node,
    outputs: Vec<Output>,
    log: &mut Recovered,
) -> Result<(), String> {
    let mut writes: Vec<Write> = Vec::new();
    for output in outputs {
        match output {
            Output::Persist(write) => {
                let update: &Update = write.update();
                *log = with(log, update);
                writes.push(write);
            }
            Output::Release { through } => storage.release(through),
            _ => {}
        }
    }
    let receipts: Vec<Persisted> = storage.persist(writes)?;
    for receipt in receipts {
        // What comes of it is of no interest here.
        node.step(Input::Persisted(receipt)).for_each(drop);
    }
    Ok(())
}
