//! `httpraft`: a Raft cluster over HTTP.

fn main() {}
