//! With pre-vote, nobody stands for election before a quorum has said to this very process that it would vote for it
//! (dissertation 9.6); a leader that hands over is reason enough as well.

use super::{Verdict, cluster::Cluster, demand};
use crate::facts::Class;
use raft_core::{Membership, NodeId, Term};

/// The name of this invariant.
pub const NAME: &str = "pre_vote";

/// A request for votes leaves a node. A voter that has meanwhile answered the same process for a later term had been
/// asked for this one.
pub(crate) fn stands(cluster: &Cluster, node: NodeId, term: Term) -> Verdict {
    let seat = cluster.seat(node);
    let nobody = Membership::default();
    let members = seat.members.as_ref().unwrap_or(&nobody);
    let would = |voter: NodeId| {
        let heard = cluster.find(voter).and_then(|voter| voter.pre_votes.get(&seat.stamp));
        voter == node || heard.is_some_and(|heard| heard.term >= term && members.on_record(voter, heard.disk))
    };
    demand(members.is_quorum(would), NAME, Class::Safety, || {
        let would: Vec<u64> =
            members.members().iter().map(|member| member.id).filter(|id| would(*id)).map(|id| id.0).collect();
        format!(
            "node {node} stands for election in term {term}; only {would:?} of {} members would vote for this process",
            members.members().len()
        )
    })
}
