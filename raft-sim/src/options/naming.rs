//! How hard the clients of a run are on the table of idempotency keys.

use crate::choices::{Choices, MILLION, Purpose};
use crate::facts::Time;
use raft_machine::Retention;

/// What clients do with idempotency keys beyond repeating a command until they have its answer.
#[derive(Clone, Copy, Debug)]
pub struct Naming {
    /// What the table keeps: now the one, now the other.
    pub retentions: [Retention; 2],
    /// The mean time between two repetitions of commands that had their answer, or nobody waited for any more.
    pub again: Time,
    /// How many of a million keys are no UUIDv7.
    pub texts: u64,
    /// How many of a million keys another command had.
    pub borrowed: u64,
    /// How many of a million keys were made by a clock that is wrong.
    pub skewed: u64,
    /// In how many of a million requests the wall clock of the node that takes them is set anew.
    pub jumps: u64,
}

impl Naming {
    /// Half of the runs do. It is younger than the tapes of failures: in the stream of the other options a draw would shift
    /// all that is drawn behind it.
    pub(super) fn draw(choices: &mut impl Choices, timeout: Time) -> Option<Naming> {
        let site = Purpose::Keys.into();
        if choices.pick(site, 2) == 0 {
            return None;
        }
        let timeout_ms = timeout.div_ceil(1000);
        // The longest window is that of no run, as is the largest number of keys.
        let mut retention = || Retention {
            window_ms: timeout_ms * choices.one_of(site, &[4, 1, 16, 1_000_000]),
            least_ms: timeout_ms * choices.one_of(site, &[1, 0, 4, 20]),
            keys: choices.one_of(site, &[4, 1, 2, 8, 30, 1_000_000]),
        };
        Some(Naming {
            retentions: [retention(), retention()],
            again: timeout * choices.one_of(site, &[2, 1, 8]),
            texts: choices.one_of(site, &[MILLION / 2, 0, MILLION / 8, MILLION]),
            borrowed: choices.one_of(site, &[0, MILLION / 20, MILLION / 4]),
            skewed: choices.one_of(site, &[0, MILLION / 20, MILLION / 4]),
            jumps: choices.one_of(site, &[0, MILLION / 200, MILLION / 20]),
        })
    }
}
