//! What became of a command.

use raft_core::{EntryId, Index};

/// What became of a command: decided when it was applied, so the same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Where it took effect; a repetition, where the first one did.
    pub id: EntryId,
    /// It is the first answer to this idempotency key, once more.
    pub replayed: bool,
    /// What was decided.
    pub verdict: Verdict,
}

/// See [`Reply`]. Only [`Verdict::Done`] changes anything that a client can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect.
    Done {
        /// All conditions held. There may have been none.
        held: bool,
        /// For the first 128 operations one bit each, the lowest for the first: a put's says that the key is new, a
        /// delete's that the key was there.
        bits: u128,
    },
    /// The place where replicas compare the digests of their states.
    Marked,
    /// A condition didn't hold, and nothing is to be done otherwise.
    Failed {
        /// The newest put of the first key whose condition didn't hold.
        current: Option<Index>,
    },
    /// The idempotency key belongs to another request.
    Mismatch,
    /// The idempotency key is unknown and so old that it may have been known: an earlier attempt may have taken effect.
    Expired,
    /// The idempotency key is of a time that is too far ahead.
    Ahead,
    /// The table of keys is full of young ones.
    Full,
}

impl Verdict {
    /// Done, without conditions, and with nothing to tell.
    pub(crate) const PLAIN: Verdict = Verdict::Done { held: true, bits: 0 };

    /// A bit of [`Verdict::Done`].
    pub fn bit(&self, at: usize) -> bool {
        match self {
            Verdict::Done { bits, .. } => at < 128 && bits >> at & 1 == 1,
            _ => false,
        }
    }
}
