//! A snapshot on its way to one member (paper section 7): first a chunk as a question, then, from what the member says
//! that it has, chunks within a window. Whatever is lost is asked about again, so that a restart of either side goes on
//! where it was.

use crate::config::Limits;
use crate::ids::EntryId;
use crate::snapshot::Snapshot;

/// How far a transfer is. Invariant: `have <= next <= size`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sending {
    pub(crate) snapshot: Snapshot,
    /// The member has everything before this byte, as far as is known.
    pub(crate) have: u64,
    /// The next byte to send.
    next: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// A question has to be sent.
    Ask,
    /// It is on its way.
    Asked,
    /// The member has answered: chunks are streamed.
    Stream,
}

impl Sending {
    /// A transfer that begins.
    pub(crate) fn new(snapshot: Snapshot) -> Sending {
        Sending { snapshot, have: 0, next: 0, phase: Phase::Ask }
    }

    /// The last entry that the snapshot covers.
    pub(crate) fn last(&self) -> EntryId {
        self.snapshot.last()
    }

    /// Whether anything is on its way without an answer. A member that has all is busy with it.
    pub(crate) fn waits(&self) -> bool {
        match self.phase {
            Phase::Ask => false,
            Phase::Asked => true,
            Phase::Stream => self.have < self.next || self.have == self.snapshot.size,
        }
    }

    /// Bytes on their way.
    pub(crate) fn on_the_way(&self) -> u64 {
        self.next - self.have
    }

    /// The next chunk to send, if one may leave: where it begins, and its length.
    pub(crate) fn next_chunk(&mut self, limits: &Limits) -> Option<(u64, usize)> {
        let chunk = limits.chunk_bytes as u64;
        let window = chunk.saturating_mul(limits.inflight_chunks as u64);
        let may = match self.phase {
            Phase::Ask => true,
            Phase::Asked => false,
            Phase::Stream => self.next < self.snapshot.size && self.on_the_way() < window,
        };
        if !may {
            return None;
        }
        if self.phase == Phase::Ask {
            self.phase = Phase::Asked;
        }
        let (offset, length) = (self.next, chunk.min(self.snapshot.size - self.next));
        self.next += length;
        Some((offset, length as usize))
    }

    /// The member has everything before `have`. Whether that is news.
    pub(crate) fn answered(&mut self, have: u64) -> bool {
        if have > self.snapshot.size {
            return false;
        }
        match self.phase {
            Phase::Ask => false,
            Phase::Asked => {
                (self.have, self.next, self.phase) = (have, have, Phase::Stream);
                true
            }
            Phase::Stream if have > self.have => {
                (self.have, self.next) = (have, self.next.max(have));
                true
            }
            Phase::Stream => false,
        }
    }

    /// What is on its way is lost: ask again.
    pub(crate) fn lost(&mut self) {
        (self.next, self.phase) = (self.have, Phase::Ask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::Membership;
    use crate::write::Base;

    fn sending(size: u64) -> Sending {
        let base = Base { id: EntryId::new(1, 9), hash: 0, membership: Membership::default() };
        Sending::new(Snapshot { base, size, digest: 0 })
    }

    fn limits() -> Limits {
        Limits { chunk_bytes: 10, inflight_chunks: 2, ..Limits::default() }
    }

    #[test]
    fn it_asks_first_and_goes_on_where_the_member_is() {
        let mut sending = sending(55);
        assert_eq!(sending.next_chunk(&limits()), Some((0, 10)));
        assert_eq!(sending.next_chunk(&limits()), None, "one question");
        assert!(sending.answered(30), "it had more already");
        assert_eq!(sending.next_chunk(&limits()), Some((30, 10)));
        assert_eq!(sending.next_chunk(&limits()), Some((40, 10)));
        assert_eq!(sending.next_chunk(&limits()), None, "the window is full");
        assert!(sending.answered(40) && !sending.answered(30) && !sending.answered(99));
        assert_eq!(sending.next_chunk(&limits()), Some((50, 5)));
        assert!(sending.answered(55) && sending.waits());
        assert_eq!(sending.next_chunk(&limits()), None);
    }

    #[test]
    fn what_is_lost_is_asked_about_again() {
        let mut sending = sending(40);
        let _ = sending.next_chunk(&limits());
        sending.answered(10);
        let _ = (sending.next_chunk(&limits()), sending.next_chunk(&limits()));
        sending.lost();
        assert!(!sending.waits());
        assert_eq!(sending.next_chunk(&limits()), Some((10, 10)));
        assert!(sending.answered(0), "the member restarted and lost what it had");
        assert_eq!(sending.next_chunk(&limits()), Some((0, 10)));
    }

    #[test]
    fn an_empty_snapshot_is_one_question() {
        let mut sending = sending(0);
        assert_eq!(sending.next_chunk(&limits()), Some((0, 0)));
        assert!(sending.answered(0) && sending.waits());
    }
}
