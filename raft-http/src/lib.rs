//! The parts of `httpraft`, the server: a library, so that tests can use them one by one.

pub mod cli;
pub mod config;
pub mod data_dir;
pub mod exit;
pub mod signal;
