//! At most one leader in a term (Figure 3), over restarts: winning one term twice breaks it too. And a leader has the
//! votes of a quorum, each sent once and durable, to this very process; and no quorum is without one of those who compared
//! their logs with its own.

use super::{
    Broken,
    cluster::{Cluster, quorum_of_any},
    demand, quorum,
};
use crate::facts::Class;
use raft_core::{Membership, NodeId, Stamp, Term};
use std::collections::BTreeMap;

/// The name of this invariant.
pub const NAME: &str = "election_safety";

/// Who led each term.
#[derive(Clone, Debug, Default)]
pub(crate) struct ElectionSafety {
    leaders: BTreeMap<Term, (NodeId, Stamp)>,
}

impl ElectionSafety {
    /// A process leads a term, or speaks as if it did. Whether that is news.
    pub(crate) fn claim(&mut self, term: Term, node: NodeId, stamp: Stamp) -> Result<bool, Broken> {
        let Some(&(earlier, its)) = self.leaders.get(&term) else {
            self.leaders.insert(term, (node, stamp));
            return Ok(true);
        };
        demand((earlier, its) == (node, stamp), NAME, Class::Safety, || {
            format!(
                "node {node} (boot {}) leads term {term}, which node {earlier} (boot {}) has led",
                stamp.boot, its.boot
            )
        })?;
        Ok(false)
    }

    /// Who led a term.
    pub(crate) fn leader_of(&self, term: Term) -> Option<(NodeId, Stamp)> {
        self.leaders.get(&term).copied()
    }

    /// The newest term that anybody led, and who.
    pub(crate) fn newest(&self) -> Option<(Term, NodeId)> {
        self.leaders.last_key_value().map(|(term, (node, _))| (*term, *node))
    }
}

/// A node has won an election: by whose votes? What counts is a configuration that was in force in its log in the turn.
/// Whether blind ones were needed.
pub(crate) fn elected(cluster: &Cluster, node: NodeId, term: Term) -> Result<bool, Broken> {
    let winner = cluster.seat(node);
    let voted = |members: &Membership, voter: NodeId, blindly: bool| {
        if voter == node {
            return winner.ledger.vote_in(term) == Some(node) && members.on_record(node, winner.stamp.disk);
        }
        let disk = members.get(voter).and_then(|member| member.disk);
        let vote = disk.and_then(|disk| cluster.find(voter)?.votes.get(&(term, disk)));
        let vote = vote.filter(|vote| vote.candidate == node && vote.asker == winner.stamp);
        vote.is_some_and(|vote| vote.compared || blindly)
    };
    let compared = |members: &&Membership| quorum::met(members, |voter| voted(members, voter, false));
    let counted = |blindly: bool| {
        let configurations = winner.in_play().iter().filter(compared);
        quorum_of_any(configurations, |members, voter| voted(members, voter, blindly))
    };
    counted(true).or_else(|(voters, all)| {
        demand(false, NAME, Class::Safety, || {
            format!(
                "node {node} leads term {term} with the votes of {voters:?} of {all} members, which are no quorum, or too few \
                 of them compared the logs"
            )
        })
    })?;
    Ok(counted(false).is_err())
}
