//! What happens in a simulated run, as the checkers are told it: every fact once, in the order in which it happened.
//!
//! The order within one turn of a node is fixed: first what is handed to its core ([`Fact::Received`], [`Fact::Proposed`],
//! [`Fact::ReadAsked`], [`Fact::Reconfigured`], [`Fact::TransferAsked`], [`Fact::Nudged`], [`Fact::Ticked`]), then [`Fact::Stepped`]
//! once the turn is drained, then the outputs of that turn as the driver carries them out ([`Fact::Wrote`], [`Fact::Sent`],
//! [`Fact::Applied`], [`Fact::Replied`], [`Fact::Keeps`], [`Fact::Restored`], [`Fact::Capturing`], [`Fact::Fetching`],
//! [`Fact::Storing`], [`Fact::Released`], [`Fact::Answered`], [`Fact::Halted`]), which may be later and is in any order between
//! kinds; applies, restores and captures among themselves stay in order. What the disk has done ([`Fact::Synced`],
//! [`Fact::Captured`], [`Fact::Stored`]) is told before the node hears of it. Outputs that a crash swallows are never reported.

pub use crate::violation::{Class, Violation};
use bytes::{BufMut, Bytes, BytesMut};
use raft_core::{
    Answer, Base, Change, Entry, EntryId, Envelope, Index, Log, Message, Node, NodeId, Recovered, Report,
    Snapshot, Stamp, Status, Term, Ticket, Update, Write, hash,
};
use raft_machine::{Operation, Reply};

/// Simulated time in microseconds since the run began.
pub type Time = u64;

/// What a client's key is.
pub type Key = u64;

/// What a client writes. Every put of a run has its own, so that a value names the put that wrote it.
pub type Value = u64;

/// What one register adds to the digest of a machine, which is the wrapping sum over all registers that were ever put.
/// The machine and the checkers' model of it add it up on their own.
pub fn register_digest(key: Key, value: Value) -> u64 {
    hash::chain(0, &[key, value])
}

/// A client's operation, numbered over the whole run. A retry is an operation of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Set a key.
    Put {
        /// The key.
        key: Key,
        /// The new value, unique in the run.
        value: Value,
    },
    /// Read a key, linearizably.
    Get {
        /// The key.
        key: Key,
    },
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The put is committed there.
    Put {
        /// Its place in the log.
        index: Index,
    },
    /// What the read saw.
    Got {
        /// The key's value; `None` if nothing was put yet.
        value: Option<Value>,
        /// Everything up to here was applied when it was read.
        index: Index,
    },
    /// It took no effect and never will.
    NotApplied,
    /// Nobody can tell: the operation stays open to the end of time.
    Unknown,
}

/// A read that may be stale, with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleRead {
    /// Of which key.
    pub key: Key,
    /// What it saw.
    pub value: Option<Value>,
    /// Everything up to here was applied, the answer says.
    pub index: Index,
    /// It was to wait until this is applied.
    pub least: Index,
}

/// The beginning of a put's body, as the application's commands have it: its tag, and the length of a key here.
const PUT: [u8; 5] = [2, 4, 0, 0, 0];

impl Action {
    /// The command that carries a put, as a leader makes it at a time, with `padding` bytes behind it and perhaps an
    /// idempotency key; a get is no command.
    pub fn command(&self, at: Time, padding: usize, idempotency: Option<Bytes>) -> Option<Bytes> {
        let Action::Put { key, value } = *self else { return None };
        let mut text = BytesMut::with_capacity(8 + padding);
        text.put_u64_le(value);
        text.put_bytes(0, padding);
        let put = Operation::Put { key: key_bytes(key), value: text.freeze() };
        let body = raft_machine::Command::One(put).encode();
        Some(Envelope { time_ms: at / 1000, key: idempotency, body }.encode())
    }

    /// The put in a command; `None` for every other command. Read here on its own: the checkers don't rely on what
    /// they check.
    pub fn of(command: &Bytes) -> Option<Action> {
        let Envelope { body, .. } = Envelope::decode(command.clone()).ok()?;
        let (begins, rest) = body.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (value, _) = rest.split_first_chunk()?;
        let put = Action::Put { key: u32::from_le_bytes(*key).into(), value: u64::from_le_bytes(*value) };
        (*begins == PUT).then_some(put)
    }
}

/// A key as the application has it.
pub(crate) fn key_bytes(key: Key) -> Bytes {
    let key = u32::try_from(key).expect("clients have few keys");
    Bytes::copy_from_slice(&key.to_le_bytes())
}

/// The room that is left on a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// Enough: a process begins with that.
    #[default]
    Enough,
    /// Less than a segment.
    Short,
    /// .. and the log goes on in its reserve.
    InReserve,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Fact<'a> {
    /// A process starts on what its disk gave.
    Started {
        /// Who.
        node: NodeId,
        /// The disk and the boot that it speaks as from now on.
        stamp: Stamp,
        /// What recovery found; its snapshot is the one that the application was restored from.
        recovered: &'a Recovered,
        /// It is no founder (`Config::founders` is `None`): on an empty disk it waits to be taken in.
        joins: bool,
    },
    /// A process is gone; of its writes that were not synced some stay and some go.
    Crashed {
        /// Who.
        node: NodeId,
    },
    /// A fault emptied a disk. Its process is not running.
    Wiped {
        /// Whose.
        node: NodeId,
    },
    /// A seat gets a fresh disk with an id of its own, and its processes start as joining from now on: after a removal,
    /// or to be the replacement of itself. What the node was before, it is no more. Its process is not running.
    Seated {
        /// Whose.
        node: NodeId,
    },
    /// A disk is put back to an earlier state. Its process is not running.
    RolledBack {
        /// Whose.
        node: NodeId,
    },
    /// A process on a disk that its seat had before, beside the seat's own, stands for election or has won it. Then it says
    /// nothing any more.
    Revenant {
        /// The seat's node.
        node: NodeId,
        /// The process.
        stamp: Stamp,
        /// The term.
        term: Term,
        /// Its log.
        log: &'a Log,
        /// Whether it has won.
        leads: bool,
    },
    /// The last copy of a committed entry has decayed: no disk, no process and no message under way has one. No process
    /// is running.
    Ruined {
        /// Which.
        lost: EntryId,
    },
    /// The disks of a quorum have lost writes that they had said were synced. Their processes are not running.
    Perjured,
    /// A message is handed to a node's core.
    Received {
        /// By whom.
        node: NodeId,
        /// Who sent it.
        from: NodeId,
        /// What it says.
        message: &'a Message,
    },
    /// A command is handed to a node's core.
    Proposed {
        /// To whom.
        node: NodeId,
        /// Unique on this node in this boot.
        ticket: Ticket,
        /// The command.
        command: &'a Bytes,
    },
    /// A read is handed to a node's core.
    ReadAsked {
        /// To whom.
        node: NodeId,
        /// Unique on this node in this boot.
        ticket: Ticket,
        /// Whether a lease may answer it.
        lease: bool,
    },
    /// A change of the configuration is handed to a node's core.
    Reconfigured {
        /// To whom.
        node: NodeId,
        /// Unique on this node in this boot.
        ticket: Ticket,
        /// What is to change.
        changes: &'a [Change],
        /// Where the configuration in force is expected to stand.
        expect: Option<Index>,
    },
    /// A hand-over of leadership is asked of a node's core.
    TransferAsked {
        /// To whom it is said.
        node: NodeId,
        /// Unique on this node in this boot.
        ticket: Ticket,
    },
    /// A node is told to stand for election out of turn.
    Nudged {
        /// Who.
        node: NodeId,
    },
    /// A turn is drained. Before the facts of its outputs. [`Fact::stepped`] makes it.
    Stepped {
        /// Who.
        node: NodeId,
        /// The node after it.
        status: Status,
        /// Its log after it.
        log: &'a Log,
    },
    /// A write is handed to the disk. [`Fact::wrote`] makes it.
    Wrote {
        /// By whom.
        node: NodeId,
        /// Its number in this boot.
        number: u64,
        /// What it changes.
        update: &'a Update,
    },
    /// The disk's truth, told before the node hears of it: every write of this boot up to this number is on stable
    /// storage.
    Synced {
        /// Whose disk.
        node: NodeId,
        /// The number.
        through: u64,
    },
    /// A process hears that one of its writes is on stable storage.
    Confirmed {
        /// Whose.
        node: NodeId,
        /// The write's number.
        number: u64,
    },
    /// A message leaves a process.
    Sent {
        /// Whose.
        node: NodeId,
        /// For whom.
        to: NodeId,
        /// What it says.
        message: &'a Message,
    },
    /// A committed entry is applied.
    Applied {
        /// Where.
        node: NodeId,
        /// Which.
        entry: &'a Entry,
    },
    /// The application replies to a client's command that it has applied.
    Replied {
        /// Where.
        node: NodeId,
        /// At which index.
        at: Index,
        /// What it says.
        reply: Reply,
    },
    /// The application is frozen, restored or loaded, or the run is over.
    Keeps {
        /// Where.
        node: NodeId,
        /// It has applied everything up to here.
        at: Index,
        /// The digest of the idempotency keys that it keeps.
        table: u64,
    },
    /// The application freezes its state for a snapshot, at this place of the stream of applies.
    Capturing {
        /// Where.
        node: NodeId,
        /// What the snapshot will stand for.
        base: &'a Base,
        /// The digest of the application's state.
        machine: u64,
    },
    /// A snapshot of a node's own is on stable storage.
    Captured {
        /// Whose.
        node: NodeId,
        /// Which.
        snapshot: &'a Snapshot,
    },
    /// A part of a snapshot is asked of a node's disk, to be sent. [`Fact::Sent`] may come later, or never.
    Fetching {
        /// Whose.
        node: NodeId,
        /// For whom.
        to: NodeId,
        /// How long it is.
        bytes: usize,
    },
    /// What was asked of a node's disk is not there any more: nothing of it will be sent.
    Unread {
        /// Whose.
        node: NodeId,
        /// For whom it was asked.
        to: NodeId,
    },
    /// A chunk of a snapshot is handed to a node's disk.
    Storing {
        /// Whose.
        node: NodeId,
    },
    /// A snapshot that was received is complete, intact, and on stable storage under its final name.
    Stored {
        /// Where.
        node: NodeId,
        /// Which.
        snapshot: &'a Snapshot,
    },
    /// The receipt for the oldest chunk that was handed to a node's disk is handed to its core.
    StoreAnswered {
        /// Whose.
        node: NodeId,
    },
    /// The application has taken over a snapshot's state, at this place of the stream of applies.
    Restored {
        /// Where.
        node: NodeId,
        /// Which.
        snapshot: &'a Snapshot,
        /// The digest of the application's state now.
        machine: u64,
    },
    /// A node says that the log on its disk may forget everything up to here.
    Released {
        /// Who.
        node: NodeId,
        /// The last entry that is not needed.
        through: Index,
    },
    /// Ticks are handed to a node.
    Ticked {
        /// Whose clock.
        node: NodeId,
        /// How many.
        elapsed: u32,
    },
    /// A power cut left a record of a write, and took another one of the same write.
    Parted {
        /// Whose disk.
        node: NodeId,
    },
    /// A process has looked how much room its disk has left, and it is not as before.
    Looked {
        /// Whose.
        node: NodeId,
        /// What it found.
        room: Room,
    },
    /// A ticket is answered.
    Answered {
        /// By whom.
        node: NodeId,
        /// Which.
        ticket: Ticket,
        /// How.
        answer: Answer,
    },
    /// A node stopped itself for good.
    Halted {
        /// Who.
        node: NodeId,
        /// Why.
        report: &'a Report,
    },
    /// A read that may be stale is served from what a node has applied.
    ServedStale {
        /// By whom.
        node: NodeId,
        /// Which.
        read: StaleRead,
    },
    /// A client begins an operation other than such a read.
    Invoked {
        /// Which.
        op: OpId,
        /// What it wants.
        action: &'a Action,
    },
    /// A client is told what became of its operation.
    Returned {
        /// Which.
        op: OpId,
        /// What it was told.
        outcome: Outcome,
    },
    /// The faults are over, and every node that can run does: the liveness phase begins. Fresh writes and reads must
    /// go on until [`crate::invariants::Judges::settled`], since the cluster has to serve one of each.
    Healed,
    /// The healed cluster has settled, and nothing that the faults left is under way: from now on its leader stays.
    Settled,
    /// The run is over.
    Ended,
}

impl<'a> Fact<'a> {
    /// The fact that a turn of this node is drained.
    pub fn stepped(id: NodeId, node: &'a Node) -> Fact<'a> {
        Fact::Stepped { node: id, status: node.status(), log: node.log() }
    }

    /// The fact that this write is handed to the disk.
    pub fn wrote(id: NodeId, write: &'a Write) -> Fact<'a> {
        Fact::Wrote { node: id, number: write.number(), update: write.update() }
    }
}

impl Fact<'_> {
    /// The node that it is about.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Fact::Started { node, .. }
            | Fact::Crashed { node, .. }
            | Fact::Wiped { node, .. }
            | Fact::Seated { node, .. }
            | Fact::RolledBack { node, .. }
            | Fact::Revenant { node, .. }
            | Fact::Received { node, .. }
            | Fact::Proposed { node, .. }
            | Fact::ReadAsked { node, .. }
            | Fact::Reconfigured { node, .. }
            | Fact::TransferAsked { node, .. }
            | Fact::Nudged { node, .. }
            | Fact::Stepped { node, .. }
            | Fact::Wrote { node, .. }
            | Fact::Synced { node, .. }
            | Fact::Confirmed { node, .. }
            | Fact::Sent { node, .. }
            | Fact::Applied { node, .. }
            | Fact::Replied { node, .. }
            | Fact::Keeps { node, .. }
            | Fact::Capturing { node, .. }
            | Fact::Captured { node, .. }
            | Fact::Fetching { node, .. }
            | Fact::Unread { node, .. }
            | Fact::Storing { node, .. }
            | Fact::Stored { node, .. }
            | Fact::StoreAnswered { node, .. }
            | Fact::Restored { node, .. }
            | Fact::Released { node, .. }
            | Fact::Looked { node, .. }
            | Fact::Ticked { node, .. }
            | Fact::Parted { node }
            | Fact::Answered { node, .. }
            | Fact::ServedStale { node, .. }
            | Fact::Halted { node, .. } => Some(*node),
            Fact::Invoked { .. }
            | Fact::Returned { .. }
            | Fact::Healed
            | Fact::Ruined { .. }
            | Fact::Settled
            | Fact::Ended
            | Fact::Perjured => None,
        }
    }
}
