//! The settings of one node: read from flags, environment and file in this order of precedence, checked once,
//! trusted everywhere else.

pub mod address;
mod file;
mod settings;

pub use file::{FileError, find, parse, read};
pub use settings::{Given, GivenFrom, from_environment};

use crate::contact::Contact;
use crate::machine::Retention;
use address::Address;
use raft_core::{ClusterId, hash};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

/// An election timeout shorter than this many heartbeats is refused: one lost message must not cause an election.
const HEARTBEATS_PER_ELECTION: u32 = 5;

/// The largest body that may be allowed: with its envelope it must fit into one segment of the log.
pub(crate) const BODY_AT_MOST: usize = 8 << 20;

/// How much larger a command may be than the request's body that it came in: its key, its kind and its envelope.
pub(crate) const COMMAND_OVERHEAD: usize = 1 << 10;

/// All settings of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node: a founder's is the index into both lists.
    pub id: usize,
    /// This node's own addresses: the lists', unless others were given.
    pub own: Contact,
    /// Where the nodes reach each other, `host:port`, by id.
    pub peers: Vec<String>,
    /// Where clients reach the nodes, `host:port`, by id.
    pub apis: Vec<String>,
    /// The cluster's name, if it has one: tells clusters with the same addresses apart.
    pub cluster: Option<String>,
    /// The cluster that these settings found: a hash of both lists and the name, so that every founder computes the
    /// same one. A data directory that already belongs to a cluster overrules it.
    pub cluster_id: ClusterId,
    /// Running nodes, by their addresses for clients, of a cluster that this node joins.
    pub join: Vec<String>,
    /// Whether this node founds the cluster of its lists on an empty disk. One that joins never does.
    pub founds: bool,
    /// The lists overrule the addresses in the log: all nodes live in one process, and get free ports at each start.
    pub moved: bool,
    /// Where the log is kept.
    pub store: Store,
    /// A leader's heartbeat interval.
    pub heartbeat: Duration,
    /// The minimal election timeout; each draw is between it and twice it.
    pub election_timeout: Duration,
    /// Whether clients may ask for reads that rest on the leader's lease, and so on clocks.
    pub lease_reads: bool,
    /// How long idempotency keys are kept, and how many; a leader's settings are those of the cluster.
    pub retention: Retention,
    /// How many entries of the clients' log are kept at least; without a number, all. The leader's setting is the
    /// cluster's.
    pub log_retention: Option<NonZeroU64>,
    /// How often the replicas compare their states, if anything was written.
    pub audit_interval: Duration,
    /// What is bounded, and by how much.
    pub limits: Limits,
    /// When the log is compacted.
    pub compaction: Compaction,
    /// Whether a non-loopback address may be bound although there is neither TLS nor authentication.
    pub insecure: bool,
    /// Never sync: writes are acknowledged that a power cut takes back.
    pub unsafe_no_fsync: bool,
}

/// Where the log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In this data directory.
    Directory(PathBuf),
    /// Nowhere: a restart is a node with a wiped disk.
    Memory,
}

/// When a snapshot is taken, and how much of the log stays behind it. Clients' entries are in the snapshot, too: what
/// goes is Raft's own copy of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Entries since the newest snapshot after which the next one is taken.
    pub snapshot_entries: usize,
    /// Bytes of entries since the newest snapshot after which the next one is taken.
    pub snapshot_bytes: usize,
    /// Entries that stay behind a snapshot, for followers that were away briefly.
    pub retain_entries: usize,
    /// Bytes of entries that stay behind a snapshot.
    pub retain_bytes: usize,
}

impl Default for Compaction {
    fn default() -> Compaction {
        Compaction {
            snapshot_entries: 1_000_000,
            snapshot_bytes: 64 << 20,
            retain_entries: 16_384,
            retain_bytes: 16 << 20,
        }
    }
}

/// Bounds on what clients may make this node hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: usize,
    /// Bytes of a request's headers.
    pub headers: usize,
    /// How long a client may take to send its headers.
    pub header_read: Duration,
    /// How long a client may take to send its body.
    pub body_read: Duration,
    /// How long a client may leave an answer lying that it doesn't read.
    pub answer_write: Duration,
    /// Client connections.
    pub connections: usize,
    /// Bytes of all bodies that are not small, of requests under way and of answers that are not read yet.
    pub body_bytes: usize,
    /// Proposals that are not answered yet.
    pub proposals: usize,
    /// Bytes of such proposals.
    pub proposal_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body: 3 << 19,
            headers: 32 << 10,
            header_read: Duration::from_secs(10),
            body_read: Duration::from_secs(30),
            answer_write: Duration::from_secs(30),
            connections: 4096,
            body_bytes: 256 << 20,
            proposals: 4096,
            proposal_bytes: 64 << 20,
        }
    }
}

/// What is wrong with the settings. Each is one line that names the place, the value and the cure.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The file is missing, unreadable or not a JSON object.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no such setting.
    #[error("{place}: there is no such setting; did you mean {nearest:?}?")]
    Unknown {
        /// Where it stands.
        place: String,
        /// The known setting with the most similar name.
        nearest: &'static str,
    },
    /// A value can't be read as what it should be.
    #[error("{place}: {problem}")]
    Value {
        /// Where it stands.
        place: String,
        /// What is wrong with the value.
        problem: String,
    },
    /// The values don't fit together.
    #[error("{0}")]
    Check(String),
}

impl Config {
    /// The settings of node `id` from all that is given, later ones over earlier ones.
    pub fn new(id: usize, given: &[Given]) -> Result<Config, ConfigError> {
        let mut config = Config {
            id,
            own: Contact { peer: String::new(), api: String::new() },
            peers: Vec::new(),
            apis: Vec::new(),
            cluster: None,
            cluster_id: ClusterId(0),
            join: Vec::new(),
            founds: true,
            moved: false,
            store: Store::Directory(PathBuf::new()),
            heartbeat: Duration::from_millis(100),
            election_timeout: Duration::from_millis(500),
            lease_reads: false,
            retention: Retention::default(),
            log_retention: None,
            audit_interval: Duration::from_secs(300),
            limits: Limits::default(),
            compaction: Compaction::default(),
            insecure: false,
            unsafe_no_fsync: false,
        };
        settings::apply(&mut config, given)?;
        config.check_lists()?;
        config.own_from_lists();
        config.check()?;
        config.founds = config.join.is_empty();
        if config.store == Store::Directory(PathBuf::new()) {
            config.store = Store::Directory(PathBuf::from(format!("httpraft-data/node-{id}")));
        }
        config.cluster_id = config.founded_id();
        Ok(config)
    }

    /// This node's address for other nodes.
    pub fn peer(&self) -> &str {
        &self.own.peer
    }

    /// This node's address for clients.
    pub fn api(&self) -> &str {
        &self.own.api
    }

    /// The nodes of the lists, by id.
    pub fn listed(&self) -> impl Iterator<Item = Contact> + '_ {
        self.peers.iter().zip(&self.apis).map(|(peer, api)| Contact { peer: peer.clone(), api: api.clone() })
    }

    /// Whether this node is one of the lists'.
    pub fn is_listed(&self) -> bool {
        self.id < self.peers.len()
    }

    /// Takes this node's own addresses from the lists where none were given.
    fn own_from_lists(&mut self) {
        for (own, list) in [(&mut self.own.peer, &self.peers), (&mut self.own.api, &self.apis)] {
            if let Some(listed) = list.get(self.id).filter(|_| own.is_empty()) {
                own.clone_from(listed);
            }
        }
    }

    /// The settings as a config file.
    pub fn to_json(&self) -> Value {
        let duration = |duration: Duration| humantime::format_duration(duration).to_string();
        let mut json = json!({
            "peers": self.peers,
            "apis": self.apis,
            "heartbeat": duration(self.heartbeat),
            "election_timeout": duration(self.election_timeout),
            "lease_reads": self.lease_reads,
            "dedupe_window": duration(Duration::from_millis(self.retention.window_ms)),
            "dedupe_keys": self.retention.keys,
            "dedupe_min": duration(Duration::from_millis(self.retention.least_ms)),
            "log_retention": self.log_retention.map_or(json!("off"), |least| json!(least)),
            "audit_interval": duration(self.audit_interval),
            "max_body": settings::size_text(self.limits.body),
            "max_headers": settings::size_text(self.limits.headers),
            "header_read_timeout": duration(self.limits.header_read),
            "body_read_timeout": duration(self.limits.body_read),
            "answer_write_timeout": duration(self.limits.answer_write),
            "max_connections": self.limits.connections,
            "max_body_bytes": settings::size_text(self.limits.body_bytes),
            "max_proposals": self.limits.proposals,
            "max_proposal_bytes": settings::size_text(self.limits.proposal_bytes),
            "snapshot_entries": self.compaction.snapshot_entries,
            "snapshot_bytes": settings::size_text(self.compaction.snapshot_bytes),
            "retain_entries": self.compaction.retain_entries,
            "retain_bytes": settings::size_text(self.compaction.retain_bytes),
            "insecure": self.insecure,
            "unsafe_no_fsync": self.unsafe_no_fsync,
        });
        if let Some(cluster) = &self.cluster {
            json["cluster"] = json!(cluster);
        }
        for (key, own, list) in [("peer", &self.own.peer, &self.peers), ("api", &self.own.api, &self.apis)] {
            if list.get(self.id) != Some(own) {
                json[key] = json!(own);
            }
        }
        if !self.join.is_empty() {
            json["join"] = json!(self.join);
        }
        match &self.store {
            Store::Directory(path) => json["data_dir"] = json!(path),
            Store::Memory => json["in_memory"] = json!(true),
        }
        json
    }

    /// The id of the cluster that these lists and this name found. Lengths go in, so that no two different settings
    /// give the same bytes.
    fn founded_id(&self) -> ClusterId {
        let mut bytes = Vec::new();
        for list in [&self.peers, &self.apis, &self.cluster.iter().cloned().collect()] {
            bytes.extend_from_slice(&(list.len() as u64).to_le_bytes());
            for text in list {
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        ClusterId(hash::bytes(&bytes))
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.check_addresses()?;
        if self.limits.body > BODY_AT_MOST {
            let (body, most) = (settings::size_text(self.limits.body), settings::size_text(BODY_AT_MOST));
            return Err(ConfigError::Check(format!(
                "max_body is {body}, and at most {most} fit into the log"
            )));
        }
        if self.limits.body_bytes < self.limits.body {
            let (all, one) =
                (settings::size_text(self.limits.body_bytes), settings::size_text(self.limits.body));
            return Err(ConfigError::Check(format!(
                "max_body_bytes is {all}, and one max_body alone is {one}"
            )));
        }
        let least = self.limits.body + COMMAND_OVERHEAD;
        if self.limits.proposal_bytes < least {
            let (all, one) = (settings::size_text(self.limits.proposal_bytes), settings::size_text(least));
            return Err(ConfigError::Check(format!(
                "max_proposal_bytes is {all}, and a write of max_body alone may take {one}"
            )));
        }
        let Retention { window_ms, least_ms, .. } = self.retention;
        if window_ms < least_ms {
            return Err(ConfigError::Check(format!(
                "dedupe_window is {window_ms} ms, and dedupe_min {least_ms} ms: a key must be kept for at least dedupe_min"
            )));
        }
        let duration = humantime::format_duration;
        let least = self.heartbeat * HEARTBEATS_PER_ELECTION;
        if self.election_timeout < least {
            return Err(ConfigError::Check(format!(
                "an election timeout of {} is under {HEARTBEATS_PER_ELECTION} heartbeats of {}: make it at least {}",
                duration(self.election_timeout),
                duration(self.heartbeat),
                duration(least)
            )));
        }
        Ok(())
    }

    /// Both lists name every node once, and this one is among them or has addresses of its own.
    fn check_lists(&self) -> Result<(), ConfigError> {
        let (id, peers, apis) = (self.id, self.peers.len(), self.apis.len());
        let has_own = !self.own.peer.is_empty() && !self.own.api.is_empty();
        let problem = match (peers, apis) {
            (0, 0) if has_own => return Ok(()),
            (0, _) => "\"peers\" is missing or empty: it must list one host:port a node".to_string(),
            (_, 0) => "\"apis\" is missing or empty: it must list one host:port a node".to_string(),
            _ if peers != apis => format!(
                "\"peers\" lists {peers} and \"apis\" lists {apis} addresses: each must list one a node, in the same order"
            ),
            _ if id >= peers && !has_own => {
                format!(
                    "node id {id} is out of range: the lists have {peers} nodes, numbered from 0 to {}; a further node \
                     needs --peer and --api, its own addresses, and --join",
                    peers - 1
                )
            }
            _ => return Ok(()),
        };
        Err(ConfigError::Check(problem))
    }

    /// All addresses can be read, none stands twice, and this node's own are safe to listen on.
    fn check_addresses(&self) -> Result<(), ConfigError> {
        let mut seen = BTreeMap::new();
        for (list, addresses) in [("peers", &self.peers), ("apis", &self.apis)] {
            for (at, text) in addresses.iter().enumerate() {
                let place = format!("{list}[{at}]");
                let address: Address = text
                    .parse()
                    .map_err(|problem| ConfigError::Check(format!("{place}: {text:?} {problem}")))?;
                if let Some(first) = seen.insert(address, place.clone()) {
                    return Err(ConfigError::Check(format!(
                        "{first} and {place} are the same address {text:?}: every node needs two of its own"
                    )));
                }
            }
        }
        for (name, list, text) in [("peer", "peers", &self.own.peer), ("api", "apis", &self.own.api)] {
            let listed = if list == "peers" { &self.peers } else { &self.apis };
            let place = match listed.get(self.id) {
                Some(listed) if listed == text => format!("{list}[{}]", self.id),
                _ => format!("{name} (or --{name})"),
            };
            let address: Address =
                text.parse().map_err(|problem| ConfigError::Check(format!("{place}: {text:?} {problem}")))?;
            if address.is_exposed() && !self.insecure {
                return Err(ConfigError::Check(format!(
                    "{place}: {text:?} can be reached from other machines, and there is neither TLS nor \
                     authentication yet: use a loopback address, or allow it with --insecure"
                )));
            }
        }
        for text in &self.join {
            let parsed = text.parse::<Address>();
            parsed.map_err(|problem| ConfigError::Check(format!("join (or --join): {text:?} {problem}")))?;
        }
        Ok(())
    }
}
