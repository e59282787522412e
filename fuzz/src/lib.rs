//! The fuzz targets as plain functions: `tests/corpus.rs` replays the committed inputs through them on any machine, and
//! the programs in `fuzz_targets/` let libFuzzer search for new ones (`run.sh`). Each takes any bytes, must not panic,
//! and tells whether the bytes got past the first checks: a fuzzer whose inputs are all refused at the door tests
//! nothing.

pub mod codec;
pub mod config;
mod draw;
pub mod envelope;
mod files;
mod host;
pub mod http;
mod peer;
pub mod run;
pub mod snapshot;
pub mod step;
mod tally;
pub mod wal;

pub use tally::tally;
