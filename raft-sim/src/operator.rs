//! Who belongs to the cluster, as one knows who sees all logs at once; and the operator who changes it, but never so that
//! nothing could save it any more.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::Violation;
use crate::options::Family;
use crate::world::{Event, World};
use bytes::Bytes;
use raft_core::{Change, Entry, Index, Input, Member, Membership, NodeId, Payload, Standing, Status, Ticket};
use std::collections::BTreeSet;

/// Tickets from here on are the operator's.
pub(crate) const OPERATOR: u64 = 1 << 40;

/// What the operator knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operator {
    /// The newest configuration that some node knew to be committed, and where it stands.
    settled: Option<(Index, Membership)>,
    tickets: u64,
    /// Whose turn it is to be replaced.
    rolling: usize,
    /// Who stays down for good.
    pub(crate) down: Vec<usize>,
    /// Whom a member that is away knows, while all of them are to leave.
    pub(crate) leaving: BTreeSet<usize>,
    /// Removed servers that were never told are not shut down.
    pub(crate) strangers: bool,
}

impl Operator {
    /// A ticket of its own.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(OPERATOR + self.tickets)
    }

    /// A node took a turn. Whether another configuration is known to be committed now.
    pub(crate) fn notice(&mut self, status: &Status) -> bool {
        let at = status.membership_at;
        let newer = self.settled.as_ref().is_none_or(|(known, _)| *known < at);
        let known = newer && at <= status.commit && !status.membership.members().is_empty();
        if known {
            self.settled = Some((at, status.membership.clone()));
        }
        known
    }
}

/// The configurations among some entries, with their places.
pub(crate) fn configured<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
) -> impl Iterator<Item = (Index, Membership)> {
    entries.into_iter().filter_map(|entry| match entry.payload() {
        Payload::Membership(membership) => Some((entry.index(), membership.clone())),
        _ => None,
    })
}

/// Whether those who are sound are a majority of each half, even if every entrant is made a voter before anybody notices
/// what has become of it.
fn bears(membership: &Membership, sound: &impl Fn(&Member) -> bool) -> bool {
    let entrants = membership.members().iter().filter(|member| member.standing == Standing::Entrant);
    let doubtful = entrants.filter(|member| member.disk.is_some() && !sound(member)).count();
    let enough = |half: &mut dyn Iterator<Item = NodeId>| {
        let (mut all, mut good) = (doubtful, 0);
        for member in half.filter_map(|id| membership.get(id)) {
            all += 1;
            good += usize::from(sound(member));
        }
        2 * good > all
    };
    enough(&mut membership.new_half()) && enough(&mut membership.old_half())
}

impl World {
    /// The newest configuration that is known to be committed; before there is one, that of the founders.
    pub(crate) fn settled(&self) -> Membership {
        if let Some((_, membership)) = &self.operator.settled {
            return membership.clone();
        }
        let founders = Membership::founders((1..=self.options.nodes as u64).map(NodeId));
        let founders = founders.expect("a cluster has founders");
        founders.with_disks(|id| Some(self.servers[id.0 as usize].disk_id))
    }

    /// Every configuration that is in force or may come to be: the settled one, and those that stand in some log after it.
    pub(crate) fn possible(&self) -> Vec<Membership> {
        let after = self.operator.settled.as_ref().map_or(Index(0), |(at, _)| *at);
        let mut all = vec![self.settled()];
        for server in &self.servers {
            if let Some(process) = &server.process {
                all.extend(
                    configured(process.node.log().from(after.next())).map(|(_, membership)| membership),
                );
            }
            // Also what was truncated: the truncation may be lost with the power.
            all.extend(server.stood.iter().filter(|(at, _)| *at > after).map(|(_, it)| it.clone()));
        }
        all.dedup();
        all
    }

    /// Whether a member has its disk, and nothing speaks against it.
    pub(crate) fn is_sound(&self, member: &Member) -> bool {
        let at = member.id.0 as usize;
        let server = &self.servers[at];
        let kept = server.seated && !server.lost && !server.refused;
        kept && member.disk == Some(server.disk_id) && !self.operator.down.contains(&at)
    }

    /// Whether the cluster can go on without the disk of a server, for good. Who has not founded is no help: it may have
    /// to hear that the cluster is formed from the very server that is lost. A disk that is on no record yet may come to
    /// be at any time: a leader has heard of it. Who lacks what nobody else
    /// has is good for a blind vote alone. Once more is lost than a cluster can bear, nothing else is.
    pub(crate) fn may_lose(&self, at: usize) -> bool {
        if self.is_beyond() || self.servers.iter().any(|server| server.needs.contains(&at)) {
            return false;
        }
        let id = NodeId(at as u64);
        let founded = |member: &Member| self.servers[member.id.0 as usize].founded;
        let sound = |member: &Member| member.id != id && founded(member) && self.is_sound(member);
        let counts = |membership: &Membership| membership.get(id).is_some_and(|member| self.is_sound(member));
        let disk = self.servers[at].disk_id;
        let waits =
            |member: &Member| member.id == id && member.disk.is_none() && member.replaced != Some(disk);
        let recorded = |membership: Membership| {
            membership.with_disks(|of| membership.get(of).filter(|member| waits(member)).map(|_| disk))
        };
        let stranded = self.stranded(at);
        if stranded.iter().any(|(_, lost)| lost.index <= self.judges.commit()) {
            return false;
        }
        let whole = |member: &Member| sound(member) && stranded.iter().all(|(id, _)| *id != member.id);
        let is_whole = |it: &Membership, id: NodeId| it.get(id).is_some_and(whole);
        self.possible().into_iter().map(recorded).all(|it| {
            let compared = it.meets_quorums(|id| is_whole(&it, id));
            // Who counts as lost and runs all the same may be the one that takes from the others what nobody has (seed 31000290).
            (stranded.is_empty() || compared) && (!counts(&it) || (bears(&it, &sound) && compared))
        })
    }

    /// Whether another founder still has its first disk: it is who tells wiped founders that the cluster is formed.
    pub(crate) fn has_founder_beside(&self, at: usize) -> bool {
        (1..=self.options.nodes).any(|other| other != at && self.servers[other].original)
    }

    /// Whether a founder that loses its disk may be started as it was: as long as one of the others can tell that the
    /// cluster is formed; and before it is, only if no other has lost its own (docs/operations.md).
    pub(crate) fn may_found_again(&self, at: usize) -> bool {
        let original = |other: usize| other == at || self.servers[other].original;
        self.has_founder_beside(at) && (self.is_formed() || (1..=self.options.nodes).all(original))
    }

    /// Whether a seat may get a fresh disk and wait to be taken in. Until the cluster is formed it needs its founders; and
    /// as long as a founder may come back with an empty disk, one of the others must know better.
    pub(crate) fn may_seat(&self, at: usize) -> bool {
        let founders = 1..=self.options.nodes;
        let joins = |other: usize| other == at || self.servers[other].joins;
        let known = self.has_founder_beside(at) || founders.clone().all(joins);
        (!founders.contains(&at) || (self.is_formed() && known)) && self.may_lose(at)
    }

    /// Whether the founders' disks are on record.
    pub(crate) fn is_formed(&self) -> bool {
        self.operator.settled.as_ref().is_some_and(|(at, _)| *at > Index(0))
    }

    /// Whether it is a member of any configuration that may be in force.
    pub(crate) fn belongs(&self, at: usize) -> bool {
        self.possible().iter().any(|membership| membership.get(NodeId(at as u64)).is_some())
    }

    /// Whether it runs on a disk that no configuration has, or may have, on record.
    fn is_fresh(&self, at: usize) -> bool {
        let server = &self.servers[at];
        server.joins && server.fresh && !server.lost && !server.refused
    }

    /// Whether its disk may decay: one that is not on record, and may come to be, had better be whole.
    pub(crate) fn may_rot(&self, at: usize) -> bool {
        let server = &self.servers[at];
        self.settled().on_record(server.id, server.disk_id) && self.may_lose(at)
    }

    /// Whether a seat without a disk on record needs another one than it has: its own is lost, or was given up.
    fn needs_disk(&self, at: usize) -> bool {
        let server = &self.servers[at];
        let on_record = |membership: &Membership| membership.on_record(server.id, server.disk_id);
        let settled = self.settled();
        let replaced = settled.get(server.id).and_then(|member| member.replaced) == Some(server.disk_id);
        let halted = server.process.as_ref().is_some_and(|process| process.halted);
        // What stood only in a configuration that was rolled back is still awaited.
        let given_up = server.recorded || replaced || halted || !server.joins;
        let unused = !self.is_fresh(at) && !self.possible().iter().any(on_record);
        server.refused || server.lost || (unused && given_up)
    }

    /// Whether a change may be handed in: whatever it is made of, a quorum must be left, and who is added must have a
    /// disk that never belonged. A founder that has not founded counts like a lost one (docs/operations.md): it votes for
    /// nobody, and only a leader may be able to bring it the log.
    pub(crate) fn may_change(&self, changes: &[Change]) -> bool {
        let unfit = |change: &Change| match change {
            Change::Add { id, .. } => !self.is_fresh(id.0 as usize),
            _ => false,
        };
        let sound = |member: &Member| {
            let server = &self.servers[member.id.0 as usize];
            self.is_sound(member) && (server.founded || server.joins)
        };
        let mut from = self.possible();
        from.extend(from.iter().filter_map(Membership::leave).collect::<Vec<_>>());
        let next = from.iter().filter_map(|membership| membership.change(changes).ok());
        !changes.iter().any(unfit) && next.into_iter().all(|next| bears(&next, &sound))
    }

    /// A configuration came in force somewhere: disks that stand in it are no fresh ones any more.
    pub(crate) fn in_force(&mut self, membership: &Membership) {
        for member in membership.members() {
            let server = self.servers.get_mut(member.id.0 as usize);
            if let Some(server) = server.filter(|server| member.disk == Some(server.disk_id)) {
                server.fresh = false;
            }
        }
    }

    /// Tells the clients who the members are.
    pub(crate) fn publish_members(&mut self) {
        let settled = self.settled();
        for member in settled.members() {
            let server = &mut self.servers[member.id.0 as usize];
            server.recorded |= member.disk == Some(server.disk_id);
        }
        self.workload.serve(settled.members().iter().map(|member| member.id.0 as usize).collect());
    }

    /// A change is asked of a node: mostly of the leader.
    pub(crate) fn reconfigure(&mut self, site: Site, changes: Vec<Change>) -> Result<(), Violation> {
        let any = 1 + self.choices.pick(site, self.options.seats as u64) as usize;
        let at = if self.choices.pick(site, 5) == 4 { any } else { self.leader.unwrap_or(any) };
        let Some(process) = &self.servers[at].process else { return Ok(()) };
        let now = process.node.status().membership_at;
        let expect = match self.choices.pick(site, 6) {
            0..=3 => None,
            4 => Some(now),
            _ => Some(Index(self.choices.pick(site, now.0 + 2))),
        };
        let ticket = self.operator.ticket();
        self.input(at, Input::Reconfigure { ticket, changes, expect })?;
        let transfers = self.options.faults[Family::Transfer as usize].is_some();
        if transfers && self.choices.pick(site, 4) == 3 {
            let to = NodeId(1 + self.choices.pick(site, self.options.seats as u64));
            self.transfer(at, Some(to))?;
        }
        Ok(())
    }

    /// Leadership is to be handed over.
    pub(crate) fn transfer(&mut self, at: usize, to: Option<NodeId>) -> Result<(), Violation> {
        self.counts.transfers += 1;
        let ticket = self.operator.ticket();
        self.input(at, Input::Transfer { ticket, to })
    }

    /// Some change of some members, sensible or not; and maybe another one soon, on top of it.
    pub(crate) fn change(&mut self, left: u8) -> Result<(), Violation> {
        let site = Site::from(Purpose::Changes);
        if self.healed || left == 0 {
            return Ok(());
        }
        let membership = self.settled();
        let mut changes = Vec::new();
        for _ in 0..=self.choices.pick(site, 3) {
            let at = 1 + self.choices.pick(site, self.options.seats as u64) as usize;
            let at = if self.choices.pick(site, 6) == 5 { self.leader.unwrap_or(at) } else { at };
            if let Some(change) = self.draw_change(site, at, membership.get(NodeId(at as u64)))? {
                changes.push(change);
            }
        }
        let after = self.choices.range(site, 1, self.options.election_timeout());
        self.queue.push(self.now + after, Event::Change { left: left - 1 });
        if changes.is_empty() { Ok(()) } else { self.reconfigure(site, changes) }
    }

    fn draw_change(
        &mut self,
        site: Site,
        at: usize,
        member: Option<&Member>,
    ) -> Result<Option<Change>, Violation> {
        let id = NodeId(at as u64);
        let context = Bytes::copy_from_slice(&self.choices.pick(site, 100).to_le_bytes());
        let kind = self.choices.pick(site, 8);
        let Some(member) = member else {
            return Ok(match kind {
                7 => Some(Change::Remove { id }),
                _ if !self.make_fresh(at)? => None,
                _ => Some(Change::Add { id, context, votes: kind < 5 }),
            });
        };
        Ok(Some(match kind {
            0 => Change::Update { id, context },
            1 if member.standing.votes() => Change::Demote { id },
            1..=3 if !member.standing.votes() => Change::Promote { id },
            1..=3 => Change::Remove { id },
            4 => Change::Demote { id },
            5 => Change::Replace { id, context: None },
            6 => Change::Replace { id, context: Some(context) },
            _ if !member.standing.votes() => Change::Remove { id },
            _ => Change::Add { id, context, votes: true },
        }))
    }

    /// Sees to it that a seat has a disk that never belonged. Whether that is so.
    pub(crate) fn make_fresh(&mut self, at: usize) -> Result<bool, Violation> {
        if self.is_fresh(at) {
            return Ok(true);
        }
        let may = self.may_seat(at);
        if may {
            self.seat(at)?;
        }
        Ok(may)
    }

    /// The operator's next step: who lost its disk is replaced, who was removed comes again, and otherwise it is the
    /// next member's turn.
    pub(crate) fn renew(&mut self) -> Result<(), Violation> {
        let site = Site::from(Purpose::Renewals);
        let (membership, seats) = (self.settled(), self.options.seats);
        for after in 0..seats {
            let at = 1 + (self.operator.rolling + after) % seats;
            let member = membership.get(NodeId(at as u64));
            if self.care(site, at, member)? {
                return Ok(());
            }
        }
        self.operator.rolling += 1;
        let at = 1 + self.operator.rolling % seats;
        let id = NodeId(at as u64);
        let Some(member) = membership.get(id) else { return Ok(()) };
        match self.choices.pick(site, 4) {
            0 => self.reconfigure(site, vec![Change::Replace { id, context: None }]),
            1 if self.may_seat(at) => self.seat(at),
            2 => self.reconfigure(site, vec![Change::Remove { id }]),
            _ if !member.standing.votes() => self.reconfigure(site, vec![Change::Promote { id }]),
            _ => Ok(()),
        }
    }

    /// What a seat needs, if it needs anything. Whether something was done.
    fn care(&mut self, site: Site, at: usize, member: Option<&Member>) -> Result<bool, Violation> {
        let id = NodeId(at as u64);
        let server = &self.servers[at];
        let Some(member) = member else {
            if self.choices.pick(site, 2) == 0 || !self.make_fresh(at)? {
                return Ok(false);
            }
            let votes = self.choices.pick(site, 4) < 3;
            self.reconfigure(site, vec![Change::Add { id, context: Bytes::new(), votes }])?;
            return Ok(true);
        };
        let gone = server.refused || server.lost || !server.seated;
        match member.disk {
            // Its new disk is to be put on record, if it has one.
            None if self.needs_disk(at) => {
                let may = self.may_seat(at);
                if may {
                    self.seat(at)?;
                }
                Ok(may)
            }
            Some(disk) if gone || disk != server.disk_id => {
                self.reconfigure(site, vec![Change::Replace { id, context: None }])?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// After the faults: whoever belongs runs, on the disk that is asked for, and who was removed is shut down, but for
    /// [strangers](World::is_stranger). So is who runs on a disk that was put back, if nobody is left who could tell it: its
    /// clients would wait for ever.
    pub(crate) fn tend(&mut self) -> Result<(), Violation> {
        self.queue.push(self.now + self.options.election_timeout(), Event::Tend);
        for at in 1..self.servers.len() {
            let forgotten = self.is_forgotten(at);
            self.servers[at].refused |= forgotten;
            if forgotten || !(self.belongs(at) || self.is_stranger(at)) {
                self.stop(at)?;
            }
        }
        for member in self.settled().members() {
            let at = member.id.0 as usize;
            if self.operator.down.contains(&at) {
                continue;
            }
            if member.disk.is_none() && self.needs_disk(at) && self.may_seat(at) {
                self.seat(at)?;
            }
            self.start(at)?;
        }
        Ok(())
    }
}
