//! What a disk has lost and nobody else has. It is not committed, and a leader has to overwrite it; until then its server is good
//! for a blind vote, and no more.

use crate::server::Server;
use crate::world::World;
use raft_core::{EntryId, Member, Membership, NodeId};
use std::collections::BTreeSet;

impl Server {
    /// The commands that its disk lacks.
    fn lacking(&self) -> Vec<EntryId> {
        let Some(process) = &self.process else { return self.lacks.clone() };
        let log = process.node.log();
        log.decayed().iter().filter_map(|index| log.id_at(*index)).collect()
    }

    /// Whether a running process has this entry on its disk, or what covers it.
    fn keeps(&self, id: EntryId) -> bool {
        self.process.as_ref().filter(|process| !process.halted).is_some_and(|process| {
            let (log, durable) = (process.node.log(), process.node.status().durable);
            let whole = log.id_at(id.index) == Some(id) && !log.decayed().contains(&id.index);
            id.index <= log.base().index || (id.index <= durable && whole)
        })
    }

    /// Whether it has an entry of a later term in that place.
    fn has_later(&self, id: EntryId) -> bool {
        let log = self.process.as_ref().filter(|process| !process.halted).map(|process| process.node.log());
        log.and_then(|log| log.id_at(id.index)).is_some_and(|other| other.term > id.term)
    }

    /// Whether it may ever have acknowledged this entry.
    fn may_have(&self, id: EntryId) -> bool {
        self.process.as_ref().is_none_or(|process| {
            let log = process.node.log();
            id.index <= log.base().index || log.id_at(id.index) == Some(id)
        })
    }
}

impl World {
    /// Who lacks what, of which no disk has a copy but one that is gone, or one that may have to give it up: a leader of a later
    /// term has something else there, which may be under way.
    pub(crate) fn stranded(&self, gone: usize) -> Vec<(NodeId, EntryId)> {
        let mut stranded = Vec::new();
        for (at, server) in self.servers.iter().enumerate().filter(|(at, it)| it.decays && *at != gone) {
            let contested = |id: &EntryId| {
                id.index > self.judges.commit() && self.servers.iter().any(|other| other.has_later(*id))
            };
            let kept = |id: &EntryId| {
                let mut others =
                    self.servers.iter().enumerate().filter(|(other, _)| ![at, gone].contains(other));
                others.any(|(_, other)| other.keeps(*id)) && !contested(id)
            };
            stranded.extend(server.lacking().into_iter().filter(|id| !kept(id)).map(|id| (server.id, id)));
        }
        stranded
    }

    /// Commands that this server alone has: nobody can have committed them, nor will unless others acknowledge them first. The
    /// others go on by its blind vote, so no second server may be in that place.
    pub(crate) fn lonely(&self, at: usize) -> BTreeSet<EntryId> {
        let possible = self.possible();
        let whole = |member: &Member| {
            let (other, server) = (member.id.0 as usize, &self.servers[member.id.0 as usize]);
            let founded = server.founded || server.joins;
            other != at && founded && self.is_sound(member) && !server.decays
        };
        let meets = |id: NodeId, of: &Membership| of.get(id).is_some_and(whole);
        let alone = |it: &Membership| it.is_quorum(|id| id.0 as usize == at);
        let bears = possible.iter().all(|it| it.meets_quorums(|id| meets(id, it)) && !alone(it));
        let Some(process) =
            self.servers[at].process.as_ref().filter(|_| bears && self.stranded(at).is_empty())
        else {
            return BTreeSet::new();
        };
        let log = process.node.log();
        let after = self.judges.commit().max(log.base().index);
        let others =
            || self.servers.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
        let lonely = |id: &EntryId| !others().any(|other| other.seated && other.may_have(*id));
        log.from(after.next()).map(|entry| entry.id()).filter(lonely).collect()
    }
}
