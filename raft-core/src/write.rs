//! What goes to stable storage, and the receipt for it. A receipt can be made only from the write it is for, and names
//! that write, never a log position (rule 1): a truncated and rewritten index can't be confirmed by an older sync.

use crate::entry::Entry;
use crate::ids::{Boot, EntryId, Index, NodeId, Term};
use crate::log::Log;
use crate::membership::Membership;
use crate::snapshot::Snapshot;
use alloc::vec::Vec;

/// What every server keeps over a restart beside its log (Figure 2's persistent state, and the boot counter).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardState {
    /// The latest term this server has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
    /// Its newest start.
    pub boot: Boot,
}

/// What the log stands on: the entry before its first, and the configuration in force there. A founder's base is at
/// [`EntryId::ORIGIN`] and holds the disk ids that it heard while founding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base {
    /// The last entry that the base covers.
    pub id: EntryId,
    /// The log's running hash there.
    pub hash: u64,
    /// The configuration there.
    pub membership: Membership,
}

/// What a data directory held at a start: the default is an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Recovered {
    /// Term, vote and boot.
    pub hard: HardState,
    /// The base; `None` before the founding.
    pub base: Option<Base>,
    /// The log after the base, contiguous.
    pub entries: Vec<Entry>,
    /// The snapshot that the application was restored from; the log must hold the last entry that it covers. See
    /// [`Recovered::newest`].
    pub snapshot: Option<Snapshot>,
}

impl Recovered {
    /// The newest of these snapshots that is one of this log: the application is to be restored from it. One that the
    /// log doesn't hold came from a leader, and was not installed before the end: it is nothing yet (rule 17).
    pub fn newest<'a>(&self, found: impl IntoIterator<Item = &'a Snapshot>) -> Option<&'a Snapshot> {
        let log = Log::recovered(self.base.as_ref(), self.entries.iter().cloned());
        let fits = |snapshot: &&Snapshot| log.holds(&snapshot.base);
        found.into_iter().filter(fits).max_by_key(|snapshot| snapshot.base.id.index)
    }
}

/// Which start of which node a write belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) node: NodeId,
    pub(crate) boot: Boot,
}

/// What a write changes on stable storage, in this order. Plain data: only the node makes a [`Write`] of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Update {
    /// The new hard state, if it changed.
    pub hard: Option<HardState>,
    /// A new base: the log before this write goes, as a whole.
    pub base: Option<Base>,
    /// Entries after this index go, before this write's entries are appended.
    pub keep: Option<Index>,
    /// Entries to append, contiguous with what is kept.
    pub entries: Vec<Entry>,
}

/// One write, atomic as a whole: hard state, base, truncation and entries become durable together or not at all.
/// Carried out in the order in which the node put them out.
#[cfg_attr(not(feature = "fork"), doc = "", doc = "There is one of each:")]
#[cfg_attr(not(feature = "fork"), doc = "```compile_fail")]
#[cfg_attr(not(feature = "fork"), doc = "# use raft_core::Write;")]
#[cfg_attr(not(feature = "fork"), doc = "fn copied(write: &Write) -> Write {")]
#[cfg_attr(not(feature = "fork"), doc = "    Write::clone(write)")]
#[cfg_attr(not(feature = "fork"), doc = "}\n```")]
#[must_use = "a write that is not carried out stalls the node"]
#[derive(Debug)]
#[cfg_attr(feature = "fork", derive(Clone, PartialEq, Eq, Hash))]
pub struct Write {
    pub(crate) owner: Owner,
    pub(crate) number: u64,
    pub(crate) update: Update,
}

impl Write {
    /// The write's number: 1 for a start's first, then one more each.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What to store.
    pub fn update(&self) -> &Update {
        &self.update
    }

    /// The receipt: to be made only when everything in the write is on stable storage.
    ///
    /// It takes the write, so there is one receipt a write:
    /// ```
    /// # use raft_core::{Input, Node, Write};
    /// fn synced(node: &mut Node, write: Write) {
    ///     node.step(Input::Persisted(write.persisted())).for_each(drop);
    /// }
    /// ```
    /// ```compile_fail
    /// # use raft_core::{Input, Node, Write};
    /// fn synced(node: &mut Node, write: Write) {
    ///     node.step(Input::Persisted(write.persisted())).for_each(drop);
    ///     node.step(Input::Persisted(write.persisted())).for_each(drop);
    /// }
    /// ```
    pub fn persisted(self) -> Persisted {
        Persisted { owner: self.owner, number: self.number }
    }
}

/// The receipt for one [`Write`]. Nothing else makes one:
/// ```compile_fail
/// # use raft_core::{Persisted, Write};
/// fn forged(write: &Write) -> Persisted {
///     Persisted { owner: write.owner, number: write.number() }
/// }
/// ```
#[must_use = "a receipt that is not handed in stalls the node"]
#[derive(Debug)]
#[cfg_attr(feature = "fork", derive(Clone, PartialEq, Eq, Hash))]
pub struct Persisted {
    pub(crate) owner: Owner,
    pub(crate) number: u64,
}

impl Persisted {
    /// The number of the write.
    pub fn number(&self) -> u64 {
        self.number
    }
}
