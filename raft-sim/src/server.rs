//! A server: its disk, which outlives everything, and the process that runs on it at the moment, if one does.

use crate::clock::Clock;
use crate::disk::Disk;
use crate::facts::{OpId, Time};
use crate::machine::Machine;
use crate::revenant::Estate;
use crate::rollback::Image;
use crate::snapshots::Snapshots;
use crate::space::Space;
use raft_core::wal::{Layout, Sequence, Wal};
use raft_core::{
    DiskId, EntryId, Index, Input, Membership, Node, NodeId, RoleName, Stamp, Term, Update, Write,
};
use raft_machine::Reply;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A write that the disk has and the node has no receipt for.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// The write.
    pub write: Write,
    /// Its number in the log.
    pub sequence: Sequence,
}

/// A sync under way.
#[derive(Clone, Copy, Debug)]
pub struct Sync {
    /// Its number in this life.
    pub number: u64,
    /// It covers the disk's operations up to this one.
    pub operations: u64,
    /// .. the log's writes up to this one.
    pub sequence: Sequence,
    /// .. the node's writes up to this one.
    pub writes: u64,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    /// The node under test.
    pub node: Node,
    /// The writing end of its log.
    pub wal: Wal,
    /// What it has applied.
    pub machine: Machine,
    /// What waits for its next turn.
    pub inbox: Vec<Input>,
    /// A turn is due already.
    pub waking: bool,
    /// Whether it is paused, and how many ticks it has missed so far.
    pub paused: Option<u32>,
    /// Writes without a receipt, in order.
    pub writes: VecDeque<InFlight>,
    /// Syncs under way.
    pub syncs: Vec<Sync>,
    /// How many syncs it has begun.
    pub begun: u64,
    /// The newest of the log's writes, and the newest that a sync under way covers.
    pub written: Sequence,
    /// See `written`.
    pub covered: Sequence,
    /// The newest of the log's writes that is known to be synced.
    pub vouches: Sequence,
    /// The newest of the node's writes that was handed to the disk.
    pub handed: u64,
    /// The newest of the node's writes on stable storage.
    pub durable: u64,
    /// Reads, and puts with an idempotency key, that wait for their index.
    pub reads: Vec<(OpId, Index)>,
    /// What the application replied since the process began.
    pub replies: BTreeMap<Index, Reply>,
    /// Files to delete after the first sync.
    pub discard: Vec<u64>,
    /// It has stopped for good.
    pub halted: bool,
    /// The disks that were put back, and from a later start of which its node has heard.
    pub heard_later: BTreeSet<DiskId>,
    /// Its role and term after its last turn.
    pub standing: (RoleName, Term),
}

impl Process {
    /// A process on what its disk gave.
    pub fn new(node: Node, wal: Wal, machine: Machine, discard: Vec<u64>) -> Process {
        let status = node.status();
        Process {
            node,
            wal,
            discard,
            machine,
            inbox: Vec::new(),
            waking: false,
            paused: None,
            writes: VecDeque::new(),
            syncs: Vec::new(),
            begun: 0,
            written: Sequence(0),
            covered: Sequence(0),
            vouches: Sequence(0),
            handed: 0,
            durable: 0,
            reads: Vec::new(),
            replies: BTreeMap::new(),
            halted: false,
            heard_later: BTreeSet::new(),
            standing: (status.role, status.term),
        }
    }
}

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its id.
    pub id: NodeId,
    /// Its disk.
    pub disk: Disk,
    /// Its snapshots, on the same disk.
    pub snapshots: Snapshots,
    /// The room on it.
    pub(crate) space: Space,
    /// The id of the disk.
    pub disk_id: DiskId,
    /// Whether there is a server at all.
    pub seated: bool,
    /// It is a founder on its first disk.
    pub original: bool,
    /// It is no founder: on an empty disk it waits to be taken in.
    pub joins: bool,
    /// Its disk never stood in any configuration.
    pub fresh: bool,
    /// Its disk was once on record in a configuration that is known to be committed.
    pub recorded: bool,
    /// Its disk holds the base of a log.
    pub founded: bool,
    /// How often its process started or ended: what belongs to an earlier life is void.
    pub life: u32,
    /// The process.
    pub process: Option<Process>,
    /// Its clock.
    pub clock: Clock,
    /// Until then its disk completes nothing.
    pub stalled_until: Time,
    /// Its disk was wiped under its old identity, or rots: it counts as lost.
    pub lost: bool,
    /// Its clock stands still until then.
    pub stopped_until: Time,
    /// The configurations that its disk was handed and may hold: also those that a write takes away which is not durable.
    pub stood: Vec<(Index, Membership)>,
    /// A bit of one of its snapshots was flipped.
    pub spoilt: bool,
    /// Its log was refused: it never runs again.
    pub refused: bool,
    /// Its program is older than the newest kinds of messages.
    pub(crate) elder: bool,
    /// Its log decays, and nothing else is wrong with its disk.
    pub decays: bool,
    /// Who has what its disk has lost: none of them must be lost before this one has got it back.
    pub needs: BTreeSet<usize>,
    /// The commands that its disk was made to lose.
    pub(crate) lacks: Vec<EntryId>,
    /// Where a bit was flipped: the segments.
    pub rot: Vec<u64>,
    /// All that was ever written, for a driver that cuts what decayed.
    pub shadow: Vec<(Sequence, Update)>,
    /// A power cut has left a write torn (used by a planted bug).
    pub torn: bool,
    /// A process of its has found out that the disk lost what it had promised, and given it up.
    pub gave_up: bool,
    /// The process that runs, or ran last.
    pub newest: Stamp,
    /// What its disk held some time ago.
    pub(crate) image: Option<Box<Image>>,
    /// The disk that it had before this one.
    pub(crate) estate: Option<Box<Estate>>,
}

impl Server {
    /// A seat without a server, and its empty disk.
    pub fn new(id: NodeId, disk_id: DiskId, layout: Layout, clock: Clock) -> Server {
        Server {
            id,
            disk: Disk::new(layout),
            snapshots: Snapshots::default(),
            space: Space::default(),
            disk_id,
            seated: false,
            original: false,
            joins: false,
            fresh: false,
            recorded: false,
            founded: false,
            life: 0,
            process: None,
            clock,
            stalled_until: 0,
            lost: false,
            stopped_until: 0,
            stood: Vec::new(),
            spoilt: false,
            refused: false,
            elder: false,
            decays: false,
            needs: BTreeSet::new(),
            lacks: Vec::new(),
            rot: Vec::new(),
            shadow: Vec::new(),
            torn: false,
            gave_up: false,
            newest: Stamp::default(),
            image: None,
            estate: None,
        }
    }

    /// Once it has got back what its disk had lost, and has it on stable storage, it is as good as any.
    pub(crate) fn is_repaired(&mut self) -> bool {
        let whole =
            |it: &Process| !it.halted && it.durable == it.handed && it.node.log().decayed().is_empty();
        let repaired = self.decays && self.process.as_ref().is_some_and(whole);
        if repaired {
            (self.lost, self.decays) = (self.lost && self.spoilt, false);
            self.needs.clear();
            self.lacks.clear();
        }
        repaired
    }

    /// Whether its process runs and takes inputs.
    pub fn runs(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.halted)
    }
}
