//! What other servers may say: anything sound, near enough to the truth to be listened to, or the answer that the
//! node hopes for.

use crate::draw::Draw;
use bytes::Bytes;
use raft_core::write::Base;
use raft_core::{
    Acquaintance, Ballot, Body, Boot, DiskId, Entry, EntryId, Index, LogSlice, Member, Membership, Message,
    Node, NodeId, Payload, Round, Snapshot, Stamp, Standing, Term,
};

/// The data directory that is on record for a member.
pub(crate) fn disk(id: NodeId) -> DiskId {
    DiskId(100 + id.0)
}

/// Members with these standings, the first of id 1, with their disks on record.
pub(crate) fn members(standings: impl IntoIterator<Item = Standing>) -> Option<Membership> {
    let member = |(id, standing)| {
        let id = NodeId(id);
        Member { disk: Some(disk(id)), ..Member::new(id, standing, Bytes::new()) }
    };
    Membership::new((1..).zip(standings).map(member).collect())
}

/// Any sound message, from any of five servers.
pub(crate) fn arbitrary(draw: &mut Draw<'_>, node: &Node) -> (NodeId, Message) {
    let id = NodeId(1 + draw.below(5) as u64);
    let disk = if draw.rarely(16) { DiskId(draw.near(100)) } else { disk(id) };
    let from = Stamp { disk, boot: Boot(if draw.rarely(8) { draw.near(1) } else { 1 }) };
    let mut asker = node.stamp();
    if draw.rarely(16) {
        asker.boot = Boot(draw.near(asker.boot.0));
    }
    let mut term = Term(draw.near(node.status().term.0));
    let body = body(draw, node);
    match &body {
        Body::Append { slice, .. } | Body::Copies { slice } => term = term.max(slice.last().term),
        Body::Chunk { snapshot, .. } | Body::Piece { snapshot, .. } => term = term.max(snapshot.last().term),
        _ => {}
    }
    (id, Message { from, to: body.is_reply().then_some(asker), term, body })
}

fn body(draw: &mut Draw<'_>, node: &Node) -> Body {
    let status = node.status();
    match draw.below(28) {
        0 => Body::Hello,
        1 => Body::HelloReply(Acquaintance::Founding),
        2 => Body::HelloReply(Acquaintance::Stranger),
        3 => Body::HelloReply(
            members([Standing::Voter; 3]).map_or(Acquaintance::Founding, Acquaintance::OnRecord),
        ),
        4 => Body::PreVote { last: id(draw, node), recorded: true },
        5 => Body::PreVoteReply { answer: answer(draw) },
        6 => Body::Vote { last: id(draw, node), transfer: draw.rarely(2), recorded: true },
        7 => Body::VoteReply { answer: answer(draw) },
        8 => Body::Appended { matched: Index(draw.near(status.last.index.0)) },
        9 => Body::Conflict { asked: id(draw, node), hint: id(draw, node) },
        10 => Body::Heartbeat { commit: Index(draw.near(status.commit.0)), round: Round(draw.near(1)) },
        11 => Body::HeartbeatReply { round: Round(draw.near(1)) },
        12 => Body::TimeoutNow,
        13 => Body::Stale,
        14 if draw.rarely(3) => Body::RolledBack { seen: Boot(1 + draw.below(4) as u64) },
        14 => Body::Removed { at: Index(draw.near(status.commit.0)) },
        15 => Body::ReadIndex { batch: Round(draw.near(1)) },
        16 => Body::ReadIndexReply { batch: Round(draw.near(1)), index: Index(draw.near(status.commit.0)) },
        17 => Body::ChunkReply { last: node.log().base(), have: draw.near(8) },
        18 => chunk(draw, node, None),
        19..21 => {
            let ahead = 1 + draw.below(6) as u64;
            chunk(draw, node, Some(ahead))
        }
        21 => Body::Lacks { first: id(draw, node), last: id(draw, node), have: draw.near(8) },
        22 => Body::Copies { slice: slice(draw, node) },
        23 => {
            let ahead = 1 + draw.below(6) as u64;
            match chunk(draw, node, Some(ahead)) {
                Body::Chunk { snapshot, offset, data } => Body::Piece { snapshot, offset, data },
                other => other,
            }
        }
        _ => Body::Append { slice: slice(draw, node), commit: Index(draw.near(status.last.index.0)) },
    }
}

/// An entry's id near the end of the node's log, mostly one that it holds.
fn answer(draw: &mut Draw<'_>) -> Ballot {
    match draw.below(4) {
        0 => Ballot::Refused,
        1 => Ballot::Blind,
        _ => Ballot::Granted,
    }
}

fn id(draw: &mut Draw<'_>, node: &Node) -> EntryId {
    let index = Index(draw.near(node.status().last.index.0));
    match node.log().id_at(index) {
        Some(held) if !draw.rarely(4) => held,
        _ => EntryId { term: Term(draw.near(node.status().term.0)), index },
    }
}

fn slice(draw: &mut Draw<'_>, node: &Node) -> LogSlice {
    let prev = id(draw, node);
    let mut last = prev;
    let mut entries = Vec::new();
    for _ in 0..draw.below(5) {
        let later = if draw.rarely(4) { draw.near(3) } else { 0 };
        let (Some(index), Some(term)) = (last.index.0.checked_add(1), last.term.0.checked_add(later)) else {
            break;
        };
        last = EntryId::new(term.max(1), index);
        entries.push(Entry::new(last, payload(draw)));
    }
    LogSlice::new(prev, entries)
        .or_else(|| LogSlice::new(EntryId::ORIGIN, vec![]))
        .expect("nothing after nothing")
}

/// A part of a snapshot of a log that is so much longer than this one, or of any.
fn chunk(draw: &mut Draw<'_>, node: &Node, ahead: Option<u64>) -> Body {
    let status = node.status();
    let id = match ahead {
        Some(ahead) => EntryId {
            term: status.term.max(Term(1)),
            index: Index(status.last.index.0.saturating_add(ahead)),
        },
        None => id(draw, node),
    };
    let id = if id.index == Index(0) || id.term == Term(0) { EntryId::ORIGIN } else { id };
    let standings = (0..1 + draw.below(4)).map(|_| STANDINGS[draw.below(6)]).collect::<Vec<_>>();
    let membership = members(standings).or_else(|| members([Standing::Voter; 2])).expect("two voters");
    let size = draw.below(12) as u64;
    let offset = draw.below(12).min(size as usize);
    let data = Bytes::from(vec![7; draw.below(12).min(size as usize - offset)]);
    let base = Base { id, hash: u64::from(draw.rarely(2)), membership };
    Body::Chunk { snapshot: Snapshot { base, size, digest: 1 }, offset: offset as u64, data }
}

const STANDINGS: [Standing; 6] = [
    Standing::Voter,
    Standing::Learner,
    Standing::Entrant,
    Standing::Joining,
    Standing::Leaving,
    Standing::Demoting,
];

fn payload(draw: &mut Draw<'_>) -> Payload {
    match draw.below(8) {
        0 => Payload::Noop,
        1 => {
            let count = draw.below(6);
            members((0..count).map(|_| STANDINGS[draw.below(6)])).map_or(Payload::Noop, Payload::Membership)
        }
        size => Payload::Command(vec![draw.byte(); size - 2].into()),
    }
}

/// The answer that the sender of a message hopes for.
pub(crate) fn favourable(to: NodeId, sent: &Message) -> Option<Message> {
    let body = match &sent.body {
        Body::Hello => Body::HelloReply(Acquaintance::Founding),
        Body::PreVote { .. } => Body::PreVoteReply { answer: Ballot::Granted },
        Body::Vote { .. } => Body::VoteReply { answer: Ballot::Granted },
        Body::Append { slice, .. } => Body::Appended { matched: slice.last().index },
        Body::Heartbeat { round, .. } => Body::HeartbeatReply { round: *round },
        Body::Chunk { snapshot, offset, data } => {
            Body::ChunkReply { last: snapshot.last(), have: offset + data.len() as u64 }
        }
        Body::ReadIndex { batch } => Body::ReadIndexReply { batch: *batch, index: Index(0) },
        _ => return None,
    };
    Some(reply(to, sent, body))
}

/// An answer of whom a message was sent to.
pub(crate) fn reply(to: NodeId, sent: &Message, body: Body) -> Message {
    let from = Stamp { disk: disk(to), boot: Boot(1) };
    Message { from, to: Some(sent.from), term: sent.term, body }
}
