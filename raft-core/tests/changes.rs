//! How configurations follow each other, for arbitrary configurations and changes (dissertation 4.2 and 4.3).
#![allow(clippy::unwrap_used)] // helpers outside of test functions are tests, too

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use raft_core::{Change, DiskId, Member, Membership, NodeId, Refusal, Standing};
use std::collections::BTreeSet;

/// A member that is not in the middle of a change.
fn member(id: u64) -> impl Strategy<Value = Member> {
    let standing =
        prop_oneof![3 => Just(Standing::Voter), 1 => Just(Standing::Learner), 1 => Just(Standing::Entrant)];
    (standing, 0..5_u8).prop_map(move |(standing, disk)| {
        let mut member = Member::new(NodeId(id), standing, "".into());
        match disk {
            0 => {}
            1 if !standing.votes() => member.replaced = Some(DiskId(200 + id)),
            _ => member.disk = Some(DiskId(100 + id)),
        }
        member
    })
}

/// A configuration that is not joint, of some of the ids 0 to 6.
fn settled() -> impl Strategy<Value = Membership> {
    let members: Vec<_> = (0..7).map(|id| option::weighted(0.7, member(id))).collect();
    members.prop_filter_map("somebody votes", |drawn| Membership::new(drawn.into_iter().flatten().collect()))
}

fn change() -> impl Strategy<Value = Change> {
    let id = || (0..8_u64).prop_map(NodeId);
    prop_oneof![
        (id(), any::<bool>()).prop_map(|(id, votes)| Change::Add { id, context: "".into(), votes }),
        id().prop_map(|id| Change::Promote { id }),
        id().prop_map(|id| Change::Demote { id }),
        id().prop_map(|id| Change::Remove { id }),
        id().prop_map(|id| Change::Replace { id, context: None }),
        id().prop_map(|id| Change::Update { id, context: "a".into() }),
    ]
}

/// A configuration and one that changes lead it to. A change that is refused is left out.
fn changed() -> impl Strategy<Value = (Membership, Vec<Change>, Membership)> {
    (settled(), vec(change(), 1..6)).prop_filter_map("something changes", |(before, drawn)| {
        let mut changes: Vec<Change> = Vec::new();
        let mut after = None;
        for change in drawn {
            changes.push(change);
            match before.change(&changes) {
                Ok(membership) => after = Some(membership),
                Err(_) => drop(changes.pop()),
            }
        }
        Some((before, changes, after?))
    })
}

/// A process that votes: a member with one of its disks. Bit 2n of a set is the member n with the disk that it has had,
/// bit 2n + 1 the one with a new disk.
fn counts(membership: &Membership, set: u32) -> bool {
    membership.is_quorum(|id| match membership.get(id).and_then(|member| member.disk) {
        None => false,
        Some(DiskId(disk)) => set >> (2 * id.0 + u64::from(disk >= 300)) & 1 == 1,
    })
}

/// Whether every quorum of processes of one has a process in common with every one of the other.
fn overlap(a: &Membership, b: &Membership) -> bool {
    let ids: BTreeSet<u64> = a.voters().chain(b.voters()).map(|id| id.0).collect();
    let bits: Vec<u32> = ids.iter().flat_map(|id| [1 << (2 * id), 2 << (2 * id)]).collect();
    let disks = |m: &Membership| -> u32 {
        let bit =
            |member: &Member| member.disk.map_or(0, |disk| 1 << (2 * member.id.0 + u64::from(disk.0 >= 300)));
        m.members().iter().map(bit).sum()
    };
    let used: Vec<u32> = bits.into_iter().filter(|bit| (disks(a) | disks(b)) & bit != 0).collect();
    (0..1_u32 << used.len()).all(|chosen| {
        let set = used.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, bit)| bit).sum();
        !(counts(a, set) && counts(b, !set))
    })
}

/// A new disk for each member that has none on record.
fn recorded(membership: &Membership) -> Membership {
    membership.with_disks(|id| {
        membership.get(id).is_some_and(|member| member.disk.is_none()).then_some(DiskId(300 + id.0))
    })
}

proptest! {
    /// Dissertation 4.3: each decision in the joint configuration needs majorities of the old and of the new voters, so
    /// at no point can the two make decisions on their own. A disk that comes or goes changes nothing of that.
    #[test]
    fn configurations_that_follow_each_other_have_no_disjoint_quorums((before, changes, after) in changed()) {
        prop_assert!(overlap(&before, &after), "{changes:?}");
        prop_assert!(overlap(&after, &recorded(&after)), "{changes:?}");
        if let Some(left) = after.leave() {
            prop_assert!(overlap(&after, &left), "{changes:?}");
            prop_assert!(overlap(&recorded(&after), &recorded(&after).leave().unwrap()), "{changes:?}");
            prop_assert!(overlap(&left, &recorded(&left)), "{changes:?}");
        }
    }

    /// A joint configuration's old half is what was in force; whatever leaves the voters alone isn't joint.
    #[test]
    fn the_old_half_is_what_was_in_force((before, changes, after) in changed()) {
        prop_assert!(after.old_half().eq(before.voters()));
        prop_assert_eq!(after.is_joint(), !after.new_half().eq(before.voters()), "{:?}", changes);
    }

    /// The new half is what was asked for: nobody votes who was not promoted, and nobody stops who was not named.
    #[test]
    fn the_new_half_is_what_was_asked_for((before, changes, after) in changed()) {
        let mut expected: BTreeSet<NodeId> = before.voters().collect();
        for change in &changes {
            match change {
                Change::Promote { id } => { expected.insert(*id); }
                Change::Demote { id } | Change::Remove { id } | Change::Replace { id, .. } => { expected.remove(id); }
                Change::Add { .. } | Change::Update { .. } => {}
            }
        }
        prop_assert_eq!(after.new_half().collect::<BTreeSet<_>>(), expected);
        let left = after.leave().unwrap_or_else(|| after.clone());
        for member in before.members() {
            match changes.iter().find(|change| change.id() == member.id) {
                None => prop_assert_eq!(left.get(member.id), Some(member)),
                Some(Change::Remove { .. }) => prop_assert_eq!(left.get(member.id), None),
                Some(Change::Replace { .. }) => {
                    let now = left.get(member.id).unwrap();
                    prop_assert_eq!((now.disk, now.replaced), (None, member.disk.or(member.replaced)));
                    let standing = if member.standing.votes() { Standing::Entrant } else { member.standing };
                    prop_assert_eq!(now.standing, standing, "it comes back as what it was");
                }
                Some(_) => prop_assert!(left.get(member.id).is_some()),
            }
        }
    }

    /// Dissertation 4.3: after the joint configuration the new one alone is in force.
    #[test]
    fn what_follows_a_joint_configuration_is_its_new_half((_, changes, after) in changed()) {
        match after.leave() {
            None => prop_assert!(!after.is_joint(), "{changes:?}"),
            Some(left) => {
                prop_assert!(after.is_joint() && !left.is_joint());
                prop_assert!(left.voters().eq(after.new_half()), "{changes:?}");
                prop_assert_eq!(left.leave(), None, "once is enough");
            }
        }
    }

    /// What a change leads to is a configuration on the disk and on the wire, too.
    #[test]
    fn what_a_change_leads_to_can_be_written_and_read((_, _, after) in changed()) {
        for membership in [Some(after.clone()), after.leave(), Some(recorded(&after))].into_iter().flatten() {
            prop_assert_eq!(Membership::decode(&membership.encode()), Some(membership));
        }
    }

    /// Several changes are one, so their order is of no matter, and none may be named twice.
    #[test]
    fn changes_made_at_once_have_no_order((before, mut changes, after) in changed(), extra in change()) {
        changes.reverse();
        prop_assert_eq!(before.change(&changes), Ok(after));
        let named = changes.iter().any(|change| change.id() == extra.id());
        changes.push(extra);
        if named {
            prop_assert_eq!(before.change(&changes), Err(Refusal::NotAConfiguration));
        }
    }
}

fn with(members: &[(u64, Standing, Option<u64>)]) -> Membership {
    let member = |&(id, standing, disk): &(u64, Standing, Option<u64>)| Member {
        disk: disk.map(DiskId),
        ..Member::new(NodeId(id), standing, "".into())
    };
    Membership::new(members.iter().map(member).collect()).unwrap()
}

/// Each refusal that depends on the configuration alone.
#[test]
fn what_makes_no_sense_is_refused_and_says_why() {
    use Standing::{Entrant, Learner, Voter};
    let three =
        with(&[(1, Voter, Some(101)), (2, Voter, Some(102)), (3, Learner, None), (4, Entrant, Some(104))]);
    let id = NodeId;
    let cases = [
        (vec![], Refusal::NoChange),
        (vec![Change::Update { id: id(1), context: "".into() }], Refusal::NoChange),
        (vec![Change::Demote { id: id(3) }], Refusal::NoChange),
        (vec![Change::Replace { id: id(3), context: None }], Refusal::NoChange),
        (
            vec![Change::Add { id: id(1), context: "".into(), votes: true }],
            Refusal::AlreadyMember { id: id(1) },
        ),
        (vec![Change::Promote { id: id(9) }], Refusal::UnknownMember { id: id(9) }),
        (vec![Change::Remove { id: id(9) }], Refusal::UnknownMember { id: id(9) }),
        (vec![Change::Promote { id: id(1) }], Refusal::AlreadyVoter { id: id(1) }),
        (vec![Change::Promote { id: id(3) }], Refusal::NotCaughtUp { id: id(3) }),
        (vec![Change::Remove { id: id(1) }, Change::Demote { id: id(2) }], Refusal::NotAConfiguration),
        (vec![Change::Remove { id: id(1) }, Change::Remove { id: id(1) }], Refusal::NotAConfiguration),
        (vec![Change::Update { id: id(1), context: vec![0; 65_536].into() }], Refusal::NotAConfiguration),
    ];
    for (changes, refusal) in cases {
        assert_eq!(three.change(&changes), Err(refusal), "{changes:?}");
    }
    assert!(three.change(&[Change::Demote { id: id(4) }]).is_ok(), "an entrant may be made a learner");
}
