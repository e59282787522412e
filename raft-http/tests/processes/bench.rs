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

#[test]
fn counts_are_those_of_the_log() {
    let mut cluster = Cluster::started(3);
    let leader = cluster.leader().id;
    let pid = cluster.process(leader).id().to_string();
    let directory = cluster.directory();
    let (api, follower) = (&cluster.apis[leader], &cluster.apis[(leader + 1) % 3]);

    let closed = ["--operation", "append", "--size", "300", "-c", "8", "-d", "1s", "--pids", &pid];
    let (code, figures) = bench(directory, api, &closed);
    let count = figures["operations"].as_u64().expect("a count");
    assert_eq!((code, &figures["errors"]), (Some(0), &Value::Object(Default::default())), "{figures}");
    let log = read_log(api);
    assert!(count > 8, "{figures}");
    assert_eq!(log.len() as u64, count, "{figures}");
    assert!(log.iter().all(|entry| entry.text.len() == 300));
    assert!(figures["server_cpu_us"].as_f64().expect("the leader's CPU") > 0.0, "{figures}");

    // One of two clients asks a follower, which appends nothing; all that is due is accounted for.
    let both = format!("{api},{follower}");
    let open = ["--operation", "request", "--rate", "100", "-c", "2", "-d", "1s"];
    let (code, figures) = bench(directory, &both, &open);
    let refused = figures["errors"]["not_leader"].as_u64().expect("refusals of the follower");
    let appended = figures["operations"].as_u64().expect("a count");
    assert_eq!((code, appended + refused), (Some(0), 100), "{figures}");
    assert_eq!(read_log(api).len() as u64, count + appended, "{figures}");

    let (code, figures) = bench(directory, &both, &["--operation", "get", "-c", "2", "-d", "300ms"]);
    assert_eq!((code, &figures["total"]["failed"]), (Some(0), &Value::from(0)), "{figures}");
    assert_eq!(read_log(api).len() as u64, count + appended + 1, "the key to read is written once");
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
