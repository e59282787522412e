//! Searches for bytes that [`raft_fuzz::snapshot::read`] stumbles over.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raft_fuzz::tally(raft_fuzz::snapshot::read(data)));
