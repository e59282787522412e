//! What users are promised, on real `httpraft` processes.

#[path = "../cluster/mod.rs"]
#[allow(dead_code, reason = "each test program uses its own part of it")]
mod cluster;
mod crashes;
mod local;
mod postman;
mod starts;
mod stops;
mod syncs;
