//! Replays the committed inputs of each target: an ordinary test, without a fuzzer.

use std::fs;
use std::path::Path;

/// Runs the target on all its inputs. Some must be accepted: otherwise the corpus no longer fits the target.
fn replay(target: &str, run: fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let (mut inputs, mut accepted) = (0, 0);
    for file in fs::read_dir(&folder).expect("each target has a corpus") {
        let path = file.expect("the corpus is a plain folder").path();
        let input = fs::read(&path).expect("the corpus holds plain files");
        println!("{}", path.display());
        inputs += 1;
        accepted += u32::from(run(&input));
    }
    println!("{target}: {inputs} inputs, {accepted} accepted");
    assert!(accepted > 0, "none of {inputs} inputs of {target} was accepted");
}

#[test]
fn codec() {
    replay("codec", raft_fuzz::codec::decode);
}

#[test]
fn config() {
    replay("config", raft_fuzz::config::read);
}

#[test]
fn envelope() {
    replay("envelope", raft_fuzz::envelope::decode);
}

#[test]
fn http() {
    replay("http", raft_fuzz::http::answer);
}

#[test]
fn run() {
    replay("run", raft_fuzz::run::simulate);
}

#[test]
fn snapshot() {
    replay("snapshot", raft_fuzz::snapshot::read);
}

#[test]
fn step() {
    replay("step", raft_fuzz::step::drive);
}

#[test]
fn wal() {
    replay("wal", raft_fuzz::wal::recover);
}
