//! The search: breadth first, so that what falls does so by the shortest way.

use super::bounds::Bounds;
use super::model::{Model, Move, State, fingerprint};
use super::numbering::Numbering;
use super::retold::retold;
use crate::facts::Class;
use crate::invariants::Broken;
use std::fmt::{Display, Formatter};

/// Where a state came from: the one that all others come from has nobody before it.
const NOBODY: u32 = u32::MAX;

/// States that are all so many moves away from the first.
#[derive(Debug, Default)]
struct Level {
    words: Vec<u32>,
    ends: Vec<usize>,
}

impl Level {
    fn push(&mut self, words: &[u32]) {
        self.words.extend_from_slice(words);
        self.ends.push(self.words.len());
    }

    fn get(&self, at: usize) -> &[u32] {
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.words[begin..self.ends[at]]
    }
}

/// An invariant that fell, and how.
#[derive(Clone, Debug)]
pub struct Fall {
    /// Its name.
    pub invariant: &'static str,
    /// What kind of promise it is.
    pub class: Class,
    /// The facts that contradict each other.
    pub said: String,
    /// The shortest way there, in the notation of the golden scenarios.
    pub path: String,
}

/// What a search came to.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Different states that were reached.
    pub states: u64,
    /// Moves that were tried from them and changed something.
    pub moves: u64,
    /// How many moves the farthest state is away from the first.
    pub depth: u64,
    /// The most states that are equally far.
    pub widest: u64,
    /// Terms that had a leader, at most.
    pub leaders: u64,
    /// Entries that were committed, at most.
    pub committed: u64,
    /// Different states of one server, its disk included.
    pub servers: u64,
    /// Different messages.
    pub messages: u64,
    /// Steps of one server, each of which the core was asked for once.
    pub steps: u64,
    /// Nothing was left to try.
    pub complete: bool,
    /// What fell, if anything did; the search ended there.
    pub fall: Option<Fall>,
    /// A hash over the different combinations of servers that were reached, whatever was on its way.
    pub combinations: u64,
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Found { states, moves, depth, widest, leaders, committed, servers, messages, steps, .. } = self;
        write!(
            f,
            "{states} states, {moves} moves, depth {depth}, widest level {widest}; up to {leaders} leaders and \
             {committed} entries committed; {servers} states of a server, {messages} messages, {steps} steps of the core"
        )
    }
}

/// A search under way.
struct Search {
    model: Model,
    seen: Numbering,
    parents: Vec<u32>,
    combinations: Numbering,
    found: Found,
}

/// Looks at all states within the bounds, at most so many. `watch` is told after each level, and says whether to go on.
pub fn search(bounds: &Bounds, most: u64, mut watch: impl FnMut(&Found) -> bool) -> Found {
    let mut search = Search {
        model: Model::new(bounds.clone()),
        seen: Numbering::new(),
        parents: Vec::new(),
        combinations: Numbering::new(),
        found: Found::default(),
    };
    let mut words = Vec::new();
    search.model.first().pack(&mut words);
    let (mut level, mut next) = (Level::default(), Level::default());
    search.reach(&words, NOBODY, &mut level);
    let mut first = 0;
    while !level.ends.is_empty() && search.found.fall.is_none() {
        search.found.widest = search.found.widest.max(level.ends.len() as u64);
        if search.expand(&level, first, most, &mut next).is_none() || !watch(&search.tell()) {
            return search.tell();
        }
        first += level.ends.len() as u32;
        search.found.depth += u64::from(!next.ends.is_empty());
        level = std::mem::take(&mut next);
    }
    search.found.complete = search.found.fall.is_none();
    search.tell()
}

impl Search {
    /// Notes a state; a new one is put into the next level.
    fn reach(&mut self, words: &[u32], parent: u32, next: &mut Level) {
        let (_, new) = self.seen.number(fingerprint(words));
        if new {
            self.parents.push(parent);
            next.push(words);
        }
    }

    /// Goes from each state of a level to all that follow it. `first`: the number of its first state. None if there are too
    /// many, or if something fell.
    fn expand(&mut self, level: &Level, first: u32, most: u64, next: &mut Level) -> Option<()> {
        let (mut words, mut moves) = (Vec::new(), Vec::new());
        let mut state = self.model.first();
        let mut after = state.clone();
        let servers = state.servers.len();
        for at in 0..level.ends.len() {
            let number = first + at as u32;
            state.unpack(servers, level.get(at));
            let (_, new) = self.combinations.number(fingerprint(&state.servers));
            if new {
                self.found.combinations = self.found.combinations.wrapping_add(fingerprint(&state.servers));
            }
            self.model.moves(&state, &mut moves);
            for &step in &moves {
                match self.model.apply(&state, step, &mut after) {
                    Ok(false) => {}
                    Ok(true) => {
                        self.found.moves += 1;
                        words.clear();
                        after.pack(&mut words);
                        self.reach(&words, number, next);
                    }
                    Err(broken) => {
                        self.found.fall = Some(self.fall(number, step, broken));
                        return None;
                    }
                }
            }
            if self.seen.len() as u64 > most {
                return None;
            }
        }
        Some(())
    }

    /// The way to a state, played again, and the step by which something fell.
    fn fall(&mut self, number: u32, last: Move, broken: Broken) -> Fall {
        let mut numbers = vec![number];
        while let Some(parent) =
            numbers.last().map(|at| self.parents[*at as usize]).filter(|it| *it != NOBODY)
        {
            numbers.push(parent);
        }
        let mut state = self.model.first();
        let mut path: Vec<(State, Move)> = Vec::new();
        for number in numbers.into_iter().rev().skip(1) {
            let (step, after) = self.way(&state, self.seen.key(number));
            path.push((std::mem::replace(&mut state, after), step));
        }
        path.push((state, last));
        let path = retold(&self.model.tables, &path);
        Fall { invariant: broken.invariant, class: broken.class, said: broken.said, path }
    }

    /// The move from a state to the one with this fingerprint.
    fn way(&mut self, state: &State, key: u64) -> (Move, State) {
        let (mut moves, mut words) = (Vec::new(), Vec::new());
        self.model.moves(state, &mut moves);
        let mut after = state.clone();
        for step in moves {
            if self.model.apply(state, step, &mut after).is_ok_and(|changes| changes) {
                words.clear();
                after.pack(&mut words);
                if fingerprint(&words) == key {
                    return (step, after);
                }
            }
        }
        unreachable!("each state was reached from its parent")
    }

    fn tell(&self) -> Found {
        let tables = &self.model.tables;
        let (leaders, committed) = tables.extent();
        Found {
            leaders,
            committed,
            states: self.seen.len() as u64,
            servers: tables.servers() as u64,
            messages: tables.packets() as u64,
            steps: tables.steps() as u64,
            ..self.found.clone()
        }
    }
}
