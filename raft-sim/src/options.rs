//! What a run is like. Every seed draws each dimension anew (swarm testing): off, low or high, and tiny limits, since
//! many short varied runs find what one fixed configuration never does.

mod family;
mod naming;

pub use family::Family;
pub use naming::Naming;

use crate::choices::{Choices, MILLION, Purpose, Site};
use crate::facts::Time;
use raft_core::Limits;
use raft_core::wal::Layout;
use std::fmt;

/// What happens to messages.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// The least delay.
    pub delay: Time,
    /// How much longer a message may take.
    pub jitter: Time,
    /// How many of a million messages are lost.
    pub loss: u64,
    /// .. arrive twice.
    pub duplicate: u64,
    /// .. are damaged on their way.
    pub corrupt: u64,
    /// .. take much longer.
    pub slow: u64,
    /// .. and how much longer.
    pub tail: Time,
    /// .. are kept, to arrive again much later.
    pub archive: u64,
    /// .. go through the codec.
    pub codec: u64,
    /// A link keeps its messages in order, as a stream does.
    pub ordered: bool,
    /// Messages under way on one link; more are dropped.
    pub queue: u32,
}

/// What happens to writes.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// The size of segment files.
    pub layout: Layout,
    /// The least time of a sync.
    pub sync: Time,
    /// How much longer it may take.
    pub jitter: Time,
    /// How many of a million syncs take much longer.
    pub slow: u64,
    /// How much longer.
    pub tail: Time,
    /// How many of a million syncs fail.
    pub fail: u64,
    /// How many syncs may be under way at once.
    pub at_once: usize,
    /// How long a receipt may be under way from the disk to the node.
    pub receipt: Time,
    /// An idle node appends a mark.
    pub marks: bool,
}

/// What happens to snapshots.
#[derive(Clone, Copy, Debug)]
pub struct Snapshots {
    /// The longest time of one step of a capture.
    pub capture: Time,
    /// The longest time until a chunk is stored.
    pub store: Time,
    /// The longest time until a chunk is read.
    pub fetch: Time,
    /// How many of a million captures and stores fail.
    pub fail: u64,
    /// How many of a million chunks are never read.
    pub lost: u64,
    /// .. are read with an error.
    pub damaged: u64,
}

/// Whether clients ask for reads under a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leases {
    /// They don't.
    Unused,
    /// They do, and the clocks are as good as leases need them.
    Safe,
    /// They do, but the clocks are worse than that: nobody relies on what they are told.
    Unsafe,
}

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Clients that wait for each answer.
    pub closed: usize,
    /// .. and how many of them only read: a leader that is cut off answers them, if it answers anybody.
    pub readers: usize,
    /// Clients that don't.
    pub open: usize,
    /// How many of a million operations are reads.
    pub reads: u64,
    /// How many of a million reads are asked of any node, whether it leads or not.
    pub anywhere: u64,
    /// How many of a million reads are content with a lease.
    pub leased: u64,
    /// How many keys.
    pub keys: u64,
    /// How many of a million operations go to the first key.
    pub hot: u64,
    /// The most bytes behind a command.
    pub padding: u64,
    /// The longest time between two operations of one client.
    pub think: Time,
    /// .. and of one that only reads.
    pub glance: Time,
    /// How long a client waits for an answer.
    pub patience: Time,
    /// How many of a million requests and answers are lost between client and node.
    pub loss: u64,
}

/// Everything that a run's seed decides before it begins.
#[derive(Clone, Debug)]
pub struct Options {
    /// The founders' ids are 1 to this.
    pub nodes: usize,
    /// Ids are 1 to this; who is no founder may be added some time.
    pub seats: usize,
    /// Inputs to nodes before the faults end.
    pub inputs: u64,
    /// The length of a tick on a clock that is right.
    pub tick: Time,
    /// The minimal election timeout in ticks.
    pub election_ticks: u32,
    /// The heartbeat interval in ticks.
    pub heartbeat_ticks: u32,
    /// See [`raft_core::Config::drift_ticks`].
    pub drift_ticks: u32,
    /// See [`raft_core::Config::pre_vote`].
    pub pre_vote: bool,
    /// See [`raft_core::Config::check_quorum`].
    pub check_quorum: bool,
    /// See [`Limits`].
    pub limits: Limits,
    /// Whether reads are asked for under a lease.
    pub leases: Leases,
    /// How many percent a clock may be off.
    pub drift: u64,
    /// How long a process may collect inputs for one turn.
    pub batch: Time,
    /// How many of a million turns a process doesn't survive.
    pub dies: u64,
    /// The kinds of outputs are carried out in any order.
    pub shuffled: bool,
    /// The cluster is not healed as a whole: a minority stays down.
    pub minority_down: bool,
    /// What happens to messages.
    pub network: Network,
    /// What happens to writes.
    pub disk: Disk,
    /// What happens to snapshots.
    pub snapshots: Snapshots,
    /// What clients do.
    pub workload: Workload,
    /// What they do with idempotency keys beyond that, if they do.
    pub naming: Option<Naming>,
    /// How many of a million servers begin with an older program.
    pub elders: u64,
    /// The mean time between the faults of each family that takes part.
    pub faults: [Option<Time>; Family::ALL.len()],
}

struct Draw<'a, C: Choices>(&'a mut C);

impl<C: Choices> Draw<'_, C> {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        self.0.one_of(Purpose::Options.into(), all)
    }

    /// Off, low or high, each in a third of the runs.
    fn level(&mut self, low: u64, high: u64) -> u64 {
        self.one_of(&[0, low, high])
    }

    fn range(&mut self, least: u64, most: u64) -> u64 {
        self.0.range(Site::from(Purpose::Options), least, most)
    }

    fn flag(&mut self) -> bool {
        self.one_of(&[false, true])
    }
}

impl Options {
    /// The options of a run.
    pub fn draw(choices: &mut impl Choices) -> Options {
        let mut draw = Draw(choices);
        let nodes = draw.one_of(&[3, 3, 3, 3, 5, 5, 5, 1, 2, 4, 4, 6, 7]);
        let long = draw.one_of(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 4]);
        let inputs = long * draw.range(12_000, 24_000);
        let tick = draw.one_of(&[1_000, 2_000, 10_000]);
        let heartbeat_ticks = draw.one_of(&[2, 1, 3]);
        let election_ticks = heartbeat_ticks * draw.one_of(&[5, 3, 8]) + draw.one_of(&[0, 1]);
        let timeout = tick * u64::from(election_ticks);
        let drift = draw.one_of(&[0, 5, 30, 200]);
        let mut faults = [None; Family::ALL.len()];
        for family in Family::ALL {
            faults[family as usize] = family.draw(&mut draw, timeout);
        }
        let mut options = Options {
            nodes,
            seats: (nodes + draw.one_of(&[0, 1, 2, 3, 3])).min(9),
            inputs,
            tick,
            election_ticks,
            heartbeat_ticks,
            drift_ticks: draw.one_of(&[1, 0, 4]),
            pre_vote: !draw.flag(),
            check_quorum: !draw.flag(),
            limits: limits(&mut draw),
            leases: draw.one_of(&[Leases::Unused, Leases::Safe, Leases::Safe, Leases::Unsafe]),
            drift,
            batch: draw.one_of(&[0, 0, tick / 5, tick]),
            dies: draw.one_of(&[0, 0, 100, 1_000]),
            shuffled: draw.flag(),
            minority_down: draw.flag(),
            network: network(&mut draw, tick, timeout),
            disk: disk(&mut draw, tick, timeout),
            snapshots: snapshots(&mut draw, tick, timeout),
            workload: workload(&mut draw, tick, timeout),
            naming: Naming::draw(draw.0, timeout),
            elders: draw.0.one_of(Purpose::Versions.into(), &[0, 0, MILLION / 3, MILLION]),
            faults,
        };
        options.reconcile();
        options
    }

    /// What one option asks of another.
    fn reconcile(&mut self) {
        if self.leases == Leases::Unused {
            self.workload.leased = 0;
        }
        if self.leases == Leases::Safe {
            self.check_quorum = true;
            self.drift_ticks = self.drift_ticks.min(self.election_ticks / 4);
            self.drift = self.drift.min(self.safe_drift());
            for family in Family::ALL.into_iter().filter(|family| family.breaks_clocks()) {
                self.faults[family as usize] = None;
            }
        }
        // A byte a message would take longer than all the rest of a run.
        if self.workload.keys > 4 {
            self.limits.chunk_bytes = self.limits.chunk_bytes.max(16);
        }
    }

    /// How many percent each clock may be off without harm to a lease. It ends so many ticks of a slow clock after its
    /// round was sent, and a voter keeps quiet for almost an election timeout of a fast one (rule 14).
    pub fn safe_drift(&self) -> u64 {
        let quiet = u64::from(self.election_ticks) - 1;
        let lease = quiet.saturating_sub(u64::from(self.drift_ticks));
        let (slow, fast) = (|off| self.tick * (100 + off) / 100, |off| self.tick * 100 / (100 + off));
        (0..=200).take_while(|off| slow(*off) * lease <= fast(*off) * quiet).last().unwrap_or(0)
    }

    /// The minimal election timeout on a clock that is right.
    pub fn election_timeout(&self) -> Time {
        self.tick * u64::from(self.election_ticks)
    }
}

fn limits(draw: &mut Draw<'_, impl Choices>) -> Limits {
    let roomy = Limits::default();
    Limits {
        batch_entries: draw.one_of(&[roomy.batch_entries, roomy.batch_entries, 1, 3]),
        batch_bytes: draw.one_of(&[roomy.batch_bytes, roomy.batch_bytes, 1, 100]),
        inflight_appends: draw.one_of(&[roomy.inflight_appends, roomy.inflight_appends, 1, 3]),
        inflight_bytes: draw.one_of(&[roomy.inflight_bytes, roomy.inflight_bytes, 1, 200]),
        uncommitted_bytes: draw.one_of(&[roomy.uncommitted_bytes, roomy.uncommitted_bytes, 1, 200]),
        // A put with a key fits, but not with much behind it.
        command_bytes: draw.one_of(&[roomy.command_bytes, roomy.command_bytes, 96]),
        tickets: draw.one_of(&[roomy.tickets, roomy.tickets, roomy.tickets, 1, 3]),
        held: draw.one_of(&[roomy.held, roomy.held, 4, 1]),
        snapshot_entries: draw.one_of(&[roomy.snapshot_entries, 1, 8, 30, 30, 100, 100, 300]),
        snapshot_bytes: draw.one_of(&[roomy.snapshot_bytes, roomy.snapshot_bytes, 10_000, 1_000]),
        retain_entries: draw.one_of(&[roomy.retain_entries, 0, 0, 3, 20]),
        retain_bytes: draw.one_of(&[roomy.retain_bytes, roomy.retain_bytes, 0, 500]),
        chunk_bytes: draw.one_of(&[roomy.chunk_bytes, roomy.chunk_bytes, 64, 16, 1]),
        inflight_chunks: draw.one_of(&[roomy.inflight_chunks, 1, 2, 64]),
    }
}

fn network(draw: &mut Draw<'_, impl Choices>, tick: Time, timeout: Time) -> Network {
    Network {
        delay: draw.one_of(&[tick / 10, tick / 50, tick / 2]),
        jitter: draw.one_of(&[0, tick / 5, tick, 3 * tick]),
        loss: draw.level(5_000, 100_000),
        duplicate: draw.level(5_000, 80_000),
        corrupt: draw.level(1_000, 30_000),
        slow: draw.level(5_000, 60_000),
        tail: timeout * draw.range(1, 4),
        archive: draw.level(30_000, 150_000),
        codec: draw.level(5_000, 100_000),
        ordered: draw.flag(),
        queue: draw.one_of(&[4_096, 64, 8]),
    }
}

fn disk(draw: &mut Draw<'_, impl Choices>, tick: Time, timeout: Time) -> Disk {
    let (ids_bytes, data_bytes) = draw.one_of(&[(4_992, 20_480), (1_664, 4_096), (2_496, 8_192)]);
    Disk {
        layout: Layout { ids_bytes, data_bytes },
        sync: draw.one_of(&[tick / 20, tick / 5, tick]),
        jitter: draw.one_of(&[0, tick / 5, tick, 4 * tick]),
        slow: draw.level(3_000, 30_000),
        tail: timeout * draw.range(1, 3),
        fail: draw.one_of(&[0, 0, 500, 3_000]),
        at_once: draw.one_of(&[1, 2, 4, 16]),
        receipt: draw.one_of(&[0, 0, tick / 2, 2 * tick]),
        marks: !draw.flag(),
    }
}

fn snapshots(draw: &mut Draw<'_, impl Choices>, tick: Time, timeout: Time) -> Snapshots {
    Snapshots {
        capture: draw.one_of(&[tick, tick / 5, 5 * tick, timeout]),
        store: draw.one_of(&[tick / 5, tick / 20, tick]),
        fetch: draw.one_of(&[tick / 5, tick / 20, 2 * tick]),
        fail: draw.level(20_000, 200_000),
        lost: draw.level(5_000, 100_000),
        damaged: draw.level(1_000, 30_000),
    }
}

fn workload(draw: &mut Draw<'_, impl Choices>, tick: Time, timeout: Time) -> Workload {
    Workload {
        closed: draw.range(1, 5) as usize,
        readers: draw.one_of(&[0, 0, 1, 2]),
        open: draw.one_of(&[0, 1, 2]),
        reads: draw.one_of(&[MILLION / 4, 0, MILLION / 2, MILLION * 9 / 10]),
        anywhere: draw.one_of(&[0, MILLION / 10, MILLION / 2]),
        leased: draw.one_of(&[MILLION / 2, MILLION / 10, MILLION * 9 / 10]),
        keys: draw.one_of(&[1, 4, 16]),
        hot: draw.one_of(&[0, MILLION / 2]),
        padding: draw.one_of(&[0, 100, 600]),
        think: draw.one_of(&[tick, tick / 10, 5 * tick, timeout]),
        glance: draw.one_of(&[tick, tick / 4]),
        patience: timeout * draw.range(1, 8),
        loss: draw.level(5_000, 50_000),
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} founders of {} seats, {} inputs; tick {} us, election {} ticks, heartbeat {}, drift {}; pre-vote {}, check-quorum {}",
            self.nodes,
            self.seats,
            self.inputs,
            self.tick,
            self.election_ticks,
            self.heartbeat_ticks,
            self.drift_ticks,
            self.pre_vote,
            self.check_quorum
        )?;
        writeln!(
            f,
            "clocks off by {} %, leases {:?}, turns every {} us, dying in {} ppm of them, outputs {}, at the end {}",
            self.drift,
            self.leases,
            self.batch,
            self.dies,
            if self.shuffled { "shuffled" } else { "in order" },
            if self.minority_down { "a minority stays down" } else { "all are healed" }
        )?;
        writeln!(f, "{:?}", self.network)?;
        writeln!(f, "{:?}", self.disk)?;
        writeln!(f, "{:?}", self.snapshots)?;
        writeln!(f, "{:?}", self.workload)?;
        if self.elders > 0 {
            writeln!(f, "older programs: {} of a million", self.elders)?;
        }
        if let Some(naming) = &self.naming {
            writeln!(f, "{naming:?}")?;
        }
        writeln!(f, "{:?}", self.limits)?;
        write!(f, "faults, by their mean time in us:")?;
        for family in Family::ALL {
            if let Some(mean) = self.faults[family as usize] {
                write!(f, " {family:?} {mean}")?;
            }
        }
        Ok(())
    }
}
