//! The whole of a run.

use crate::Driver;
use crate::contract::Owed;
use crate::cut;
use crate::disk::{Disk, Loss, Operation, Tree};
use crate::draw::Draw;
use crate::life::Life;
use crate::medium::Medium;
use crate::world::World;
use raft_core::{Recovered, Write};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How much is tried.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Each is a cluster's history of its own.
    pub seeds: Range<u64>,
    /// How many lives a storage has in each: one after the other, with a power cut between.
    pub lives: usize,
    /// How many calls the storage gets in each life.
    pub calls: usize,
    /// How many times at each crash point a part of what was not synced is drawn, beside what is always tried: nothing lost,
    /// all lost, only contents, only names.
    pub draws: usize,
    /// Of a sync of which names the disk lies: it says that it has synced, and hasn't. A file counts by the name by which it
    /// was opened, the storage's directory by the empty one. A storage on such a disk has to fail: the proof that a run can
    /// see the loss.
    pub lies: fn(&str) -> bool,
}

impl Default for Settings {
    /// A few seconds for a storage in memory.
    fn default() -> Settings {
        Settings { seeds: 0..8, lives: 3, calls: 120, draws: 3, lies: |_| false }
    }
}

/// What a run has seen. A number that stays 0 says that something was not tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lives of a storage.
    pub lives: u64,
    /// Starts within a life, without a power cut.
    pub starts: u64,
    /// Writes.
    pub writes: u64,
    /// .. that came together with others.
    pub together: u64,
    /// .. with a truncation.
    pub truncations: u64,
    /// .. with a base.
    pub bases: u64,
    /// Times without any.
    pub idle: u64,
    /// Releases of the log.
    pub releases: u64,
    /// Snapshots that were captured.
    pub captured: u64,
    /// Parts of snapshots that arrived.
    pub parts: u64,
    /// Snapshots that the log was replaced by.
    pub installed: u64,
    /// Operations on files.
    pub operations: u64,
    /// Crash points: before each operation and after the last.
    pub points: u64,
    /// States that a power cut may leave.
    pub states: u64,
    /// .. that differ.
    pub different: u64,
    /// .. in which a recovery found less than was asked for.
    pub cut: u64,
}

impl Report {
    pub(crate) fn count(&mut self, writes: &[Write]) {
        self.writes += writes.len() as u64;
        self.together += writes.len() as u64 - 1;
        let those = |of: fn(&Write) -> bool| writes.iter().filter(|write| of(write)).count() as u64;
        self.truncations += those(|write| write.update().keep.is_some());
        self.bases += those(|write| write.update().base.is_some());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lives and {} starts: {} writes ({} behind others, {} truncations, {} bases), {} times idle, {} releases, {} snapshots \
             captured, {} parts stored, {} installed; {} file operations, {} crash points, {} states, {} of them \
             different, {} with less than was asked for",
            self.lives,
            self.starts,
            self.writes,
            self.together,
            self.truncations,
            self.bases,
            self.idle,
            self.releases,
            self.captured,
            self.parts,
            self.installed,
            self.operations,
            self.points,
            self.states,
            self.different,
            self.cut,
        )
    }
}

/// What a storage got wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// In which history.
    pub seed: u64,
    /// In which life, from 0.
    pub life: usize,
    /// Before which operation the power was cut; `None`: it was not cut.
    pub point: Option<usize>,
    /// What it got wrong.
    pub problem: String,
    /// All that it did to its files in this life.
    pub operations: Vec<Operation>,
    /// What the power cut left.
    pub tree: Tree,
}

/// How many operations before the crash point a failure shows.
const SHOWN: usize = 16;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, life, point, problem, operations, tree } = self;
        writeln!(f, "seed {seed}, life {life}: {problem}")?;
        let end = point.unwrap_or(operations.len());
        for (at, operation) in operations[..end].iter().enumerate().skip(end.saturating_sub(SHOWN)) {
            writeln!(f, "  {at:5} {operation}")?;
        }
        let Some(point) = point else { return write!(f, "  without a power cut") };
        writeln!(f, "  the power is cut after {point} operations, which leaves:")?;
        for (path, content) in tree {
            match content {
                crate::Content::Directory => writeln!(f, "    {path}/")?,
                crate::Content::File(bytes) => writeln!(f, "    {path} ({} bytes)", bytes.len())?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Puts a storage to the test: what was tried, or the first thing that it got wrong. `recorded` is where it lives, whose
/// operations are recorded; on `scratch` its recovery is tried.
///
/// # Errors
/// The first thing that was wrong. The same settings find the same, as far as the storage does the same.
pub fn run<D: Driver>(
    driver: &D,
    recorded: &mut D::Medium,
    scratch: &mut D::Medium,
    settings: &Settings,
) -> Result<Report, Box<Failure>> {
    let mut report = Report::default();
    for seed in settings.seeds.clone() {
        let mut draw = Draw::new(seed);
        let mut world = World::new(driver, &mut draw);
        let (mut tree, mut owed) = (Tree::new(), Owed::new(Recovered::default()));
        for number in 0..settings.lives {
            let failed = |point, problem, operations, tree| {
                Box::new(Failure { seed, life: number, point, problem, operations, tree })
            };
            recorded.put(&tree);
            // Short lives, too: much happens at the beginning.
            let calls = draw.below(settings.calls) + 1;
            let patience = [1, 1, 4, 12][draw.below(4)];
            let mut life = Life::new(&mut world, recorded, &mut report, owed, calls, patience);
            let lived = whole(|| life.run(&mut draw));
            let Life { operations, owed: asked, last, .. } = life;
            if let Err(problem) = lived {
                return Err(failed(None, problem, operations, recorded.tree()));
            }
            report.lives += 1;
            report.operations += operations.len() as u64;
            let mut cuts = Cuts {
                world: &world,
                scratch,
                settings,
                report: &mut report,
                known: BTreeMap::new(),
                owed: &asked,
                operations: &operations,
            };
            // How many operations there are may depend on a thread's luck; what the cluster does must not.
            let next = cuts.all(&tree, last, &mut Draw::new(draw.seed())).and_then(|next| {
                cuts.is_all(&tree, &recorded.tree())
                    .map(|()| next)
                    .map_err(|problem| (None, problem, Tree::new()))
            });
            match next {
                Ok((point, left, found)) => (tree, owed) = (left, asked.after(point, found)),
                Err((point, problem, tree)) => return Err(failed(point, problem, operations, tree)),
            }
        }
    }
    Ok(report)
}

/// A panic is a fault like any other.
fn whole<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("of no words");
        Err(format!("a panic: {text}"))
    })
}

/// The crash points of one life.
struct Cuts<'a, 'b, D: Driver> {
    world: &'a World<'b, D>,
    scratch: &'a mut D::Medium,
    settings: &'a Settings,
    report: &'a mut Report,
    /// What was found in directories, by their hash.
    known: BTreeMap<u64, Recovered>,
    owed: &'a Owed,
    operations: &'a [Operation],
}

type Wrong = (Option<usize>, String, Tree);

impl<D: Driver> Cuts<'_, '_, D> {
    /// Cuts the power at every point. Gives one that is within the last call, what is left, and what is found there.
    fn all(
        &mut self,
        before: &Tree,
        last: usize,
        draw: &mut Draw,
    ) -> Result<(usize, Tree, Recovered), Wrong> {
        let mut disk = Disk::new(before);
        let end = last + draw.below(self.operations.len() + 1 - last);
        let mut next = None;
        for point in 0..=self.operations.len() {
            self.report.points += 1;
            let always = [Loss::Nothing, Loss::Everything, Loss::Contents, Loss::Names];
            let losses = always.into_iter().chain(std::iter::repeat_n(Loss::Some, self.settings.draws));
            let mut chosen = draw.below(always.len() + self.settings.draws);
            for loss in losses {
                let tree = disk.after(loss, draw);
                let found =
                    self.find(point, &tree, draw).map_err(|problem| (Some(point), problem, tree.clone()))?;
                if point == end && chosen == 0 {
                    next = Some((point, tree, found));
                }
                chosen = chosen.wrapping_sub(1);
            }
            if let Some(operation) = self.operations.get(point) {
                let taken = disk.take(operation, self.settings.lies);
                taken.map_err(|problem| (Some(point), problem, Tree::new()))?;
            }
        }
        Ok(next.expect("the end is one of the points"))
    }

    fn find(&mut self, point: usize, tree: &Tree, draw: &mut Draw) -> Result<Recovered, String> {
        self.report.states += 1;
        let mut hash = DefaultHasher::new();
        tree.hash(&mut hash);
        let found = match self.known.get(&hash.finish()) {
            Some(found) => found.clone(),
            None => {
                self.report.different += 1;
                let found = whole(|| cut::recover(self.world, self.scratch, tree, draw))?;
                self.known.insert(hash.finish(), found.clone());
                found
            }
        };
        self.report.cut += u64::from(self.owed.check(point, &found)? > 0);
        Ok(found)
    }

    /// Whether the operations are all that was done: they lead to what is there.
    fn is_all(&self, before: &Tree, after: &Tree) -> Result<(), String> {
        let mut disk = Disk::new(before);
        for operation in self.operations {
            disk.take(operation, |_| false)?;
        }
        if disk.seen() == *after {
            Ok(())
        } else {
            Err("something was done to the files and not recorded".into())
        }
    }
}
