//! The surface of the core is hard to misuse: what can be dropped loses nothing, what can be reordered breaks nothing,
//! what can't be forged panics, and no remote message does.
#![allow(clippy::unwrap_used)] // helpers outside of test functions are tests, too

#[allow(dead_code)] // each test target uses its own part of the cluster
mod cluster;

#[path = "surface/careless.rs"]
mod careless;
#[path = "surface/limits.rs"]
mod limits;
#[path = "surface/nonsense.rs"]
mod nonsense;
#[path = "surface/receipts.rs"]
mod receipts;
#[path = "surface/repair.rs"]
mod repair;
#[path = "surface/snapshots.rs"]
mod snapshots;
#[path = "surface/storm.rs"]
mod storm;

/// Draws for schedules: the same seed gives the same schedule (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// True once in `n`.
    fn rarely(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}
