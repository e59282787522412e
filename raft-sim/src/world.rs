//! The world: servers, network, clients and the judges who watch them, one event at a time.

use crate::choices::{Choices, Purpose, Site, Source};
use crate::clock::Clock;
use crate::copies::Work;
pub use crate::counts::Counts;
use crate::course::Course;
use crate::coverage::{Coverage, Mark};
use crate::facts::{Class, OpId, Outcome, Time, Violation};
use crate::invariants::{Judges, Rules};
use crate::machine::Frozen;
use crate::naming::WallClocks;
use crate::network::{Letter, Network};
use crate::operator::Operator;
use crate::options::{Family, Leases, Options};
use crate::perjury::Oath;
use crate::planted::Planted;
use crate::queue::Queue;
use crate::revenant::{Plot, Revenant};
use crate::rollback::RolledBack;
use crate::server::Server;
use crate::trace::{Reader, Trace};
use crate::workload::Workload;
use raft_core::wal::Op;
use raft_core::{DiskId, EntryId, Input, NodeId, Output, Persisted};
use std::collections::BTreeMap;

/// Something that is due. What names a life is void in another one.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Tick { at: usize, life: u32 },
    Wake { at: usize, life: u32 },
    Arrive(Letter),
    Synced { at: usize, life: u32, sync: u64 },
    Receipt { at: usize, life: u32, receipt: Persisted },
    Start { at: usize, life: u32 },
    Crash { at: usize, life: u32 },
    Nudge { at: usize, life: u32 },
    Capture,
    Burst { at: usize },
    Swap { away: usize, left: u8 },
    ComeBack { at: usize },
    Bequest { left: u8 },
    Bereave { at: usize },
    Haunt { disk: DiskId },
    Plot(Plot),
    Perjury,
    Resume { at: usize, life: u32, tells: bool },
    Fault(Family),
    Mend,
    Flap { from: usize, to: usize, left: u8 },
    Work { at: usize, life: u32, work: Box<Work> },
    Change { left: u8 },
    Tend,
    Client { client: usize },
    Request { op: OpId, attempt: u32, at: usize },
    Response { op: OpId, outcome: Outcome, leader: Option<usize> },
    Patience { op: OpId },
    Again,
}

/// What a run is made of, apart from its choices.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The bug that is planted.
    pub planted: Option<Planted>,
    /// Who reads along.
    pub reader: Reader,
}

/// A simulated cluster. A clone goes on independently.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) now: Time,
    pub(crate) options: Options,
    pub(crate) choices: Source,
    pub(crate) queue: Queue<Event>,
    /// `servers[0]` is nobody, so that a node's number is its place.
    pub(crate) servers: Vec<Server>,
    pub(crate) network: Network,
    pub(crate) workload: Workload,
    pub(crate) wall: WallClocks,
    pub(crate) frozen: Frozen,
    pub(crate) judges: Judges,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    pub(crate) planted: Option<Planted>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) ops: Vec<Op>,
    /// Disks that were put back to an earlier state.
    pub(crate) rolled_back: BTreeMap<DiskId, RolledBack>,
    /// Until then no family strikes.
    pub(crate) calm_until: Time,
    pub(crate) healed: bool,
    /// The committed entry of which nobody has a copy any more.
    pub(crate) ruined: Option<EntryId>,
    /// What the disks of a quorum will have kept.
    pub(crate) oath: Option<Box<Oath>>,
    /// They have lost the rest.
    pub(crate) perjured: bool,
    pub(crate) leader: Option<usize>,
    /// Who alone hears the next leader, before it is lost.
    pub(crate) heir: Option<usize>,
    /// The founder that is to be away from the founding on.
    pub(crate) latecomer: Option<usize>,
    /// Who came back on a disk that was given up.
    pub(crate) revenant: Option<Box<Revenant>>,
    pub(crate) operator: Operator,
    pub(crate) course: Course,
    /// How many disks there were so far.
    pub(crate) disks: u64,
}

impl World {
    /// The world that these choices draw, before anything has happened.
    pub fn new(mut choices: Source, setup: Setup) -> World {
        let options = Options::draw(&mut choices);
        World::with(options, choices, setup)
    }

    /// A world of these options.
    pub fn with(options: Options, choices: Source, setup: Setup) -> World {
        let rules = Rules {
            nodes: options.seats,
            founders: options.nodes,
            lease: options.leases == Leases::Safe,
            limits: options.limits,
            pre_vote: options.pre_vote,
            patience: Clock::shortest_patience(&options),
            election_timeout: Clock::slowest_timeout(&options),
            lease_ticks: Clock::lease_ticks(&options),
        };
        let mut world = World {
            now: 0,
            queue: Queue::default(),
            servers: Vec::new(),
            network: Network::new(options.network),
            workload: Workload::new(options.workload, options.nodes, options.election_timeout() / 2),
            wall: WallClocks::default(),
            frozen: Frozen::default(),
            judges: Judges::new(rules),
            trace: Trace::new(setup.reader),
            counts: Counts::default(),
            planted: setup.planted,
            outputs: Vec::new(),
            ops: Vec::new(),
            rolled_back: BTreeMap::new(),
            calm_until: 0,
            healed: false,
            ruined: None,
            oath: None,
            perjured: false,
            leader: None,
            heir: None,
            latecomer: None,
            revenant: None,
            operator: Operator::default(),
            course: Course::default(),
            disks: 0,
            options,
            choices,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        for at in 0..=self.options.seats {
            let founds = (1..=self.options.nodes).contains(&at);
            let disk_id = self.draw_disk_id(at);
            let clock = Clock::draw(at, &self.options, &mut self.choices);
            let server = Server {
                seated: founds,
                original: founds,
                joins: at > self.options.nodes,
                ..Server::new(NodeId(at as u64), disk_id, self.options.disk.layout, clock)
            };
            self.servers.push(server);
            if founds {
                let site = Site::new(Purpose::Restart, at);
                let begins = self.choices.range(site, 0, self.options.election_timeout());
                self.queue.push(begins, Event::Start { at, life: 0 });
            }
        }
        self.draw_elders();
        self.draw_latecomer();
        for client in 0..self.workload.clients() {
            let begins = self.workload.think(client, &mut self.choices);
            self.queue.push(begins, Event::Client { client });
        }
        for family in Family::ALL {
            self.schedule_fault(family);
        }
        if self.options.naming.is_some() {
            self.queue.push(self.options.election_timeout(), Event::Again);
        }
    }

    /// Disk ids are drawn, and never 0. No two are the same, also where a tape draws nothing: every disk has its number.
    pub(crate) fn draw_disk_id(&mut self, at: usize) -> DiskId {
        self.disks += 1;
        let drawn = self.choices.pick(Site::new(Purpose::Seed, at), 1 << 32);
        DiskId((drawn << 16 | self.disks) * 16 + at as u64)
    }

    /// The next event.
    ///
    /// # Errors
    /// If an invariant falls.
    pub fn step(&mut self) -> Result<(), Violation> {
        let Some((at, event)) = self.queue.pop() else {
            return Err(self.violation("simulator", Class::Liveness, "nothing is due any more".into()));
        };
        self.now = at;
        match event {
            Event::Tick { at, life } if self.lives(at, life) => self.tick(at),
            Event::Wake { at, life } if self.lives(at, life) => {
                if let Some(process) = &mut self.servers[at].process {
                    process.waking = false;
                }
                self.turn(at)
            }
            Event::Arrive(letter) => self.arrive(letter),
            Event::Synced { at, life, sync } if self.lives(at, life) => self.synced(at, sync),
            Event::Receipt { at, life, receipt } if self.lives(at, life) => {
                self.input(at, Input::Persisted(receipt))
            }
            Event::Start { at, life } if self.servers[at].life == life => self.start(at),
            Event::Crash { at, life } if self.lives(at, life) => self.crash(at),
            Event::Nudge { at, life } if self.lives(at, life) => self.input(at, Input::Campaign),
            Event::Resume { at, life, tells } if self.lives(at, life) => self.resume(at, tells),
            Event::Work { at, life, work } if self.lives(at, life) => self.worked(at, *work),
            Event::Change { left } => self.change(left),
            Event::Tend => self.tend(),
            Event::Fault(family) => self.fault(family),
            Event::Burst { at } => self.burst(at),
            Event::Swap { away, left } => self.swap(away, left),
            Event::ComeBack { at } => self.come_back(at),
            Event::Bequest { left } => self.bequest(left),
            Event::Bereave { at } => self.bereave(at),
            Event::Haunt { disk } => self.haunt(disk),
            Event::Plot(plot) => self.plotted(plot),
            Event::Perjury => self.perjury(),
            Event::Capture => match self.leader {
                Some(at) => self.input(at, Input::Capture),
                None => Ok(()),
            },
            Event::Mend => {
                self.network.mend();
                Ok(())
            }
            Event::Flap { from, to, left } => {
                self.flap(from, to, left);
                Ok(())
            }
            Event::Client { client } => self.ask(client),
            Event::Request { op, attempt, at } => self.request(op, attempt, at),
            Event::Response { op, outcome: Outcome::Unknown, .. } => self.impatient(op),
            Event::Response { op, outcome, leader } => self.returned(op, outcome, leader),
            Event::Patience { op } => self.impatient(op),
            Event::Again => self.again(),
            Event::Tick { .. }
            | Event::Wake { .. }
            | Event::Synced { .. }
            | Event::Receipt { .. }
            | Event::Start { .. }
            | Event::Work { .. }
            | Event::Crash { .. }
            | Event::Nudge { .. }
            | Event::Resume { .. } => Ok(()),
        }
    }

    fn lives(&self, at: usize, life: u32) -> bool {
        let server = &self.servers[at];
        server.life == life && server.process.is_some()
    }

    fn tick(&mut self, at: usize) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        self.queue.push(self.now + server.clock.tick(), Event::Tick { at, life: server.life });
        if server.stopped_until > self.now {
            return Ok(());
        }
        if let Some(process) = &mut server.process
            && let Some(missed) = &mut process.paused
        {
            *missed += 1;
            return Ok(());
        }
        self.look(at)?;
        if !self.rolled_back.is_empty() {
            self.overlooked(at)?;
        }
        self.input(at, Input::Tick { elapsed: 1 })
    }

    pub(crate) fn arrive(&mut self, letter: Letter) -> Result<(), Violation> {
        if !self.network.arrived(&letter) {
            return Ok(());
        }
        let Letter { from, to, message, .. } = letter;
        if !self.rolled_back.is_empty() && !self.reaches(from, to, &message) {
            return Ok(());
        }
        if !self.reads(to, &message.body) || self.is_ruined(&message.body) {
            return Ok(());
        }
        if self.is_revenants(to, &message) {
            return self.revenant_takes(Input::Receive { from: NodeId(from as u64), message });
        }
        let Some(process) = &self.servers[to].process else { return Ok(()) };
        // The queue of a process that doesn't read is bounded.
        if process.inbox.len() > 512 {
            return Ok(());
        }
        self.input(to, Input::Receive { from: NodeId(from as u64), message })
    }

    /// Hands an input to a node, with its next turn.
    pub(crate) fn input(&mut self, at: usize, input: Input) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        let Some(process) = &mut server.process else { return Ok(()) };
        match input {
            // The clock is read when all that waits was taken; what is due goes in before it.
            Input::Tick { .. } => process.inbox.insert(0, input),
            _ => process.inbox.push(input),
        }
        self.wake(at)
    }

    /// Gives a node its next turn, now or soon.
    pub(crate) fn wake(&mut self, at: usize) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        let Some(process) = &mut server.process else { return Ok(()) };
        if process.waking || process.paused.is_some() {
            return Ok(());
        }
        let delay = match self.options.batch {
            0 => 0,
            most => self.choices.pick(Site::new(Purpose::Batch, at), most),
        };
        if delay == 0 {
            return self.turn(at);
        }
        process.waking = true;
        self.queue.push(self.now + delay, Event::Wake { at, life: server.life });
        Ok(())
    }

    pub(crate) fn violation(&self, invariant: &'static str, class: Class, said: String) -> Violation {
        Violation { invariant, class, at: self.now, said }
    }

    /// What identifies this run.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What this run is like.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How often what happened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How often what happened to messages.
    pub fn network_counts(&self) -> crate::network::Counts {
        self.network.counts
    }

    /// The rare states that were reached.
    pub fn coverage(&self) -> &Coverage {
        self.judges.coverage()
    }

    /// Where choices came from.
    pub fn choices(&self) -> &Source {
        &self.choices
    }

    /// Simulated time so far.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Whether anything was ever committed.
    pub(crate) fn has_committed(&self) -> bool {
        self.judges.coverage().count(Mark::Commits) > 0
    }
}
