//! Searches for settings that [`raft_fuzz::config::read`] stumbles over.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raft_fuzz::tally(raft_fuzz::config::read(data)));
