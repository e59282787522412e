//! An echo, when all is over: a follower restarts in front of a leader that has nothing more to say, and the first that it
//! hears was meant for its last boot. Nothing that comes later will mend what goes wrong then.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::Violation;
use crate::world::World;
use raft_core::RoleName;

impl World {
    /// Every second time a follower restarts. Whether one did: then the cluster has to converge once more.
    pub(crate) fn echo(&mut self) -> Result<bool, Violation> {
        let site = Site::from(Purpose::Echoes);
        let standing = |at: usize| self.servers[at].process.as_ref().map(|process| process.standing);
        let leads = |at: &usize| standing(*at).is_some_and(|(role, _)| role == RoleName::Leader);
        let leader =
            (1..=self.options.seats).filter(leads).max_by_key(|at| standing(*at).map(|(_, term)| term));
        let Some(leader) = leader.filter(|_| self.choices.pick(site, 2) == 1) else { return Ok(false) };
        let follows = |at: &usize| *at != leader && self.servers[*at].process.is_some() && self.belongs(*at);
        let followers: Vec<usize> = (1..=self.options.seats).filter(follows).collect();
        if followers.is_empty() {
            return Ok(false);
        }
        let at = followers[self.choices.pick(site, followers.len() as u64) as usize];
        self.counts.echoes += 1;
        self.stop(at)?;
        self.start(at)?;
        for _ in 0..=self.choices.pick(site, 3) {
            if let Some(letter) = self.network.old_append(leader, at, &mut self.choices) {
                self.arrive(letter)?;
            }
        }
        Ok(true)
    }
}
