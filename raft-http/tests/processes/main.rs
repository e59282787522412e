//! What users are promised, on real `httpraft` processes.

#[allow(dead_code, reason = "each test program uses its own part of it")]
mod cluster;
mod crashes;
mod postman;
mod starts;
mod stops;
mod syncs;
