//! Work with snapshots: a wrong receipt is an error of the program and stops it; what is not taken or not done is lost
//! without harm.

use crate::cluster::{Event, config, disk_of, founded, snapshot, with_log};
use raft_core::{
    Ballot, Body, Boot, EntryId, Input, Message, Node, NodeId, Output, Recovered, RoleName, Snapshot, Stamp,
    Store, Term, Ticket,
};

/// Hands in an input and confirms every write at once; what else is put out is returned.
fn step(node: &mut Node, input: Input) -> Vec<Output> {
    let mut rest = Vec::new();
    let mut outputs: Vec<Output> = node.step(input).collect();
    while !outputs.is_empty() {
        let (writes, others): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|output| matches!(output, Output::Persist(_)));
        rest.extend(others);
        let receipts = writes.into_iter().filter_map(|output| match output {
            Output::Persist(write) => Some(write.persisted()),
            _ => None,
        });
        outputs =
            receipts.flat_map(|receipt| node.step(Input::Persisted(receipt)).collect::<Vec<_>>()).collect();
    }
    rest
}

/// Nothing is stored before the term of who sends it is durable.
fn start(id: u64, mut recovered: Recovered) -> Node {
    recovered.hard.term = recovered.hard.term.max(Term(1));
    let mut node = Node::new(config(id, 3), recovered).unwrap();
    step(&mut node, Input::Tick { elapsed: 1 });
    node
}

/// A snapshot that server 2, leading term 1, has.
fn theirs() -> (Snapshot, &'static str) {
    let mut base = founded(3).base.unwrap();
    (base.id, base.hash) = (EntryId::new(1, 9), 77);
    (snapshot(base, "their state"), "their state")
}

/// A part of it, sent to node 1.
fn part(offset: usize, end: usize) -> Input {
    let (snapshot, state) = theirs();
    let data = state.as_bytes()[offset..end].to_vec().into();
    let from = Stamp { disk: disk_of(2), boot: Boot(1) };
    let body = Body::Chunk { snapshot, offset: offset as u64, data };
    Input::Receive { from: NodeId(2), message: Message { from, to: None, term: Term(1), body } }
}

fn store(outputs: Vec<Output>) -> Option<Store> {
    outputs.into_iter().find_map(|output| match output {
        Output::Store(store) => Some(store),
        _ => None,
    })
}

#[test]
#[should_panic(expected = "to the boot of the node that asked for it")]
fn a_receipt_for_a_part_of_another_node_panics() {
    let mut nodes = [1, 3].map(|id| start(id, founded(3)));
    let taken = nodes.each_mut().map(|node| store(step(node, part(0, 4))).unwrap());
    let [_, other] = taken;
    step(&mut nodes[0], Input::Stored(other.stored(4)));
}

#[test]
#[should_panic(expected = "to the boot of the node that asked for it")]
fn a_receipt_for_a_part_of_another_boot_panics() {
    let mut node = start(1, founded(3));
    let taken = store(step(&mut node, part(0, 4))).unwrap();
    let hard = raft_core::HardState { boot: Boot(1), ..raft_core::HardState::default() };
    let mut again = start(1, Recovered { hard, ..founded(3) });
    step(&mut again, Input::Stored(taken.stored(4)));
}

#[test]
#[should_panic(expected = "nobody has more than all")]
fn more_than_all_is_not_stored() {
    let mut node = start(1, founded(3));
    let taken = store(step(&mut node, part(0, 4))).unwrap();
    drop(taken.stored(1_000));
}

/// A leader of three that has compacted its log, and a follower that needs its snapshot.
fn leader() -> (Node, raft_core::Fetch) {
    let mut node = start(1, with_log(3, &[2, 2, 2], 2, None));
    step(&mut node, Input::Tick { elapsed: 40 });
    let from = |id: u64| Stamp { disk: disk_of(id), boot: Boot(1) };
    let says = |node: &Node, id: u64, body: Body| {
        let term = if matches!(body, Body::PreVoteReply { .. }) { Term(3) } else { node.status().term };
        let to = Some(node.stamp());
        Input::Receive { from: NodeId(id), message: Message { from: from(id), to, term, body } }
    };
    for body in [Body::PreVoteReply { answer: Ballot::Granted }, Body::VoteReply { answer: Ballot::Granted }]
    {
        let message = says(&node, 2, body);
        step(&mut node, message);
    }
    assert_eq!(node.status().role, RoleName::Leader);
    let message = says(&node, 3, Body::Conflict { asked: EntryId::new(2, 3), hint: EntryId::ORIGIN });
    let outputs = step(&mut node, message);
    let fetch = outputs.into_iter().find_map(|output| match output {
        Output::Fetch(fetch) => Some(fetch),
        _ => None,
    });
    (node, fetch.expect("the log begins at 2: server 3 needs the snapshot"))
}

#[test]
#[should_panic(expected = "a chunk is as long as was asked for")]
fn a_chunk_of_another_length_panics() {
    let (_, fetch) = leader();
    drop(fetch.fill("much more than was asked for".into()));
}

#[test]
#[should_panic(expected = "a snapshot is of this node's own log")]
fn a_snapshot_of_something_else_panics() {
    let mut node = start(1, with_log(3, &[2, 2, 2], 2, None));
    let mut base = founded(3).base.unwrap();
    (base.id, base.hash) = (EntryId::new(2, 3), 12_345);
    step(&mut node, Input::Captured(Some(snapshot(base, "of another log"))));
}

/// One that another has overtaken, or that came to nothing, is no error.
#[test]
fn a_snapshot_that_is_too_old_changes_nothing() {
    let mut node = start(1, with_log(3, &[2, 2, 2], 2, None));
    let before = node.status();
    let mut older = with_log(3, &[2, 2, 2], 2, None).snapshot.unwrap();
    step(&mut node, Input::Captured(Some(older.clone())));
    older.base.id.index = raft_core::Index(0);
    step(&mut node, Input::Captured(Some(older)));
    step(&mut node, Input::Captured(None));
    assert_eq!(node.status(), before);
}

/// A drain that is dropped with work in it loses none of it.
#[test]
fn a_dropped_drain_keeps_parts_to_store() {
    let mut node = start(1, founded(3));
    drop(node.step(part(0, 4)));
    let _ = node.step(part(4, 8)).next();
    let outputs: Vec<Output> = node.turn().drain().collect();
    let offsets = outputs.iter().filter_map(|output| match output {
        Output::Store(store) => Some(store.offset()),
        _ => None,
    });
    let offsets: Vec<u64> = offsets.collect();
    assert!(offsets.ends_with(&[4]), "{offsets:?}");
}

#[test]
fn a_dropped_drain_keeps_parts_to_send() {
    let (mut node, fetch) = leader();
    let mut twin = node.clone();
    let lost = |node: &mut Node| {
        let peer = fetch.to();
        drop(node.step(Input::Unreachable { peer }));
        drop(node.step(Input::Heartbeat));
    };
    lost(&mut node);
    lost(&mut twin);
    let outputs = |node: &mut Node| node.turn().drain().map(|it| Event::of(1, &it, &[])).collect::<Vec<_>>();
    let kept = outputs(&mut node);
    assert!(kept.iter().any(|event| matches!(event, Event::Fetch { to: 3, offset: 0, .. })), "{kept:?}");
    assert_eq!(outputs(&mut twin), kept);
    assert!(node == twin);
}

/// A driver that forgets what it was asked for stalls the transfer, and nothing else: it is asked again.
#[test]
fn a_forgotten_part_is_asked_for_again() {
    let (mut node, fetch) = leader();
    drop(fetch);
    let (from, to) = (Stamp { disk: disk_of(3), boot: Boot(1) }, Some(node.stamp()));
    let mut again = false;
    for _ in 0..3 {
        let beat = step(&mut node, Input::Heartbeat);
        again |= beat.iter().any(|output| matches!(output, Output::Fetch(_)));
        let round = beat.iter().find_map(|output| match output {
            Output::Send { to, message } if *to == NodeId(3) => match message.body {
                Body::Heartbeat { round, .. } => Some(round),
                _ => None,
            },
            _ => None,
        });
        let body = Body::HeartbeatReply { round: round.expect("each round reaches everybody") };
        let message = Message { from, to, term: node.status().term, body };
        step(&mut node, Input::Receive { from: NodeId(3), message });
    }
    assert!(again);
    step(&mut node, Input::Propose { ticket: Ticket(1), command: "x".into() });
    assert_eq!((node.status().role, node.status().tickets), (RoleName::Leader, 1), "it leads on");
}
