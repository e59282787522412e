//! What the server does, in the test's own process: one program, since most of its making is the same for each part.
#![allow(clippy::unwrap_used, reason = "this is test code")]

#[path = "../cluster/mod.rs"]
mod cluster;
#[path = "../../examples/counter.rs"]
mod counter;
#[path = "../processes/cluster/ports.rs"]
mod ports;
#[path = "../processes/cluster/proxy.rs"]
mod proxy;

mod data;
mod interrupted;
mod members;
mod operations;
mod overload;
mod replica;
mod replicas;
mod retention;
mod routes;
mod three_nodes;
