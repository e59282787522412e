//! Bugs of the table of idempotency keys, each to be switched on at run time, so that the simulator can show that it would
//! have found them. The selector is compiled in only with the feature `planted`; without it every question here is the
//! constant `false`.

use crate::dedupe::Table;

/// A planted bug of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A snapshot doesn't hold the horizon: what left before it is taken for new.
    HorizonForgotten,
    /// A UUIDv7 leaves a full table however young it is.
    YoungKeyLeaves,
    /// Ages are by the stamp of the leader at hand, which may be behind that of another one.
    StampIsLogTime,
}

#[cfg(feature = "planted")]
impl Table {
    /// Whether to behave as if written with this bug.
    pub(crate) fn planted(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

#[cfg(not(feature = "planted"))]
impl Table {
    /// Never: this build has no planted bugs.
    #[inline(always)]
    pub(crate) fn planted(&self, _: Bug) -> bool {
        false
    }
}
