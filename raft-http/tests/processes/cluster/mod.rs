//! Clusters of real `httpraft` processes on loopback ports, with a directory of their own. Nothing is left of them when
//! a test ends, unless it failed: then the logs are printed and the directory stays.

mod compiler;
pub(crate) mod disks;
pub(crate) mod history;
pub(crate) mod http;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod mounted;
pub(crate) mod namespaces;
mod ports;
pub(crate) mod process;
pub(crate) mod proxy;

pub(crate) use compiler::compile;
use ports::Port;
use process::Process;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How often something is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// A new leader is there within this on a busy machine, too.
pub(crate) const ELECTION: Duration = Duration::from_secs(15);
/// How much of each log a failed test prints.
const TAIL_LINES: usize = 60;

/// A figure that somebody who runs the tests wants to see, also of a test that passed.
pub(crate) fn report(line: &str) {
    // `eprintln!` would be captured. A test does not fail because nobody listens.
    let _ = writeln!(std::io::stderr(), "    {line}");
}

/// Whether this becomes true in time.
pub(crate) fn ends_within(within: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

fn now_or_panic(happened: bool, what: &str, within: Duration) {
    assert!(happened, "not within {within:?}: {what}");
}

const HTTPRAFT: &str = env!("CARGO_BIN_EXE_httpraft");

/// The `httpraft` of this build, without the surroundings' own settings.
pub(crate) fn httpraft(directory: &Path) -> Command {
    alone(HTTPRAFT, directory)
}

fn alone(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env_clear();
    command
}

/// What one node has beyond its place in the lists.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) data_dir: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    /// The network namespace that it runs in; `None`: the test's own.
    pub(crate) network: Option<String>,
}

/// Who leads, by the word of all nodes that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) id: usize,
    pub(crate) term: u64,
}

/// Some nodes, each running or not.
pub(crate) struct Cluster {
    pub(crate) apis: Vec<String>,
    pub(crate) peers: Vec<String>,
    pub(crate) setups: Vec<Setup>,
    running: Vec<Option<Process>>,
    _ports: Vec<Port>,
    directory: TempDir,
}

impl Cluster {
    /// A cluster none of whose nodes runs yet.
    pub(crate) fn new(nodes: usize) -> Cluster {
        Cluster::growing(nodes, nodes)
    }

    /// A cluster that the first of these nodes found, and the others may join.
    pub(crate) fn growing(founders: usize, nodes: usize) -> Cluster {
        let ports: Vec<Port> = (0..2 * nodes).map(|_| Port::take()).collect();
        let mut peers: Vec<String> = ports.iter().map(Port::address).collect();
        let apis = peers.split_off(nodes);
        let mut cluster = Cluster::at(peers, apis, founders);
        cluster._ports = ports;
        cluster
    }

    /// .. whose nodes have these addresses.
    pub(crate) fn at(peers: Vec<String>, apis: Vec<String>, founders: usize) -> Cluster {
        let (nodes, directory) = (apis.len(), tempfile::Builder::new().prefix("httpraft-test-").tempdir());
        let directory = directory.expect("a directory");
        let config = json!({ "peers": peers[..founders], "apis": apis[..founders] });
        fs::write(directory.path().join("config.json"), config.to_string()).expect("the config is written");
        let setup = |id| Setup {
            data_dir: directory.path().join(format!("httpraft-data/node-{id}")),
            ..Setup::default()
        };
        let setups = (0..nodes).map(setup).collect();
        let running = (0..nodes).map(|_| None).collect();
        let mut cluster = Cluster { apis, peers, setups, running, _ports: Vec::new(), directory };
        for id in founders..nodes {
            let (peer, api) = (cluster.peers[id].clone(), cluster.apis[id].clone());
            let join = cluster.others(id);
            let arguments = ["--peer", &peer, "--api", &api, "--join", &join];
            cluster.setups[id].arguments = arguments.map(str::to_string).to_vec();
        }
        cluster
    }

    /// Lets the nodes, none of which runs yet, reach each other over wires that can be held: one to each node.
    pub(crate) fn put_wires(&mut self) -> Vec<proxy::Proxy> {
        let wires: Vec<_> = self.peers.iter().map(|peer| proxy::Proxy::to(peer)).collect();
        let ends: Vec<String> = wires.iter().map(proxy::Proxy::address).collect();
        let config = json!({ "peers": ends, "apis": self.apis });
        fs::write(self.directory().join("config.json"), config.to_string()).expect("the config is written");
        for (setup, peer) in self.setups.iter_mut().zip(&self.peers) {
            setup.arguments.extend(["--peer".to_string(), peer.clone()]);
        }
        wires
    }

    /// The addresses of all nodes but this one, as `--join` takes them.
    pub(crate) fn others(&self, id: usize) -> String {
        let others = self.apis.iter().enumerate().filter(|(other, _)| *other != id);
        others.map(|(_, api)| api.as_str()).collect::<Vec<_>>().join(",")
    }

    /// The disk that a running node has, by its own word.
    pub(crate) fn disk(&self, id: usize) -> Option<String> {
        self.status(id)?["disk"].as_str().map(str::to_string)
    }

    /// A cluster all of whose nodes run, with a leader.
    pub(crate) fn started(nodes: usize) -> Cluster {
        let mut cluster = Cluster::new(nodes);
        cluster.start_all();
        cluster.leader();
        cluster
    }

    /// The directory that holds all of it.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn log_file(&self, id: usize) -> PathBuf {
        self.directory().join(format!("node-{id}.log"))
    }

    /// The command that starts this node.
    pub(crate) fn command(&self, id: usize) -> Command {
        let setup = &self.setups[id];
        let mut command = match &setup.network {
            None => httpraft(self.directory()),
            // It becomes the program: a signal to it reaches the node.
            Some(network) => {
                let mut command = alone("nsenter", self.directory());
                command.arg(format!("--net=/run/netns/{network}")).arg(HTTPRAFT);
                command
            }
        };
        command.arg(id.to_string()).arg("--data-dir").arg(&setup.data_dir).args(&setup.arguments);
        command.envs(setup.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts a node that does not run.
    pub(crate) fn start(&mut self, id: usize) {
        assert!(self.running[id].is_none(), "node {id} runs already");
        self.running[id] = Some(Process::start(&mut self.command(id), &self.log_file(id)));
    }

    /// Starts all nodes that do not run.
    pub(crate) fn start_all(&mut self) {
        for id in 0..self.apis.len() {
            if self.running[id].is_none() {
                self.start(id);
            }
        }
    }

    /// The process of a node that runs.
    pub(crate) fn process(&mut self, id: usize) -> &mut Process {
        self.running[id].as_mut().unwrap_or_else(|| panic!("node {id} does not run"))
    }

    /// The process of a node that runs, for its end.
    pub(crate) fn take(&mut self, id: usize) -> Process {
        self.running[id].take().unwrap_or_else(|| panic!("node {id} does not run"))
    }

    /// SIGKILL to one node.
    pub(crate) fn kill(&mut self, id: usize) {
        self.take(id).kill();
    }

    /// SIGKILL to all nodes that run, before any is waited for.
    pub(crate) fn kill_all(&mut self) {
        let mut processes: Vec<Process> = self.running.iter_mut().filter_map(Option::take).collect();
        processes.iter_mut().for_each(Process::begin_kill);
    }

    /// The nodes that run.
    pub(crate) fn up(&self) -> Vec<usize> {
        (0..self.apis.len()).filter(|id| self.running[*id].is_some()).collect()
    }

    /// What a node says of itself, if it answers.
    pub(crate) fn status(&self, id: usize) -> Option<Value> {
        http::get(&self.apis[id], "/v1/status").ok().map(|answer| answer.json)
    }

    /// Waits until all nodes that run name the same one as leader of the same term, and it agrees.
    pub(crate) fn leader(&self) -> Leader {
        let mut seen = Vec::new();
        let began = Instant::now();
        while began.elapsed() < ELECTION {
            seen = self.up().into_iter().map(|id| (id, self.status(id))).collect::<Vec<_>>();
            if let Some(leader) = agreed(&seen) {
                return leader;
            }
            std::thread::sleep(LOOK);
        }
        panic!("no leader within {ELECTION:?}: {seen:?}");
    }

    /// All of a node's log, page by page.
    pub(crate) fn log(&self, id: usize) -> Vec<ledger::Entry> {
        ledger::read_log(&self.apis[id])
    }
}

fn agreed(seen: &[(usize, Option<Value>)]) -> Option<Leader> {
    let mut statuses = Vec::new();
    for (id, status) in seen {
        statuses.push((*id, status.as_ref()?));
    }
    let leader = |status: &Value| {
        let id = usize::try_from(status["leader_id"].as_u64()?).ok()?;
        Some(Leader { id, term: status["term"].as_u64()? })
    };
    let leader_of_first = leader(statuses.first()?.1)?;
    let same = statuses.iter().all(|(_, status)| leader(status) == Some(leader_of_first));
    let leads = statuses.iter().any(|(id, status)| *id == leader_of_first.id && status["role"] == "leader");
    (same && leads).then_some(leader_of_first)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_all();
        if !std::thread::panicking() {
            return;
        }
        for id in 0..self.apis.len() {
            let log = fs::read_to_string(self.log_file(id)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- node {id}, {}:", self.apis[id]);
            for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
                eprintln!("{line}");
            }
        }
        self.directory.disable_cleanup(true);
        eprintln!("--- kept: {}", self.directory().display());
    }
}
