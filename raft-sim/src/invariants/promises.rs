//! No promise leaves before the write that it depends on is durable (rule 4 of DESIGN: a granted vote, a request for
//! votes, an acknowledged append, a client's answer), by the disk's truth and not by the core's own gating.
//!
//! A promise of a term below the durable one needs no look: it was made before the write that raised the term, so what
//! it needs is durable with it; and a vote that the same write replaced binds no more, since the term is over.

use super::{
    Verdict,
    chain::Chain,
    cluster::{Cluster, Seat},
    demand,
};
use crate::facts::Class;
use raft_core::{Body, Entry, EntryId, Index, Message, NodeId, RoleName};

/// The name of this invariant.
pub const NAME: &str = "durable_before_sent";
/// The name of the invariant that an acknowledgement is of the leader's own entries.
pub const TRUTHFUL: &str = "truthful_ack";

/// A message leaves a node.
pub(crate) fn sent(seat: &Seat, node: NodeId, to: NodeId, message: &Message) -> Verdict {
    let hard = seat.ledger.hard();
    demand(message.from == seat.stamp, NAME, Class::Durability, || {
        format!("node {node} runs as {:?}, but a message says that it is from {:?}", seat.stamp, message.from)
    })?;
    demand(hard.boot >= message.from.boot, NAME, Class::Durability, || {
        format!(
            "node {node} speaks as boot {}, but its disk knows only of boot {}",
            message.from.boot, hard.boot
        )
    })?;
    if message.term < hard.term {
        return Ok(());
    }
    match &message.body {
        Body::VoteReply { answer } if answer.is_yes() => {
            demand(seat.ledger.vote_in(message.term) == Some(to), NAME, Class::Durability, || {
                format!(
                    "node {node} gives node {to} its vote in term {}, but its disk holds {hard:?}",
                    message.term
                )
            })
        }
        Body::Vote { last, .. } => {
            demand(seat.ledger.vote_in(message.term) == Some(node), NAME, Class::Durability, || {
                format!("node {node} asks for votes in term {}, but its disk holds {hard:?}", message.term)
            })?;
            // Who no longer stands, because it heard of another leader of the term, can't win by this any more.
            let stands = seat
                .status
                .as_ref()
                .is_some_and(|status| status.role == RoleName::Candidate && status.term == message.term);
            demand(!stands || seat.ledger.chain().holds(*last), NAME, Class::Durability, || {
                format!(
                    "node {node} asks for votes in term {} with a log to {last}, but its disk holds a log to {}",
                    message.term,
                    seat.ledger.chain().last()
                )
            })
        }
        Body::Appended { matched } => {
            demand(acknowledgeable(seat, message, *matched), NAME, Class::Durability, || {
                format!(
                    "node {node} acknowledges index {matched} in term {}, but its disk holds {}",
                    message.term,
                    seat.ledger.summary()
                )
            })
        }
        _ => Ok(()),
    }
}

/// The term, too, must be durable: an acknowledgement promises never to take part in an older one.
fn acknowledgeable(seat: &Seat, message: &Message, matched: Index) -> bool {
    let whole = seat.ledger.rotten().is_none_or(|first| first > matched);
    whole && seat.ledger.hard().term == message.term && seat.ledger.chain().last().index >= matched
}

/// An acknowledgement, beside the log of the leader that it is for, if that process still leads this term. In a later
/// one it leads by another log, and an acknowledgement that was held until now counts for nothing there.
pub(crate) fn truthful(
    follower: &Seat,
    leader: &Seat,
    node: NodeId,
    message: &Message,
    matched: Index,
) -> Verdict {
    let leads = leader.leading().is_some_and(|status| status.term == message.term);
    if message.to != Some(leader.stamp) || !leads {
        return Ok(());
    }
    // What a snapshot covers is compared where the snapshot is.
    if matched < follower.ledger.chain().base().index.max(leader.log.base().index) {
        return Ok(());
    }
    let (ours, theirs) = (follower.ledger.chain().hash_at(matched), leader.log.hash_at(matched));
    demand(ours == theirs, TRUTHFUL, Class::Safety, || {
        let id = |chain: &Chain| chain.id_at(matched).map_or("nothing".into(), |id| id.to_string());
        format!(
            "node {node} acknowledges index {matched} and has {} there; its leader has {}, or their logs differ before",
            id(follower.ledger.chain()),
            id(&leader.log)
        )
    })
}

/// An entry is applied, and so shown to clients.
pub(crate) fn applied(cluster: &Cluster, node: NodeId, entry: &Entry) -> Verdict {
    demand(held(cluster, node, entry.id()), NAME, Class::Durability, || {
        format!(
            "node {node} applies {}, but its disk holds a log to {}",
            entry.id(),
            cluster.seat(node).ledger.chain().last()
        )
    })
}

/// A client is told that its command is committed.
pub(crate) fn answered(cluster: &Cluster, node: NodeId, id: EntryId) -> Verdict {
    demand(held(cluster, node, id), NAME, Class::Durability, || {
        format!(
            "node {node} answers that {id} is committed, but its disk holds a log to {}",
            cluster.seat(node).ledger.chain().last()
        )
    })
}

fn held(cluster: &Cluster, node: NodeId, id: EntryId) -> bool {
    let ledger = &cluster.seat(node).ledger;
    let chain = ledger.chain();
    // A base is written only when its snapshot is on stable storage.
    let covered = id.index < chain.base().index;
    let whole = ledger.rotten().is_none_or(|first| first > id.index);
    covered || (whole && chain.hash_at(id.index) == cluster.canon.hash_at(id.index))
}
