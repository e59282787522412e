//! The newest entries end up with a server that has no vote. A leader that nobody hears begins to make a voter of it; the
//! next leader gives its first entry to it alone, and is lost. Then who holds the change needs its vote, but has an older
//! log; and the others, whose logs are older still, need the vote of who holds the change (section 5.4.1; dissertation
//! 4.2.2).

use crate::choices::{Choices, Purpose, Site};
use crate::facts::Violation;
use crate::world::{Event, World};
use bytes::Bytes;
use raft_core::{Change, Input, NodeId, Standing};

impl World {
    /// The leader is cut off and is to make a voter of a learner. If there is none yet, one is added first, and it is
    /// tried again.
    pub(crate) fn bequest(&mut self, left: u8) -> Result<(), Violation> {
        let Some(at) = self.leader.filter(|_| !self.healed) else { return Ok(()) };
        let site = Site::from(Purpose::Bequests);
        let timeout = self.options.election_timeout();
        let membership = self.settled();
        let learners = membership.members().iter().filter(|member| member.standing == Standing::Learner);
        let learners: Vec<NodeId> = learners.map(|member| member.id).collect();
        if learners.is_empty() || membership.is_joint() {
            if left > 0 {
                let after = self.choices.range(site, timeout, 3 * timeout);
                self.queue.push(self.now + after, Event::Bequest { left: left - 1 });
            }
            return if learners.is_empty() { self.add_learner(site) } else { Ok(()) };
        }
        self.counts.bequests += 1;
        let id = learners[self.choices.pick(site, learners.len() as u64) as usize];
        let mut changes = vec![Change::Promote { id }];
        let mut others: Vec<NodeId> = membership.voters().filter(|id| id.0 != at as u64).collect();
        if others.len() % 2 == 1 && others.len() > 1 {
            // Of four voters three would do: one of them goes.
            let id = others.remove(self.choices.pick(site, others.len() as u64) as usize);
            changes.push(Change::Remove { id });
        }
        self.cut_off(at, None);
        self.heir = Some(id.0 as usize);
        // Whoever is elected must be left alone until it is lost.
        self.calm_until = self.now + 8 * timeout;
        self.queue.push(self.calm_until, Event::Mend);
        let ticket = self.operator.ticket();
        self.input(at, Input::Reconfigure { ticket, changes, expect: None })
    }

    fn add_learner(&mut self, site: Site) -> Result<(), Violation> {
        let membership = self.settled();
        let free = |at: &usize| membership.get(NodeId(*at as u64)).is_none();
        let free: Vec<usize> = (1..=self.options.seats).filter(free).collect();
        if free.is_empty() {
            return Ok(());
        }
        let at = free[self.choices.pick(site, free.len() as u64) as usize];
        if !self.make_fresh(at)? {
            return Ok(());
        }
        let id = NodeId(at as u64);
        self.reconfigure(site, vec![Change::Add { id, context: Bytes::new(), votes: false }])
    }

    /// Another one leads now. If it has an heir, nobody else hears of it.
    pub(crate) fn bequeath(&mut self, at: usize) {
        let Some(heir) = self.heir.take().filter(|_| self.now < self.calm_until) else { return };
        self.cut_off(at, Some(heir));
        let timeout = self.options.election_timeout();
        let after = self.choices.range(Purpose::Bequests.into(), timeout / 4, 3 * timeout / 2);
        self.queue.push(self.now + after, Event::Bereave { at });
    }

    /// The leader of so short a time is lost, and everybody else is heard again.
    pub(crate) fn bereave(&mut self, at: usize) -> Result<(), Violation> {
        self.network.mend();
        let loses = !self.healed && self.servers[at].seated && self.may_lose(at);
        if loses { self.wipe(at) } else { Ok(()) }
    }
}
