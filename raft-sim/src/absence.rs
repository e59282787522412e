//! A member is away while the configuration changes without it, and comes back when another one is lost: then it depends
//! on its vote for somebody it has never heard of whether there is a leader again (section 6; rule 2).

use crate::choices::{Choices, Purpose};
use crate::facts::Violation;
use crate::world::{Event, World};
use bytes::Bytes;
use raft_core::{Change, NodeId, Standing};

impl World {
    /// A voter that doesn't lead is cut off.
    pub(crate) fn absence(&mut self) -> Result<(), Violation> {
        let site = Purpose::Absences.into();
        let mut others: Vec<usize> = self.settled().voters().map(|id| id.0 as usize).collect();
        others.retain(|at| Some(*at) != self.leader);
        if others.is_empty() {
            return Ok(());
        }
        let at = others[self.choices.pick(site, others.len() as u64) as usize];
        self.counts.absences += 1;
        self.cut_off(at, None);
        let left = 4 + self.choices.pick(site, 8) as u8;
        if self.choices.pick(site, 3) > 0 {
            // Changes take their time: in a storm few of them are ever made.
            self.calm_until = self.now + u64::from(left) * 2 * self.options.election_timeout();
        }
        self.queue.push(self.now, Event::Swap { away: at, left });
        Ok(())
    }

    /// While a member is away, somebody is added and then somebody removed, again and again; then it is back.
    pub(crate) fn swap(&mut self, away: usize, left: u8) -> Result<(), Violation> {
        if self.healed {
            return Ok(());
        }
        let site = Purpose::Absences.into();
        let timeout = self.options.election_timeout();
        let next = self.now + self.choices.range(site, timeout / 2, 2 * timeout);
        let event =
            if left == 0 { Event::ComeBack { at: away } } else { Event::Swap { away, left: left - 1 } };
        self.queue.push(next, event);
        let membership = self.settled();
        if membership.is_joint()
            || membership.members().iter().any(|member| member.standing == Standing::Entrant)
        {
            return Ok(());
        }
        let adds = !membership.voters().count().is_multiple_of(2);
        let fits = |at: &usize| *at != away && membership.get(NodeId(*at as u64)).is_some() != adds;
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

    /// The member is back; another one, mostly the leader, is lost at the same time.
    pub(crate) fn come_back(&mut self, at: usize) -> Result<(), Violation> {
        self.network.mend();
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
