//! A server comes back on a disk that was given up: it was thought to be lost, and its seat has another disk by now. Two
//! processes of one id are live then. Both may stand for election, in one term too, and a vote is one disk's (rule 16).
//!
//! Who came back is heard wherever its seat's links lead, and hears what answers it; whatever else is for its id goes to the new
//! server. It does nothing but stand. If it wins, its term and its log are judged, and then it is gone for good.

use crate::choices::{Choices, Purpose, Site};
use crate::disk::Disk;
use crate::facts::{Fact, Time, Violation};
use crate::options::Family;
use crate::snapshots::Snapshots;
use crate::world::{Event, World};
use raft_core::wal::recover;
use raft_core::{Body, Change, Config, DiskId, Input, Message, Node, NodeId, Output, RoleName, Standing};

/// So often a stage of the plot may wait for the next one.
const PATIENCE: u8 = 12;

/// The disk that a seat had before the one that it has.
#[derive(Clone, Debug)]
pub(crate) struct Estate {
    disk: Disk,
    snapshots: Snapshots,
    id: DiskId,
}

/// A process on such a disk.
#[derive(Clone, Debug)]
pub(crate) struct Revenant {
    /// Its seat.
    at: usize,
    disk: DiskId,
    /// When it goes, at the latest.
    until: Time,
    node: Node,
}

/// How far the plot is to let it come back when both may win.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The member is a learner, but one that is away takes it for a voter.
    Demoted,
    /// Its seat has another disk; the leader gives it the record of that, and nobody else.
    Succeeded,
    /// The new server has that record.
    Told,
    /// The leader is lost, and everybody else hears everybody.
    Rivals(u8),
}

/// What is plotted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plot {
    at: usize,
    away: usize,
    leader: usize,
    left: u8,
    stage: Stage,
}

impl Revenant {
    /// Whether this is its seat.
    pub(crate) fn is_of(&self, at: usize) -> bool {
        self.at == at
    }
}

impl World {
    /// What a seat leaves that gets another disk, if it may ever be started again.
    pub(crate) fn estate(&self, at: usize) -> Option<Box<Estate>> {
        let server = &self.servers[at];
        let bad = server.lost || server.refused || server.gave_up || !server.rot.is_empty();
        let founded = server.founded || server.joins;
        let whole = server.seated && founded && !bad && !self.rolled_back.contains_key(&server.disk_id);
        if self.options.faults[Family::Revenant as usize].is_none() || self.healed || !whole {
            return None;
        }
        let (disk, snapshots, id) = (server.disk.clone(), server.snapshots.clone(), server.disk_id);
        Some(Box::new(Estate { disk, snapshots, id }))
    }

    /// A fault: somebody comes back, or a plot begins after which it may matter.
    pub(crate) fn return_somebody(&mut self) -> Result<(), Violation> {
        let site = Site::from(Purpose::Revenants);
        let heirs: Vec<usize> =
            (1..self.servers.len()).filter(|at| self.servers[*at].estate.is_some()).collect();
        match heirs.get(self.choices.pick(site, heirs.len() as u64) as usize) {
            Some(at) if self.choices.pick(site, 2) == 1 => self.return_of(*at),
            _ => self.plot(site),
        }
    }

    /// A server comes back on the disk that its seat had before.
    fn return_of(&mut self, at: usize) -> Result<(), Violation> {
        // A disk that was put back is heard by few, and another matter.
        if self.rolled_back.contains_key(&self.servers[at].disk_id) {
            return Ok(());
        }
        let Some(mut estate) = self.servers[at].estate.take() else { return Ok(()) };
        let identity = self.identity(at, estate.id);
        let Ok(recovery) = recover(identity, self.options.disk.layout, estate.disk.read()) else {
            return Ok(());
        };
        let mut recovered = recovery.recovered;
        estate.snapshots.settle();
        recovered.snapshot = recovered.newest(estate.snapshots.intact()).cloned();
        let config = Config { disk: estate.id, founders: None, ..self.config(at) };
        let Ok(node) = Node::new(config, recovered) else { return Ok(()) };
        self.counts.revenants += 1;
        self.trace.say(self.now, format_args!("{at} is back on disk {}, beside its new one", estate.id));
        self.trace.mark(self.now, at, 3);
        if let Some(behaviour) = &mut self.trace.behaviour {
            behaviour.ends();
        }
        let timeout = self.options.election_timeout();
        let until = self.now + self.choices.range(Purpose::Revenants.into(), 5 * timeout, 20 * timeout);
        self.revenant = Some(Box::new(Revenant { at, disk: estate.id, until, node }));
        self.haunt(estate.id)
    }

    /// Time passes for who came back.
    pub(crate) fn haunt(&mut self, disk: DiskId) -> Result<(), Violation> {
        self.revenant.take_if(|it| it.until <= self.now);
        if self.revenant.as_ref().is_none_or(|it| it.disk != disk) {
            return Ok(());
        }
        self.queue.push(self.now + self.options.tick, Event::Haunt { disk });
        self.revenant_takes(Input::Tick { elapsed: 1 })
    }

    /// Whether a message answers who came back.
    pub(crate) fn is_revenants(&self, to: usize, message: &Message) -> bool {
        self.revenant.as_ref().is_some_and(|it| it.at == to && message.to == Some(it.node.stamp()))
    }

    /// Who came back takes an input; its disk is fast.
    pub(crate) fn revenant_takes(&mut self, input: Input) -> Result<(), Violation> {
        let Some(mut revenant) = self.revenant.take() else { return Ok(()) };
        self.trace.mark(self.now, revenant.at, 4);
        let at = revenant.at;
        let mut inputs = vec![input];
        while !inputs.is_empty() {
            let mut turn = revenant.node.turn();
            inputs.drain(..).for_each(|input| turn.input(input));
            let outputs: Vec<Output> = turn.drain().collect();
            let status = revenant.node.status();
            if status.role == RoleName::Leader {
                let words = format_args!("{at} on its old disk wins term {}, and is gone", status.term);
                self.trace.say(self.now, words);
                return self.judge_revenant(&revenant, true);
            }
            for output in outputs {
                match output {
                    Output::Persist(write) => inputs.push(Input::Persisted(write.persisted())),
                    Output::Send { to, message } => self.revenant_says(&revenant, to, message)?,
                    Output::Halt(_) => return Ok(()),
                    _ => {}
                }
            }
        }
        self.revenant = Some(revenant);
        Ok(())
    }

    fn revenant_says(&mut self, it: &Revenant, to: NodeId, message: Message) -> Result<(), Violation> {
        if matches!(message.body, Body::Vote { .. }) {
            let words =
                format_args!("{} on its old disk asks {to} for its vote in term {}", it.at, message.term);
            self.trace.say(self.now, words);
            self.judge_revenant(it, false)?;
        }
        self.carry(it.at, to, message)
    }

    fn judge_revenant(&mut self, it: &Revenant, leads: bool) -> Result<(), Violation> {
        let (node, stamp, term) = (NodeId(it.at as u64), it.node.stamp(), it.node.status().term);
        self.judges.observe(self.now, &Fact::Revenant { node, stamp, term, log: it.node.log(), leads })
    }

    /// A voter is to be a learner, and another one is away.
    fn plot(&mut self, site: Site) -> Result<(), Violation> {
        let settled = self.settled();
        let Some(leader) = self.leader.filter(|_| !settled.is_joint()) else { return Ok(()) };
        let mut others: Vec<usize> = settled.voters().map(|id| id.0 as usize).collect();
        others.retain(|at| *at != leader);
        if others.len() < 3 {
            return Ok(());
        }
        let at = others.swap_remove(self.choices.pick(site, others.len() as u64) as usize);
        let away = others.swap_remove(self.choices.pick(site, others.len() as u64) as usize);
        self.network.mend();
        self.cut_off(away, None);
        self.calm_until = self.now + 16 * self.options.election_timeout();
        let (ticket, id) = (self.operator.ticket(), NodeId(at as u64));
        self.input(
            leader,
            Input::Reconfigure { ticket, changes: vec![Change::Demote { id }], expect: None },
        )?;
        self.next(Plot { at, away, leader, left: PATIENCE, stage: Stage::Demoted })
    }

    /// The plot goes on when its next stage has come.
    fn next(&mut self, plot: Plot) -> Result<(), Violation> {
        let timeout = self.options.election_timeout();
        let site = Site::from(Purpose::Revenants);
        let after = match plot.stage {
            // Long enough that nobody has to be patient with the leader any longer.
            Stage::Rivals(0) => self.choices.range(site, timeout + timeout / 4, 2 * timeout),
            Stage::Rivals(_) => self.choices.range(site, 1, timeout / 8),
            _ => self.choices.range(site, timeout / 8, timeout / 2),
        };
        self.queue.push(self.now + after, Event::Plot(plot));
        Ok(())
    }

    /// A stage of the plot is due.
    pub(crate) fn plotted(&mut self, plot: Plot) -> Result<(), Violation> {
        let Plot { at, leader, left, stage, .. } = plot;
        if self.healed || self.perjured {
            return Ok(());
        }
        let ready = match stage {
            Stage::Demoted => self.is_demoted(at) && self.servers[leader].runs(),
            Stage::Succeeded => self.servers[at].runs(),
            Stage::Told => self.knows_its_record(at),
            Stage::Rivals(_) => true,
        };
        match stage {
            _ if !ready && left > 0 => self.next(Plot { left: left - 1, ..plot }),
            Stage::Demoted if ready && self.may_seat(at) => {
                self.seat(at)?;
                self.next(Plot { stage: Stage::Succeeded, ..plot })
            }
            Stage::Succeeded if ready => {
                self.part_all();
                self.network.open(leader, at);
                self.network.open(at, leader);
                let (ticket, id) = (self.operator.ticket(), NodeId(at as u64));
                let changes = vec![Change::Replace { id, context: None }];
                self.input(leader, Input::Reconfigure { ticket, changes, expect: None })?;
                self.next(Plot { stage: Stage::Told, left: PATIENCE, ..plot })
            }
            Stage::Told if ready => {
                self.part_all();
                self.return_of(at)?;
                self.next(Plot { stage: Stage::Rivals(0), ..plot })
            }
            Stage::Rivals(times) if times < PATIENCE => self.rival(plot, times),
            _ => {
                self.network.mend();
                self.calm_until = self.now;
                Ok(())
            }
        }
    }

    /// Who was away stands, and then the two of one id do.
    fn rival(&mut self, plot: Plot, times: u8) -> Result<(), Violation> {
        let Plot { at, away, leader, .. } = plot;
        if times == 0 {
            self.network.mend();
            self.cut_off(leader, None);
            self.input(away, Input::Campaign)?;
        } else {
            self.input(at, Input::Campaign)?;
            self.revenant_takes(Input::Campaign)?;
        }
        self.next(Plot { stage: Stage::Rivals(times + 1), ..plot })
    }

    fn is_demoted(&self, at: usize) -> bool {
        let (settled, disk) = (self.settled(), self.servers[at].disk_id);
        let member = settled.get(NodeId(at as u64));
        member.is_some_and(|it| it.standing == Standing::Learner && it.disk == Some(disk))
            && !settled.is_joint()
    }

    /// Whether the new server has the record that the old disk was given up.
    fn knows_its_record(&self, at: usize) -> bool {
        let process = self.servers[at].process.as_ref();
        let membership = process.and_then(|process| process.node.log().membership());
        membership.and_then(|it| it.get(NodeId(at as u64))).is_some_and(|member| member.replaced.is_some())
    }

    /// Nobody hears anybody.
    fn part_all(&mut self) {
        (1..=self.options.seats).for_each(|at| self.cut_off(at, None));
    }
}
