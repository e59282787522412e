//! A linearizable read sees everything that was acknowledged, or seen by another read, before it was asked
//! (dissertation 6.4). For all reads, on whatever node and by whatever means: the index is high enough. Then, for a
//! leader's: it has committed an entry of its own term, and a quorum has answered a round of heartbeats that began after
//! the read was asked, or its lease runs (`leases`). And for a follower's: its leader has answered the question, for
//! which the same holds.

use super::{
    Broken, Verdict,
    cluster::{Cluster, Question, Seat, quorum_of_any},
    demand,
};
use crate::facts::Class;
use raft_core::{Index, Membership, Message, NodeId, Round, Term};

/// The name of the invariant that a read is fresh.
pub const NAME: &str = "reads";
/// The name of the invariant that a read waits for the first commit of the leader's own term.
pub const OWN_TERM: &str = "read_after_own_commit";
/// The name of the invariant that a read waits for its round.
pub const ROUND: &str = "read_after_round";

/// What was known when a read was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    floor: Index,
    /// The newest round then, and the term that it belongs to.
    round: Round,
    led: Option<Term>,
    /// The configuration that was in force then, by its place among those of the process.
    forced: usize,
    /// How many answers to its own questions the process had heard.
    told: u64,
    /// Whether a lease may answer it.
    pub(crate) lease: bool,
}

/// By what a read was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// A round of heartbeats.
    Round,
    /// A leader's answer.
    Told,
    /// Neither: if at all, a lease.
    Neither,
}

/// The highest index that anybody was told of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    floor: Index,
}

impl Reads {
    /// A read is handed to a node.
    pub(crate) fn asked(&self, seat: &Seat, lease: bool) -> Asked {
        Asked {
            floor: self.floor,
            round: seat.round,
            led: seat.led,
            forced: seat.forces.len().saturating_sub(1),
            told: seat.told_to_read.0,
            lease,
        }
    }

    /// A client was told of an index.
    pub(crate) fn told(&mut self, index: Index) {
        self.floor = self.floor.max(index);
    }

    /// A read is answered. Gives the means; whether a lease is one is for `leases` to say.
    pub(crate) fn answered(
        &mut self,
        cluster: &Cluster,
        node: NodeId,
        asked: Asked,
        index: Index,
    ) -> Result<Means, Broken> {
        fresh(cluster, node, asked, index)?;
        self.told(index);
        let seat = cluster.seat(node);
        if seat.told_to_read.0 > asked.told {
            let told = seat.told_to_read.1;
            if index <= told || seat.led.is_none() {
                return Ok(Means::Told);
            }
        }
        let confirmed = confirmed(cluster, node, asked);
        if asked.lease && confirmed.as_ref().is_err_and(|broken| broken.invariant == ROUND) {
            return Ok(Means::Neither);
        }
        confirmed.map(|()| Means::Round)
    }

    /// A follower's question reaches a node. What was known when it first came is what the answer owes.
    pub(crate) fn questioned(&self, seat: &mut Seat, from: NodeId, message: &Message, batch: Round) {
        let question = Question { batch, asked: self.asked(seat, false) };
        let known = seat.questions.entry((from, message.from)).or_insert(question);
        if batch > known.batch {
            *known = question;
        }
    }

    /// A leader's answer to a follower's question leaves it.
    pub(crate) fn tells(
        &self,
        cluster: &Cluster,
        node: NodeId,
        to: NodeId,
        message: &Message,
        batch: Round,
        index: Index,
    ) -> Verdict {
        let asker = message.to.unwrap_or_default();
        let Some(question) = cluster.seat(node).questions.get(&(to, asker)) else {
            return demand(false, NAME, Class::Linearizability, || {
                format!("node {node} tells node {to} to read at {index}, and was not asked")
            });
        };
        if question.batch != batch {
            return Ok(());
        }
        fresh(cluster, node, question.asked, index)?;
        confirmed(cluster, node, question.asked)
    }
}

/// A leader's answer reaches a node: whether it is for this very process.
pub(crate) fn heard(seat: &mut Seat, message: &Message, index: Index) {
    if message.to == Some(seat.stamp) {
        let (times, highest) = seat.told_to_read;
        seat.told_to_read = (times + 1, highest.max(index));
    }
}

fn fresh(cluster: &Cluster, node: NodeId, asked: Asked, index: Index) -> Verdict {
    demand(index >= asked.floor, NAME, Class::Linearizability, || {
        format!("node {node} serves a read at {index} that was asked after {} was acknowledged", asked.floor)
    })?;
    demand(index <= cluster.canon.last().index, NAME, Class::Linearizability, || {
        format!("node {node} serves a read at {index}, and the log is committed to {}", cluster.canon.last())
    })
}

/// Whether a leader has made sure of its leadership since it was asked.
fn confirmed(cluster: &Cluster, node: NodeId, asked: Asked) -> Verdict {
    let seat = cluster.seat(node);
    let Some(term) = seat.led else {
        return demand(false, OWN_TERM, Class::Linearizability, || {
            format!(
                "node {node} serves a read; it has led no term in this boot, and no leader has told it an index"
            )
        });
    };
    let newest = cluster.canon.id_at(seat.commit()).unwrap_or_default();
    demand(newest.term >= term, OWN_TERM, Class::Linearizability, || {
        format!(
            "node {node} leads term {term} and serves a read when the newest that it knows committed is {newest}"
        )
    })?;
    round(cluster, node, term, asked)
}

/// Any configuration that was in force since the question may have confirmed it.
fn round(cluster: &Cluster, node: NodeId, term: Term, asked: Asked) -> Verdict {
    let leader = cluster.seat(node);
    // Rounds are numbered within a term.
    let newest = if asked.led == Some(term) { asked.round } else { Round(0) };
    let heard =
        |members: &Membership, voter: NodeId| heard_round(cluster, node, members, voter, term) > Some(newest);
    let since = asked.forced.min(leader.turn_since);
    let configurations = leader.forces.get(since..).unwrap_or_default();
    quorum_of_any(configurations, heard).or_else(|(heard, all)| {
        demand(false, ROUND, Class::Linearizability, || {
            format!(
                "node {node} serves a read in term {term}; only {heard:?} of {all} members answered a round after round {newest}, \
                 the newest when it was asked"
            )
        })
    })
}

/// The newest round of a leader that a voter has answered, from its disk on record. The leader's own are all.
pub(crate) fn heard_round(
    cluster: &Cluster,
    node: NodeId,
    members: &Membership,
    voter: NodeId,
    term: Term,
) -> Option<Round> {
    let leader = cluster.seat(node);
    let disk = members.get(voter)?.disk?;
    if voter == node {
        return (disk == leader.stamp.disk).then_some(Round(u64::MAX));
    }
    let heard = cluster.find(voter)?.heard.get(&(node, disk))?;
    (heard.term == term && heard.asker == leader.stamp).then_some(heard.round)
}
