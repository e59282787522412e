//! A deterministic simulator of Raft clusters that runs the shipping core and its log.

pub mod choices;
mod clients;
pub mod clock;
mod copies;
mod course;
mod counts;
pub mod coverage;
pub mod disk;
pub mod facts;
mod faults;
mod history;
#[cfg(feature = "planted")]
pub mod hunt;
pub mod invariants;
mod life;
pub mod machine;
pub mod network;
mod operator;
pub mod options;
pub mod planted;
pub mod queue;
pub mod report;
pub mod runner;
pub mod server;
pub mod snapshots;
pub mod swarm;
pub mod tape;
pub mod trace;
mod turn;
pub mod workload;
pub mod world;
