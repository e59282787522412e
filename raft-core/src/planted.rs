//! Bugs that consensus systems have shipped, each to be switched on at run time, so that the simulator can show that
//! it would have found them. Compiled in only for a build of its own.

/// A planted bug of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// An entry of an older term is committed by counting copies (paper section 5.4.2).
    CommitOldTerm,
}
