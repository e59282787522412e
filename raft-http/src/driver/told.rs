//! A change of the node's state as it is told to whoever reads along: a line of the simulator's trace.

use raft_core::{Event, NodeId};
use std::time::Duration;

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// What it is about, to choose by.
    pub(crate) kind: &'static str,
    /// When, from whom and what: the time in milliseconds since this machine was started.
    pub(crate) line: String,
}

impl Told {
    pub(crate) fn new(node: NodeId, at: Duration, event: &Event) -> Told {
        let kind = match event {
            Event::Role { .. } => "role",
            Event::Membership { .. } | Event::MembershipCommitted { .. } | Event::CaughtUp { .. } => {
                "membership"
            }
            Event::TransferBegun { .. } | Event::TransferEnded { .. } => "transfer",
            Event::Flow { .. } => "flow",
            Event::Repaired => "repair",
            Event::Receiving { .. }
            | Event::Restored { .. }
            | Event::Captured { .. }
            | Event::Compacted { .. } => "snapshot",
        };
        Told { kind, line: format!("{:>10} {node} tells: {event}", at.as_millis()) }
    }
}
