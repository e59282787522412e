//! What a leader's lease rests on: a voter that has answered a leader's round promises not to vote, nor to say that it
//! would, for an election timeout of its own clock from when it heard the round, also over a restart, unless the leader
//! itself has handed over (rule 14 of DESIGN). Asked only where the clocks are as good as the nodes take them to be.

use super::{Rules, Verdict, cluster::Seat, demand};
use crate::facts::{Class, Time};
use raft_core::{Body, Message, NodeId, Round, Term};
use std::collections::BTreeSet;

/// The name of this invariant.
pub const NAME: &str = "patience";

/// What a seat has heard of leaders, and promised to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience {
    /// The newest round that was heard, and when.
    heard: Option<(NodeId, Term, Round, Time)>,
    /// The newest term of which a round was answered, and when that round was heard.
    promised: Option<(Term, Time)>,
    /// The candidates that a leader itself asked to stand, as they say.
    transfers: BTreeSet<(Term, NodeId)>,
}

/// A message reaches a node.
pub(crate) fn received(seat: &mut Seat, at: Time, from: NodeId, message: &Message) {
    match message.body {
        Body::Heartbeat { round, .. } => {
            seat.patience.heard = Some((from, message.term, round, at));
        }
        Body::Vote { transfer: true, .. } => {
            seat.patience.transfers.insert((message.term, from));
        }
        _ => {}
    }
}

/// A message leaves a node.
pub(crate) fn sent(
    seat: &mut Seat,
    rules: &Rules,
    at: Time,
    node: NodeId,
    to: NodeId,
    message: &Message,
) -> Verdict {
    let own = &mut seat.patience;
    match message.body {
        Body::HeartbeatReply { round } => {
            if let Some((leader, term, heard, when)) = own.heard
                && (leader, term, heard) == (to, message.term, round)
            {
                own.promised = own.promised.max(Some((term, when)));
            }
            Ok(())
        }
        Body::VoteReply { granted: true } if !own.transfers.contains(&(message.term, to)) => {
            keeps(own.promised, rules, at, node, to, message.term)
        }
        Body::PreVoteReply { granted: true } => keeps(own.promised, rules, at, node, to, message.term),
        _ => Ok(()),
    }
}

fn keeps(
    promised: Option<(Term, Time)>,
    rules: &Rules,
    at: Time,
    node: NodeId,
    to: NodeId,
    term: Term,
) -> Verdict {
    let Some((led, heard)) = promised.filter(|(led, _)| rules.lease && *led < term) else { return Ok(()) };
    demand(at >= heard + rules.patience, NAME, Class::Safety, || {
        format!(
            "node {node} gives node {to} its voice for term {term}; {} us before, it heard the leader of term {led}, to whom \
             it has promised {} us of patience",
            at - heard,
            rules.patience
        )
    })
}
