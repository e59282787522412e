//! The replicated application of `httpraft`: the clients' entries in the order of the log, keys that stand for values
//! with their versions, and the table of idempotency keys. Pure: no clock, file, thread or random number; time is what
//! the leader stamped on a command. So every replica that applies the same commands holds the same state, and the
//! simulator drives the very code that the server runs.
//!
//! - [`Command`]: what a client asks for, and its bytes in the log;
//! - [`Machine`]: the state; [`Machine::apply`] is the only way to change it, and a clone is a frozen copy, made in no time;
//! - [`Reply`]: what became of a command, the same on every replica;
//! - [`snapshot`]: the state to bytes and back.

mod block;
mod command;
mod condition;
mod dedupe;
mod entries;
mod machine;
mod operation;
pub mod planted;
mod reply;
pub mod snapshot;

pub use command::{Command, Malformed, Unreadable};
pub use condition::{Condition, Test};
pub use dedupe::{Key, Retention};
pub use machine::{Found, Listing, Machine, Page, Record, Version};
pub use operation::Operation;
pub use reply::{Reply, Verdict};

/// Whether this build can behave as if written with a bug. A server asserts that it can't.
pub const PLANTED: bool = cfg!(feature = "planted");
