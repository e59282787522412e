//! Removed servers that were never told: by their own logs they are members, and stand for election for as long as they run.
//! Pre-vote, or voters who refuse while they hear a leader, must keep them from disturbing those who went on without them
//! (dissertation 4.2.3; rule 10 of DESIGN). Where the run has neither, nothing is promised, and the operator shuts them down.

use crate::choices::{Choices, Purpose};
use crate::facts::Violation;
use crate::world::{Event, World};
use raft_core::{Change, Input, NodeId, RoleName};

/// In how many of a million runs, of those that promise anything, they go on.
const GO_ON: u64 = 500_000;

impl World {
    /// Whether they go on in this run.
    pub(crate) fn draw_strangers(&mut self) {
        let promised = self.options.pre_vote || self.options.check_quorum;
        self.operator.strangers = promised && self.choices.chance(Purpose::Strangers.into(), GO_ON);
    }

    /// Whether a server that doesn't belong goes on all the same: it runs, and by its own log it has a vote.
    pub(crate) fn is_stranger(&self, at: usize) -> bool {
        let server = &self.servers[at];
        let voter = server.process.as_ref().filter(|process| !process.halted).is_some_and(|process| {
            process.node.log().membership().is_some_and(|members| members.is_voter(server.id))
        });
        self.operator.strangers && voter
    }

    /// The cluster has settled: a follower is cut off, removed meanwhile, and then back, if it can be done without. Whether
    /// that was begun. Should the change come to nothing, it is a member that was away for a while.
    pub(crate) fn part(&mut self) -> Result<bool, Violation> {
        let standing = |at: usize| self.servers[at].process.as_ref().map(|process| process.standing);
        let leads = |at: &usize| standing(*at).is_some_and(|(role, _)| role == RoleName::Leader);
        let leader =
            (1..=self.options.seats).filter(leads).max_by_key(|at| standing(*at).map(|(_, term)| term));
        let Some(leader) = leader.filter(|_| self.operator.strangers) else { return Ok(false) };
        let removal = |at: usize| [Change::Remove { id: NodeId(at as u64) }];
        let voters: Vec<usize> = self.settled().voters().map(|id| id.0 as usize).collect();
        let fit = |at: &usize| *at != leader && standing(*at).is_some() && self.may_change(&removal(*at));
        let fit: Vec<usize> = voters.into_iter().filter(fit).collect();
        if fit.is_empty() {
            return Ok(false);
        }
        let site = Purpose::Strangers.into();
        let at = fit[self.choices.pick(site, fit.len() as u64) as usize];
        self.cut_off(at, None);
        let timeout = self.options.election_timeout();
        let away = self.choices.range(site, 3 * timeout, 10 * timeout);
        self.queue.push(self.now + away, Event::Mend);
        let ticket = self.operator.ticket();
        let changes = removal(at).into();
        self.input(leader, Input::Reconfigure { ticket, changes, expect: None })?;
        Ok(true)
    }
}
