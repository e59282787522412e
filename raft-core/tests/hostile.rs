//! What no honest server says, but a broken one may: each of these once broke the node, and was found by the fuzz
//! target `step`.

use bytes::Bytes;
use raft_core::write::Base;
use raft_core::{
    Body, Boot, Config, DiskId, Entry, EntryId, HardState, Index, Input, LogSlice, Member, Membership,
    Message, Node, NodeId, Output, Payload, Recovered, Report, RoleName, Snapshot, Stamp, Standing, Term,
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
    config.limits.held = 4;
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
        let vote = says(&node, term, Body::Vote { last: EntryId::new(9, 9), transfer: true });
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
            Body::PreVote { last: BASE },
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
