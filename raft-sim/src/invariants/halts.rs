//! A node halts only when its disk lost what it had promised: crashes and messages, in any order, never bring it there.

use super::{Verdict, cluster::Seat, demand};
use crate::facts::Class;
use raft_core::{NodeId, Report};

/// The name of this invariant.
pub const NAME: &str = "halts";

/// A node stopped itself.
pub(crate) fn halted(seat: &Seat, node: NodeId, report: &Report) -> Verdict {
    demand(seat.wiped, NAME, Class::Safety, || {
        format!("node {node} halts with {report:?}, and its disk has never lost anything")
    })
}
