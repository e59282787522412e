//! A stale read sees what its node has applied: the committed state at exactly the index that it names, which is as high as
//! it was asked to wait for, and never goes back within one boot. How far that is behind, nobody promises.

use super::{Verdict, cluster::Cluster, demand};
use crate::coverage::{Coverage, Mark};
use crate::facts::{Class, StaleRead};
use raft_core::NodeId;

/// The name of this invariant.
pub const NAME: &str = "stale_reads";

/// A node serves a stale read.
pub(crate) fn served(
    cluster: &mut Cluster,
    coverage: &mut Coverage,
    node: NodeId,
    read: StaleRead,
) -> Verdict {
    let StaleRead { key, value, index, least } = read;
    let holds = |holds, said: &dyn Fn() -> String| {
        demand(holds, NAME, Class::Safety, || {
            format!("node {node} serves a stale read at {index}, {}", said())
        })
    };
    holds(index >= least, &|| format!("and was to wait for {least}"))?;
    let committed = cluster.canon.last();
    holds(index <= committed.index, &|| format!("and the log is committed to {committed}"))?;
    let seat = cluster.seat(node);
    let before = seat.served_stale.max(seat.started_at);
    holds(index >= before, &|| format!("and in this boot it was at {before} before"))?;
    let expected = cluster.model.value_at(key, index);
    holds(value == expected, &|| format!("and says that key {key} is {value:?}; there it is {expected:?}"))?;
    if value != cluster.model.value_at(key, committed.index) {
        coverage.reach(Mark::StaleReadBehind);
    }
    cluster.seat_mut(node).served_stale = index;
    Ok(())
}
