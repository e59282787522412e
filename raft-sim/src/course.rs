//! The course of a run: faults first, then the healing, then the time in which the cluster must settle, and maybe once more
//! after an echo, and after a member has parted; then maybe a time in which nothing may change hands. It can be stopped
//! before any event, so that a run can be forked there, looked at, or given up.

use crate::choices::{Choices, Purpose};
use crate::facts::{Class, Fact, Time, Violation};
use crate::server::Process;
use crate::world::{Event, World};

/// Election timeouts after the healing in which what the faults left comes to its end: slow messages, crashes and campaigns
/// that were due, restarts.
const REMAINS: Time = 10;
/// Election timeouts for which a settled cluster is watched.
const WATCHED: Time = 50;
/// Election timeouts between two rounds of clients meanwhile.
const ROUND: Time = 10;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Faults happen.
    Storm,
    /// The healed cluster has to converge and to serve.
    Settling { healed: Time, longest: Time, best: (u64, u64), since: Time, steps: u64 },
    /// It has: until then nothing may change hands. `round`: when clients ask for something again.
    Watched { until: Time, round: Time },
    /// It is over.
    Over,
}

/// What comes next for a cluster that has settled. A quarter of the runs are watched, half of these with clients that go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Echo,
    Parting { busy: bool },
    Watch { busy: bool },
    End,
}

/// How far a run is, and how many steps it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    phase: Phase,
    steps: u64,
    /// When the faults were over.
    healed: Time,
    next: Next,
}

impl Default for Course {
    fn default() -> Course {
        Course { phase: Phase::Storm, steps: 0, healed: 0, next: Next::Echo }
    }
}

impl World {
    /// Runs to the end.
    ///
    /// # Errors
    /// The first invariant that falls.
    pub fn run(&mut self) -> Result<(), Violation> {
        while self.advance()? {}
        Ok(())
    }

    /// One step of the run's course. False once the run is over.
    ///
    /// # Errors
    /// If an invariant falls.
    pub fn advance(&mut self) -> Result<bool, Violation> {
        self.course.steps += 1;
        match self.course.phase {
            Phase::Storm => {
                let most = self.options.inputs * self.options.tick;
                if self.counts.inputs < self.options.inputs && self.now < most {
                    self.step()?;
                } else {
                    self.heal()?;
                    self.course.healed = self.now;
                    self.course.phase = self.begin_settling();
                }
                Ok(true)
            }
            Phase::Settling { .. } => self.settle(),
            Phase::Watched { until, round } => self.watch(until, round),
            Phase::Over => Ok(false),
        }
    }

    /// From here on the choices of another stream.
    pub fn fork(&mut self, stream: u64) {
        self.choices.fork(stream);
    }

    /// How many steps this run took: how often it advanced.
    pub fn steps(&self) -> u64 {
        self.course.steps
    }

    fn patience(&self) -> Time {
        30 * self.options.election_timeout()
    }

    fn begin_settling(&self) -> Phase {
        // Limits of one let an entry through for each sync of a slow disk: a backlog may take that long as a whole.
        let logs = self.servers.iter().filter_map(|server| server.process.as_ref());
        let backlog = logs.map(|process| process.node.log().last().index.0).max().unwrap_or_default();
        let longest = 20 * self.patience() + backlog * self.options.election_timeout();
        Phase::Settling { healed: self.now, longest, best: (0, 0), since: self.now, steps: 0 }
    }

    /// Goes on until the healed cluster has done all that is asked of it, or has had all the time that it may take
    /// and makes no more progress: with tiny limits a long log takes long.
    fn settle(&mut self) -> Result<bool, Violation> {
        self.step()?;
        let Phase::Settling { healed, longest, mut best, mut since, steps } = self.course.phase else {
            return Ok(true);
        };
        if self.is_beyond() {
            // What a quorum has lost for good, nobody can lead without: that nothing is served is right. The network is
            // whole and nobody dies: whoever would lie has the best chance now.
            let over = self.now > healed + self.patience();
            if over {
                self.end()?;
            }
            return Ok(!over);
        }
        let steps = steps + 1;
        let looks = steps.is_multiple_of(16);
        let progress = if looks { self.progress() } else { best };
        if progress > best {
            (best, since) = (progress, self.now);
        }
        self.course.phase = Phase::Settling { healed, longest, best, since, steps };
        if !looks {
            return Ok(true);
        }
        let done = self.workload.served() && self.judges.settled();
        if done && self.goes_on()? {
            return Ok(true);
        }
        let patience = self.patience() + self.workload.longest_patience();
        let stuck = self.now > since + patience || self.now > healed + longest;
        if done || (self.judges.overdue(self.now) && stuck) {
            self.end()?;
            return Ok(false);
        }
        Ok(true)
    }

    /// The cluster has settled. Whether something more is asked of it.
    fn goes_on(&mut self) -> Result<bool, Violation> {
        match self.course.next {
            Next::Echo => {
                self.course.next = match self.choices.pick(Purpose::Watches.into(), 8) {
                    0..=5 => Next::End,
                    drawn => Next::Parting { busy: drawn == 7 },
                };
                let goes_on = self.echo()?;
                if goes_on {
                    self.course.phase = self.begin_settling();
                }
                Ok(goes_on || self.course.next != Next::End)
            }
            Next::Parting { .. }
                if self.now < self.course.healed + REMAINS * self.options.election_timeout() =>
            {
                Ok(true)
            }
            Next::Parting { busy } => {
                self.course.next = Next::Watch { busy };
                if self.part()? {
                    self.course.phase = self.begin_settling();
                }
                Ok(true)
            }
            Next::Watch { busy } => {
                if self.network.is_whole() {
                    let timeout = self.options.election_timeout();
                    let until = self.now + WATCHED * timeout;
                    let round = if busy { self.now + ROUND * timeout } else { until };
                    self.course.next = Next::End;
                    self.course.phase = Phase::Watched { until, round };
                    self.judges.observe(self.now, &Fact::Settled)?;
                }
                Ok(true)
            }
            Next::End => Ok(false),
        }
    }

    /// The settled cluster goes on, watched by its judges; in the end it must be as settled as before.
    fn watch(&mut self, until: Time, round: Time) -> Result<bool, Violation> {
        self.step()?;
        if self.now >= until {
            self.course.phase = self.begin_settling();
        } else if self.now >= round {
            let round = round + ROUND * self.options.election_timeout();
            self.course.phase = Phase::Watched { until, round };
            if self.workload.served() {
                for client in self.workload.go_on() {
                    self.queue.push(self.now, Event::Client { client });
                }
            }
        }
        Ok(true)
    }

    /// What grows while logs converge. A fresh seat begins anew.
    fn progress(&self) -> (u64, u64) {
        let nodes = self.servers.iter().filter_map(|server| server.process.as_ref());
        let logs = nodes.map(|process| process.machine.applied().0 + process.node.log().last().index.0);
        (self.counts.seats, logs.sum())
    }

    fn end(&mut self) -> Result<(), Violation> {
        self.course.phase = Phase::Over;
        for server in &self.servers {
            let Some(Process { machine, .. }) = &server.process else { continue };
            let (node, at, table) = (server.id, machine.applied(), machine.keys_digest());
            self.judges.observe(self.now, &Fact::Keeps { node, at, table })?;
        }
        self.judges.observe(self.now, &Fact::Ended)?;
        if self.workload.served() || self.is_beyond() {
            return Ok(());
        }
        Err(self.violation(
            "service",
            Class::Liveness,
            format!("after the healing, {}", self.workload.wanted()),
        ))
    }
}
