//! A disk is put back to how it was some starts ago, as by a virtual machine's old snapshot: whatever it promised since is
//! lost, and it doesn't know. Who has heard from a later start of that disk must not heed it, and tells it so (rule 16);
//! then it stops, and never starts again.
//!
//! That protects from nothing when nobody is left who has heard from the later start. So what such a process says reaches
//! only those who have: the others are cut off from it. It counts as lost, like a wiped disk.

use crate::choices::{Choices, Purpose};
use crate::disk::Disk;
use crate::facts::{Class, Fact, Time, Violation};
use crate::invariants::quorum;
use crate::invariants::rollback::NAME;
use crate::server::Server;
use crate::snapshots::Snapshots;
use crate::world::World;
use raft_core::{Boot, DiskId, Message, NodeId, Payload, Recovered, Stamp};

/// What a disk held at some time.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    disk: Disk,
    snapshots: Snapshots,
    of: Stamp,
}

/// A disk that was put back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RolledBack {
    id: NodeId,
    /// Its newest start before that.
    newest: Boot,
    /// It has said, after the faults, something to somebody who has heard from that start. When first.
    exposed: Option<Time>,
    /// It was told, and has that on its disk.
    given_up: bool,
}

impl Image {
    /// What a server's disk holds now.
    pub(crate) fn of(server: &Server) -> Image {
        let (disk, snapshots) = (server.disk.clone(), server.snapshots.clone());
        Image { disk, snapshots, of: server.newest }
    }

    /// Whether it is of this process.
    pub(crate) fn is_of(&self, stamp: Stamp) -> bool {
        self.of == stamp
    }

    /// The disk holds that again.
    pub(crate) fn put_back(self, server: &mut Server) {
        (server.disk, server.snapshots) = (self.disk, self.snapshots);
    }
}

impl World {
    /// Puts back a disk of which there is an image that is old enough; otherwise an image is made.
    pub(crate) fn roll_back(&mut self, victim: usize) -> Result<(), Violation> {
        let fit: Vec<usize> = (1..self.servers.len()).filter(|at| self.may_roll_back(*at)).collect();
        let Some(&at) = fit.get(self.choices.pick(Purpose::Rollbacks.into(), fit.len() as u64) as usize)
        else {
            let server = &mut self.servers[victim];
            if server.seated && !server.lost && !server.refused && server.rot.is_empty() {
                server.image = Some(Box::new(Image::of(server)));
            }
            return Ok(());
        };
        self.stop(at)?;
        self.counts.rollbacks += 1;
        let server = &mut self.servers[at];
        let Some(image) = server.image.take() else { return Ok(()) };
        let older = image.of.boot;
        image.put_back(server);
        (server.lost, server.original, server.founded, server.torn) = (true, false, false, false);
        // What it has got back since it is not good again for that.
        server.decays = false;
        server.needs.clear();
        server.lacks.clear();
        server.shadow.clear();
        let (id, newest) = (server.id, server.newest);
        let put_back = RolledBack { id, newest: newest.boot, exposed: None, given_up: false };
        self.rolled_back.insert(newest.disk, put_back);
        self.trace.say(self.now, format_args!("{at} is put back from boot {} to {older}", newest.boot));
        if let Some(behaviour) = &mut self.trace.behaviour {
            behaviour.ends();
        }
        self.judges.observe(self.now, &Fact::RolledBack { node: id })?;
        self.restart(at);
        Ok(())
    }

    /// Whether the disk may be lost, its next start would be an earlier one than the newest, and somebody has heard from
    /// that.
    fn may_roll_back(&self, at: usize) -> bool {
        let server = &self.servers[at];
        let older = server.image.as_ref().is_some_and(|image| {
            image.of.disk == server.disk_id && image.of.boot.0 + 1 < server.newest.boot.0
        });
        let founds = server.joins || self.may_found_again(at);
        let heard =
            || (1..self.servers.len()).any(|by| by != at && self.has_seen(by, server.id, server.newest));
        let doubled = self.revenant.as_ref().is_some_and(|it| it.is_of(at));
        older && !doubled && founds && self.may_rot(at) && heard()
    }

    fn has_seen(&self, by: usize, id: NodeId, stamp: Stamp) -> bool {
        let process = self.servers[by].process.as_ref().filter(|process| !process.halted);
        let seen = process.and_then(|process| process.node.seen(id));
        seen.is_some_and(|seen| seen.disk == stamp.disk && seen.boot >= stamp.boot)
    }

    /// Whether a server runs on a disk that was put back, and nobody remembers its newest start.
    pub(crate) fn is_forgotten(&self, at: usize) -> bool {
        let server = &self.servers[at];
        let put_back = self.rolled_back.get(&server.disk_id).filter(|it| server.newest.boot < it.newest);
        put_back.is_some_and(|it| {
            let newest = Stamp { disk: server.disk_id, boot: it.newest };
            server.runs() && !(1..self.servers.len()).any(|by| self.has_seen(by, server.id, newest))
        })
    }

    /// Whether a message reaches its receiver, for all that has to do with disks that were put back.
    pub(crate) fn reaches(&mut self, from: usize, to: usize, message: &Message) -> bool {
        let Some(put_back) = self.rolled_back.get(&message.from.disk).copied() else { return true };
        let newest = Stamp { disk: message.from.disk, boot: put_back.newest };
        if message.from.boot >= put_back.newest {
            return true;
        }
        let heard = self.has_seen(to, NodeId(from as u64), newest);
        let lives = self.servers[from].newest == message.from;
        if heard
            && lives
            && self.healed
            && let Some(put_back) = self.rolled_back.get_mut(&newest.disk)
        {
            put_back.exposed.get_or_insert(self.now);
        }
        heard
    }

    /// A process goes on. It doesn't forget from which start of a disk it has heard; and if its own was put back, it doesn't
    /// run for long once it has spoken to somebody who knows better.
    pub(crate) fn overlooked(&mut self, at: usize) -> Result<(), Violation> {
        let forgotten = self.rolled_back.iter().find_map(|(disk, put_back)| {
            let process = self.servers[at].process.as_mut()?;
            let seen = process.node.seen(put_back.id).filter(|seen| seen.disk == *disk)?;
            if seen.boot >= put_back.newest {
                process.heard_later.insert(*disk);
                return None;
            }
            process.heard_later.contains(disk).then_some((put_back.id, seen.boot))
        });
        if let Some((id, boot)) = forgotten {
            let said = format!("node {at} has heard from a later boot of node {id}, and goes back to {boot}");
            return Err(self.violation(NAME, Class::Safety, said));
        }
        let server = &self.servers[at];
        let Some(put_back) = self.rolled_back.get(&server.disk_id).filter(|_| server.runs()) else {
            return Ok(());
        };
        let late = |exposed| self.now > exposed + 2 * self.options.election_timeout();
        if put_back.exposed.is_some_and(late) {
            let said = format!(
                "node {at} runs on a disk that was put back from boot {}, and nobody has told it so",
                put_back.newest
            );
            return Err(self.violation(NAME, Class::Safety, said));
        }
        Ok(())
    }

    /// A process has stopped, or its disk has got on: what it was told is on its disk with its last write.
    pub(crate) fn gives_up(&mut self, at: usize) {
        let server = &self.servers[at];
        let whole = server.process.as_ref().is_some_and(|it| it.halted && it.durable == it.handed);
        if let Some(put_back) = self.rolled_back.get_mut(&server.disk_id) {
            put_back.given_up |= whole && server.gave_up;
        }
    }

    /// Whether a server is started. One that was found out must not be let in by its node; nor is, since nobody could find it out, one
    /// that would be its newest start once again, or that needs nobody else by a configuration of its log.
    pub(crate) fn may_start(
        &mut self,
        at: usize,
        disk: DiskId,
        recovered: &Recovered,
    ) -> Result<bool, Violation> {
        let Some(put_back) = self.rolled_back.get(&disk).copied() else { return Ok(true) };
        let boot = recovered.hard.boot;
        if boot == Boot::GIVEN_UP {
            return Ok(true);
        }
        if put_back.given_up {
            let said =
                format!("node {at} found out that its disk was put back, and starts again after boot {boot}");
            return Err(self.violation(NAME, Class::Safety, said));
        }
        let id = self.servers[at].id;
        let stood = recovered.entries.iter().filter_map(|entry| match entry.payload() {
            Payload::Membership(membership) => Some(membership),
            _ => None,
        });
        let mut stood = recovered.base.iter().map(|base| &base.membership).chain(stood);
        let alone = stood.any(|membership| quorum::agreed(membership, |other| other == id));
        let starts = boot.0 + 1 < put_back.newest.0 && !alone;
        self.servers[at].refused |= !starts;
        if !starts {
            self.trace
                .say(self.now, format_args!("{at}, which was put back, starts no more after boot {boot}"));
        }
        Ok(starts)
    }
}
