//! Room on a disk, and what a driver does about it, as the server does (`raft-http`: `storage/spare.rs`,
//! `client_api/space.rs`): the log has its next segment ready and one more in reserve, no client's write is begun when
//! room is short, a snapshot that finds none is given up, and a write that finds none ends the process.

use crate::choices::{Choices, Purpose, Site};
use crate::disk::Disk;
use crate::facts::{Action, Fact, Room, Time, Violation};
use crate::planted::{Lie, Planted};
use crate::snapshots::Snapshots;
use crate::world::{Event, World};
use raft_core::RoleName;
use raft_core::wal::Op;

/// The room of one disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Space {
    /// Until then others leave it no more than so many bytes, for all that it holds.
    full_until: Time,
    bytes: u64,
    /// Nothing is overwritten in its place, as on some file systems: then a segment that is there is no room either.
    copies: bool,
    /// The log's next segment is made, and the one in reserve.
    spare: bool,
    reserve: bool,
    /// What the process has found.
    found: Room,
}

impl Space {
    /// What is left, in bytes.
    fn free(&self, now: Time, disk: &Disk, snapshots: &Snapshots) -> u64 {
        if self.full_until <= now {
            return u64::MAX;
        }
        self.bytes.saturating_sub(self.used(disk, snapshots))
    }

    fn used(&self, disk: &Disk, snapshots: &Snapshots) -> u64 {
        let made = u64::from(self.spare) + u64::from(self.reserve);
        disk.bytes() + snapshots.bytes() + made * disk.segment_bytes()
    }

    /// Others leave it so many bytes more than it uses.
    fn fill(&mut self, until: Time, more: u64, copies: bool, disk: &Disk, snapshots: &Snapshots) {
        *self = Space { full_until: until, bytes: self.used(disk, snapshots) + more, copies, ..*self };
    }

    /// There is room for everything again.
    pub(crate) fn empty(&mut self) {
        self.full_until = 0;
    }

    /// Whether its process has found too little of it for a client's write.
    pub(crate) fn is_short(&self) -> bool {
        self.found != Room::Enough
    }

    /// A process starts: the spare segment is made anew, since an earlier one may have left it half made.
    pub(crate) fn start(&mut self, now: Time, disk: &Disk, snapshots: &Snapshots) {
        (self.spare, self.found) = (false, Room::Enough);
        self.provide(&mut self.free(now, disk, snapshots), disk.segment_bytes());
    }

    /// Makes the spare segment, or takes the one in reserve for it, and makes that.
    fn provide(&mut self, free: &mut u64, segment: u64) {
        let mut make = || free.checked_sub(segment).inspect(|left| *free = *left).is_some();
        if !self.spare {
            self.spare = make();
            if !self.spare {
                self.spare = std::mem::take(&mut self.reserve);
                return;
            }
        }
        self.reserve |= !self.reserve && make();
    }

    /// Takes the spare segment for the log, and makes the next one. False if there is none and no room for one.
    fn take(&mut self, free: &mut u64, segment: u64) -> bool {
        if !self.spare {
            self.provide(free, segment);
        }
        let taken = std::mem::take(&mut self.spare);
        if taken {
            self.provide(free, segment);
        }
        taken
    }

    /// Whether there is room for what a write does. Otherwise only that is left of it which is done before it fails: the
    /// files that were made, and perhaps what was put into them.
    pub(crate) fn takes(
        &mut self,
        now: Time,
        (disk, snapshots): (&Disk, &Snapshots),
        ops: &mut Vec<Op>,
        choices: &mut impl Choices,
    ) -> bool {
        let mut free = self.free(now, disk, snapshots);
        let segment = disk.segment_bytes();
        let fails = |op: &Op| match op {
            Op::Create { .. } => !self.take(&mut free, segment),
            Op::Put { bytes, .. } => self.copies && bytes.len() as u64 > free,
        };
        let Some(done) = ops.iter().position(fails) else { return true };
        ops.truncate(done);
        if choices.pick(Purpose::Fills.into(), 2) == 0 {
            ops.retain(|op| matches!(op, Op::Create { .. }));
        }
        false
    }

    /// What a process finds that looks how much room is left.
    fn look(&self, now: Time, disk: &Disk, snapshots: &Snapshots) -> Room {
        // What clients have under way is little here, beside a segment.
        match self.free(now, disk, snapshots) < disk.segment_bytes() {
            false => Room::Enough,
            true if self.reserve => Room::Short,
            true => Room::InReserve,
        }
    }
}

impl World {
    /// Others fill a disk, or several alike, up to some bytes; later they make room.
    pub(crate) fn fill(&mut self, victim: usize) -> Result<(), Violation> {
        let site = Site::from(Purpose::Fills);
        let timeout = self.options.election_timeout();
        let segment = self.options.disk.layout.segment_bytes();
        let many = self.choices.pick(site, 3) > 0;
        let copies = self.choices.pick(site, 4) == 3;
        let more = self.choices.one_of(site, &[3 * segment, segment, segment - 1, 200, 0]);
        for at in 1..self.servers.len() {
            if at != victim && (!many || self.choices.pick(site, 4) == 0) {
                continue;
            }
            let until = self.now + self.choices.range(site, timeout, 8 * timeout);
            let server = &mut self.servers[at];
            server.space.fill(until, more, copies, &server.disk, &server.snapshots);
            self.counts.fills += 1;
            self.trace.say(self.now, format_args!("{at} has room for {more} bytes until {until} us"));
        }
        Ok(())
    }

    /// A process looks how much room is left, as it does from time to time.
    pub(crate) fn look(&mut self, at: usize) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        let room = server.space.look(self.now, &server.disk, &server.snapshots);
        if room == server.space.found {
            return Ok(());
        }
        server.space.found = room;
        self.trace.say(self.now, format_args!("{at} finds its room to be {room:?}"));
        self.judges.observe(self.now, &Fact::Looked { node: server.id, room })
    }

    /// Whether this node leads and takes no client's write, since room is short.
    pub(crate) fn refuses(&self, at: usize, action: &Action) -> bool {
        let server = &self.servers[at];
        let leads = server.process.as_ref().is_some_and(|process| process.standing.0 == RoleName::Leader);
        leads && server.space.is_short() && matches!(action, Action::Put { .. })
    }

    /// A write found no room: nobody knows what of it is on the disk, and the process ends. It comes back some time, and
    /// ends again if there is still no room for its first write.
    pub(crate) fn out_of_room(&mut self, at: usize) -> Result<(), Violation> {
        self.counts.out_of_room += 1;
        self.trace.say(self.now, format_args!("{at} finds no room for a write"));
        self.stop(at)?;
        // Time goes by between two attempts, whatever is chosen.
        let timeout = self.options.election_timeout();
        let after = self.choices.range(Purpose::Fills.into(), timeout / 10, 2 * timeout);
        self.queue.push(self.now + after, Event::Start { at, life: self.servers[at].life });
        Ok(())
    }

    /// How much of this is written to a snapshot's file: all, or nothing if there is no room for it, and the file is
    /// given up. With the bug, as much as there is room for.
    pub(crate) fn fitting(&mut self, at: usize, bytes: usize) -> Option<usize> {
        let server = &self.servers[at];
        let free = server.space.free(self.now, &server.disk, &server.snapshots);
        let fits = bytes.min(usize::try_from(free).unwrap_or(usize::MAX));
        if fits == bytes || self.planted == Some(Planted::Driver(Lie::FullSnapshotKept)) {
            return Some(fits);
        }
        self.counts.roomless_snapshots += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::Bytes;
    use raft_core::wal::Layout;

    const LAYOUT: Layout = Layout { ids_bytes: 1_664, data_bytes: 4_096 };

    /// A disk on which a process has started, and that others then filled up to so many segments.
    fn filled(segments: u64, copies: bool) -> (Space, Disk, Snapshots) {
        let (disk, snapshots) = (Disk::new(LAYOUT), Snapshots::default());
        let mut space = Space::default();
        space.start(0, &disk, &snapshots);
        space.fill(10, segments * LAYOUT.segment_bytes(), copies, &disk, &snapshots);
        (space, disk, snapshots)
    }

    fn creates(space: &mut Space, disk: &mut Disk, now: Time, segment: u64) -> bool {
        let mut ops = vec![Op::Create { segment }];
        let mut choices = Bytes::new(bytes::Bytes::new());
        let takes = space.takes(now, (disk, &Snapshots::default()), &mut ops, &mut choices);
        let sequence = raft_core::wal::Sequence(segment);
        disk.put(&mut ops, sequence, sequence, false);
        takes
    }

    #[test]
    fn a_full_disk_has_a_spare_segment_and_one_in_reserve() {
        let (mut space, mut disk, snapshots) = filled(0, false);
        assert_eq!(space.look(5, &disk, &snapshots), Room::Short);
        assert!(creates(&mut space, &mut disk, 5, 1));
        assert_eq!(space.look(5, &disk, &snapshots), Room::InReserve);
        assert!(creates(&mut space, &mut disk, 5, 2));
        assert!(!creates(&mut space, &mut disk, 5, 3));
        assert_eq!(disk.bytes(), 2 * LAYOUT.segment_bytes(), "the third was not made");
        // With room they are made again, also after the first failure.
        assert_eq!(space.look(10, &disk, &snapshots), Room::Enough);
        assert!(creates(&mut space, &mut disk, 10, 3));
        assert!(space.spare && space.reserve);
    }

    #[test]
    fn what_is_left_is_used_before_the_reserve() {
        let (mut space, mut disk, snapshots) = filled(2, false);
        assert_eq!(space.look(5, &disk, &snapshots), Room::Enough);
        for segment in 1..=4 {
            assert!(creates(&mut space, &mut disk, 5, segment), "{segment}");
        }
        assert!(!creates(&mut space, &mut disk, 5, 5));
    }

    /// A start gives the room of its spare segment back first, so that the one in reserve stays.
    #[test]
    fn a_start_on_a_full_disk_keeps_the_reserve() {
        let (mut space, disk, snapshots) = filled(0, false);
        space.start(5, &disk, &snapshots);
        assert!(space.spare && space.reserve);
    }

    #[test]
    fn where_nothing_is_overwritten_a_reserve_is_no_room() {
        let put = |at| Op::Put { segment: 1, at, bytes: bytes::Bytes::from_static(b"abcd") };
        for (copies, kept) in [(false, 3), (true, 1)] {
            let (mut space, disk, snapshots) = filled(0, copies);
            let mut ops = vec![Op::Create { segment: 1 }, put(0), put(4)];
            let mut choices = Bytes::new(bytes::Bytes::new());
            assert_eq!(space.takes(5, (&disk, &snapshots), &mut ops, &mut choices), !copies);
            assert_eq!(ops.len(), kept);
        }
    }
}
