//! What nodes put out, in the compact notation of the golden scenarios.

use super::Packet;
use raft_core::{
    Acquaintance, Answer, Body, Entry, LogSlice, Member, Membership, Message, NodeId, Output, Payload,
    Report, Ticket, Update,
};
use std::fmt::{Display, Formatter, Result};

/// One output of one node, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Persist {
        at: u64,
        number: u64,
        update: Update,
    },
    Send(Packet),
    /// Lost on its way.
    Lost(Packet),
    Apply {
        at: u64,
        entry: Entry,
    },
    Answer {
        at: u64,
        ticket: Ticket,
        answer: Answer,
    },
    Halt {
        at: u64,
        report: Report,
    },
    /// A message that came to nothing.
    Ignored(Packet),
    /// A crash took this write.
    Gone {
        at: u64,
        number: u64,
    },
}

impl Event {
    pub(crate) fn of(at: u64, output: &Output, cut: &[(u64, u64)]) -> Event {
        match output {
            Output::Persist(write) => {
                Event::Persist { at, number: write.number(), update: write.update().clone() }
            }
            Output::Send { to, message } => {
                let packet = Packet { from: at, to: to.0, message: message.clone() };
                if cut.contains(&(at, to.0)) { Event::Lost(packet) } else { Event::Send(packet) }
            }
            Output::Apply(entry) => Event::Apply { at, entry: entry.clone() },
            Output::Answer { ticket, answer } => Event::Answer { at, ticket: *ticket, answer: *answer },
            Output::Halt(report) => Event::Halt { at, report: report.clone() },
        }
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Event::Persist { at, number, update } => write!(f, "{at} persist #{number}{}", Text(update)),
            Event::Send(packet) => packet.fmt(f),
            Event::Lost(packet) => write!(f, "{packet} (lost)"),
            Event::Apply { at, entry } => write!(f, "{at} apply {}", Text(entry)),
            Event::Answer { at, ticket, answer } => write!(f, "{at} answer t{ticket} {}", Text(answer)),
            Event::Halt { at, report } => write!(f, "{at} halt: {}", Text(report)),
            Event::Gone { at, number } => write!(f, "{at} loses #{number}"),
            Event::Ignored(packet) => write!(f, "{} ignores {packet}", packet.to),
        }
    }
}

impl Display for Packet {
    /// Boots are named only after a restart: `boot` is the sender's, `for` the asker's.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Packet { from, to, message: Message { from: sender, to: asker, term, body } } = self;
        write!(f, "{from}->{to} {} term={term}{}", name(body), Text(body))?;
        if sender.boot.0 > 1 {
            write!(f, " boot={}", sender.boot)?;
        }
        match asker {
            Some(asker) if asker.boot.0 > 1 => write!(f, " for={}", asker.boot),
            _ => Ok(()),
        }
    }
}

fn name(body: &Body) -> &'static str {
    match body {
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
        Body::TimeoutNow => "TimeoutNow",
        Body::Stale => "Stale",
    }
}

/// A value in the notation.
pub(crate) struct Text<'a, T>(pub(crate) &'a T);

impl Display for Text<'_, Body> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let verdict = |granted: bool| if granted { " granted" } else { " refused" };
        match self.0 {
            Body::Hello | Body::TimeoutNow | Body::Stale => Ok(()),
            Body::HelloReply(Acquaintance::Founding) => write!(f, " founding"),
            Body::HelloReply(Acquaintance::OnRecord(membership)) => {
                write!(f, " on record in {}", Text(membership))
            }
            Body::HelloReply(Acquaintance::Stranger) => write!(f, " stranger"),
            Body::PreVote { last } | Body::Vote { last, transfer: false } => write!(f, " last={last}"),
            Body::Vote { last, transfer: true } => write!(f, " last={last} transfer"),
            Body::PreVoteReply { granted } | Body::VoteReply { granted } => f.write_str(verdict(*granted)),
            Body::Append { slice, commit } => write!(f, "{} commit={commit}", Text(slice)),
            Body::Appended { matched } => write!(f, " matched={matched}"),
            Body::Conflict { asked, hint } => write!(f, " asked={asked} hint={hint}"),
            Body::Heartbeat { commit, round } => write!(f, " commit={commit} round={round}"),
            Body::HeartbeatReply { round } => write!(f, " round={round}"),
        }
    }
}

impl Display for Text<'_, LogSlice> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let entries: Vec<String> = self.0.entries().iter().map(|entry| Text(entry).to_string()).collect();
        write!(f, " prev={} [{}]", self.0.prev(), entries.join(", "))
    }
}

impl Display for Text<'_, Entry> {
    /// A no-op is its id alone.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let id = self.0.id();
        match self.0.payload() {
            Payload::Noop => id.fmt(f),
            Payload::Command(command) => write!(f, "{id} {}", String::from_utf8_lossy(command)),
            Payload::Membership(membership) => write!(f, "{id} {}", Text(membership)),
        }
    }
}

impl Display for Text<'_, Membership> {
    /// Each voter with its disk on record.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let text = |member: &Member| match member.disk {
            Some(disk) => format!("{}:{disk}", member.id),
            None => member.id.to_string(),
        };
        write!(f, "{{{}}}", self.0.members().iter().map(text).collect::<Vec<_>>().join(" "))
    }
}

impl Display for Text<'_, Update> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(hard) = &self.0.hard {
            write!(f, " boot={} term={} vote={}", hard.boot, hard.term, Text(&hard.vote))?;
        }
        if let Some(base) = &self.0.base {
            write!(f, " base={} {}", base.id, Text(&base.membership))?;
        }
        if let Some(keep) = &self.0.keep {
            write!(f, " keep={keep}")?;
        }
        self.0.entries.iter().try_for_each(|entry| write!(f, " +{}", Text(entry)))
    }
}

impl Display for Text<'_, Option<NodeId>> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("-"),
        }
    }
}

impl Display for Text<'_, Answer> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Answer::Committed(id) => write!(f, "committed {id}"),
            Answer::ReadAt(index) => write!(f, "read at {index}"),
            Answer::NotLeader { leader: Some(leader) } => write!(f, "not leader, {leader} is"),
            Answer::NotLeader { leader: None } => write!(f, "not leader, nobody is known"),
            Answer::Busy(limit) => write!(f, "busy: {limit:?}"),
            Answer::Lost => write!(f, "lost"),
            Answer::Unknown => write!(f, "unknown"),
        }
    }
}

impl Display for Text<'_, Report> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Report::ConflictBelowCommit { theirs, ours } => {
                write!(f, "the leader's {theirs} conflicts with our committed {ours}")
            }
            Report::LostAcknowledged { commit, last } => {
                write!(f, "we acknowledged {commit}, our log ends at {last}")
            }
            Report::SameIdOtherEntry { id } => write!(f, "two different entries {id}"),
            Report::NotOnRecord { disk, on_record, told_by } => {
                let on_record = on_record.map_or("another".into(), |disk| disk.to_string());
                write!(f, "our disk is {disk}, on record is {on_record}, says {told_by}")
            }
        }
    }
}
