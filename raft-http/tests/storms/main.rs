//! Storms: real `httpraft` processes, each in a network namespace of its own, that are killed, stopped, cut off from each
//! other in one or both directions, and sent over ways that lose and delay, with clocks of different rates. What clients
//! saw all the time is linearizable, every acknowledged write is in the log once, and the cluster serves soon after.
//!
//! Needs root, and the packages iproute2, nftables and util-linux: `cargo test -p raft-http --features root-tests --test
//! storms`.

mod clients;
mod clocks;
#[path = "../processes/cluster/mod.rs"]
#[allow(dead_code, reason = "each test program uses its own part of it")]
mod cluster;
mod judge;
mod network;
/// The simulator's own search, which is not for others to call.
#[path = "../../../raft-sim/src/history/search.rs"]
mod search;
mod storm;

use clients::{Clients, Done, read};
use clocks::Clocks;
use cluster::history::Event;
use cluster::http::{self, Request};
use cluster::namespaces::in_own_network;
use cluster::{ELECTION, ends_within, report};
use network::Network;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use storm::Storm;

/// For how many seconds rounds of faults follow on each other; `HTTPRAFT_TEST_SECONDS` is another number.
const SECONDS: u64 = 25;
/// How long a read has by a leader that is cut off.
const SHORT: Duration = Duration::from_millis(100);
/// What a single client puts and reads.
const KEY: u64 = 7;
/// How often a stale read may be missed.
const TRIES: u64 = 5;

/// What the search is written in.
mod facts {
    /// Nanoseconds.
    pub(crate) type Time = u64;
    /// What a key may hold.
    pub(crate) type Value = u64;
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn what_clients_see_in_a_storm_is_linearizable() {
    if !in_own_network("what_clients_see_in_a_storm_is_linearizable") {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let seed = setting("HTTPRAFT_TEST_SEED", now.as_millis() as u64);
    report(&format!("the storm's faults are drawn from HTTPRAFT_TEST_SEED={seed}"));
    let time = Duration::from_secs(setting("HTTPRAFT_TEST_SECONDS", SECONDS));
    let mut storm = Storm::new(seed);
    let clients = Clients::start(&storm.cluster.apis, &["linearizable", "lease"], seed);
    let (began, mut waits) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        storm.round();
        waits.push(storm.calm(&clients));
    }
    let (seen, faults) = (clients.stop(), storm.faults);
    let (cluster, network) = storm.over();
    let log = seen.ledger.check(&cluster);
    let writes = seen.ledger.acknowledged.len();
    assert_eq!(log.len(), writes, "nothing else is in the log");
    assert_eq!(judge::explained_by_log(&seen.done, &log), Ok(()));
    let (keys, given_up) = judge::explained_by_search(&seen.done).unwrap_or_else(|said| panic!("{said}"));
    let (cut, lost) = (network.dropped("cut"), network.dropped("lost"));
    let (reads, term) = (seen.done.len() - writes, cluster.leader().term);
    assert!(cut > 0 && lost > 0 && seen.repeated > faults && reads > faults && given_up * 20 < keys);
    waits.sort_unstable();
    report(&format!(
        "{faults} faults in {:?}: {writes} writes acknowledged, {} repeated, each in every log once; {reads} reads, {} \
         not answered; linearizable by the log, and by a search of {keys} keys ({given_up} given up); {cut} packets \
         cut, {lost} lost; term {term}; {} calms: all served after {:?}, at most {:?}",
        began.elapsed(),
        seen.repeated,
        seen.unanswered_reads,
        waits.len(),
        waits[waits.len() / 2],
        waits[waits.len() - 1],
    ));
}

/// A check that accepts everything proves nothing: reads that promise nothing are seen to be stale.
#[test]
fn stale_reads_are_found_out() {
    if !in_own_network("stale_reads_are_found_out") {
        return;
    }
    let mut storm = Storm::new(1);
    let clients = Clients::start(&storm.cluster.apis, &["stale"], 1);
    storm.round();
    storm.calm(&clients);
    let seen = clients.stop();
    let log = seen.ledger.check(&storm.over().0);
    let (by_log, by_search) =
        (judge::explained_by_log(&seen.done, &log), judge::explained_by_search(&seen.done));
    report(&format!("stale reads, by the log: {by_log:?}; by the search: {}", by_search.is_err()));
    assert!(by_log.is_err() && by_search.is_err());
}

/// .. and a clock that is further off than a lease allows makes it lie: clocks and ways are what they seem.
#[test]
fn a_lease_by_a_far_too_slow_clock_is_found_out() {
    if !in_own_network("a_lease_by_a_far_too_slow_clock_is_found_out") {
        return;
    }
    let network = Network::lay(3);
    let mut cluster = network.cluster();
    let clocks = Clocks::new(&cluster);
    // Its heartbeats still come in time for the others, and its lease lasts five times as long as it may.
    clocks.set(&mut cluster, 0, 200, 0);
    cluster.start_all();
    let (none, around) = (BTreeSet::new(), network.around(&[0]));
    for tried in 1..=TRIES {
        let leads = |node: usize| cluster.status(node).is_some_and(|status| status["role"] == "leader");
        let led = || leads(0) || hand_over(&cluster.apis[cluster.leader().id]);
        assert!(ends_within(ELECTION, led), "node 0 leads");
        let before = put(&cluster.apis[0], 2 * tried).expect("node 0 leads");
        network.filter(&around, &none);
        let mut after = None;
        let mut written = || {
            let leader = (1..3).find(|node| leads(*node));
            after = leader.and_then(|node| put(&cluster.apis[node], 2 * tried + 1));
            after.is_some()
        };
        assert!(ends_within(ELECTION, &mut written), "another leader takes writes");
        let by_lease = read(&cluster.apis[0], KEY, "lease", SHORT);
        let by_quorum = read(&cluster.apis[0], KEY, "linearizable", SHORT);
        network.filter(&none, &none);
        assert!(by_quorum.is_none(), "{by_quorum:?} by a leader without a quorum");
        let log = cluster.log(cluster.leader().id);
        if let (Some(read), Some(after)) = (by_lease, after) {
            let seen = [before, after, read];
            let (by_log, by_search) =
                (judge::explained_by_log(&seen, &log), judge::explained_by_search(&seen));
            report(&format!("a lease by a slow clock, try {tried}: {by_log:?}; {by_search:?}"));
            assert!(by_log.is_err() && by_search.is_err());
            return;
        }
    }
    panic!("no stale read in {TRIES} tries: these tests can't see a lease that is too long");
}

/// Asks the leader to make node 0 its successor. Whether it did.
fn hand_over(leader: &str) -> bool {
    let (to, path) = (json!({ "to": 0 }), "/v1/leader/transfer");
    let request = Request { method: "POST", path, body: Some(&to), within: ELECTION };
    http::ask(leader, &request).is_ok_and(|answer| answer.status == 200)
}

/// A put by a node that leads.
fn put(api: &str, value: u64) -> Option<Done> {
    let began = Instant::now();
    let body = json!({ "key": KEY.to_string(), "value": value.to_string() });
    let request = Request { method: "PUT", path: "/", body: Some(&body), within: ELECTION };
    let place = http::ask(api, &request).ok()?.json["index"].as_u64()?;
    let event = Event { place, is_write: true, began, ended: Some(Instant::now()) };
    Some(Done { key: KEY, value: Some(value), event })
}
