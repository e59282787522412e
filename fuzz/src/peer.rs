//! What other servers may say: anything sound, near enough to the truth to be listened to, or the answer that the
//! node hopes for.

use crate::draw::Draw;
use bytes::Bytes;
use raft_core::{
    Acquaintance, Body, Boot, DiskId, Entry, EntryId, Index, LogSlice, Member, Membership, Message, Node,
    NodeId, Payload, Round, Stamp, Standing, Term,
};

/// The data directory that is on record for a member.
pub(crate) fn disk(id: NodeId) -> DiskId {
    DiskId(100 + id.0)
}

/// Members with these standings, the first of id 1, with their disks on record.
pub(crate) fn members(standings: impl IntoIterator<Item = Standing>) -> Option<Membership> {
    let member = |(id, standing)| {
        let id = NodeId(id);
        Member { id, disk: Some(disk(id)), standing, context: Bytes::new() }
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
    if let Body::Append { slice, .. } = &body {
        term = term.max(slice.last().term);
    }
    (id, Message { from, to: body.is_reply().then_some(asker), term, body })
}

fn body(draw: &mut Draw<'_>, node: &Node) -> Body {
    let status = node.status();
    match draw.below(16) {
        0 => Body::Hello,
        1 => Body::HelloReply(Acquaintance::Founding),
        2 => Body::HelloReply(Acquaintance::Stranger),
        3 => Body::HelloReply(
            members([Standing::Voter; 3]).map_or(Acquaintance::Founding, Acquaintance::OnRecord),
        ),
        4 => Body::PreVote { last: id(draw, node) },
        5 => Body::PreVoteReply { granted: draw.rarely(2) },
        6 => Body::Vote { last: id(draw, node), transfer: draw.rarely(2) },
        7 => Body::VoteReply { granted: draw.rarely(2) },
        8 => Body::Appended { matched: Index(draw.near(status.last.index.0)) },
        9 => Body::Conflict { asked: id(draw, node), hint: id(draw, node) },
        10 => Body::Heartbeat { commit: Index(draw.near(status.commit.0)), round: Round(draw.near(1)) },
        11 => Body::HeartbeatReply { round: Round(draw.near(1)) },
        12 => Body::TimeoutNow,
        13 => Body::Stale,
        _ => Body::Append { slice: slice(draw, node), commit: Index(draw.near(status.last.index.0)) },
    }
}

/// An entry's id near the end of the node's log, mostly one that it holds.
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

fn payload(draw: &mut Draw<'_>) -> Payload {
    let standings =
        [Standing::Voter, Standing::Learner, Standing::Joining, Standing::Leaving, Standing::Demoting];
    match draw.below(8) {
        0 => Payload::Noop,
        1 => {
            let count = draw.below(6);
            members((0..count).map(|_| standings[draw.below(5)])).map_or(Payload::Noop, Payload::Membership)
        }
        size => Payload::Command(vec![draw.byte(); size - 2].into()),
    }
}

/// The answer that the sender of a message hopes for.
pub(crate) fn favourable(to: NodeId, sent: &Message) -> Option<Message> {
    let body = match &sent.body {
        Body::Hello => Body::HelloReply(Acquaintance::Founding),
        Body::PreVote { .. } => Body::PreVoteReply { granted: true },
        Body::Vote { .. } => Body::VoteReply { granted: true },
        Body::Append { slice, .. } => Body::Appended { matched: slice.last().index },
        Body::Heartbeat { round, .. } => Body::HeartbeatReply { round: *round },
        _ => return None,
    };
    let from = Stamp { disk: disk(to), boot: Boot(1) };
    Some(Message { from, to: Some(sent.from), term: sent.term, body })
}
