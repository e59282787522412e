//! The Raft paper (extended version), sections 5 to 8, and the dissertation where it says more: one test for each sentence
//! that states a behaviour. A test's name says what the sentence says; its comment cites the section and paraphrases it.
//! "Dissertation" is said; a section alone is the paper's.
#![allow(clippy::unwrap_used)] // helpers outside of test functions are tests, too

#[allow(dead_code)] // each test target uses its own part of the cluster
mod cluster;

#[path = "paper/basics.rs"]
mod basics;
#[path = "paper/changes.rs"]
mod changes;
#[path = "paper/clients.rs"]
mod clients;
#[path = "paper/compaction.rs"]
mod compaction;
#[path = "paper/elections.rs"]
mod elections;
#[path = "paper/handover.rs"]
mod handover;
#[path = "paper/newcomers.rs"]
mod newcomers;
#[path = "paper/reads.rs"]
mod reads;
#[path = "paper/replication.rs"]
mod replication;
#[path = "paper/safety.rs"]
mod safety;

use cluster::{Cluster, Event, Packet, with_log};
use raft_core::{
    Answer, Body, Change, Entry, Index, Membership, NodeId, Payload, Report, RoleName, Standing, Ticket,
};

/// A cluster of the paper's Raft: without pre-vote and check-quorum, which are of the dissertation.
fn plain(n: u64) -> Cluster {
    Cluster::with(n, |config| {
        config.pre_vote = false;
        config.check_quorum = false;
    })
}

/// The paper's Raft on given logs, as its figures draw them; each server's term is that of its last entry.
fn on_logs(logs: &[&[u64]]) -> Cluster {
    let n = logs.len() as u64;
    let mut cluster = plain(n);
    for (id, log) in (1..).zip(logs) {
        cluster.replace(id, with_log(n, log, *log.last().unwrap(), None));
    }
    cluster.events.clear();
    cluster
}

/// A cluster of the paper's Raft in which server 1 leads and everything so far is replicated.
fn led(n: u64) -> Cluster {
    let mut cluster = plain(n);
    elect(&mut cluster, 1);
    cluster
}

fn elect(cluster: &mut Cluster, id: u64) {
    cluster.campaign(id);
    cluster.settle();
    assert_eq!(role(cluster, id), RoleName::Leader);
    cluster.turn(id, vec![raft_core::Input::Heartbeat]);
    cluster.settle();
    cluster.events.clear();
}

/// A new server joins as a learner and catches up.
fn learner(cluster: &mut Cluster, leader: u64, id: u64) {
    cluster.join(id, plainly);
    let changes = vec![Change::Add { id: NodeId(id), context: "".into(), votes: false }];
    cluster.change(leader, changes, None);
    cluster.settle();
    assert_eq!(standing(cluster, leader, id), Some(Standing::Learner));
    cluster.events.clear();
}

fn plainly(config: &mut raft_core::Config) {
    config.pre_vote = false;
    config.check_quorum = false;
}

/// Voters `old` under server 1, and learners `new` that have caught up.
fn with_learners(old: u64, new: &[u64]) -> Cluster {
    let mut cluster = led(old);
    new.iter().for_each(|id| learner(&mut cluster, 1, *id));
    cluster
}

fn promote(id: u64) -> Change {
    Change::Promote { id: NodeId(id) }
}

fn remove(id: u64) -> Change {
    Change::Remove { id: NodeId(id) }
}

/// The configuration in force at a server.
fn membership(cluster: &Cluster, id: u64) -> Membership {
    cluster.status(id).membership
}

/// What a member may do, as a server knows it.
fn standing(cluster: &Cluster, at: u64, id: u64) -> Option<Standing> {
    membership(cluster, at).get(NodeId(id)).map(|member| member.standing)
}

/// Delivers from one server to another, and what comes back of it.
fn talk(cluster: &mut Cluster, from: u64, to: u64) {
    cluster.deliver(|packet| (packet.from, packet.to) == (from, to));
    cluster.deliver(|packet| (packet.from, packet.to) == (to, from));
}

/// Heartbeats until everybody knows what is committed.
fn spread(cluster: &mut Cluster, leader: u64) {
    for _ in 0..3 {
        cluster.tick(leader, 2);
        cluster.settle();
    }
}

fn role(cluster: &Cluster, id: u64) -> RoleName {
    cluster.status(id).role
}

fn term(cluster: &Cluster, id: u64) -> u64 {
    cluster.status(id).term.0
}

fn commit(cluster: &Cluster, id: u64) -> u64 {
    cluster.status(id).commit.0
}

/// What was sent so far, with what was lost on its way out.
fn sent(cluster: &Cluster) -> Vec<Packet> {
    let packet = |event: &Event| match event {
        Event::Send(packet) | Event::Lost(packet) => Some(packet.clone()),
        _ => None,
    };
    cluster.events.iter().filter_map(packet).collect()
}

/// To whom messages that fit were sent, in order.
fn receivers(cluster: &Cluster, fits: impl Fn(&Body) -> bool) -> Vec<u64> {
    sent(cluster).iter().filter(|packet| fits(&packet.message.body)).map(|packet| packet.to).collect()
}

/// The commands that a server applied so far, with their indexes.
fn applied(cluster: &Cluster, id: u64) -> Vec<(Index, String)> {
    let command = |event: &Event| match event {
        Event::Apply { at, entry } if *at == id => text(entry).map(|text| (entry.index(), text)),
        _ => None,
    };
    cluster.events.iter().filter_map(command).collect()
}

fn text(entry: &Entry) -> Option<String> {
    match entry.payload() {
        Payload::Command(command) => Some(String::from_utf8_lossy(command).into_owned()),
        _ => None,
    }
}
