//! What a leader's lease rests on: a voter that has answered a leader's round promises not to vote, nor to say that it
//! would, for an election timeout of its own clock from when it heard the round, also over a restart, unless the leader
//! itself has handed over (rule 14 of DESIGN). And who has given a vote waits as long before it stands itself, unless it is
//! told to: the one that it voted for needs the time to be heard (rule 10). Asked only where the clocks are as good as the nodes take them to be.

use super::{
    Rules, Verdict,
    cluster::{Seat, Step},
    demand, up_to_date,
};
use crate::facts::{Class, Time};
use raft_core::{Body, Message, NodeId, RoleName, Round, Status, Term};
use std::collections::BTreeSet;

/// The name of this invariant.
pub const NAME: &str = "patience";
/// The name of the invariant that a voter waits for whom it voted for.
pub const WAITS: &str = "voter_waits";

/// What a seat has heard of leaders, and promised to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience {
    /// The newest round that was heard, and when.
    heard: Option<(NodeId, Term, Round, Time)>,
    /// The newest term of which a round was answered, and when that round was heard.
    promised: Option<(Term, Time)>,
    /// The candidates that a leader itself asked to stand, as they say.
    transfers: BTreeSet<(Term, NodeId)>,
    /// When it gave the newest vote to another.
    voted: Option<Time>,
    /// It is told to stand for election in the turn that is being taken.
    urged: bool,
}

impl Patience {
    /// It is told to stand for election.
    pub(crate) fn urged(&mut self) {
        self.urged = true;
    }
}

/// A turn is over.
pub(crate) fn stepped(seat: &mut Seat, rules: &Rules, at: Time, step: &Step<'_>) -> Verdict {
    let own = &mut seat.patience;
    let urged = std::mem::take(&mut own.urged);
    let followed = step.before.is_some_and(|before| before.role == RoleName::Follower);
    let stands = matches!(step.after.role, RoleName::PreCandidate | RoleName::Candidate);
    if let Some(voted) = own.voted.filter(|_| rules.lease && followed && stands && !urged) {
        demand(at >= voted + rules.patience, WAITS, Class::Liveness, || {
            format!(
                "node {} stands for election in term {}, {} us after it gave its vote to another; its timer takes {} us at least",
                step.node,
                step.after.term,
                at - voted,
                rules.patience
            )
        })?;
    }
    let gave = |status: &Status| {
        let to = status.vote.filter(|to| *to != step.node);
        to.map(|to| (status.term, to))
    };
    let vote = gave(step.after);
    if vote.is_some() && step.before.and_then(gave) != vote {
        own.voted = Some(at);
    }
    Ok(())
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
        Body::TimeoutNow => seat.patience.urged(),
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
    let asked = up_to_date::asked_at(seat, to, message.to.unwrap_or_default(), message.term);
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
        Body::VoteReply { answer } if answer.is_yes() && !own.transfers.contains(&(message.term, to)) => {
            keeps(own.promised, rules, at, node, to, message.term)
        }
        // It may have been said before the leader was heard, and wait for the boot to be durable: it is no vote.
        Body::PreVoteReply { answer } if answer.is_yes() => {
            let before = own.promised.filter(|(_, heard)| asked.is_none_or(|asked| *heard <= asked));
            keeps(before, rules, at, node, to, message.term)
        }
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
