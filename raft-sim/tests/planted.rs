//! The swarm finds every planted bug, by an invariant that the table names. `raft-sim bugs --all --searches 20` prints
//! the medians.

/// Bugs can be planted only in a build of their own: features are unified within one, and the server shares this one.
#[cfg(not(feature = "planted"))]
#[test]
fn the_build_with_planted_bugs_passes_its_tests() {
    let status = std::process::Command::new(env!("CARGO"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args([
            "test",
            "--profile",
            "sim",
            "-p",
            "raft-core",
            "--test",
            "surface",
            "-p",
            "raft-machine",
            "--test",
            "keys",
            "-p",
            "raft-sim",
            "--test",
            "planted",
            "--test",
            "tools",
            "--test",
            "regressions",
            "--test",
            "exhaust",
        ])
        .args(["--features", "raft-core/planted,raft-sim/planted", "--target-dir", "target/planted"])
        .args(["--", "--nocapture"])
        .status()
        .expect("cargo runs this test, so it can be run");
    assert!(status.success(), "the tests of the build with planted bugs failed: see above");
}

/// Each bug of the core and of the machine has its row, and each stands at its rule in docs/protocol.md.
#[test]
fn every_bug_has_a_row_and_a_rule() {
    use raft_sim::planted::TABLE;
    let sources =
        [include_str!("../../raft-core/src/planted.rs"), include_str!("../../raft-machine/src/planted.rs")];
    let is_bug =
        |name: &&str| name.starts_with(char::is_uppercase) && name.chars().all(char::is_alphanumeric);
    let bugs: Vec<&str> = sources
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| line.trim().strip_suffix(','))
        .filter(is_bug)
        .collect();
    let rows: Vec<String> = TABLE.iter().map(|row| row.planted.name()).collect();
    assert!(bugs.len() > 60, "{bugs:?}");
    for bug in &bugs {
        let places = rows.iter().filter(|name| name == bug).count();
        assert_eq!(places, 1, "{bug} has one row in raft-sim/src/planted.rs");
    }
    let rules = include_str!("../../docs/protocol.md");
    for name in &rows {
        assert!(rules.contains(&format!("`{name}`")), "docs/protocol.md doesn't name {name} at its rule");
    }
}

#[cfg(feature = "planted")]
#[test]
fn every_planted_bug_is_found() {
    use raft_sim::hunt::{Effort, hunt};
    raft_sim::runner::catch_panics();
    // The first find ends a search, and most take a few seeds; docs/planted.txt has the medians.
    let effort = Effort { searches: 1, seeds: 2000, jobs: raft_sim::swarm::cores() };
    assert!(
        hunt(&[], effort, |line| println!("{line}")).unwrap(),
        "the table above says which were not found"
    );
}
