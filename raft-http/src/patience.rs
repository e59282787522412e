//! How long voters wait for a leader, before they stand for election or vote for another. A lease rests on theirs, not on the
//! leader's own (rule 14), so nodes tell each other when they call: no acknowledgement comes from one that has not told.

use raft_core::{Membership, NodeId};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

/// How many nodes that wait for a shorter time are remembered. With so many nothing rests on a lease any more.
const REMEMBERED: usize = 256;

/// This node's patience, and who has less.
pub(crate) struct Patience {
    node: NodeId,
    own: Duration,
    /// Who waits for a shorter time or, as an older version, didn't say, by the newest call of each.
    shorter: Mutex<BTreeSet<NodeId>>,
}

impl Patience {
    pub(crate) fn new(node: NodeId, own: Duration) -> Patience {
        Patience { node, own, shorter: Mutex::default() }
    }

    fn shorter(&self) -> MutexGuard<'_, BTreeSet<NodeId>> {
        self.shorter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node called and said how long it waits.
    pub(crate) fn called(&self, peer: NodeId, theirs: Option<Duration>) {
        let mut shorter = self.shorter();
        if theirs.is_some_and(|theirs| theirs >= self.own) {
            if shorter.remove(&peer) {
                info!(
                    node = self.node.0,
                    peer = peer.0,
                    "the peer waits for a leader for as long as this node again"
                );
            }
        } else if shorter.len() < REMEMBERED && shorter.insert(peer) {
            warn!(
                node = self.node.0,
                peer = peer.0,
                ?theirs,
                own = ?self.own,
                "the peer waits for a leader for a shorter time than this node, or does not say: while it votes, lease reads \
                 here ask a quorum; give all nodes the same \"election_timeout\" and \"heartbeat\", and the same version"
            );
        }
    }

    /// Whether every voter waits for at least as long as this node.
    pub(crate) fn is_shared(&self, membership: &Membership) -> bool {
        let shorter = self.shorter();
        shorter.len() < REMEMBERED && !membership.voters().any(|id| shorter.contains(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_rests_on_voters_of_at_least_this_patience() {
        let of_three = Membership::founders([0, 1, 2].map(NodeId)).unwrap();
        let ms = |ms| Some(Duration::from_millis(ms));
        let patience = Patience::new(NodeId(0), Duration::from_millis(500));
        assert!(patience.is_shared(&of_three), "nobody has called: nobody has acknowledged anything");
        patience.called(NodeId(1), ms(500));
        patience.called(NodeId(2), ms(501));
        patience.called(NodeId(9), ms(1));
        assert!(patience.is_shared(&of_three), "who has no vote doesn't count");
        for shorter in [ms(499), None] {
            patience.called(NodeId(2), shorter);
            assert!(!patience.is_shared(&of_three), "{shorter:?}");
            patience.called(NodeId(2), ms(500));
            assert!(patience.is_shared(&of_three));
        }
        (10..1000).for_each(|id| patience.called(NodeId(id), None));
        assert!(!patience.is_shared(&of_three), "not all can be remembered");
    }
}
