//! `httpraft local` as a newcomer meets it: it says where it listens and what to try, that works, Ctrl-C ends it
//! cleanly, and the next run is the same cluster.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests, too")]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All take the usual ports: one test after the other.
static PORTS: Mutex<()> = Mutex::new(());

fn ports() -> MutexGuard<'static, ()> {
    PORTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running `httpraft local`; killed when dropped.
struct Local {
    child: Child,
    out: BufReader<ChildStdout>,
    /// The nodes' addresses for clients.
    apis: Vec<String>,
    /// The leader's, from the line to try.
    leader: String,
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_httpraft"));
    command.args(["local", "--log", "error"]).args(arguments).current_dir(directory).env_clear();
    command
}

impl Local {
    /// Starts it and reads what it prints up to the line to try.
    fn start(directory: &Path, arguments: &[&str]) -> Local {
        let mut child = command(directory, arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut apis = Vec::new();
        let leader = loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended: {:?}", child.wait());
            let address = line.split_once("http://").map(|(_, address)| address.trim().to_string());
            match address {
                Some(request) if line.contains("curl") => {
                    break request.strip_suffix("/request").unwrap().to_string();
                }
                Some(api) => apis.push(api),
                None => {}
            }
        };
        Local { child, out, apis, leader }
    }

    fn stop(mut self) -> Option<i32> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).unwrap();
        self.out.read_to_string(&mut String::new()).unwrap();
        self.child.wait().unwrap().code()
    }
}

/// One request; the answer's JSON.
fn ask(address: &str, request: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn entries(address: &str) -> Vec<String> {
    let log = ask(address, "GET /log?index=1", "");
    log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["entry"].as_str().unwrap().to_string())
        .collect()
}

#[test]
fn a_local_cluster_works_and_comes_back() {
    let _ports = ports();
    let directory = tempfile::tempdir().unwrap();
    let first = Local::start(directory.path(), &[]);
    assert_eq!(first.apis.len(), 3);
    let answer = ask(&first.leader, "POST /request", r#"{"entry": "hello"}"#);
    assert_eq!(answer["success"], true, "{answer}");
    let ports: Vec<String> = first.apis.clone();
    assert_eq!(first.stop(), Some(0), "Ctrl-C is a clean end");
    assert!(directory.path().join("httpraft-data/local/node-2/node.json").exists());

    // Somebody takes one of the ports in between.
    let _taken = TcpListener::bind(&ports[0]).unwrap();
    let second = Local::start(directory.path(), &[]);
    assert!(!second.apis.contains(&ports[0]));
    assert_eq!(entries(&second.leader), ["hello"]);
    let locked = command(directory.path(), &[]).output().unwrap();
    assert_ends(&locked, &["in use by another process", "httpraft-data/local/node-0"]);
    assert_eq!(second.stop(), Some(0));

    let other = command(directory.path(), &["--nodes", "5"]).output().unwrap();
    assert_ends(&other, &["holds a cluster of 3 nodes", "--nodes 5"]);
}

#[test]
fn the_others_go_on_without_one_that_was_removed() {
    let _ports = ports();
    let directory = tempfile::tempdir().unwrap();
    let first = Local::start(directory.path(), &[]);
    let removed = (0..3).find(|at| first.apis[*at] != first.leader).unwrap();
    let answer = ask(&first.leader, &format!("DELETE /v1/members/{removed}"), "");
    assert_eq!(answer["members"].as_array().unwrap().len(), 2, "{answer}");
    while TcpStream::connect(&first.apis[removed]).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(ask(&first.leader, "POST /request", r#"{"entry": "two"}"#)["success"], true);
    assert_eq!(first.stop(), Some(0));

    let second = Local::start(directory.path(), &[]);
    assert_eq!(second.apis.len(), 2);
    assert_eq!(entries(&second.leader), ["two"]);
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn one_node_is_a_cluster_too() {
    let _ports = ports();
    let directory = tempfile::tempdir().unwrap();
    let local = Local::start(directory.path(), &["--nodes", "1", "--data-dir", "one"]);
    assert_eq!(local.apis.as_slice(), std::slice::from_ref(&local.leader));
    assert_eq!(ask(&local.leader, "POST /request", r#"{"entry": "alone"}"#)["success"], true);
    assert_eq!(entries(&local.leader), ["alone"]);
    assert_eq!(local.stop(), Some(0));
}

#[test]
fn a_port_in_use_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = taken.local_addr().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(r#"{{"peers": ["{free}"], "apis": ["{api}"]}}"#);
    std::fs::write(directory.path().join("peers.json"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_httpraft"))
        .args(["0", "--log", "error"])
        .current_dir(directory.path())
        .env_clear()
        .output()
        .unwrap();
    assert_ends(&output, &[&api.to_string(), "in use"]);
}

fn assert_ends(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line, not {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in {stderr}");
    }
}
