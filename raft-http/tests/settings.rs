//! Settings as a user meets them: each mistake ends the process with its exit code and one clear line, and the
//! places that settings come from overrule each other in the promised order.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests, too")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const GOOD: &str =
    r#"{"peers": ["localhost:8000", "localhost:8001"], "apis": ["localhost:9000", "localhost:9001"]}"#;

/// `httpraft` with these arguments in this directory, without the surroundings' own settings.
fn httpraft(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_httpraft"));
    command.args(arguments).current_dir(directory).env_clear();
    command
}

fn with_file(content: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("peers.json"), content).unwrap();
    directory
}

/// Checks the exit code and that standard error is one line with these words in it.
fn assert_refused(case: &str, output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{case}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{case}: one line, not {stderr}");
    assert!(output.stdout.is_empty(), "{case}: nothing on standard output");
    for word in words {
        assert!(stderr.contains(word), "{case}: {word:?} is not in {stderr}");
    }
}

#[test]
fn each_mistake_in_the_file_is_one_clear_line() {
    let cases: &[(&str, &[&str])] = &[
        ("{\n  \"peers\": [,\n", &["peers.json", "not JSON", "line 2 column 13"]),
        ("", &["not JSON", "line 1 column 0"]),
        ("[1]", &["not a JSON object", "config example"]),
        (r#"{"peers": ["localhost:8000"]}"#, &["\"apis\" is missing or empty"]),
        (
            r#"{"peers": ["localhost:8000"], "apis": ["localhost:9000"], "join": ["here"]}"#,
            &["join (or --join): \"here\"", "host:port"],
        ),
        (r#"{"peers": [], "apis": ["localhost:9000"]}"#, &["\"peers\" is missing or empty"]),
        (r#"{"peers": "", "apis": ["localhost:9000"]}"#, &["peers[0]", "host:port"]),
        (
            r#"{"peers": ["localhost:8000", "localhost:8001"], "apis": ["localhost:9000"]}"#,
            &["\"peers\" lists 2 and \"apis\" lists 1"],
        ),
        (
            r#"{"peers": ["localhost:8000", "LOCALHOST:8000"], "apis": ["localhost:9000", "localhost:9001"]}"#,
            &["peers[0] and peers[1] are the same address"],
        ),
        (
            r#"{"peers": ["localhost:8000", "localhost:9000"], "apis": ["localhost:9000", "localhost:9001"]}"#,
            &["peers[1] and apis[0] are the same address"],
        ),
        (
            r#"{"peers": ["localhost"], "apis": ["localhost:9000"]}"#,
            &["peers[0]", "\"localhost\"", "host:port"],
        ),
        (r#"{"peers": ["localhost:99999"], "apis": ["localhost:9000"]}"#, &["peers[0]", "1 to 65535"]),
        (r#"{"peers": ["::1:8000"], "apis": ["localhost:9000"]}"#, &["peers[0]", "[::1]:8000"]),
        (r#"{"peers": 8000}"#, &["peers.json: peers: 8000 is not a list of strings"]),
        (r#"{"peers": [8000]}"#, &["peers.json: peers: 8000 is not a string"]),
        (r#"{"heartbeet": "1s"}"#, &["peers.json: heartbeet", "did you mean \"heartbeat\""]),
        (r#"{"api": []}"#, &["api: [] is not a string", "the list of all is \"apis\""]),
        (r#"{"heart\nbeat": "1s"}"#, &["peers.json: heart\\nbeat: there is no such setting"]),
        (r#"{"data-dir": "x"}"#, &["did you mean \"data_dir\""]),
        (r#"{"heartbeat": 100}"#, &["heartbeat: 100 is not a duration", "150ms"]),
        (r#"{"heartbeat": "100"}"#, &["heartbeat: \"100\" is not a duration"]),
        (r#"{"heartbeat": "0s"}"#, &["not from 1ms to 1h"]),
        (r#"{"heartbeat": "10000000000years"}"#, &["heartbeat"]),
        (r#"{"max_body": "much"}"#, &["max_body: \"much\" is not a size", "64MiB"]),
        (r#"{"max_body": "0B"}"#, &["not from 1B to 1GiB"]),
        (r#"{"max_connections": 0}"#, &["max_connections: 0 is not a whole number"]),
        (
            r#"{"in_memory": true, "data_dir": "x"}"#,
            &["peers.json: data_dir", "peers.json: in_memory is true, too"],
        ),
        (r#"{"insecure": "yes"}"#, &["insecure: \"yes\" is neither true nor false"]),
        (
            r#"{"peers": ["0.0.0.0:8000"], "apis": ["localhost:9000"]}"#,
            &["peers[0]", "other machines", "--insecure"],
        ),
        (r#"{"peers": ["localhost:8000"], "apis": ["[::]:9000"]}"#, &["apis[0]", "--insecure"]),
    ];
    for (content, words) in cases {
        let directory = with_file(content);
        let output = httpraft(directory.path(), &["0"]).output().unwrap();
        assert_refused(content, &output, 2, words);
        assert!(!directory.path().join("httpraft-data").exists(), "{content}: nothing was made");
    }
}

#[test]
fn each_mistake_on_the_command_line_is_one_clear_line() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["two"], &["\"two\" is neither a node's number nor a command"]),
        (&["-1"], &["\"-1\" is neither"]),
        (&["2"], &["node id 2 is out of range", "0 to 1"]),
        (&["99999999999999999999999"], &["neither a node's number"]),
        (&["0", "--config", "absent.json"], &["absent.json", "No such file"]),
        (&["0", "--heartbeat", "soon"], &["--heartbeat: \"soon\" is not a duration"]),
        (
            &["0", "--heartbeat", "101ms"],
            &["an election timeout of 500ms is under 5 heartbeats of 101ms", "505ms"],
        ),
        (&["0", "--election-timeout", "499ms"], &["under 5 heartbeats of 100ms", "at least 500ms"]),
        (&["0", "--log", "a=b=c"], &["--log", "raft_http=debug"]),
    ];
    let directory = with_file(GOOD);
    for (arguments, words) in cases {
        let output = httpraft(directory.path(), arguments).output().unwrap();
        assert_refused(&arguments.join(" "), &output, 2, words);
    }
    let empty = tempfile::tempdir().unwrap();
    let output = httpraft(empty.path(), &["0"]).output().unwrap();
    assert_refused("no file", &output, 2, &["no config file", "peers.json", "--config", "HTTPRAFT_CONFIG"]);
    let output = httpraft(directory.path(), &["0"]).env("HTTPRAFT_MAX_BODY", "9MiB").output().unwrap();
    assert_refused("body", &output, 2, &["max_body is 9MiB", "at most 8MiB"]);
    let output =
        httpraft(directory.path(), &["0"]).env("HTTPRAFT_MAX_PROPOSAL_BYTES", "1KiB").output().unwrap();
    assert_refused("proposals", &output, 2, &["max_proposal_bytes is 1KiB", "1537KiB"]);
    let output = httpraft(directory.path(), &["0"]).env("HTTPRAFT_MAX_BODY", "x").output().unwrap();
    assert_refused("environment", &output, 2, &["HTTPRAFT_MAX_BODY: \"x\" is not a size"]);
    let both = [("HTTPRAFT_DATA_DIR", "d"), ("HTTPRAFT_IN_MEMORY", "1")];
    let output = httpraft(directory.path(), &["0"]).envs(both).output().unwrap();
    assert_refused("stores", &output, 2, &["HTTPRAFT_DATA_DIR: HTTPRAFT_IN_MEMORY is true, too"]);
}

/// What `config show` says of node 0 with these arguments and variables.
fn shown(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> serde_json::Value {
    let arguments = [&["config", "show"], arguments].concat();
    let output = httpraft(directory, &arguments).envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn flags_overrule_the_environment_and_the_environment_the_file() {
    let directory = with_file(&GOOD.replacen('{', r#"{"heartbeat": "11ms", "max_body": "1.5KiB", "#, 1));
    let environment =
        [("HTTPRAFT_HEARTBEAT", "22ms"), ("HTTPRAFT_MAX_CONNECTIONS", "7"), ("HTTPRAFT_PORT", "x")];
    let heartbeat = |json: &serde_json::Value| json["heartbeat"].as_str().unwrap().to_string();

    let file = shown(directory.path(), &[], &[]);
    assert_eq!(heartbeat(&file), "11ms");
    assert_eq!(file["max_body"], "1536B");
    assert_eq!(file["data_dir"], "httpraft-data/node-0");
    let environment_too = shown(directory.path(), &[], &environment);
    assert_eq!(heartbeat(&environment_too), "22ms");
    assert_eq!(environment_too["max_connections"], 7);
    let all = shown(directory.path(), &["1", "--heartbeat", "33ms", "--in-memory"], &environment);
    assert_eq!(heartbeat(&all), "33ms");
    assert_eq!(all["in_memory"], true);
    let data_dir = shown(directory.path(), &["--data-dir", "d"], &[("HTTPRAFT_IN_MEMORY", "true")]);
    assert_eq!(data_dir["data_dir"], "d");
    assert_eq!(data_dir.get("in_memory"), None);
}

#[test]
fn the_file_is_looked_for_in_the_promised_order() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, cluster: &str| {
        let content = GOOD.replacen('{', &format!(r#"{{"cluster": "{cluster}", "#), 1);
        fs::write(directory.path().join(name), content).unwrap();
    };
    let cluster = |arguments: &[&str], variables: &[(&str, &str)]| {
        shown(directory.path(), arguments, variables)["cluster"].as_str().unwrap().to_string()
    };
    write("config.json", "usual, second");
    assert_eq!(cluster(&[], &[]), "usual, second");
    write("peers.json", "usual, first");
    assert_eq!(cluster(&[], &[]), "usual, first");
    write("variable.json", "variable");
    assert_eq!(cluster(&[], &[("HTTPRAFT_CONFIG", "variable.json")]), "variable");
    write("flag.json", "flag");
    assert_eq!(cluster(&["--config", "flag.json"], &[("HTTPRAFT_CONFIG", "variable.json")]), "flag");
}

#[test]
fn what_show_and_example_print_is_a_config_file() {
    let directory = with_file(GOOD);
    let first = shown(directory.path(), &[], &[]);
    fs::write(directory.path().join("peers.json"), first.to_string()).unwrap();
    assert_eq!(shown(directory.path(), &[], &[]), first);
    let example = httpraft(directory.path(), &["config", "example"]).output().unwrap().stdout;
    fs::write(directory.path().join("peers.json"), example).unwrap();
    assert_eq!(shown(directory.path(), &["2"], &[])["apis"][2], "localhost:9002");
}
