//! A linearizable read sees everything that was acknowledged, or seen by another read, before it was asked
//! (dissertation 6.4). Three duties: its index is high enough; its leader has committed an entry of its own term; and
//! a quorum has answered a round of heartbeats that began after the read was asked.

use super::{
    Verdict,
    cluster::{Cluster, Seat},
    demand,
};
use crate::facts::Class;
use raft_core::{DiskId, Index, Membership, NodeId, Round, Term};

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
}

/// The highest index that anybody was told of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    floor: Index,
}

impl Reads {
    /// A read is handed to a node.
    pub(crate) fn asked(&self, seat: &Seat) -> Asked {
        Asked { floor: self.floor, round: seat.round, led: seat.led }
    }

    /// A client was told of an index.
    pub(crate) fn told(&mut self, index: Index) {
        self.floor = self.floor.max(index);
    }

    /// A read is answered.
    pub(crate) fn answered(
        &mut self,
        cluster: &Cluster,
        node: NodeId,
        asked: Asked,
        index: Index,
    ) -> Verdict {
        demand(index >= asked.floor, NAME, Class::Linearizability, || {
            format!(
                "node {node} serves a read at {index} that was asked after {} was acknowledged",
                asked.floor
            )
        })?;
        demand(index <= cluster.canon.last().index, NAME, Class::Linearizability, || {
            format!(
                "node {node} serves a read at {index}, and the log is committed to {}",
                cluster.canon.last()
            )
        })?;
        self.told(index);
        let seat = cluster.seat(node);
        let Some(term) = seat.led else {
            return demand(false, OWN_TERM, Class::Linearizability, || {
                format!("node {node} serves a read and has led no term in this boot")
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
}

fn round(cluster: &Cluster, node: NodeId, term: Term, asked: Asked) -> Verdict {
    let leader = cluster.seat(node);
    let nobody = Membership::default();
    let members = leader.members.as_ref().unwrap_or(&nobody);
    // Rounds are numbered within a term.
    let newest = if asked.led == Some(term) { asked.round } else { Round(0) };
    let heard = |voter: NodeId| {
        let recorded = |disk: DiskId| members.on_record(voter, disk);
        if voter == node {
            return recorded(leader.stamp.disk);
        }
        let heard = cluster.find(voter).and_then(|seat| seat.heard.get(&node));
        heard.is_some_and(|heard| {
            heard.term == term && heard.asker == leader.stamp && heard.round > newest && recorded(heard.disk)
        })
    };
    demand(members.is_quorum(heard), ROUND, Class::Linearizability, || {
        let heard: Vec<u64> =
            members.members().iter().map(|member| member.id).filter(|id| heard(*id)).map(|id| id.0).collect();
        format!(
            "node {node} serves a read in term {term}; only {heard:?} of {} members answered a round after round {newest}, \
             the newest when it was asked",
            members.members().len()
        )
    })
}
