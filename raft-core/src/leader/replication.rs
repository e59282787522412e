//! How a leader brings its log to every member (paper section 5.3), or a snapshot where the log begins too late (7).

use super::reconfigure::Round;
use super::{Leader, Peer};
use crate::entry::LogSlice;
use crate::event::Event;
use crate::ids::{EntryId, Index, NodeId};
use crate::message::{Body, Message};
use crate::outbox::Pending;
use crate::planted::Bug;
use crate::progress::Progress;
use crate::state::State;
use crate::status::FlowName;

impl Leader {
    /// A member holds everything up to `matched`.
    pub(crate) fn appended(&mut self, state: &mut State, from: NodeId, matched: Index) {
        let Some(peer) = self.heard(state, from) else { return };
        // Each append is on the base or after it when it leaves; what was acknowledged before the base moved is late.
        if matched > state.log.last().index {
            state.ignored += 1;
            return;
        }
        // A server that restarted doesn't know how far its log is the leader's: the question stays. An append to its
        // last boot, answered by this one, says less than was known; without the question's, an idle leader would leave
        // the server with entries that it can't commit.
        let early = state.config.planted(Bug::LateAckEndsProbe);
        if peer.progress.name() == FlowName::Probe && matched < peer.progress.matched && !early {
            return;
        }
        let flow = peer.progress.name();
        let news = peer.progress.appended(matched, state.log.base().index);
        peer.tell_flow(state, flow);
        if news {
            peer.pulse.stalled = 0;
            self.catch_up(state, from);
            self.advance_commit(state);
        }
    }

    /// A member's log doesn't meet ours at `asked`.
    pub(crate) fn conflict(&mut self, state: &mut State, from: NodeId, asked: EntryId, hint: EntryId) {
        let Some(peer) = self.heard(state, from) else { return };
        if hint.index >= asked.index {
            state.ignored += 1;
            return;
        }
        peer.pulse.stalled = 0;
        // Nothing can be said about a place before the base: what is there is asked, and a snapshot is the answer.
        let meet = if hint.index < state.log.base().index {
            hint.index
        } else {
            state.log.newest_within(hint.index, hint.term).index
        };
        let flow = peer.progress.name();
        if state.config.planted(Bug::RejectBelowMatched) {
            peer.progress.matched = peer.progress.matched.min(meet);
            peer.progress.probe(meet.next());
        } else {
            peer.progress.conflict(asked, meet);
        }
        peer.tell_flow(state, flow);
    }

    /// A member says how much it has of the snapshot that it is being sent.
    pub(crate) fn chunk_reply(&mut self, state: &mut State, from: NodeId, last: EntryId, have: u64) {
        let Some(peer) = self.heard(state, from) else { return };
        let sending = peer.progress.sending().filter(|sending| sending.last() == last);
        match sending {
            Some(sending) if have <= sending.snapshot.size => {
                if sending.answered(have) {
                    peer.pulse.stalled = 0;
                }
            }
            _ => state.ignored += 1,
        }
    }

    /// A snapshot can't be read any more: whoever is being sent it begins anew with a newer one. If there is none, one is
    /// taken, and what was asked for is taken for lost after two heartbeats.
    pub(crate) fn missing(&mut self, state: &mut State, last: EntryId) {
        for peer in &mut self.peers {
            let Some(sending) = peer.progress.sending().filter(|sending| sending.last() == last) else {
                continue;
            };
            if state.snapshot.as_ref() == Some(&sending.snapshot) {
                state.capture.replace();
            } else {
                let flow = peer.progress.name();
                peer.progress.probe(peer.progress.matched.next());
                peer.tell_flow(state, flow);
            }
        }
    }

    /// A member restarted, or can't be reached: what was on its way to it is gone (rule 16).
    pub(crate) fn restarted(&mut self, state: &mut State, id: NodeId) {
        let next = state.log.last().index.next();
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
            let flow = peer.progress.name();
            match peer.progress.sending() {
                // What it had stored of a snapshot it may still have: it is asked.
                Some(sending) => sending.lost(),
                None => peer.progress.probe(next),
            }
            peer.tell_flow(state, flow);
        }
    }

    /// The driver can't reach a member: what is on its way is lost. It is tried again once a heartbeat.
    pub(crate) fn unreachable(&mut self, state: &mut State, id: NodeId) {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) else { return };
        peer.pulse.absent = true;
        if peer.progress.waits() {
            let flow = peer.progress.name();
            peer.progress.lost();
            peer.tell_flow(state, flow);
        }
    }

    /// What was on its way for two heartbeats without an answer is taken for lost, if the member answers at all.
    pub(super) fn probe_the_stalled(&mut self, state: &mut State) {
        for peer in &mut self.peers {
            let pulse = &mut peer.pulse;
            pulse.stalled = if peer.progress.waits() { pulse.stalled + 1 } else { 0 };
            let snapshot = peer.progress.sending().is_some();
            let forgets = state.config.planted(if snapshot { Bug::ChunksLost } else { Bug::LostWindow });
            if peer.pulse.stalled >= 2 && peer.pulse.heard && !forgets {
                let flow = peer.progress.name();
                peer.progress.lost();
                peer.tell_flow(state, flow);
                (peer.pulse.stalled, peer.pulse.heard) = (0, false);
            }
        }
    }

    /// Appends and chunks for every member that may be sent any.
    pub(super) fn send(&mut self, state: &mut State) {
        let (own, last, base) = (state.config.id, state.log.last().index, state.log.base().index);
        let mut limits = state.config.limits;
        if state.config.planted(Bug::WindowUnbounded) {
            (limits.inflight_appends, limits.inflight_bytes) = (usize::MAX, usize::MAX);
        }
        for peer in self.peers.iter_mut().filter(|peer| peer.id != own && !peer.pulse.absent) {
            if peer.progress.next() <= base && peer.progress.may_send(last, &limits) {
                let flow = peer.progress.name();
                let snapshot = state.snapshot.clone().expect("a log that begins late has its snapshot");
                peer.progress.send_snapshot(snapshot);
                peer.tell_flow(state, flow);
            }
            while peer.progress.next() > base && peer.progress.may_send(last, &limits) {
                let message = append_message(state, &mut peer.progress);
                state.outbox.send(peer.id, message);
            }
            send_chunks(state, peer);
        }
    }

    /// The first index that a member will need behind the snapshot that it is being sent, if it is heard.
    pub(crate) fn needed(&self, state: &State) -> Option<Index> {
        let timeout = u64::from(state.config.election_ticks);
        let heard = self.peers.iter().filter(|peer| state.clock.now - peer.pulse.heard_at < timeout);
        let sending = heard.filter_map(|peer| match &peer.progress.flow {
            crate::progress::Flow::Snapshot(sending) => Some(sending.last().index),
            _ => None,
        });
        sending.min()
    }
}

impl Peer {
    /// Tells of the flow if it isn't what it was. Who isn't streamed the log any more has to catch up anew.
    pub(super) fn tell_flow(&mut self, state: &mut State, was: FlowName) {
        let flow = self.progress.name();
        if flow != was {
            if flow != FlowName::Replicate {
                self.pulse.catch_up = Round::new(state);
            }
            state.outbox.put(Pending::Event(Event::Flow { peer: self.id, flow }));
        }
    }
}

fn send_chunks(state: &mut State, peer: &mut Peer) {
    let limits = state.config.limits;
    let (from, term) = (state.stamp(), state.hard.term);
    let Some(sending) = peer.progress.sending() else { return };
    while let Some((offset, length)) = sending.next_chunk(&limits) {
        let snapshot = sending.snapshot.clone();
        let (to, asker) = (peer.id, None);
        state.outbox.put(Pending::Fetch { to, asker, from, term, snapshot, offset, length });
    }
}

/// The next append for a member: as many entries as the limits allow, at least one if there is one.
fn append_message(state: &State, progress: &mut Progress) -> Message {
    let limits = &state.config.limits;
    let next = progress.next();
    let (mut count, mut size) = (0, 0);
    for entry in state.log.from(next).take(limits.batch_entries) {
        if count > 0 && size + entry.weight() > limits.batch_bytes {
            break;
        }
        size += entry.weight();
        count += 1;
    }
    let entries = state.log.from(next).take(count).cloned().collect();
    let prev =
        next.previous().and_then(|index| state.log.id_at(index)).expect("the log reaches down to its base");
    let slice = LogSlice::new(prev, entries).expect("the log is contiguous");
    progress.sent(slice.last().index, size);
    progress.told = state.commit.min(slice.last().index).max(progress.told);
    state.request(Body::Append { slice, commit: state.commit })
}
