//! What a node shows of itself.

use super::{Node, Role};
use crate::candidate::{Candidate, Phase};
use crate::config::Config;
use crate::event::Event;
use crate::ids::{NodeId, Stamp};
use crate::log::Log;
use crate::outbox::Pending;
use crate::snapshot::Snapshot;
use crate::state::Shown;
use crate::status::{PeerStatus, RoleName, Status};
use alloc::vec::Vec;

impl Node {
    /// This node at this moment.
    pub fn status(&self) -> Status {
        let state = &self.state;
        Status {
            id: state.config.id,
            boot: state.hard.boot,
            role: self.role_name(),
            term: state.hard.term,
            vote: state.hard.vote,
            leader: state.leader,
            commit: state.commit,
            applied: state.applied,
            durable: state.outbox.durable(),
            last: state.log.last(),
            base: state.log.base(),
            snapshot: state.snapshot.as_ref().map(Snapshot::last),
            membership: state.log.membership().cloned().unwrap_or_default(),
            membership_at: state.log.membership_index().unwrap_or_default(),
            transferring: match &self.role {
                Role::Leader(leader) => leader.transferring(),
                Role::Follower | Role::Candidate(_) => None,
            },
            founded: state.founded(),
            halted: state.halted,
            ignored: state.ignored,
            held: state.outbox.held(),
            tickets: state.tickets.len(),
            decayed: state.log.decayed().len(),
        }
    }

    /// What this node, if it leads, knows of every other member.
    pub fn peers(&self) -> Vec<PeerStatus> {
        match &self.role {
            Role::Leader(leader) => leader.peer_status(&self.state),
            Role::Follower | Role::Candidate(_) => Vec::new(),
        }
    }

    fn role_name(&self) -> RoleName {
        match &self.role {
            Role::Follower => RoleName::Follower,
            Role::Candidate(Candidate { phase: Phase::Pre, .. }) => RoleName::PreCandidate,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }

    /// Tells what this turn changed, each thing once.
    pub(super) fn tell_changes(&mut self) {
        let role = self.role_name();
        let state = &mut self.state;
        let at = state.log.membership_index();
        let now = Shown {
            role,
            term: state.hard.term,
            leader: state.leader,
            membership: at.map(|at| (at, state.log.id_at(at))),
            committed: at.is_some_and(|at| at <= state.commit),
        };
        let before = state.shown.replace(now);
        let was = |same: fn(&Shown, &Shown) -> bool| before.as_ref().is_some_and(|before| same(before, &now));
        if !was(|a, b| (a.role, a.term, a.leader) == (b.role, b.term, b.leader)) {
            let Shown { role, term, leader, .. } = now;
            state.outbox.put(Pending::Event(Event::Role { role, term, leader }));
        }
        let same_place = was(|a, b| a.membership.map(|(at, _)| at) == b.membership.map(|(at, _)| at));
        // The id is unknown once the entry is compacted: that is no change.
        let same =
            was(|a, b| a.membership == b.membership || b.membership.is_some_and(|(_, id)| id.is_none()));
        if let (Some(at), Some(membership)) = (at, state.log.membership().cloned())
            && !(same_place && same)
        {
            state.outbox.put(Pending::Event(Event::Membership { at, membership }));
        }
        if let Some(at) = at.filter(|_| now.committed && !(same_place && same && was(|a, _| a.committed))) {
            state.outbox.put(Pending::Event(Event::MembershipCommitted { at }));
        }
    }

    /// What the protocol depends on: without tick counters, the random generator and statistics, so that an exhaustive
    /// search closes.
    pub fn protocol(&self) -> impl core::hash::Hash + Eq + '_ {
        let (candidate, leader) = match &self.role {
            Role::Follower => (None, None),
            Role::Candidate(candidate) => (Some(candidate), None),
            Role::Leader(leader) => (None, Some(leader.protocol())),
        };
        (self.state.protocol(), candidate, leader)
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.state.log
    }

    /// The data directory and the boot of this process.
    pub fn stamp(&self) -> Stamp {
        self.state.stamp()
    }

    /// The newest process of another server that this node has heard from (rule 16).
    pub fn seen(&self, id: NodeId) -> Option<Stamp> {
        self.state.seen.get(&id).copied()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.state.config
    }
}
