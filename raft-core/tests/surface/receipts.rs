//! Receipts: a wrong one is an error of the program, and stops it.

use crate::cluster::{config, founded};
use raft_core::{
    Body, Boot, DiskId, EntryId, Input, Message, Node, NodeId, Output, Persisted, Recovered, Stamp, Term,
    Write,
};

fn start(id: u64, recovered: Recovered) -> (Node, Write) {
    let mut node = Node::new(config(id, 3), recovered).unwrap();
    let first = node.turn().drain().find_map(|output| match output {
        Output::Persist(write) => Some(write),
        _ => None,
    });
    (node, first.expect("the boot counter is written first"))
}

fn hand_in(node: &mut Node, receipt: Persisted) {
    drop(node.step(Input::Persisted(receipt)));
}

#[test]
#[should_panic(expected = "to the boot of the node that made the write")]
fn a_receipt_of_another_node_panics() {
    let (mut node, _) = start(1, founded(3));
    let (_, other) = start(2, founded(3));
    hand_in(&mut node, other.persisted());
}

#[test]
#[should_panic(expected = "to the boot of the node that made the write")]
fn a_receipt_of_another_boot_panics() {
    let (_, write) = start(1, founded(3));
    let hard = write.update().hard.unwrap();
    let (mut node, _) = start(1, Recovered { hard, ..founded(3) });
    hand_in(&mut node, write.persisted());
}

/// A receipt can't be copied, but a node can.
#[test]
#[should_panic(expected = "a receipt is handed in once")]
fn a_receipt_handed_in_twice_panics() {
    let mut node = Node::new(config(1, 3), founded(3)).unwrap();
    let mut twin = node.clone();
    let receipts = [&mut node, &mut twin].map(|node| match node.turn().drain().next() {
        Some(Output::Persist(write)) => write.persisted(),
        other => panic!("{other:?}"),
    });
    for receipt in receipts {
        hand_in(&mut node, receipt);
    }
}

/// Until its receipt comes, whatever else happens, a write holds back what depends on it.
#[test]
fn a_forgotten_receipt_stalls_the_node() {
    let (mut node, boot) = start(1, founded(3));
    let asker = Stamp { disk: DiskId(102), boot: Boot(1) };
    for _ in 0..100 {
        let last = EntryId::ORIGIN;
        let message =
            Message { from: asker, to: None, term: Term(1), body: Body::PreVote { last, recorded: true } };
        let mut turn = node.turn();
        turn.input(Input::Tick { elapsed: 5 });
        turn.input(Input::Receive { from: NodeId(2), message });
        let told = turn.drain().all(|output| matches!(output, Output::Event(_)));
        assert!(told, "before the boot counter is durable nothing leaves");
    }
    let sent =
        node.step(Input::Persisted(boot.persisted())).any(|output| matches!(output, Output::Send { .. }));
    assert!(sent, "with the receipt what was held back leaves");
}
