//! The disks of a quorum have lost what they had said was durable, so that no promise is left on which others could rely. One
//! is: what a process has known to be committed it doesn't give up as long as it runs. Who meets a leader that has something
//! else there halts, and says so (rule 8 of DESIGN).

use super::{Verdict, cluster::Cluster, demand};
use crate::coverage::{Coverage, Mark};
use crate::facts::{Class, Fact};
use raft_core::{Index, Log, NodeId, Report, Status};
use std::collections::BTreeMap;

/// The name of this invariant.
pub const NAME: &str = "kept_commit";

/// How far each process has known the log to be committed, with the running hash there.
#[derive(Clone, Debug)]
pub(crate) struct Perjury {
    known: BTreeMap<NodeId, (Index, u64)>,
}

impl Perjury {
    /// It has just happened.
    pub(crate) fn begins(cluster: &Cluster) -> Perjury {
        let running = cluster.seats().filter(|(_, seat)| seat.running && !seat.halted);
        let known = running.filter_map(|(node, seat)| {
            let commit = seat.commit();
            seat.log.hash_at(commit).map(|hash| (node, (commit, hash)))
        });
        Perjury { known: known.collect() }
    }

    /// The next fact.
    pub(crate) fn observe(&mut self, coverage: &mut Coverage, fact: &Fact<'_>) -> Verdict {
        match *fact {
            Fact::Started { node, .. } | Fact::Crashed { node } => {
                self.known.remove(&node);
            }
            Fact::Stepped { node, ref status, log } if !status.halted => {
                return self.stepped(node, status, log);
            }
            Fact::Halted { report: Report::ConflictBelowCommit { .. }, .. } => {
                coverage.reach(Mark::ConflictBelowCommit);
            }
            _ => {}
        }
        Ok(())
    }

    fn stepped(&mut self, node: NodeId, status: &Status, log: &Log) -> Verdict {
        if let Some((commit, hash)) = self.known.get(&node) {
            let there = log.base().index > *commit || log.hash_at(*commit) == Some(*hash);
            demand(there && status.commit >= *commit, NAME, Class::Safety, || {
                format!(
                    "node {node} knew its log to be committed up to {commit}, and has something else there now; its log ends \
                     with {}, and it knows {} as committed",
                    log.last(),
                    status.commit
                )
            })?;
        }
        if let Some(hash) = log.hash_at(status.commit) {
            self.known.insert(node, (status.commit, hash));
        }
        Ok(())
    }
}
