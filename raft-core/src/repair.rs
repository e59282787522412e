//! A log whose disk has lost the bytes of some commands gets them from its peers (the rule of "Protocol-Aware Recovery for
//! Consensus-Based Storage", FAST 2018). The ids and hashes of these entries are good, so the server votes by them, and any
//! server that holds an entry of that id holds that very command: there is one of each term and index. Until all are here
//! again the server neither stands for election, for it could not lead, nor takes or acknowledges anything behind the first
//! of them, nor applies it. Then all from there on is written once more, and held promises wait for that write.

use crate::config::Config;
use crate::entry::{Entry, LogSlice};
use crate::event::Event;
use crate::ids::{EntryId, Index, NodeId, Stamp};
use crate::log::Log;
use crate::message::Body;
use crate::outbox::Pending;
use crate::output::Report;
use crate::planted::Bug;
use crate::state::State;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem;

/// What a start found to be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Repair {
    /// The entries whose commands the disk lacks, in order: also those that are here again, until all are written again.
    rotten: Vec<Index>,
    /// The last entry that the disk was found to hold, less what was truncated since.
    found: Index,
    /// Ticks since the others were asked.
    asked_ago: u32,
    /// Ticks since more of a snapshot was here.
    advanced_ago: u32,
    /// The last entry of the snapshot that is half here, and how many bytes.
    half: (EntryId, u64),
    /// When part of the own snapshot was last given to somebody, in ticks.
    gave_at: Option<u64>,
}

impl Repair {
    /// What is lost of a log.
    pub(crate) fn of(log: &Log) -> Repair {
        let (rotten, found) = (log.decayed().to_vec(), log.last().index);
        Repair { rotten, found, asked_ago: u32::MAX, advanced_ago: u32::MAX, ..Repair::default() }
    }

    /// Up to where the disk holds everything.
    pub(crate) fn whole(&self) -> Index {
        self.rotten.first().and_then(|first| first.previous()).unwrap_or(self.found)
    }

    /// Up to where the disk holds everything once a log up to `last` is written.
    pub(crate) fn whole_of(&self, last: Index) -> Index {
        if self.rotten.is_empty() { last } else { self.whole() }
    }

    /// So much of a snapshot is here. Whether that is more than before.
    pub(crate) fn has(&mut self, last: EntryId, have: u64) -> bool {
        let before = if self.half.0 == last { self.half.1 } else { 0 };
        self.half = (last, have);
        let news = have > before;
        if news {
            (self.advanced_ago, self.asked_ago) = (0, 0);
        }
        news
    }

    /// Whether more of a snapshot came in the last election timeout.
    pub(crate) fn advances(&self, config: &Config) -> bool {
        self.advanced_ago < config.election_ticks
    }
}

/// The other members of the configurations that may be in force, for a log of which everything up to `commit` is known to
/// be committed: the newest one may yet be rolled back, and an earlier one's member may hold what is lost.
pub(crate) fn others(log: &Log, commit: Index, own: NodeId) -> BTreeSet<NodeId> {
    let members = log.memberships_from(commit).flat_map(|membership| membership.members());
    members.map(|member| member.id).filter(|id| *id != own).collect()
}

/// Whether nobody else can have what is lost, as far as a log is known to be committed up to `commit`: it names no other member,
/// and this very disk as the only one. A log that doesn't is the beginning of one that others have.
pub(crate) fn is_alone(log: &Log, commit: Index, config: &Config) -> bool {
    let on_record = log.membership().is_some_and(|members| members.on_record(config.id, config.disk));
    let on_record = on_record || config.planted(Bug::AloneByOldLog);
    on_record && others(log, commit, config.id).is_empty()
}

impl State {
    /// Whether commands are lost here.
    pub(crate) fn repairs(&self) -> bool {
        !self.log.decayed().is_empty()
    }

    /// Time passes: once a heartbeat every other member is asked for the first lost command, and what follows it. So is the
    /// leader that is heard: who has been away may know none of today's members.
    pub(crate) fn ask_for_copies(&mut self, elapsed: u32) {
        if !self.repairs() {
            return;
        }
        self.repair.asked_ago = self.repair.asked_ago.saturating_add(elapsed);
        self.repair.advanced_ago = self.repair.advanced_ago.saturating_add(elapsed);
        if self.repair.asked_ago < self.config.heartbeat_ticks || !self.may_hold() {
            return;
        }
        self.repair.asked_ago = 0;
        let mut asked = others(&self.log, self.commit, self.config.id);
        asked.extend(self.leader.filter(|_| !self.config.planted(Bug::AsksMembersOnly)));
        for other in asked {
            self.ask_for_more(other);
        }
    }

    /// Asks one server for the first command that is still lost.
    pub(crate) fn ask_for_more(&mut self, of: NodeId) {
        let Some(first) = self.log.decayed().first() else { return };
        let first = self.log.id_at(*first).expect("what has decayed is in the log");
        let (last, have) = self.repair.half;
        let message = self.request(Body::Lacks { first, last, have });
        self.outbox.send(of, message);
    }

    /// Sends what is held of this entry and those behind it, as much as an append may carry. If the log begins later, a part
    /// of the snapshot.
    pub(crate) fn give_copies(&mut self, to: NodeId, asker: Stamp, first: EntryId, half: (EntryId, u64)) {
        if first.index <= self.log.base().index {
            return self.give_piece(to, asker, first, half);
        }
        let limits = &self.config.limits;
        let (mut entries, mut size) = (Vec::new(), 0);
        for entry in self.log.from(first.index).take(limits.batch_entries) {
            let full = !entries.is_empty() && size + entry.weight() > limits.batch_bytes;
            if full || entry.is_decayed() {
                break;
            }
            size += entry.weight();
            entries.push(entry.clone());
        }
        let prev = first.index.previous().and_then(|index| self.log.id_at(index));
        match prev.and_then(|prev| LogSlice::new(prev, entries)) {
            Some(slice) if slice.id_at(first.index) == Some(first) => {
                let reply = self.reply(asker, Body::Copies { slice });
                self.outbox.send(to, reply);
            }
            _ => self.ignored += 1,
        }
    }

    /// Sends what follows of the snapshot that covers this entry.
    fn give_piece(&mut self, to: NodeId, asker: Stamp, first: EntryId, (last, have): (EntryId, u64)) {
        let leads = self.leader == Some(self.config.id);
        let gives = leads || !self.config.planted(Bug::OnlyLeadersGive);
        let snapshot = self.snapshot.clone().filter(|it| gives && it.last().index >= first.index);
        let Some(snapshot) = snapshot.filter(|_| !self.outbox.holds_all()) else {
            return self.ignored += 1;
        };
        let offset = if last == snapshot.last() { have.min(snapshot.size) } else { 0 };
        let left = usize::try_from(snapshot.size - offset).unwrap_or(usize::MAX);
        let length = left.min(self.config.limits.chunk_bytes);
        let (from, term) = (self.stamp(), self.hard.term);
        self.repair.gave_at = Some(self.clock.now);
        self.outbox.put(Pending::Fetch { to, asker: Some(asker), from, term, snapshot, offset, length });
    }

    /// Whether the own snapshot is being given to somebody: while it is, the next one is patient.
    pub(crate) fn gives(&self) -> bool {
        let timeout = u64::from(self.config.election_ticks);
        self.repair.gave_at.is_some_and(|at| self.clock.now - at < timeout)
    }

    /// The own snapshot can't be read any more: if somebody was given parts of it, another one is taken.
    pub(crate) fn cannot_give(&mut self, last: EntryId) {
        if self.gives() && self.snapshot.as_ref().is_some_and(|snapshot| snapshot.last() == last) {
            self.capture.replace();
        }
    }

    /// Takes what a peer holds of lost commands. If some are still lost, it is asked for these at once.
    pub(crate) fn take_copies(&mut self, from: NodeId, slice: &LogSlice) {
        let mut mended = 0;
        for entry in slice.entries() {
            match self.mend(entry) {
                Ok(news) => mended += usize::from(news),
                Err(report) => return self.halt(report),
            }
        }
        if mended == 0 {
            self.ignored += 1;
        } else {
            // Who gives is asked for more; the others only when it has fallen silent.
            self.repair.asked_ago = 0;
            self.ask_for_more(from);
        }
        self.rewrite_when_whole();
    }

    /// Puts a command in its place if it is lost here. Whether it was.
    pub(crate) fn mend(&mut self, entry: &Entry) -> Result<bool, Report> {
        let same = self.log.entry(entry.index()).filter(|ours| ours.is_decayed() && ours.id() == entry.id());
        match same {
            Some(ours) if ours.hash() != entry.hash() => Err(Report::SameIdOtherEntry { id: entry.id() }),
            Some(_) => Ok(self.log.mend(entry)),
            None => Ok(false),
        }
    }

    /// Once no command is lost any more, all behind the first that was is written again: the next start finds it whole.
    pub(crate) fn rewrite_when_whole(&mut self) {
        if self.repairs() {
            return;
        }
        let Some(first) = mem::take(&mut self.repair.rotten).first().copied() else { return };
        if let Some(before) = first.previous() {
            self.outbox.stage_truncation(before);
            self.outbox.stage_entries(self.log.from(first).cloned().collect());
        }
        self.outbox.put(Pending::Event(Event::Repaired));
    }

    /// The entries after `keep` are gone, and what of them was lost.
    pub(crate) fn forget_rotten_after(&mut self, keep: Index) {
        self.repair.rotten.retain(|index| *index <= keep);
        self.repair.found = self.repair.found.min(keep);
    }

    /// A durable snapshot covers everything up to `last`, and with it lost commands: the log in memory begins behind it. The
    /// disk's log stays as it is, and holds what follows; the next start comes to the same by itself.
    pub(crate) fn cover(&mut self, last: Index) {
        self.log.compact(last);
        self.repair.rotten.retain(|index| *index > last);
        self.outbox.put(Pending::Release { through: last });
        self.outbox.found_whole(self.repair.whole());
        if self.repair.rotten.is_empty() {
            self.outbox.put(Pending::Event(Event::Repaired));
        } else if !self.config.planted(Bug::MendedNotRewritten) {
            // What stands behind the snapshot may all be here again, and not on the disk.
            self.rewrite_when_whole();
        }
    }
}
