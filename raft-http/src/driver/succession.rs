//! When the leader's process dies, the system closes its streams, and every follower knows at once. None may stand for
//! election before the minimal election timeout has passed since the leader's last word (rule 14), and the core sees to
//! that; but nobody has to wait for a random time on top of it. So the followers stand one after another, in an order
//! that all of them know. What is only a hint to the core can't make it unsafe.

use raft_core::NodeId;
use std::time::Duration;
use tokio::time::Instant;

/// Whether this node is about to stand for election, because the leader seems to be gone.
pub(super) struct Succession {
    node: NodeId,
    nodes: u64,
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
    /// For this node among nodes 0 to `nodes` - 1.
    pub(super) fn new(node: NodeId, nodes: u64, patience: Duration, turn: Duration) -> Succession {
        Succession { node, nodes, patience, turn, gone: None }
    }

    /// The stream of a peer ended. Only the leader's matters.
    pub(super) fn ended(&mut self, peer: NodeId, leader: Option<NodeId>, now: Instant) {
        if leader == Some(peer) {
            let after = (self.node.0 + self.nodes - peer.0 - 1) % self.nodes;
            let in_line = u32::try_from(after).unwrap_or(u32::MAX);
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

    fn of(node: u64) -> Succession {
        Succession::new(NodeId(node), 3, Duration::from_millis(500), Duration::from_millis(20))
    }

    #[test]
    fn followers_stand_one_after_another() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let leader = Some(NodeId(1));
        let (mut first, mut second) = (of(2), of(0));
        first.ended(NodeId(1), leader, start);
        second.ended(NodeId(1), leader, start);
        assert!(!first.is_due(leader, after(499)));
        first.heard(NodeId(1), after(2));
        assert!(
            first.is_due(leader, after(500)),
            "what was under way when the stream ended is no sign of life"
        );
        assert!(!first.is_due(leader, after(900)), "once");
        assert!(!second.is_due(leader, after(519)));
        assert!(second.is_due(leader, after(520)));
    }

    #[test]
    fn a_leader_that_is_heard_again_or_replaced_has_no_successor() {
        let start = Instant::now();
        let late = start + Duration::from_secs(1);
        let leader = Some(NodeId(1));
        let mut follower = of(2);
        follower.ended(NodeId(0), leader, start);
        assert!(!follower.is_due(leader, late), "not the leader's stream");
        follower.ended(NodeId(1), leader, start);
        follower.heard(NodeId(0), start + Duration::from_millis(100));
        follower.heard(NodeId(1), start + Duration::from_millis(100));
        assert!(!follower.is_due(leader, late));
        follower.ended(NodeId(1), leader, start);
        assert!(!follower.is_due(Some(NodeId(0)), late));
    }
}
