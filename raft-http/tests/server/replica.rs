//! A program's own state machine on this driver: the example, and what it rests on.

use crate::cluster::PATIENCE;
use crate::counter;
use raft_http::config::{Config, Store};
use raft_http::exit::{Code, Exit};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

struct Node {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<Exit, Exit>>,
}

fn start(config: &Config) -> Node {
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    Node { stop, running: tokio::spawn(counter::run(config.clone(), shutdown)) }
}

impl Node {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        let exit = tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap();
        assert_eq!(exit.unwrap_or_else(|exit| exit), Exit::ok());
    }
}

/// The status and the body of an answer; nothing if the node doesn't listen.
async fn ask(api: &str, method: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(api).await.ok()?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_string()))
}

/// Adds at whichever node leads.
async fn add(configs: &[Config], number: i64) -> i64 {
    let begun = Instant::now();
    loop {
        for config in configs {
            if let Some((200, sum)) = ask(config.api(), "POST", &format!("/add/{number}")).await {
                return sum.parse().unwrap();
            }
        }
        assert!(begun.elapsed() < PATIENCE, "nobody adds");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What a node has, once it answers.
async fn sum(api: &str) -> i64 {
    let begun = Instant::now();
    loop {
        if let Some((200, sum)) = ask(api, "GET", "/").await {
            return sum.parse().unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "{api} does not answer");
        sleep(Duration::from_millis(20)).await;
    }
}

fn configs(directory: &Path) -> Vec<Config> {
    let more = [("snapshot_entries", json!(8)), ("retain_entries", json!(1))];
    let mut configs = crate::cluster::configs(3, &more);
    for (id, config) in configs.iter_mut().enumerate() {
        config.store = Store::Directory(directory.join(format!("node-{id}")));
    }
    configs
}

#[tokio::test]
async fn the_example_counts_over_restarts_and_snapshots() {
    let directory = tempfile::tempdir().unwrap();
    let configs = configs(directory.path());
    let mut nodes: Vec<_> = configs.iter().map(|config| Some(start(config))).collect();
    for number in 1..=20 {
        assert_eq!(add(&configs, number).await, (1..=number).sum::<i64>());
    }
    for config in &configs {
        assert_eq!(sum(config.api()).await, 210, "a read at any node sees every sum that was told");
    }
    let followers: Vec<_> = configs.iter().map(|config| ask(config.api(), "POST", "/add/0")).collect();
    let mut redirected = 0;
    for follower in followers {
        redirected += usize::from(follower.await.is_some_and(|(status, _)| status == 307));
    }
    assert_eq!(redirected, 2, "followers say where to go");
    // Two at a time are a majority: nodes go one by one, and what they missed comes as a snapshot.
    nodes[0].take().unwrap().stop().await;
    for number in 21..=40 {
        add(&configs, number).await;
    }
    nodes[0] = Some(start(&configs[0]));
    assert_eq!(sum(configs[0].api()).await, 820);
    for node in nodes.drain(..) {
        node.unwrap().stop().await;
    }
    let snapshots = std::fs::read_dir(directory.path().join("node-1/snapshots")).unwrap();
    assert!(snapshots.count() > 0, "the log was compacted");
    let nodes: Vec<_> = configs.iter().map(start).collect();
    assert_eq!(sum(configs[2].api()).await, 820);
    assert_eq!(add(&configs, 1).await, 821);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_data_directory_of_another_application_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let configs = configs(directory.path());
    let nodes: Vec<_> = configs.iter().map(start).collect();
    for number in 1..=20 {
        add(&configs, number).await;
    }
    // Only a snapshot says what application it is of.
    let taken = || {
        let names =
            std::fs::read_dir(directory.path().join("node-0/snapshots")).into_iter().flatten().flatten();
        names.into_iter().any(|file| file.path().extension().is_some_and(|extension| extension == "snap"))
    };
    let soon = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !taken() {
        assert!(tokio::time::Instant::now() < soon, "no snapshot was taken");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    for node in nodes {
        node.stop().await;
    }
    let opened = raft_http::start::Prepared::<raft_http::machine::Machine>::open(configs[0].clone());
    let refused = opened.expect_err("httpraft can't read a counter");
    assert_eq!(refused.code, Code::Usage, "{}", refused.line);
    assert!(refused.line.contains("another application"), "{}", refused.line);
}
