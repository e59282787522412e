//! All that a node asks for. Outputs of different kinds may be carried out in any order; the writes among themselves
//! stay in sequence, and `Apply`, `Restore` and `Capture` are one ordered stream.

use crate::change::Refusal;
use crate::entry::Entry;
use crate::event::Event;
use crate::ids::{Boot, DiskId, EntryId, Index, NodeId, Ticket};
use crate::message::Message;
use crate::snapshot::{Fetch, Snapshot, Store};
use crate::write::{Base, Write};

/// One request of the node to its driver.
#[must_use = "an output that is not carried out stalls the node"]
#[derive(Debug)]
#[cfg_attr(feature = "fork", derive(Clone, PartialEq, Eq, Hash))]
pub enum Output {
    /// Put this on stable storage, then hand in its receipt.
    Persist(Write),
    /// Send a message; it may be lost, repeated or reordered.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// A committed entry that is durable here: apply it. Each index once in a boot, in order.
    Apply(Entry),
    /// Replace the application's state by this snapshot, which was stored before. It is durable, and so is the log that
    /// begins behind it.
    Restore(Snapshot),
    /// Take a snapshot of the application's state as it is at this place of the stream, and hand in
    /// [`Input::Captured`](crate::Input::Captured) once it is on stable storage. Meanwhile the stream goes on.
    Capture(Base),
    /// Read a part of a snapshot and send what [`Fetch::fill`] makes of it. May be late, or not happen at all: then hand
    /// in [`Input::Missing`](crate::Input::Missing) if the snapshot is gone.
    Fetch(Fetch),
    /// Store a part of a snapshot and hand in the receipt that [`Store::stored`] makes.
    Store(Store),
    /// The entries up to here are not needed any more: a durable snapshot covers them. The log on disk may forget them.
    Release {
        /// The last one.
        through: Index,
    },
    /// A change of state: nothing to do but to tell.
    Event(Event),
    /// The one answer to a ticket.
    Answer {
        /// Whose.
        ticket: Ticket,
        /// What became of it.
        answer: Answer,
    },
    /// The node has stopped for good and says why. Further requests are refused, all else is ignored.
    Halt(Report),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The command is committed there, durable here, and its `Apply` was put out.
    Committed(EntryId),
    /// The read may be served once this index is applied.
    ReadAt(Index),
    /// Refused: this node doesn't lead. Nothing was appended.
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// Refused: a limit was reached. Nothing was appended.
    Busy(Limit),
    /// Refused: the configuration can't be changed so, or not now, or leadership can't be handed over. Nothing was
    /// appended.
    Refused(Refusal),
    /// Leadership is on its way to this voter.
    HandingOver {
        /// To whom.
        to: NodeId,
    },
    /// The command never took effect and never will: another committed entry stands at its index, or one of a later term
    /// before it.
    Lost,
    /// Whether the command took effect can't be told here: a snapshot covers its index, or the node halted.
    Unknown,
}

/// Which limit refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Too many bytes proposed and not yet committed.
    UncommittedBytes,
    /// One command is larger than `Limits::command_bytes`.
    CommandTooLarge,
    /// Too many tickets without an answer.
    Tickets,
    /// Leadership is being handed over.
    Transferring,
}

/// Why a node stopped. Each is either a disk that lost what it had promised or a node that must not take part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Report {
    /// A leader's append conflicts with an entry that this node knows to be committed.
    ConflictBelowCommit {
        /// The leader's entry.
        theirs: EntryId,
        /// Our committed entry at that index.
        ours: EntryId,
    },
    /// The leader has an acknowledgement of this node for an index that its log doesn't reach: this disk lost it. It never
    /// starts again; the remedy is `member replace`.
    LostAcknowledged {
        /// What was acknowledged and is committed.
        commit: Index,
        /// The last entry here.
        last: EntryId,
    },
    /// Two entries of the same term and index differ.
    SameIdOtherEntry {
        /// Where.
        id: EntryId,
    },
    /// This server is not a member any more.
    Removed {
        /// Where the configuration without it stands; it is committed.
        at: Index,
    },
    /// The cluster is formed, and this data directory is not the one on record for this member: it was wiped, it was
    /// removed before it had founded, or it never belonged. The remedy is `member replace`, or `member add` if it is no
    /// member any more.
    NotOnRecord {
        /// This directory's disk id.
        disk: DiskId,
        /// The one on record, if a record was seen.
        on_record: Option<DiskId>,
        /// The member that said so.
        told_by: NodeId,
    },
    /// A later boot of this data directory was heard: it was put back to an older state, or is a copy. What it had
    /// promised since is lost. It never starts again; the remedy is `member replace`.
    RolledBack {
        /// This process.
        boot: Boot,
        /// The boot that was heard.
        seen: Boot,
        /// By whom.
        told_by: NodeId,
    },
}
