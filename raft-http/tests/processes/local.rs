//! The newcomer's first command does what it prints.

use crate::cluster::process::Process;
use crate::cluster::{ends_within, http, httpraft, ledger, report};
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn local_prints_a_line_that_works_and_ends_with_ctrl_c() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut entries = Vec::new();
    for run in 0..2 {
        let log = directory.path().join(format!("run-{run}.log"));
        let began = Instant::now();
        let process = Process::start(httpraft(directory.path()).arg("local"), &log);
        let line = process.says("curl -d", SOON).trim().to_string();
        let took = began.elapsed();

        let printed = process.output();
        let apis: Vec<&str> = printed
            .lines()
            .filter_map(|line| line.trim().split_once("  http://"))
            .map(|(_, api)| api)
            .collect();
        assert_eq!(apis.len(), 3, "three addresses: {printed}");
        let answer = run_line(&line);
        assert_eq!(answer["success"], true, "{line}: {answer}");
        entries.push("hello".to_string());
        for api in &apis {
            let same =
                || ledger::read_log(api).into_iter().map(|entry| entry.text).collect::<Vec<_>>() == entries;
            assert!(ends_within(SOON, same), "{api} has {entries:?}, also of the runs before");
        }

        let began = Instant::now();
        process.interrupt();
        assert_eq!(process.ended(SOON), Some(0), "{}", std::fs::read_to_string(&log).unwrap_or_default());
        report(&format!(
            "local, run {run}: the curl line after {took:?}, ctrl-c to the end {:?}",
            began.elapsed()
        ));
    }
}

/// Runs the printed line as a user would; without curl on this machine, sends what it says.
fn run_line(line: &str) -> serde_json::Value {
    match Command::new("sh").args(["-c", line]).output() {
        Ok(output) if output.status.success() => {
            serde_json::from_slice(&output.stdout).expect("curl printed JSON")
        }
        _ => {
            let (_, rest) = line.split_once('\'').expect("a quoted body");
            let (body, address) = rest.split_once("' http://").expect("an address");
            let (address, path) = address.split_once('/').expect("a path");
            let body = serde_json::from_str(body).expect("the body is JSON");
            let path = format!("/{path}");
            let request = http::Request { method: "POST", path: &path, body: Some(&body), within: SOON };
            http::ask(address, &request).expect("an answer").json
        }
    }
}
