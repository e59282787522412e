//! The replicated application as the driver feeds it: one ordered stream of entries to apply, snapshots to restore and
//! places to freeze it at. While a snapshot is being read, what follows it in the stream waits, and nothing else does:
//! the node goes on hearing its leader, and acknowledges what is on its disk.

use crate::application::Replicated;
use crate::exit::{Code, Exit};
use crate::machine::{Reply, Verdict};
use crate::snapshot_thread::SnapshotThread;
use raft_core::{Index, Output};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

/// The machine, and the stream to it.
pub(super) struct Application<M> {
    machine: Arc<RwLock<M>>,
    /// What follows on a snapshot that is being read; `None` while none is.
    later: Option<VecDeque<Output>>,
    /// What came of the clients' commands that were applied in this turn, by index.
    replies: Vec<(Index, Reply)>,
}

/// The steps of one turn. The machine is locked from the first one that needs it to the last: readers hold this lock only
/// while they copy out what they need.
pub(super) struct Feeding<'a, M> {
    machine: &'a RwLock<M>,
    locked: Option<RwLockWriteGuard<'a, M>>,
    later: &'a mut Option<VecDeque<Output>>,
    replies: &'a mut Vec<(Index, Reply)>,
    snapshots: &'a SnapshotThread,
}

impl<M: Replicated> Application<M> {
    pub(super) fn new(machine: Arc<RwLock<M>>) -> Application<M> {
        Application { machine, later: None, replies: Vec::new() }
    }

    /// Begins the steps of a turn.
    pub(super) fn feed<'a>(&'a mut self, snapshots: &'a SnapshotThread) -> Feeding<'a, M> {
        let Application { machine, later, replies } = self;
        Feeding { machine, locked: None, later, replies, snapshots }
    }

    /// What came of the clients' commands since this was asked last.
    pub(super) fn replies(&mut self) -> std::vec::Drain<'_, (Index, Reply)> {
        self.replies.drain(..)
    }

    /// The state of the snapshot was read: takes it, and then what has waited for it. Says up to where entries are now.
    pub(super) fn loaded(&mut self, mut state: M, snapshots: &SnapshotThread) -> Result<Index, Exit> {
        let later = self.later.take().expect("a snapshot is read because it was asked for");
        let mut feeding = self.feed(snapshots);
        state.succeed(feeding.machine());
        let old = std::mem::replace(feeding.machine(), state);
        // A large state takes its time to be freed, and nobody has to wait for that.
        std::thread::spawn(move || drop(old));
        later.into_iter().try_for_each(|step| feeding.step(step))?;
        Ok(feeding.machine().applied())
    }
}

impl<M: Replicated> Feeding<'_, M> {
    /// Carries out the next step of the stream, or keeps it until the snapshot before it is read.
    pub(super) fn step(&mut self, step: Output) -> Result<(), Exit> {
        match (self.later.as_mut(), step) {
            (Some(later), step) => later.push_back(step),
            (None, Output::Apply(entry)) => {
                let applied = self.machine().apply(&entry);
                let reply = applied.map_err(|unreadable| Exit::new(Code::Newer, unreadable))?;
                if reply.is_some_and(|reply| reply.verdict == Verdict::Marked) {
                    let frozen = self.machine().clone();
                    self.snapshots.digest(frozen);
                }
                self.replies.extend(reply.map(|reply| (entry.index(), reply)));
            }
            (None, Output::Capture(base)) => {
                let frozen = self.machine().clone();
                self.snapshots.capture(base, frozen);
            }
            (None, Output::Restore(snapshot)) => {
                *self.later = Some(VecDeque::new());
                self.snapshots.load(snapshot);
            }
            (None, other) => unreachable!("no part of the application's stream: {other:?}"),
        }
        Ok(())
    }

    fn machine(&mut self) -> &mut M {
        self.locked.get_or_insert_with(|| self.machine.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Up to where entries are applied, if any step needed the machine.
    pub(super) fn applied(&self) -> Option<Index> {
        self.locked.as_ref().map(|machine| machine.applied())
    }
}
