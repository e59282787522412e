//! An exhaustive search beside the random one: the real node and what a disk does, over all interleavings within small
//! bounds. What is searched, and what is not, is in `docs/exhaustive.md`.

mod bounds;
mod judge;
mod model;
mod numbering;
mod retold;
mod search;
mod server;
mod tables;

pub use bounds::{Bounds, Counts, KINDS, Kind, named};
pub use search::{Fall, Found, search};
