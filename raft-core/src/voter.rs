//! A voter's answers (paper sections 5.2 and 5.4.1, dissertation 9.6).

use crate::ids::{EntryId, NodeId, Stamp, Term};
use crate::message::{Ballot, Body};
use crate::planted::Bug;
use crate::state::State;

/// Who asks for a vote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) id: NodeId,
    pub(crate) stamp: Stamp,
    /// Its last entry.
    pub(crate) last: EntryId,
    /// Its configuration stands in its log.
    pub(crate) recorded: bool,
}

impl State {
    /// Says whether it would vote for a candidate in a later term. A refusal teaches a newer term.
    pub(crate) fn answer_pre_vote(&mut self, asker: Asker, asked: Term) {
        let refuses = asked <= self.hard.term || self.hears_leader();
        let answer = if refuses { Ballot::Refused } else { self.pre_vote_for(asker) };
        self.taken_for_voter(asker);
        let mut reply = self.reply(asker.stamp, Body::PreVoteReply { answer });
        reply.term =
            if answer.is_yes() { asked } else { self.hard.term.max(Term(asked.0.saturating_sub(1))) };
        self.outbox.send(asker.id, reply);
    }

    /// Votes, at most once a term; a granted vote waits until it is durable (rule 4). Whether it was granted.
    pub(crate) fn answer_vote(&mut self, asker: Asker) -> bool {
        let free = self.hard.vote.is_none_or(|voted| voted == asker.id && self.voted_for_disk(asker.stamp));
        let answer = if free { self.vote_for(asker) } else { Ballot::Refused };
        let granted = answer.is_yes();
        self.taken_for_voter(asker);
        if granted {
            self.vote(asker.id, asker.stamp.disk);
            if !self.config.planted(Bug::VoteKeepsTimer) {
                self.clock.reset();
            }
        }
        let reply = self.reply(asker.stamp, Body::VoteReply { answer });
        if granted && !self.config.planted(Bug::VoteBeforeDurable) {
            self.outbox.promise(asker.id, reply);
        } else {
            self.outbox.send(asker.id, reply);
        }
        granted
    }

    /// Whether the vote of this term is that very disk's: a replaced one and its successor bear one id, and may both stand
    /// (rule 16). Which disk it was is forgotten at a restart; then it isn't given again.
    fn voted_for_disk(&self, asker: Stamp) -> bool {
        self.voted_disk == Some(asker.disk) || self.config.planted(Bug::VotesForIdAlone)
    }

    fn pre_vote_for(&self, asker: Asker) -> Ballot {
        if self.config.planted(Bug::PreVoteAnyLog) { Ballot::Granted } else { self.vote_for(asker) }
    }

    /// Whether a candidate could lead: its log is up-to-date, and its disk is the one on record. A longer log may have a
    /// newer record than this one; but the founders' hearsay of each other, which stands in no log, doesn't count. Who has
    /// lost commands can't lead itself, so its longer log is no reason to refuse: its vote is blind.
    fn vote_for(&self, asker: Asker) -> Ballot {
        let member = self.log.membership().and_then(|membership| membership.get(asker.id));
        let on_record = member.and_then(|member| member.disk).is_none_or(|disk| disk == asker.stamp.disk);
        if self.config.planted(Bug::VotesForMembersOnly) && member.is_none() {
            return Ballot::Refused;
        }
        let newer = asker.recorded && asker.last > self.log.last();
        let blind = self.repairs() && !self.config.planted(Bug::LossRefuses);
        match self.up_to_date(asker.last) {
            true if on_record || newer => Ballot::Granted,
            false if on_record && blind => Ballot::Blind,
            _ => Ballot::Refused,
        }
    }

    /// A candidate asks a server for its vote that has none by its own log: if it must refuse because its log is newer,
    /// it may be the only one left that can be elected ([`State::may_campaign`]).
    fn taken_for_voter(&mut self, asker: Asker) {
        self.wanted |= asker.last < self.log.last() && !self.may_campaign();
    }

    /// Whether the configuration in force stands in the log: it is not what the founders have heard of each other.
    pub(crate) fn is_recorded(&self) -> bool {
        self.log.membership_index().is_some_and(|at| at > EntryId::ORIGIN.index)
    }
}
