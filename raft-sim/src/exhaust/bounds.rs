//! How far a search goes: who takes part, and how often what may happen.

use bytes::Bytes;
use raft_core::planted::Bug;
use raft_core::{Change, Config, DiskId, Membership, NodeId};

/// What may happen only so often. All else follows from it, and goes on for as long as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An election timer fires.
    Campaign,
    /// A leader's heartbeat timer fires, and what it takes for lost is sent again.
    Heartbeat,
    /// A client's command for a leader.
    Propose,
    /// A server crashes and starts again, on as many of its writes as the disk kept.
    Crash,
    /// A message arrives and will arrive once more.
    Repeat,
    /// The change of the members, asked of a leader.
    Change,
    /// A leader is asked to hand over.
    Transfer,
    /// An election timeout passes without a word of the leader, and no timer fires yet.
    Patience,
}

/// Each kind, in the order in which they are counted.
pub const KINDS: [Kind; 8] = [
    Kind::Campaign,
    Kind::Heartbeat,
    Kind::Propose,
    Kind::Crash,
    Kind::Repeat,
    Kind::Change,
    Kind::Transfer,
    Kind::Patience,
];

/// How often each kind happens.
pub type Counts = [u8; KINDS.len()];

/// How far a search goes.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The name by which the command knows it.
    pub name: &'static str,
    /// It takes more than a few seconds: up to minutes, and half a gigabyte.
    pub long: bool,
    /// Servers that the cluster was founded with, from 1 on.
    pub voters: u64,
    /// Servers after these that are no members yet.
    pub joining: u64,
    /// Begins with server 1 leading, its first entry committed, and nothing on its way; else with the founding just over.
    pub settled: bool,
    /// See [`Config::pre_vote`].
    pub pre_vote: bool,
    /// See [`Config::check_quorum`].
    pub check_quorum: bool,
    /// How often what may happen.
    pub most: Counts,
    /// What a [`Kind::Change`] asks for.
    pub changes: Vec<Change>,
    /// Messages that the receiver calls inert are delivered, too.
    pub inert: bool,
    /// Messages are lost, too: else a lost one is one that is never delivered.
    pub losses: bool,
    /// Any server may campaign first: else it is server 1, since at the beginning all are alike.
    pub any_first: bool,
    /// The bug to behave as if written with.
    pub bug: Option<Bug>,
}

impl Bounds {
    /// So many founders, and nothing ever happens.
    pub fn of(name: &'static str, voters: u64) -> Bounds {
        Bounds {
            name,
            long: false,
            voters,
            joining: 0,
            settled: false,
            pre_vote: false,
            check_quorum: false,
            most: [0; KINDS.len()],
            changes: Vec::new(),
            inert: false,
            losses: false,
            any_first: false,
            bug: None,
        }
    }

    /// The same, and this may happen so often.
    pub fn with(mut self, kind: Kind, most: u8) -> Bounds {
        self.most[kind as usize] = most;
        self
    }

    /// The same with a planted bug.
    ///
    /// # Errors
    /// If this build has none.
    pub fn planted(self, bug: Bug) -> Result<Bounds, String> {
        if raft_core::planted::COMPILED_IN {
            Ok(Bounds { bug: Some(bug), ..self })
        } else {
            Err(format!("{bug:?} is planted: build with `--features planted --target-dir target/planted`"))
        }
    }

    /// The same, with server 1 leading from the beginning.
    fn settled(self) -> Bounds {
        Bounds { settled: true, ..self }
    }

    /// The same, asked for this change once.
    fn changing(self, change: Change) -> Bounds {
        Bounds { changes: vec![change], ..self.settled() }.with(Kind::Change, 1)
    }

    /// Whether this server is like all others at the beginning, so that it need not be the first to campaign.
    pub(super) fn is_like_the_first(&self, server: usize) -> bool {
        server > 0 && !self.any_first && !self.settled && self.joining == 0 && self.changes.is_empty()
    }

    pub(super) fn servers(&self) -> usize {
        (self.voters + self.joining) as usize
    }

    /// What the cluster was founded with.
    pub(super) fn founders(&self) -> Membership {
        let founders = Membership::founders((1..=self.voters).map(NodeId)).expect("there are voters");
        founders.with_disks(|id| Some(disk(id)))
    }

    /// The settings of a server. An election timeout is so long that a [`Kind::Patience`] fires no timer.
    pub(super) fn config(&self, server: usize) -> Config {
        let id = NodeId(server as u64 + 1);
        let founders = (id.0 <= self.voters).then(|| self.founders());
        Config {
            election_ticks: 1 << 20,
            pre_vote: self.pre_vote,
            check_quorum: self.check_quorum,
            #[cfg(feature = "planted")]
            bug: self.bug,
            ..Config::new(id, disk(id), founders, id.0)
        }
    }
}

fn disk(id: NodeId) -> DiskId {
    DiskId(0x100 + id.0)
}

impl std::fmt::Display for Bounds {
    /// As the golden scenarios found a cluster, and then what may happen.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let on = |on: bool| if on { "on" } else { "off" };
        let (pre_vote, check_quorum) = (on(self.pre_vote), on(self.check_quorum));
        write!(f, "cluster {} pre-vote={pre_vote} check-quorum={check_quorum}", self.voters)?;
        if self.settled {
            write!(f, ", 1 leads")?;
        }
        let kinds = KINDS.iter().zip(self.most).filter(|(_, most)| *most > 0);
        for (kind, most) in kinds {
            let kind = format!("{kind:?}").to_lowercase();
            write!(f, ", {kind} {most}")?;
        }
        self.changes.iter().try_for_each(|change| write!(f, ", {}", crate::notation::Text(change)))
    }
}

/// The bounds that have a name. The long ones come last.
pub fn named() -> Vec<Bounds> {
    use Kind::{Campaign, Crash, Heartbeat, Patience, Propose, Repeat, Transfer};
    let of = Bounds::of;
    let remove = |id| Change::Remove { id: NodeId(id) };
    let add = || Change::Add { id: NodeId(3), context: Bytes::new(), votes: true };
    let grow = |name| Bounds { joining: 1, ..of(name, 2) }.changing(add()).with(Campaign, 1);
    let long = |bounds| Bounds { long: true, ..bounds };
    vec![
        of("pair", 2).with(Campaign, 2).with(Propose, 1).with(Crash, 1),
        of("votes", 3).with(Campaign, 2),
        of("writes", 3).settled().with(Campaign, 2).with(Propose, 1),
        of("handover", 3).settled().with(Campaign, 1).with(Transfer, 1),
        grow("grow"),
        of("shrink", 3).changing(remove(3)).with(Campaign, 1).with(Crash, 1),
        of("leave", 3).changing(remove(1)).with(Campaign, 1).with(Crash, 1),
        long(of("repeats", 3).with(Campaign, 2).with(Repeat, 1)),
        long(of("crashes", 3).with(Campaign, 2).with(Crash, 1)),
        long(of("heartbeats", 3).with(Campaign, 2).with(Heartbeat, 1)),
        long(Bounds { pre_vote: true, ..of("pre-votes", 3).with(Campaign, 2) }),
        long(Bounds { check_quorum: true, ..of("patience", 3).with(Campaign, 2).with(Patience, 2) }),
        long(of("pair-crashes", 2).with(Campaign, 3).with(Propose, 1).with(Crash, 2)),
        long(
            of("pair-repeats", 2)
                .with(Campaign, 2)
                .with(Heartbeat, 1)
                .with(Propose, 1)
                .with(Crash, 1)
                .with(Repeat, 1),
        ),
        long(of("handover-crashes", 3).settled().with(Campaign, 1).with(Transfer, 1).with(Crash, 1)),
        long(grow("grow-crashes").with(Crash, 1)),
        long(of("shrink-votes", 3).changing(remove(3)).with(Campaign, 2)),
    ]
}
