//! A recorded run: the choices of every site in order. As text it is one line a site, runs of equal choices as
//! `value*times`; trailing benign choices are left out, since what is missing means just that.

use crate::choices::{Choices, Purpose, Random, Site};
use std::fmt;

const HEAD: &str = "raft-sim tape 1";

/// What was chosen, by site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tape {
    sites: Vec<Vec<u64>>,
}

impl Default for Tape {
    fn default() -> Tape {
        Tape { sites: vec![Vec::new(); Site::COUNT] }
    }
}

impl Tape {
    /// Records a choice.
    pub fn record(&mut self, site: Site, value: u64) {
        self.sites[site.number()].push(value);
    }

    /// The choices of each site, by the site's number.
    pub(crate) fn sites(&self) -> &[Vec<u64>] {
        &self.sites
    }

    /// See [`Tape::sites`].
    pub(crate) fn sites_mut(&mut self) -> &mut [Vec<u64>] {
        &mut self.sites
    }

    /// How many choices are not the benign one.
    pub fn weight(&self) -> u64 {
        self.sites.iter().flatten().filter(|value| **value != 0).count() as u64
    }

    /// Reads a tape from its text.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse(text: &str) -> Result<Tape, String> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        if lines.next().is_none_or(|(_, line)| line != HEAD) {
            return Err(format!("not a tape: the first line must be '{HEAD}'"));
        }
        let mut tape = Tape::default();
        for (at, line) in lines {
            tape.parse_line(line).map_err(|what| format!("line {}: {what}", at + 1))?;
        }
        Ok(tape)
    }

    fn parse_line(&mut self, line: &str) -> Result<(), String> {
        let (name, values) = line.split_once(':').ok_or("no ':' after the site")?;
        let (purpose, node) = name.split_once(' ').ok_or("a site is a purpose and a node")?;
        let known = Purpose::ALL.iter().find(|known| known.name() == purpose);
        let purpose = *known.ok_or_else(|| format!("unknown purpose '{purpose}'"))?;
        let node = node.parse().ok().filter(|node| *node < Site::NODES);
        let node = node.ok_or_else(|| format!("a site's node is below {}", Site::NODES))?;
        let sequence = &mut self.sites[Site::new(purpose, node).number()];
        for word in values.split_whitespace() {
            let (value, times) = word.split_once('*').unwrap_or((word, "1"));
            let number = |text: &str| text.parse::<u64>().map_err(|_| format!("'{word}' is no choice"));
            let (value, times) = (number(value)?, number(times)?);
            if times > 1 << 24 {
                return Err(format!("'{word}' repeats too often"));
            }
            sequence.extend((0..times).map(|_| value));
        }
        Ok(())
    }
}

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        for purpose in Purpose::ALL {
            for node in 0..Site::NODES {
                let sequence = &self.sites[Site::new(*purpose, node).number()];
                let spoken = sequence.iter().rposition(|value| *value != 0).map_or(0, |last| last + 1);
                if spoken == 0 {
                    continue;
                }
                write!(f, "{} {node}:", purpose.name())?;
                for run in sequence[..spoken].chunk_by(|a, b| a == b) {
                    match run {
                        [value] => write!(f, " {value}")?,
                        _ => write!(f, " {}*{}", run[0], run.len())?,
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// Plays a tape: choices in the recorded order, brought into range; benign ones where nothing is recorded.
#[derive(Clone, Debug)]
pub struct Player {
    tape: Tape,
    at: Vec<usize>,
    /// What was asked for and said: nothing that was never asked for, and all of it in range.
    heard: Tape,
    /// Where all choices but the options come from, if not from the tape.
    dice: Option<Random>,
}

impl Player {
    /// A player at the tape's start.
    pub fn new(tape: Tape) -> Player {
        Player { tape, at: vec![0; Site::COUNT], heard: Tape::default(), dice: None }
    }

    /// Only the options of a tape; everything else is drawn anew, from a seed.
    pub(crate) fn rerolled(tape: Tape, seed: u64) -> Player {
        Player { dice: Some(Random::new(seed, false)), ..Player::new(tape) }
    }

    /// What was played so far.
    pub(crate) fn heard(&self) -> &Tape {
        &self.heard
    }
}

impl Choices for Player {
    fn pick(&mut self, site: Site, n: u64) -> u64 {
        if n <= 1 {
            return 0;
        }
        let at = &mut self.at[site.number()];
        let value = self.tape.sites[site.number()].get(*at).copied().unwrap_or(0);
        *at += 1;
        let value = match &mut self.dice {
            Some(dice) if site.purpose != Purpose::Options => dice.pick(site, n),
            _ => value % n,
        };
        self.heard.record(site, value);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_plays_what_was_recorded_also_from_its_text() {
        let mut random = Random::new(3, true);
        let sites = [Site::new(Purpose::Delay, 1), Site::new(Purpose::Fate, 7)];
        let said: Vec<u64> = (0..200).map(|i| random.pick(sites[i % 2], 3)).collect();
        let tape = crate::choices::Source::Random(random).tape().unwrap().clone();
        let mut player = Player::new(Tape::parse(&tape.to_string()).unwrap());
        let heard: Vec<u64> = (0..200).map(|i| player.pick(sites[i % 2], 3)).collect();
        assert_eq!(said, heard);
        assert_eq!(player.pick(sites[0], 3), 0, "after its end a tape is benign");
    }

    #[test]
    fn a_broken_tape_is_refused_with_its_line() {
        for (text, what) in [
            ("tape", "not a tape"),
            ("raft-sim tape 1\nDelay 1 4", "line 2: no ':'"),
            ("raft-sim tape 1\nDelay 1: 4\nLuck 1: 4", "line 3: unknown purpose 'Luck'"),
            ("raft-sim tape 1\nDelay 10: 4", "line 2: a site's node"),
            ("raft-sim tape 1\nDelay 1: 4*x", "line 2: '4*x' is no choice"),
        ] {
            let said = Tape::parse(text).unwrap_err();
            assert!(said.contains(what), "{said}");
        }
    }
}
