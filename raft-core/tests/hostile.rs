//! What no honest server says, but a broken one may: each of these once broke the node, and was found by the fuzz
//! target `step`.

use bytes::Bytes;
use raft_core::write::Base;
use raft_core::{
    Answer, Body, Boot, Config, DiskId, Entry, EntryId, HardState, Index, Input, LogSlice, Member,
    Membership, Message, Node, NodeId, Output, Payload, Recovered, Report, RoleName, Round, Snapshot, Stamp,
    Standing, Term, Ticket,
};

const BASE: EntryId = EntryId { term: Term(2), index: Index(5) };
const OTHER: NodeId = NodeId(2);

/// Node 1 of two, on a log that begins after [`BASE`]. The other one votes or only learns.
fn node(other: Standing) -> Node {
    let member = |id: NodeId, standing| Member {
        disk: Some(DiskId(100 + id.0)),
        ..Member::new(id, standing, Bytes::new())
    };
    let membership = Membership::new(vec![member(NodeId(1), Standing::Voter), member(OTHER, other)]);
    let base = membership.map(|membership| Base { id: BASE, hash: 0, membership });
    let snapshot = base.clone().map(|base| Snapshot { base, size: 100, digest: 1 });
    let hard = HardState { term: BASE.term, ..HardState::default() };
    let mut config = Config::new(NodeId(1), DiskId(101), None, 1);
    config.pre_vote = false;
    (config.limits.held, config.limits.tickets) = (4, 64);
    Node::new(config, Recovered { hard, base, entries: vec![], snapshot }).expect("the settings are sound")
}

/// Hands in an input and confirms every write at once; what else is put out is returned.
fn step(node: &mut Node, input: Input) -> Vec<Output> {
    let mut outputs: Vec<Output> = node.step(input).collect();
    let mut rest = Vec::new();
    while let Some(output) = outputs.pop() {
        match output {
            Output::Persist(write) => outputs.extend(node.step(Input::Persisted(write.persisted()))),
            other => rest.push(other),
        }
    }
    rest
}

fn leader() -> Node {
    let mut node = node(Standing::Learner);
    step(&mut node, Input::Tick { elapsed: 30 });
    step(&mut node, Input::Campaign);
    assert_eq!(node.status().role, RoleName::Leader);
    node
}

fn says(node: &Node, term: Term, body: Body) -> Input {
    let to = body.is_reply().then(|| node.stamp());
    let from = Stamp { disk: DiskId(100 + OTHER.0), boot: Boot(1) };
    Input::Receive { from: OTHER, message: Message { from, to, term, body } }
}

/// A leader whose log differs from what the base covers: this node must stop, not append after it (rule 8).
#[test]
fn an_append_that_contradicts_the_base() {
    let earlier = EntryId::new(1, 5);
    let entry = |term, index| Entry::new(EntryId::new(term, index), Payload::Noop);
    let slices = [
        LogSlice::new(earlier, vec![entry(1, 6)]),
        LogSlice::new(EntryId::new(1, 4), vec![entry(1, 5), entry(1, 6)]),
    ];
    for slice in slices.map(|slice| slice.expect("consecutive")) {
        let mut node = node(Standing::Voter);
        let append = says(&node, Term(2), Body::Append { slice, commit: Index(6) });
        let outputs = step(&mut node, append);
        let report = Report::ConflictBelowCommit { theirs: earlier, ours: BASE };
        assert!(
            outputs.iter().any(|output| matches!(output, Output::Halt(it) if *it == report)),
            "{outputs:?}"
        );
    }
}

#[test]
fn a_term_that_no_cluster_can_have_reached() {
    let mut node = node(Standing::Voter);
    step(&mut node, Input::Tick { elapsed: 30 });
    let own = node.status().term;
    for term in [Term(u64::MAX), Term(1 << 40)] {
        let stale = says(&node, term, Body::Stale);
        step(&mut node, stale);
        let vote = says(&node, term, Body::Vote { last: EntryId::new(9, 9), transfer: true, recorded: true });
        step(&mut node, vote);
    }
    assert_eq!(node.status().term, own);
    step(&mut node, Input::Campaign);
    assert_eq!(node.status().term, own.next());
}

#[test]
fn answers_about_what_was_never_sent() {
    let mut node = leader();
    let term = node.status().term;
    let last = node.status().last.index;
    let bodies = [
        Body::Conflict { asked: EntryId::new(2, u64::MAX), hint: EntryId::new(1, 1) },
        Body::Conflict { asked: EntryId::new(2, u64::MAX - 1), hint: EntryId::new(u64::MAX, u64::MAX - 2) },
        Body::Appended { matched: Index(u64::MAX) },
        Body::Appended { matched: Index(0) },
    ];
    for body in bodies {
        let answer = says(&node, term, body);
        step(&mut node, answer);
        for _ in 0..4 {
            step(&mut node, Input::Heartbeat);
        }
    }
    assert_eq!((node.status().role, node.status().last.index), (RoleName::Leader, last));
}

/// With a disk that never answers, nothing may pile up (rule 18).
#[test]
fn a_disk_that_hangs_fills_no_memory() {
    let mut node = node(Standing::Voter);
    let mut writes = Vec::new();
    for round in 0..200 {
        let term = node.status().term;
        let bodies = [
            Body::Hello,
            Body::PreVote { last: BASE, recorded: true },
            Body::Heartbeat { commit: BASE.index, round: raft_core::Round(round) },
            Body::TimeoutNow,
        ];
        let mut inputs = vec![Input::Tick { elapsed: 30 }, Input::Campaign];
        inputs.extend(bodies.map(|body| says(&node, term.next(), body)));
        for input in inputs {
            writes.extend(node.step(input));
        }
        assert!(node.status().held <= 4 + 2, "{} messages wait, the limit is 4", node.status().held);
    }
    assert!(
        writes.iter().all(|output| matches!(output, Output::Persist(_) | Output::Event(_))),
        "nothing leaves before the disk"
    );
}

/// A snapshot that ends so far behind the base, of a configuration in which this node votes alone.
fn snapshot(ahead: u64, size: u64) -> Snapshot {
    let member = Member { disk: Some(DiskId(101)), ..Member::new(NodeId(1), Standing::Voter, Bytes::new()) };
    let membership = Membership::new(vec![member]).expect("it votes");
    let id = EntryId { term: BASE.term, index: Index(BASE.index.0 + ahead) };
    Snapshot { base: Base { id, hash: ahead, membership }, size, digest: ahead }
}

fn chunk(snapshot: &Snapshot, offset: u64, length: usize) -> Body {
    Body::Chunk { snapshot: snapshot.clone(), offset, data: vec![7; length].into() }
}

/// What lies outside of its snapshot is not sound: it is counted, and nothing else happens.
#[test]
fn a_chunk_beyond_its_snapshot() {
    let mut node = node(Standing::Voter);
    let later = Snapshot { base: Base { id: EntryId::new(9, 9), ..snapshot(1, 10).base }, ..snapshot(1, 10) };
    let bodies = [
        chunk(&snapshot(1, 10), 11, 0),
        chunk(&snapshot(1, 10), 8, 3),
        chunk(&snapshot(1, 10), u64::MAX, 1),
        chunk(&later, 0, 10),
    ];
    step(&mut node, Input::Tick { elapsed: 1 });
    for body in bodies {
        let before = node.status().ignored;
        let message = says(&node, BASE.term, body);
        assert!(step(&mut node, message).is_empty());
        assert_eq!(node.status().ignored, before + 1);
    }
    assert_eq!(node.status().last, BASE);
}

/// The parts at the disk are bounded, whatever they are of, as long as the disk says nothing.
#[test]
fn parts_of_ever_other_snapshots_fill_no_memory() {
    let mut node = node(Standing::Voter);
    let most = node.config().limits.inflight_chunks + 1;
    let mut stores = Vec::new();
    for round in 0..200 {
        let message = says(&node, BASE.term, chunk(&snapshot(1 + round % 3, 10), 0, 5));
        stores.extend(step(&mut node, message).into_iter().filter(|it| matches!(it, Output::Store(_))));
    }
    assert!(!stores.is_empty() && stores.len() <= most, "{} parts wait", stores.len());
    // Once the disk has answered, others are taken again.
    for store in stores {
        let Output::Store(store) = store else { continue };
        let have = store.data().len() as u64;
        step(&mut node, Input::Stored(store.stored(have)));
    }
    let message = says(&node, BASE.term, chunk(&snapshot(1, 10), 5, 5));
    assert!(step(&mut node, message).iter().any(|output| matches!(output, Output::Store(_))));
}

/// A part that is late, since its snapshot gave way to another one, tells the leader nothing wrong.
#[test]
fn a_receipt_for_a_snapshot_that_gave_way() {
    let mut node = node(Standing::Voter);
    step(&mut node, Input::Tick { elapsed: 1 });
    let mut taken = Vec::new();
    for ahead in [1, 2] {
        let message = says(&node, BASE.term, chunk(&snapshot(ahead, 4), 0, 4));
        taken.extend(step(&mut node, message));
    }
    let stores = taken.into_iter().filter_map(|output| match output {
        Output::Store(store) => Some(store),
        _ => None,
    });
    let outputs: Vec<Output> =
        stores.take(1).flat_map(|store| step(&mut node, Input::Stored(store.stored(4)))).collect();
    assert!(!outputs.iter().any(|output| matches!(output, Output::Send { .. } | Output::Restore(_))));
    assert_eq!(node.status().last, BASE, "only the newest is installed");
}

/// Answers about snapshots that nobody sent.
#[test]
fn answers_about_other_snapshots() {
    let mut node = leader();
    let term = node.status().term;
    for (last, have) in [(BASE, 0), (BASE, u64::MAX), (EntryId::new(1, 1), 1), (EntryId::new(9, u64::MAX), 5)]
    {
        let before = node.status().ignored;
        let message = says(&node, term, Body::ChunkReply { last, have });
        step(&mut node, message);
        assert_eq!(node.status().ignored, before + 1);
    }
    assert_eq!(node.status().role, RoleName::Leader);
}

/// That it was removed is believed only of a configuration that the node's own log doesn't reach; and a term that comes with
/// it is not taken.
#[test]
fn removed_by_somebody_who_knows_less() {
    let mut node = leader();
    let (term, at) = (node.status().term, node.status().membership_at);
    for at in [Index(0), BASE.index, at] {
        let message = says(&node, Term(term.0 + 7), Body::Removed { at });
        step(&mut node, message);
    }
    let status = node.status();
    assert!(!status.halted && (status.role, status.term) == (RoleName::Leader, term));
}

/// That its disk was rolled back is told to one process alone, by who has heard from a later one.
#[test]
fn rolled_back_by_somebody_who_has_heard_nothing_later() {
    let mut node = leader();
    let (term, stamp) = (node.status().term, node.stamp());
    for seen in [Boot(0), stamp.boot] {
        let message = says(&node, Term(term.0 + 7), Body::RolledBack { seen });
        step(&mut node, message);
    }
    let Input::Receive { from, mut message } = says(&node, term, Body::RolledBack { seen: Boot(9) }) else {
        panic!("a message is received");
    };
    message.to = Some(Stamp { boot: Boot(stamp.boot.0 + 1), ..stamp });
    step(&mut node, Input::Receive { from, message });
    let status = node.status();
    assert!(!status.halted && (status.role, status.term) == (RoleName::Leader, term));
}

/// A follower has one question for reads under way: a flood of them takes one place, and clients go on reading.
#[test]
fn a_flood_of_questions_for_reads() {
    let mut node = leader();
    let limit = node.config().limits.tickets;
    let term = node.status().term;
    for batch in 0..2 * limit as u64 {
        let message = says(&node, term, Body::ReadIndex { batch: Round(batch) });
        let mut turn = node.turn();
        turn.input(message);
        drop(turn);
    }
    let is_reply = |output: &Output| matches!(output, Output::Send { message, .. } if matches!(message.body, Body::ReadIndexReply { .. }));
    let outputs = step(&mut node, Input::Read { ticket: Ticket(1) });
    assert!(
        outputs.iter().any(|output| matches!(output, Output::Answer { answer: Answer::ReadAt(_), .. })),
        "{outputs:?}"
    );
    assert!(outputs.iter().filter(|output| is_reply(output)).count() <= 1, "{outputs:?}");
}

/// A leader may be told anything about members: what is a configuration is taken, however odd.
#[test]
fn odd_configurations_are_followed() {
    let big = Bytes::from(vec![7; 20_000]);
    let member = |id: u64, standing| Member {
        disk: Some(DiskId(id.wrapping_add(100))),
        ..Member::new(NodeId(id), standing, big.clone())
    };
    let replaced = Member { disk: None, replaced: Some(DiskId(101)), ..member(1, Standing::Demoting) };
    let odd = [
        vec![member(9, Standing::Voter)],
        vec![member(1, Standing::Leaving), member(9, Standing::Joining)],
        vec![replaced, member(9, Standing::Voter)],
        vec![member(1, Standing::Learner), member(u64::MAX, Standing::Voter)],
    ];
    for members in odd {
        let mut node = node(Standing::Voter);
        let membership = Membership::new(members).expect("somebody votes in each half");
        let id = EntryId { term: BASE.term, index: BASE.index.next() };
        let slice = LogSlice::new(BASE, vec![Entry::new(id, Payload::Membership(membership.clone()))]);
        let body = Body::Append { slice: slice.expect("consecutive"), commit: id.index };
        let message = says(&node, BASE.term, body);
        step(&mut node, message);
        assert_eq!(node.status().membership, membership);
        for input in [Input::Tick { elapsed: 50 }, Input::Campaign, Input::Capture] {
            step(&mut node, input);
        }
    }
}
