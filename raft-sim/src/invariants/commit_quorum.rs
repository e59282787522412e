//! An entry is committed by its leader once a quorum of the configuration in force in that leader's log holds it on
//! stable storage (paper section 5.3), and only together with an entry of the leader's own term (section 5.4.2).

use super::{
    Verdict,
    cluster::{Cluster, Step, quorum_of_any},
    demand,
};
use crate::facts::Class;
use raft_core::{Membership, NodeId, Term};

/// The name of the invariant that a quorum holds what is committed.
pub const NAME: &str = "commit_quorum";
/// The name of the invariant that commits are of the leader's own term.
pub const OWN_TERM: &str = "commit_own_term";

/// The first node whose commit reaches an index: whose durable copies are counted? Gives the term of the commit.
///
/// Acknowledgements are counted from when they leave, as the disk's truth was then: the leader can't know of them
/// earlier.
pub(crate) fn advanced(cluster: &Cluster, step: &Step<'_>) -> Result<Term, super::Broken> {
    let (node, commit) = (step.node, step.after.commit);
    let id = step.log.id_at(commit).unwrap_or_default();
    let seat = cluster.seat(node);
    let Some(term) = seat.led else {
        return Err(super::broken(
            NAME,
            Class::Safety,
            format!("node {node} is the first to know {id} as committed, but has led no term in this boot"),
        ));
    };
    demand(id.term == term, OWN_TERM, Class::Safety, || {
        format!(
            "node {node} leads term {term} and commits {id}, an entry of an older term, by counting copies"
        )
    })?;
    quorum(cluster, step, term)?;
    Ok(term)
}

/// A turn of many inputs may commit by one configuration and then append the next: any that was in force in it counts.
fn quorum(cluster: &Cluster, step: &Step<'_>, term: Term) -> Verdict {
    let (leader, commit) = (step.node, step.after.commit);
    let seat = cluster.seat(leader);
    // A turn of many inputs may commit as a leader and then, deposed, lose the end of the log to the next one.
    let truncated = |index| step.truncated() && step.kept < index;
    let holds = |members: &Membership, voter: NodeId| {
        if voter == leader {
            let durable = seat.ledger.chain().hash_at(commit) == step.log.hash_at(commit);
            return durable && members.on_record(leader, seat.stamp.disk);
        }
        let disk = members.get(voter).and_then(|member| member.disk);
        let ack = disk.and_then(|disk| cluster.find(voter)?.acks.get(&(term, disk)));
        ack.is_some_and(|ack| {
            ack.matched >= commit
                && ack.asker == seat.stamp
                && ack
                    .hash
                    .is_none_or(|hash| truncated(ack.matched) || step.log.hash_at(ack.matched) == Some(hash))
        })
    };
    quorum_of_any(seat.in_play(), holds).or_else(|(holders, all)| {
        demand(false, NAME, Class::Safety, || {
            format!(
                "node {leader} commits {} in term {term}; only {holders:?} of {all} members held it durably or had \
                 acknowledged it",
                step.log.id_at(commit).unwrap_or_default()
            )
        })
    })
}
