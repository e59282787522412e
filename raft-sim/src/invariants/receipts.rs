//! A receipt is for one write, and for none before it (rule 1 of DESIGN): what a node takes for durable ends with the writes of
//! which it has all receipts, one after the other. A disk that has the others as well, as the simulated one, is luck.

use super::{Verdict, cluster::Step, demand};
use crate::facts::Class;
use raft_core::{Index, Recovered, Update};
use std::collections::VecDeque;

/// The name of this invariant.
pub const NAME: &str = "receipts";

/// A write that this process put out.
#[derive(Clone, Copy, Debug)]
struct Written {
    number: u64,
    /// The end of the log with it.
    end: Index,
    confirmed: bool,
}

/// What one process has heard of its disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipts {
    /// The end of the log that is sure.
    sure: Index,
    /// The end of the log with all writes.
    end: Index,
    /// From the first write on of which there is no receipt.
    open: VecDeque<Written>,
}

impl Receipts {
    /// A process begins.
    pub(crate) fn started(recovered: &Recovered) -> Receipts {
        let entry = recovered.entries.last().map(|entry| entry.id().index);
        let base = recovered.base.as_ref().map(|base| base.id.index);
        let snapshot = recovered.snapshot.as_ref().map(|snapshot| snapshot.last().index);
        let end = entry.max(base).max(snapshot).unwrap_or_default();
        Receipts { sure: end, end, open: VecDeque::new() }
    }

    /// A write is put out.
    pub(crate) fn wrote(&mut self, number: u64, update: &Update) {
        let base = update.base.as_ref().map_or(self.end, |base| base.id.index);
        let kept = update.keep.map_or(base, |keep| base.min(keep));
        if kept < self.end {
            // What is taken away is sure no more, whichever write it came with.
            self.sure = self.sure.min(kept);
            self.open.iter_mut().for_each(|write| write.end = write.end.min(kept));
        }
        self.end = update.entries.last().map_or(kept, |entry| entry.id().index);
        self.open.push_back(Written { number, end: self.end, confirmed: false });
    }

    /// It hears that a write is durable.
    pub(crate) fn confirmed(&mut self, number: u64) {
        self.open.iter_mut().filter(|write| write.number == number).for_each(|write| write.confirmed = true);
        while let Some(write) = self.open.pop_front_if(|write| write.confirmed) {
            self.sure = self.sure.max(write.end);
        }
    }

    /// A turn is over.
    pub(crate) fn stepped(&self, step: &Step<'_>) -> Verdict {
        demand(step.after.durable <= self.sure, NAME, Class::Durability, || {
            format!(
                "node {} takes its log for durable up to {}, and has receipts without a gap up to {} only",
                step.node, step.after.durable, self.sure
            )
        })
    }
}
