//! `httpraft local`: a whole cluster in one process, each node with a data directory of its own. Its settings are kept
//! beside these in an ordinary config file, so that the next run is the same cluster.

use crate::config::{self, Config, ConfigError, Given, Store};
use crate::exit::{Code, Exit};
use crate::server::Server;
use crate::signal::StopSignal;
use crate::start::{Prepared, runtime, stopped};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

const CONFIG: &str = "config.json";
const NODES: usize = 3;
const FIRST_PEER_PORT: u16 = 8000;
const FIRST_API_PORT: u16 = 9000;

/// How long the line to try waits for a leader.
const ELECTED: Duration = Duration::from_secs(10);

/// Runs the cluster in this directory until a signal, or until one of its nodes ends; a new one of `nodes`.
pub fn run(nodes: Option<usize>, directory: &Path) -> Result<Exit, Exit> {
    let mut prepared = Vec::new();
    for config in configs(nodes, directory)? {
        let api = config.api().to_string();
        match Prepared::open(config) {
            Ok(node) => prepared.push((api, node)),
            // The others go on without it.
            Err(exit) if exit.code == Code::Removed => warn!("{}", exit.line),
            Err(exit) => return Err(exit),
        }
    }
    if prepared.is_empty() {
        return Err(Exit::new(Code::Removed, format!("all nodes in {} were removed", directory.display())));
    }
    let apis: Vec<_> = prepared.iter().map(|(api, _)| api.clone()).collect();
    runtime()?.block_on(async {
        let stop = StopSignal::new().map_err(|error| Exit::new(Code::Io, error))?;
        let mut servers = Vec::new();
        for (_, node) in prepared {
            servers.push(node.start().await?);
        }
        announce(directory, &apis).map_err(|error| Exit::new(Code::Io, error))?;
        tokio::spawn(suggest(apis));
        Ok(run_all(servers, stop).await)
    })
}

/// Runs all nodes. When one ends, all end, but for one that was removed; the first that didn't end well says how the process
/// does.
async fn run_all(servers: Vec<Server>, stop: StopSignal) -> Exit {
    let (ending, ended) = watch::channel(false);
    let mut running = JoinSet::new();
    for server in servers {
        let mut ended = ended.clone();
        running.spawn(server.run(async move {
            // The sender outlives the servers.
            let _ = ended.wait_for(|ended| *ended).await;
        }));
    }
    let stopping = stopped(stop);
    tokio::pin!(stopping);
    let mut worst = Exit::ok();
    loop {
        tokio::select! {
            () = &mut stopping, if !*ending.borrow() => {}
            exit = running.join_next() => match exit {
                None => return worst,
                Some(Ok(exit)) if exit.code == Code::Removed && !running.is_empty() => {
                    warn!("{}", exit.line);
                    continue;
                }
                Some(Ok(exit)) if exit.code == Code::Ok || worst.code != Code::Ok => drop(exit),
                Some(Ok(exit)) => worst = exit,
                Some(Err(error)) => worst = Exit::new(Code::Failed, error),
            }
        }
        ending.send_replace(true);
    }
}

/// The settings of all nodes: those of the cluster in the directory, or of a new one.
fn configs(nodes: Option<usize>, directory: &Path) -> Result<Vec<Config>, Exit> {
    let file = directory.join(CONFIG);
    if !file.exists() {
        write_config(nodes.unwrap_or(NODES), directory)
            .map_err(|error| Exit::new(Code::Io, format!("can't make {}: {error}", file.display())))?;
    }
    let given: Vec<Given> = config::read(&file).map_err(ConfigError::from)?;
    let first = Config::new(0, &given)?;
    if let Some(nodes) = nodes.filter(|nodes| *nodes != first.peers.len()) {
        let has = first.peers.len();
        let why = format!(
            "{directory:?} holds a cluster of {has} nodes: leave --nodes {nodes} out, or give another --data-dir"
        );
        return Err(Exit::new(Code::Usage, why));
    }
    let all = |base: &Config| -> Result<Vec<Config>, ConfigError> {
        let node = |id| {
            let store = Store::Directory(directory.join(format!("node-{id}")));
            let config = Config::new(id, &given)?;
            let own = base.listed().nth(id).expect("the lists have every node");
            let (peers, apis) = (base.peers.clone(), base.apis.clone());
            Ok(Config { store, own, peers, apis, moved: true, ..config })
        };
        (0..base.peers.len()).map(node).collect()
    };
    // Somebody else may have taken a port since then. The cluster's id stays that of its file.
    let busy = |addresses: &[String]| addresses.iter().any(|address| !is_free(address));
    if !busy(&first.peers) && !busy(&first.apis) {
        return Ok(all(&first)?);
    }
    let (peers, apis) = addresses(first.peers.len())
        .ok_or_else(|| Exit::new(Code::Usage, "there are not enough free ports on this machine"))?;
    Ok(all(&Config { peers, apis, ..first })?)
}

/// Writes the config file of a new cluster: its name is drawn, so that no two of them are taken for the same.
fn write_config(nodes: usize, directory: &Path) -> io::Result<()> {
    let (peers, apis) = addresses(nodes)
        .ok_or_else(|| io::Error::other("there are not enough free ports on this machine"))?;
    let cluster = format!("local-{:016x}", getrandom::u64()?);
    fs::create_dir_all(directory)?;
    let mut file = File::create_new(directory.join(CONFIG))?;
    writeln!(file, "{:#}", json!({ "cluster": cluster, "peers": peers, "apis": apis }))?;
    file.sync_all()?;
    crate::data_dir::sync_dir(directory)
}

/// Free loopback addresses for peers and clients, from the usual ports on.
fn addresses(nodes: usize) -> Option<(Vec<String>, Vec<String>)> {
    let free = |first: u16, nodes| {
        let from: Vec<String> = (first..=u16::MAX)
            .map(|port| format!("localhost:{port}"))
            .filter(|address| is_free(address))
            .take(nodes)
            .collect();
        (from.len() == nodes).then_some(from)
    };
    let peers = free(FIRST_PEER_PORT, nodes)?;
    // Nothing is bound yet: what went to the peers looks free still.
    let apis =
        free(FIRST_API_PORT, 2 * nodes)?.into_iter().filter(|api| !peers.contains(api)).take(nodes).collect();
    Some((peers, apis))
}

/// Whether nobody listens on any of what this address stands for.
fn is_free(address: &str) -> bool {
    let taken = |address| {
        TcpListener::bind::<SocketAddr>(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    };
    address.to_socket_addrs().is_ok_and(|mut all| !all.any(taken))
}

fn announce(directory: &Path, apis: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "A cluster of {} nodes runs here until Ctrl-C; its data is in {}.",
        apis.len(),
        directory.display()
    )?;
    for (id, api) in apis.iter().enumerate() {
        writeln!(out, "  node {id}  http://{api}")?;
    }
    Ok(())
}

/// Prints a line to try as soon as there is a leader to try it on.
async fn suggest(apis: Vec<String>) {
    let asked = async {
        loop {
            for api in &apis {
                if let Some(leader) = leader_known_by(api).await {
                    return leader;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let leader = tokio::time::timeout(ELECTED, asked).await.ok().or_else(|| apis.first().cloned());
    let Some(leader) = leader else { return };
    // Whoever closed standard output does not want to be told.
    let _ = writeln!(io::stdout(), "Try:\n  curl -d '{{\"entry\": \"hello\"}}' http://{leader}/request");
}

/// The leader's address for clients, from the header that every answer has when a leader is known.
async fn leader_known_by(api: &str) -> Option<String> {
    let mut stream = TcpStream::connect(api).await.ok()?;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.take(16 << 10).read_to_string(&mut answer).await.ok()?;
    answer.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("raft-leader").then(|| value.trim().to_string())
    })
}
