//! Connections that rest: ten thousand of them don't slow a write, and at the limit the longest idle one goes.

use crate::cluster::{Cluster, http, report};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const IDLE: usize = 10_000;
const WRITES: usize = 400;

/// A connection that has had one answer, and rests.
fn resting(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: me\r\n\r\n").expect("a request leaves");
    let mut answer = [0; 2048];
    let read = stream.read(&mut answer).expect("an answer");
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "it is alive");
    stream
}

/// How long writes take, one after another: the median and the 99th percentile.
fn writes(address: &str, name: &str) -> (Duration, Duration) {
    let mut took: Vec<Duration> = (0..WRITES)
        .map(|number| {
            let began = Instant::now();
            let answer = http::append(address, &format!("{name} {number}"), Duration::from_secs(10));
            assert_eq!(answer.expect("an answer").status, 200);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    (took[WRITES / 2], took[WRITES * 99 / 100])
}

fn memory(address: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = b"GET /metrics HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("a request leaves");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the metrics");
    let value = text.lines().find_map(|line| line.strip_prefix("httpraft_resident_memory_bytes "));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no memory in {text}"))
}

#[test]
#[ignore = "20,000 descriptors and a quiet machine: cargo test .. --test processes idle -- --ignored --nocapture"]
fn ten_thousand_idle_connections_do_not_slow_a_write() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("the limit can be raised");
    let mut cluster = Cluster::new(3);
    for setup in &mut cluster.setups {
        setup.variables.push(("HTTPRAFT_MAX_CONNECTIONS".to_string(), "12000".to_string()));
    }
    cluster.start_all();
    let leader = cluster.apis[cluster.leader().id].clone();
    writes(&leader, "warm-up");
    let (before, memory_before) = (writes(&leader, "before"), memory(&leader));
    let began = Instant::now();
    let idle: Vec<TcpStream> = (0..IDLE).map(|_| resting(&leader)).collect();
    let opened = began.elapsed();
    let (with, memory_with) = (writes(&leader, "with"), memory(&leader));
    drop(idle);
    let after = writes(&leader, "after");
    let each = memory_with.saturating_sub(memory_before) / IDLE as u64;
    report(&format!(
        "a write, (median, 99th percentile): {before:?} without and {with:?} with {IDLE} idle connections, {after:?} \
         after them; opened in {opened:?}; {each} bytes each, {} MiB in all",
        memory_with >> 20
    ));
    let quietest = before.0.max(after.0);
    assert!(with.0 < quietest * 3 / 2, "idle connections slow a write: {with:?}, else {quietest:?}");
    assert!(each < 64 << 10, "an idle connection takes {each} bytes");
}

#[test]
fn at_the_limit_the_longest_idle_connection_goes() {
    let mut cluster = Cluster::new(1);
    cluster.setups[0].variables.push(("HTTPRAFT_MAX_CONNECTIONS".to_string(), "20".to_string()));
    cluster.start_all();
    cluster.leader();
    let api = cluster.apis[0].clone();
    let mut resting: Vec<TcpStream> = (0..20).map(|_| resting(&api)).collect();
    // The first one speaks again: now the second is the longest idle one.
    let mut first = resting.remove(0);
    first.write_all(b"GET /livez HTTP/1.1\r\nHost: me\r\n\r\n").expect("a request leaves");
    let read = first.read(&mut [0; 2048]).expect("an answer");
    assert!(read > 0, "a connection below the limit stays open");
    let new = self::resting(&api);
    let mut closed = resting.remove(0);
    closed.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    assert!(matches!(closed.read(&mut [0; 1]), Ok(0)), "the longest idle one is closed");
    for stream in resting.iter_mut().chain([&mut first]) {
        stream.set_nonblocking(true).expect("a mode");
        let still = stream.read(&mut [0; 1]).expect_err("it is open, and silent");
        assert_eq!(still.kind(), ErrorKind::WouldBlock);
    }
    drop(new);
}
