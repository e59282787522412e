//! What a snapshot and its transfer cost those who write meanwhile: their latency, and the leader's memory.

use crate::cluster::{Cluster, http, report};
use crate::snapshots::{fill, number, wait_until_caught_up};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

const CLIENTS: u32 = 10;
const WRITES_A_SECOND: u32 = 500;
const TEXT_BYTES: usize = 100;
const LONG: Duration = Duration::from_secs(600);

/// Writes at a steady rate, and how long each took.
struct Steady {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<(Instant, Duration)>>>,
}

impl Steady {
    fn start(api: &str) -> Steady {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |id: u32| {
            let (stop, api) = (stop.clone(), api.to_string());
            let pause = Duration::from_secs(1) * CLIENTS / WRITES_A_SECOND;
            spawn(move || {
                let mut took = Vec::new();
                let mut due = Instant::now() + pause * id / CLIENTS;
                while !stop.load(Ordering::Relaxed) {
                    sleep(due.saturating_duration_since(Instant::now()));
                    due += pause;
                    let began = Instant::now();
                    let text = "y".repeat(TEXT_BYTES);
                    let answer = http::append(&api, &text, Duration::from_secs(10)).expect("an answer");
                    assert_eq!(answer.json["success"], true, "{}", answer.json);
                    took.push((began, began.elapsed()));
                }
                took
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Steady { stop, clients }
    }

    fn stop(self) -> Vec<(Instant, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("no write failed")).collect()
    }
}

/// p50, p99 and the longest of the writes that began within these times.
fn quantiles(took: &[(Instant, Duration)], from: Instant, to: Instant) -> (usize, [Duration; 3]) {
    let within = took.iter().filter(|(began, _)| (from..to).contains(began));
    let mut times: Vec<Duration> = within.map(|(_, took)| *took).collect();
    times.sort_unstable();
    assert!(!times.is_empty(), "there were writes");
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    (times.len(), [at(50), at(99), at(100)])
}

/// The resident memory of a process, looked at again and again; the highest.
fn watch_memory(pid: u32, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    spawn(move || {
        let mut highest = 0;
        while !stop.load(Ordering::Relaxed) {
            highest = highest.max(memory(pid));
            sleep(Duration::from_millis(20));
        }
        highest
    })
}

/// Bytes of resident memory.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has memory");
    let kibibytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kibibytes.expect("a number") << 10
}

/// Has a node take a snapshot of all that it has applied, and waits for it. One that is under way may come before it.
fn take_snapshot(cluster: &Cluster, id: usize) {
    let path = "/v1/snapshot?timeout=60s";
    let request = http::Request { method: "POST", path, body: None, within: LONG };
    let applied = number(cluster, id, "applied_index");
    while number(cluster, id, "snapshot_index") < applied {
        let answer = http::ask(&cluster.apis[id], &request).expect("the node answers");
        assert_eq!(answer.status, 200, "{}", answer.json);
    }
}

/// A state of so many MiB, 500 writes a second: from before a snapshot is begun until a follower that had nothing has
/// caught up by it. Gives how much the median grew, and by how many bytes the leader's memory.
fn measure(mebibytes: usize, calm: Duration) -> (f64, u64) {
    let mut cluster = Cluster::new(3);
    for setup in &mut cluster.setups {
        // While it is measured less is written: then a snapshot is taken when this test asks for one.
        setup.arguments.extend(["--snapshot-bytes", "256MiB"].map(String::from));
    }
    cluster.start_all();
    let leader = cluster.leader().id;
    let away = (leader + 1) % 3;
    cluster.kill(away);
    let built = Instant::now();
    fill(&cluster, mebibytes, 1 << 20);
    // The log that built the state goes, so that the memory is the state's.
    take_snapshot(&cluster, leader);
    let built = built.elapsed();
    let pid = cluster.process(leader).id();
    sleep(Duration::from_secs(2));

    let load = Steady::start(&cluster.apis[leader]);
    sleep(Duration::from_secs(1));
    let before = Instant::now();
    sleep(calm);
    let resident = memory(pid);
    let stop = Arc::new(AtomicBool::new(false));
    let watching = watch_memory(pid, stop.clone());
    let begun = Instant::now();
    take_snapshot(&cluster, leader);
    let taken = Instant::now();
    cluster.start(away);
    wait_until_caught_up(&cluster, away, LONG);
    cluster.process(away).says("read a snapshot", LONG);
    let caught_up = Instant::now();
    stop.store(true, Ordering::Relaxed);
    let highest = watching.join().expect("the process ran");
    let took = load.stop();

    let (calm, beside) = (quantiles(&took, before, begun), quantiles(&took, begun, caught_up));
    let (writing, sending) = (quantiles(&took, begun, taken), quantiles(&took, taken, caught_up));
    let written = took.iter().filter(|(at, _)| (begun..caught_up).contains(at)).count() * TEXT_BYTES;
    let grown = highest.saturating_sub(resident);
    report(&format!(
        "{mebibytes} MiB of state (built in {built:?}), {WRITES_A_SECOND} writes/s, (count, [p50, p99, longest]):\n    \
         before {calm:?}\n    while it is written, {:?}: {writing:?}\n    while it is sent and read, {:?}: {sending:?}\n    \
         leader's memory: {} MiB before, {} MiB at most; it grew by {:.1} MiB, {:.1} MiB of entries were written",
        taken - begun,
        caught_up - taken,
        resident >> 20,
        highest >> 20,
        grown as f64 / f64::from(1 << 20),
        written as f64 / f64::from(1 << 20),
    ));
    (beside.1[0].as_secs_f64() / calm.1[0].as_secs_f64(), grown)
}

/// The figures of a small state are printed; a busy machine may spoil them.
#[test]
fn a_snapshot_beside_writes() {
    let (_, grown) = measure(64, Duration::from_secs(2));
    assert!(grown < 64 << 20, "the leader's memory grew by {} MiB", grown >> 20);
}

#[test]
#[ignore = "a GiB on three disks: cargo test --profile sim -p raft-http --test processes gibibyte -- --ignored --nocapture"]
fn a_snapshot_of_a_gibibyte_beside_writes() {
    let (slower, grown) = measure(1024, Duration::from_secs(10));
    assert!(grown < 64 << 20, "the leader's memory grew by {} MiB", grown >> 20);
    assert!(slower < 2.0, "the median is {slower:.1} times what it was");
}
