//! Clients can't take the files away that the log needs.

use crate::cluster::process::Process;
use crate::cluster::{Cluster, http};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

/// How many files the node may have open; it leaves 512 of them to itself.
const FILES: usize = 600;

/// A connection that was of use, and rests.
fn served(api: &str) -> TcpStream {
    let mut stream = TcpStream::connect(api).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: me\r\n\r\n").expect("a request");
    assert!(stream.read(&mut [0; 512]).expect("an answer") > 0, "the node closed a new connection");
    stream
}

#[test]
fn clients_leave_descriptors_to_the_log() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the test may open what it is allowed to");
    let cluster = Cluster::new(1);
    let command = cluster.command(0);
    let mut limited = Command::new("sh");
    limited.current_dir(cluster.directory()).env_clear();
    limited.args(["-c", &format!("ulimit -n {FILES} && exec \"$0\" \"$@\"")]);
    limited.arg(command.get_program()).args(command.get_args());
    let log = cluster.directory().join("limited.log");
    let node = Process::start(&mut limited, &log);
    let api = &cluster.apis[0];
    let entry = "x".repeat(1 << 20);
    let append =
        || http::append(api, &entry, Duration::from_secs(10)).is_ok_and(|answer| answer.status == 200);
    assert!(crate::cluster::ends_within(Duration::from_secs(10), append), "it starts");
    let idle: Vec<_> = (0..2 * FILES).map(|_| served(api)).collect();
    // More than two segments, each a file of its own.
    for number in 0..40 {
        assert!(append(), "entry {number}: {}", fs::read_to_string(&log).unwrap_or_default());
    }
    drop(idle);
    let said = fs::read_to_string(&log).expect("the log");
    assert!(said.contains("the limit of open files"), "{said}");
    node.kill();
}
