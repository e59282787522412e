//! Messages and changes of state in words, the same in the simulator's trace and on a running server.

use crate::event::Event;
use crate::membership::{Membership, Standing};
use crate::message::Body;
use crate::status::RoleName;
use core::fmt::{Display, Formatter, Result};

impl Display for RoleName {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            RoleName::Follower => "follower",
            RoleName::PreCandidate => "pre-candidate",
            RoleName::Candidate => "candidate",
            RoleName::Leader => "leader",
        })
    }
}

impl Display for Standing {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Standing::Voter => "voter",
            Standing::Learner => "learner",
            Standing::Entrant => "entrant",
            Standing::Joining => "joining",
            Standing::Leaving => "leaving",
            Standing::Demoting => "demoting",
        })
    }
}

impl Display for Membership {
    /// Each member with its disk on record, or a `!` and the one that was given up; and its standing, unless it is a voter
    /// in both halves.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("{")?;
        for (at, member) in self.members().iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{}", member.id)?;
            match (member.disk, member.replaced) {
                (Some(disk), _) => write!(f, ":{:016x}", disk.0)?,
                (None, Some(disk)) => write!(f, ":!{:016x}", disk.0)?,
                (None, None) => {}
            }
            if member.standing != Standing::Voter {
                write!(f, "/{}", member.standing)?;
            }
        }
        f.write_str("}")
    }
}

impl Body {
    /// The message's kind in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Body::Hello => "Hello",
            Body::HelloReply(_) => "HelloReply",
            Body::PreVote { .. } => "PreVote",
            Body::PreVoteReply { .. } => "PreVoteReply",
            Body::Vote { .. } => "Vote",
            Body::VoteReply { .. } => "VoteReply",
            Body::Append { .. } => "Append",
            Body::Appended { .. } => "Appended",
            Body::Conflict { .. } => "Conflict",
            Body::Heartbeat { .. } => "Heartbeat",
            Body::HeartbeatReply { .. } => "HeartbeatReply",
            Body::Chunk { .. } => "Chunk",
            Body::ChunkReply { .. } => "ChunkReply",
            Body::ReadIndex { .. } => "ReadIndex",
            Body::ReadIndexReply { .. } => "ReadIndexReply",
            Body::Removed { .. } => "Removed",
            Body::RolledBack { .. } => "RolledBack",
            Body::Lacks { .. } => "Lacks",
            Body::Copies { .. } => "Copies",
            Body::Piece { .. } => "Piece",
            Body::TimeoutNow => "TimeoutNow",
            Body::Stale => "Stale",
        }
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Event::Role { role, term, leader: Some(leader) } => {
                write!(f, "{role} in term {term}, leader {leader}")
            }
            Event::Role { role, term, leader: None } => write!(f, "{role} in term {term}, leader -"),
            Event::Membership { at, membership } => write!(f, "in force at {at} {membership}"),
            Event::MembershipCommitted { at } => write!(f, "the configuration at {at} is committed"),
            Event::TransferBegun { to } => write!(f, "handing over to {to}"),
            Event::TransferEnded { to } => write!(f, "not handed over to {to}"),
            Event::Flow { peer, flow } => write!(f, "{flow:?} to {peer}"),
            Event::CaughtUp { peer } => write!(f, "{peer} has caught up"),
            Event::Receiving { from, last } => write!(f, "receiving {last} from {from}"),
            Event::Restored { last } => write!(f, "restored {last}"),
            Event::Captured { last } => write!(f, "captured {last}"),
            Event::Repaired => f.write_str("repaired"),
            Event::Compacted { base } => write!(f, "compacted up to {base}"),
        }
    }
}
