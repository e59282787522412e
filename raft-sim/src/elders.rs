//! Two versions of the program in one cluster: some servers begin with one that is older than the newest kinds of messages,
//! and are upgraded one after the other, each at a start. What an older program doesn't know it doesn't say, and what it can't
//! read it passes over; a disk that decayed it refuses, and whoever runs it then takes the newer one.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::Violation;
use crate::world::World;
use raft_core::{Body, wal::Recovery};

/// How many of a million starts of an older program are made with the newer one instead.
const UPGRADED: u64 = 250_000;

impl World {
    /// Which program each server begins with.
    pub(crate) fn draw_elders(&mut self) {
        for at in 1..self.servers.len() {
            let site = Site::new(Purpose::Versions, at);
            self.servers[at].elder = self.choices.chance(site, self.options.elders);
        }
    }

    /// A process starts on what its disk gave.
    pub(crate) fn upgrade(&mut self, at: usize, recovery: &Recovery) {
        let site = Site::new(Purpose::Versions, at);
        if !self.servers[at].elder {
            return;
        }
        if self.healed || !recovery.decayed.is_empty() || self.choices.chance(site, UPGRADED) {
            self.servers[at].elder = false;
            self.counts.upgrades += 1;
            self.trace.say(self.now, format_args!("{at} is upgraded"));
        }
    }

    /// Whether the program of a server can read a message.
    pub(crate) fn reads(&mut self, at: usize, body: &Body) -> bool {
        let newer = matches!(body, Body::Lacks { .. } | Body::Copies { .. } | Body::Piece { .. });
        let unread = newer && self.servers[at].elder;
        self.counts.unread += u64::from(unread);
        !unread
    }

    /// The faults are over: the last older programs are taken out of service.
    pub(crate) fn retire(&mut self, at: usize) -> Result<(), Violation> {
        if self.servers[at].elder { self.stop(at) } else { Ok(()) }
    }
}
