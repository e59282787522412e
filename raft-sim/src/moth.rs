//! Commands decay on many disks at once, and one disk keeps them all: the others get them from it, whoever leads, and
//! nothing is lost ("Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018).

use crate::choices::{Choices, Purpose, Site};
use crate::facts::Violation;
use crate::world::World;
use raft_core::{EntryId, NodeId};

impl World {
    /// Of what a sound member has on its disk, others lose some commands, and find out at their next start.
    pub(crate) fn moth(&mut self) -> Result<(), Violation> {
        let site = Site::from(Purpose::Moths);
        let settled = self.settled();
        let members = settled.members().iter().filter(|member| self.is_sound(member));
        let members: Vec<usize> = members.map(|member| member.id.0 as usize).collect();
        let whole = |at: &usize| {
            let process = self.servers[*at].process.as_ref().filter(|process| !process.halted);
            process.is_some_and(|process| process.node.log().decayed().is_empty())
        };
        // A removed member is out of reach: it belongs to all configurations that may come to be.
        let possible = self.possible();
        let stays =
            |at: &usize| possible.iter().all(|membership| membership.get(NodeId(*at as u64)).is_some());
        let keepers: Vec<usize> = members.iter().copied().filter(|at| whole(at) && stays(at)).collect();
        if !self.has_committed() || keepers.is_empty() {
            return Ok(());
        }
        let keeper = keepers[self.choices.pick(site, keepers.len() as u64) as usize];
        for at in members {
            // Who already needs another one's copies has to get them first.
            if at == keeper || self.servers[at].needs.is_some() || self.choices.pick(site, 3) == 0 {
                continue;
            }
            let Some(process) = &self.servers[keeper].process else { return Ok(()) };
            let (log, durable) = (process.node.log().clone(), process.node.status().durable);
            // In its log, or what its snapshot covers: that it has as a whole, whatever stands on the other disk.
            let share = self.choices.one_of(site, &[4, 0, 0, 16]);
            // Two losses far from each other are such that both are missed.
            let own = self.servers[at].snapshots.newest().filter(|_| share == 0).unwrap_or_default();
            let kept = |id: EntryId| {
                let there = id.index <= log.base().index || log.id_at(id.index) == Some(id);
                id.index > own.index && id.index <= durable && there
            };
            let places = self.servers[at].disk.moth(share, kept, &mut self.choices);
            if places.is_empty() {
                continue;
            }
            let server = &mut self.servers[at];
            (server.needs, server.decays) = (Some(keeper), true);
            for (segment, place) in places {
                self.counts.moths += 1;
                server.rot.push(segment);
                self.trace
                    .say(self.now, format_args!("{at} loses a command in segment {segment} at byte {place}"));
            }
            self.crash_if_up(at)?;
            if self.choices.pick(site, 2) == 1 {
                self.late_appends(keeper, at)?;
            }
        }
        Ok(())
    }

    /// It starts again at once, and hears what was on its way before: so it gets back what it has not asked for yet.
    fn late_appends(&mut self, keeper: usize, at: usize) -> Result<(), Violation> {
        self.start(at)?;
        for _ in 0..=self.choices.pick(Purpose::Moths.into(), 6) {
            if let Some(letter) = self.network.old_append(keeper, at, &mut self.choices) {
                self.arrive(letter)?;
            }
        }
        Ok(())
    }
}
