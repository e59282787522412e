//! Who can't lead doesn't: a leader that has heard no quorum for an election timeout steps down, and so does one whose
//! disk lets a write wait as long (rule 15 of DESIGN). It looks at that with each heartbeat, so that twice as
//! long is never right. Asked only where the clocks are good.

use super::{
    Rules, Verdict,
    cluster::{Cluster, quorum_of_any},
    demand,
};
use crate::facts::{Class, Time};
use raft_core::{Index, NodeId, RoleName, Status};
use std::collections::{BTreeMap, VecDeque};

/// The name of the invariant that a leader has a quorum.
pub const QUORUM: &str = "leads_with_a_quorum";
/// The name of the invariant that a leader has a disk.
pub const DISK: &str = "leads_with_a_disk";

/// How many election timeouts on the slowest clock.
const LATE: Time = 2;

/// What a seat's process has heard and written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Since when it leads.
    led: Option<Time>,
    /// Where the configuration in force stands, and since when it is.
    configured: (Index, Time),
    /// When anything of each other node reached it last.
    heard: BTreeMap<NodeId, Time>,
    /// When its writes that are not durable were handed to the disk.
    writes: VecDeque<(u64, Time)>,
}

impl Standing {
    /// A message reaches it.
    pub(crate) fn heard(&mut self, at: Time, from: NodeId) {
        self.heard.insert(from, at);
    }

    /// A write is handed to its disk.
    pub(crate) fn wrote(&mut self, at: Time, number: u64) {
        self.writes.push_back((number, at));
    }

    /// Its writes are durable up to a number.
    pub(crate) fn synced(&mut self, through: u64) {
        while self.writes.pop_front_if(|(number, _)| *number <= through).is_some() {}
    }
}

/// A turn is over, and the cluster knows it.
pub(crate) fn stepped(
    cluster: &mut Cluster,
    rules: &Rules,
    at: Time,
    node: NodeId,
    status: &Status,
) -> Verdict {
    let own = &mut cluster.seat_mut(node).standing;
    if own.configured.0 != status.membership_at {
        own.configured = (status.membership_at, at);
    }
    if status.role != RoleName::Leader {
        own.led = None;
        return Ok(());
    }
    let led = *own.led.get_or_insert(at);
    let patience = LATE * rules.election_timeout;
    if !rules.lease || at < led + patience {
        return Ok(());
    }
    if let Some((number, written)) = own.writes.front() {
        demand(at < written + patience, DISK, Class::Liveness, || {
            format!(
                "node {node} leads term {}, and its write {number} has waited since {written} us",
                status.term
            )
        })?;
    }
    // A member that comes anew, or with another disk, has as long to be heard as any other; and without a quorum there is
    // one such change at the most.
    if at < own.configured.1 + patience {
        return Ok(());
    }
    let seat = cluster.seat(node);
    let heard = |voter: NodeId| seat.standing.heard.get(&voter).is_some_and(|heard| at < heard + patience);
    quorum_of_any(seat.in_play(), |_, voter| voter == node || heard(voter)).or_else(|(voters, all)| {
        demand(false, QUORUM, Class::Liveness, || {
            format!(
                "node {node} leads term {}, and in {patience} us has heard only {voters:?} of {all} members",
                status.term
            )
        })
    })
}
