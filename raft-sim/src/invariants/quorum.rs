//! The checkers' own arithmetic of quorums (dissertation 4.3), from the standings alone, so that a mistake in the core's
//! can't hide itself.

use raft_core::{Membership, NodeId, Standing};
use std::collections::BTreeSet;

/// The voters of a configuration: of the new half, and of the old one while it is joint.
pub(crate) fn halves(members: &Membership) -> Vec<BTreeSet<NodeId>> {
    let half = |other: &[Standing]| -> BTreeSet<NodeId> {
        let votes = |standing: Standing| standing == Standing::Voter || other.contains(&standing);
        members.members().iter().filter(|member| votes(member.standing)).map(|member| member.id).collect()
    };
    let (new, old) = (half(&[Standing::Joining]), half(&[Standing::Leaving, Standing::Demoting]));
    if new == old { vec![new] } else { vec![new, old] }
}

/// Whether those who said yes are a majority of each half. Learners and entrants are in none.
pub(crate) fn agreed(members: &Membership, yes: impl Fn(NodeId) -> bool) -> bool {
    let (mut new, mut old, mut joint) = ((0, 0), (0, 0), false);
    for member in members.members() {
        let (in_new, in_old) = match member.standing {
            Standing::Voter => (true, true),
            Standing::Joining => (true, false),
            Standing::Leaving | Standing::Demoting => (false, true),
            Standing::Learner | Standing::Entrant => continue,
        };
        joint |= in_new != in_old;
        for (half, votes) in [(&mut new, in_new), (&mut old, in_old)] {
            half.0 += usize::from(votes);
            half.1 += usize::from(votes && yes(member.id));
        }
    }
    let majority = |(all, agreed): (usize, usize)| agreed > all / 2;
    majority(new) && (!joint || majority(old))
}

/// Whether every majority of each half has one of those who said yes.
pub(crate) fn met(members: &Membership, yes: impl Fn(NodeId) -> bool) -> bool {
    halves(members).iter().all(|half| half.iter().filter(|id| !yes(**id)).count() < half.len() / 2 + 1)
}

/// Whether every quorum of one configuration shares a voter with every quorum of the other: some half of the one and
/// some half of the other are so much alike that two majorities of them can't be apart.
pub(crate) fn intersect(one: &Membership, other: &Membership) -> bool {
    let others = halves(other);
    let majority = |half: &BTreeSet<NodeId>| half.len() / 2 + 1;
    halves(one).iter().any(|a| others.iter().any(|b| majority(a) + majority(b) > a.union(b).count()))
}
