//! Snapshots of this node's own, and the log that they make unnecessary (paper section 7, dissertation 5.1): when the
//! log has grown, the application is asked for one, at a place of the apply stream; when it is durable, the log in memory
//! begins later. Some entries stay behind it, so that a follower that was away briefly needs no snapshot.

use crate::config::Limits;
use crate::event::Event;
use crate::ids::Index;
use crate::log::Log;
use crate::outbox::Pending;
use crate::planted::Bug;
use crate::snapshot::Snapshot;
use crate::state::State;

/// While a snapshot is being sent, the log may grow to this many times the limits before the next one is taken: a
/// transfer that always had to begin anew would never end.
const PATIENCE: u64 = 4;

/// What was applied since the newest snapshot was asked for, and what is to become of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Capture {
    entries: u64,
    bytes: usize,
    /// One is under way.
    busy: bool,
    /// Somebody asked for one.
    wanted: bool,
    /// The log may begin behind this index.
    target: Option<Index>,
    /// It had not come to that when the next snapshot was there: whoever needs the log longer needs too much.
    late: bool,
}

impl Capture {
    /// An entry was applied.
    pub(crate) fn applied(&mut self, size: usize) {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
    }

    /// A snapshot came from elsewhere: nothing was applied since.
    pub(crate) fn restored(&mut self) {
        (self.entries, self.bytes, self.target) = (0, 0, None);
    }

    /// Takes one as soon as possible.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// The newest snapshot is not there any more: takes another one, even if nothing was applied since.
    pub(crate) fn replace(&mut self) {
        (self.wanted, self.entries) = (true, self.entries.max(1));
    }

    fn exceeds(&self, limits: &Limits, times: u64) -> bool {
        let bytes = limits.snapshot_bytes.saturating_mul(usize::try_from(times).unwrap_or(usize::MAX));
        self.entries >= limits.snapshot_entries.saturating_mul(times) || self.bytes >= bytes
    }

    fn is_due(&self, limits: &Limits, sending: bool) -> bool {
        let grown = self.exceeds(limits, if sending { PATIENCE } else { 1 });
        !self.busy && self.entries > 0 && (self.wanted || grown)
    }
}

impl State {
    /// Asks for a snapshot if one is due. `sending`: to whom one is being sent may still need what follows it.
    pub(crate) fn capture(&mut self, sending: bool) {
        // The founders' disks are what each has heard until the first change puts them on record: nobody's snapshot may
        // hold its own hearsay.
        let hearsay = || self.log.is_hearsay_at(self.applied);
        let due = self.capture.is_due(&self.config.limits, sending) && self.may_cover();
        if !due || self.halted || hearsay() {
            return;
        }
        let Some(mut base) = self.log.base_at(self.applied) else { return };
        if self.config.planted(Bug::SnapshotNewestMembership) {
            base.membership = self.log.membership().cloned().unwrap_or_default();
        }
        self.capture = Capture {
            busy: true,
            target: self.capture.target,
            late: self.capture.late,
            ..Capture::default()
        };
        self.outbox.put(Pending::Capture(base));
    }

    /// Whether a snapshot may come to be on the disk. What it covers was committed in this term or before: the next start must
    /// find this term, too, or a leader of an earlier one, who may know nothing of it, would be heard.
    pub(crate) fn may_cover(&self) -> bool {
        self.outbox.hard_is_durable() || self.config.planted(Bug::SnapshotBeforeTerm)
    }

    /// A snapshot that was asked for is durable, or came to nothing. One that another has overtaken is of no use.
    pub(crate) fn captured(&mut self, snapshot: Option<Snapshot>) {
        self.capture.busy = false;
        let Some(snapshot) = snapshot else { return };
        let last = snapshot.last();
        // One of the same place takes the place of one that can't be read.
        if last.index < self.log.base().index || self.snapshot.as_ref().is_some_and(|held| held.last() > last)
        {
            return;
        }
        assert!(self.log.holds(&snapshot.base), "a snapshot is of this node's own log");
        self.outbox.put(Pending::Event(Event::Captured { last }));
        self.snapshot = Some(snapshot);
        self.capture.late = self.capture.target.is_some();
        self.capture.target = Some(retained(&self.log, last.index, &self.config.limits));
        if self.config.planted(Bug::CompactsPastSnapshot) {
            self.capture.target = Some(self.applied);
        }
    }

    /// Lets the log begin as late as it may. `needed`: a member is being sent a snapshot, and will need what follows this
    /// index.
    pub(crate) fn compact(&mut self, needed: Option<Index>) {
        let Some(target) = self.capture.target else { return };
        let patient = !self.capture.late && !self.capture.exceeds(&self.config.limits, PATIENCE);
        let through = needed.filter(|_| patient).map_or(target, |needed| target.min(needed));
        if through == target {
            (self.capture.target, self.capture.late) = (None, false);
        }
        // Before its first configuration, a log that was joined has nothing that could stand for its beginning.
        if through > self.log.base().index && self.log.membership_at(through).is_some() {
            self.log.compact(through);
            self.outbox.put(Pending::Release { through });
            self.outbox.put(Pending::Event(Event::Compacted { base: self.log.base() }));
        }
    }
}

/// The index behind which the log keeps what the limits say of what a snapshot up to `last` covers.
fn retained(log: &Log, last: Index, limits: &Limits) -> Index {
    let (mut through, mut entries, mut bytes) = (last, 0_u64, 0_usize);
    while let Some(entry) = log.entry(through) {
        bytes = bytes.saturating_add(entry.size());
        entries += 1;
        if entries > limits.retain_entries || bytes > limits.retain_bytes {
            break;
        }
        through = through.previous().unwrap_or_default();
    }
    through
}
