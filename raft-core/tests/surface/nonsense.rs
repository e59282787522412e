//! What other servers may say: any sound message, from anybody, at any time. Nothing of it panics.

use crate::Draw;
use crate::cluster::{Event, config, disk_of, founded, with_log};
use raft_core::{
    Acquaintance, Answer, Ballot, Body, Boot, Change, Entry, EntryId, Index, Input, LogSlice, Member,
    Membership, Message, Node, NodeId, Output, Payload, Recovered, Report, Round, Snapshot, Stamp, Standing,
    Term, Ticket,
};

/// Mostly small, rarely the largest there are.
fn number(draw: &mut Draw) -> u64 {
    match draw.below(60) {
        0 => u64::MAX - draw.below(3),
        _ => draw.below(7),
    }
}

/// Mostly an entry that the node holds.
fn id(draw: &mut Draw, node: &Node) -> EntryId {
    let held = node.log().id_at(Index(draw.below(node.status().last.index.0 + 1)));
    match held {
        Some(held) if !draw.rarely(4) => held,
        _ => EntryId::new(number(draw), number(draw)),
    }
}

/// Mostly an index that the node has reached: more would halt it.
fn index(draw: &mut Draw, node: &Node) -> Index {
    Index(if draw.rarely(20) { number(draw) } else { draw.below(node.status().last.index.0 + 1) })
}

fn membership(draw: &mut Draw) -> Option<Membership> {
    let standings =
        [Standing::Voter, Standing::Voter, Standing::Learner, Standing::Joining, Standing::Leaving];
    let mut members = Vec::new();
    for id in (1..=4).filter(|_| draw.below(3) > 0).collect::<Vec<_>>() {
        let disk = (!draw.rarely(4)).then(|| disk_of(id));
        members.push(Member { disk, ..Member::new(NodeId(id), draw.pick(&standings), "".into()) });
    }
    Membership::new(members)
}

fn slice(draw: &mut Draw, node: &Node) -> LogSlice {
    let prev = id(draw, node);
    let mut last = prev;
    let mut entries = Vec::new();
    for _ in 0..draw.below(4) {
        let (Some(term), Some(index)) = (last.term.0.checked_add(draw.below(2)), last.index.0.checked_add(1))
        else {
            break;
        };
        last = EntryId::new(term.max(1), index);
        let payload = match (draw.below(5), membership(draw)) {
            (0, Some(membership)) => Payload::Membership(membership),
            (1, _) => Payload::Noop,
            _ => Payload::Command(format!("c{}", draw.below(2)).into()),
        };
        entries.push(Entry::new(last, payload));
    }
    LogSlice::new(prev, entries).unwrap_or_else(|| LogSlice::new(EntryId::ORIGIN, vec![]).unwrap())
}

fn body(draw: &mut Draw, node: &Node) -> Body {
    let yes = draw.rarely(2);
    let answer = if yes { Ballot::Granted } else { [Ballot::Refused, Ballot::Blind][draw.below(2) as usize] };
    match draw.below(31) {
        0 => Body::Hello,
        1 => Body::HelloReply(match (draw.below(4), membership(draw)) {
            (0, _) if draw.rarely(9) => Acquaintance::Stranger,
            (1, Some(membership)) => Acquaintance::OnRecord(membership),
            _ => Acquaintance::Founding,
        }),
        2 => Body::PreVote { last: id(draw, node), recorded: true },
        3 => Body::PreVoteReply { answer },
        4 => Body::Vote { last: id(draw, node), transfer: yes, recorded: true },
        5 => Body::VoteReply { answer },
        6 => Body::Appended { matched: index(draw, node) },
        7 => Body::Conflict { asked: id(draw, node), hint: id(draw, node) },
        8 => Body::Heartbeat { commit: index(draw, node), round: Round(number(draw)) },
        9 => Body::HeartbeatReply { round: Round(number(draw)) },
        10 => Body::TimeoutNow,
        11 => Body::Stale,
        12 => Body::ReadIndex { batch: Round(number(draw)) },
        13 => Body::ReadIndexReply { batch: Round(number(draw)), index: index(draw, node) },
        14 => Body::ChunkReply { last: id(draw, node), have: number(draw) },
        15 if draw.rarely(5) => Body::Removed { at: index(draw, node) },
        16 if draw.rarely(5) => Body::RolledBack { seen: Boot(number(draw)) },
        17..=19 => chunk(draw, node),
        20 => Body::Lacks { first: id(draw, node), last: id(draw, node), have: number(draw) },
        21 => match node.log().decayed().first().and_then(|index| node.log().id_at(*index)) {
            Some(lost) if !draw.rarely(4) => Body::Copies { slice: copies(node, lost) },
            _ => Body::Copies { slice: slice(draw, node) },
        },
        22 => match chunk(draw, node) {
            Body::Chunk { snapshot, offset, data } => Body::Piece { snapshot, offset, data },
            other => other,
        },
        _ => Body::Append { slice: slice(draw, node), commit: index(draw, node) },
    }
}

/// The command that was lost, as [`recovered`] made it.
fn copies(node: &Node, lost: EntryId) -> LogSlice {
    let prev = lost.index.previous().and_then(|index| node.log().id_at(index)).unwrap();
    LogSlice::new(prev, vec![Entry::new(lost, Payload::Command(format!("c{}", lost.index).into()))]).unwrap()
}

/// A part of a snapshot, mostly of a longer log.
fn chunk(draw: &mut Draw, node: &Node) -> Body {
    let last = node.status().last;
    let ahead = EntryId::new(last.term.0.max(1), last.index.0.saturating_add(1 + draw.below(3)));
    let id = if draw.rarely(4) { id(draw, node) } else { ahead };
    let id = if id.term == Term(0) || id.index == Index(0) { EntryId::ORIGIN } else { id };
    let membership = membership(draw).unwrap_or_else(|| Membership::founders([NodeId(2)]).unwrap());
    let base = raft_core::Base { id, hash: draw.below(2), membership };
    let (size, offset) = (draw.below(12), draw.below(12));
    let data = vec![7; draw.below(12).min(size.saturating_sub(offset)) as usize];
    Body::Chunk { snapshot: Snapshot { base, size, digest: 1 }, offset: offset.min(size), data: data.into() }
}

fn change(draw: &mut Draw) -> Change {
    let id = NodeId(1 + draw.below(5));
    match draw.below(6) {
        0 => Change::Add { id, context: "".into(), votes: draw.rarely(2) },
        1 => Change::Promote { id },
        2 => Change::Demote { id },
        3 => Change::Remove { id },
        4 => Change::Replace { id, context: None },
        _ => Change::Update { id, context: draw.below(9).to_string().into() },
    }
}

/// Work with snapshots that the node asked for. Nothing of it is refused by this driver.
#[derive(Default)]
struct Works {
    captures: Vec<raft_core::Base>,
    stores: Vec<raft_core::Store>,
}

impl Works {
    /// One of them is done, well or not.
    fn done(&mut self, draw: &mut Draw) -> Option<Input> {
        if draw.rarely(2) {
            let base = self.captures.pop()?;
            let snapshot = Snapshot { size: draw.below(9), digest: base.id.index.0, base };
            return Some(Input::Captured((!draw.rarely(4)).then_some(snapshot)));
        }
        if self.stores.is_empty() {
            return None;
        }
        let store = self.stores.remove(draw.below(self.stores.len() as u64) as usize);
        let end = store.offset() + store.data().len() as u64;
        let have = if draw.rarely(4) { draw.below(store.snapshot().size + 1) } else { end };
        Some(Input::Stored(store.stored(have)))
    }
}

/// Any sound message; what is said mostly concerns this process and comes from the disk on record.
fn message(draw: &mut Draw, node: &Node) -> (NodeId, Message) {
    let from = if draw.rarely(3) { 1 + draw.below(5) } else { 2 };
    let disk = disk_of(if draw.rarely(10) { 7 } else { from });
    let stamp = Stamp { disk, boot: Boot(1 + number(draw) / 5) };
    let asker = if draw.rarely(10) { stamp } else { node.stamp() };
    let body = body(draw, node);
    let near = node.status().term.0.saturating_add(draw.below(3)).saturating_sub(1);
    let mut term = Term(if draw.rarely(9) { number(draw) } else { near });
    match &body {
        Body::Append { slice, .. } | Body::Copies { slice } => term = term.max(slice.last().term),
        Body::Chunk { snapshot, .. } | Body::Piece { snapshot, .. } => term = term.max(snapshot.last().term),
        _ => {}
    }
    let message = Message { from: stamp, to: body.is_reply().then_some(asker), term, body };
    assert!(message.is_sound());
    (NodeId(from), message)
}

fn recovered(draw: &mut Draw) -> Recovered {
    match draw.below(4) {
        0 => Recovered::default(),
        1 => founded(3),
        _ => {
            let mut terms = vec![1 + draw.below(2)];
            (0..draw.below(4)).for_each(|_| terms.push(terms[terms.len() - 1] + draw.below(2)));
            let mut recovered = with_log(3, &terms, 4, None);
            for entry in &mut recovered.entries {
                if draw.rarely(4) {
                    *entry = Entry::decayed(entry.id(), entry.hash(), entry.size() as u32);
                }
            }
            recovered
        }
    }
}

/// Runs a node on nonsense and an honest disk. What it heard, and what it did: what it applied, wrote and repaired.
fn run(seed: u64) -> (u64, u64, u64) {
    let mut draw = Draw(seed);
    let mut config = config(1, 3);
    config.check_quorum = draw.rarely(2);
    config.pre_vote = draw.rarely(2);
    (config.limits.snapshot_entries, config.limits.retain_entries) = (2, 1 + draw.below(2));
    (config.limits.chunk_bytes, config.limits.inflight_chunks) = (3, 2);
    let mut node = Node::new(config, recovered(&mut draw)).unwrap();
    let (mut writes, mut applied, mut appended, mut repaired) = (Vec::new(), 0, 0, 0);
    let mut works = Works::default();
    writes.extend(node.turn().drain().filter_map(|output| match output {
        Output::Persist(write) => Some(write),
        _ => None,
    }));
    for step in 0..150 {
        let input = match draw.below(18) {
            12 => Input::LeaseRead { ticket: Ticket(3_000 + step) },
            13 => {
                let changes = (0..1 + draw.below(2)).map(|_| change(&mut draw)).collect();
                let expect = draw.rarely(4).then(|| node.status().membership_at);
                Input::Reconfigure { ticket: Ticket(4_000 + step), changes, expect }
            }
            14 if draw.rarely(2) => Input::Capture,
            14 => Input::Unreachable { peer: NodeId(draw.below(5)) },
            15 | 16 => match works.done(&mut draw) {
                Some(input) => input,
                None => Input::Missing { last: id(&mut draw, &node) },
            },
            0 => Input::Tick { elapsed: 1 + draw.below(12) as u32 },
            1 => Input::Campaign,
            2 => Input::Propose { ticket: Ticket(step), command: "x".into() },
            3 => Input::Read { ticket: Ticket(1_000 + step) },
            4 => Input::Transfer { ticket: Ticket(2_000 + step), to: None },
            5 if !writes.is_empty() => {
                let at = draw.below(writes.len() as u64) as usize;
                Input::Persisted(writes.remove(at).persisted())
            }
            _ => {
                let (from, message) = message(&mut draw, &node);
                if node.is_inert(from, &message) {
                    assert_inert(&node, from, &message);
                }
                if draw.rarely(8) {
                    assert_deterministic(&node, from, &message);
                }
                Input::Receive { from, message }
            }
        };
        for output in node.step(input) {
            match output {
                Output::Persist(write) => {
                    appended += write.update().entries.len() as u64;
                    writes.push(write);
                }
                Output::Apply(_) => applied += 1,
                Output::Event(raft_core::Event::Repaired) => repaired += 1,
                Output::Capture(base) => works.captures.push(base),
                Output::Store(store) => works.stores.push(store),
                _ => {}
            }
        }
    }
    (applied, appended, repaired)
}

/// A message that is said to be inert changes nothing that the protocol depends on, and has no outputs but the word to an
/// earlier boot.
fn assert_inert(node: &Node, from: NodeId, message: &Message) {
    let mut told = node.clone();
    let word = |output: &Output| matches!(output, Output::Send { message, .. } if matches!(message.body, Body::RolledBack { .. }));
    let outputs =
        told.step(Input::Receive { from, message: message.clone() }).filter(|output| !word(output)).count();
    assert!(outputs == 0 && told.protocol() == node.protocol(), "{message:?}");
}

/// Two equal nodes stay equal under the same inputs, and put out the same.
fn assert_deterministic(node: &Node, from: NodeId, message: &Message) {
    let mut twins = [node.clone(), node.clone()];
    let outputs = twins.each_mut().map(|twin| {
        let heard = Input::Receive { from, message: message.clone() };
        let mut turn = twin.turn();
        [heard, Input::Tick { elapsed: 25 }, Input::Heartbeat]
            .into_iter()
            .for_each(|input| turn.input(input));
        turn.drain().map(|output| Event::of(1, &output, &[])).collect::<Vec<_>>()
    });
    assert!(outputs[0] == outputs[1] && twins[0] == twins[1], "{message:?}");
}

#[test]
fn no_sound_message_panics() {
    let add = |sum: (u64, u64, u64), one: (u64, u64, u64)| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2);
    let totals = (0..5_000).map(run).fold((0, 0, 0), add);
    assert!(
        totals.0 > 1_000 && totals.1 > 5_000 && totals.2 > 100,
        "the nonsense was listened to: {totals:?}"
    );
}

fn from_2(node: &Node, term: u64, body: Body) -> Input {
    let from = Stamp { disk: disk_of(2), boot: Boot(1) };
    let to = body.is_reply().then_some(node.stamp());
    Input::Receive { from: NodeId(2), message: Message { from, to, term: Term(term), body } }
}

fn halts(node: &mut Node, input: Input) -> Option<Report> {
    node.step(input).find_map(|output| match output {
        Output::Halt(report) => Some(report),
        _ => None,
    })
}

fn commands(ids: &[EntryId]) -> Vec<Entry> {
    ids.iter().map(|id| Entry::new(*id, Payload::Command("c".into()))).collect()
}

/// A term that no cluster can have reached is not taken: after the last term there would be no other.
#[test]
fn a_term_out_of_reach_is_ignored() {
    let mut node = Node::new(config(1, 3), founded(3)).unwrap();
    for body in [Body::TimeoutNow, Body::Stale, Body::PreVote { last: EntryId::ORIGIN, recorded: true }] {
        let message = from_2(&node, u64::MAX, body);
        drop(node.step(message));
    }
    assert_eq!((node.status().term, node.status().ignored), (Term(0), 3));
}

/// What the base covers is committed: an append that contradicts it halts the server like any other conflict below the
/// commit index (rule 8).
#[test]
fn an_append_that_contradicts_the_base_halts() {
    let base = EntryId::new(2, 1);
    let before = [
        (EntryId::new(1, 1), vec![]),
        (EntryId::ORIGIN, commands(&[EntryId::new(1, 1), EntryId::new(1, 2)])),
    ];
    for (prev, entries) in before {
        let mut node = Node::new(config(1, 3), with_log(3, &[2], 4, None)).unwrap();
        let slice = LogSlice::new(prev, entries).unwrap();
        let append = from_2(&node, 4, Body::Append { slice, commit: Index(0) });
        let theirs = EntryId::new(1, 1);
        assert_eq!(halts(&mut node, append), Some(Report::ConflictBelowCommit { theirs, ours: base }));
    }
}

/// .. and one that was written without that rule obeys: whoever leads without a disk takes away what was acknowledged.
#[cfg(feature = "planted")]
#[test]
fn a_server_that_truncates_below_its_commit_obeys() {
    let bug = Some(raft_core::planted::Bug::TruncatesBelowCommit);
    for (bug, report) in [(None, true), (bug, false)] {
        let config = raft_core::Config { bug, ..config(1, 3) };
        let mut node = Node::new(config, with_log(3, &[1, 1], 1, None)).unwrap();
        let heartbeat = from_2(
            &node,
            1,
            Body::Append { slice: LogSlice::new(EntryId::new(1, 2), vec![]).unwrap(), commit: Index(2) },
        );
        drop(node.step(heartbeat));
        assert_eq!(node.status().commit, Index(2));
        let slice = LogSlice::new(EntryId::new(1, 1), commands(&[EntryId::new(2, 2)])).unwrap();
        let append = from_2(&node, 2, Body::Append { slice, commit: Index(0) });
        let halted = halts(&mut node, append).is_some();
        assert_eq!((halted, node.log().last().term == Term(1)), (report, report));
    }
}

/// Two entries of one term and index are the same entry. If not, two leaders led one term, or a disk lied.
#[test]
fn another_entry_of_the_same_id_halts() {
    let mut node = Node::new(config(1, 3), with_log(3, &[1, 1], 1, None)).unwrap();
    let id = EntryId::new(1, 2);
    let slice = LogSlice::new(EntryId::new(1, 1), commands(&[id])).unwrap();
    let append = from_2(&node, 1, Body::Append { slice, commit: Index(0) });
    assert_eq!(halts(&mut node, append), Some(Report::SameIdOtherEntry { id }));
}

/// A follower's commit index goes no further than what the append covers (rule 7): what stands after it in the log may
/// be of another leader.
#[test]
fn a_follower_commits_no_further_than_the_append_covers() {
    let mut node = Node::new(config(1, 3), with_log(3, &[1, 1, 1, 2], 3, None)).unwrap();
    let slice = LogSlice::new(EntryId::new(1, 2), vec![]).unwrap();
    let append = from_2(&node, 3, Body::Append { slice, commit: Index(9) });
    drop(node.step(append));
    assert_eq!(node.status().commit, Index(2));
}

/// A server that has halted refuses requests, and nothing else has any effect.
#[test]
fn a_halted_server_says_nothing_more() {
    let mut node = Node::new(config(1, 3), with_log(3, &[1, 1], 1, None)).unwrap();
    let heartbeat = from_2(&node, 1, Body::Heartbeat { commit: Index(9), round: Round(1) });
    let report = halts(&mut node, heartbeat);
    assert_eq!(report, Some(Report::LostAcknowledged { commit: Index(9), last: EntryId::new(1, 2) }));
    let mut draw = Draw(1);
    for _ in 0..1_000 {
        let (from, message) = message(&mut draw, &node);
        assert_eq!(node.step(Input::Receive { from, message }).count(), 0);
        assert_eq!(node.step(Input::Tick { elapsed: 7 }).count(), 0);
    }
    let refusal = node.step(Input::Propose { ticket: Ticket(1), command: "x".into() }).next();
    assert!(matches!(refusal, Some(Output::Answer { answer: Answer::NotLeader { .. }, .. })), "{refusal:?}");
}
