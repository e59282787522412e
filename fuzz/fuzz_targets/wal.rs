//! Searches for files that [`raft_fuzz::wal::recover`] stumbles over.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raft_fuzz::tally(raft_fuzz::wal::recover(data)));
