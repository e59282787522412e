//! What a judge says.

use crate::facts::Time;

/// What kind of promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Two nodes disagree, or could.
    Safety,
    /// The clients' history has no order that explains it.
    Linearizability,
    /// The healed cluster doesn't serve.
    Liveness,
    /// Something was promised, or was reported, that the disk didn't hold.
    Durability,
    /// Something grew beyond its limit.
    Bounds,
}

impl Class {
    /// The exit code of a run that ends with such a violation.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Safety => 10,
            Class::Linearizability => 11,
            Class::Liveness => 12,
            Class::Durability => 13,
            Class::Bounds => 14,
        }
    }
}

/// An invariant that fell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name, as the table of planted bugs uses it.
    pub invariant: &'static str,
    /// What kind of promise it is.
    pub class: Class,
    /// When.
    pub at: Time,
    /// The two facts that contradict each other.
    pub said: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} fell at {} us: {}", self.invariant, self.at, self.said)
    }
}

impl std::error::Error for Violation {}
