//! What is replicated: `httpraft`'s own machine, or that of a program that brings its own. The driver, the storage, the
//! snapshots and the peers are the same for both.

use crate::machine::{Machine, Reply, Unreadable, snapshot};
use raft_core::{Base, ClusterId, Entry, Index, Snapshot};
use snapshot::SnapshotError;
use std::io::{self, Read, Write};

/// A state that entries are applied to, as the driver needs it.
pub trait Replicated: Clone + Default + Send + Sync + 'static {
    /// Up to where entries are applied.
    fn applied(&self) -> Index;

    /// Applies the next entry; what became of a command.
    fn apply(&mut self, entry: &Entry) -> Result<Option<Reply>, Unreadable>;

    /// Writes the state as a snapshot of this base.
    fn write(&self, base: &Base, cluster: ClusterId, out: &mut dyn Write) -> io::Result<Snapshot>;

    /// Reads what [`Replicated::write`] wrote.
    fn restore(input: impl Read, cluster: ClusterId) -> Result<(Snapshot, Self), SnapshotError>;

    /// A number that is the same for the same state; `out` takes the bytes that it is made of.
    fn digest(&self, out: &mut dyn Write) -> io::Result<u64>;

    /// Takes over what is this process's alone, in place of an older state.
    fn succeed(&mut self, _old: &Self) {}
}

impl Replicated for Machine {
    fn applied(&self) -> Index {
        Machine::applied(self)
    }

    fn apply(&mut self, entry: &Entry) -> Result<Option<Reply>, Unreadable> {
        Machine::apply(self, entry)
    }

    fn write(&self, base: &Base, cluster: ClusterId, mut out: &mut dyn Write) -> io::Result<Snapshot> {
        snapshot::write(self, base, cluster, &mut out)
    }

    fn restore(input: impl Read, cluster: ClusterId) -> Result<(Snapshot, Machine), SnapshotError> {
        snapshot::restore(input, cluster)
    }

    fn digest(&self, mut out: &mut dyn Write) -> io::Result<u64> {
        snapshot::digest(self, &mut out)
    }
}
