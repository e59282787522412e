//! Configurations: who belongs, who votes, and the arithmetic of quorums (dissertation 4.3).

use crate::ids::{DiskId, Index, NodeId};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

/// What a member may do. While a configuration is joint there are two sets of voters, the old and the new; every
/// decision needs a quorum in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Votes, in both halves while joint.
    Voter,
    /// Receives the log and counts in no quorum.
    Learner,
    /// A learner that the leader makes a voter on its own as soon as it has caught up (dissertation 4.2.1).
    Entrant,
    /// Votes in the new half only.
    Joining,
    /// Votes in the old half only, and is removed afterwards.
    Leaving,
    /// Votes in the old half only, and is a learner afterwards; an entrant if its disk is being replaced.
    Demoting,
}

impl Standing {
    /// Whether it votes, in either half.
    pub fn votes(self) -> bool {
        !matches!(self, Standing::Learner | Standing::Entrant)
    }
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Who.
    pub id: NodeId,
    /// The data directory that this member's votes and acknowledgements must come from; `None` until it is on record.
    pub disk: Option<DiskId>,
    /// The data directory that was given up for this member, while no new one is on record: it must not come back.
    pub replaced: Option<DiskId>,
    /// What it may do.
    pub standing: Standing,
    /// Addresses and the like: the core carries it and never looks inside.
    pub context: Bytes,
}

impl Member {
    /// A member without a disk on record.
    pub fn new(id: NodeId, standing: Standing, context: Bytes) -> Member {
        Member { id, disk: None, replaced: None, standing, context }
    }
}

/// A configuration: its members in order of their ids. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    members: Arc<[Member]>,
}

impl Membership {
    /// A configuration of these members; `None` if two have the same id, a member has a disk on record and a replaced one,
    /// nobody votes, or its encoding is longer than [`Membership::MOST_BYTES`].
    pub fn new(mut members: Vec<Member>) -> Option<Membership> {
        members.sort_by_key(|member| member.id);
        let distinct = members.iter().zip(members.iter().skip(1)).all(|(a, b)| a.id != b.id);
        let one_disk = members.iter().all(|member| member.disk.is_none() || member.replaced.is_none());
        let membership = Membership { members: members.into() };
        (distinct
            && one_disk
            && membership.size() <= Membership::MOST_BYTES
            && membership.new_half().next().is_some()
            && membership.old_half().next().is_some())
        .then_some(membership)
    }

    /// The longest encoding of a configuration, in bytes: it travels whole with an append and with each part of a snapshot.
    pub const MOST_BYTES: usize = 1 << 16;

    /// The length of the encoding in bytes.
    pub(crate) fn size(&self) -> usize {
        2 + self.members.iter().map(|member| 20 + member.context.len()).sum::<usize>()
    }

    /// Voters with these ids, their disks not on record yet: what a cluster is founded with.
    pub fn founders(ids: impl IntoIterator<Item = NodeId>) -> Option<Membership> {
        Membership::new(ids.into_iter().map(|id| Member::new(id, Standing::Voter, Bytes::new())).collect())
    }

    /// All members, by id.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this id.
    pub fn get(&self, id: NodeId) -> Option<&Member> {
        self.members.binary_search_by_key(&id, |member| member.id).ok().and_then(|at| self.members.get(at))
    }

    /// Whether this member votes, in either half.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|member| member.standing.votes())
    }

    /// Whether two sets of voters are in force.
    pub fn is_joint(&self) -> bool {
        self.members.iter().any(|member| {
            matches!(member.standing, Standing::Joining | Standing::Leaving | Standing::Demoting)
        })
    }

    /// Whether `id` is a member whose disk on record is `disk`: only then do its votes and acknowledgements count.
    pub fn on_record(&self, id: NodeId, disk: DiskId) -> bool {
        self.get(id).is_some_and(|member| member.disk == Some(disk))
    }

    /// The same members with disks from `disk_of` where it has one.
    pub fn with_disks(&self, disk_of: impl Fn(NodeId) -> Option<DiskId>) -> Membership {
        let mut members = self.members.to_vec();
        for member in &mut members {
            if let Some(disk) = disk_of(member.id) {
                (member.disk, member.replaced) = (Some(disk), None);
            }
        }
        Membership { members: members.into() }
    }

    /// The same members with other standings (used by a planted bug).
    pub(crate) fn with_standings(&self, standing: impl Fn(Standing) -> Standing) -> Membership {
        let members = self.members.iter();
        Membership {
            members: members
                .map(|member| Member { standing: standing(member.standing), ..member.clone() })
                .collect(),
        }
    }

    /// All voters, of either half.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.standing(Standing::votes)
    }

    /// The voters of the new configuration: all voters while not joint.
    pub fn new_half(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.standing(|standing| matches!(standing, Standing::Voter | Standing::Joining))
    }

    /// The voters of the old configuration: the same as the new half while not joint.
    pub fn old_half(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.standing(|standing| matches!(standing, Standing::Voter | Standing::Leaving | Standing::Demoting))
    }

    fn standing(&self, counts: fn(Standing) -> bool) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().filter(move |member| counts(member.standing)).map(|member| member.id)
    }

    /// Whether those who said yes are a majority of each half.
    pub fn is_quorum(&self, yes: impl Fn(NodeId) -> bool) -> bool {
        self.in_each_half(yes, |agreed, all| agreed > all / 2)
    }

    /// Whether every majority of each half has one of those who said yes: they are half of the voters, or more.
    pub fn meets_quorums(&self, yes: impl Fn(NodeId) -> bool) -> bool {
        self.in_each_half(yes, |agreed, all| agreed >= all.div_ceil(2))
    }

    fn in_each_half(&self, yes: impl Fn(NodeId) -> bool, enough: impl Fn(usize, usize) -> bool) -> bool {
        let holds = |voters: &mut dyn Iterator<Item = NodeId>| {
            let (mut all, mut agreed) = (0_usize, 0_usize);
            for id in voters {
                all += 1;
                agreed += usize::from(yes(id));
            }
            enough(agreed, all)
        };
        holds(&mut self.new_half()) && (!self.is_joint() || holds(&mut self.old_half()))
    }

    /// The highest index that a majority of each half has reached.
    pub fn quorum_index(&self, matched: impl Fn(NodeId) -> Index) -> Index {
        let new = majority_index(self.new_half().map(&matched));
        if self.is_joint() { new.min(majority_index(self.old_half().map(&matched))) } else { new }
    }

    /// The bytes that stand for this configuration in the log and on the wire:
    /// count u16, then per member: id u64, standing u8, disk kind u8 (0 none, 1 on record, 2 replaced), disk u64, context
    /// length u16, context.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.size());
        out.put_u16_le(self.members.len() as u16);
        for member in self.members.iter() {
            out.put_u64_le(member.id.0);
            out.put_u8(match member.standing {
                Standing::Voter => 0,
                Standing::Learner => 1,
                Standing::Joining => 2,
                Standing::Leaving => 3,
                Standing::Demoting => 4,
                Standing::Entrant => 5,
            });
            let (kind, disk) = match (member.disk, member.replaced) {
                (None, None) => (0, DiskId(0)),
                (Some(disk), _) => (1, disk),
                (None, Some(disk)) => (2, disk),
            };
            out.put_u8(kind);
            out.put_u64_le(disk.0);
            out.put_u16_le(member.context.len() as u16);
            out.put_slice(&member.context);
        }
        out.freeze()
    }

    /// Reads what [`Membership::encode`] wrote; `None` for anything else, to the byte.
    pub fn decode(bytes: &[u8]) -> Option<Membership> {
        let (count, mut rest) = bytes.split_first_chunk::<2>()?;
        let mut members = Vec::new();
        for _ in 0..u16::from_le_bytes(*count) {
            let (fixed, after) = rest.split_first_chunk::<20>()?;
            let number = |at: usize| {
                fixed.iter().skip(at).take(8).rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
            };
            let context = after.get(..usize::from(u16::from_le_bytes([fixed[18], fixed[19]])))?;
            rest = after.get(context.len()..)?;
            let standing = match fixed[8] {
                0 => Standing::Voter,
                1 => Standing::Learner,
                2 => Standing::Joining,
                3 => Standing::Leaving,
                4 => Standing::Demoting,
                5 => Standing::Entrant,
                _ => return None,
            };
            let (disk, replaced) = match (fixed[9], number(10)) {
                (0, 0) => (None, None),
                (1, disk) => (Some(DiskId(disk)), None),
                (2, disk) => (None, Some(DiskId(disk))),
                _ => return None,
            };
            let id = NodeId(number(0));
            if members.last().is_some_and(|member: &Member| member.id >= id) {
                return None;
            }
            let context = Bytes::copy_from_slice(context);
            members.push(Member { id, disk, replaced, standing, context });
        }
        if rest.is_empty() { Membership::new(members) } else { None }
    }
}

/// The highest index that a majority of these has reached. It is asked with every acknowledgement: up to 9 voters, more
/// than anybody should have, are sorted without an allocation.
fn majority_index(matched: impl Iterator<Item = Index>) -> Index {
    let (mut few, mut many, mut count) = ([Index(0); 9], Vec::new(), 0);
    for index in matched {
        match few.get_mut(count) {
            Some(place) => *place = index,
            None if many.is_empty() => many.extend(few.into_iter().chain([index])),
            None => many.push(index),
        }
        count += 1;
    }
    let all = if many.is_empty() { few.get_mut(..count).unwrap_or_default() } else { &mut many };
    all.sort_unstable();
    all.get(count.saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn voters(n: u64) -> Membership {
        Membership::founders((1..=n).map(NodeId)).unwrap()
    }

    fn with(standings: &[(u64, Standing)]) -> Membership {
        let member = |&(id, standing): &(u64, Standing)| Member::new(NodeId(id), standing, Bytes::new());
        Membership::new(standings.iter().map(member).collect()).unwrap()
    }

    #[test]
    fn a_majority_is_more_than_half() {
        for (n, needed) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            let membership = voters(n);
            for yes in 0..=n {
                assert_eq!(membership.is_quorum(|id| id.0 <= yes), yes >= needed, "{yes} of {n}");
            }
        }
    }

    #[test]
    fn the_quorum_index_is_what_a_majority_reached() {
        let reached = [7, 3, 9, 1, 5, 2, 8];
        for (n, expected) in [(1, 7), (2, 3), (3, 7), (4, 3), (5, 5), (6, 3), (7, 5)] {
            let index = voters(n).quorum_index(|id| Index(reached[id.0 as usize - 1]));
            assert_eq!(index, Index(expected), "of {n}");
        }
    }

    #[test]
    fn a_joint_configuration_needs_both_halves_and_no_learner() {
        let joint = with(&[
            (1, Standing::Voter),
            (2, Standing::Leaving),
            (3, Standing::Demoting),
            (4, Standing::Joining),
            (5, Standing::Joining),
            (6, Standing::Learner),
        ]);
        let quorum = |yes: &[u64]| joint.is_quorum(|id| yes.contains(&id.0));
        assert!(quorum(&[1, 2, 4]));
        assert!(!quorum(&[1, 2, 3]), "old half only");
        assert!(!quorum(&[1, 4, 5]), "new half only");
        assert!(!quorum(&[2, 4, 6]), "a learner never counts");
        assert_eq!(joint.quorum_index(|id| Index(10 * id.0)), Index(20));
    }

    #[test]
    fn bytes_and_back() {
        let membership = voters(3).with_disks(|id| (id.0 != 2).then_some(DiskId(id.0 * 7)));
        let mut members = membership.members().to_vec();
        members[0].context = Bytes::from_static(b"a:1");
        members[1].replaced = Some(DiskId(9));
        let membership = Membership::new(members).unwrap();
        let bytes = membership.encode();
        assert_eq!(Membership::decode(&bytes), Some(membership));
        for cut in 0..bytes.len() {
            assert_eq!(Membership::decode(&bytes[..cut]), None);
        }
        assert_eq!(Membership::decode(&[bytes.as_ref(), &[0]].concat()), None);
    }

    #[test]
    fn nonsense_is_no_configuration() {
        assert_eq!(Membership::new(vec![]), None);
        assert_eq!(Membership::founders([NodeId(1), NodeId(1)]), None);
    }
}
