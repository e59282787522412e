//! What servers say to each other. Requests and replies carry the sender's stamp; a reply also the asker's, so that it
//! counts only for the process that asked (rule 16 of `docs/protocol.md`).

use crate::entry::LogSlice;
use crate::ids::{Boot, EntryId, Index, Round, Stamp, Term};
use crate::membership::Membership;
use crate::snapshot::Snapshot;
use bytes::Bytes;

/// A message between two servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The process that sent it.
    pub from: Stamp,
    /// Replies: the process that asked. Requests: `None`.
    pub to: Option<Stamp>,
    /// The sender's term; for a pre-vote and its granted reply, the term that is asked for.
    pub term: Term,
    /// What is said.
    pub body: Body,
}

/// What a voter says to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ballot {
    /// No.
    Refused,
    /// Yes, and the candidate's log is at least as up-to-date as the voter's (paper section 5.4.1).
    Granted,
    /// Yes, for the term alone: the voter's log goes further, but its disk has lost commands of it. Such votes make a leader
    /// the only one of its term. That its log has all that is committed others must vouch for: see
    /// [`Membership::meets_quorums`].
    Blind,
}

impl Ballot {
    /// Whether the vote is given.
    pub fn is_yes(self) -> bool {
        self != Ballot::Refused
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// A founder asks whether the other is there, and whether the cluster is formed already.
    Hello,
    /// The answer: see [`Acquaintance`].
    HelloReply(Acquaintance),
    /// Would you vote for me in this term (dissertation 9.6)? `last` is the candidate's last entry.
    PreVote {
        /// The candidate's last entry.
        last: EntryId,
        /// The candidate's configuration stands in its log, and is not the founders' hearsay of each other.
        recorded: bool,
    },
    /// The answer to a pre-vote.
    PreVoteReply {
        /// What the answer to a request for a real vote would be now.
        answer: Ballot,
    },
    /// RequestVote (Figure 2).
    Vote {
        /// The candidate's last entry.
        last: EntryId,
        /// The leader itself asked for this election: being in touch with it is no reason to refuse.
        transfer: bool,
        /// The candidate's configuration stands in its log, and is not the founders' hearsay of each other.
        recorded: bool,
    },
    /// The answer to a request for a vote.
    VoteReply {
        /// Whether the vote was given.
        answer: Ballot,
    },
    /// AppendEntries (Figure 2) with its entries, possibly none.
    Append {
        /// Entries, and the one before them.
        slice: LogSlice,
        /// The leader's commit index.
        commit: Index,
    },
    /// The follower holds everything up to here, durably, in the leader's order.
    Appended {
        /// The last entry that the append covered.
        matched: Index,
    },
    /// The follower doesn't hold the entry before the append.
    Conflict {
        /// The `prev` that was asked about.
        asked: EntryId,
        /// The newest entry of the follower before it whose term is not above the asked one: a match may stand at or
        /// before it, and nowhere after.
        hint: EntryId,
    },
    /// The leader is there. Never waits behind data.
    Heartbeat {
        /// min(leader's commit, what this follower acknowledged).
        commit: Index,
        /// The newest round of this leader.
        round: Round,
    },
    /// The answer to a heartbeat.
    HeartbeatReply {
        /// The round that was heard.
        round: Round,
    },
    /// A part of a snapshot, or with no data at its end the question what has become of it (dissertation 5.3).
    Chunk {
        /// The whole of which this is a part.
        snapshot: Snapshot,
        /// Where in the snapshot the data begins, in bytes.
        offset: u64,
        /// The data.
        data: Bytes,
    },
    /// What the follower has of a snapshot.
    ChunkReply {
        /// The last entry that the snapshot covers.
        last: EntryId,
        /// Everything before this byte.
        have: u64,
    },
    /// A follower asks which index its reads need (dissertation 6.4).
    ReadIndex {
        /// The follower's name for all reads that it asks for with this; only grows within a boot.
        batch: Round,
    },
    /// The answer: leadership was confirmed after the question.
    ReadIndexReply {
        /// The follower's name for the question.
        batch: Round,
        /// What must be applied before the reads are served.
        index: Index,
    },
    /// The receiver is not a member any more: the configuration at this index, which is committed, is without its disk. An
    /// answer to whatever it said last, so that it reaches no other process of that id.
    Removed {
        /// Where the configuration stands.
        at: Index,
    },
    /// The receiver is not the newest process of its disk: a later boot was heard before what it says. Its disk was put
    /// back to an older state, or copied. An answer to whatever it said, so that it reaches that process alone, and
    /// nobody if what was heard was only late.
    RolledBack {
        /// The boot that was heard.
        seen: Boot,
    },
    /// The sender's disk has lost the command of this entry, of which it has the id: whoever holds it sends it, or what of a
    /// snapshot that covers it is not here yet.
    Lacks {
        /// The first such entry.
        first: EntryId,
        /// The last entry of the snapshot that is half here.
        last: EntryId,
        /// Everything of it before this byte.
        have: u64,
    },
    /// Entries that the sender holds: the first is the one that was asked for.
    Copies {
        /// The entries, and the one before them.
        slice: LogSlice,
    },
    /// A part of a snapshot of the sender's that covers the entry that was asked for.
    Piece {
        /// The whole of which this is a part.
        snapshot: Snapshot,
        /// Where in the snapshot the data begins, in bytes.
        offset: u64,
        /// The data.
        data: Bytes,
    },
    /// The leader hands over: campaign at once (dissertation 3.10).
    TimeoutNow,
    /// The request's term is over; this message's term is the newer one.
    Stale,
}

/// What a server knows of the founder that said hello.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Acquaintance {
    /// This server knows of nothing against the asker's disk, and of no committed record of it either.
    Founding,
    /// The cluster is formed, and the asker's disk is on record in its committed log: this is what it was founded with.
    OnRecord(Membership),
    /// The cluster is formed, and the asker's disk is on record; what it was founded with is behind a snapshot. The asker
    /// waits until a leader brings it the log, like a joining server.
    TakenIn,
    /// The cluster is formed, and the asker is not on record with this disk: it was wiped, or never belonged.
    Stranger,
}

impl Body {
    /// Whether this answers a request; replies are sent only to the process that asked.
    pub fn is_reply(&self) -> bool {
        match self {
            Body::HelloReply(_)
            | Body::PreVoteReply { .. }
            | Body::VoteReply { .. }
            | Body::Appended { .. }
            | Body::Conflict { .. }
            | Body::HeartbeatReply { .. }
            | Body::ChunkReply { .. }
            | Body::ReadIndexReply { .. }
            | Body::Removed { .. }
            | Body::RolledBack { .. }
            | Body::Copies { .. }
            | Body::Piece { .. }
            | Body::Stale => true,
            Body::Hello
            | Body::PreVote { .. }
            | Body::Vote { .. }
            | Body::Append { .. }
            | Body::Heartbeat { .. }
            | Body::Chunk { .. }
            | Body::ReadIndex { .. }
            | Body::Lacks { .. }
            | Body::TimeoutNow => false,
        }
    }
}

impl Message {
    /// Whether the parts fit together: a reply names its asker, a request doesn't, no entry is of a later term than the
    /// message, and a chunk lies within its snapshot. What isn't sound is dropped where bytes become values.
    pub fn is_sound(&self) -> bool {
        let entries = match &self.body {
            Body::Append { slice, .. } | Body::Copies { slice } => slice.last().term <= self.term,
            Body::Chunk { snapshot, offset, data } | Body::Piece { snapshot, offset, data } => {
                let end = offset.checked_add(data.len() as u64);
                snapshot.base.id.term <= self.term
                    && (snapshot.base.id.term == Term(0)) == (snapshot.base.id.index == Index(0))
                    && end.is_some_and(|end| end <= snapshot.size)
            }
            _ => true,
        };
        entries && self.body.is_reply() == self.to.is_some()
    }
}
