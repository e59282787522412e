//! Searches for simulated runs in which an invariant falls: see [`raft_fuzz::run::simulate`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raft_fuzz::tally(raft_fuzz::run::simulate(data)));
