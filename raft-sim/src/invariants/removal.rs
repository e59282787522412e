//! A node halts as removed, or as not on record, only when that is true by the committed log; and for any other reason
//! only when its disk lost what it had promised: crashes and messages, in any order, never bring it there.

use super::{
    Verdict,
    cluster::{Cluster, Seat},
    demand,
};
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
            demand(seat.wiped || removed(cluster, node, seat, at), NAME, Class::Safety, || {
                format!(
                    "node {node} with disk {} halts as removed by the configuration at {at}, but no committed \
                 configuration up to there took that disk away; {}",
                    seat.stamp.disk,
                    record(cluster, node)
                )
            })
        }
        Report::NotOnRecord { disk, .. } => {
            let off = disk == seat.stamp.disk && (seat.wiped || off_record(cluster, node, disk));
            demand(off, NAME, Class::Safety, || {
                format!("node {node} halts because disk {disk} is not on record; {}", record(cluster, node))
            })
        }
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

/// Whether the configuration in force at an index is without the seat's disk, and the last one that knew this id was not.
fn removed(cluster: &Cluster, node: NodeId, seat: &Seat, at: Index) -> bool {
    if at > cluster.canon.last().index {
        return false;
    }
    let disk = seat.stamp.disk;
    let mut gone = false;
    for (_, members) in cluster.canon.configurations_before(at) {
        match members.get(node) {
            None => gone = true,
            Some(member) if counts(member, disk) => return gone,
            // Its disk was given up, or another one was put on record while it was a member.
            Some(member) if gone && member.replaced != Some(disk) => return false,
            Some(_) => gone = true,
        }
    }
    false
}

/// Whether this record is of that disk, or may come to be.
fn counts(member: &Member, disk: DiskId) -> bool {
    member.disk == Some(disk) || (member.disk.is_none() && member.replaced != Some(disk))
}

/// Whether some committed configuration has given this disk up, or has another one on record for this id while the newest
/// one doesn't have this one. A disk that was given up and is on record again all the same may stop on its way through
/// the log.
fn off_record(cluster: &Cluster, node: NodeId, disk: DiskId) -> bool {
    let canon = &cluster.canon;
    let now = canon.configuration().is_some_and(|(_, members)| members.on_record(node, disk));
    canon.configurations_before(canon.last().index).filter_map(|(_, members)| members.get(node)).any(
        |member| member.replaced == Some(disk) || (!now && member.disk.is_some_and(|other| other != disk)),
    )
}

fn record(cluster: &Cluster, node: NodeId) -> String {
    let canon = &cluster.canon;
    let newest = canon.configuration().map(|(at, members)| (at, members.get(node)));
    format!("the newest committed one, as (index, record), is {newest:?}")
}
