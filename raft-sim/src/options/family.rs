//! The families of faults: what a run may have or not have, each at its own rate.

use super::Draw;
use crate::choices::{Choices, Purpose};
use crate::facts::Time;

/// What is done to a cluster, apart from what happens to single messages and syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// A process dies and comes back.
    Crash,
    /// All processes die at once.
    PowerCut,
    /// The network is cut in some way.
    Partition,
    /// A process stops for a while and goes on.
    Pause,
    /// A disk completes nothing for a while.
    Stall,
    /// Stale messages arrive again.
    Replay,
    /// Leadership is to be handed over.
    Transfer,
    /// A node campaigns, or a leader sends heartbeats, out of turn.
    Nudge,
    /// A clock changes its rate.
    Drift,
    /// A disk is emptied.
    Wipe,
    /// Synced records decay: bits flip, sectors read as before, writes went astray.
    Rot,
    /// A bit of a snapshot flips.
    Spoil,
    /// A clock jumps forward.
    Leap,
    /// A clock stops for a while.
    Standstill,
    /// The configuration is to change, somehow.
    Change,
    /// An operator replaces one member after another, and those who lost their disks first.
    Renew,
    /// A snapshot is asked for.
    Capture,
    /// A member is said to be out of reach.
    Report,
    /// The leader is cut off for long, with a client that has much to write; the others go on.
    Exile,
    /// A member is cut off while others are added and removed, and comes back when another one is lost.
    Absence,
    /// A disk is put back to an earlier state.
    Rollback,
    /// A leader is lost when only a server without a vote has its newest entries.
    Bequest,
    /// A disk is full for a while, or several are.
    Fill,
    /// Commands decay on many disks at once, and of each an intact copy is left.
    Moth,
    /// Every copy of a committed command decays: what is lost then, nothing can bring back.
    Ruin,
    /// A server comes back on a disk that was given up.
    Revenant,
    /// The disks of a quorum lose what they have said they had synced.
    Perjury,
}

impl Family {
    /// Every family, in order.
    pub const ALL: [Family; 27] = [
        Family::Crash,
        Family::PowerCut,
        Family::Partition,
        Family::Pause,
        Family::Stall,
        Family::Replay,
        Family::Transfer,
        Family::Nudge,
        Family::Drift,
        Family::Wipe,
        Family::Rot,
        Family::Spoil,
        Family::Leap,
        Family::Standstill,
        Family::Change,
        Family::Renew,
        Family::Capture,
        Family::Report,
        Family::Exile,
        Family::Absence,
        Family::Rollback,
        Family::Bequest,
        Family::Fill,
        Family::Moth,
        Family::Ruin,
        Family::Revenant,
        Family::Perjury,
    ];

    /// Where its choices are made.
    pub fn purpose(self) -> Purpose {
        match self {
            Family::Crash => Purpose::Crashes,
            Family::PowerCut => Purpose::PowerCuts,
            Family::Partition => Purpose::Partitions,
            Family::Pause => Purpose::Pauses,
            Family::Stall => Purpose::Stalls,
            Family::Replay => Purpose::Replays,
            Family::Transfer => Purpose::Transfers,
            Family::Nudge => Purpose::Nudges,
            Family::Drift => Purpose::Drifts,
            Family::Wipe => Purpose::Wipes,
            Family::Rot => Purpose::Rots,
            Family::Spoil => Purpose::Spoils,
            Family::Leap => Purpose::Leaps,
            Family::Standstill => Purpose::Standstills,
            Family::Change => Purpose::Changes,
            Family::Renew => Purpose::Renewals,
            Family::Capture => Purpose::Captures,
            Family::Report => Purpose::Reports,
            Family::Exile => Purpose::Exiles,
            Family::Absence => Purpose::Absences,
            Family::Rollback => Purpose::Rollbacks,
            Family::Bequest => Purpose::Bequests,
            Family::Fill => Purpose::Fills,
            Family::Moth => Purpose::Moths,
            Family::Ruin => Purpose::Ruins,
            Family::Revenant => Purpose::Revenants,
            Family::Perjury => Purpose::Perjuries,
        }
    }

    /// How many election timeouts pass between two of its faults, at low and at high intensity.
    fn intervals(self) -> (u64, u64) {
        match self {
            Family::Crash | Family::Exile | Family::Absence | Family::Bequest | Family::Revenant => (30, 8),
            Family::PowerCut => (60, 20),
            Family::Fill => (40, 12),
            Family::Partition | Family::Transfer => (15, 5),
            Family::Pause
            | Family::Stall
            | Family::Drift
            | Family::Leap
            | Family::Standstill
            | Family::Rollback
            | Family::Moth => (20, 6),
            Family::Replay | Family::Nudge | Family::Capture | Family::Report => (8, 2),
            Family::Change | Family::Renew => (6, 2),
            Family::Wipe | Family::Rot | Family::Spoil | Family::Ruin | Family::Perjury => (60, 25),
        }
    }

    /// Whether it makes clocks worse than any bound on their drift.
    pub(super) fn breaks_clocks(self) -> bool {
        matches!(self, Family::Leap | Family::Standstill)
    }

    /// The intervals between its faults in different runs: most runs change their members.
    pub(super) fn draw(self, draw: &mut Draw<'_, impl Choices>, timeout: Time) -> Option<Time> {
        let (low, high) = self.intervals();
        let (low, high) = (Some(low * timeout), Some(high * timeout));
        match self {
            Family::Change | Family::Renew => draw.one_of(&[None, low, high]),
            // They are younger than the tapes of failures: in their stream a draw would shift all that is drawn behind it.
            Family::Exile
            | Family::Absence
            | Family::Rollback
            | Family::Bequest
            | Family::Fill
            | Family::Moth
            | Family::Revenant => draw.0.one_of(self.purpose().into(), &[None, None, low, high]),
            // Nothing is served from then on: most runs had better go on.
            Family::Ruin | Family::Perjury => match draw.0.pick(self.purpose().into(), 20) {
                18 => low,
                19 => high,
                _ => None,
            },
            _ => draw.one_of(&[None, None, low, high]),
        }
    }
}
