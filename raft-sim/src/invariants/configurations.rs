//! How configurations follow each other along a log (dissertation 4.1 to 4.3): every two adjacent ones have intersecting
//! quorums; the voters change only by way of a joint configuration, which is left for its new half alone; a disk on
//! record gives way only to none, and only a disk that has spoken since comes on record, never the one that was just given
//! up. And when a leader appends one, the one before is committed, and the leader has committed in its own term (Ongaro 2015).
//!
//! Not all pairs intersect: a node that was away may hold an old configuration harmlessly.

use super::{
    Verdict,
    cluster::{Cluster, Step},
    demand, quorum,
};
use crate::coverage::{Coverage, Mark};
use crate::facts::Class;
use raft_core::{EntryId, Index, Member, Membership, NodeId, Payload, RoleName, Standing};
use std::collections::BTreeSet;

/// The name of the invariant that adjacent configurations have intersecting quorums.
pub const ADJACENT: &str = "adjacent_configurations";
/// The name of the invariant that a configuration is a step from the one before.
pub const STEP: &str = "configuration_step";
/// The name of the invariant that a disk on record isn't replaced by another one without a word.
pub const DISK: &str = "disk_on_record";
/// The name of the invariant that a leader appends a configuration only when it may.
pub const APPENDED: &str = "configuration_appended";
/// The name of the invariant that the newest configuration in a node's log is in force.
pub const IN_FORCE: &str = "configuration_in_force";

/// A turn is over, and the cluster knows it. Costs what was appended, and a look at the members.
pub(crate) fn stepped(cluster: &Cluster, coverage: &mut Coverage, step: &Step<'_>) -> Verdict {
    let log = &cluster.seat(step.node).log;
    for entry in step.log.from(step.kept.next()) {
        let Payload::Membership(next) = entry.payload() else { continue };
        let before = entry.index().previous().and_then(|index| log.configuration_at(index));
        let led = step.after.role == RoleName::Leader && step.after.term == entry.term();
        // Who was sent its log from the first entry on doesn't know what the cluster was founded with.
        let Some((at, before)) = before else { continue };
        follows(step.node, at, before, entry.id(), next)?;
        if led {
            appended(step, at, entry.id())?;
            fresh(cluster, step.node, at, before, entry.id(), next)?;
            marks(coverage, step.node, log.id_at(at).unwrap_or_default(), before, entry.id(), next);
        }
    }
    base(cluster, step)?;
    in_force(cluster, step)
}

/// One configuration after the one at `at`.
fn follows(node: NodeId, at: Index, before: &Membership, id: EntryId, next: &Membership) -> Verdict {
    demand(quorum::intersect(before, next), ADJACENT, Class::Safety, || {
        format!(
            "node {node} has the configuration {id}, whose quorums need not meet those of the one before: {} and then {}",
            words(before),
            words(next)
        )
    })?;
    demand(is_step(before, next), STEP, Class::Safety, || {
        format!(
            "node {node} has the configuration {id}, but from {} nothing leads to {}",
            words(before),
            words(next)
        )
    })?;
    // What a founder heard of the others' disks is put right by the first change.
    let hearsay = at == Index(0);
    for member in next.members() {
        let heard = hearsay && before.get(member.id).is_some_and(|before| before.disk.is_some());
        demand(heard || recorded(before.get(member.id), member), DISK, Class::Safety, || {
            format!(
                "node {node} has the configuration {id} with {member:?}, and before it was {:?}",
                before.get(member.id)
            )
        })?;
    }
    Ok(())
}

/// The voters stay, or a joint configuration begins with them as its old half; a joint one leads to its new half.
fn is_step(before: &Membership, next: &Membership) -> bool {
    let voters = |members: &Membership, counts: fn(Standing) -> bool| -> BTreeSet<NodeId> {
        members.members().iter().filter(|member| counts(member.standing)).map(|member| member.id).collect()
    };
    let new = |members| voters(members, |standing| matches!(standing, Standing::Voter | Standing::Joining));
    let old = |members| {
        voters(members, |standing| {
            matches!(standing, Standing::Voter | Standing::Leaving | Standing::Demoting)
        })
    };
    let unchanged = new(before) == new(next) && old(before) == old(next);
    if is_joint(before) {
        unchanged || (!is_joint(next) && new(before) == new(next))
    } else {
        unchanged || (is_joint(next) && old(before) == old(next))
    }
}

fn is_joint(members: &Membership) -> bool {
    quorum::halves(members).len() > 1
}

/// How a member's disk may change from one configuration to the next.
fn recorded(before: Option<&Member>, next: &Member) -> bool {
    let Some(before) = before else { return next.disk.is_none() && next.replaced.is_none() };
    match (before.disk, before.replaced) {
        (Some(disk), _) => next.disk == Some(disk) || (next.disk.is_none() && next.replaced == Some(disk)),
        (None, Some(gone)) if next.disk.is_none() => next.replaced == Some(gone),
        // Its voice must not count before it has gone the way of a learner.
        (None, Some(gone)) => next.disk != Some(gone) && !before.standing.votes() && !next.standing.votes(),
        (None, None) => next.replaced.is_none(),
    }
}

/// A leader appends a configuration behind the one at `at`.
fn appended(step: &Step<'_>, at: Index, id: EntryId) -> Verdict {
    let (node, commit) = (step.node, step.after.commit);
    demand(at <= commit, APPENDED, Class::Safety, || {
        format!(
            "node {node} appends the configuration {id}; the one before stands at {at}, and it knows only {commit} as committed"
        )
    })?;
    let newest = step.log.id_at(commit).unwrap_or_default();
    demand(newest.term == id.term, APPENDED, Class::Safety, || {
        format!(
            "node {node} appends the configuration {id}, and the newest that it has committed is {newest}"
        )
    })
}

/// A disk comes on record only if it has spoken to the leader since the member is without one: a word from before may be of
/// a disk that was given up or lost long ago.
fn fresh(
    cluster: &Cluster,
    leader: NodeId,
    at: Index,
    before: &Membership,
    id: EntryId,
    next: &Membership,
) -> Verdict {
    let seat = cluster.seat(leader);
    for member in next.members() {
        let (Some(was), Some(disk)) = (before.get(member.id), member.disk) else { continue };
        // The founders' first record is by the founding's word, and what a leader says to itself is never late.
        if was.disk.is_some() || at == Index(0) || (member.id, disk) == (leader, seat.stamp.disk) {
            continue;
        }
        let since = seat.spoken_to.get(&(member.id, disk));
        let forces = since.and_then(|since| seat.forces.get(*since..)).unwrap_or_default();
        let waits = |members: &&Membership| members.get(member.id).is_some_and(|it| it.disk.is_none());
        let waited = forces.first().is_some_and(|first| waits(&first));
        demand(waited && forces.iter().find(|it| !waits(it)) == Some(next), DISK, Class::Safety, || {
            format!(
                "node {leader} puts disk {disk} of node {} on record at {id}, but it has said nothing since there was none",
                member.id
            )
        })?;
    }
    Ok(())
}

/// The configuration that a log begins with, after a snapshot, is the committed one.
fn base(cluster: &Cluster, step: &Step<'_>) -> Verdict {
    let base = step.log.base();
    let moved = step.before.is_none_or(|before| before.base != base);
    if !moved || base.index == Index(0) {
        return Ok(());
    }
    // Each founder has what it has heard of the others, until the first record of them, which is in its log then.
    let hearsay = cluster.canon.configuration_at(base.index).is_some_and(|(at, _)| at == Index(0));
    let superseded = hearsay && step.log.membership_index() > Some(base.index);
    let (ours, theirs) = (step.log.membership_at(base.index), cluster.canon.membership_at(base.index));
    demand(ours == theirs || superseded, IN_FORCE, Class::Safety, || {
        format!(
            "the log of node {} begins behind {base} with {}; committed is {}",
            step.node,
            ours.map_or("nobody".into(), words),
            theirs.map_or("nobody".into(), words)
        )
    })
}

/// What a node says of the configuration in force, beside what stands in its log.
fn in_force(cluster: &Cluster, step: &Step<'_>) -> Verdict {
    let newest = cluster.seat(step.node).log.configuration();
    let said = (!step.after.membership.members().is_empty()).then_some(&step.after.membership);
    let (at, members) = newest.map_or((Index(0), None), |(at, members)| (at, Some(members)));
    // Where a snapshot's configuration stands in the log isn't known.
    let placed = at <= step.log.base().index || step.after.membership_at == at;
    demand(said == members && placed, IN_FORCE, Class::Safety, || {
        format!(
            "node {} goes by {} at {}, but the newest in its log is {} at {at}",
            step.node,
            said.map_or("nobody".into(), words),
            step.after.membership_at,
            members.map_or("nobody".into(), words)
        )
    })
}

fn marks(
    coverage: &mut Coverage,
    leader: NodeId,
    entered: EntryId,
    before: &Membership,
    id: EntryId,
    next: &Membership,
) {
    match (is_joint(before), is_joint(next)) {
        (false, true) => coverage.reach(Mark::JointEntered),
        (true, false) if entered.term < id.term => coverage.reach(Mark::JointLeftByOther),
        _ => {}
    }
    let in_new = |members: &Membership, id| {
        members.get(id).is_some_and(|member| matches!(member.standing, Standing::Voter | Standing::Joining))
    };
    if in_new(before, leader) && !in_new(next, leader) {
        coverage.reach(Mark::LeaderRemovedItself);
    }
    for member in next.members() {
        let Some(was) = before.get(member.id) else { continue };
        if !was.standing.votes() && member.standing == Standing::Joining {
            coverage.reach(Mark::LearnerPromoted);
        }
        if was.standing == Standing::Demoting && !member.standing.votes() {
            coverage.reach(Mark::Demotions);
        }
        if was.replaced.is_some() && member.disk.is_some() {
            coverage.reach(Mark::Replacements);
        }
    }
}

/// A configuration in few words.
pub(crate) fn words(members: &Membership) -> String {
    let member = |member: &Member| {
        let disk = match (member.disk, member.replaced) {
            (Some(disk), _) => format!(" on {disk}"),
            (None, Some(gone)) => format!(" not {gone}"),
            (None, None) => String::new(),
        };
        format!("{} {:?}{disk}", member.id, member.standing)
    };
    let all: Vec<String> = members.members().iter().map(member).collect();
    format!("[{}]", all.join(", "))
}
