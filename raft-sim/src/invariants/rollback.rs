//! A disk that was put back to an earlier state is found out, and no other one is (rule 16). Meanwhile its process may
//! say what it likes, since nobody may heed it: it counts for nothing, and is asked for nothing but that it never leads.

use super::{Verdict, cluster::Cluster, commit_told, demand, recovery};
use crate::coverage::{Coverage, Mark};
use crate::facts::{Class, Fact};
use raft_core::{NodeId, Report, RoleName, Stamp};

/// The name of the invariant.
pub const NAME: &str = "rollback";

/// What is to be said of a fact about such a process; `None` if it is about none.
pub(crate) fn observed(cluster: &mut Cluster, coverage: &mut Coverage, fact: &Fact<'_>) -> Option<Verdict> {
    match *fact {
        Fact::RolledBack { node } => {
            let seat = cluster.seat_mut(node);
            recovery::wiped(seat);
            seat.rolled_back = true;
            return Some(Ok(()));
        }
        Fact::Wiped { .. } | Fact::Seated { .. } | Fact::Revenant { .. } => return None,
        Fact::Started { node, stamp, .. } if is_rolled_back(cluster, node) => {
            cluster.seat_mut(node).again.insert(stamp);
        }
        // What the disk's newest start said before is as good as ever, and so is what earlier ones said that did not begin again.
        Fact::Received { node, from, message } if is_rolled_back(cluster, from) => {
            let (spoke, again) = (cluster.seat(from).spoke, &cluster.seat(from).again);
            let Stamp { disk, boot } = message.from;
            if disk == spoke.disk && boot < spoke.boot && again.contains(&message.from) {
                // The same boot may have said it before, in good faith: a follower may go by it.
                commit_told::received(cluster.seat_mut(node), message);
                return Some(Ok(()));
            }
        }
        _ => {}
    }
    let node = fact.node().filter(|node| is_rolled_back(cluster, *node))?;
    Some(match fact {
        Fact::Stepped { status, .. } => demand(status.role != RoleName::Leader, NAME, Class::Safety, || {
            format!("node {node} leads term {}, and its disk was put back", status.term)
        }),
        Fact::Halted { report: Report::RolledBack { .. }, .. } => {
            coverage.reach(Mark::RollbackFound);
            Ok(())
        }
        _ => Ok(()),
    })
}

fn is_rolled_back(cluster: &Cluster, node: NodeId) -> bool {
    cluster.find(node).is_some_and(|seat| seat.rolled_back)
}
