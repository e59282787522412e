//! The Raft paper (extended version), sections 5.1 to 5.4: one test for each sentence that states a behaviour. A test's
//! name says what the sentence says; its comment cites the section and paraphrases it.
#![allow(clippy::unwrap_used)] // helpers outside of test functions are tests, too

#[allow(dead_code)] // each test target uses its own part of the cluster
mod cluster;

#[path = "paper/basics.rs"]
mod basics;
#[path = "paper/elections.rs"]
mod elections;
#[path = "paper/replication.rs"]
mod replication;
#[path = "paper/safety.rs"]
mod safety;

use cluster::{Cluster, Event, Packet, with_log};
use raft_core::{Body, Entry, Index, Payload, RoleName};

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
        Payload::Noop | Payload::Membership(_) => None,
    }
}
