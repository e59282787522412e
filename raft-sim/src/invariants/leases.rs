//! A leader's lease (dissertation 6.4.1): it runs from when the newest round began that a quorum of the configuration in
//! force has answered, for less than an election timeout; while it runs nobody else has committed; and once a hand-over
//! has left there is none for the rest of the term (rule 14 of DESIGN). Asked only where the clocks are as good as the
//! nodes take them to be.

use super::{
    Rules, Verdict,
    cluster::{Cluster, quorum_of_any},
    demand,
    leader_completeness::LeaderCompleteness,
    reads,
};
use crate::coverage::{Coverage, Mark};
use crate::facts::{Class, Time};
use raft_core::{Index, Membership, NodeId, Round};

/// The name of this invariant.
pub const NAME: &str = "leases";

/// A read is answered, with no round since it was asked.
pub(crate) fn answered(
    cluster: &Cluster,
    rules: &Rules,
    committed: &LeaderCompleteness,
    coverage: &mut Coverage,
    at: Time,
    node: NodeId,
    index: Index,
) -> Verdict {
    coverage.reach(Mark::LeaseReads);
    if !rules.lease {
        return Ok(());
    }
    let seat = cluster.seat(node);
    let fails = |said: &str| {
        demand(false, NAME, Class::Linearizability, || {
            format!("node {node} serves a read at {index} by its lease, but {said}")
        })
    };
    let Some(term) = seat.leading().map(|status| status.term) else { return fails("it doesn't lead") };
    if seat.handed_over == Some(term) {
        return fails("it has handed over in this term");
    }
    let newest = committed.newest_term();
    if newest > term {
        return fails(&format!("it leads term {term}, and the leader of term {newest} has committed"));
    }
    // The newest round that a quorum has answered, by a configuration that was in force in this very turn.
    let confirmed = |round: Round| {
        let answered = |members: &Membership, voter| {
            reads::heard_round(cluster, node, members, voter, term) >= Some(round)
        };
        quorum_of_any(seat.in_play(), answered).is_ok()
    };
    let alone = confirmed(Round(u64::MAX));
    let newest = seat.rounds.iter().rev().find(|(round, _)| confirmed(**round));
    let Some((_, (begun, ticks))) = newest else {
        return if alone { Ok(()) } else { fails("no quorum has answered any of its rounds") };
    };
    let age = at - begun;
    if !alone && age >= rules.election_timeout {
        return fails(&format!("the newest round that a quorum has answered began {age} us ago"));
    }
    if seat.ticks - ticks + 1 >= rules.lease_ticks {
        coverage.reach(Mark::LeaseReadNearEnd);
    }
    Ok(())
}
