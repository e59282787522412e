//! A member is away while the configuration changes without it, and comes back when another one is lost: then it depends
//! on its vote for somebody it has never heard of whether there is a leader again (section 6; rule 2). Or it comes back to nobody
//! that it knows, and has lost some commands meanwhile: it gets them from those who took their places (rule 8 of DESIGN).

use crate::choices::{Choices, Purpose, Site};
use crate::facts::{Time, Violation};
use crate::options::Family;
use crate::world::{Event, World};
use bytes::Bytes;
use raft_core::{Change, Membership, NodeId, Standing};
use std::mem;

/// At most so many changes are tried until everybody has left whom the absent one knows.
const EXODUS: u8 = 24;
/// So many voters are kept meanwhile: with one of them away, two can go on.
const KEPT: usize = 3;

impl World {
    /// A voter that doesn't lead is cut off.
    pub(crate) fn absence(&mut self) -> Result<(), Violation> {
        let site = Site::from(Purpose::Absences);
        let settled = self.settled();
        let mut others: Vec<usize> = settled.voters().map(|id| id.0 as usize).collect();
        others.retain(|at| Some(*at) != self.leader);
        if others.is_empty() {
            return Ok(());
        }
        let at = others[self.choices.pick(site, others.len() as u64) as usize];
        self.counts.absences += 1;
        self.cut_off(at, None);
        let mut left = 4 + self.choices.pick(site, 8) as u8;
        let exodus = self.choices.pick(Purpose::Exoduses.into(), 2) == 1;
        self.operator.leaving.clear();
        if exodus {
            self.all_leave_but(at);
            left = EXODUS;
        }
        if self.choices.pick(site, 3) > 0 || exodus {
            // Changes take their time: in a storm few of them are ever made.
            self.calm_until = self.now + u64::from(left) * 2 * self.options.election_timeout();
        }
        self.queue.push(self.now, Event::Swap { away: at, left });
        Ok(())
    }

    fn all_leave_but(&mut self, at: usize) {
        let settled = self.settled();
        let known = settled.members().iter().map(|member| member.id.0 as usize);
        self.operator.leaving = known.filter(|other| *other != at).collect();
    }

    /// In some runs a founder's disk stands still once it speaks, and its power goes when all others have founded. When it is back
    /// all of them have left, if possible.
    pub(crate) fn draw_latecomer(&mut self) {
        let site = Site::from(Purpose::Latecomers);
        if self.options.faults[Family::Absence as usize].is_some() && self.choices.pick(site, 8) == 7 {
            self.latecomer = Some(1 + self.choices.pick(site, self.options.nodes as u64) as usize);
        }
    }

    /// A disk has got on before the founding was over.
    pub(crate) fn founders_get_on(&mut self, on: usize) -> Result<(), Violation> {
        let gone = self.healed || self.counts.latecomers > 0;
        let Some(late) = self.latecomer.filter(|late| !self.servers[*late].founded && !gone) else {
            return Ok(());
        };
        let (timeout, whole) = (self.options.election_timeout(), (1..=self.options.nodes));
        if on == late {
            self.servers[late].stalled_until = self.now + 20 * timeout;
        } else if self.servers[late].process.is_some()
            && whole.filter(|at| *at != late).all(|at| self.servers[at].founded)
        {
            self.crash_with_power(late)?;
            // As long as the calm lasts nothing starts it but its return.
            self.servers[late].life += 1;
            self.counts.latecomers += 1;
            self.trace.say(self.now, format_args!("{late} was not done with founding, and stays away"));
            self.all_leave_but(late);
            self.calm_until = self.now + u64::from(EXODUS) * 2 * timeout;
            self.queue.push(self.now + 2 * timeout, Event::Swap { away: late, left: EXODUS });
        }
        Ok(())
    }

    /// While a member is away, somebody is added and then somebody removed, again and again; then it is back.
    pub(crate) fn swap(&mut self, away: usize, left: u8) -> Result<(), Violation> {
        if self.healed {
            return Ok(());
        }
        let site = Site::from(Purpose::Absences);
        let timeout = self.options.election_timeout();
        let next = self.now + self.choices.range(site, timeout / 2, 2 * timeout);
        let membership = self.settled();
        let over = left == 0 || self.have_left(&membership);
        let event = if over { Event::ComeBack { at: away } } else { Event::Swap { away, left: left - 1 } };
        self.queue.push(next, event);
        let exodus = !self.operator.leaving.is_empty();
        let entrant = membership.members().iter().find(|member| member.standing == Standing::Entrant);
        if let Some(entrant) = entrant {
            // It may lose something before it has caught up, and know of nobody yet who could have it.
            let loses = !exodus && self.choices.pick(Purpose::Newcomers.into(), 2) == 1;
            return if loses { self.moth_at(entrant.id.0 as usize) } else { Ok(()) };
        }
        if membership.is_joint() {
            return Ok(());
        }
        let voters = membership.voters().count();
        let adds = if exodus { voters <= KEPT } else { !voters.is_multiple_of(2) };
        let leaving = |at: &usize| self.operator.leaving.contains(at);
        let fits = |at: &usize| {
            let swapped = membership.get(NodeId(*at as u64)).is_some() != adds;
            *at != away && swapped && (!exodus || leaving(at) != adds)
        };
        let from: Vec<usize> = (1..=self.options.seats).filter(fits).collect();
        if from.is_empty() {
            return Ok(());
        }
        let at = from[self.choices.pick(site, from.len() as u64) as usize];
        let id = NodeId(at as u64);
        if !adds {
            return self.reconfigure(site, vec![Change::Remove { id }]);
        }
        if !self.make_fresh(at)? {
            return Ok(());
        }
        self.reconfigure(site, vec![Change::Add { id, context: Bytes::new(), votes: true }])
    }

    /// Whether somebody was to leave, and all of them have.
    fn have_left(&self, membership: &Membership) -> bool {
        let leaving = &self.operator.leaving;
        !leaving.is_empty() && leaving.iter().all(|at| membership.get(NodeId(*at as u64)).is_none())
    }

    /// The member is back; another one, mostly the leader, is lost at the same time.
    pub(crate) fn come_back(&mut self, at: usize) -> Result<(), Violation> {
        if self.perjured {
            return Ok(());
        }
        self.network.mend();
        if self.latecomer == Some(at) && !self.healed {
            self.start(at)?;
        }
        let exodus = self.have_left(&self.settled()) && !self.healed;
        let gone = mem::take(&mut self.operator.leaving);
        self.trace.say(self.now, format_args!("{at} is back; all that it knew have left: {exodus}"));
        if exodus {
            self.counts.exoduses += 1;
            if self.latecomer == Some(at) && !self.servers[at].founded {
                // Nobody must come again under an id that it asks.
                self.calm_until = Time::MAX;
                self.options.inputs = self.options.inputs.min(self.counts.inputs + 3_000);
            }
            for gone in gone {
                // Who left is used for something else.
                if !self.belongs(gone) && self.may_seat(gone) {
                    self.seat(gone)?;
                }
            }
            return self.moth_at(at);
        }
        let site = Purpose::Absences.into();
        let lost = match self.choices.pick(site, 4) {
            0 => return Ok(()),
            1 => 1 + self.choices.pick(site, self.options.seats as u64) as usize,
            _ => self.leader.unwrap_or(at),
        };
        let loses = !self.healed && lost != at && self.servers[lost].seated && self.may_lose(lost);
        if loses { self.wipe(lost) } else { Ok(()) }
    }
}
