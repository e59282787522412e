//! When the leader's process dies, the system closes its streams, and every follower knows at once. None may stand for
//! election before the minimal election timeout has passed since the leader's last word (rule 14), and the core sees to
//! that; but nobody has to wait for a random time on top of it. So the followers stand one after another, in an order
//! that all of them know. What is only a hint to the core can't make it unsafe.

use raft_core::{Membership, NodeId};
use std::time::Duration;
use tokio::time::Instant;

/// Whether this node is about to stand for election, because the leader seems to be gone.
pub(super) struct Succession {
    node: NodeId,
    /// How long after the leader's end the first in line may stand.
    patience: Duration,
    /// How long after the one before the next in line stands: enough for an election.
    turn: Duration,
    gone: Option<Gone>,
}

/// The leader whose stream ended, when, and when this node may stand.
#[derive(Clone, Copy)]
struct Gone {
    leader: NodeId,
    since: Instant,
    stand: Instant,
}

impl Succession {
    /// For this node.
    pub(super) fn new(node: NodeId, patience: Duration, turn: Duration) -> Succession {
        Succession { node, patience, turn, gone: None }
    }

    /// The stream of a peer ended. Only the leader's matters, and only to the voters of the configuration in force: they
    /// stand in the order of their ids, from the leader's on.
    pub(super) fn ended(
        &mut self,
        peer: NodeId,
        leader: Option<NodeId>,
        membership: &Membership,
        now: Instant,
    ) {
        if leader == Some(peer) && membership.is_voter(self.node) {
            // The ids behind the leader's come first, then those before it.
            let place = |id: NodeId| (id < peer, id);
            let before = |id: &NodeId| *id != peer && place(*id) < place(self.node);
            let in_line = u32::try_from(membership.voters().filter(before).count()).unwrap_or(u32::MAX);
            let stand = now + self.patience + self.turn.saturating_mul(in_line);
            self.gone = Some(Gone { leader: peer, since: now, stand });
        }
    }

    /// The peer is there after all, unless this is what its other stream still held.
    pub(super) fn heard(&mut self, peer: NodeId, now: Instant) {
        if self.gone.is_some_and(|gone| gone.leader == peer && now > gone.since + self.turn) {
            self.gone = None;
        }
    }

    /// Whether to stand now. Said once; by then another may lead.
    pub(super) fn is_due(&mut self, leader: Option<NodeId>, now: Instant) -> bool {
        let Some(gone) = self.gone.filter(|gone| gone.stand <= now) else { return false };
        self.gone = None;
        leader.is_none_or(|leader| leader == gone.leader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters() -> Membership {
        Membership::founders([4, 7, 9].map(NodeId)).unwrap()
    }

    fn of(node: u64) -> Succession {
        Succession::new(NodeId(node), Duration::from_millis(500), Duration::from_millis(20))
    }

    #[test]
    fn followers_stand_one_after_another() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let leader = Some(NodeId(7));
        let (mut first, mut second) = (of(9), of(4));
        first.ended(NodeId(7), leader, &voters(), start);
        second.ended(NodeId(7), leader, &voters(), start);
        assert!(!first.is_due(leader, after(499)));
        first.heard(NodeId(7), after(2));
        assert!(
            first.is_due(leader, after(500)),
            "what was under way when the stream ended is no sign of life"
        );
        assert!(!first.is_due(leader, after(900)), "once");
        assert!(!second.is_due(leader, after(519)));
        assert!(second.is_due(leader, after(520)));
    }

    #[test]
    fn who_does_not_vote_does_not_stand() {
        let start = Instant::now();
        let mut learner = of(5);
        learner.ended(NodeId(7), Some(NodeId(7)), &voters(), start);
        assert!(!learner.is_due(Some(NodeId(7)), start + Duration::from_secs(9)));
    }

    #[test]
    fn a_leader_that_is_heard_again_or_replaced_has_no_successor() {
        let start = Instant::now();
        let late = start + Duration::from_secs(1);
        let leader = Some(NodeId(7));
        let mut follower = of(9);
        follower.ended(NodeId(4), leader, &voters(), start);
        assert!(!follower.is_due(leader, late), "not the leader's stream");
        follower.ended(NodeId(7), leader, &voters(), start);
        follower.heard(NodeId(4), start + Duration::from_millis(100));
        follower.heard(NodeId(7), start + Duration::from_millis(100));
        assert!(!follower.is_due(leader, late));
        follower.ended(NodeId(7), leader, &voters(), start);
        assert!(!follower.is_due(Some(NodeId(4)), late));
    }
}
