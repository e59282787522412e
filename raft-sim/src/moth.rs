//! Commands decay on many disks at once, and of each an intact copy is left on the disk of somebody who stays: the others get
//! it from there, whoever leads, and nothing is lost ("Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018).

use crate::choices::{Choices, Purpose, Site};
use crate::facts::Violation;
use crate::world::World;
use raft_core::{EntryId, Index, Log, NodeId, hash};
use std::collections::BTreeSet;

/// The whole log of a member that stays.
struct Copies {
    at: usize,
    log: Log,
    durable: Index,
}

impl Copies {
    /// Whether it is on the disk: in the log, or in what the snapshot covers, which it has as a whole whatever stands on
    /// the other disk.
    fn hold(&self, id: EntryId) -> bool {
        let there = id.index <= self.log.base().index || self.log.id_at(id.index) == Some(id);
        id.index <= self.durable && there
    }
}

/// Who keeps what: with one, that one all that it has; otherwise the copies of each command that decays elsewhere are left on
/// one of the disks that have it.
struct Keepers {
    copies: Vec<Copies>,
    salt: u64,
}

impl Keepers {
    fn of(&self, id: EntryId) -> Option<usize> {
        let holders: Vec<usize> =
            self.copies.iter().filter(|copies| copies.hold(id)).map(|copies| copies.at).collect();
        let drawn = hash::chain(self.salt, &[id.index.0, id.term.0]);
        holders.get((drawn % holders.len().max(1) as u64) as usize).copied()
    }
}

impl World {
    /// Of what sound members have on their disks, others lose some commands, and find out at their next start.
    pub(crate) fn moth(&mut self) -> Result<(), Violation> {
        let members = self.sound_members();
        let Some(keepers) = self.keepers(&members) else { return Ok(()) };
        let mut struck = Vec::new();
        for at in members {
            // Who already needs another one's copies has to get them first.
            let alone = keepers.copies.len() == 1 && keepers.copies[0].at == at;
            let spared = alone || !self.servers[at].needs.is_empty();
            if spared || self.choices.pick(Purpose::Moths.into(), 3) == 0 || !self.eat(at, &keepers) {
                continue;
            }
            struck.push(at);
            self.crash_if_up(at)?;
            if self.choices.pick(Purpose::Moths.into(), 2) == 1 {
                self.late_appends(at)?;
            }
        }
        self.count_crossed(&struck);
        Ok(())
    }

    /// The same of one member, of what others keep.
    pub(crate) fn moth_at(&mut self, at: usize) -> Result<(), Violation> {
        let members = self.sound_members();
        let others: Vec<usize> = members.iter().copied().filter(|other| *other != at).collect();
        let fit = members.contains(&at) && self.servers[at].needs.is_empty();
        let Some(keepers) = self.keepers(&others).filter(|_| fit) else { return Ok(()) };
        if self.eat(at, &keepers) { self.crash_if_up(at) } else { Ok(()) }
    }

    /// The first commands of a new member are on its disk, and no configuration yet: it may lose some of them, and restart as one
    /// that is joining still. Whether it did.
    pub(crate) fn loses_when_new(&mut self, at: usize) -> Result<bool, Violation> {
        let log = self.servers[at].process.as_ref().map(|process| process.node.log());
        let is_new = log.is_some_and(|log| log.membership().is_none() && log.last().index > Index(1));
        if !is_new || self.healed || self.choices.pick(Site::new(Purpose::Newcomers, at), 2) == 0 {
            return Ok(false);
        }
        self.moth_at(at)?;
        let struck = self.servers[at].process.is_none();
        self.counts.newcomers += u64::from(struck);
        Ok(struck)
    }

    fn sound_members(&self) -> Vec<usize> {
        let settled = self.settled();
        let members = settled.members().iter().filter(|member| self.is_sound(member));
        members.map(|member| member.id.0 as usize).collect()
    }

    /// A disk loses commands that others keep. Whether there were any.
    fn eat(&mut self, at: usize, keepers: &Keepers) -> bool {
        let share = self.choices.one_of(Purpose::Moths.into(), &[4, 0, 0, 16]);
        // Two losses far from each other are such that both are missed.
        let own = self.servers[at].snapshots.newest().filter(|_| share == 0).unwrap_or_default();
        let forlorn = self.choices.pick(Purpose::Forlorn.into(), 2) == 1;
        let lonely = if forlorn { self.lonely(at) } else { BTreeSet::new() };
        let kept = |id: EntryId| {
            id.index > own.index
                && (keepers.of(id).is_some_and(|keeper| keeper != at) || lonely.contains(&id))
        };
        let places = self.servers[at].disk.moth(share, kept, &mut self.choices);
        if places.is_empty() {
            return false;
        }
        let server = &mut self.servers[at];
        server.needs = places.iter().filter_map(|(id, ..)| keepers.of(*id)).collect();
        server.decays = true;
        server.lacks.extend(places.iter().map(|(id, ..)| *id));
        for (id, segment, place) in places {
            self.counts.moths += 1;
            server.rot.push(segment);
            self.counts.forlorn += u64::from(lonely.contains(&id));
            let keeper = keepers.of(id).filter(|keeper| *keeper != at);
            self.trace.say(
                self.now,
                format_args!("{at} loses {id} in segment {segment} at byte {place}; kept by {keeper:?}"),
            );
        }
        true
    }

    /// Who keeps the copies: in a half of the cases one member all of them, otherwise each member some. Nobody before
    /// anything is committed, or if nobody has a whole log.
    fn keepers(&mut self, members: &[usize]) -> Option<Keepers> {
        let mut copies = self.whole_logs(members);
        if !self.has_committed() || copies.is_empty() {
            return None;
        }
        let only = self.choices.pick(Purpose::Moths.into(), copies.len() as u64) as usize;
        let salt = self.choices.pick(Purpose::Keepers.into(), 1 << 16);
        if salt < 1 << 15 {
            copies = vec![copies.swap_remove(only)];
        }
        Some(Keepers { copies, salt })
    }

    /// The logs of those who have lost nothing. A removed member is out of reach: they belong to all configurations that may
    /// come to be.
    fn whole_logs(&self, members: &[usize]) -> Vec<Copies> {
        let possible = self.possible();
        let stays =
            |at: &usize| possible.iter().all(|membership| membership.get(NodeId(*at as u64)).is_some());
        let copies = |at: usize| {
            let process = self.servers[at].process.as_ref().filter(|process| !process.halted)?;
            let (log, durable) = (process.node.log(), process.node.status().durable);
            log.decayed().is_empty().then(|| Copies { at, log: log.clone(), durable })
        };
        members.iter().copied().filter(stays).filter_map(copies).collect()
    }

    fn count_crossed(&mut self, struck: &[usize]) {
        let crossed = |at: &&usize| self.servers[**at].needs.iter().any(|keeper| struck.contains(keeper));
        self.counts.crossed += struck.iter().filter(crossed).count() as u64;
        let settled = self.settled();
        let mut voters = settled.voters().map(|id| &self.servers[id.0 as usize]);
        self.counts.none_whole += u64::from(!struck.is_empty() && voters.all(|server| server.decays));
    }

    /// It starts again at once, and hears what was on its way before: so it gets back what it has not asked for yet.
    fn late_appends(&mut self, at: usize) -> Result<(), Violation> {
        let keepers: Vec<usize> = self.servers[at].needs.iter().copied().collect();
        self.start(at)?;
        if keepers.is_empty() {
            return Ok(());
        }
        for turn in 0..=self.choices.pick(Purpose::Moths.into(), 6) as usize {
            let keeper = keepers[turn % keepers.len()];
            if let Some(letter) = self.network.old_append(keeper, at, &mut self.choices) {
                self.arrive(letter)?;
            }
        }
        Ok(())
    }
}
