//! The same seed is the same run: in two processes, and from its tape.

use std::process::Command;

fn hash(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_raft-sim"))
        .args(arguments)
        .output()
        .expect("it was built for this test");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn a_seed_gives_the_same_trace_in_two_processes() {
    for seed in ["1", "2", "3"] {
        let first = hash(&["run", "--seed", seed, "--hash"]);
        assert_eq!(first.trim().len(), 16);
        assert_eq!(first, hash(&["run", "--seed", seed, "--hash"]), "seed {seed}");
    }
}

#[test]
fn a_tape_gives_the_trace_of_its_seed() {
    let tape = std::env::temp_dir().join(format!("raft-sim-{}.tape", std::process::id()));
    let path = tape.to_str().unwrap();
    let run = hash(&["run", "--seed", "4", "--tape", path]);
    let replayed = hash(&["replay", path]);
    std::fs::remove_file(&tape).unwrap();
    assert!(run.contains("clean: "));
    assert_eq!(run, replayed);
}
