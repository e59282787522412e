//! What a node tells about itself.

use crate::ids::{Boot, EntryId, Index, NodeId, Term};
use crate::membership::{Membership, Standing};

/// The role of a server (Figure 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether an election could be won.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
}

/// A node at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// This start of it.
    pub boot: Boot,
    /// Its role.
    pub role: RoleName,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in this term.
    pub vote: Option<NodeId>,
    /// The leader that it knows of.
    pub leader: Option<NodeId>,
    /// The highest index known to be committed.
    pub commit: Index,
    /// The highest index put out as `Apply`.
    pub applied: Index,
    /// The end of the unbroken durable part of the log.
    pub durable: Index,
    /// The last entry of the log.
    pub last: EntryId,
    /// The last entry before the log: a snapshot covers it.
    pub base: EntryId,
    /// The last entry that the newest snapshot covers.
    pub snapshot: Option<EntryId>,
    /// The configuration in force, committed or not; without members before the founding.
    pub membership: Membership,
    /// Where it stands in the log; the base's index if it came with a snapshot, or with a log that begins behind it.
    pub membership_at: Index,
    /// To whom leadership is being handed over.
    pub transferring: Option<NodeId>,
    /// Whether the founding is over for this node.
    pub founded: bool,
    /// Whether it has stopped for good.
    pub halted: bool,
    /// Messages that wait for a write.
    pub held: usize,
    /// Proposals without an answer.
    pub tickets: usize,
    /// Commands of the log that this disk has lost, and no peer has given back yet.
    pub decayed: usize,
    /// Messages dropped because nothing could come of them, or because they were not sound.
    pub ignored: u64,
}

/// How a member is sent the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowName {
    /// Where the logs meet isn't known: one append at a time.
    Probe,
    /// Entries are streamed.
    Replicate,
    /// A snapshot is streamed.
    Snapshot,
}

/// Why a member doesn't hold all that the leader holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lag {
    /// It holds all.
    None,
    /// It was not heard for an election timeout.
    Silent,
    /// Where its log meets the leader's is being asked.
    Probing,
    /// A snapshot is on its way.
    Snapshot {
        /// What it has of it, in bytes.
        have: u64,
        /// All of it, in bytes.
        size: u64,
    },
    /// As much is on its way as the limits allow.
    WindowFull,
    /// The last entries are on their way.
    OnTheWay,
}

/// What a leader knows of a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerStatus {
    /// Who.
    pub id: NodeId,
    /// What it may do.
    pub standing: Standing,
    /// How it is sent the log.
    pub flow: FlowName,
    /// Everything up to here is durable there.
    pub matched: Index,
    /// The next entry to send.
    pub next: Index,
    /// Payload bytes on their way.
    pub bytes: usize,
    /// How many ticks ago it was last heard.
    pub silent: u64,
    /// Why it doesn't hold all.
    pub lag: Lag,
}
