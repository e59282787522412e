//! Exploration: where a run reaches a rare state, the world is forked, and more is spent on what follows there, with
//! fresh choices. What is rare is learnt from the runs so far. Each run is a recipe: a seed, and where it is left for
//! which other stream. What is run depends on nothing but the first seed and on how long it goes on.

use crate::case::{Case, Fork, Origin};
use crate::coverage::{Coverage, Mark};
use crate::runner::{Ended, Failure, Play, Ran, Totals};
use crate::swarm::{Watch, map, rates};
use crate::trace::Reader;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

/// Runs that are begun together, and learn from each other only afterwards.
const BATCH: u64 = 16;
/// Worlds that are kept to go on from.
const POOL: usize = 48;
/// Worlds that one run may add to them.
const KEPT: usize = 3;
/// Runs that go on from one world.
const FORKS: u64 = 24;
/// What is rare is known only after so many runs.
const LEARNT: u64 = 64;
/// A run that goes on from a world is given up after so many steps that led nowhere new ..
const PATIENCE: u64 = 4_000;
/// .. but every so many are run to their end, to see whether the cluster heals.
const WHOLE: u64 = 6;
/// More doublings than these tell of the length of a run, not of what is rare.
const DOUBLINGS: u32 = 3;

/// A state: a mark that one run reached once, or twice, or four times, or eight times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The mark.
    pub mark: Mark,
    /// How many times at least, as a power of two.
    pub doublings: u32,
}

/// How much to explore.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The first seed.
    pub first: u64,
    /// How many runs.
    pub runs: u64,
    /// How long the whole takes, the plain swarm included.
    pub limit: Option<Duration>,
    /// Runs at once.
    pub jobs: usize,
}

/// How many runs reached which place, and which did so first.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    places: BTreeMap<Place, (u64, Case)>,
    /// How often each mark was reached; in a run that went on from a fork, behind it.
    hits: Coverage,
    /// Runs.
    pub runs: u64,
    /// Inputs to nodes; of a run that went on from a fork, those behind it.
    pub inputs: u64,
}

impl Reached {
    fn count(&self, place: Place) -> u64 {
        self.places.get(&place).map_or(0, |(count, _)| *count)
    }

    fn add(&mut self, trip: &Trip) {
        self.runs += 1;
        self.inputs += trip.inputs;
        self.hits.merge(&trip.hits);
        for place in &trip.places {
            self.places.entry(*place).or_insert_with(|| (0, trip.case.clone())).0 += 1;
        }
    }

    fn marks(&self) -> BTreeSet<Mark> {
        self.places.keys().map(|place| place.mark).collect()
    }

    /// How many marks were reached.
    pub fn marked(&self) -> usize {
        self.marks().len()
    }

    /// How many places were reached.
    pub fn placed(&self) -> usize {
        self.places.len()
    }

    /// What was reached here and not there, and the run that did so first.
    pub fn beyond<'a>(&'a self, other: &'a Reached) -> impl Iterator<Item = (Place, &'a Case)> {
        let here = self.places.iter().filter(|(place, _)| !other.places.contains_key(place));
        here.map(|(place, (_, case))| (*place, case))
    }
}

/// A world to go on from.
#[derive(Clone, Debug)]
struct Outpost {
    place: Place,
    world: World,
    case: Case,
    spent: u64,
}

/// What a run is to begin with.
#[derive(Clone, Debug)]
enum Begin {
    Seed(u64),
    Fork { world: Box<World>, case: Case, stream: u64 },
}

/// What became of a run.
#[derive(Debug)]
struct Trip {
    case: Case,
    ran: Ran,
    fresh: bool,
    /// It was not given up.
    over: bool,
    inputs: u64,
    places: BTreeSet<Place>,
    hits: Coverage,
    outposts: Vec<Outpost>,
}

/// What exploring and a plain swarm came to.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// Everything that was explored.
    pub explored: Reached,
    /// A plain swarm of as many inputs, from the same first seed on.
    pub plain: Reached,
    /// Seeds of both, as the swarm counts them.
    pub totals: Totals,
    /// What fell.
    /// .. with the hash of each trace.
    pub failures: Vec<(Case, Failure, u64)>,
    /// The last run that went on from a fork to its end, and the hash of its trace: to show that it can be had again.
    pub proof: Option<(Case, u64)>,
    /// How long it took.
    pub took: Duration,
}

/// Explores, and then lets a plain swarm have as many inputs.
pub fn explore(plan: Plan) -> Explored {
    let watch = Watch::new(plan.limit.map(|limit| limit * 2 / 3));
    let mut out = Explored::default();
    let mut pool: Vec<Outpost> = Vec::new();
    let (mut seed, mut stream) = (plan.first, 0);
    while out.explored.runs < plan.runs && !watch.over() {
        let mut begins = Vec::new();
        for number in 0..BATCH.min(plan.runs - out.explored.runs) {
            // Every second run goes on from where it is rarest.
            let outpost = if number % 2 == 1 { rarest(&mut pool, &out.explored) } else { None };
            begins.push(match outpost {
                Some(outpost) => {
                    stream += 1;
                    Begin::Fork { world: Box::new(outpost.world.clone()), case: outpost.case.clone(), stream }
                }
                None => {
                    seed += 1;
                    Begin::Seed(seed - 1)
                }
            });
        }
        let learnt = out.explored.runs >= LEARNT.min(plan.runs / 4);
        let known = learnt.then_some(&out.explored);
        let trips = map(&begins, plan.jobs, |begin| travel(begin, known));
        for mut trip in trips {
            // What goes on from a failed run mostly fails once more.
            if trip.ran.failure.is_none() {
                pool.append(&mut trip.outposts);
            }
            out.explored.add(&trip);
            out.take(trip);
        }
        keep(&mut pool, &out.explored);
        watch.say(out.so_far(pool.len()));
    }
    // Its first seeds are those that were explored from: they were run already.
    while out.plain.inputs < out.explored.inputs {
        let begins: Vec<Begin> = (seed..seed + BATCH).map(Begin::Seed).collect();
        seed += BATCH;
        for trip in map(&begins, plan.jobs, |begin| travel(begin, None)) {
            if out.plain.inputs < out.explored.inputs {
                out.take(trip);
            }
        }
        watch.say(format!("plain swarm: {} of {} inputs", out.plain.inputs, out.explored.inputs));
    }
    watch.clear();
    out.took = watch.took();
    out
}

impl Explored {
    fn take(&mut self, trip: Trip) {
        if trip.fresh {
            self.plain.add(&trip);
            self.totals.add(&trip.ran);
        }
        if !trip.fresh && trip.over {
            self.proof = Some((trip.case.clone(), trip.ran.hash));
        }
        if let Some(failure) = trip.ran.failure {
            self.failures.push((trip.case, failure, trip.ran.hash));
        }
    }

    fn so_far(&self, pool: usize) -> String {
        let Reached { runs, inputs, .. } = self.explored;
        let (marks, places) = (self.explored.marked(), self.explored.placed());
        let failed = self.failures.len();
        format!(
            "{runs} runs, {inputs} inputs, {marks} marks at {places} places, {pool} worlds, {failed} failed"
        )
    }

    /// What was found, in words.
    pub fn told(&self) -> String {
        let mut out = String::new();
        let mut line =
            |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a string takes any text");
        let (explored, plain) = (&self.explored, &self.plain);
        line(format_args!("{}", rates(&self.totals, self.took)));
        line(format_args!(""));
        line(format_args!("{:>22} {:>10} {:>12}", "", "explored", "plain swarm"));
        for (name, mine, theirs) in [
            ("runs", explored.runs, plain.runs),
            ("inputs to nodes", explored.inputs, plain.inputs),
            ("marks reached", explored.marked() as u64, plain.marked() as u64),
            ("places reached", explored.placed() as u64, plain.placed() as u64),
            ("only there", explored.beyond(plain).count() as u64, plain.beyond(explored).count() as u64),
        ] {
            line(format_args!("{name:>22} {mine:>10} {theirs:>12}"));
        }
        line(format_args!("(a place is a mark that one run reached 1, 2, 4 or 8 times)"));
        line(format_args!(""));
        line(format_args!("how often the rarest marks were reached:"));
        for (mark, mine, theirs) in self.rarest_marks() {
            line(format_args!("{:>22} {mine:>10} {theirs:>12}", mark.name()));
        }
        let rare: Vec<_> = explored.beyond(plain).filter(|(_, case)| case.plain_seed().is_none()).collect();
        if !rare.is_empty() {
            line(format_args!(""));
            line(format_args!(
                "beyond the plain swarm, from forks (the first {} of {}):",
                rare.len().min(12),
                rare.len()
            ));
        }
        for (place, case) in rare.into_iter().take(12) {
            let times = 1_u64 << place.doublings;
            line(format_args!("{:>22} x{times:<5} run {}", place.mark.name(), arguments(case)));
        }
        out
    }

    /// The marks that were reached least often by the plain swarm, with how often they were.
    fn rarest_marks(&self) -> Vec<(Mark, u64, u64)> {
        let (mine, theirs) = (&self.explored.hits, &self.plain.hits);
        let mut all: Vec<_> = mine.iter().map(|(mark, count)| (mark, count, theirs.count(mark))).collect();
        all.sort_by_key(|(_, _, theirs)| *theirs);
        all.truncate(16);
        all
    }
}

/// A recipe as `run` takes it.
pub fn arguments(case: &Case) -> String {
    let Origin::Recipe { seed, forks } = &case.origin else { return String::new() };
    let forks = forks.iter().map(|fork| format!(" --fork {}:{}", fork.step, fork.stream));
    format!("--seed {seed}{}", forks.collect::<String>())
}

/// How little is known of what lies behind a world: the fewer runs came there, and went on from it, the better.
fn worth(outpost: &Outpost, known: &Reached) -> u64 {
    known.count(outpost.place) + 2 * outpost.spent
}

fn rarest<'a>(pool: &'a mut [Outpost], known: &Reached) -> Option<&'a Outpost> {
    let outpost = pool
        .iter_mut()
        .filter(|outpost| outpost.spent < FORKS)
        .min_by_key(|outpost| worth(outpost, known))?;
    outpost.spent += 1;
    Some(outpost)
}

fn keep(pool: &mut Vec<Outpost>, known: &Reached) {
    pool.retain(|outpost| outpost.spent < FORKS);
    pool.sort_by_key(|outpost| worth(outpost, known));
    pool.truncate(POOL);
}

/// A run. Worlds to go on from are kept if somebody says what is known.
fn travel(begin: &Begin, known: Option<&Reached>) -> Trip {
    let whole = match begin {
        Begin::Seed(_) => true,
        Begin::Fork { stream, .. } => stream.is_multiple_of(WHOLE),
    };
    let (mut play, case, before) = match begin {
        Begin::Seed(seed) => (Case::seed(*seed).play(Reader::Nobody, false), Case::seed(*seed), 0),
        Begin::Fork { world, case, stream } => {
            let fork = Fork { step: world.steps(), stream: *stream };
            let mut case = case.clone();
            if let Origin::Recipe { forks, .. } = &mut case.origin {
                forks.push(fork);
            }
            (Play::new(World::clone(world), &[fork]), case, world.counts().inputs)
        }
    };
    let first = play.world.coverage().clone();
    let (mut seen, mut places, mut outposts) = (first.clone(), BTreeSet::new(), Vec::new());
    let mut newest = play.world.steps();
    let ended = loop {
        let patience = if whole { u64::MAX } else { newest + PATIENCE };
        let ended = play.drive(patience, |world| {
            if *world.coverage() == seen {
                return;
            }
            let fresh = fresh(&seen, world.coverage());
            seen.clone_from(world.coverage());
            for place in fresh {
                newest = world.steps();
                places.insert(place);
                if let Some(known) = known {
                    notice(&mut outposts, place, world, &case, known);
                }
            }
        });
        if !matches!(ended, Ended::GivenUp) || newest + PATIENCE <= play.world.steps() {
            break ended;
        }
    };
    // What the last fact reached before an invariant fell counts, too.
    places.extend(fresh(&seen, play.world.coverage()));
    let over = !matches!(ended, Ended::GivenUp);
    let failure = match ended {
        Ended::Failed(failure) => Some(failure),
        Ended::Clean | Ended::GivenUp => None,
    };
    let ran = Ran::of(&play.world, failure, Reader::Nobody);
    let inputs = ran.counts.inputs - before;
    let mut hits = Coverage::default();
    for ((mark, before), (_, after)) in first.iter().zip(ran.coverage.iter()) {
        hits.add(mark, after - before);
    }
    Trip { case, fresh: matches!(begin, Begin::Seed(_)), over, inputs, ran, places, hits, outposts }
}

/// The places that came with this step.
fn fresh(before: &Coverage, after: &Coverage) -> Vec<Place> {
    let pairs = before.iter().zip(after.iter());
    let risen = pairs.filter(|((_, before), (_, after))| after > before);
    let mut fresh = Vec::new();
    for ((mark, before), (_, after)) in risen {
        let first = before.checked_ilog2().map_or(0, |doublings| doublings + 1);
        fresh.extend((first..=after.ilog2().min(DOUBLINGS)).map(|doublings| Place { mark, doublings }));
    }
    fresh
}

/// Keeps a world if it is at a place that is rarer than the others of this run.
fn notice(outposts: &mut Vec<Outpost>, place: Place, world: &World, case: &Case, known: &Reached) {
    let rarity = known.count(place);
    if rarity > 1 + known.runs / 50 {
        return;
    }
    if outposts.len() == KEPT {
        let common = outposts
            .iter()
            .map(|outpost| known.count(outpost.place))
            .enumerate()
            .max_by_key(|(_, count)| *count);
        match common {
            Some((at, count)) if count > rarity => outposts.remove(at),
            _ => return,
        };
    }
    outposts.push(Outpost { place, world: world.clone(), case: case.clone(), spent: 0 });
}
