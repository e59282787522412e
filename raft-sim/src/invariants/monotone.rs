//! The term never goes back, over restarts as far as it was durable; commit and applied never within one boot; applies
//! come one by one, in order, and never before the commit (Figure 2, "state").

use super::{Verdict, cluster::Step, demand};
use crate::facts::Class;
use raft_core::{Entry, Index, NodeId, Term};

/// The name of the invariant for terms.
pub const TERM: &str = "monotone_term";
/// The name of the invariant for commit and applied.
pub const COMMIT: &str = "monotone_commit";
/// The name of the invariant for the base of the log.
pub const BASE: &str = "monotone_base";

/// A term replaces another one on a disk.
pub(crate) fn durable(old: Term, new: Term) -> Verdict {
    demand(old <= new, TERM, Class::Safety, || format!("a disk that held term {old} is given term {new}"))
}

/// A turn. A process starts with the term on its disk, and with what its snapshot covers.
pub(crate) fn stepped(step: &Step<'_>, started_in: Term, started_at: Index) -> Verdict {
    let (node, after) = (step.node, step.after);
    let term = step.before.map_or(started_in, |before| before.term);
    demand(after.term >= term, TERM, Class::Safety, || {
        format!("node {node} was in term {term} and is now in term {}", after.term)
    })?;
    demand(after.applied <= after.commit, COMMIT, Class::Safety, || {
        format!("node {node} has applied {} and knows only {} as committed", after.applied, after.commit)
    })?;
    let Some(before) = step.before else {
        return demand(after.commit.min(after.applied) >= started_at, COMMIT, Class::Safety, || {
            format!(
                "node {node} started from a snapshot to {started_at}, and knows {} as committed and {} as applied",
                after.commit, after.applied
            )
        });
    };
    demand(after.base.index >= before.base.index, BASE, Class::Safety, || {
        format!("the log of node {node} began behind {} and now begins behind {}", before.base, after.base)
    })?;
    demand(after.commit >= before.commit, COMMIT, Class::Safety, || {
        format!("node {node} knew {} as committed and now only {}", before.commit, after.commit)
    })?;
    demand(after.applied >= before.applied, COMMIT, Class::Safety, || {
        format!("node {node} had applied {} and now only {}", before.applied, after.applied)
    })
}

/// What each process has applied.
#[derive(Clone, Debug)]
pub(crate) struct Applies {
    newest: Vec<Index>,
}

impl Applies {
    pub(crate) fn new(nodes: usize) -> Applies {
        Applies { newest: vec![Index(0); nodes + 1] }
    }

    /// A new process begins behind its snapshot.
    pub(crate) fn started(&mut self, node: NodeId, snapshot: Index) {
        self.newest[super::chain::position(Index(node.0))] = snapshot;
    }

    /// The last index that a node's application has taken in.
    pub(crate) fn newest(&self, node: NodeId) -> Index {
        self.newest[super::chain::position(Index(node.0))]
    }

    /// The application takes over a snapshot: what comes next follows it.
    pub(crate) fn restored(&mut self, node: NodeId, snapshot: Index) -> Verdict {
        let newest = &mut self.newest[super::chain::position(Index(node.0))];
        demand(snapshot > *newest, COMMIT, Class::Safety, || {
            format!("node {node} has applied {newest}, and takes over a snapshot to {snapshot}")
        })?;
        *newest = snapshot;
        Ok(())
    }

    /// An entry is applied.
    pub(crate) fn applied(&mut self, node: NodeId, entry: &Entry) -> Verdict {
        let newest = &mut self.newest[super::chain::position(Index(node.0))];
        demand(entry.index() == newest.next(), COMMIT, Class::Safety, || {
            format!("node {node} applies {} after index {newest}", entry.id())
        })?;
        *newest = entry.index();
        Ok(())
    }
}
