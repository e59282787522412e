//! The core in memory beside raft-rs: `core` prints every figure, each measured in this run; `counts` those that are
//! exact, and fails if one rose; `scenario NAME TIMES` does one fixed piece of work for an instruction counter.

mod cluster;
mod codec;
mod counts;
mod meter;
mod ours;
mod peer;

use cluster::Cluster;
use meter::{Usage, median};
use ours::Ours;
use peer::Peer;
use std::process::ExitCode;

/// Rounds of each measurement; the contenders take turns within each.
const ROUNDS: usize = 7;

/// Committed proposals in one round.
const COMMITS: u64 = 8192;

/// Idle groups.
const GROUPS: usize = 10_000;

/// What one committed proposal costs.
#[derive(Clone, Copy)]
struct Cost {
    ns: f64,
    allocations: f64,
    messages: f64,
}

fn main() -> ExitCode {
    meter::keep_freed_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["core"] => {
            commits();
            idle();
            elections_and_reads();
            codecs();
        }
        ["counts"] => {
            if let Err(risen) = counts::check() {
                eprintln!("{risen}");
                return ExitCode::FAILURE;
            }
        }
        ["scenario", name, times] => scenario(name, times.parse().expect("how many times, as a number")),
        _ => {
            panic!(
                "usage: bench core | bench counts | bench scenario commitBATCH|read|follower|leader|round TIMES"
            )
        }
    }
    ExitCode::SUCCESS
}

fn commit_cost<C: Cluster>(nodes: usize, batch: u64, payload: &[u8]) -> Cost {
    let mut cluster = C::start(nodes);
    // The reserve of vectors and maps is made before the clock starts.
    (0..1024 / batch).for_each(|_| cluster.propose(batch, payload));
    let (committed, messages, begin) = (cluster.committed(), cluster.messages(), Usage::now());
    for round in 1..=COMMITS / batch {
        cluster.propose(batch, payload);
        if (round * batch).is_multiple_of(4096) {
            cluster.compact();
        }
    }
    let used = begin.since();
    assert_eq!(cluster.committed() - committed, COMMITS, "every proposal is committed");
    let each = |total: u64| total as f64 / COMMITS as f64;
    Cost {
        ns: each(used.cpu_ns),
        allocations: each(used.allocations),
        messages: each(cluster.messages() - messages),
    }
}

/// Runs the contenders in turn, another one first in each round. A row of costs each.
fn alternate<const N: usize, T: Copy>(contenders: [&dyn Fn() -> T; N]) -> [Vec<T>; N] {
    let mut costs = [const { Vec::new() }; N];
    for round in 0..ROUNDS {
        for turn in 0..N {
            let at = (round + turn) % N;
            costs[at].push(contenders[at]());
        }
    }
    costs
}

/// The median of the ratios of paired rounds.
fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
}

fn commits() {
    println!(
        "\nA committed proposal: ours / raft-rs plain / raft-rs with all that waits in one MsgPropose\n"
    );
    println!("| nodes | payload | batch | ns CPU | ours : plain | ours : batched | allocations | messages |");
    println!("|---|---|---|---|---|---|---|---|");
    for nodes in [3, 5] {
        for payload in [16, 256, 4096] {
            for batch in [1, 16, 256] {
                let bytes = vec![7; payload];
                let costs = alternate::<3, Cost>([
                    &|| commit_cost::<Ours>(nodes, batch, &bytes),
                    &|| commit_cost::<Peer<false>>(nodes, batch, &bytes),
                    &|| commit_cost::<Peer<true>>(nodes, batch, &bytes),
                ]);
                let all =
                    |of: fn(&Cost) -> f64| costs.each_ref().map(|row| row.iter().map(of).collect::<Vec<_>>());
                let times = all(|cost| cost.ns);
                let ratios = [1, 2].map(|peer| ratio(&times[0], &times[peer]));
                let [a, b, c] = times.map(median);
                let [d, e, f] = all(|cost| cost.allocations).map(median);
                let [g, h, i] = all(|cost| cost.messages).map(median);
                println!(
                    "| {nodes} | {payload} | {batch} | {a:.0} / {b:.0} / {c:.0} | {:.2} | {:.2} | {d:.2} / {e:.2} / {f:.2} | {g:.3} / {h:.3} / {i:.3} |",
                    ratios[0], ratios[1]
                );
            }
        }
    }
}

/// Groups of one node each: its other members are dropped.
fn groups<C: Cluster>(node: usize) -> Vec<C::Node> {
    (0..GROUPS).map(|_| C::start(3).take(node)).collect()
}

fn heap_of<C: Cluster>(node: usize) -> f64 {
    let begin = Usage::now();
    let groups = groups::<C>(node);
    let bytes = begin.since().live_bytes;
    drop(groups);
    bytes as f64 / GROUPS as f64
}

/// ns of CPU a group.
fn over<N>(groups: &mut [N], mut work: impl FnMut(&mut N)) -> f64 {
    let begin = Usage::now();
    groups.iter_mut().for_each(&mut work);
    begin.since().cpu_ns as f64 / groups.len() as f64
}

fn row(name: &str, unit: &str, ours: &[f64], theirs: &[f64]) {
    let [a, b] = [ours, theirs].map(|numbers| median(numbers.to_vec()));
    println!("| {name} | {a:.1} | {b:.1} | {:.2} | {unit} |", ratio(ours, theirs));
}

fn idle() {
    println!(
        "\nIdle groups of 3 nodes, {GROUPS} of them\n\n| what | ours | raft-rs | ratio | unit |\n|---|---|---|---|---|"
    );
    for (role, node) in [("follower", 1), ("leader", 0)] {
        row(
            &format!("heap of an idle {role}, its struct included"),
            "bytes",
            &[heap_of::<Ours>(node)],
            &[heap_of::<Peer<false>>(node)],
        );
    }
    for (role, node) in [("follower", 1), ("leader", 0)] {
        let (mut ours, mut theirs) = (groups::<Ours>(node), groups::<Peer<false>>(node));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            a.push(over(&mut ours, Ours::idle_tick));
            b.push(over(&mut theirs, <Peer<false> as Cluster>::idle_tick));
        }
        row(&format!("idle tick of a {role}"), "ns", &a, &b);
    }
    let (mut ours, mut theirs) = (groups::<Ours>(0), groups::<Peer<false>>(0));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(over(&mut ours, |node| assert_eq!(Ours::heartbeat(node), 2)));
        b.push(over(&mut theirs, |node| assert_eq!(<Peer<false> as Cluster>::heartbeat(node), 2)));
    }
    row("heartbeat round of a group", "ns", &a, &b);
}

/// ns of CPU a time.
fn each<C: Cluster>(cluster: &mut C, times: u64, mut work: impl FnMut(&mut C, u64)) -> f64 {
    let begin = Usage::now();
    (0..times).for_each(|time| work(cluster, time));
    begin.since().cpu_ns as f64 / times as f64
}

fn election<C: Cluster>() -> f64 {
    each(&mut C::start(3), 1000, |cluster, time| cluster.elect(1 + time as usize % 2))
}

fn reads<C: Cluster>(batch: u64) -> f64 {
    let mut cluster = C::start(3);
    let ns = each(&mut cluster, COMMITS / batch, |cluster, _| cluster.read(batch)) / batch as f64;
    assert_eq!(cluster.confirmed(), COMMITS, "every read is confirmed");
    ns
}

fn elections_and_reads() {
    println!("\n3 nodes\n\n| what | ours | raft-rs | ratio | unit |\n|---|---|---|---|---|");
    let [a, b] = alternate([&election::<Ours>, &election::<Peer<false>>]);
    row("pre-vote election", "ns", &a, &b);
    for batch in [1, 16, 256] {
        let [a, b] = alternate([&|| reads::<Ours>(batch), &|| reads::<Peer<false>>(batch)]);
        row(&format!("linearizable read, {batch} at once"), "ns", &a, &b);
    }
}

fn codecs() {
    println!("\nAn append with one entry\n\n| what | ours | raft-rs | ratio | unit |\n|---|---|---|---|---|");
    for payload in [16, 256, 4096] {
        let [ours, theirs] = alternate([&|| codec::ours(payload), &|| codec::peer(payload)]);
        let parts =
            |of: fn(&(f64, f64)) -> f64| [&ours, &theirs].map(|row| row.iter().map(of).collect::<Vec<_>>());
        let [[a, b], [c, d]] = [parts(|cost| cost.0), parts(|cost| cost.1)];
        row(&format!("encode, payload of {payload} bytes"), "ns", &a, &b);
        row(&format!("decode, payload of {payload} bytes"), "ns", &c, &d);
    }
}

/// One fixed piece of our work, so many times: what two runs differ by is the work's own.
fn scenario(name: &str, times: u64) {
    let mut cluster = Ours::start(3);
    match name {
        "read" => (0..times).for_each(|_| cluster.read(1)),
        "follower" => ticks(cluster.take(1), times),
        "leader" => ticks(cluster.take(0), times),
        "round" => {
            let mut leader = cluster.take(0);
            (0..times).for_each(|_| assert_eq!(Ours::heartbeat(&mut leader), 2));
        }
        _ => {
            let batch = name.strip_prefix("commit").and_then(|batch| batch.parse().ok());
            let batch = batch.unwrap_or_else(|| {
                panic!("no scenario {name:?}: commitBATCH, read, follower, leader, round")
            });
            for round in 1..=times {
                cluster.propose(batch, &[7; 256]);
                if (round * batch).is_multiple_of(2048) {
                    cluster.compact();
                }
            }
        }
    }
}

fn ticks(mut node: <Ours as Cluster>::Node, times: u64) {
    (0..times).for_each(|_| Ours::idle_tick(&mut node));
}
