//! A follower is sent a snapshot because the leader's log begins behind its own (paper section 7, Figure 13). Its parts
//! pass through to the disk; once all of it is durable, the log begins anew behind it (rules 12 and 17).

use crate::event::Event;
use crate::ids::{EntryId, Index, NodeId, Stamp};
use crate::log::Log;
use crate::message::{Body, Message};
use crate::outbox::Pending;
use crate::output::Report;
use crate::planted::Bug;
use crate::repair::Repair;
use crate::snapshot::{Snapshot, Stored};
use crate::state::State;
use bytes::Bytes;

/// A snapshot that arrives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Receiving {
    snapshot: Snapshot,
    from: NodeId,
    asker: Stamp,
    /// It was asked for because commands are lost here: whoever has it gives it.
    repairs: bool,
}

impl Receiving {
    /// The last entry that it covers.
    pub(crate) fn last(&self) -> EntryId {
        self.snapshot.last()
    }
}

/// Takes a part of a snapshot of the current term's leader.
pub(crate) fn chunk(
    state: &mut State,
    from: NodeId,
    asker: Stamp,
    snapshot: Snapshot,
    offset: u64,
    data: Bytes,
) {
    if is_known(state, &snapshot) {
        return acknowledge(state, from, asker, snapshot.last());
    }
    store(state, Receiving { snapshot, from, asker, repairs: false }, offset, data);
}

/// Takes a part of a snapshot that covers a lost command. What a leader sends goes before, and what has been begun, as long
/// as it goes on.
pub(crate) fn piece(state: &mut State, from: NodeId, message: Message) {
    let Body::Piece { snapshot, offset, data } = message.body else { return };
    let other = state.receiving.as_ref().filter(|receiving| receiving.snapshot != snapshot);
    let goes_on = |other: &Receiving| {
        let advances = state.repair.advances(&state.config) || state.config.planted(Bug::StaleTransferBlocks);
        advances && (other.repairs || state.leader == Some(other.from))
    };
    if !lacks_below(state, snapshot.last().index) || other.is_some_and(goes_on) {
        return state.ignored += 1;
    }
    store(state, Receiving { snapshot, from, asker: message.from, repairs: true }, offset, data);
}

fn store(state: &mut State, receiving: Receiving, offset: u64, data: Bytes) {
    let (from, snapshot) = (receiving.from, receiving.snapshot.clone());
    // A window of parts and a question, whatever they are of (rule 18).
    let too_many =
        state.storing > state.config.limits.inflight_chunks && !state.config.planted(Bug::StoresUnbounded);
    if too_many || snapshot.last().index > Index::FARTHEST || !state.may_cover() {
        state.ignored += 1;
        return;
    }
    state.storing += 1;
    if state.receiving.as_ref().is_none_or(|receiving| receiving.snapshot != snapshot) {
        let last = snapshot.last();
        state.outbox.put(Pending::Event(Event::Receiving { from, last }));
    }
    state.receiving = Some(receiving);
    state.outbox.put(Pending::Store { snapshot, offset, data });
}

/// Whether the snapshot tells nothing new: it ends at or below the commit, or its last entry is in the log and with it
/// all before. Then what follows it stays (Figure 13, rule 6).
fn is_known(state: &State, snapshot: &Snapshot) -> bool {
    let last = snapshot.last();
    if lacks_below(state, last.index) || state.config.planted(Bug::SnapshotGoesBack) {
        return false;
    }
    if state.config.planted(Bug::SuffixKept) {
        return last.index <= state.log.last().index;
    }
    last.index <= state.commit || state.log.holds(&snapshot.base)
}

/// Whether a command is lost here that the snapshot covers.
fn lacks_below(state: &State, last: Index) -> bool {
    state.log.decayed().first().is_some_and(|first| *first <= last)
}

/// What the snapshot covers is committed, and is here.
fn acknowledge(state: &mut State, from: NodeId, asker: Stamp, last: EntryId) {
    if state.config.planted(Bug::KnownSnapshotUnanswered) {
        return;
    }
    let matched = if last.index <= state.commit {
        // What is committed is in the leader's order, as far as this disk goes; the snapshot itself may be old.
        state.commit.min(state.outbox.durable())
    } else {
        state.commit_to(last.index);
        // What was given back and is not written again yet is not here.
        last.index.min(state.repair.whole_of(last.index))
    };
    state.met = state.met.max(matched);
    let reply = state.reply(asker, Body::Appended { matched });
    state.outbox.promise(from, reply);
}

/// A part was stored. Whoever sent it learns how much is here; once all is, the snapshot takes the log's place. Only a
/// follower of the very leader that sends it does so: the others find another way.
pub(crate) fn stored(state: &mut State, receipt: Stored, follows: bool) {
    state.outbox.check_stored(&receipt);
    state.storing = state.storing.checked_sub(1).expect("a receipt is handed in once");
    let Some(receiving) = state.receiving.as_ref().filter(|it| it.snapshot == receipt.snapshot) else {
        return;
    };
    let (from, asker, last, repairs) = (receiving.from, receiving.asker, receiving.last(), receiving.repairs);
    let news = state.repairs() && state.repair.has(last, receipt.have);
    if repairs {
        return given(state, from, receipt, news);
    }
    if !follows || state.leader != Some(from) {
        return;
    }
    if receipt.have < receipt.snapshot.size {
        let reply = state.reply(asker, Body::ChunkReply { last, have: receipt.have });
        return state.outbox.send(from, reply);
    }
    state.receiving = None;
    if is_known(state, &receipt.snapshot) {
        return acknowledge(state, from, asker, last);
    }
    let covers = install(state, receipt.snapshot);
    if covers {
        return acknowledge(state, from, asker, last);
    }
    let reply = state.reply(asker, Body::Appended { matched: last.index });
    if state.config.planted(Bug::InstallAckBeforeDurable) {
        state.outbox.send(from, reply);
    } else {
        state.outbox.promise(from, reply);
    }
}

/// A part was stored of a snapshot that covers lost commands. Whoever gave it is asked for what follows, once for each part;
/// once all is here, it takes their place. All that it covers is committed, so nobody has to be a leader for that, and nobody
/// waits for word of it.
fn given(state: &mut State, from: NodeId, receipt: Stored, news: bool) {
    let Stored { snapshot, have, .. } = receipt;
    if have < snapshot.size {
        if news {
            state.ask_for_more(from);
        } else if have == 0 {
            // It was damaged: another server's may be whole.
            state.receiving = None;
        }
        return;
    }
    state.receiving = None;
    let last = snapshot.last();
    if state.log.id_at(last.index) == Some(last) && !state.log.holds(&snapshot.base) {
        return state.halt(Report::SameIdOtherEntry { id: last });
    }
    if lacks_below(state, last.index) {
        install(state, snapshot);
    }
}

/// The log begins anew behind the snapshot; what is said of it and the application's restore wait for that write. If it
/// holds what the snapshot covers, but for lost commands, it stays as it is: whether that is so.
fn install(state: &mut State, snapshot: Snapshot) -> bool {
    let (last, mut base) = (snapshot.last(), snapshot.base.clone());
    if lacks_below(state, last.index) && state.log.holds(&base) {
        state.commit_to(last.index);
        state.snapshot = Some(snapshot);
        state.capture.restored();
        state.cover(last.index);
        return true;
    }
    if state.config.planted(Bug::InstalledMembershipIgnored)
        && let Some(before) = state.log.membership()
    {
        base.membership = before.clone();
    }
    state.log = Log::new(Some(&base));
    state.repair = Repair::of(&state.log);
    state.outbox.stage_base(base, state.commit.min(last.index));
    state.commit_to(last.index);
    state.met = state.met.max(last.index);
    state.snapshot = Some(snapshot);
    state.capture.restored();
    false
}

impl State {
    /// The application is to be restored once the log's new beginning is durable, before anything behind it is applied.
    pub(crate) fn restore(&mut self, durable: Index) {
        let base = self.log.base();
        if self.applied >= base.index || durable < base.index || self.halted {
            return;
        }
        let snapshot =
            self.snapshot.clone().expect("a log that begins behind what is applied has its snapshot");
        self.applied = base.index;
        self.outbox.put(Pending::Restore(snapshot));
        self.outbox.put(Pending::Event(Event::Restored { last: base }));
        self.settle(base);
        if let Some(membership) = self.log.membership_at(base.index).cloned() {
            self.note_membership(base.index, &membership);
        }
    }
}
