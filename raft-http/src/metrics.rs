//! What is counted and measured, in Prometheus' names and base units. Counters and histograms are fed where things
//! happen; the gauges that show the node's state are set when somebody asks.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use raft_core::{Index, PeerStatus, RoleName, Status};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The media type of [`Metrics::text`].
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All of a node's.
pub(crate) struct Metrics {
    registry: Registry,
    /// From a client's hand to the driver's turn.
    pub(crate) queue: Histogram,
    /// From the turn until the proposal is durable on this disk.
    pub(crate) sync: Histogram,
    /// From the turn until a quorum has it.
    pub(crate) replicate: Histogram,
    /// From there until it is applied here.
    pub(crate) apply: Histogram,
    /// One sync of the log.
    pub(crate) fsync: Histogram,
    /// Elections that this node stood for.
    pub(crate) elections: Counter,
    /// Other leaders than before, as this node learned of them.
    pub(crate) leader_changes: Counter,
    /// Clients' connections that are open.
    pub(crate) connections: Gauge,
    /// Those that were closed to make room.
    pub(crate) evicted: Counter,
    /// Those that found no room, since all others were busy.
    pub(crate) turned_away: Counter,
    http: Family<Request, Histogram>,
    state: State,
}

/// A kind of HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Peer {
    peer: u64,
}

/// The gauges of the node's state.
#[derive(Default)]
struct State {
    term: Gauge,
    leads: Gauge,
    has_leader: Gauge,
    commit: Gauge,
    applied: Gauge,
    durable: Gauge,
    last: Gauge,
    snapshot: Gauge,
    proposals: Gauge,
    decayed: Gauge,
    lag: Family<Peer, Gauge>,
    silent: Family<Peer, Gauge<f64, AtomicU64>>,
    memory: Gauge,
}

/// 50 us to 26 s, each bound twice the one before.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 20))
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let mut registry = Registry::with_prefix("httpraft");
        let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running version", info);
        let phases = Family::<Phase, Histogram>::new_with_constructor(seconds);
        let help = "How long proposals were in each phase on the leader; sync and replicate run side by side";
        registry.register_with_unit("proposal_phase", help, Unit::Seconds, phases.clone());
        let phase = |phase| phases.get_or_create_owned(&Phase { phase });
        let http = Family::<Request, Histogram>::new_with_constructor(seconds);
        registry.register_with_unit("http_request", "Requests of clients", Unit::Seconds, http.clone());
        let metrics = Metrics {
            queue: phase("queue"),
            sync: phase("sync"),
            replicate: phase("replicate"),
            apply: phase("apply"),
            fsync: seconds(),
            elections: Counter::default(),
            leader_changes: Counter::default(),
            connections: Gauge::default(),
            evicted: Counter::default(),
            turned_away: Counter::default(),
            http,
            state: State::default(),
            registry: Registry::default(),
        };
        let help = "Syncs of the log";
        registry.register_with_unit("wal_fsync", help, Unit::Seconds, metrics.fsync.clone());
        registry.register("elections", "Elections that this node stood for", metrics.elections.clone());
        let help = "Leaders that this node learned of";
        registry.register("leader_changes", help, metrics.leader_changes.clone());
        registry.register("http_connections", "Open connections of clients", metrics.connections.clone());
        let help = "Idle connections that were closed to make room";
        registry.register("http_connections_evicted", help, metrics.evicted.clone());
        let help = "Connections that were closed at once, since all others were busy";
        registry.register("http_connections_turned_away", help, metrics.turned_away.clone());
        metrics.state.register(&mut registry);
        Metrics { registry, ..metrics }
    }

    /// A request was answered. `route` is the path with names in place of what varies.
    pub(crate) fn answered(&self, method: &http::Method, route: &'static str, status: u16, took: Duration) {
        let request = Request { method: method_name(method), route, status };
        self.http.get_or_create(&request).observe(took.as_secs_f64());
    }

    /// All of it as text. `peers`: what the leader knows of the others, each `silent` in ticks of this length; the
    /// followers know nothing.
    pub(crate) fn text(&self, status: &Status, peers: &[PeerStatus], tick: Duration) -> String {
        self.state.set(status, peers, tick);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a string takes any text");
        text
    }
}

impl State {
    fn register(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            ("term", "The current term", &self.term),
            ("is_leader", "1 on the leader", &self.leads),
            ("has_leader", "1 if a leader is known", &self.has_leader),
            ("commit_index", "The highest index known to be committed", &self.commit),
            ("applied_index", "The highest index applied", &self.applied),
            ("durable_index", "The end of the durable part of the log", &self.durable),
            ("last_index", "The end of the log", &self.last),
            ("snapshot_index", "What the newest snapshot covers", &self.snapshot),
            ("proposals_in_flight", "Proposals without an answer", &self.proposals),
            ("decayed_commands", "Commands that the disk has lost and no peer has given back", &self.decayed),
        ] {
            registry.register(name, help, gauge.clone());
        }
        let help = "How many entries each other member is behind, on the leader";
        registry.register("peer_lag_entries", help, self.lag.clone());
        let help = "How long ago each other member was heard, on the leader";
        registry.register_with_unit("peer_silent", help, Unit::Seconds, self.silent.clone());
        let help = "Resident memory of the process";
        registry.register_with_unit("resident_memory", help, Unit::Bytes, self.memory.clone());
    }

    fn set(&self, status: &Status, peers: &[PeerStatus], tick: Duration) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.term.set(gauge(status.term.0));
        self.leads.set(i64::from(status.role == RoleName::Leader));
        self.has_leader.set(i64::from(status.leader.is_some()));
        for (shown, Index(index)) in [
            (&self.commit, status.commit),
            (&self.applied, status.applied),
            (&self.durable, status.durable),
            (&self.last, status.last.index),
            (&self.snapshot, status.snapshot.map_or(Index(0), |last| last.index)),
        ] {
            shown.set(gauge(index));
        }
        self.proposals.set(gauge(status.tickets as u64));
        self.decayed.set(gauge(status.decayed as u64));
        self.memory.set(gauge(resident_bytes().unwrap_or(0)));
        // Of those who are gone nothing is shown, and a follower shows nobody.
        self.lag.clear();
        self.silent.clear();
        for peer in peers {
            let (label, behind) =
                (Peer { peer: peer.id.0 }, status.last.index.0.saturating_sub(peer.matched.0));
            self.lag.get_or_create(&label).set(gauge(behind));
            self.silent.get_or_create(&label).set(peer.silent as f64 * tick.as_secs_f64());
        }
    }
}

/// Made-up methods are one kind, or a client could make the table as large as it likes.
fn method_name(method: &http::Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// How much memory this process has, by the system's word.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn made_up_methods_do_not_grow_the_table() {
        let known =
            ["GET", "FOO", "BAR"].map(|name| method_name(&Method::from_bytes(name.as_bytes()).unwrap()));
        assert_eq!(known, ["GET", "other", "other"]);
    }

    #[test]
    fn the_memory_is_known() {
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
