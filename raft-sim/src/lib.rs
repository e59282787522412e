//! A deterministic simulator of Raft clusters that runs the shipping core and its log.

pub mod coverage;
pub mod facts;
mod history;
pub mod invariants;
