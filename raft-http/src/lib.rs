//! The parts of `httpraft`, the server: a library, so that tests can use them one by one.

pub mod config;
pub mod exit;
