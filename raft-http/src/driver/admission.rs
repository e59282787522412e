//! How much clients may have under way: a count and a sum of bytes. What is over either bound is refused, never queued.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The gate.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    room: Arc<Mutex<Room>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    proposals: usize,
    bytes: usize,
}

/// One proposal's place. It is given back when this is dropped: when the core has answered, not when the client left.
#[derive(Debug)]
pub(crate) struct Admitted {
    room: Arc<Mutex<Room>>,
    bytes: usize,
    since: Instant,
}

impl Admission {
    pub(crate) fn new(proposals: usize, bytes: usize) -> Admission {
        Admission { room: Arc::new(Mutex::new(Room { proposals, bytes })) }
    }

    /// A place for a proposal of this many bytes; `None` if there is no room.
    pub(crate) fn admit(&self, bytes: usize) -> Option<Admitted> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let left = Room { proposals: room.proposals.checked_sub(1)?, bytes: room.bytes.checked_sub(bytes)? };
        *room = left;
        Some(Admitted { room: self.room.clone(), bytes, since: Instant::now() })
    }
}

impl Admitted {
    /// When it was let in.
    pub(super) fn since(&self) -> Instant {
        self.since
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.proposals += 1;
        room.bytes += self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_all_room_comes_back() {
        let admission = Admission::new(2, 10);
        let before = *admission.room.lock().unwrap();
        let first = admission.admit(4).unwrap();
        assert!(admission.admit(7).is_none(), "bytes");
        let second = admission.admit(6).unwrap();
        assert!(admission.admit(0).is_none(), "count");
        drop((first, second));
        assert_eq!(*admission.room.lock().unwrap(), before);
    }
}
