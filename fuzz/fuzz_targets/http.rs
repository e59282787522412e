//! Searches for requests that [`raft_fuzz::http::answer`] stumbles over.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raft_fuzz::tally(raft_fuzz::http::answer(data)));
