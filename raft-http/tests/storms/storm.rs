//! Faults drawn from a seed, up to two at a time: each kind once in every round, in an order of its own, and then a calm.

use crate::clients::{CLIENTS, Clients};
use crate::clocks::Clocks;
use crate::cluster::http::{self, Request};
use crate::cluster::{Cluster, ELECTION, ends_within};
use crate::network::{Network, Way};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub(crate) const NODES: usize = 5;
const LOOK: Duration = Duration::from_millis(10);
/// How long the look for the leader waits for each node's answer.
const SOON: Duration = Duration::from_millis(100);
/// In thousandths: any two clocks are within the tenth that leases allow for.
const RATES: (u64, u64) = (960, 1040);
/// How far the times of day are off, in seconds.
const OFFSET: i64 = 60;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kill,
    KillAll,
    Stop,
    /// One node and all others are cut from each other.
    Isolate,
    /// Two nodes and all others are.
    Split,
    /// Two and two are, and one reaches them all.
    Bridge,
    /// A node hears nothing, and is heard.
    Deafen,
    /// A node is not heard, and hears.
    Mute,
    /// One way between two nodes is cut.
    OneWay,
    Lose,
    Narrow,
    /// Leadership is handed over.
    Transfer,
}

const KINDS: [Kind; 12] = [
    Kind::Kill,
    Kind::KillAll,
    Kind::Stop,
    Kind::Isolate,
    Kind::Split,
    Kind::Bridge,
    Kind::Deafen,
    Kind::Mute,
    Kind::OneWay,
    Kind::Lose,
    Kind::Narrow,
    Kind::Transfer,
];

/// What is out of order for some time.
enum Fault {
    Down(Vec<usize>),
    Stopped(usize),
    Cut(BTreeSet<Way>),
    Lossy(BTreeSet<Way>),
    Narrow(usize),
}

/// A cluster in a storm.
pub(crate) struct Storm {
    pub(crate) cluster: Cluster,
    pub(crate) network: Network,
    clocks: Clocks,
    random: ChaCha8Rng,
    /// Each with its end.
    active: Vec<(Instant, Fault)>,
    pub(crate) faults: usize,
}

impl Storm {
    /// A cluster that serves, with clocks of different rates.
    pub(crate) fn new(seed: u64) -> Storm {
        let network = Network::lay(NODES);
        let mut cluster = network.cluster();
        let clocks = Clocks::new(&cluster);
        let often = ["--snapshot-entries", "200", "--retain-entries", "20"];
        for setup in &mut cluster.setups {
            setup.arguments.extend(often.map(str::to_string));
        }
        let random = ChaCha8Rng::seed_from_u64(seed);
        let mut storm = Storm { cluster, network, clocks, random, active: Vec::new(), faults: 0 };
        (0..NODES).for_each(|node| storm.start(node));
        storm.cluster.leader();
        let skewed = (0..NODES).all(|node| storm.clocks.ran(node));
        assert!(skewed, "the nodes' ticks are counted by clocks of their own");
        storm
    }

    /// One fault of each kind, and their ends.
    pub(crate) fn round(&mut self) {
        let mut kinds = KINDS.to_vec();
        while !kinds.is_empty() {
            let kind = kinds.swap_remove(self.below(kinds.len()));
            let rest = Duration::from_millis(100 + self.below(900) as u64);
            self.pass(rest);
            while self.active.len() > 1 || self.awake().len() < NODES - 1 {
                self.pass(LOOK);
            }
            let lasts = Duration::from_millis(150 + self.below(1500) as u64);
            if let Some(fault) = self.begin(kind) {
                self.active.push((Instant::now() + lasts, fault));
                self.filter();
            }
            self.faults += 1;
        }
        while !self.active.is_empty() {
            self.pass(LOOK);
        }
    }

    /// Waits until the cluster, left alone, serves again: every client has its writes acknowledged, every node reads.
    /// Gives how long that took.
    ///
    /// # Panics
    /// If it does not in time.
    pub(crate) fn calm(&self, clients: &Clients) -> Duration {
        let (began, before) = (Instant::now(), clients.acknowledged());
        self.cluster.leader();
        for api in &self.cluster.apis {
            let request = Request { method: "GET", path: "/?key=0", body: None, within: ELECTION };
            let serves = || http::ask(api, &request).is_ok_and(|answer| answer.status == 200);
            assert!(ends_within(ELECTION, serves), "{api} reads again");
        }
        let written = || clients.acknowledged() >= before + CLIENTS as u64;
        assert!(ends_within(ELECTION, written), "writes are acknowledged again");
        began.elapsed()
    }

    /// The end of the storm: what is left is a cluster that runs.
    pub(crate) fn over(self) -> (Cluster, Network) {
        assert!(self.active.is_empty());
        (self.cluster, self.network)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end as u64) as usize
    }

    /// Lets time pass, in which faults end.
    fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let now = Instant::now();
            while let Some(due) = self.active.iter().position(|(end, _)| *end <= now) {
                let (_, fault) = self.active.remove(due);
                self.end(fault);
            }
            for node in self.cluster.up() {
                assert!(self.cluster.process(node).runs(), "node {node} has stopped by itself");
            }
            if now >= until {
                return;
            }
            std::thread::sleep(LOOK.min(until - now));
        }
    }

    /// The nodes that neither are down nor stand still.
    fn awake(&self) -> Vec<usize> {
        let still = |node: &usize| {
            self.active.iter().any(|(_, fault)| matches!(fault, Fault::Stopped(stopped) if stopped == node))
        };
        self.cluster.up().into_iter().filter(|node| !still(node)).collect()
    }

    /// A node that is awake: as often the leader as any.
    fn victim(&mut self) -> usize {
        let awake = self.awake();
        let any = awake[self.below(awake.len())];
        if self.below(2) == 0 { any } else { self.leader(&awake).unwrap_or(any) }
    }

    /// Which of these nodes leads in the newest term, by its own word.
    fn leader(&self, nodes: &[usize]) -> Option<usize> {
        let leads = |node: &usize| {
            let request = Request { method: "GET", path: "/v1/status", body: None, within: SOON };
            let status = http::ask(&self.cluster.apis[*node], &request).ok()?.json;
            (status["role"] == "leader").then(|| (status["term"].as_u64(), *node))
        };
        nodes.iter().filter_map(leads).max().map(|(_, node)| node)
    }

    fn begin(&mut self, kind: Kind) -> Option<Fault> {
        let victim = self.victim();
        let other = (victim + 1 + self.below(NODES - 1)) % NODES;
        let around = |nodes: &[usize]| self.network.around(nodes);
        let fault = match kind {
            Kind::Kill => {
                self.cluster.kill(victim);
                Fault::Down(vec![victim])
            }
            Kind::KillAll => {
                let up = self.awake();
                up.iter().for_each(|node| self.cluster.take(*node).begin_kill());
                Fault::Down(up)
            }
            Kind::Stop => {
                self.cluster.process(victim).pause();
                Fault::Stopped(victim)
            }
            Kind::Isolate => Fault::Cut(around(&[victim])),
            Kind::Split => Fault::Cut(around(&[victim, other])),
            Kind::Bridge => {
                let (left, bridge) = ([victim, other], self.below(NODES));
                let mut ways = self.network.around(&left);
                ways.retain(|(from, to)| *from != bridge && *to != bridge);
                Fault::Cut(ways)
            }
            Kind::Deafen => Fault::Cut(around(&[victim]).into_iter().filter(|way| way.1 == victim).collect()),
            Kind::Mute => Fault::Cut(around(&[victim]).into_iter().filter(|way| way.0 == victim).collect()),
            Kind::OneWay => Fault::Cut(BTreeSet::from([(victim, other)])),
            Kind::Lose => Fault::Lossy(around(&[victim])),
            Kind::Narrow => {
                self.network.narrow(victim);
                Fault::Narrow(victim)
            }
            Kind::Transfer => {
                let (body, path) = (json!({ "to": other }), "/v1/leader/transfer");
                let request = Request { method: "POST", path, body: Some(&body), within: SOON };
                // Whoever does not lead passes it on, and it may come to nothing.
                let _ = http::ask(&self.cluster.apis[victim], &request);
                return None;
            }
        };
        Some(fault)
    }

    fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Down(nodes) => nodes.into_iter().for_each(|node| self.start(node)),
            Fault::Stopped(node) => self.cluster.process(node).wake(),
            Fault::Narrow(node) => self.network.widen(node),
            Fault::Cut(_) | Fault::Lossy(_) => self.filter(),
        }
    }

    /// Starts a node, with a clock of its own.
    fn start(&mut self, node: usize) {
        let rate = RATES.0 + self.below((RATES.1 - RATES.0) as usize + 1) as u64;
        let offset = self.below(2 * OFFSET as usize + 1) as i64 - OFFSET;
        self.clocks.set(&mut self.cluster, node, rate, offset);
        self.cluster.start(node);
    }

    /// Lets the network drop what the active faults say.
    fn filter(&self) {
        let (mut cuts, mut lossy) = (BTreeSet::new(), BTreeSet::new());
        for (_, fault) in &self.active {
            match fault {
                Fault::Cut(ways) => cuts.extend(ways),
                Fault::Lossy(ways) => lossy.extend(ways),
                _ => {}
            }
        }
        self.network.filter(&cuts, &lossy);
    }
}
