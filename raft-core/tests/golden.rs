//! Golden scenarios: scripts that read like the paper, with all that the nodes put out after each command.
//! `UPDATE_GOLDEN=1 cargo test -p raft-core --test golden` rewrites the outputs; otherwise they must match to the byte.
//!
//! A line that begins with `>` is a command (see `golden/commands.rs`), one with `#` is prose, and all others are
//! output. Each scenario begins with a title (`##`) and makes its own cluster. Indexes and terms are written
//! `index@term`, tickets `t1`, `t2`, .. in the order of the requests, and links `from->to`.
#![allow(clippy::unwrap_used)] // a script that can't be read fails the test

#[allow(dead_code)] // each test target uses its own part of the cluster
mod cluster;
#[path = "golden/commands.rs"]
mod commands;
#[path = "golden/show.rs"]
mod show;

use commands::Runner;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

/// Runs a script and gives it back with the outputs that its commands have now.
fn run(name: &str, script: &str) -> String {
    let mut runner = Runner::default();
    let mut out = String::new();
    for (number, line) in (1..).zip(script.lines()) {
        if let Some(command) = line.strip_prefix("> ") {
            let place = format!("{name}.txt:{number}: {command}");
            out += &format!("{line}\n{}", runner.run(command, &place));
        } else if line.is_empty() || line.starts_with('#') {
            out += &format!("{line}\n");
        }
    }
    out
}

/// The first line in which two texts differ.
fn difference(is: &str, was: &str) -> String {
    let pairs = is.lines().chain([""]).zip(was.lines().chain([""]));
    let found = (1..).zip(pairs).find(|(_, (is, was))| is != was);
    let (line, (is, was)) = found.unwrap_or((0, ("a line more or less at the end", "")));
    format!("line {line}:\n  the script says: {was}\n  the nodes say:   {is}")
}

fn golden(name: &str) {
    let path = folder().join(name).with_extension("txt");
    let script = std::fs::read_to_string(&path).unwrap();
    let is = run(name, &script);
    #[expect(clippy::disallowed_methods, reason = "whoever runs the test says what it is for")]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        std::fs::write(&path, is).unwrap();
    } else {
        assert!(is == script, "{name}.txt, {}", difference(&is, &script));
    }
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(#[test] fn $name() { golden(stringify!($name)); })*

        #[test]
        fn every_script_is_run() {
            let listed = [$(stringify!($name)),*];
            for file in std::fs::read_dir(folder()).unwrap() {
                let path = file.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                assert!(listed.contains(&name.as_str()), "{name}.txt is not listed in golden.rs");
            }
        }
    };
}

scripts!(
    election replication conflict commit crash restart repair founding reads transfer tickets one_node check_quorum
    joining learners joint change_refused change_rollback leaving removed replacing
    compaction snapshot_install snapshot_transfer snapshot_losses snapshot_membership
    lease follower_reads unreachable transfer_and_change together
);
