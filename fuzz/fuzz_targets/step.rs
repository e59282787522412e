//! Searches for inputs that [`raft_fuzz::step::drive`] stumbles over.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raft_fuzz::tally(raft_fuzz::step::drive(data)));
