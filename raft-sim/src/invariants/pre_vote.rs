//! With pre-vote, nobody stands for election before a quorum has said to this very process that it would vote for it
//! (dissertation 9.6); a leader that hands over is reason enough as well.

use super::{Verdict, cluster::Cluster, demand, quorum};
use crate::facts::Class;
use raft_core::{NodeId, Term};

/// The name of this invariant.
pub const NAME: &str = "pre_vote";
/// The name of the invariant that only voters stand for election (rule 10 of DESIGN): by the newest configuration that is
/// known as committed, or a later one in the log, since any of these may be the newest committed one. Or who was taken for a
/// voter by a candidate: it may be the only one that can still be elected.
pub const VOTER: &str = "only_voters_stand";

/// A request for votes leaves a node. A voter that has meanwhile answered the same process for a later term had been
/// asked for this one. `asks`: whether pre-votes are due. What counts is the configuration that was in force in its log
/// when it began to stand.
pub(crate) fn stands(cluster: &Cluster, node: NodeId, term: Term, asks: bool) -> Verdict {
    let seat = cluster.seat(node);
    let Some((_, members)) = seat.stands_by.as_ref().filter(|(stood, _)| *stood == term) else {
        return Ok(());
    };
    demand(seat.stands_as_voter, VOTER, Class::Safety, || {
        format!(
            "node {node} stands for election in term {term}, and doesn't vote by any configuration in its log that may \
             be the committed one, nor was asked to"
        )
    })?;
    if !asks {
        return Ok(());
    }
    let would = |voter: NodeId| {
        let disk = members.get(voter).and_then(|member| member.disk);
        let heard = disk.and_then(|disk| cluster.find(voter)?.pre_votes.get(&(seat.stamp, disk)));
        voter == node || heard.is_some_and(|heard| heard.term >= term)
    };
    demand(quorum::agreed(members, would), NAME, Class::Safety, || {
        let would: Vec<u64> =
            members.members().iter().map(|member| member.id).filter(|id| would(*id)).map(|id| id.0).collect();
        format!(
            "node {node} stands for election in term {term}; only {would:?} of {} members would vote for this process",
            members.members().len()
        )
    })
}
