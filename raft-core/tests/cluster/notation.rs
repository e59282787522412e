//! What nodes put out, in the compact notation of the golden scenarios.

use super::Packet;
use raft_core::write::Base;
use raft_core::{
    Acquaintance, Answer, Ballot, Body, Entry, EntryId, Event as Told, Index, LogSlice, Member, Membership,
    Message, NodeId, Output, Payload, Refusal, Report, Snapshot, Standing, Ticket, Update,
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
    /// The application's state is to be replaced.
    Restore {
        at: u64,
        snapshot: Snapshot,
    },
    /// The application's state is to be kept as it is.
    Capture {
        at: u64,
        base: Base,
    },
    /// A part of a snapshot is to be sent.
    Fetch {
        at: u64,
        to: u64,
        last: EntryId,
        offset: u64,
        length: usize,
    },
    /// A part of a snapshot is to be stored.
    Store {
        at: u64,
        snapshot: Snapshot,
        offset: u64,
        length: usize,
    },
    Release {
        at: u64,
        through: Index,
    },
    /// What the node tells about itself.
    Tell {
        at: u64,
        told: Told,
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
            Output::Restore(snapshot) => Event::Restore { at, snapshot: snapshot.clone() },
            Output::Capture(base) => Event::Capture { at, base: base.clone() },
            Output::Fetch(fetch) => Event::Fetch {
                at,
                to: fetch.to().0,
                last: fetch.snapshot().last(),
                offset: fetch.offset(),
                length: fetch.length(),
            },
            Output::Store(store) => Event::Store {
                at,
                snapshot: store.snapshot().clone(),
                offset: store.offset(),
                length: store.data().len(),
            },
            Output::Release { through } => Event::Release { at, through: *through },
            Output::Event(told) => Event::Tell { at, told: told.clone() },
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
            Event::Restore { at, snapshot } => {
                write!(f, "{at} restore {} {}", snapshot.last(), Text(&snapshot.base.membership))
            }
            Event::Capture { at, base } => write!(f, "{at} capture {} {}", base.id, Text(&base.membership)),
            Event::Fetch { at, to, last, offset, length } => {
                write!(f, "{at} fetch {offset}..{} of {last} for {to}", offset + *length as u64)
            }
            Event::Store { at, snapshot, offset, length } => {
                let (end, size) = (offset + *length as u64, snapshot.size);
                write!(f, "{at} store {offset}..{end} of {} with {size} bytes", snapshot.last())
            }
            Event::Release { at, through } => write!(f, "{at} release through {through}"),
            Event::Tell { at, told } => write!(f, "{at} tells: {}", Text(told)),
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
        write!(f, "{from}->{to} {} term={term}{}", body.name(), Text(body))?;
        if sender.boot.0 > 1 {
            write!(f, " boot={}", sender.boot)?;
        }
        match asker {
            Some(asker) if asker.boot.0 > 1 => write!(f, " for={}", asker.boot),
            _ => Ok(()),
        }
    }
}

/// A value in the notation.
pub(crate) struct Text<'a, T>(pub(crate) &'a T);

impl Display for Text<'_, Body> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Body::Hello | Body::TimeoutNow | Body::Stale => Ok(()),
            Body::HelloReply(Acquaintance::Founding) => write!(f, " founding"),
            Body::HelloReply(Acquaintance::OnRecord(membership)) => {
                write!(f, " on record in {}", Text(membership))
            }
            Body::HelloReply(Acquaintance::Stranger) => write!(f, " stranger"),
            Body::HelloReply(Acquaintance::TakenIn) => write!(f, " taken in"),
            Body::PreVote { last, .. } | Body::Vote { last, transfer: false, .. } => {
                write!(f, " last={last}")
            }
            Body::Vote { last, transfer: true, .. } => write!(f, " last={last} transfer"),
            Body::PreVoteReply { answer } | Body::VoteReply { answer } => f.write_str(match answer {
                Ballot::Refused => " refused",
                Ballot::Granted => " granted",
                Ballot::Blind => " granted blindly",
            }),
            Body::Append { slice, commit } => write!(f, "{} commit={commit}", Text(slice)),
            Body::Appended { matched } => write!(f, " matched={matched}"),
            Body::Conflict { asked, hint } => write!(f, " asked={asked} hint={hint}"),
            Body::Heartbeat { commit, round } => write!(f, " commit={commit} round={round}"),
            Body::HeartbeatReply { round } => write!(f, " round={round}"),
            Body::Chunk { snapshot, offset, data } | Body::Piece { snapshot, offset, data } => {
                let (last, size, end) = (snapshot.last(), snapshot.size, offset + data.len() as u64);
                write!(f, " of {last} {offset}..{end}/{size}")?;
                if data.is_empty() { Ok(()) } else { write!(f, " {:?}", String::from_utf8_lossy(data)) }
            }
            Body::ChunkReply { last, have } => write!(f, " of {last} have={have}"),
            Body::ReadIndex { batch } => write!(f, " batch={batch}"),
            Body::ReadIndexReply { batch, index } => write!(f, " batch={batch} index={index}"),
            Body::Removed { at } => write!(f, " at={at}"),
            Body::RolledBack { seen } => write!(f, " seen={seen}"),
            Body::Lacks { first, last, have } if *last == EntryId::default() => write!(f, " first={first}"),
            Body::Lacks { first, last, have } => write!(f, " first={first} last={last} have={have}"),
            Body::Copies { slice } => Text(slice).fmt(f),
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
            Payload::Decayed { length } => write!(f, "{id} decayed, {length} bytes"),
        }
    }
}

impl Display for Text<'_, Membership> {
    /// Each member with its disk on record, or a `!` and the one that was given up; its standing, unless it is a voter
    /// in both halves; and its context.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let text = |member: &Member| {
            let id = member.id;
            let mut text = match (member.disk, member.replaced) {
                (Some(disk), _) => format!("{id}:{disk}"),
                (None, Some(disk)) => format!("{id}:!{disk}"),
                (None, None) => id.to_string(),
            };
            text += &standing(member.standing);
            if !member.context.is_empty() {
                text += &format!("={}", String::from_utf8_lossy(&member.context));
            }
            text
        };
        write!(f, "{{{}}}", self.0.members().iter().map(text).collect::<Vec<_>>().join(" "))
    }
}

/// What is said of a member's standing: nothing, if it is a voter in both halves.
pub(crate) fn standing(standing: Standing) -> String {
    if standing == Standing::Voter { String::new() } else { format!("/{standing}") }
}

impl Display for Text<'_, Told> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Told::Role { role, term, leader } => {
                write!(f, "{role:?} in term {term}, leader {}", Text(leader))
            }
            Told::Membership { at, membership } => write!(f, "in force at {at} {}", Text(membership)),
            other => other.fmt(f),
        }
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
            Answer::Refused(refusal) => write!(f, "refused: {}", Text(refusal)),
            Answer::HandingOver { to } => write!(f, "handing over to {to}"),
            Answer::Lost => write!(f, "lost"),
            Answer::Unknown => write!(f, "unknown"),
        }
    }
}

impl Display for Text<'_, Refusal> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Refusal::TermNotCommitted => write!(f, "nothing of this term is committed yet"),
            Refusal::InProgress { at } => write!(f, "the change at {at} is not complete"),
            Refusal::Moved { at } => write!(f, "the configuration stands at {at}"),
            Refusal::Transferring => write!(f, "leadership is being handed over"),
            Refusal::UnknownMember { id } => write!(f, "{id} is no member"),
            Refusal::AlreadyMember { id } => write!(f, "{id} is a member"),
            Refusal::NotAVoter { id } => write!(f, "{id} doesn't vote"),
            Refusal::AlreadyVoter { id } => write!(f, "{id} votes"),
            Refusal::Leads { id } => write!(f, "{id} leads"),
            Refusal::NotCaughtUp { id } => write!(f, "{id} has not caught up"),
            Refusal::WouldLoseQuorum => write!(f, "no quorum would be heard"),
            Refusal::NotAConfiguration => write!(f, "not a configuration"),
            Refusal::NoChange => write!(f, "nothing would change"),
            Refusal::NoSuccessor => write!(f, "nobody to hand over to"),
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
            Report::Removed { at } => write!(f, "removed by the configuration at {at}"),
            Report::RolledBack { boot, seen, told_by } => {
                write!(f, "rolled back: boot {boot}, and {told_by} has seen {seen}")
            }
            Report::NotOnRecord { disk, on_record, told_by } => {
                let on_record = on_record.map_or("another".into(), |disk| disk.to_string());
                write!(f, "our disk is {disk}, on record is {on_record}, says {told_by}")
            }
        }
    }
}
