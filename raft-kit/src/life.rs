//! One life of a storage: from a directory as a power cut left it to the next cut. A process may start several times in it.

use crate::contract::Owed;
use crate::draw::Draw;
use crate::medium::Medium;
use crate::run::Report;
use crate::world::{World, config};
use crate::{Driver, NODE, Opened, Operation, Storage};
use raft_core::{
    Base, DiskId, Index, Input, Node, Output, Persisted, Recovered, RoleName, Snapshot, Store, Write,
};
use std::collections::VecDeque;

/// Steps after which a run is given up that comes to no end.
const STEPS: usize = 200_000;

/// What waits for the disk: in order.
enum Job {
    Persist(Write),
    Release(Index),
}

/// What waits for the disk beside that.
enum Work<S> {
    Capture(Base, S),
    Store(Store),
}

/// A process.
struct Process<D: Driver> {
    node: Node,
    state: D::State,
    storage: D::Storage,
    jobs: VecDeque<Job>,
    work: VecDeque<Work<D::State>>,
    /// What the node will hear of its disk.
    done: VecDeque<Input>,
    /// Nothing was written since the disk was told that nothing is.
    idle: bool,
}

/// A storage's life.
pub(crate) struct Life<'a, 'b, D: Driver> {
    world: &'a mut World<'b, D>,
    medium: &'a mut D::Medium,
    report: &'a mut Report,
    process: Option<Process<D>>,
    /// All that was done to its files.
    pub(crate) operations: Vec<Operation>,
    pub(crate) owed: Owed,
    /// How many operations there were before the last call: the power goes within it, and nobody hears of its end.
    pub(crate) last: usize,
    left: usize,
    /// How rarely the disk takes what waits: the rarer, the more at once.
    patience: usize,
}

impl<'a, 'b, D: Driver> Life<'a, 'b, D> {
    /// A life of so many calls. What the medium holds is owed.
    pub(crate) fn new(
        world: &'a mut World<'b, D>,
        medium: &'a mut D::Medium,
        report: &'a mut Report,
        owed: Owed,
        calls: usize,
        patience: usize,
    ) -> Life<'a, 'b, D> {
        Life {
            world,
            medium,
            report,
            process: None,
            operations: Vec::new(),
            owed,
            last: 0,
            left: calls,
            patience,
        }
    }

    /// Goes on until the last call.
    pub(crate) fn run(&mut self, draw: &mut Draw) -> Result<(), String> {
        for _ in 0..STEPS {
            if self.left == 0 {
                // What its threads were about to do is done, too.
                self.process = None;
                self.catch_up();
                return Ok(());
            }
            if self.process.is_none() {
                self.start(draw)?;
            }
            self.step(draw)?;
        }
        Err("the cluster comes to no end: the storage stalls".into())
    }

    fn step(&mut self, draw: &mut Draw) -> Result<(), String> {
        match draw.below(24) {
            0 => self.turn(Some(Input::Tick { elapsed: 1 + draw.below(3) as u32 })),
            1..=2 => self.world.tick(draw),
            3..=13 => match self.world.deliver(draw)? {
                Some(input) => self.turn(Some(input)),
                None => Ok(()),
            },
            14 => {
                self.world.propose(draw)?;
                let leads = |process: &Process<D>| process.node.status().role == RoleName::Leader;
                if self.process.as_ref().is_some_and(leads) {
                    let command = self.world.command(draw);
                    self.turn(Some(command))?;
                }
                Ok(())
            }
            15..=17 if draw.once_in(self.patience) => self.persist(draw),
            15..=20 => match self.process.as_mut().and_then(|process| process.done.pop_front()) {
                Some(input) => self.turn(Some(input)),
                None => Ok(()),
            },
            21..=22 => self.work(),
            _ => self.rare(draw),
        }
    }

    /// What happens now and then.
    fn rare(&mut self, draw: &mut Draw) -> Result<(), String> {
        match draw.below(16) {
            0..=1 => self.world.cut_off(draw),
            4 => self.world.capture(draw)?,
            5 => self.turn(Some(Input::Capture))?,
            6..=8 => self.world.transfer()?,
            9 if draw.once_in(4) => {
                self.process = None;
                self.report.starts += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn catch_up(&mut self) {
        self.operations.extend(self.medium.operations());
    }

    fn begin(&mut self) {
        self.catch_up();
        self.last = self.operations.len();
        self.left = self.left.saturating_sub(1);
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut D::Storage) -> Result<T, String>) -> Result<T, String> {
        self.begin();
        let process = self.process.as_mut().expect("a process runs");
        let result = call(&mut process.storage);
        self.catch_up();
        result.map_err(|error| format!("the storage fails without a reason: {error}"))
    }

    /// A process starts, on whatever the one before it left.
    fn start(&mut self, draw: &mut Draw) -> Result<(), String> {
        self.begin();
        let opened = self.world.driver.open(self.medium);
        self.catch_up();
        let Opened { storage, recovered, state, disk } = opened
            .map_err(|error| format!("no power was cut, and the storage refuses its files: {error}"))?;
        if self.owed.check(self.operations.len(), &recovered)? > 0 {
            return Err("no power was cut, and the last writes are gone".into());
        }
        self.world.is_of(&state, recovered.snapshot.as_ref())?;
        let node = node(disk, draw.seed(), recovered)?;
        let (jobs, work, done) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        self.process = Some(Process { node, state, storage, jobs, work, done, idle: true });
        self.turn(None)
    }

    /// A turn of the node.
    fn turn(&mut self, input: Option<Input>) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let mut turn = process.node.turn();
        input.into_iter().for_each(|input| turn.input(input));
        let outputs: Vec<Output> = turn.drain().collect();
        outputs.into_iter().try_for_each(|output| self.carry_out(output))
    }

    fn carry_out(&mut self, output: Output) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        match output {
            Output::Persist(write) => process.jobs.push_back(Job::Persist(write)),
            Output::Release { through } => process.jobs.push_back(Job::Release(through)),
            Output::Send { to, message } => self.world.send(NODE, to, message),
            Output::Apply(entry) => self.world.driver.apply(&mut process.state, &entry),
            Output::Restore(snapshot) => {
                let state = process.storage.restore(&snapshot)?;
                self.world.is_of(&state, Some(&snapshot))?;
                process.state = state;
                self.report.installed += 1;
            }
            Output::Capture(base) => process.work.push_back(Work::Capture(base, process.state.clone())),
            Output::Store(store) => process.work.push_back(Work::Store(store)),
            Output::Fetch(fetch) => match process.storage.read(&fetch)? {
                Some(part) => {
                    let (from, length) = (fetch.offset() as usize, fetch.length());
                    let known = self.world.snapshot(fetch.snapshot());
                    if known.is_none_or(|(bytes, _)| bytes.get(from..from + length) != Some(&part)) {
                        return Err("a part that is read is not what was stored".into());
                    }
                    self.world.send(NODE, fetch.to(), fetch.fill(part));
                }
                None => process.done.push_back(Input::Missing { last: fetch.snapshot().last() }),
            },
            Output::Halt(report) => return Err(format!("the node has stopped: {report:?}")),
            Output::Event(_) | Output::Answer { .. } => {}
        }
        Ok(())
    }

    /// The disk takes some of what waits: one sync for all of it. Or nothing waits, and it is told so.
    fn persist(&mut self, draw: &mut Draw) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        if process.jobs.is_empty() && !process.idle && draw.once_in(3) {
            process.idle = true;
            self.report.idle += 1;
            return self.call(|storage| storage.idle());
        }
        let (mut writes, mut count) = (Vec::new(), draw.below(process.jobs.len()) + 1);
        while let Some(job) = process.jobs.pop_front() {
            match job {
                Job::Persist(write) => writes.push(write),
                Job::Release(through) => {
                    self.owed.release(self.operations.len(), through);
                    process.storage.release(through);
                    self.report.releases += 1;
                }
            }
            count -= 1;
            if count == 0 {
                break;
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        process.idle = false;
        self.catch_up();
        let at = self.operations.len();
        let numbers: Vec<u64> = writes.iter().map(Write::number).collect();
        let asked: Vec<usize> = writes.iter().map(|write| self.owed.write(at, write.update())).collect();
        self.report.count(&writes);
        let receipts = self.call(|storage| storage.persist(writes))?;
        if self.left == 0 {
            return Ok(());
        }
        if !receipts.iter().map(Persisted::number).eq(numbers) {
            return Err("the receipts are not those of the writes, in order".into());
        }
        asked.into_iter().for_each(|write| self.owed.receipt(self.operations.len(), write));
        let process = self.process.as_mut().expect("it did this");
        process.done.extend(receipts.into_iter().map(Input::Persisted));
        Ok(())
    }

    /// The next thing to do for a snapshot.
    fn work(&mut self) -> Result<(), String> {
        let next = self.process.as_mut().and_then(|process| process.work.pop_front());
        let done = match next {
            Some(Work::Capture(base, state)) => self.capture(base, state)?,
            Some(Work::Store(store)) => self.store(store)?,
            None => return Ok(()),
        };
        if self.left > 0 {
            self.process.as_mut().expect("it did this").done.push_back(done);
        }
        Ok(())
    }

    fn capture(&mut self, base: Base, state: D::State) -> Result<Input, String> {
        let (snapshot, bytes) = self.world.driver.encode(&state, &base);
        self.world.note(snapshot.clone(), bytes, state.clone());
        self.catch_up();
        let whole = self.owed.whole(self.operations.len(), snapshot.clone());
        let captured = self.call(|storage| storage.capture(base, state))?;
        if captured != snapshot {
            return Err(format!("the snapshot of entry {} is another one", snapshot.last()));
        }
        if self.left > 0 {
            self.owed.captured(self.operations.len(), whole);
        }
        self.report.captured += 1;
        Ok(Input::Captured(Some(snapshot)))
    }

    fn store(&mut self, store: Store) -> Result<Input, String> {
        let (snapshot, sent) = (store.snapshot().clone(), store.offset() + store.data().len() as u64);
        self.catch_up();
        if sent == snapshot.size {
            self.owed.whole(self.operations.len(), snapshot.clone());
        }
        self.report.parts += 1;
        let stored = self.call(|storage| storage.store(store))?;
        let whole = self.owed.knows(&snapshot);
        if stored.have() == snapshot.size && !whole {
            return Err(format!(
                "the snapshot of entry {} is whole, it says, and its end never came",
                snapshot.last()
            ));
        }
        Ok(Input::Stored(stored))
    }
}

/// A node on what was found.
pub(crate) fn node(disk: DiskId, seed: u64, recovered: Recovered) -> Result<Node, String> {
    let last = recovered.snapshot.as_ref().map(Snapshot::last);
    Node::new(config(NODE, disk, seed), recovered)
        .map_err(|error| format!("a node can't start on it, with the snapshot of entry {last:?}: {error}"))
}
