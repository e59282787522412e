//! What a node tells about itself.

use crate::ids::{Boot, EntryId, Index, NodeId, Term};

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
    /// Whether the founding is over for this node.
    pub founded: bool,
    /// Whether it has stopped for good.
    pub halted: bool,
    /// Messages that wait for a write.
    pub held: usize,
    /// Proposals without an answer.
    pub tickets: usize,
    /// Messages dropped because nothing could come of them, or because they were not sound.
    pub ignored: u64,
}
