//! A cluster in the test's own process on real loopback sockets, and a client that shows all of an answer.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "this is test code, too")]

pub(crate) mod contract;
mod document;
pub(crate) mod stream;

use raft_http::config::{Config, Given, GivenFrom};
use raft_http::exit::Exit;
use raft_http::server::{Restored, Server};
use raft_http::storage::Storage;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Some nodes, each running until it is stopped.
pub(crate) struct Cluster {
    pub(crate) configs: Vec<Config>,
    nodes: Vec<Option<Node>>,
}

struct Node {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Exit>,
}

/// The settings of a cluster of in-memory nodes on free ports, with `more` over them.
pub(crate) fn configs(nodes: usize, more: &[(&str, Value)]) -> Vec<Config> {
    let sockets: Vec<TcpListener> =
        (0..2 * nodes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<String> =
        sockets.iter().map(|socket| socket.local_addr().unwrap().to_string()).collect();
    let (peers, apis) = addresses.split_at(nodes);
    let mut settings = vec![
        ("peers", json!(peers)),
        ("apis", json!(apis)),
        ("in_memory", json!(true)),
        ("heartbeat", json!("30ms")),
        ("election_timeout", json!("150ms")),
    ];
    settings.extend(more.iter().cloned());
    let given: Vec<Given> = settings
        .into_iter()
        .map(|(key, value)| Given { from: GivenFrom::Flag, key: key.to_string(), value })
        .collect();
    (0..nodes).map(|id| Config::new(id, &given).unwrap()).collect()
}

impl Cluster {
    /// Nodes none of which runs yet.
    pub(crate) fn idle(configs: Vec<Config>) -> Cluster {
        Cluster { nodes: configs.iter().map(|_| None).collect(), configs }
    }

    pub(crate) async fn start(configs: Vec<Config>) -> Cluster {
        let mut cluster = Cluster::idle(configs);
        for id in 0..cluster.nodes.len() {
            cluster.start_node(id).await;
        }
        cluster
    }

    /// Three in-memory nodes that have elected a leader.
    pub(crate) async fn of_three() -> (Cluster, usize) {
        let cluster = Cluster::start(configs(3, &[])).await;
        let leader = cluster.leader().await;
        (cluster, leader)
    }

    /// One node that leads itself.
    pub(crate) async fn of_one(more: &[(&str, Value)]) -> Cluster {
        let cluster = Cluster::start(configs(1, more)).await;
        cluster.leader().await;
        cluster
    }

    pub(crate) async fn start_node(&mut self, id: usize) {
        let (storage, recovered) = Storage::in_memory();
        let disk = raft_http::data_dir::random_disk_id().unwrap();
        let restored = Restored::in_memory(&self.configs[id]);
        let config = self.configs[id].clone();
        let server = Server::start(config, storage, recovered, restored, disk).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        self.nodes[id] = Some(Node { stop, running });
    }

    /// Stops a node as SIGTERM does, and waits for its end.
    pub(crate) async fn stop(&mut self, id: usize) -> Exit {
        let node = self.nodes[id].take().unwrap();
        node.stop.send(()).unwrap();
        timeout(PATIENCE, node.running).await.expect("the node stops in time").unwrap()
    }

    /// Waits until a node ends by itself.
    pub(crate) async fn ended(&mut self, id: usize) -> Exit {
        let node = self.nodes[id].take().unwrap();
        timeout(PATIENCE, node.running).await.expect("the node ends in time").unwrap()
    }

    /// Stops a node at once.
    pub(crate) async fn kill(&mut self, id: usize) {
        let node = self.nodes[id].take().unwrap();
        node.running.abort();
        let _ = node.running.await;
    }

    pub(crate) fn api(&self, id: usize) -> &str {
        self.configs[id].api()
    }

    pub(crate) async fn client(&self, id: usize) -> Client {
        Client::new(self.api(id)).await
    }

    /// The node that all running nodes call the leader.
    pub(crate) async fn leader(&self) -> usize {
        let start = Instant::now();
        loop {
            let mut leaders = Vec::new();
            for id in (0..self.nodes.len()).filter(|id| self.nodes[*id].is_some()) {
                let status = self.client(id).await.get("/v1/status").await;
                leaders.push(status.json["leader_id"].as_u64());
            }
            if let [Some(leader), rest @ ..] = &leaders[..]
                && rest.iter().all(|other| *other == Some(*leader))
                && self.nodes[*leader as usize].is_some()
            {
                return *leader as usize;
            }
            assert!(start.elapsed() < PATIENCE, "no leader: {leaders:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) json: Value,
    pub(crate) body: Vec<u8>,
}

/// A kept-alive connection.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) async fn new(address: &str) -> Client {
        Client::connect(address).await.unwrap()
    }

    pub(crate) async fn connect(address: &str) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, received: Vec::new() })
    }

    /// `None` if the server closes the connection instead of answering.
    pub(crate) async fn try_post(&mut self, path: &str, body: &Value) -> Option<Reply> {
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.1\r\nHost: me\r\nContent-Length: {}\r\n\r\n", body.len());
        self.write(&[head.as_bytes(), body.as_bytes()].concat()).await.ok()?;
        let reply = self.reply().await?;
        contract::check(head.as_bytes(), &reply);
        Some(reply)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, "").await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &body.to_string()).await
    }

    pub(crate) async fn put(&mut self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, &body.to_string()).await
    }

    /// As the published collections do: `Host: me`, and a body on every request.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) -> Reply {
        self.with(method, path, &[], body.as_bytes()).await
    }

    /// A request with headers of its own.
    pub(crate) async fn with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.raw(&request(method, path, headers, body)).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends these very bytes and reads one answer.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> Reply {
        let reply = self.undescribed(bytes).await;
        contract::check(bytes, &reply);
        reply
    }

    /// The same of a listener that is not the clients'.
    pub(crate) async fn undescribed(&mut self, bytes: &[u8]) -> Reply {
        self.write(bytes).await.unwrap();
        self.reply().await.expect("an answer before the end of the connection")
    }

    /// The next answer; `None` if the server closes the connection instead.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = self.take_reply() {
                return Some(reply);
            }
            let read =
                timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await.expect("an answer in time");
            match read {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn take_reply(&mut self) -> Option<Reply> {
        let end = self.received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.received[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
            .collect();
        let length: usize = headers["content-length"].parse().unwrap();
        let body = self.received.get(end..end + length)?.to_vec();
        self.received.drain(..end + length);
        let json = match headers["content-type"].contains("json") {
            true => serde_json::from_slice(&body)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body))),
            false => Value::Null,
        };
        Some(Reply { status, headers, json, body })
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: me\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

impl Reply {
    /// What the contract promises of every answer.
    pub(crate) fn check(&self, apis: &[String]) {
        let leader = self.json["leader"].as_str().unwrap_or_default();
        assert!(apis.iter().any(|api| api == leader), "an answer names a usable leader: {self:?}");
        for header in ["raft-node", "raft-term"] {
            assert!(self.headers[header].parse::<u64>().is_ok(), "{header} in {self:?}");
        }
        assert_eq!(self.headers["cache-control"], "no-store");
        assert!(self.headers["content-type"].contains("json"));
        if let Some(named) = self.headers.get("raft-leader") {
            assert_eq!(named, leader);
        }
    }
}
