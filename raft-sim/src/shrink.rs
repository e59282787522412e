//! A failing run becomes the smallest that still fails by the same invariant: delta debugging over the recorded choices.
//! 0 is the benign choice, so less is calmer: families of faults and single choices are taken away, left out or made
//! smaller, as long as the same invariant falls. Since a run depends on each of its choices, what comes after the options
//! is also drawn anew, to find a shorter way to the same failure. Which candidates are tried depends on nothing but the
//! case.

use crate::case::{Case, Origin};
use crate::choices::{Purpose, Site, Source};
use crate::runner::{Ended, Failure, Play};
use crate::swarm::{Watch, first};
use crate::tape::{Player, Tape};
use crate::trace::Reader;
use crate::world::{Setup, World};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

/// How long a search may go on.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Candidates that are tried at most.
    pub tries: u64,
    /// And for how long.
    pub limit: Option<Duration>,
    /// Candidates at once.
    pub jobs: usize,
}

/// How large a failing run is; the first is compared first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Choices that are not the benign one.
    pub choices: u64,
    /// All their bits.
    pub bits: u64,
    /// Steps until it fails.
    pub steps: u64,
}

/// A failing run.
#[derive(Clone, Debug)]
struct Failing {
    tape: Tape,
    size: Size,
    failure: Failure,
    inputs: u64,
    operations: u64,
    nodes: usize,
}

/// What became of a case.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest one.
    pub case: Case,
    /// How large the first one was.
    pub before: Size,
    /// How large the smallest one is.
    pub after: Size,
    /// Candidates that were tried.
    pub tries: u64,
    /// What changed, in words.
    pub said: String,
}

/// Shrinks a failing case; `name` is what it is called in its story.
///
/// # Errors
/// If it doesn't fail, or not by the invariant that it names.
pub fn shrink(case: &Case, name: &str, effort: Effort) -> Result<Shrunk, String> {
    let mut play = case.play(Reader::Nobody, true);
    let ended = play.drive(u64::MAX, |_| {});
    let Ended::Failed(failure) = ended else {
        return Err("nothing falls: there is nothing to shrink".into());
    };
    if case.falls.as_ref().is_some_and(|falls| falls != failure.invariant()) {
        return Err(format!("{} falls, not {}", failure.invariant(), case.falls.as_deref().unwrap_or("-")));
    }
    let tape = play.world.choices().tape().cloned().unwrap_or_default();
    let whole = Case { origin: Origin::Tape(tape), ..case.clone() };
    let most = 2 * play.world.steps() + 1_000;
    let begun = fails(|| whole.play(Reader::Nobody, false), &failure, most)
        .ok_or("its tape doesn't fail as it does: NOT DETERMINISTIC")?;
    let honest = whole.planted.is_some() && is_clean_without(&whole, &begun.tape);
    let mut search = Search {
        whole,
        honest,
        best: begun.clone(),
        tries: 0,
        most: effort.tries * 2 / 3,
        rerolls: true,
        round: 0,
        effort,
        watch: Watch::new(effort.limit),
    };
    search.go();
    search.again(&begun);
    search.watch.clear();
    let Search { whole, best, tries, .. } = search;
    let mut story = case.story.clone();
    story.push(format!("shrunk from {name}: {} choices became {}", begun.size.choices, best.size.choices));
    story.push(best.failure.to_string());
    let falls = Some(best.failure.invariant().to_string());
    let said = compare(&begun, &best);
    let case = Case { origin: Origin::Tape(best.tape), falls, story, ..whole };
    Ok(Shrunk { case, before: begun.size, after: best.size, tries, said })
}

fn compare(before: &Failing, after: &Failing) -> String {
    let row = |name: &str, before: u64, after: u64| format!("{name:>20} {before:>9} {after:>9}\n");
    let rows = [
        ("choices", before.size.choices, after.size.choices),
        ("bits in them", before.size.bits, after.size.bits),
        ("steps", before.size.steps, after.size.steps),
        ("inputs to nodes", before.inputs, after.inputs),
        ("clients' operations", before.operations, after.operations),
        ("seats", before.nodes as u64, after.nodes as u64),
        ("kinds of choices", kinds(&before.tape), kinds(&after.tape)),
    ];
    let rows: String = rows.iter().map(|(name, before, after)| row(name, *before, *after)).collect();
    format!("{:>20} {:>9} {:>9}\n{rows}", "", "before", "after")
}

/// How many purposes have a choice that is not benign.
fn kinds(tape: &Tape) -> u64 {
    let kinds = tape.sites().chunks(Site::NODES);
    kinds.filter(|sites| sites.iter().flatten().any(|value| *value != 0)).count() as u64
}

/// Whether a run fails as another one did, within so many steps. A candidate may do what no run ever did: whatever
/// panics elsewhere, or goes on too long, is no smaller failure.
fn fails(begin: impl FnOnce() -> Play, like: &Failure, most: u64) -> Option<Failing> {
    let mut play = panic::catch_unwind(AssertUnwindSafe(begin)).ok()?;
    let Ended::Failed(failure) = play.drive(most, |_| {}) else { return None };
    if !alike(&failure, like) {
        return None;
    }
    let world = &play.world;
    let mut tape = world.choices().tape()?.clone();
    for values in tape.sites_mut() {
        let spoken = values.iter().rposition(|value| *value != 0).map_or(0, |last| last + 1);
        values.truncate(spoken);
    }
    let bits = tape.sites().iter().flatten().map(|value| u64::from(64 - value.leading_zeros())).sum();
    Some(Failing {
        size: Size { choices: tape.weight(), bits, steps: world.steps() },
        inputs: world.counts().inputs,
        operations: world.counts().operations,
        nodes: world.servers.len() - 1,
        tape,
        failure,
    })
}

/// Whether nothing falls on this tape without what the case plants.
fn is_clean_without(case: &Case, tape: &Tape) -> bool {
    let honest = Case { origin: Origin::Tape(tape.clone()), planted: None, ..case.clone() };
    matches!(honest.play(Reader::Nobody, false).drive(u64::MAX, |_| {}), Ended::Clean)
}

/// The same invariant falls; of panics, the one at the same place.
fn alike(one: &Failure, other: &Failure) -> bool {
    let place = |said: &str| said.rsplit('(').next().map(str::to_string);
    match (one, other) {
        (Failure::Panic(one), Failure::Panic(other)) => place(one) == place(other),
        _ => one.invariant() == other.invariant(),
    }
}

/// Where a choice stands on a tape: its site's number and its place there.
type Spot = (usize, usize);

/// A way to make a tape smaller.
#[derive(Clone, Debug)]
enum Edit {
    /// All choices of these sites become benign.
    Calm { sites: std::ops::Range<usize> },
    /// These choices become benign.
    Clear { spots: Vec<Spot> },
    /// Choices are left out: those behind them move up.
    Omit { site: usize, from: usize, to: usize },
    /// A choice becomes a smaller one.
    Lower { spot: Spot, value: u64 },
    /// This option becomes the benign one, if any, and everything but the options is drawn anew.
    Reroll { spot: Option<Spot>, seed: u64 },
}

impl Edit {
    fn apply(&self, tape: &mut Tape) {
        let all = tape.sites_mut();
        match self {
            Edit::Calm { sites } => all[sites.clone()].iter_mut().for_each(Vec::clear),
            Edit::Clear { spots } => spots.iter().for_each(|(site, at)| all[*site][*at] = 0),
            Edit::Omit { site, from, to } => {
                all[*site].drain(*from..*to);
            }
            Edit::Lower { spot: (site, at), value } => all[*site][*at] = *value,
            Edit::Reroll { spot: Some((site, at)), .. } => all[*site][*at] = 0,
            Edit::Reroll { spot: None, .. } => {}
        }
    }

    /// The run of a case's tape after this edit.
    fn play(&self, whole: &Case, tape: &Tape) -> Play {
        let mut tape = tape.clone();
        self.apply(&mut tape);
        let player = match self {
            Edit::Reroll { seed, .. } => Player::rerolled(tape, *seed),
            _ => Player::new(tape),
        };
        let setup = Setup { planted: whole.planted, reader: Reader::Nobody };
        Play::new(World::new(Source::Tape(player), setup), &[])
    }

    /// From where on the sweep goes on once this was done.
    fn next(&self) -> Spot {
        match self {
            Edit::Calm { sites } => (sites.end, 0),
            Edit::Clear { spots } => spots.last().map_or((0, 0), |(site, at)| (*site, at + 1)),
            Edit::Omit { site, from, .. } => (*site, *from),
            // Once more: it may become smaller still.
            Edit::Lower { spot, .. } => *spot,
            Edit::Reroll { spot: Some((site, at)), .. } => (*site, at + 1),
            Edit::Reroll { spot: None, seed } => (0, *seed as usize + 1),
        }
    }
}

/// Candidates of one sweep before it gives up.
const IN_VAIN: usize = 256;
/// How often the rest is drawn anew for each option that is cleared, and for the options as they are.
const REROLLS: (u64, u64) = (4, 256);
/// A failure of so few choices is small enough not to look for another way to it.
const SMALL: u64 = 16;

struct Search {
    whole: Case,
    /// Without what is planted nothing falls, and it is to stay so: the file has to show this bug.
    honest: bool,
    best: Failing,
    tries: u64,
    most: u64,
    /// Whether the rest of a run is drawn anew.
    rerolls: bool,
    round: usize,
    effort: Effort,
    watch: Watch,
}

impl Search {
    /// Rounds from the coarse to the fine, until one gains nothing.
    fn go(&mut self) {
        loop {
            let before = self.best.size;
            if self.rerolls {
                self.sweep(rerolled);
                self.sweep(options);
            }
            self.sweep(|tape, from| calmed(tape, from, Site::NODES));
            self.sweep(|tape, from| calmed(tape, from, 1));
            self.halving(cleared);
            self.sweep(|tape, from| cleared(tape, from, 1));
            self.halving(omitted);
            self.sweep(lowered);
            self.round += 1;
            if self.best.size == before || self.spent() {
                return;
            }
        }
    }

    /// Another way, from the beginning and true to the tape, unless the first one led far enough: the smaller one counts.
    fn again(&mut self, begun: &Failing) {
        if self.best.size.choices <= SMALL {
            return;
        }
        let first = mem::replace(&mut self.best, begun.clone());
        (self.rerolls, self.round, self.most) = (false, 0, self.effort.tries);
        self.go();
        if first.size < self.best.size {
            self.best = first;
        }
    }

    fn spent(&self) -> bool {
        self.tries >= self.most || self.watch.over()
    }

    /// Sweeps with pieces of half of the choices, a quarter, and so on.
    fn halving(&mut self, edits: fn(&Tape, Spot, usize) -> Vec<Edit>) {
        let mut length = self.best.size.choices as usize / 2;
        while length > 1 && !self.spent() {
            self.sweep(|tape, from| edits(tape, from, length));
            length = (length / 2).min(self.best.size.choices as usize / 2);
        }
    }

    /// Tries all edits in order, and goes on behind each that succeeds. Of very many only some, others in each round.
    fn sweep(&mut self, edits: impl Fn(&Tape, Spot) -> Vec<Edit>) {
        let mut from = (0, 0);
        while !self.spent() {
            let all = edits(&self.best.tape, from);
            let stride = all.len().div_ceil(IN_VAIN).max(1);
            let some: Vec<Edit> = all.into_iter().skip(self.round % stride).step_by(stride).collect();
            match self.attempt(&some) {
                Some(next) => from = next,
                None => return,
            }
        }
    }

    /// Takes the first edit after which the same invariant falls in a smaller run.
    fn attempt(&mut self, edits: &[Edit]) -> Option<Spot> {
        let left = (self.most - self.tries) as usize;
        let edits = &edits[..left.min(edits.len())];
        let Search { whole, honest, best, watch, .. } = self;
        let most = 2 * best.size.steps + 1_000;
        let found = first(edits, self.effort.jobs, |edit| {
            if watch.over() {
                return None;
            }
            let failing = fails(|| edit.play(whole, &best.tape), &best.failure, most);
            let smaller = failing.filter(|failing| failing.size < best.size);
            smaller.filter(|failing| !*honest || is_clean_without(whole, &failing.tape))
        });
        self.tries += found.as_ref().map_or(edits.len(), |(at, _)| at + 1) as u64;
        let next = found.map(|(at, failing)| {
            self.best = failing;
            edits[at].next()
        });
        let Size { choices, steps, .. } = self.best.size;
        self.watch.say(format!("{} tries: {choices} choices, {steps} steps", self.tries));
        next
    }
}

/// Everything but the options is drawn anew, many times.
fn rerolled(_: &Tape, (_, first): Spot) -> Vec<Edit> {
    (first as u64..REROLLS.1).map(|seed| Edit::Reroll { spot: None, seed }).collect()
}

/// Options are cleared one by one: with the rest as it is, and with others.
fn options(tape: &Tape, from: Spot) -> Vec<Edit> {
    let mut edits = Vec::new();
    for spot in spots(tape, from).into_iter().filter(|(site, _)| *site < AFTER_OPTIONS) {
        edits.push(Edit::Clear { spots: vec![spot] });
        edits.extend((0..REROLLS.0).map(|seed| Edit::Reroll { spot: Some(spot), seed }));
    }
    edits
}

/// The options are drawn first of all. Without them a run is another one; they are cleared one by one.
const AFTER_OPTIONS: usize = (Purpose::Options as usize + 1) * Site::NODES;

/// All choices of a purpose, or of a single site, are made benign.
fn calmed(tape: &Tape, from: Spot, width: usize) -> Vec<Edit> {
    let begins = (AFTER_OPTIONS..Site::COUNT).step_by(width).filter(|begin| *begin >= from.0);
    let spoken = |sites: &std::ops::Range<usize>| {
        tape.sites()[sites.clone()].iter().flatten().any(|value| *value != 0)
    };
    begins.map(|begin| begin..begin + width).filter(spoken).map(|sites| Edit::Calm { sites }).collect()
}

/// The choices from there on that are not benign.
fn spots(tape: &Tape, from: Spot) -> Vec<Spot> {
    let all = tape.sites().iter().enumerate();
    let spots =
        all.flat_map(|(site, values)| values.iter().enumerate().map(move |(at, value)| (site, at, value)));
    spots
        .filter(|(site, at, value)| **value != 0 && (*site, *at) >= from)
        .map(|(site, at, _)| (site, at))
        .collect()
}

fn cleared(tape: &Tape, from: Spot, length: usize) -> Vec<Edit> {
    spots(tape, from).chunks(length).map(|spots| Edit::Clear { spots: spots.to_vec() }).collect()
}

/// Choices are left out, those of the options excepted: what is behind them moves up.
fn omitted(tape: &Tape, from: Spot, length: usize) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (site, values) in tape.sites().iter().enumerate().skip(AFTER_OPTIONS.max(from.0)) {
        let begin = if site == from.0 { from.1 } else { 0 };
        for at in (begin..values.len()).step_by(length) {
            edits.push(Edit::Omit { site, from: at, to: values.len().min(at + length) });
        }
    }
    edits
}

fn lowered(tape: &Tape, from: Spot) -> Vec<Edit> {
    let mut edits = Vec::new();
    for spot in spots(tape, from) {
        let value = tape.sites()[spot.0][spot.1];
        // Only fewer bits count.
        let mut smaller = vec![1, value / 2, (1 << value.ilog2()) - 1];
        smaller.retain(|less| *less > 0 && *less < value);
        smaller.dedup();
        edits.extend(smaller.into_iter().map(|value| Edit::Lower { spot, value }));
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_alike_by_their_place() {
        let panic = |said: &str| Failure::Panic(said.into());
        assert!(alike(&panic("index 3 (log.rs:7:1)"), &panic("index 4 (log.rs:7:1)")));
        assert!(!alike(&panic("index 3 (log.rs:7:1)"), &panic("index 3 (log.rs:8:1)")));
    }

    #[test]
    fn a_candidate_that_panics_at_once_or_goes_on_too_long_is_no_failure() {
        crate::runner::catch_panics();
        let like = Failure::Panic("no (nowhere.rs:1:1)".into());
        assert!(fails(|| panic!("no world"), &like, 10).is_none());
        assert!(fails(|| Case::seed(2).play(Reader::Nobody, false), &like, 10).is_none());
    }
}
