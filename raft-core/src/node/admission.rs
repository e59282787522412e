//! What of a message is let in, before any role looks at it: by its boot, its asker, its term.

use super::{Node, Role};
use crate::candidate::Phase;
use crate::founding;
use crate::ids::{Boot, NodeId, Stamp};
use crate::message::{Ballot, Body, Message};
use crate::planted::Bug;
use crate::receiving;

/// How far ahead a message's term may be. Elections raise terms one by one, so a larger step is not Raft's, and terms
/// never come near the end of their numbers.
const FARTHEST_TERM: u64 = 1 << 32;

impl Node {
    pub(super) fn receive(&mut self, from: NodeId, message: Message) {
        let seen = self.state.seen.get(&from).copied();
        let newer = self.newer_boot(seen, message.from);
        if from == self.state.config.id
            || newer.is_some()
            || self.is_void(&message)
            || !self.may_take(&message)
        {
            if let Some(newer) = newer.filter(|_| !self.state.halted) {
                self.state.tell_rolled_back(from, message.from, newer);
            } else if matches!(message.body, Body::Heartbeat { .. }) {
                founding::ask_leader(&mut self.state, from);
            }
            self.state.ignored += 1;
            return;
        }
        self.notice_boot(from, seen, message.from);
        if let Body::Piece { .. } = message.body {
            return self.take_piece(from, message);
        }
        match &message.body {
            Body::Hello => founding::hello(&mut self.state, from, &message),
            Body::HelloReply(acquaintance) => {
                founding::hello_reply(&mut self.state, from, &message, acquaintance);
            }
            // A fact of the past, whatever the term: an answer to it must not depose who said so.
            Body::Removed { at } => self.state.told_removed(*at),
            Body::RolledBack { seen } => self.state.told_rolled_back(from, *seen),
            // Who holds an entry holds it, whoever leads.
            Body::Lacks { first, last, have } => {
                self.state.give_copies(from, message.from, *first, (*last, *have));
            }
            Body::Copies { slice } => self.state.take_copies(from, slice),
            _ if self.is_strangers(from, &message) => {}
            _ if self.settle_term(from, &message) => self.dispatch(from, message),
            _ => {}
        }
    }

    /// A part of a snapshot, whoever leads. With what it covers comes the term of who gives it: it was committed in that term or
    /// before, and no leader of an earlier one may be heard any more. But a leader that is heard gives, too, and in its own
    /// term; who gives in a later one may be a server that was removed and stands alone.
    fn take_piece(&mut self, from: NodeId, message: Message) {
        if message.term > self.state.hard.term {
            let heard = self.state.leader.is_some() || self.state.hears_leader();
            if heard && !self.state.config.planted(Bug::GiverDeposes) {
                return self.state.ignored += 1;
            }
            if !self.state.config.planted(Bug::GiversTermIgnored) {
                self.become_follower();
                self.state.adopt(message.term);
            }
        }
        receiving::piece(&mut self.state, from, message);
    }

    /// Whether a server asks for votes that isn't a member, by a leader's word that would refuse it anyhow: it is told
    /// so, and disturbs no longer (dissertation 4.2.3).
    fn is_strangers(&mut self, from: NodeId, message: &Message) -> bool {
        let asks = matches!(message.body, Body::PreVote { .. } | Body::Vote { transfer: false, .. });
        match &self.role {
            Role::Leader(leader) if asks && self.state.hears_leader() => {
                leader.tell_stranger(&mut self.state, from, message.from)
            }
            _ => false,
        }
    }

    /// No term is taken that no cluster can have reached. Before the founding nothing is taken but what belongs to it, by a
    /// joining server what a leader sends and others give, the word that the disk was rolled back, and the question for
    /// what others have lost; and what would have to be held is dropped when too much is held already (rule 18).
    fn may_take(&self, message: &Message) -> bool {
        let founding = matches!(
            message.body,
            Body::Hello | Body::HelloReply(_) | Body::RolledBack { .. } | Body::Lacks { .. }
        );
        let taken_in = self.state.taken_in()
            && match message.body {
                Body::Append { .. } | Body::Heartbeat { .. } | Body::Chunk { .. } => true,
                Body::Copies { .. } | Body::Piece { .. } => {
                    !self.state.config.planted(Bug::JoinersTakeNoCopies)
                }
                _ => false,
            };
        let held = matches!(
            message.body,
            Body::Append { .. } | Body::Vote { .. } | Body::TimeoutNow | Body::Chunk { .. }
        ) || self.state.outbox.holds_all();
        message.term.0.saturating_sub(self.state.hard.term.0) <= FARTHEST_TERM
            && (founding || taken_in || self.state.founded())
            && (!held || self.state.may_hold())
    }

    /// A server that restarted has lost what was on its way to it (rule 16).
    fn notice_boot(&mut self, from: NodeId, seen: Option<Stamp>, stamp: Stamp) {
        if seen == Some(stamp) {
            return;
        }
        let on_record = self.state.on_record(from, stamp);
        if on_record || seen.is_none_or(|seen| seen.disk == stamp.disk) {
            self.state.seen.insert(from, stamp);
        }
        if let (true, Some(_), Role::Leader(leader)) = (on_record, seen, &mut self.role) {
            leader.restarted(&mut self.state, from);
        }
    }

    /// The term rule (Figure 2, "all servers"; rule 10), once for all messages. Whether the message is of this term
    /// now; a request of an older one is answered with the newer term.
    fn settle_term(&mut self, from: NodeId, message: &Message) -> bool {
        let adopts = self.state.config.planted(Bug::AdoptsPreVoteTerm);
        let asks_for_term = match &message.body {
            Body::PreVote { .. } if adopts => None,
            Body::PreVote { .. } => return true,
            Body::PreVoteReply { answer } if answer.is_yes() => return true,
            Body::Vote { transfer, .. } => Some(*transfer),
            _ => None,
        };
        let own = self.state.hard.term;
        if message.term < own {
            if self.state.config.planted(Bug::TermGoesBack) && matches!(message.body, Body::Append { .. }) {
                self.become_follower();
                self.state.back_to(message.term);
                return true;
            }
            if self.state.config.planted(Bug::ReplyToEarlierTerm) && message.body.is_reply() {
                return true;
            }
            if !message.body.is_reply() && !self.state.config.planted(Bug::StaleLeaderNotTold) {
                let reply = self.state.reply(message.from, Body::Stale);
                self.state.outbox.send(from, reply);
            }
            return false;
        }
        let removed_deposes = self.state.config.planted(Bug::RemovedDeposes)
            && self.state.log.membership().is_some_and(|members| members.get(from).is_none());
        if asks_for_term == Some(false) && self.state.hears_leader() && !removed_deposes {
            let reply = self.state.reply(message.from, Body::VoteReply { answer: Ballot::Refused });
            self.state.outbox.send(from, reply);
            return false;
        }
        if message.term > own {
            self.become_follower();
            self.state.adopt(message.term);
        }
        true
    }

    /// Whether a leader takes answers and questions from this process: not from a disk that is no member's.
    pub(super) fn accepts(&mut self, from: NodeId, message: &Message) -> bool {
        match &mut self.role {
            Role::Leader(leader)
                if message.body.is_reply() || matches!(message.body, Body::ReadIndex { .. }) =>
            {
                leader.accepts(&self.state, from, message.from, &message.body)
            }
            _ => true,
        }
    }

    /// Whether a message can never matter again, whatever happens: it is dropped, and an exhaustive search need not
    /// deliver it at all. One of an earlier boot matters to its sender alone, if that lives still: see
    /// [`Body::RolledBack`].
    pub fn is_inert(&self, from: NodeId, message: &Message) -> bool {
        self.newer_boot(self.seen(from), message.from).is_some() || self.is_void(message)
    }

    /// The newest boot seen of a disk, if it is a later one than this (rule 16).
    fn newer_boot(&self, seen: Option<Stamp>, stamp: Stamp) -> Option<Boot> {
        let heard = self.state.config.planted(Bug::OlderBootHeard);
        let newer = seen.filter(|seen| seen.disk == stamp.disk && seen.boot > stamp.boot && !heard)?;
        Some(newer.boot)
    }

    /// Whether a message can never matter again, whichever boot sent it.
    fn is_void(&self, message: &Message) -> bool {
        let state = &self.state;
        let other_asker = message.to.is_some_and(|to| to != state.stamp())
            && !state.config.planted(Bug::ReplyToEarlierBoot);
        let older = message.term < state.hard.term && !state.config.planted(Bug::ReplyToEarlierTerm);
        let too_late = match &message.body {
            Body::HelloReply(_) => state.founded(),
            Body::PreVoteReply { answer } if answer.is_yes() => message.term <= state.hard.term,
            Body::VoteReply { .. } => {
                let counting = matches!(&self.role, Role::Candidate(it) if it.phase == Phase::Real);
                older || (message.term == state.hard.term && !counting)
            }
            Body::Appended { .. }
            | Body::Conflict { .. }
            | Body::HeartbeatReply { .. }
            | Body::ChunkReply { .. } => {
                let leads = matches!(self.role, Role::Leader(_));
                older || (message.term == state.hard.term && !leads)
            }
            Body::Stale => message.term <= state.hard.term,
            Body::Copies { .. } | Body::Piece { .. } => !state.repairs(),
            Body::PreVoteReply { .. } | Body::ReadIndexReply { .. } => older,
            Body::Hello
            | Body::PreVote { .. }
            | Body::Vote { .. }
            | Body::Append { .. }
            | Body::Heartbeat { .. }
            | Body::Chunk { .. }
            | Body::ReadIndex { .. }
            | Body::Removed { .. }
            | Body::RolledBack { .. }
            | Body::Lacks { .. }
            | Body::TimeoutNow => false,
        };
        state.halted || !message.is_sound() || other_asker || too_late
    }
}
