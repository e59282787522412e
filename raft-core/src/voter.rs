//! A voter's answers (paper sections 5.2 and 5.4.1, dissertation 9.6).

use crate::ids::{EntryId, NodeId, Stamp, Term};
use crate::message::Body;
use crate::planted::Bug;
use crate::state::State;

impl State {
    /// Says whether it would vote for a candidate in a later term. A refusal teaches a newer term.
    pub(crate) fn answer_pre_vote(&mut self, from: NodeId, asker: Stamp, asked: Term, last: EntryId) {
        let granted = asked > self.hard.term && !self.hears_leader() && self.eligible(from, asker, last);
        let mut reply = self.reply(asker, Body::PreVoteReply { granted });
        reply.term = if granted { asked } else { self.hard.term.max(Term(asked.0.saturating_sub(1))) };
        self.outbox.send(from, reply);
    }

    /// Votes, at most once a term; a granted vote waits until it is durable (rule 4). Whether it was granted.
    pub(crate) fn answer_vote(&mut self, from: NodeId, asker: Stamp, last: EntryId) -> bool {
        let free = self.hard.vote.is_none_or(|voted| voted == from);
        let granted = free && self.eligible(from, asker, last);
        if granted {
            self.vote(from);
            self.clock.reset();
        }
        let reply = self.reply(asker, Body::VoteReply { granted });
        if granted && !self.config.planted(Bug::VoteBeforeDurable) {
            self.outbox.promise(from, reply);
        } else {
            self.outbox.send(from, reply);
        }
        granted
    }

    /// Whether a candidate could lead: its log is up-to-date, and its disk is not one that the record has replaced.
    fn eligible(&self, from: NodeId, asker: Stamp, last: EntryId) -> bool {
        let member = self.log.membership().and_then(|membership| membership.get(from));
        let on_record = member.and_then(|member| member.disk);
        self.up_to_date(last) && on_record.is_none_or(|disk| disk == asker.disk)
    }
}
