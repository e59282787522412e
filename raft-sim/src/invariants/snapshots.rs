//! A snapshot is the canonical prefix: its last entry, the running hash there, the configuration, and the application's
//! digest, where it is made, where it arrives and where it is loaded (paper section 7). And its order of things (rule 17
//! of DESIGN): the file is on stable storage before a write names it as the log's base, that write before the application
//! takes over, and nothing of the log is released that no durable snapshot covers.

use super::{Verdict, cluster::Cluster, demand};
use crate::facts::Class;
use raft_core::{Base, EntryId, Index, NodeId, Recovered, Snapshot, Update};

/// The name of the invariant that a snapshot is the canonical prefix.
pub const CONTENT: &str = "snapshot_content";
/// The name of the invariant that a snapshot is durable before it is relied on.
pub const ORDER: &str = "snapshot_order";

/// The application freezes its state. `applied`: the last index that it has taken in.
pub(crate) fn capturing(
    cluster: &mut Cluster,
    node: NodeId,
    base: &Base,
    machine: u64,
    applied: Index,
) -> Verdict {
    demand(base.id.index == applied, CONTENT, Class::Safety, || {
        format!("node {node} is to capture its state at {}, and has applied {applied}", base.id)
    })?;
    let commit = cluster.seat(node).commit();
    demand(base.id.index <= commit && base.id.index > Index(0), CONTENT, Class::Safety, || {
        format!("node {node} is to capture its state at {}, and knows {commit} as committed", base.id)
    })?;
    canonical(cluster, node, "captures", base)?;
    digest(cluster, node, "captures", base.id, machine)?;
    cluster.seat_mut(node).capturing = Some(base.clone());
    Ok(())
}

/// A node's own snapshot is on stable storage.
pub(crate) fn captured(cluster: &mut Cluster, node: NodeId, snapshot: &Snapshot) -> Verdict {
    let asked = cluster.seat(node).capturing.as_ref();
    demand(asked == Some(&snapshot.base), CONTENT, Class::Safety, || {
        format!(
            "node {node} has captured {}, and was last asked for {}",
            snapshot.last(),
            asked.map_or("nothing".into(), |base| base.id.to_string())
        )
    })?;
    keep(cluster, node, snapshot);
    cluster.seat_mut(node).capturing = None;
    Ok(())
}

/// A received snapshot is on stable storage.
pub(crate) fn stored(cluster: &mut Cluster, node: NodeId, snapshot: &Snapshot) -> Verdict {
    canonical(cluster, node, "receives", &snapshot.base)?;
    cluster.seat_mut(node).ledger.covered(snapshot);
    keep(cluster, node, snapshot);
    Ok(())
}

/// A process starts from a snapshot; what its log forgot must be covered.
pub(crate) fn started(cluster: &mut Cluster, node: NodeId, recovered: &Recovered) -> Verdict {
    let begins = recovered.base.as_ref().map(|base| base.id).unwrap_or_default();
    let Some(snapshot) = &recovered.snapshot else {
        return demand(begins.index == Index(0), ORDER, Class::Durability, || {
            format!("node {node} starts with a log behind {begins}, and no snapshot")
        });
    };
    canonical(cluster, node, "starts from", &snapshot.base)?;
    let held = cluster.seat(node).ledger.chain().hash_at(snapshot.last().index) == Some(snapshot.base.hash);
    demand(held && snapshot.last().index >= begins.index, ORDER, Class::Durability, || {
        format!(
            "node {node} starts from a snapshot to {}, and its disk holds {}",
            snapshot.last(),
            cluster.seat(node).ledger.summary()
        )
    })?;
    keep(cluster, node, snapshot);
    Ok(())
}

/// A write is handed to the disk: the base that it names must be there.
pub(crate) fn wrote(cluster: &Cluster, node: NodeId, update: &Update) -> Verdict {
    let Some(base) = update.base.as_ref().filter(|base| base.id.index > Index(0)) else { return Ok(()) };
    demand(has(cluster, node, base), ORDER, Class::Durability, || {
        format!(
            "node {node} writes that its log begins behind {}, and its disk has no such snapshot",
            base.id
        )
    })
}

/// The application has taken over a snapshot.
pub(crate) fn restored(cluster: &Cluster, node: NodeId, snapshot: &Snapshot, machine: u64) -> Verdict {
    canonical(cluster, node, "restores", &snapshot.base)?;
    digest(cluster, node, "restores", snapshot.last(), machine)?;
    let ledger = &cluster.seat(node).ledger;
    // The log begins there, or holds what the snapshot covers, of which only commands are lost.
    let begins = ledger.chain().base().index >= snapshot.last().index;
    let holds = ledger.chain().hash_at(snapshot.last().index) == Some(snapshot.base.hash);
    let durable = has(cluster, node, &snapshot.base) && (begins || holds);
    demand(durable, ORDER, Class::Durability, || {
        format!(
            "node {node} restores a snapshot to {}, and its disk holds {}",
            snapshot.last(),
            ledger.summary()
        )
    })
}

/// The log on a disk may forget everything up to an index.
pub(crate) fn released(cluster: &mut Cluster, node: NodeId, through: Index) -> Verdict {
    let seat = cluster.seat(node);
    let newest = seat.snapshots.last_key_value().map(|(index, _)| *index).unwrap_or_default();
    demand(through <= newest, ORDER, Class::Durability, || {
        format!("node {node} releases its log up to {through}, and its newest snapshot covers {newest}")
    })?;
    cluster.seat_mut(node).ledger.released(through);
    Ok(())
}

/// A part of a snapshot leaves a node.
pub(crate) fn sent(cluster: &Cluster, node: NodeId, snapshot: &Snapshot) -> Verdict {
    demand(has(cluster, node, &snapshot.base), CONTENT, Class::Safety, || {
        format!("node {node} sends a snapshot to {}, and its disk never had it", snapshot.last())
    })
}

fn has(cluster: &Cluster, node: NodeId, base: &Base) -> bool {
    cluster.seat(node).snapshots.get(&base.id.index).is_some_and(|snapshot| snapshot.base == *base)
}

fn keep(cluster: &mut Cluster, node: NodeId, snapshot: &Snapshot) {
    cluster.seat_mut(node).snapshots.insert(snapshot.last().index, snapshot.clone());
}

fn canonical(cluster: &Cluster, node: NodeId, does: &str, base: &Base) -> Verdict {
    let (canon, index) = (&cluster.canon, base.id.index);
    let same = canon.id_at(index) == Some(base.id)
        && canon.hash_at(index) == Some(base.hash)
        && canon.membership_at(index) == Some(&base.membership);
    demand(same, CONTENT, Class::Safety, || {
        format!(
            "node {node} {does} a snapshot to {} (running hash {:016x}) with {}; committed is {} ({:016x}) with {}",
            base.id,
            base.hash,
            super::configurations::words(&base.membership),
            canon.id_at(index).map_or("nothing".into(), |id| id.to_string()),
            canon.hash_at(index).unwrap_or_default(),
            canon.membership_at(index).map_or("nobody".into(), super::configurations::words)
        )
    })
}

fn digest(cluster: &Cluster, node: NodeId, does: &str, id: EntryId, machine: u64) -> Verdict {
    let expected = cluster.model.digest_at(id.index);
    demand(expected == Some(machine), CONTENT, Class::Safety, || {
        format!(
            "node {node} {does} a snapshot to {id} with the machine's digest {machine:016x}; it should be {:016x}",
            expected.unwrap_or_default()
        )
    })
}
