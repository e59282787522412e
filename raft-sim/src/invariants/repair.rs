//! Who has lost commands says so: it stands for no election, since it could not lead, nobody else votes blindly, and whatever anybody sends is there
//! and is what it was ("Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018). That such a server acknowledges and
//! applies nothing at or behind the first of them is demanded where promises are (`promises.rs`).

use super::{
    Verdict,
    cluster::{Seat, Step},
    demand,
    log_matching::LogMatching,
};
use crate::facts::Class;
use raft_core::{Ballot, Body, Entry, LogSlice, Message, NodeId};

/// The name of this invariant.
pub const NAME: &str = "repair";

/// A turn is over. Who lacked nothing any more after the one before has had it written.
pub(crate) fn stepped(seat: &Seat, step: &Step<'_>) -> Verdict {
    let whole = step.before.is_some_and(|before| before.decayed == 0 && !before.halted);
    let lost = seat.ledger.rotten().filter(|_| whole && !seat.ledger.is_writing());
    demand(lost.is_none(), NAME, Class::Durability, || {
        format!(
            "node {} lacks nothing, and its disk does not get back what it has lost: {}",
            step.node,
            seat.ledger.summary()
        )
    })
}

/// A message leaves a node.
pub(crate) fn sent(seat: &Seat, matching: &LogMatching, node: NodeId, message: &Message) -> Verdict {
    match &message.body {
        Body::VoteReply { answer: Ballot::Blind } | Body::PreVoteReply { answer: Ballot::Blind } => {
            demand(seat.ledger.has_lost(), NAME, Class::Safety, || {
                format!(
                    "node {node} votes in term {} without a look at its log, which has lost nothing",
                    message.term
                )
            })
        }
        Body::Vote { last, .. } => demand(seat.ledger.rotten().is_none(), NAME, Class::Durability, || {
            format!(
                "node {node} stands for term {} with a log to {last}, and its disk has lost commands of it: {}",
                message.term,
                seat.ledger.summary()
            )
        }),
        Body::Append { slice, .. } => whole(node, slice),
        Body::Copies { slice } => {
            whole(node, slice)?;
            known(seat, matching, node, slice)
        }
        _ => Ok(()),
    }
}

/// Nobody sends what it doesn't have.
fn whole(node: NodeId, slice: &LogSlice) -> Verdict {
    let lost = slice.entries().iter().find(|entry| entry.is_decayed());
    demand(lost.is_none(), NAME, Class::Safety, || {
        format!(
            "node {node} sends entry {} without its command, which it has lost",
            lost.map_or(slice.prev(), Entry::id)
        )
    })
}

/// Who lacks a command takes it by its id: it is the one that every log has there. The sender's own may have been reset since;
/// and what a leader appended and gave up within one turn was in no log that anybody saw, and is lost nowhere.
fn known(seat: &Seat, matching: &LogMatching, node: NodeId, slice: &LogSlice) -> Verdict {
    let prev = slice.prev();
    let mut before = matching.hash_of(prev).or_else(|| seat.log.hash_at(prev.index));
    for entry in slice.entries() {
        let hash = matching.hash_of(entry.id());
        let same = before.zip(hash).is_none_or(|(before, hash)| hash == entry.running_hash(before));
        demand(same, NAME, Class::Safety, || {
            format!("node {node} gives entry {}, which is not the one that logs have there", entry.id())
        })?;
        before = hash;
    }
    Ok(())
}
