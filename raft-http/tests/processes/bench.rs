//! The load generator's figures are true.

use crate::cluster::ledger::read_log;
use crate::cluster::{Cluster, httpraft};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// The exit code and the figures of a load without a warm-up.
fn bench(directory: &Path, endpoints: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let usual = ["bench", "-o", "json", "--warmup", "0s", "--endpoints", endpoints];
    let output = httpraft(directory).args(usual).args(arguments).output().expect("httpraft starts");
    let figures = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), figures)
}

/// Errors of the kinds that say of a write that it was not applied, and of all others.
fn errors(figures: &Value) -> (u64, u64) {
    let errors = figures["errors"].as_object().expect("errors by code").iter();
    let counted = errors.map(|(code, count)| (code == "not_leader", count.as_u64().expect("a count")));
    let (refused, other): (Vec<_>, Vec<_>) = counted.partition(|(refused, _)| *refused);
    let sum = |counts: Vec<(bool, u64)>| counts.iter().map(|(_, count)| count).sum();
    (sum(refused), sum(other))
}

#[test]
fn counts_are_those_of_the_log() {
    let mut cluster = Cluster::started(3);
    let leader = cluster.leader().id;
    let pid = cluster.process(leader).id().to_string();
    let directory = cluster.directory();
    let (api, follower) = (&cluster.apis[leader], &cluster.apis[(leader + 1) % 3]);
    // What was acknowledged is in the log; what has an unknown outcome, which a busy machine can cause, may be.
    let (mut acknowledged, mut unknown) = (0, 0);
    let mut check = |figures: &Value| {
        acknowledged += figures["operations"].as_u64().expect("a count");
        unknown += errors(figures).1;
        let log = read_log(api);
        let possible = acknowledged..=acknowledged + unknown;
        assert!(possible.contains(&(log.len() as u64)), "{} entries, not {possible:?}: {figures}", log.len());
        log
    };

    let closed = ["--operation", "append", "--size", "300", "-c", "8", "-d", "1s", "--pids", &pid];
    let (code, figures) = bench(directory, api, &closed);
    let log = check(&figures);
    assert!(code == Some(0) && log.len() > 8, "{figures}");
    assert!(log.iter().all(|entry| entry.text.len() == 300));
    assert!(figures["server_cpu_us"].as_f64().expect("the leader's CPU") > 0.0, "{figures}");

    // One of two clients asks a follower, which appends nothing; all that is due is accounted for.
    let both = format!("{api},{follower}");
    let open = ["--operation", "request", "--rate", "100", "-c", "2", "-d", "1s"];
    let (code, figures) = bench(directory, &both, &open);
    check(&figures);
    let (refused, other) = errors(&figures);
    let done = figures["operations"].as_u64().expect("a count");
    assert!(code == Some(0) && refused > 0 && done + refused + other == 100, "{figures}");

    // Reads append nothing, but for the key that is written to be read.
    let before = read_log(api).len();
    let (code, figures) = bench(directory, &both, &["--operation", "get", "-c", "2", "-d", "300ms"]);
    assert_eq!((code, read_log(api).len()), (Some(0), before + 1), "{figures}");
}

#[test]
fn nothing_done_is_a_failure_with_its_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, figures) = bench(directory.path(), "127.0.0.1:1", &["-c", "1", "-d", "100ms"]);
    assert_eq!((code, &figures["operations"]), (Some(1), &Value::from(0)));
    assert!(figures["errors"]["not_sent"].as_u64().expect("a count") > 0, "{figures}");
}

/// A server of one connection after the other that takes this long for each answer.
fn slow_server(each: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            while stream.read(&mut request).is_ok_and(|length| length > 0) {
                sleep(each);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    address
}

#[test]
fn a_slow_server_does_not_slow_down_the_clock_of_an_open_loop() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = slow_server(Duration::from_millis(20));
    let latency = |arguments: &[&str]| -> BTreeMap<String, f64> {
        let arguments = [&["--target", "plain", "-c", "1", "-d", "1s"], arguments].concat();
        let (code, figures) = bench(directory.path(), &server, &arguments);
        assert_eq!(code, Some(0), "{figures}");
        serde_json::from_value(figures["latency_ms"].clone()).expect("numbers")
    };
    let closed = latency(&[]);
    assert!(closed["p50"] >= 20.0, "{closed:?}");
    // 100 requests are due within a second and take 20 ms each, one after the other: the one that is due after half a
    // second ends after a whole one, the last one is answered a second late.
    let open = latency(&["--rate", "100"]);
    assert!(open["p50"] >= 450.0 && open["max"] >= 950.0, "{open:?}");
    assert!(open["p50"] > closed["p50"], "{open:?} {closed:?}");
}
