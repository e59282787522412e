//! More is lost than a cluster can bear: every copy of a committed command decays. Then nodes must stop, and not lie; the
//! judge of it is `invariants/ruin.rs`.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::{Fact, Violation};
use crate::world::World;
use raft_core::{Body, Entry, EntryId, Payload};

impl World {
    /// The power of all is cut, so that no process has in memory what its disk is to lose. Then one committed command decays
    /// wherever it is.
    pub(crate) fn ruin(&mut self) -> Result<(), Violation> {
        // What a disk forgets that is put back, and who has to be told so, is another matter.
        let committed = self.committed_commands();
        if self.is_beyond() || !self.rolled_back.is_empty() || committed.is_empty() {
            return Ok(());
        }
        self.cut_all_power()?;
        let reach = self.servers.iter().map(|server| server.snapshots.reach()).max().unwrap_or_default();
        let mut fit: Vec<EntryId> = committed.into_iter().filter(|id| id.index > reach).collect();
        for at in 1..self.servers.len() {
            let held = self.intact(at);
            let disk = &self.servers[at].disk;
            fit.retain(|id| !held.contains(id) || disk.may_lose(*id));
        }
        let site = Site::from(Purpose::Ruins);
        let Some(&lost) = fit.get(self.choices.pick(site, fit.len() as u64) as usize) else { return Ok(()) };
        let disks: Vec<_> = self.servers.iter().map(|server| server.disk.clone()).collect();
        let mut places = Vec::new();
        for at in 1..self.servers.len() {
            if self.intact(at).contains(&lost) {
                let decayed = self.servers[at].disk.moth(1, |id| id == lost, &mut self.choices);
                places.extend(decayed.into_iter().map(|(_, segment, place)| (at, segment, place)));
            }
        }
        // A copy behind a damaged place, where no look at the disk finds it, is found by the log's recovery.
        if (1..self.servers.len()).any(|at| self.intact(at).contains(&lost)) {
            self.servers.iter_mut().zip(disks).for_each(|(server, disk)| server.disk = disk);
            return Ok(());
        }
        for server in &mut self.servers {
            // An older state of the disk is a copy, too, and so is the disk before it.
            (server.image, server.estate) = (None, None);
        }
        self.revenant = None;
        for (at, segment, place) in places {
            let server = &mut self.servers[at];
            (server.lost, server.decays) = (true, true);
            server.rot.push(segment);
            self.trace.say(
                self.now,
                format_args!("{at} loses {lost} in segment {segment} at byte {place}; nobody keeps it"),
            );
        }
        self.counts.ruins += 1;
        self.ruined = Some(lost);
        self.judges.observe(self.now, &Fact::Ruined { lost })
    }

    /// The commands that somebody knows to be committed, as far as its log goes back.
    fn committed_commands(&self) -> Vec<EntryId> {
        let nodes =
            self.servers.iter().filter_map(|server| server.process.as_ref()).map(|process| &process.node);
        let Some(node) = nodes.max_by_key(|node| node.status().commit) else { return Vec::new() };
        let (log, commit) = (node.log(), node.status().commit);
        let committed = log.from(log.base().index.next()).take_while(|entry| entry.index() <= commit);
        let commands = committed.filter(|entry| matches!(entry.payload(), Payload::Command(_)));
        commands.map(Entry::id).collect()
    }

    /// The entries that a process would find whole on this disk if it started now.
    fn intact(&mut self, at: usize) -> Vec<EntryId> {
        let Ok(recovery) = self.recovered(at) else { return Vec::new() };
        let entries = recovery.recovered.entries.iter().filter(|entry| !entry.is_decayed());
        entries.map(Entry::id).collect()
    }

    /// Whether a message carries what nobody has: it was under way when the last copy decayed, and was a copy.
    pub(crate) fn is_ruined(&self, body: &Body) -> bool {
        self.ruined.is_some_and(|lost| match body {
            Body::Append { slice, .. } | Body::Copies { slice } => slice.id_at(lost.index) == Some(lost),
            Body::Chunk { snapshot, .. } | Body::Piece { snapshot, .. } => {
                snapshot.last().index >= lost.index
            }
            _ => false,
        })
    }
}
