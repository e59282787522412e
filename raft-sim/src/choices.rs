//! Every random decision of a run is a choice: one number below `n`, made at a site. 0 is always the benign one, so
//! that a tape that ends early, or a fuzzer's input, leads into calm weather. Integers only.

use crate::tape::Tape;
use raft_core::hash::chain;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a choice is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Purpose {
            $($(#[$doc])* $name,)*
        }

        impl Purpose {
            /// Every purpose, in order.
            pub const ALL: &[Purpose] = &[$(Purpose::$name,)*];

            /// Its name, as tapes spell it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Purpose::$name => stringify!($name),)*
                }
            }
        }
    };
}

purposes! {
    /// The run's options.
    Options,
    /// The seed of a node's own generator, and the ids of disks.
    Seed,
    /// What the network does to a message.
    Fate,
    /// How long a message takes.
    Delay,
    /// Where a frame is damaged.
    Damage,
    /// Which messages are kept, and which are sent again.
    Archive,
    /// How long a sync takes, and whether it fails.
    Sync,
    /// When and in which order receipts are handed in.
    Receipt,
    /// The order in which outputs of different kinds are carried out.
    Order,
    /// How long a process waits for more inputs before its next turn.
    Batch,
    /// Whether a process dies within a turn.
    Turn,
    /// What a crash leaves of what was not synced.
    Crash,
    /// When a process comes back.
    Restart,
    /// How fast a clock runs, and what a pause does to it.
    Clock,
    /// When and where crashes happen.
    Crashes,
    /// When the power of all nodes is cut.
    PowerCuts,
    /// Partitions of the network.
    Partitions,
    /// Pauses of processes.
    Pauses,
    /// Stalls of disks.
    Stalls,
    /// Stale messages that arrive again.
    Replays,
    /// Transfers of leadership.
    Transfers,
    /// Campaigns and heartbeats out of turn.
    Nudges,
    /// Wiped disks.
    Wipes,
    /// Bit rot.
    Rots,
    /// Changes of clock rates.
    Drifts,
    /// Clocks that jump.
    Leaps,
    /// Clocks that stop.
    Standstills,
    /// Changes of the configuration.
    Changes,
    /// The replacement of members, one after another.
    Renewals,
    /// Captures out of turn.
    Captures,
    /// Reports that a member can't be reached.
    Reports,
    /// Bit rot in snapshots.
    Spoils,
    /// How long work on snapshot files takes, and what a crash leaves of it.
    Files,
    /// What clients ask for.
    Client,
    /// The way between clients and nodes.
    Wire,
    /// Leaders that are cut off for long.
    Exiles,
    /// Which puts have an idempotency key, so that they are repeated until something is known of them.
    Repeats,
    /// Members that are away while others come and go.
    Absences,
    /// Disks that are put back to an earlier state.
    Rollbacks,
    /// Leaders that are lost when only a server without a vote has their entries.
    Bequests,
    /// A follower that restarts when all is over, and hears what was meant for its last boot.
    Echoes,
    /// How a disk decays.
    Decays,
    /// Full disks, and what a write that finds no room has done.
    Fills,
    /// How hard clients are on the table of idempotency keys, and what the clocks say that ages are told by.
    Keys,
    /// Commands that decay on many disks at once.
    Moths,
    /// Which version of the program servers run.
    Versions,
    /// Who keeps which of the commands that decay elsewhere.
    Keepers,
    /// Commands of which every copy decays.
    Ruins,
    /// Writes that fail.
    Writes,
    /// Removed servers that go on when all is over, and were never told.
    Strangers,
    /// Whether a cluster that has settled is watched for longer, and clients go on meanwhile.
    Watches,
    /// Which reads are content with what one server has, and which server that is.
    Stales,
    /// Uncommitted commands that decay with every copy.
    Forlorn,
    /// Members that are away until all that they know are gone.
    Exoduses,
    /// New members that lose commands before they have caught up.
    Newcomers,
    /// Power cuts when a snapshot is on the disk before the log.
    Outruns,
    /// Servers that come back on a disk that was given up.
    Revenants,
    /// Founders that are away from the founding on until all others have left.
    Latecomers,
    /// Disks of a quorum that lose what they have said they had synced.
    Perjuries,
}

/// Where a choice is made: its purpose and the node (or client) it concerns. Each site draws from a stream of its own,
/// so that a new draw in one place shifts no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// What about.
    pub purpose: Purpose,
    /// Whom it concerns; 0 for all.
    pub node: u8,
}

impl Site {
    /// How many nodes a site can tell apart.
    pub const NODES: usize = 10;
    /// How many sites there are.
    pub const COUNT: usize = Purpose::ALL.len() * Site::NODES;

    /// The site of a purpose at a node.
    pub fn new(purpose: Purpose, node: usize) -> Site {
        Site { purpose, node: (node % Site::NODES) as u8 }
    }

    /// The site's number.
    pub fn number(self) -> usize {
        self.purpose as usize * Site::NODES + usize::from(self.node)
    }
}

impl From<Purpose> for Site {
    fn from(purpose: Purpose) -> Site {
        Site::new(purpose, 0)
    }
}

/// One in a million, the unit of every probability.
pub const MILLION: u64 = 1_000_000;

/// Where choices come from.
pub trait Choices {
    /// A number below `n`; 0 if `n` is 0 or 1, and 0 is the benign choice.
    fn pick(&mut self, site: Site, n: u64) -> u64;

    /// Whether something unpleasant happens, with a probability in millionths.
    fn chance(&mut self, site: Site, millionths: u64) -> bool {
        millionths > 0 && self.pick(site, MILLION) >= MILLION.saturating_sub(millionths)
    }

    /// A number from `least` to `most`, both included; `least` is the benign one.
    fn range(&mut self, site: Site, least: u64, most: u64) -> u64 {
        least + self.pick(site, (most - least).saturating_add(1))
    }

    /// One of these; the first is the benign one.
    fn one_of<T: Copy>(&mut self, site: Site, all: &[T]) -> T {
        all[self.pick(site, all.len() as u64) as usize]
    }
}

/// Choices by a seed, one ChaCha stream a site, recorded if somebody wants the tape.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    streams: Vec<Option<ChaCha8Rng>>,
    tape: Option<Tape>,
}

impl Random {
    /// The choices of a seed.
    pub fn new(seed: u64, record: bool) -> Random {
        Random { seed, streams: vec![None; Site::COUNT], tape: record.then(Tape::default) }
    }

    /// From here on the choices of another stream. What is recorded goes on.
    pub fn fork(&mut self, stream: u64) {
        self.seed = chain(self.seed, &[stream]);
        self.streams.fill(None);
    }
}

impl Choices for Random {
    fn pick(&mut self, site: Site, n: u64) -> u64 {
        if n <= 1 {
            return 0;
        }
        let stream = self.streams[site.number()].get_or_insert_with(|| {
            let mut stream = ChaCha8Rng::seed_from_u64(self.seed);
            stream.set_stream(site.number() as u64);
            stream
        });
        let value = if n <= u64::from(u32::MAX) {
            (u64::from(stream.next_u32()) * n) >> 32
        } else {
            stream.next_u64() % n
        };
        if let Some(tape) = &mut self.tape {
            tape.record(site, value);
        }
        value
    }
}

/// Choices from a fuzzer's input: as few bytes a choice as its range needs; all benign once they are used up.
#[derive(Clone, Debug)]
pub struct Bytes {
    input: bytes::Bytes,
    at: usize,
}

impl Bytes {
    /// The choices that these bytes stand for.
    pub fn new(input: bytes::Bytes) -> Bytes {
        Bytes { input, at: 0 }
    }
}

impl Choices for Bytes {
    fn pick(&mut self, _: Site, n: u64) -> u64 {
        if n <= 1 {
            return 0;
        }
        let width = (71 - (n - 1).leading_zeros() as usize) / 8;
        let Some(bytes) = self.input.get(self.at..self.at + width) else { return 0 };
        self.at += width;
        bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) % n
    }
}

/// One of the places that choices come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A seed.
    Random(Random),
    /// A recorded tape.
    Tape(crate::tape::Player),
    /// A fuzzer's input.
    Bytes(Bytes),
}

impl Source {
    /// From here on the choices of another stream, if there are any others.
    pub(crate) fn fork(&mut self, stream: u64) {
        if let Source::Random(random) = self {
            random.fork(stream);
        }
    }

    /// What was chosen so far, if that is recorded.
    pub fn tape(&self) -> Option<&Tape> {
        match self {
            Source::Random(random) => random.tape.as_ref(),
            Source::Tape(player) => Some(player.heard()),
            Source::Bytes(_) => None,
        }
    }
}

impl Choices for Source {
    fn pick(&mut self, site: Site, n: u64) -> u64 {
        match self {
            Source::Random(random) => random.pick(site, n),
            Source::Tape(player) => player.pick(site, n),
            Source::Bytes(bytes) => bytes.pick(site, n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_draws_alike_whatever_others_draw() {
        let (mut alone, mut among) = (Random::new(7, false), Random::new(7, false));
        let (site, other) = (Site::new(Purpose::Delay, 2), Site::new(Purpose::Fate, 2));
        for _ in 0..100 {
            among.pick(other, 10);
            assert_eq!(alone.pick(site, 1000), among.pick(site, 1000));
        }
    }

    #[test]
    fn what_a_short_input_doesnt_say_is_benign() {
        let mut bytes = Bytes::new(bytes::Bytes::from_static(&[3, 1, 0]));
        let site = Site::from(Purpose::Fate);
        assert_eq!(bytes.pick(site, 256), 3);
        assert_eq!(bytes.pick(site, 257), 256);
        assert_eq!(bytes.pick(site, 2), 0);
        assert!(!bytes.chance(site, MILLION - 1));
    }
}
