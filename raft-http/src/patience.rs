//! How long voters wait for a leader, before they stand for election or vote for another. A lease rests on theirs, not on the
//! leader's own (rule 14), so nodes tell each other when they call: no acknowledgement comes from one that has not told.

use raft_core::{Membership, NodeId, Stamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

/// How many nodes that wait for a shorter time are remembered. With more nothing rests on a lease any more.
const REMEMBERED: usize = 256;

/// This node's patience, and who has less. Times are those of [`since_start`](crate::driver::since_start).
pub(crate) struct Patience {
    node: NodeId,
    own: Duration,
    shorter: Mutex<Shorter>,
}

#[derive(Default)]
struct Shorter {
    by_peer: BTreeMap<NodeId, Short>,
    /// Not all could be remembered.
    overflown: bool,
}

/// A peer that waits for a shorter time or, as an older version, doesn't say.
struct Short {
    /// Its newest process that has called.
    stamp: Stamp,
    /// It waits for long enough now. By then no lease rests any more on what it acknowledged before.
    ends: Option<Duration>,
}

impl Patience {
    /// Nodes tell each other microseconds.
    pub(crate) fn new(node: NodeId, own: Duration) -> Patience {
        let own = Duration::from_micros(u64::try_from(own.as_micros()).unwrap_or(u64::MAX));
        Patience { node, own, shorter: Mutex::default() }
    }

    fn shorter(&self) -> MutexGuard<'_, Shorter> {
        self.shorter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process of a node called and said how long it waits.
    pub(crate) fn called(&self, peer: NodeId, stamp: Stamp, theirs: Option<Duration>, now: Duration) {
        let mut shorter = self.shorter();
        let known = shorter.by_peer.get_mut(&peer);
        // A call that was long on its way.
        if known.as_ref().is_some_and(|known| known.stamp.disk == stamp.disk && known.stamp.boot > stamp.boot)
        {
            return;
        }
        if theirs.is_some_and(|theirs| theirs >= self.own) {
            if let Some(known) = known {
                known.stamp = stamp;
                if known.ends.is_none() {
                    known.ends = Some(now + self.own);
                    info!(
                        node = self.node.0,
                        peer = peer.0,
                        "the peer waits for a leader for as long as this node again"
                    );
                }
            }
            return;
        }
        if known.is_none_or(|known| known.ends.is_some()) {
            warn!(
                node = self.node.0,
                peer = peer.0,
                ?theirs,
                own = ?self.own,
                "the peer waits for a leader for a shorter time than this node, or does not say: while it votes, lease reads \
                 here ask a quorum; give all nodes the same \"election_timeout\" and \"heartbeat\", and the same version"
            );
        }
        if shorter.by_peer.len() < REMEMBERED || shorter.by_peer.contains_key(&peer) {
            shorter.by_peer.insert(peer, Short { stamp, ends: None });
        } else {
            shorter.overflown = true;
        }
    }

    /// Whether every voter waits for at least as long as this node, and did when it gave what a lease may rest on.
    pub(crate) fn is_shared(&self, membership: &Membership, now: Duration) -> bool {
        let mut shorter = self.shorter();
        shorter.by_peer.retain(|_, short| short.ends.is_none_or(|ends| now < ends));
        !shorter.overflown && !membership.voters().any(|id| shorter.by_peer.contains_key(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Boot, DiskId};

    const OWN: u64 = 500;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn stamp(boot: u64) -> Stamp {
        Stamp { disk: DiskId(7), boot: Boot(boot) }
    }

    fn of_three() -> (Patience, Membership) {
        let patience = Patience::new(NodeId(0), ms(OWN) + Duration::from_nanos(999));
        (patience, Membership::founders([0, 1, 2].map(NodeId)).unwrap())
    }

    #[test]
    fn a_lease_rests_on_voters_of_at_least_this_patience() {
        let (patience, voters) = of_three();
        assert!(patience.is_shared(&voters, ms(0)), "nobody has called: nobody has acknowledged anything");
        patience.called(NodeId(1), stamp(1), Some(ms(OWN)), ms(0));
        patience.called(NodeId(2), stamp(1), Some(ms(OWN + 1)), ms(0));
        patience.called(NodeId(9), stamp(1), Some(ms(1)), ms(0));
        assert!(patience.is_shared(&voters, ms(0)), "who has no vote doesn't count");
        for (boot, shorter) in [(2, Some(ms(OWN - 1))), (4, None)] {
            let start = ms(boot * 10_000);
            patience.called(NodeId(2), stamp(boot), shorter, start);
            assert!(!patience.is_shared(&voters, start + ms(9_000)), "{shorter:?}");
            let later = start + ms(9_000);
            for lane in 0..3 {
                patience.called(NodeId(2), stamp(boot + 1), Some(ms(OWN)), later + ms(lane));
            }
            assert!(
                !patience.is_shared(&voters, later + ms(OWN - 1)),
                "what it acknowledged before may count still"
            );
            assert!(patience.is_shared(&voters, later + ms(OWN)));
        }
    }

    #[test]
    fn an_older_process_is_not_believed() {
        let (patience, voters) = of_three();
        patience.called(NodeId(2), stamp(5), Some(ms(1)), ms(0));
        patience.called(NodeId(2), stamp(4), Some(ms(OWN)), ms(10));
        assert!(!patience.is_shared(&voters, ms(100_000)));
        // Another disk's boots are counted anew.
        let new_disk = Stamp { disk: DiskId(8), boot: Boot(1) };
        patience.called(NodeId(2), new_disk, Some(ms(OWN)), ms(100_000));
        assert!(patience.is_shared(&voters, ms(100_000 + OWN)));
    }

    #[test]
    fn who_is_not_remembered_is_not_forgotten() {
        let (patience, voters) = of_three();
        (10..1000).for_each(|id| patience.called(NodeId(id), stamp(1), None, ms(0)));
        (10..1000).for_each(|id| patience.called(NodeId(id), stamp(1), Some(ms(OWN)), ms(0)));
        assert!(!patience.is_shared(&voters, ms(OWN)), "one of them may vote by now");
    }
}
