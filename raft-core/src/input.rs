//! All that happens to a node.

use crate::change::Change;
use crate::ids::{EntryId, Index, NodeId, Ticket};
use crate::message::Message;
use crate::snapshot::{Snapshot, Stored};
use crate::write::Persisted;
use alloc::vec::Vec;
use bytes::Bytes;

/// One event. Time is an input like any other, and what time can cause is one of its own too, so that an exhaustive
/// search carries no counters.
#[derive(Debug)]
#[cfg_attr(feature = "fork", derive(Clone, PartialEq, Eq, Hash))]
pub enum Input {
    /// Time passed, in ticks of the driver's choosing. What waits is taken first, then the clock is read, and the ticks that
    /// are due are handed in before what was taken: a voter's patience with its leader must not begin in the past.
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
    /// A linearizable read: which index must be applied before it is served? A follower asks its leader.
    Read {
        /// Answered exactly once.
        ticket: Ticket,
    },
    /// A linearizable read that a leader's lease may answer without a round (dissertation 6.4.1). It is as good as the
    /// clocks: any two may differ by `Config::drift_ticks` over an election timeout. The driver takes it, then reads the
    /// clock, and hands in the ticks that are due first. Without a lease it is a `Read`.
    LeaseRead {
        /// Answered exactly once.
        ticket: Ticket,
    },
    /// Change the configuration, all at once (dissertation 4.3). Refused unless it can be done now.
    Reconfigure {
        /// Answered exactly once: `Committed` with the entry that brings the change in force, which any leader then
        /// completes.
        ticket: Ticket,
        /// What to change.
        changes: Vec<Change>,
        /// Change only if the configuration in force is the one at this index (`Status::membership_at`).
        expect: Option<Index>,
    },
    /// Take a snapshot now, as if the log had grown to its limit.
    Capture,
    /// The snapshot that an [`Output::Capture`](crate::Output::Capture) asked for is on stable storage; `None` if it
    /// came to nothing, and another one may be asked for.
    Captured(Option<Snapshot>),
    /// A chunk was stored.
    Stored(Stored),
    /// The snapshot that an [`Output::Fetch`](crate::Output::Fetch) asked for is not there any more.
    Missing {
        /// The last entry that it covers.
        last: EntryId,
    },
    /// A member can't be reached at the moment: what was on its way is taken for lost.
    Unreachable {
        /// Whom.
        peer: NodeId,
    },
    /// Hand leadership to a voter, or to the best one.
    Transfer {
        /// Answered exactly once, at once: `HandingOver`, or why not.
        ticket: Ticket,
        /// The voter to hand over to.
        to: Option<NodeId>,
    },
    /// Campaign now, as if the election timeout had passed.
    Campaign,
    /// Send a heartbeat round now, as if the heartbeat interval had passed.
    Heartbeat,
}
