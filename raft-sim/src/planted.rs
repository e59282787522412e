//! The bugs that can be planted: those of the core, and two drivers that lie about the disk.

pub use raft_core::planted::Bug;

/// A way for a driver to lie about the disk: all that is left to get wrong around the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lie {
    /// The receipt is handed in when the write is handed to the disk, before any sync.
    ReceiptBeforeSync,
    /// A log whose synced part decayed is cut before the damage, as if a crash explained it.
    CutsDecay,
}

/// What is planted in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Planted {
    /// In the core.
    Core(Bug),
    /// In the driver.
    Driver(Lie),
}
