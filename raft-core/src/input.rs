//! All that happens to a node.

use crate::ids::{NodeId, Ticket};
use crate::message::Message;
use crate::write::Persisted;
use bytes::Bytes;

/// One event. Time is an input like any other, and what time can cause is one of its own too, so that an exhaustive
/// search carries no counters.
#[derive(Debug)]
#[cfg_attr(feature = "fork", derive(Clone, PartialEq, Eq, Hash))]
pub enum Input {
    /// Time passed, in ticks of the driver's choosing. What waits is handed in first, then the clock is read.
    Tick {
        /// How many ticks.
        elapsed: u32,
    },
    /// A message arrived. `from` is the authenticated sender, as the connection knows it.
    Receive {
        /// Who sent it.
        from: NodeId,
        /// What was said.
        message: Message,
    },
    /// A write is on stable storage.
    Persisted(Persisted),
    /// A client's command for the log.
    Propose {
        /// Answered exactly once.
        ticket: Ticket,
        /// The command; see [`crate::envelope`] for what `httpraft` puts inside.
        command: Bytes,
    },
    /// A linearizable read: which index must be applied before it is served?
    Read {
        /// Answered exactly once.
        ticket: Ticket,
    },
    /// Hand leadership to a voter, or to the best one.
    Transfer {
        /// The voter to hand over to.
        to: Option<NodeId>,
    },
    /// Campaign now, as if the election timeout had passed.
    Campaign,
    /// Send a heartbeat round now, as if the heartbeat interval had passed.
    Heartbeat,
}
