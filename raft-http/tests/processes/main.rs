//! What users are promised, on real `httpraft` processes.

mod bench;
mod cli;
#[allow(dead_code, reason = "each test program uses its own part of it")]
mod cluster;
mod crashes;
mod decay;
mod descriptors;
mod docs;
#[path = "../cluster/document.rs"]
#[allow(dead_code, reason = "each test program uses its own part of it")]
mod document;
mod exactly_once;
mod idle;
mod leases;
mod members;
mod postman;
mod snapshot_load;
mod snapshots;
mod starts;
mod stops;
mod syncs;

#[cfg(not(feature = "root-tests"))]
#[test]
#[ignore = "power cuts need root: cargo test --profile sim -p raft-http --features root-tests --test power_cuts"]
fn power_cuts() {
    panic!("they are a test program of their own");
}

#[cfg(not(feature = "root-tests"))]
#[test]
#[ignore = "storms need root: cargo test --profile sim -p raft-http --features root-tests --test storms"]
fn storms() {
    panic!("they are a test program of their own");
}
