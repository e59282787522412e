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

#[cfg(feature = "planted")]
#[test]
fn every_planted_bug_is_found() {
    use raft_sim::hunt::{Effort, hunt};
    raft_sim::runner::catch_panics();
    let effort = Effort { searches: 1, seeds: 400, jobs: raft_sim::swarm::cores() };
    assert!(hunt(&[], effort).unwrap(), "the table above says which were not found");
}
