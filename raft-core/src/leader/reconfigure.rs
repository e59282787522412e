//! Changes of the configuration (dissertation 4): one at a time, in force when appended, through a joint configuration
//! whenever the voters change. What is begun is completed by whoever leads.

use super::{Leader, Peer, Pulse};
use crate::change::{Change, Refusal};
use crate::entry::{Entry, Payload};
use crate::event::Event;
use crate::ids::{EntryId, Index, NodeId, Stamp, Ticket};
use crate::membership::{Membership, Standing};
use crate::message::Body;
use crate::outbox::Pending;
use crate::output::{Answer, Limit};
use crate::planted::Bug;
use crate::progress::Progress;
use crate::state::State;
use alloc::vec::Vec;

/// How a member catches up (dissertation 4.2.1): in rounds, each up to where the log ended when the round began. Once a
/// round takes less than an election timeout, what is left is little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    target: Index,
    since: u64,
    done: bool,
}

impl Round {
    /// A round that begins now.
    pub(super) fn new(state: &State) -> Round {
        Round { target: state.log.last().index, since: state.clock.now, done: false }
    }

    /// Whether the member has caught up.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }
}

impl Leader {
    /// The peers are the members of the configuration in force. Of those that were, all that is known stays, unless they
    /// come back with another disk.
    pub(super) fn seat_members(&mut self, state: &State) {
        let (now, last) = (state.clock.now, state.log.last().index);
        let membership = state.log.membership().cloned().unwrap_or_default();
        let mut before = core::mem::take(&mut self.peers);
        for member in membership.members() {
            let known = before.iter().position(|peer| peer.id == member.id).map(|at| before.swap_remove(at));
            let same = |peer: &Peer| match (peer.disk, member.disk) {
                (Some(had), Some(has)) => had == has,
                (Some(had), None) => member.replaced != Some(had),
                (None, _) => true,
            };
            let mut peer = known.filter(same).unwrap_or_else(|| Peer {
                id: member.id,
                disk: None,
                seated: (self.round, last),
                progress: Progress::new(last),
                pulse: Pulse {
                    heard_at: now,
                    heard: true,
                    absent: false,
                    stalled: 0,
                    catch_up: Round::new(state),
                },
            });
            peer.disk = member.disk.or(peer.disk);
            self.peers.push(peer);
        }
        self.leaving.extend(before.into_iter().map(|peer| (peer.id, peer.disk)));
    }

    /// Whether an acknowledgement from this process counts for that member (rule 16): its disk is the one on record; or
    /// none is on record, it doesn't vote, and it is the disk that was heard first, which is then put on record. What is
    /// heard first has to answer something sent since the member is without a disk: anything else may be late, and of a disk
    /// that was given up or lost long ago.
    pub(crate) fn accepts(&mut self, state: &State, from: NodeId, stamp: Stamp, body: &Body) -> bool {
        let membership = state.log.membership();
        let Some(member) = membership.and_then(|membership| membership.get(from)) else { return false };
        if member.disk.is_some() {
            return state.on_record(from, stamp);
        }
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == from) else { return false };
        if member.standing.votes() || member.replaced == Some(stamp.disk) {
            return false;
        }
        if peer.disk.is_some() {
            return peer.disk == Some(stamp.disk);
        }
        let (round_then, end_then) = peer.seated;
        let fresh = match *body {
            Body::HeartbeatReply { round } => round > round_then,
            // A question about an entry is younger than the entry.
            Body::Conflict { asked, .. } => asked.index >= end_then,
            Body::Appended { matched } => matched >= end_then,
            _ => false,
        };
        if !fresh && !state.config.planted(Bug::LateDiskTaken) {
            return false;
        }
        self.attends = true;
        peer.disk = Some(stamp.disk);
        true
    }

    /// Changes the configuration, or says why not.
    pub(crate) fn reconfigure(
        &mut self,
        state: &mut State,
        ticket: Ticket,
        changes: &[Change],
        expect: Option<Index>,
    ) {
        if self.open_tickets(state) >= state.config.limits.tickets {
            return state.answer(ticket, Answer::Busy(Limit::Tickets));
        }
        match self.changed(state, changes, expect) {
            Err(refusal) => state.answer(ticket, Answer::Refused(refusal)),
            Ok(membership) => {
                let id = self.append_membership(state, membership);
                state.tickets.open(id, ticket);
            }
        }
    }

    /// What these changes make of the configuration in force, if it may be changed so now (rule 11).
    fn changed(
        &self,
        state: &State,
        changes: &[Change],
        expect: Option<Index>,
    ) -> Result<Membership, Refusal> {
        let (Some(membership), Some(at)) = (state.log.membership(), state.log.membership_index()) else {
            return Err(Refusal::TermNotCommitted);
        };
        if self.transfer.is_some() {
            return Err(Refusal::Transferring);
        }
        if expect.is_some_and(|expected| expected != at) {
            return Err(Refusal::Moved { at });
        }
        if state.commit < self.first && !state.config.planted(Bug::ChangeBeforeOwnCommit) {
            return Err(Refusal::TermNotCommitted);
        }
        let pending = at > state.commit && !state.config.planted(Bug::ChangeOnChange);
        if membership.is_joint() || pending {
            return Err(Refusal::InProgress { at });
        }
        let replaced =
            |change: &Change| matches!(change, Change::Replace { id, .. } if *id == state.config.id);
        if changes.iter().any(replaced) {
            return Err(Refusal::Leads { id: state.config.id });
        }
        let changed = membership.change(changes)?;
        for change in changes {
            if let Change::Promote { id } = *change
                && !self.has_caught_up(state, id)
            {
                return Err(Refusal::NotCaughtUp { id });
            }
        }
        self.check_quorum(state, &changed)?;
        Ok(changed)
    }

    /// A change must leave a quorum of voters that are heard: one that would stop the cluster is refused. A change that
    /// takes no vote away and gives none is never refused for this.
    fn check_quorum(&self, state: &State, changed: &Membership) -> Result<(), Refusal> {
        // A disk that is given up counts no more, however live it is.
        let counts = |id| changed.get(id).is_some_and(|member| member.disk.is_some());
        let live = |id| counts(id) && self.is_live(state, id);
        let settled = changed.leave();
        let lost = settled.is_some_and(|settled| !settled.is_quorum(live) || !changed.is_quorum(live));
        if lost { Err(Refusal::WouldLoseQuorum) } else { Ok(()) }
    }

    fn has_caught_up(&self, state: &State, id: NodeId) -> bool {
        let peer = self.peers.iter().find(|peer| peer.id == id);
        self.is_live(state, id) && peer.is_some_and(|peer| peer.pulse.catch_up.done)
    }

    /// A member has acknowledged something: perhaps its round ends.
    pub(super) fn catch_up(&mut self, state: &mut State, id: NodeId) {
        let (now, timeout) = (state.clock.now, u64::from(state.config.election_ticks));
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) else { return };
        let round = &mut peer.pulse.catch_up;
        if round.done || peer.progress.matched < round.target {
            return;
        }
        if now - round.since < timeout {
            round.done = true;
            self.attends = true;
            let voter = state.log.membership().is_some_and(|membership| membership.is_voter(id));
            if !voter {
                state.outbox.put(Pending::Event(Event::CaughtUp { peer: id }));
            }
        } else {
            *round = Round::new(state);
        }
    }

    /// Brings a configuration in force. The lease is over: the next one is for a quorum of this configuration to give.
    fn append_membership(&mut self, state: &mut State, membership: Membership) -> EntryId {
        let id = EntryId { term: state.hard.term, index: state.log.last().index.next() };
        self.entered |= membership.is_joint();
        if !state.config.planted(Bug::LeaseOutlivesChange) {
            self.lease_until = 0;
        }
        state.append(Entry::new(id, Payload::Membership(membership)));
        self.seat_members(state);
        id
    }

    /// What a leader changes on its own, one step at a time: it leaves a joint configuration, also another leader's; puts
    /// disks on record, the founders' first of all; and makes voters of those who entered and have caught up. Nothing
    /// while it hands over: the successor's log must be the longest.
    pub(super) fn attend(&mut self, state: &mut State) {
        if self.transfer.is_some() || !core::mem::take(&mut self.attends) || state.commit < self.first {
            return;
        }
        let (Some(membership), Some(at)) = (state.log.membership().cloned(), state.log.membership_index())
        else {
            return;
        };
        let early = membership.is_joint() && state.config.planted(Bug::LeavesJointEarly);
        if at > state.commit && !early {
            return;
        }
        let next = if membership.is_joint() {
            let taken_up = self.entered || !state.config.planted(Bug::JointNotTakenUp);
            membership.leave().filter(|_| taken_up)
        } else if at == EntryId::ORIGIN.index {
            // The first leader's first change: the disks that the founders heard of each other.
            Some(membership)
        } else {
            self.with_new_disks(&membership).or_else(|| self.with_entrants(state, &membership))
        };
        if let Some(next) = next {
            self.append_membership(state, next);
            self.advance_commit(state);
        }
    }

    /// The configuration with the disks that were heard and are not on record.
    fn with_new_disks(&self, membership: &Membership) -> Option<Membership> {
        let heard = |id: NodeId| self.peers.iter().find(|peer| peer.id == id).and_then(|peer| peer.disk);
        let new =
            membership.members().iter().any(|member| member.disk.is_none() && heard(member.id).is_some());
        new.then(|| membership.with_disks(heard))
    }

    /// The joint configuration that makes voters of all entrants that have caught up.
    fn with_entrants(&self, state: &State, membership: &Membership) -> Option<Membership> {
        let entrants = membership.members().iter().filter(|member| member.standing == Standing::Entrant);
        let ready = entrants.filter(|member| member.disk.is_some() && self.has_caught_up(state, member.id));
        let changes: Vec<Change> = ready.map(|member| Change::Promote { id: member.id }).collect();
        if changes.is_empty() {
            return None;
        }
        let changed = membership.change(&changes).ok()?;
        self.check_quorum(state, &changed).ok().map(|()| changed)
    }

    /// Once the configuration in force is committed, those who were members before are told, by the process that was heard
    /// last.
    pub(super) fn tell_the_leaving(&mut self, state: &mut State) {
        let Some(at) = state.log.membership_index().filter(|at| *at <= state.commit) else { return };
        for (id, disk) in core::mem::take(&mut self.leaving) {
            if let Some(seen) = state.seen.get(&id).copied().filter(|seen| Some(seen.disk) == disk) {
                let message = state.reply(seen, Body::Removed { at });
                state.outbox.send(id, message);
            }
        }
    }

    /// Tells a process that it is not a member, if this leader knows that for sure. Whether it did.
    pub(crate) fn tell_stranger(&self, state: &mut State, from: NodeId, stamp: Stamp) -> bool {
        let (Some(membership), Some(at)) = (state.log.membership(), state.log.membership_index()) else {
            return false;
        };
        let stranger = match membership.get(from) {
            None => true,
            Some(member) => {
                member.replaced == Some(stamp.disk) || member.disk.is_some_and(|it| it != stamp.disk)
            }
        };
        // A leader that removed itself knows.
        if !stranger || from == state.config.id || at > state.commit || state.commit < self.first {
            return false;
        }
        let message = state.reply(stamp, Body::Removed { at });
        state.outbox.send(from, message);
        true
    }
}
