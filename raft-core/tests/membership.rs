//! The arithmetic of quorums against its definition, for arbitrary configurations.
#![allow(clippy::unwrap_used)] // helpers outside of test functions are tests, too

use proptest::collection::vec;
use proptest::prelude::*;
use raft_core::{Index, Member, Membership, NodeId, Standing};

const STANDINGS: [Standing; 6] = [
    Standing::Voter,
    Standing::Learner,
    Standing::Entrant,
    Standing::Joining,
    Standing::Leaving,
    Standing::Demoting,
];

/// Up to nine members with any standings, and an index for each.
fn configuration() -> impl Strategy<Value = (Membership, Vec<u64>)> {
    let standings = vec(prop::sample::select(&STANDINGS[..]), 1..10);
    let membership = standings.prop_filter_map("somebody votes in each half", |standings| {
        let member = |(id, standing)| Member::new(NodeId(id), standing, "".into());
        Membership::new((0..).zip(standings).map(member).collect())
    });
    (membership, vec(0..6_u64, 9))
}

/// Whether more than half of these said yes.
fn majority(voters: impl Iterator<Item = NodeId>, yes: impl Fn(NodeId) -> bool) -> bool {
    let all: Vec<NodeId> = voters.collect();
    2 * all.iter().filter(|id| yes(**id)).count() > all.len()
}

proptest! {
    /// Dissertation 4.3: a joint decision needs a majority of the old voters and one of the new ones.
    #[test]
    fn a_quorum_is_a_majority_of_each_half((membership, said) in configuration()) {
        let yes = |id: NodeId| said[id.0 as usize] < 3;
        let both = majority(membership.old_half(), yes) && majority(membership.new_half(), yes);
        prop_assert_eq!(membership.is_quorum(yes), both);
    }

    /// The quorum index is the highest one that a quorum has reached.
    #[test]
    fn the_quorum_index_is_the_highest_that_a_quorum_reached((membership, reached) in configuration()) {
        let index = |id: NodeId| Index(reached[id.0 as usize]);
        let highest = (0..6).rev().find(|at| membership.is_quorum(|id| index(id) >= Index(*at)));
        prop_assert_eq!(membership.quorum_index(index), Index(highest.unwrap()));
    }

    /// Two quorums of a configuration always have a voter in common (the reason why there is one leader a term).
    #[test]
    fn two_quorums_overlap((membership, said) in configuration()) {
        let yes = |id: NodeId| said[id.0 as usize] < 3;
        prop_assert!(!(membership.is_quorum(yes) && membership.is_quorum(|id| !yes(id))));
    }

    /// Those whom every quorum meets are half of each half, or more; a quorum without any of them there can't be.
    #[test]
    fn every_quorum_meets_half_of_the_voters((membership, said) in configuration()) {
        let yes = |id: NodeId| said[id.0 as usize] < 3;
        let met = |voters: &mut dyn Iterator<Item = NodeId>| !majority(voters, |id| !yes(id));
        let both = met(&mut membership.old_half()) && met(&mut membership.new_half());
        prop_assert_eq!(membership.meets_quorums(yes), both);
        prop_assert!(!(both && membership.is_quorum(|id| !yes(id))));
    }

    /// Learners change no decision.
    #[test]
    fn learners_never_count((membership, said) in configuration()) {
        let learner = |id| membership.get(id).is_some_and(|member| !member.standing.votes());
        let yes = |id: NodeId| said[id.0 as usize] < 3;
        prop_assert_eq!(membership.is_quorum(yes), membership.is_quorum(|id| yes(id) || learner(id)));
    }
}
