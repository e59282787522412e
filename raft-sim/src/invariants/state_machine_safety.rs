//! No two nodes commit or apply different entries at one index (Figure 3), and none parts with a committed one.

use super::{
    Verdict,
    cluster::{Cluster, Step},
    demand,
};
use crate::facts::Class;
use raft_core::{Entry, NodeId};

/// The name of this invariant.
pub const NAME: &str = "state_machine_safety";

/// A turn: what it calls committed is what the others call so, and what was committed before stays.
pub(crate) fn stepped(cluster: &Cluster, step: &Step<'_>) -> Verdict {
    let (node, commit) = (step.node, step.after.commit);
    let committed = step.before.map_or_else(Default::default, |before| before.commit);
    demand(step.kept >= committed.min(step.ended.index), NAME, Class::Safety, || {
        format!(
            "node {node} knew {committed} to be committed, and then kept its log only to index {}",
            step.kept
        )
    })?;
    let ours = step.log.hash_at(commit);
    demand(ours.is_some(), NAME, Class::Safety, || {
        format!("node {node} says that {commit} is committed, but its log ends with {}", step.log.last())
    })?;
    // What is beyond the common log is for `commit_quorum` to judge; what it shares is compared here.
    let shared = commit.min(cluster.canon.last().index);
    let (ours, theirs) = (step.log.hash_at(shared), cluster.canon.hash_at(shared));
    demand(ours == theirs, NAME, Class::Safety, || {
        format!(
            "node {node} says that {} and all before it is committed, but {} was committed there, or its log \
             differs before it",
            step.log.id_at(shared).unwrap_or_default(),
            cluster.canon.id_at(shared).unwrap_or_default()
        )
    })
}

/// A node applies an entry.
pub(crate) fn applied(cluster: &Cluster, node: NodeId, entry: &Entry) -> Verdict {
    let before = entry.index().previous().and_then(|index| cluster.canon.hash_at(index));
    let canonical = cluster.canon.hash_at(entry.index());
    let same = before.is_some_and(|before| Some(entry.running_hash(before)) == canonical);
    demand(same, NAME, Class::Safety, || {
        format!(
            "node {node} applies {} with payload hash {:016x}, but {} is committed there",
            entry.id(),
            entry.hash(),
            cluster.canon.id_at(entry.index()).map_or("nothing".into(), |id| format!("another entry, {id},"))
        )
    })
}
