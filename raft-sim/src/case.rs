//! A run that can be had again: a seed, a seed with forks, or a tape; with what is planted in it, which invariant must
//! fall, and a line of its story. As a file it is what `replay`, `shrink`, `explain` and `view` take.

use crate::choices::{Random, Source};
use crate::planted::{Lie, Planted, TABLE};
use crate::runner::Play;
use crate::tape::{Player, Tape};
use crate::trace::Reader;
use crate::world::{Setup, World};
use std::fmt;

/// From a step on, choices from another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fork {
    /// After how many steps of the run.
    pub step: u64,
    /// Which stream.
    pub stream: u64,
}

/// Where a run's choices come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A seed, and where it is left for other streams, in order.
    Recipe {
        /// The seed.
        seed: u64,
        /// The forks.
        forks: Vec<Fork>,
    },
    /// A tape.
    Tape(Tape),
}

/// A run that can be had again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its choices.
    pub origin: Origin,
    /// What is planted.
    pub planted: Option<Planted>,
    /// The invariant that must fall, if one must.
    pub falls: Option<String>,
    /// What happens, in words.
    pub story: Vec<String>,
}

const RECIPE: &str = "raft-sim recipe 1";

impl Case {
    /// The run of a seed.
    pub fn seed(seed: u64) -> Case {
        Case::of(Origin::Recipe { seed, forks: Vec::new() })
    }

    /// A run of which nothing more is known.
    pub fn of(origin: Origin) -> Case {
        Case { origin, planted: None, falls: None, story: Vec::new() }
    }

    /// Its seed, if that is all there is to it.
    pub fn plain_seed(&self) -> Option<u64> {
        match &self.origin {
            Origin::Recipe { seed, forks } if forks.is_empty() => Some(*seed),
            _ => None,
        }
    }

    /// The run before its first step; `record` if its tape is wanted.
    pub fn play(&self, reader: Reader, record: bool) -> Play {
        let (source, forks) = match &self.origin {
            Origin::Recipe { seed, forks } => (Source::Random(Random::new(*seed, record)), forks.as_slice()),
            Origin::Tape(tape) => (Source::Tape(Player::new(tape.clone())), [].as_slice()),
        };
        Play::new(World::new(source, Setup { planted: self.planted, reader }), forks)
    }

    /// Reads a case from the text of its file.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse(text: &str) -> Result<Case, String> {
        let mut case = Case::seed(0);
        let (mut seed, mut forks, mut rest) = (None, Vec::new(), String::new());
        for (at, line) in text.lines().enumerate() {
            let wrong = |what: &str| format!("line {}: {what}", at + 1);
            match line.split_once(':').map(|(key, value)| (key, value.trim())) {
                _ if line.starts_with('#') => case.story.push(line[1..].trim().into()),
                Some(("falls", name)) => case.falls = Some(name.into()),
                Some(("planted", name)) => case.planted = Some(planted(name).map_err(|what| wrong(&what))?),
                Some(("seed", value)) => seed = Some(value.parse().map_err(|_| wrong("not a seed"))?),
                Some(("fork", value)) => forks.push(fork(value).ok_or_else(|| wrong("not a fork"))?),
                _ => {
                    rest += line;
                    rest.push('\n');
                    continue;
                }
            }
            // A line of its own, so that the tape's lines keep their numbers.
            rest += "#\n";
        }
        let is_recipe = rest.lines().find(|line| !line.starts_with('#')) == Some(RECIPE);
        case.origin = match seed {
            Some(seed) if is_recipe => Origin::Recipe { seed, forks },
            None if is_recipe => return Err("a recipe has a line 'seed: N'".into()),
            _ => Origin::Tape(Tape::parse(&rest)?),
        };
        Ok(case)
    }
}

fn fork(text: &str) -> Option<Fork> {
    let (step, stream) = text.split_once(' ')?;
    Some(Fork { step: step.parse().ok()?, stream: stream.parse().ok()? })
}

/// A planted bug by its name.
///
/// # Errors
/// If there is none of this name, or this build can't behave as if it had it.
pub fn planted(name: &str) -> Result<Planted, String> {
    let found = TABLE.iter().map(|row| row.planted).find(|planted| planted.name() == name);
    match found {
        Some(Planted::Core(_) | Planted::Machine(_) | Planted::Driver(Lie::ForgetsKeys))
            if !raft_core::planted::COMPILED_IN =>
        {
            Err(format!(
                "{name} is planted: build with `--features planted --target-dir target/planted`, or say --honest"
            ))
        }
        Some(planted) => Ok(planted),
        None => Err(format!("no bug is named '{name}'; `raft-sim bugs --all` lists them")),
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = match &self.origin {
            Origin::Tape(tape) => tape.to_string(),
            Origin::Recipe { seed, forks } => {
                let forks: String =
                    forks.iter().map(|fork| format!("fork: {} {}\n", fork.step, fork.stream)).collect();
                format!("{RECIPE}\nseed: {seed}\n{forks}")
            }
        };
        let (head, body) = body.split_once('\n').unwrap_or((&body, ""));
        writeln!(f, "{head}")?;
        self.story.iter().try_for_each(|line| writeln!(f, "# {line}"))?;
        if let Some(name) = &self.falls {
            writeln!(f, "falls: {name}")?;
        }
        if let Some(planted) = self.planted {
            writeln!(f, "planted: {}", planted.name())?;
        }
        f.write_str(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_as_it_was_written() {
        let tape = Tape::parse("raft-sim tape 1\nDelay 1: 4 0*3 7\n").unwrap();
        for origin in [
            Origin::Tape(tape),
            Origin::Recipe { seed: 7, forks: vec![Fork { step: 5, stream: 1 }, Fork { step: 9, stream: 3 }] },
        ] {
            let case = Case {
                origin,
                planted: Some(Planted::Driver(Lie::ReceiptBeforeSync)),
                falls: Some("durable_before_sent".into()),
                story: vec!["it began well".into()],
            };
            assert_eq!(Case::parse(&case.to_string()), Ok(case));
        }
    }

    #[test]
    fn a_broken_case_is_refused_with_its_line() {
        for (text, what) in [
            ("raft-sim recipe 1\nseed: x", "line 2: not a seed"),
            ("raft-sim recipe 1\nseed: 1\nfork: 4", "line 3: not a fork"),
            ("raft-sim recipe 1\n", "a line 'seed: N'"),
            ("raft-sim tape 1\nplanted: Luck", "line 2: no bug is named 'Luck'"),
            ("raft-sim tape 1\nfalls: luck\nDelay 1 4", "line 3: no ':'"),
        ] {
            let said = Case::parse(text).unwrap_err();
            assert!(said.contains(what), "{said}");
        }
    }
}
