//! What a node is told once, at its start. Checked here; trusted everywhere else.

use crate::ids::{DiskId, NodeId};
use crate::membership::Membership;
#[cfg(feature = "planted")]
use crate::planted::Bug;

/// A node's settings. Times are in ticks, whose length is the driver's choice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// This node.
    pub id: NodeId,
    /// This data directory.
    pub disk: DiskId,
    /// What the cluster is founded with, the same on every founder; of no effect once there is a base on disk. `None`
    /// for a node that must never found: on an empty disk it waits until a leader sends it the log or a snapshot.
    pub founders: Option<Membership>,
    /// The only source of randomness. Must differ between nodes and should between starts.
    pub seed: u64,
    /// The minimal election timeout; each draw is between it and twice it. "Election timeout" alone means this.
    pub election_ticks: u32,
    /// A leader's heartbeat interval; less than the election timeout.
    pub heartbeat_ticks: u32,
    /// How many ticks any two clocks may differ over one election timeout: a restarted voter waits that much longer before
    /// it votes, and a lease is that much shorter (rule 14).
    pub drift_ticks: u32,
    /// Ask whether an election could be won before starting it (dissertation 9.6).
    pub pre_vote: bool,
    /// A leader that hears from no quorum for an election timeout steps down (dissertation 6.2), and voters that hear
    /// a leader refuse to vote.
    pub check_quorum: bool,
    /// What is bounded, and by how much.
    pub limits: Limits,
    /// The bug to behave as if written with.
    #[cfg(feature = "planted")]
    pub bug: Option<Bug>,
}

/// Bounds; each may be as small as 1. Where a bound on bytes is smaller than one entry, one entry passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Entries in one append message.
    pub batch_entries: usize,
    /// Payload bytes in one append message.
    pub batch_bytes: usize,
    /// Append messages on their way to one follower.
    pub inflight_appends: usize,
    /// Payload bytes on their way to one follower.
    pub inflight_bytes: usize,
    /// Payload bytes proposed here and not committed; more is refused as busy.
    pub uncommitted_bytes: usize,
    /// Payload bytes of one command; more is refused.
    pub command_bytes: usize,
    /// Proposals and reads without an answer; more is refused as busy.
    pub tickets: usize,
    /// Messages that wait for a write; more requests are dropped as if the network had lost them.
    pub held: usize,
    /// Entries applied since the newest snapshot after which a new one is asked for.
    pub snapshot_entries: u64,
    /// Payload bytes applied since the newest snapshot after which a new one is asked for.
    pub snapshot_bytes: usize,
    /// Entries behind the newest snapshot that stay in the log, so that a follower that was away briefly needs none.
    pub retain_entries: u64,
    /// Payload bytes behind the newest snapshot that stay in the log.
    pub retain_bytes: usize,
    /// Bytes of a snapshot in one message.
    pub chunk_bytes: usize,
    /// Chunks on their way to one follower, and chunks that a follower hands to its disk at once.
    pub inflight_chunks: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            batch_entries: 4096,
            batch_bytes: 1 << 20,
            inflight_appends: 64,
            inflight_bytes: 8 << 20,
            uncommitted_bytes: 64 << 20,
            command_bytes: 4 << 20,
            tickets: 1 << 16,
            held: 1 << 12,
            snapshot_entries: 1 << 20,
            snapshot_bytes: 64 << 20,
            retain_entries: 1 << 14,
            retain_bytes: 16 << 20,
            chunk_bytes: 256 << 10,
            inflight_chunks: 4,
        }
    }
}

/// What is wrong with a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The election timeout must be longer than the heartbeat interval, and both longer than 0.
    Timing,
    /// Every limit must be at least 1.
    ZeroLimit,
    /// The node is not one of the founders.
    NotAFounder,
    /// The log's first entries are gone, and there is no snapshot that covers them.
    SnapshotMissing,
    /// The snapshot is not one of this log.
    SnapshotUnfit,
    /// The disk has lost commands, and there is no other member that could have them.
    DecayedAlone,
    /// The data directory has lost what it had promised, and was given up when that was found out (rules 8 and 16).
    GivenUp,
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            ConfigError::Timing => {
                "the election timeout must be longer than the heartbeat interval, and both longer than 0"
            }
            ConfigError::ZeroLimit => "every limit must be at least 1",
            ConfigError::NotAFounder => "this node is not in the list of founders",
            ConfigError::SnapshotMissing => {
                "the log begins behind its first entry, and no snapshot covers what is before: restore the snapshot, or \
                 replace this member"
            }
            ConfigError::SnapshotUnfit => {
                "the snapshot is not one of this log: it covers an entry that the log doesn't hold"
            }
            ConfigError::DecayedAlone => {
                "the disk has lost commands of the log, and no other member could have them: restore the data directory from \
                 a good copy of its newest state"
            }
            ConfigError::GivenUp => {
                "this data directory has lost what it had promised, and was given up when that was found out: it was put \
                 back to an older state, or is a copy, or its disk lost it. Keep it for a diagnosis, and replace this node"
            }
        })
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// A node's settings with the defaults: an election timeout of 10 ticks, heartbeats every 2.
    pub fn new(id: NodeId, disk: DiskId, founders: Option<Membership>, seed: u64) -> Config {
        Config {
            id,
            disk,
            founders,
            seed,
            election_ticks: 10,
            heartbeat_ticks: 2,
            drift_ticks: 1,
            pre_vote: true,
            check_quorum: true,
            limits: Limits::default(),
            #[cfg(feature = "planted")]
            bug: None,
        }
    }

    /// What is wrong, if anything is. `founding`: there is no base on disk yet.
    pub(crate) fn check(&self, founding: bool) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let smallest = [
            limits.batch_entries,
            limits.batch_bytes,
            limits.inflight_appends,
            limits.inflight_bytes,
            limits.uncommitted_bytes,
            limits.command_bytes,
            limits.tickets,
            limits.held,
            limits.snapshot_bytes,
            limits.chunk_bytes,
            limits.inflight_chunks,
        ];
        if self.heartbeat_ticks == 0 || self.election_ticks <= self.heartbeat_ticks {
            return Err(ConfigError::Timing);
        }
        if smallest.contains(&0) || limits.snapshot_entries == 0 {
            return Err(ConfigError::ZeroLimit);
        }
        match &self.founders {
            _ if !founding => Ok(()),
            None => Ok(()),
            Some(founders) if !founders.is_voter(self.id) => Err(ConfigError::NotAFounder),
            Some(_) => Ok(()),
        }
    }
}
