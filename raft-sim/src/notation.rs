//! What goes into nodes and comes out of them, in the notation of the golden scenarios: `1->2 Append term=8 prev=10@6`.
//! Inputs have a `<` before them. Long lists are cut, and so are disk ids: here they are numbers without end.

use crate::facts::Action;
use raft_core::{
    Acquaintance, Answer, Ballot, Body, Change, DiskId, Entry, Event, Input, LogSlice, Member, Membership,
    Message, NodeId, Output, Payload, Standing, Update,
};
use std::fmt::{Display, Formatter, Result};

/// A value in the notation.
pub(crate) struct Text<'a, T>(pub(crate) &'a T);

/// Something of a node.
pub(crate) struct At<'a, T>(pub(crate) NodeId, pub(crate) &'a T);

/// A message from one node to another.
pub(crate) struct Packet<'a>(pub(crate) NodeId, pub(crate) NodeId, pub(crate) &'a Message);

impl Display for At<'_, Input> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let At(node, input) = self;
        write!(f, "{node} < ")?;
        match input {
            Input::Tick { elapsed: 1 } => f.write_str("tick"),
            Input::Tick { elapsed } => write!(f, "tick {elapsed}"),
            Input::Receive { from, message } => Packet(*from, *node, message).fmt(f),
            Input::Persisted(receipt) => write!(f, "receipt {}", Receipt(&format!("{receipt:?}"))),
            Input::Propose { ticket, .. } => write!(f, "propose t{ticket}"),
            Input::Read { ticket } => write!(f, "read t{ticket}"),
            Input::LeaseRead { ticket } => write!(f, "lease read t{ticket}"),
            Input::Reconfigure { ticket, changes, expect } => {
                write!(f, "change t{ticket}")?;
                changes.iter().try_for_each(|change| write!(f, " {}", Text(change)))?;
                expect.map_or(Ok(()), |index| write!(f, " expect={index}"))
            }
            Input::Capture => f.write_str("capture"),
            Input::Captured(Some(snapshot)) => write!(f, "captured {}", snapshot.last()),
            Input::Captured(None) => f.write_str("captured nothing"),
            Input::Stored(_) => f.write_str("stored"),
            Input::Missing { last } => write!(f, "missing {last}"),
            Input::Unreachable { peer } => write!(f, "unreachable {peer}"),
            Input::Transfer { ticket, to } => write!(f, "transfer t{ticket} to {}", Text(to)),
            Input::Campaign => f.write_str("campaign"),
            Input::Heartbeat => f.write_str("heartbeat"),
        }
    }
}

/// A receipt tells its number to nobody but a reader of its debug output.
struct Receipt<'a>(&'a str);

impl Display for Receipt<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let number = self.0.rsplit("number: ").next().unwrap_or_default();
        write!(f, "#{}", number.trim_end_matches([' ', '}']))
    }
}

impl Display for At<'_, Output> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let At(node, output) = self;
        match output {
            Output::Persist(write) => write!(f, "{node} persist #{}{}", write.number(), Text(write.update())),
            Output::Send { to, message } => Packet(*node, *to, message).fmt(f),
            Output::Apply(entry) => write!(f, "{node} apply {}", Text(entry)),
            Output::Restore(snapshot) => {
                write!(f, "{node} restore {} {}", snapshot.last(), Text(&snapshot.base.membership))
            }
            Output::Capture(base) => write!(f, "{node} capture {} {}", base.id, Text(&base.membership)),
            Output::Fetch(fetch) => {
                let (from, last, to) = (fetch.offset(), fetch.snapshot().last(), fetch.to());
                write!(f, "{node} fetch {from}..{} of {last} for {to}", from + fetch.length() as u64)
            }
            Output::Store(store) => {
                let (from, last, size) = (store.offset(), store.snapshot().last(), store.snapshot().size);
                let end = from + store.data().len() as u64;
                write!(f, "{node} store {from}..{end} of {last} with {size} bytes")
            }
            Output::Release { through } => write!(f, "{node} release through {through}"),
            Output::Event(event) => write!(f, "{node} tells: {}", Text(event)),
            Output::Answer { ticket, answer } => write!(f, "{node} answer t{ticket} {}", Text(answer)),
            Output::Halt(report) => write!(f, "{node} halt: {report:?}"),
        }
    }
}

impl Display for Packet<'_> {
    /// Boots are named only after a restart: `boot` is the sender's, `for` the asker's.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Packet(from, to, Message { from: sender, to: asker, term, body }) = self;
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
                let end = offset + data.len() as u64;
                write!(f, " of {} {offset}..{end}/{}", snapshot.last(), snapshot.size)
            }
            Body::ChunkReply { last, have } => write!(f, " of {last} have={have}"),
            Body::ReadIndex { batch } => write!(f, " batch={batch}"),
            Body::ReadIndexReply { batch, index } => write!(f, " batch={batch} index={index}"),
            Body::Removed { at } => write!(f, " at={at}"),
            Body::RolledBack { seen } => write!(f, " seen={seen}"),
            Body::Lacks { first, last, have } => write!(f, " first={first} last={last} have={have}"),
            Body::Copies { slice } => Text(slice).fmt(f),
        }
    }
}

impl Display for Text<'_, LogSlice> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, " prev={} [{}]", self.0.prev(), Text(&self.0.entries()))
    }
}

impl Display for Text<'_, &[Entry]> {
    /// Up to three entries in full, of more the first and the last.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            [first, _, _, .., last] => write!(f, "{} .. {}", first.id(), last.id()),
            few => few
                .iter()
                .enumerate()
                .try_for_each(|(at, entry)| write!(f, "{}{}", if at == 0 { "" } else { ", " }, Text(entry))),
        }
    }
}

impl Display for Text<'_, Entry> {
    /// A no-op is its id alone.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let id = self.0.id();
        match self.0.payload() {
            Payload::Noop => id.fmt(f),
            Payload::Command(command) => match Action::of(command) {
                Some(Action::Put { key, value }) => write!(f, "{id} k{key}={value}"),
                _ => write!(f, "{id} of {} bytes", command.len()),
            },
            Payload::Membership(membership) => write!(f, "{id} {}", Text(membership)),
            Payload::Decayed { length } => write!(f, "{id} decayed, {length} bytes"),
        }
    }
}

impl Display for Text<'_, Membership> {
    /// Each member with the end of its disk on record, or a `!` and the one that was given up; and its standing, unless
    /// it is a voter in both halves.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let end = |disk: DiskId| disk.0 & 0xf_ffff;
        let text = |member: &Member| {
            let id = member.id;
            let named = match (member.disk, member.replaced) {
                (Some(disk), _) => format!("{id}:{:x}", end(disk)),
                (None, Some(disk)) => format!("{id}:!{:x}", end(disk)),
                (None, None) => id.to_string(),
            };
            named + &standing(member.standing)
        };
        write!(f, "{{{}}}", self.0.members().iter().map(text).collect::<Vec<_>>().join(" "))
    }
}

/// What is said of a member's standing: nothing, if it is a voter in both halves.
fn standing(standing: Standing) -> String {
    if standing == Standing::Voter { String::new() } else { format!("/{standing}") }
}

impl Display for Text<'_, Change> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Change::Add { id, votes: true, .. } => write!(f, "add {id}"),
            Change::Add { id, votes: false, .. } => write!(f, "learn {id}"),
            Change::Promote { id } => write!(f, "promote {id}"),
            Change::Demote { id } => write!(f, "demote {id}"),
            Change::Remove { id } => write!(f, "remove {id}"),
            Change::Replace { id, .. } => write!(f, "replace {id}"),
            Change::Update { id, .. } => write!(f, "update {id}"),
        }
    }
}

impl Display for Text<'_, Event> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Event::Membership { at, membership } => write!(f, "in force at {at} {}", Text(membership)),
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
            write!(f, " base={}", base.id)?;
        }
        if let Some(keep) = &self.0.keep {
            write!(f, " keep={keep}")?;
        }
        if self.0.entries.is_empty() {
            return Ok(());
        }
        write!(f, " +{}", Text(&self.0.entries.as_slice()))
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
            Answer::Refused(refusal) => write!(f, "refused: {refusal:?}"),
            Answer::HandingOver { to } => write!(f, "handing over to {to}"),
            Answer::Lost => write!(f, "lost"),
            Answer::Unknown => write!(f, "unknown"),
        }
    }
}
