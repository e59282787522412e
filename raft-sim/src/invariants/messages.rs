//! What is looked at when a message leaves a node, or reaches one.

use super::cluster::{Ack, Heard, PreVote, Vote};
use super::{
    Judges, Verdict, commit_told, one_vote, patience, pre_vote, progress, promises, reads, removal, repair,
    sightings, snapshots, terms, up_to_date,
};
use crate::facts::Time;
use raft_core::{Ballot, Body, Index, Message, NodeId};

impl Judges {
    pub(super) fn received(&mut self, at: Time, node: NodeId, from: NodeId, message: &Message) {
        sightings::received(&self.cluster, &mut self.coverage, node, from, message);
        let seat = self.cluster.seat_mut(node);
        commit_told::received(seat, message);
        terms::received(seat, message);
        patience::received(seat, at, from, message);
        seat.standing.heard(at, from);
        self.bounds.heard(node, from);
        seat.asked_to_vote |= matches!(message.body, Body::PreVote { .. } | Body::Vote { .. });
        match message.body {
            Body::Appended { matched } => {
                // A snapshot that is installed is answered so, too.
                self.bounds.chunk_heard(node, from);
                progress::heard(&mut self.cluster, node, from, message, matched);
            }
            Body::PreVote { last, .. } => {
                up_to_date::asked_before(seat, at, from, message, last);
            }
            Body::ReadIndex { batch } => self.reads.questioned(seat, from, message, batch),
            Body::ReadIndexReply { index, .. } => reads::heard(seat, message, index),
            Body::ChunkReply { .. } => self.bounds.chunk_heard(node, from),
            Body::Lacks { .. } => self.bounds.lacks(node, from),
            _ => {}
        }
    }

    pub(super) fn sent(&mut self, at: Time, node: NodeId, to: NodeId, message: &Message) -> Verdict {
        let seat = self.cluster.seat(node);
        promises::sent(seat, node, to, message)?;
        repair::sent(seat, &self.matching, node, message)?;
        self.bounds.sent(node, to, message, (seat.led, seat.round))?;
        sightings::sent(seat, &mut self.coverage, to, message);
        let term = message.term;
        let (disk, asker) = (message.from.disk, message.to.unwrap_or_default());
        let seat = self.cluster.seat_mut(node);
        patience::sent(seat, &self.rules, at, node, to, message)?;
        seat.spoke = message.from;
        let seating = seat.seating;
        let hearer = self.cluster.seat_mut(to);
        if message.to.is_none() || asker.disk == hearer.stamp.disk {
            hearer.spoken_to.insert((node, disk), hearer.forces.len().saturating_sub(1));
        }
        match message.body {
            Body::Append { ref slice, .. } => {
                self.claim(node, term)?;
                progress::sent(self.cluster.seat(node), node, to, message, slice.prev().index)
            }
            Body::TimeoutNow => {
                self.claim(node, term)?;
                self.cluster.seat_mut(node).handed_over = Some(term);
                Ok(())
            }
            Body::Heartbeat { round, .. } => {
                self.claim(node, term)?;
                self.cluster.seat_mut(node).begins(at, round);
                Ok(())
            }
            Body::Chunk { ref snapshot, .. } => {
                self.claim(node, term)?;
                snapshots::sent(&self.cluster, node, snapshot)
            }
            Body::Piece { ref snapshot, .. } => snapshots::sent(&self.cluster, node, snapshot),
            Body::ChunkReply { .. } => {
                self.cluster.seat_mut(node).said_what_it_has = true;
                Ok(())
            }
            Body::ReadIndexReply { batch, index } => {
                self.reads.tells(&self.cluster, node, to, message, batch, index)
            }
            Body::Removed { at } => removal::told(&self.cluster, node, to, at),
            Body::VoteReply { answer } if answer.is_yes() => {
                let compared = answer == Ballot::Granted;
                if compared {
                    up_to_date::granted(&self.cluster, node, (to, asker.disk), term)?;
                }
                self.voted(node, message, Vote { disk, candidate: to, asker, seating, compared })
            }
            Body::PreVoteReply { answer } if answer.is_yes() => self.would_vote(node, to, message, answer),
            Body::Vote { last, transfer, .. } => {
                pre_vote::stands(&self.cluster, node, term, self.rules.pre_vote && !transfer)?;
                self.cluster.seat_mut(node).stood.insert((term, disk), last);
                self.voted(
                    node,
                    message,
                    Vote { disk, candidate: node, asker: message.from, seating, compared: true },
                )
            }
            Body::Appended { matched } => self.acknowledged(node, to, message, matched),
            Body::HeartbeatReply { round } => {
                self.cluster.seat_mut(node).heard(to, Heard { disk, asker, term, round });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn would_vote(&mut self, node: NodeId, to: NodeId, message: &Message, answer: Ballot) -> Verdict {
        let (asker, term) = (message.to.unwrap_or_default(), message.term);
        let seat = self.cluster.seat_mut(node);
        if answer == Ballot::Granted {
            up_to_date::would_grant(seat, node, to, asker, term)?;
        }
        seat.pre_voted(asker, PreVote { disk: message.from.disk, term });
        Ok(())
    }

    fn voted(&mut self, node: NodeId, message: &Message, vote: Vote) -> Verdict {
        let leader = self.elections.leader_of(message.term);
        let again = one_vote::sent(self.cluster.seat_mut(node), node, message.term, vote, leader)?;
        sightings::voted(self.cluster.seat(node), &mut self.coverage, node, message.term, vote, again);
        Ok(())
    }

    fn acknowledged(&mut self, node: NodeId, to: NodeId, message: &Message, matched: Index) -> Verdict {
        let (seat, asker) = (self.cluster.seat(node), message.to.unwrap_or_default());
        let current = seat.ledger.hard().term == message.term;
        if current && self.elections.leader_of(message.term) == Some((to, asker)) {
            promises::truthful(seat, self.cluster.seat(to), node, message, matched)?;
        }
        let hash = if current { seat.ledger.chain().hash_at(matched) } else { None };
        let ack = Ack { asker, matched, hash };
        let known = self.cluster.seat_mut(node).acks.entry((message.term, message.from.disk)).or_insert(ack);
        // Another boot of the leader can't lead this term, so its asker is the same.
        if ack.matched > known.matched {
            *known = ack;
        }
        Ok(())
    }
}
