//! The parts of `httpraft`, the server: a library, so that tests can use them one by one.

/// A server must never behave as if written with a bug.
const _: () = assert!(
    !raft_core::planted::COMPILED_IN && !raft_machine::PLANTED,
    "httpraft is built without the feature `planted`"
);

/// The replicated application.
pub use raft_machine as machine;

#[cfg(feature = "fuzz")]
pub mod alone;
pub mod application;
mod bench;
mod call;
pub mod cli;
mod client_api;
pub mod config;
#[cfg(test)]
mod conformance;
pub mod contact;
pub mod data_dir;
mod disk_thread;
mod driver;
pub mod exit;
pub mod join;
pub mod listen;
pub mod local;
mod metrics;
mod patience;
mod peer_api;
mod peers;
pub mod rebuild;
pub mod replica;
mod running;
pub mod server;
pub mod signal;
mod snapshot_thread;
pub mod snapshots;
pub mod start;
pub mod storage;
