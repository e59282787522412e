//! The log on disk: what is synced comes back, what a crash took is cut, what decayed is refused.

mod disk;
mod round_trip;
