//! Whether any order of the operations on one register respects real time and explains every read: the search of Wing
//! and Gong, with a memory of the states that led nowhere.

use crate::facts::{Time, Value};
use std::collections::BTreeSet;
use std::fmt;

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It wrote; unless `sure`, perhaps never.
    Put { value: Value, sure: bool },
    /// It read.
    Get { value: Option<Value> },
}

/// One operation on the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) invoked: Time,
    /// `None`: it was never answered, and may take effect at any time after its invocation.
    pub(super) returned: Option<Time>,
    pub(super) effect: Effect,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.effect {
            Effect::Put { value, sure: true } => write!(f, "put {value}")?,
            Effect::Put { value, sure: false } => write!(f, "perhaps put {value}")?,
            Effect::Get { value: Some(value) } => write!(f, "got {value}")?,
            Effect::Get { value: None } => write!(f, "got nothing")?,
        }
        let end = self.ends();
        if end == Time::MAX {
            write!(f, " from {}", self.invoked)
        } else {
            write!(f, " {}..{end}", self.invoked)
        }
    }
}

impl Operation {
    /// The latest time at which it can have taken effect.
    fn ends(&self) -> Time {
        match self.effect {
            Effect::Put { sure: false, .. } => Time::MAX,
            _ => self.returned.unwrap_or(Time::MAX),
        }
    }
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Searched {
    /// An order.
    Found,
    /// That there is none.
    None,
    /// Nothing, in the steps that it may take.
    GaveUp,
}

/// How many states a search may visit.
const STEPS: usize = 50_000;

/// Looks for an order of at most 64 operations on a register that is empty at first.
pub(super) fn linearize(operations: &[Operation]) -> Searched {
    let mut search = Search { operations, dead: BTreeSet::new(), steps: 0 };
    let needed = |(at, operation): (usize, &Operation)| {
        u64::from(!matches!(operation.effect, Effect::Put { sure: false, .. })) << at
    };
    let needed = operations.iter().enumerate().map(needed).sum();
    if search.extend(0, None, needed) {
        Searched::Found
    } else if search.steps >= STEPS {
        Searched::GaveUp
    } else {
        Searched::None
    }
}

struct Search<'a> {
    operations: &'a [Operation],
    /// Who was taken and what the register then held, where no order was found from.
    dead: BTreeSet<(u64, Option<Value>)>,
    steps: usize,
}

impl Search<'_> {
    /// Whether the operations taken so far, which left `value`, can be followed by all others that are needed.
    fn extend(&mut self, taken: u64, value: Option<Value>, needed: u64) -> bool {
        if taken & needed == needed {
            return true;
        }
        if self.steps >= STEPS || self.dead.contains(&(taken, value)) {
            return false;
        }
        self.steps += 1;
        let left = |at: &usize| taken & (1 << at) == 0;
        let first_end = (0..self.operations.len()).filter(left).map(|at| self.operations[at].ends()).min();
        for at in (0..self.operations.len()).filter(left) {
            let operation = self.operations[at];
            // Whoever began after another one ended can't come before it.
            if first_end.is_some_and(|end| end < operation.invoked) {
                continue;
            }
            let next = match operation.effect {
                Effect::Put { value, .. } => Some(value),
                Effect::Get { value: seen } if seen == value => value,
                Effect::Get { .. } => continue,
            };
            if self.extend(taken | 1 << at, next, needed) {
                return true;
            }
        }
        self.dead.insert((taken, value));
        false
    }
}
