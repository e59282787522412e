//! One run from its choices to its verdict.

use crate::case::Fork;
use crate::choices::{Random, Source};
use crate::coverage::{Coverage, Mark};
use crate::facts::{Time, Violation};
use crate::network;
use crate::tape::Tape;
use crate::trace::Reader;
use crate::world::{Counts, Setup, World};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// Where this thread panicked last: told by the hook, which alone knows the place.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Why a run failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// An invariant fell.
    Violation(Violation),
    /// Something panicked: what it said, and where.
    Panic(String),
}

impl Failure {
    /// The invariant's name.
    pub fn invariant(&self) -> &'static str {
        match self {
            Failure::Violation(violation) => violation.invariant,
            Failure::Panic(_) => "no panic",
        }
    }

    /// The exit code of a command that ends with it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Violation(violation) => violation.class.exit_code(),
            Failure::Panic(_) => 16,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Violation(violation) => violation.fmt(f),
            Failure::Panic(said) => write!(f, "panic: {said}"),
        }
    }
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How it ended.
    pub failure: Option<Failure>,
    /// The hash over its whole trace.
    pub hash: u64,
    /// How often what happened.
    pub counts: Counts,
    /// How often what happened to messages.
    pub network: network::Counts,
    /// The rare states that were reached.
    pub coverage: Coverage,
    /// How much simulated time passed.
    pub simulated: Time,
    /// The configuration, in words.
    pub options: String,
    /// The last steps, in words, if a report was asked for.
    pub last: Vec<String>,
    /// The tape, if one was recorded.
    pub tape: Option<Tape>,
}

/// Panics are findings: they are caught and reported, each with its place, instead of being printed.
pub fn catch_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let said = panic.payload_as_str().unwrap_or("no words");
        PANIC.with_borrow_mut(|last| *last = Some(format!("{said} ({place})")));
    }));
}

/// Does some work; if it panics, what was said, and where.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let said = |_| PANIC.with_borrow_mut(Option::take).unwrap_or_else(|| "see above".into());
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(said)
}

/// Runs a seed; a reader's run is recorded on a tape.
pub fn run_seed(seed: u64, setup: Setup) -> Ran {
    run(Source::Random(Random::new(seed, setup.reader != Reader::Nobody)), setup)
}

/// Runs what these choices draw.
pub fn run(choices: Source, setup: Setup) -> Ran {
    Play::new(World::new(choices, setup), &[]).run(setup.reader)
}

/// How a run, or a part of it, ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// It is over, and nothing fell.
    Clean,
    /// Something fell.
    Failed(Failure),
    /// It was given up after as many steps as it may take.
    GivenUp,
}

/// A run under way, and where it is to be forked.
#[derive(Clone, Debug)]
pub struct Play {
    /// The world.
    pub world: World,
    forks: VecDeque<Fork>,
}

impl Play {
    /// A run that goes on from here.
    pub fn new(world: World, forks: &[Fork]) -> Play {
        Play { world, forks: forks.iter().copied().collect() }
    }

    /// To the end, or until it has taken so many steps in all. `watch` is shown the world after each. Panics are caught.
    pub fn drive(&mut self, most: u64, mut watch: impl FnMut(&mut World)) -> Ended {
        let verdict = caught(|| {
            while self.world.steps() < most {
                while let Some(fork) = self.forks.pop_front_if(|fork| fork.step <= self.world.steps()) {
                    self.world.fork(fork.stream);
                }
                let goes_on = self.world.advance()?;
                watch(&mut self.world);
                if !goes_on {
                    return Ok(Ended::Clean);
                }
            }
            Ok(Ended::GivenUp)
        });
        match verdict {
            Ok(Ok(ended)) => ended,
            Ok(Err(violation)) => Ended::Failed(Failure::Violation(violation)),
            Err(said) => Ended::Failed(Failure::Panic(said)),
        }
    }

    /// To the end, for a reader.
    pub fn run(&mut self, reader: Reader) -> Ran {
        let failure = match self.drive(u64::MAX, |_| {}) {
            Ended::Failed(failure) => Some(failure),
            Ended::Clean | Ended::GivenUp => None,
        };
        Ran::of(&self.world, failure, reader)
    }
}

impl Ran {
    /// What became of this world. What only a reader wants is left out if there is none.
    pub fn of(world: &World, failure: Option<Failure>, reader: Reader) -> Ran {
        let read = reader != Reader::Nobody;
        Ran {
            failure,
            hash: world.trace().hash(),
            counts: world.counts(),
            network: world.network_counts(),
            coverage: world.coverage().clone(),
            simulated: world.now(),
            options: if read { world.options().to_string() } else { String::new() },
            last: world.trace().last().map(Into::into).collect(),
            tape: world.choices().tape().filter(|_| read).cloned(),
        }
    }
}

/// What many runs did in all.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Runs.
    pub runs: u64,
    /// .. in which a leader came later after the healing than 10 election timeouts.
    pub late: u64,
    /// Simulated time.
    pub simulated: Time,
    counts: Counts,
    network: network::Counts,
    /// The rare states.
    pub coverage: Coverage,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, ran: &Ran) {
        self.runs += 1;
        self.late += u64::from(ran.coverage.count(Mark::LateLeader) > 0);
        self.simulated += ran.simulated;
        self.counts.add(&ran.counts);
        self.network.add(&ran.network);
        self.coverage.merge(&ran.coverage);
    }

    /// Inputs to nodes.
    pub fn inputs(&self) -> u64 {
        self.counts.inputs
    }

    /// What a stormy swarm has of everything. A zero here is a hole in the generator.
    pub fn lines(&self) -> Vec<(&'static str, u64)> {
        [self.storm(), self.comings(), self.decay(), self.reads()].concat()
    }

    fn storm(&self) -> Vec<(&'static str, u64)> {
        let (counts, network) = (&self.counts, &self.network);
        vec![
            ("inputs to nodes", counts.inputs),
            ("clients' operations", counts.operations),
            ("elections", self.coverage.count(Mark::Elections)),
            ("commits", self.coverage.count(Mark::Commits)),
            ("truncations", self.coverage.count(Mark::Truncations)),
            ("crashes", counts.crashes),
            ("crashes that lost a write", self.coverage.count(Mark::CrashLostWrite)),
            ("torn writes", counts.torn),
            ("lost writes", counts.lost),
            ("power cuts of all", counts.power_cuts),
            ("failed syncs", counts.failed_syncs),
            ("failed writes", counts.failed_writes),
            ("stalled disks", counts.stalls),
            ("pauses", counts.pauses),
            ("cut links", network.cuts),
            ("lost messages", network.lost),
            ("repeated messages", network.duplicated),
            ("damaged frames", network.damaged),
            ("replayed messages", network.replayed),
            ("requests sent again", counts.repeats),
            ("requests sent again much later", counts.late_repeats),
            ("settings of kept keys", counts.retentions),
            ("keys that left by age", self.coverage.count(Mark::KeysLeftByAge)),
            ("keys that left for others", self.coverage.count(Mark::KeysLeftForOthers)),
            ("expired keys", self.coverage.count(Mark::KeysExpired)),
            ("repeated commands applied anew", self.coverage.count(Mark::KeysAppliedAnew)),
            ("full tables of keys", self.coverage.count(Mark::KeyTablesFull)),
            ("keys of another command", self.coverage.count(Mark::KeysMismatched)),
            ("transfers asked for", counts.transfers),
            ("changes asked for", counts.changes),
            ("changes made", counts.changed),
            ("changes spared", counts.spared),
            ("fresh seats", counts.seats),
            ("captures", counts.captures),
            ("failed captures", counts.failed_captures),
            ("chunks read", counts.chunks),
            ("missing snapshots", counts.missing),
            ("damaged snapshots", counts.damaged_snapshots),
            ("installed snapshots", counts.installs),
            ("rotten snapshots", counts.spoilt),
            ("starts from an older snapshot", counts.older_starts),
            ("deleted segments", counts.released),
            ("clock jumps", counts.leaps),
            ("stopped clocks", counts.standstills),
            ("reports of absence", counts.reports),
            ("exiled leaders", counts.exiles),
            ("power cuts with a snapshot ahead of the log", counts.outruns),
            ("followers restarted at the end", counts.echoes),
            ("full disks", counts.fills),
            ("writes refused since room is short", counts.refused_writes),
            ("writes without room", counts.out_of_room),
            ("snapshots without room", counts.roomless_snapshots),
            ("starts on a full disk", counts.full_starts),
            ("wiped disks", counts.wipes),
            ("halts", counts.halts),
            ("upgraded programs", counts.upgrades),
            ("messages that an older program can't read", counts.unread),
        ]
    }

    /// The same of who goes away and comes back.
    fn comings(&self) -> Vec<(&'static str, u64)> {
        let counts = &self.counts;
        vec![
            ("members away during changes", counts.absences),
            ("members back when all they knew had left", counts.exoduses),
            ("founders away from the founding on", counts.latecomers),
            ("rolled back disks", counts.rollbacks),
            ("servers back on a disk that was given up", counts.revenants),
            ("leaders with an heir", counts.bequests),
        ]
    }

    /// The same of disks that decay.
    fn decay(&self) -> Vec<(&'static str, u64)> {
        let counts = &self.counts;
        vec![
            ("decayed places", counts.rots),
            ("decayed commands", counts.moths),
            ("newcomers that lost commands before any configuration", counts.newcomers),
            ("disks that lost what others kept and kept what others lost", counts.crossed),
            ("times without a whole log", counts.none_whole),
            ("uncommitted commands lost with every copy", counts.forlorn),
            ("committed commands without a copy", counts.ruins),
            ("quorums of disks that had lied about syncs", counts.perjuries),
            ("lost commands", counts.decayed),
            ("repaired logs", counts.repaired),
            ("refused starts", counts.refusals),
        ]
    }

    fn reads(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("lease reads", self.counts.lease_reads),
            ("reads of followers", self.counts.follower_reads),
            ("stale reads", self.counts.stale_reads),
        ]
    }
}
