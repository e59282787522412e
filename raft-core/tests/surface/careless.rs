//! Drains and turns that are dropped: nothing is lost.

use crate::cluster::{Event, config, founded};
use raft_core::{Input, Node, Output, Ticket};

/// A node that leads a cluster of one, with a proposal and a read handed in: several outputs of all kinds follow.
fn node() -> Node {
    let mut node = Node::new(config(1, 1), founded(1)).unwrap();
    let mut writes: Vec<_> = node.turn().drain().collect();
    writes.extend(node.step(Input::Campaign));
    while let Some(Output::Persist(write)) = writes.pop() {
        writes.extend(node.step(Input::Persisted(write.persisted())));
    }
    node
}

fn proposal(ticket: u64) -> Input {
    Input::Propose { ticket: Ticket(ticket), command: "x".into() }
}

fn events(outputs: impl Iterator<Item = Output>) -> Vec<Event> {
    outputs.map(|output| Event::of(1, &output, &[])).collect()
}

/// What a careful driver gets for two inputs.
fn all(mut node: Node) -> Vec<Event> {
    let first = events(node.step(proposal(1)));
    first.into_iter().chain(events(node.step(Input::Read { ticket: Ticket(2) }))).collect()
}

#[test]
fn a_dropped_drain_loses_nothing() {
    let mut node = node();
    let expected = all(node.clone());
    assert!(expected.len() >= 2, "{expected:?}");
    drop(node.step(proposal(1)));
    assert_eq!(events(node.step(Input::Read { ticket: Ticket(2) })), expected);
}

#[test]
fn an_ignored_drain_loses_nothing() {
    let mut node = node();
    let expected = all(node.clone());
    let _ = node.step(proposal(1));
    let _ = node.step(Input::Read { ticket: Ticket(2) });
    assert_eq!(events(node.turn().drain()), expected);
}

#[test]
fn a_half_taken_drain_loses_nothing() {
    let mut node = node();
    let expected = all(node.clone());
    let _ = node.step(proposal(1));
    let first = node.step(Input::Read { ticket: Ticket(2) }).next().unwrap();
    let taken = [Event::of(1, &first, &[])].into_iter().chain(events(node.turn().drain()));
    assert_eq!(taken.collect::<Vec<_>>(), expected);
}

#[test]
fn a_dropped_turn_loses_nothing() {
    let mut node = node();
    let mut careful = node.clone();
    let mut turn = careful.turn();
    turn.input(proposal(1));
    turn.input(proposal(2));
    let expected = events(turn.drain());
    for ticket in [1, 2] {
        let mut turn = node.turn();
        turn.input(proposal(ticket));
        drop(turn);
    }
    assert_eq!(events(node.turn().drain()), expected);
    assert!(node == careful);
}

#[test]
fn a_node_that_nobody_drains_keeps_everything_in_order() {
    let mut node = node();
    let mut careful = node.clone();
    let mut expected = Vec::new();
    for ticket in 1..=100 {
        expected.extend(events(careful.step(proposal(ticket))));
        let _ = node.step(proposal(ticket));
    }
    assert_eq!(events(node.turn().drain()), expected);
}
