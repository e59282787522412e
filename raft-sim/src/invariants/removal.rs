//! A node halts as removed, or as not on record, only when that is true by the committed log; and for any other reason
//! only when its disk lost what it had promised: crashes and messages, in any order, never bring it there.

use super::{Verdict, cluster::Cluster, demand, rollback};
use crate::facts::Class;
use raft_core::{DiskId, Index, Member, NodeId, Report};

/// The name of the invariant that only who lost its disk, or its membership, halts.
pub const HALTS: &str = "halts";
/// The name of the invariant that a removal is true.
pub const NAME: &str = "removal";

/// A node stopped itself.
pub(crate) fn halted(cluster: &Cluster, node: NodeId, report: &Report) -> Verdict {
    let seat = cluster.seat(node);
    match *report {
        Report::Removed { at } => {
            demand(seat.wiped || taken_away(cluster, node, seat.stamp.disk, at), NAME, Class::Safety, || {
                format!(
                    "node {node} with disk {} halts as removed by the configuration at {at}, but no committed \
                 configuration up to there took that disk away; {}",
                    seat.stamp.disk,
                    record(cluster, node)
                )
            })
        }
        Report::NotOnRecord { disk, .. } => {
            let mut configurations = cluster.canon.configurations_before(cluster.canon.last().index);
            let off = seat.wiped || configurations.any(|(at, _)| taken_away(cluster, node, disk, at));
            let off = off && disk == seat.stamp.disk;
            demand(off, NAME, Class::Safety, || {
                format!("node {node} halts because disk {disk} is not on record; {}", record(cluster, node))
            })
        }
        Report::RolledBack { .. } => demand(false, rollback::NAME, Class::Safety, || {
            format!("node {node} halts with {report:?}, and its disk was never put back")
        }),
        _ => demand(seat.wiped, HALTS, Class::Safety, || {
            format!("node {node} halts with {report:?}, and its disk has never lost anything")
        }),
    }
}

/// A node is told that it is no member.
pub(crate) fn told(cluster: &Cluster, node: NodeId, to: NodeId, at: Index) -> Verdict {
    let canon = &cluster.canon;
    let members = canon.membership_at(at).filter(|_| at <= canon.last().index);
    // Which disk is told can't be seen here: with any disk on record, or one given up, another one is none of it.
    let true_for_some_disk = members.is_some_and(|members| {
        members.get(to).is_none_or(|member| member.disk.is_some() || member.replaced.is_some())
    });
    demand(true_for_some_disk && at <= cluster.seat(node).commit(), NAME, Class::Safety, || {
        format!(
            "node {node} tells node {to} that the configuration at {at} is without it; {}",
            record(cluster, to)
        )
    })
}

/// Whether the committed configuration in force at an index is without this disk, and an earlier one had it on record, or
/// could have come to. That another disk has the place since, for however many configurations, or that the id is gone,
/// makes no difference: who was away hears of the newest one.
fn taken_away(cluster: &Cluster, node: NodeId, disk: DiskId, at: Index) -> bool {
    if at > cluster.canon.last().index {
        return false;
    }
    let mut records = cluster.canon.configurations_before(at).map(|(_, members)| members.get(node));
    if records.next().flatten().is_some_and(|member| counts(member, disk)) {
        return false;
    }
    let earlier: Vec<&Member> = records.flatten().collect();
    // One that was never on record was about to be only if no other one was meanwhile.
    let last = earlier.first().is_some_and(|member| counts(member, disk));
    last || earlier.iter().any(|member| member.disk == Some(disk))
}

/// Whether this record is of that disk, or may come to be.
fn counts(member: &Member, disk: DiskId) -> bool {
    member.disk == Some(disk) || (member.disk.is_none() && member.replaced != Some(disk))
}

fn record(cluster: &Cluster, node: NodeId) -> String {
    let canon = &cluster.canon;
    let newest = canon.configuration().map(|(at, members)| (at, members.get(node)));
    format!("the newest committed one, as (index, record), is {newest:?}")
}
