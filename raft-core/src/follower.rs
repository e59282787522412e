//! A follower takes the leader's entries into its log (paper section 5.3). Candidates and old leaders come here, too,
//! once they hear a leader of their term.

use crate::entry::LogSlice;
use crate::ids::{Index, NodeId, Round, Stamp};
use crate::message::Body;
use crate::output::Report;
use crate::planted::Bug;
use crate::state::State;

/// Takes an append of the current term's leader.
pub(crate) fn append(state: &mut State, from: NodeId, asker: Stamp, slice: LogSlice, commit: Index) {
    let (prev, last) = (slice.prev(), slice.last());
    if prev.index > state.log.base().index && state.log.term_at(prev.index) != Some(prev.term) {
        let within = prev.index.previous().unwrap_or_default();
        let hint = state.log.newest_within(within, prev.term);
        let reply = state.reply(asker, Body::Conflict { asked: prev, hint });
        return state.outbox.send(from, reply);
    }
    if state.config.planted(Bug::TruncateBeforeCompare) && prev.index >= state.commit {
        state.truncate(prev.index);
    }
    let before = state.log.last();
    if let Err(report) = take(state, slice) {
        return state.halt(report);
    }
    state.rewrite_when_whole();
    if state.repairs() && !state.config.planted(Bug::AckWithDecay) {
        return;
    }
    let cap = if state.config.planted(Bug::CommitByOwnLast) { state.log.last().index } else { last.index };
    state.met = state.met.max(last.index);
    state.commit_to(commit.min(cap).max(state.commit));
    let reply = state.reply(asker, Body::Appended { matched: last.index });
    let early = state.config.planted(Bug::RepeatedAckEarly) && state.log.last() == before;
    if early || state.config.planted(Bug::AckBeforeDurable) {
        return state.outbox.send(from, reply);
    }
    state.outbox.promise(from, reply);
}

/// Appends what is new. Truncates only from the first entry that conflicts (rule 8): an append may be old, and what
/// follows its last entry is not its business.
fn take(state: &mut State, slice: LogSlice) -> Result<(), Report> {
    let base = state.log.base();
    let theirs = slice.id_at(base.index).filter(|theirs| *theirs != base);
    if let Some(theirs) = theirs {
        return Err(Report::ConflictBelowCommit { theirs, ours: base });
    }
    if slice.prev() == state.log.last() && !state.repairs() {
        // As a rule all of it is new.
        state.append_all(slice.into_entries());
        return Ok(());
    }
    for entry in slice.into_entries() {
        let id = entry.id();
        if id.index <= base.index {
            continue;
        }
        match state.log.entry(id.index) {
            Some(ours) if ours.id() == id => {
                if ours.hash() != entry.hash() {
                    return Err(Report::SameIdOtherEntry { id });
                }
                state.log.mend(&entry);
                continue;
            }
            Some(ours) if id.index <= state.commit && !state.config.planted(Bug::TruncatesBelowCommit) => {
                return Err(Report::ConflictBelowCommit { theirs: id, ours: ours.id() });
            }
            Some(_) => state.truncate(id.index.previous().unwrap_or_default()),
            None => {}
        }
        // What is lost comes first.
        if state.repairs() {
            break;
        }
        state.append(entry);
    }
    Ok(())
}

/// Takes a heartbeat of the current term's leader. Its commit is capped by what this server acknowledged, so a log that
/// doesn't reach it has lost what it had promised (rule 8); unless it is meant for the disk that was this member's
/// before. For the same reason it commits only what this process was sent.
pub(crate) fn heartbeat(state: &mut State, from: NodeId, asker: Stamp, commit: Index, round: Round) {
    let last = state.log.last();
    if state.config.planted(Bug::CommitGoesBack) {
        state.commit = commit.min(last.index).max(state.log.base().index);
    } else if state.config.planted(Bug::HeartbeatUncapped) {
        state.commit_to(commit.min(last.index));
    } else if commit > last.index && state.on_record(state.config.id, state.stamp()) {
        return state.give_up(Report::LostAcknowledged { commit, last });
    } else {
        state.commit_to(commit.min(state.met).min(last.index));
    }
    let reply = state.reply(asker, Body::HeartbeatReply { round });
    state.outbox.send(from, reply);
}
