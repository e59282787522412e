//! The whole interface of the core on one screen: three nodes in memory, a perfect network, instant disks.
//! `cargo run -p raft-core --example three_nodes`

use raft_core::{
    Answer, Config, DiskId, Input, Membership, Node, NodeId, Output, Payload, Recovered, Ticket,
};
use std::collections::VecDeque;

fn main() {
    let founders = Membership::founders([1, 2, 3].map(NodeId)).expect("three distinct ids");
    let start = |id: u64| {
        let config = Config::new(NodeId(id), DiskId(100 + id), Some(founders.clone()), id);
        Node::new(config, Recovered::default()).expect("the settings are sound")
    };
    let mut nodes = [1, 2, 3].map(start);
    let mut inputs: VecDeque<(usize, Input)> = VecDeque::new();
    let (mut ticks, mut committed) = (0, 0);
    while committed < 3 {
        // What waits is taken first; only then does time pass.
        let (at, input) = inputs.pop_front().unwrap_or_else(|| {
            ticks += 1;
            (ticks % 3, Input::Tick { elapsed: 1 })
        });
        for output in nodes[at].step(input) {
            match output {
                // A real driver writes and syncs first; the receipt says that it has.
                Output::Persist(write) => inputs.push_back((at, Input::Persisted(write.persisted()))),
                Output::Send { to, message } => {
                    let from = NodeId(at as u64 + 1);
                    inputs.push_back((to.0 as usize - 1, Input::Receive { from, message }));
                }
                Output::Apply(entry) => {
                    if let Payload::Command(command) = entry.payload() {
                        println!("node {} applies {} {command:?}", at + 1, entry.id());
                    }
                }
                Output::Answer { ticket, answer } => {
                    println!("ticket {ticket}: {answer:?}");
                    committed += u64::from(matches!(answer, Answer::Committed(_)));
                }
                Output::Halt(report) => panic!("node {} stopped: {report:?}", at + 1),
                // Without snapshots (see `Limits::snapshot_entries`) none is taken, sent or stored.
                Output::Capture(_) | Output::Restore(_) | Output::Fetch(_) | Output::Store(_) => {}
                Output::Release { .. } | Output::Event(_) => {}
            }
        }
        if nodes[at].status().leader == Some(NodeId(at as u64 + 1)) && committed == 0 && inputs.is_empty() {
            for ticket in 1..=3 {
                let command = format!("command {ticket}").into();
                inputs.push_back((at, Input::Propose { ticket: Ticket(ticket), command }));
            }
        }
        assert!(ticks < 1_000, "three nodes that hear each other elect a leader");
    }
}
