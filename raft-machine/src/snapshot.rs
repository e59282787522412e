//! The state to bytes and back: `docs/snapshot.md` has them one by one. What is a file is the driver's business.

mod format;
mod parts;
mod reading;
mod writing;

pub use format::{SnapshotError, VERSION, u64_at};
pub use reading::{intact, label, restore, restore_state, verify};
pub use writing::{digest, write, write_state};

#[cfg(test)]
mod tests;
