//! The numbers of the protocol, each a type of its own, so that a term can't be passed for an index.

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A term: Raft's logical clock (paper section 5.1). Terms begin at 1; 0 is before the first election.
    Term
}
number! {
    /// A position in the log. The first entry has index 1; 0 is the place before it.
    Index
}
number! {
    /// A member of the cluster, for ever: addresses may change, the id does not.
    NodeId
}
number! {
    /// How often a data directory was started. Raised and durable before a start's first message.
    Boot
}
number! {
    /// Drawn at random once per data directory: tells a node from its successor with a wiped disk.
    DiskId
}
number! {
    /// Which cluster a node, a frame or a log belongs to.
    ClusterId
}
number! {
    /// The driver's name for one request. The core answers each exactly once and never looks inside.
    Ticket
}
number! {
    /// A round of heartbeats within one term and boot; only grows (dissertation 6.4).
    Round
}

impl Boot {
    /// The last one: a data directory that lost what it had promised is given up with it, and never starts again.
    pub const GIVEN_UP: Boot = Boot(u64::MAX);
}

impl Term {
    /// The term after this one.
    pub fn next(self) -> Term {
        Term(self.0 + 1)
    }
}

impl Index {
    /// No log comes this far: an index beyond it is nonsense, and all others can be counted on from.
    pub(crate) const FARTHEST: Index = Index(1 << 62);

    /// The index after this one.
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }

    /// The index before this one; there is none before 0.
    pub fn previous(self) -> Option<Index> {
        self.0.checked_sub(1).map(Index)
    }
}

/// What identifies an entry: its term and its index. The derived order compares the term first, which *is* the rule
/// of paper section 5.4.1 for "at least as up-to-date".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The term of the leader that created the entry.
    pub term: Term,
    /// The entry's position.
    pub index: Index,
}

impl EntryId {
    /// The place before the first entry: every log holds it.
    pub const ORIGIN: EntryId = EntryId { term: Term(0), index: Index(0) };

    /// An id from its two numbers.
    pub fn new(term: u64, index: u64) -> EntryId {
        EntryId { term: Term(term), index: Index(index) }
    }
}

impl core::fmt::Display for EntryId {
    /// Index and term as `7@2`, as the golden scenarios write them.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

/// One start of one data directory: replies carry the asker's, so that they reach only the process that asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The data directory.
    pub disk: DiskId,
    /// Which of its starts.
    pub boot: Boot,
}
