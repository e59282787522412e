//! The log on disk: what is synced comes back, what a crash took is cut, what decayed is refused.

mod compaction;
mod crash;
mod decay;
mod dice;
mod disk;
mod format;
mod lives;
mod round_trip;
