//! A conformance kit: what a storage must survive that carries out what a [`raft_core::Node`] asks for. `docs/conformance.md`
//! tells how to put one's own to the test.
//!
//! A run drives the storage with what a real node asks for, in a cluster with two others: writes, several before a sync,
//! truncations, new bases, releases, snapshots that are captured here or arrive in parts, starts. Every operation on its
//! files is recorded. For each of them the power is cut before and after it, and the directory is built as a disk may
//! leave it that keeps no more than POSIX promises. The storage's own recovery opens that, and owes: all that it gave a
//! receipt for, nothing but what was asked for, whole writes in their order, no refusal, the same at a second try; and it
//! goes on from there.

mod contract;
mod cut;
mod directory;
mod disk;
mod draw;
mod life;
mod medium;
mod run;
mod world;

pub use directory::{Directory, recorded};
pub use disk::{Content, Operation, Tree};
pub use medium::{Medium, Memory};
pub use run::{Failure, Report, Settings, run};

use bytes::Bytes;
use raft_core::{
    Base, DiskId, Entry, Fetch, Index, NodeId, Persisted, Recovered, Snapshot, Store, Stored, Write,
};

/// The node whose storage is under test. The two others of its cluster are [`PEERS`].
pub const NODE: NodeId = NodeId(0);

/// The others.
pub const PEERS: [NodeId; 2] = [NodeId(1), NodeId(2)];

/// What is put to the test: a storage and the application whose snapshots it keeps.
pub trait Driver {
    /// Where it has its files.
    type Medium: Medium;

    /// The application's state: the empty one is the default.
    type State: Clone + Default;

    /// The storage.
    type Storage: Storage<State = Self::State>;

    /// What a process does at its start: recovers what there is, and opens it for writing. On an empty directory that is
    /// nothing yet. An earlier storage of the same medium is dropped before.
    ///
    /// # Errors
    /// Whatever keeps a node from its start. In a run, each error is a fault: no disk in it decays.
    fn open(&self, medium: &Self::Medium) -> Result<Opened<Self::Storage>, String>;

    /// A command for the log, different for each number, of about this length in bytes.
    fn command(&self, number: u64, length: usize) -> Bytes {
        let mut command = number.to_le_bytes().to_vec();
        command.resize(command.len() + length, number as u8);
        command.into()
    }

    /// Applies an entry to the state.
    fn apply(&self, state: &mut Self::State, entry: &Entry);

    /// The state as a snapshot, and its bytes: the same state gives the same ones.
    fn encode(&self, state: &Self::State, base: &Base) -> (Snapshot, Bytes);
}

/// What a start finds.
#[derive(Debug)]
pub struct Opened<S: Storage> {
    /// Ready for writes.
    pub storage: S,
    /// What the node is to begin with; the snapshot that the state is restored from is named in it.
    pub recovered: Recovered,
    /// The application's state.
    pub state: S::State,
    /// The directory's own number.
    pub disk: DiskId,
}

/// A storage that is open. Each call returns when it is done; a call that fails ends the process, as it were, and the run.
pub trait Storage {
    /// The application's state.
    type State;

    /// Puts all these writes on stable storage, then makes their receipts, in order.
    ///
    /// # Errors
    /// What went wrong.
    fn persist(&mut self, writes: Vec<Write>) -> Result<Vec<Persisted>, String>;

    /// A snapshot that is on stable storage covers the log up to here, so the log may forget it.
    fn release(&mut self, through: Index);

    /// Nothing was written for a while.
    ///
    /// # Errors
    /// What went wrong.
    fn idle(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Puts a snapshot of this state on stable storage.
    ///
    /// # Errors
    /// What went wrong.
    fn capture(&mut self, base: Base, state: Self::State) -> Result<Snapshot, String>;

    /// Stores a part of a snapshot, as [`Store`] says, and makes the receipt.
    ///
    /// # Errors
    /// What went wrong.
    fn store(&mut self, store: Store) -> Result<Stored, String>;

    /// Reads the state of a snapshot that was stored as a whole, and that the log begins behind by now.
    ///
    /// # Errors
    /// What went wrong.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<Self::State, String>;

    /// Reads a part of a snapshot; `None` if it is not here any more.
    ///
    /// # Errors
    /// What went wrong.
    fn read(&mut self, fetch: &Fetch) -> Result<Option<Bytes>, String>;
}
