//! What a leader has heard acknowledged, it doesn't ask for again: a late rejection never moves its idea of a
//! follower's log below what is matched (rule 9 of DESIGN).

use super::{
    Verdict,
    cluster::{Cluster, Seat},
    demand,
};
use crate::facts::Class;
use raft_core::{Index, Message, NodeId};

/// The name of this invariant.
pub const NAME: &str = "progress";

/// An acknowledgement reaches a node. Only what the running process of a member says counts.
pub(crate) fn heard(cluster: &mut Cluster, node: NodeId, from: NodeId, message: &Message, matched: Index) {
    let seat = cluster.seat(node);
    let current = seat.leading().is_some_and(|status| status.term == message.term)
        && message.to == Some(seat.stamp)
        && cluster.find(from).is_some_and(|sender| sender.stamp == message.from);
    let recorded = seat.members().is_some_and(|members| members.on_record(from, message.from.disk));
    if current && recorded && matched <= seat.log.last().index {
        let known = cluster.seat_mut(node).matched.entry(from).or_default();
        *known = matched.max(*known);
    }
}

/// An append leaves a node; `prev` is the entry before its first.
pub(crate) fn sent(seat: &Seat, node: NodeId, to: NodeId, message: &Message, prev: Index) -> Verdict {
    let matched = seat.matched.get(&to).copied().unwrap_or_default();
    demand(seat.led != Some(message.term) || prev >= matched, NAME, Class::Safety, || {
        format!(
            "node {node} was told in term {} that node {to} holds everything to {matched}, and asks it again about {prev}",
            message.term
        )
    })
}
