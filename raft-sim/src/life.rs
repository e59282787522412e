//! How processes begin and end.

use crate::choices::{Choices, Purpose, Site};
use crate::copies::thawed;
use crate::facts::{Class, Fact, Violation};
use crate::machine::Machine;
use crate::operator::configured;
use crate::options::Family;
use crate::planted::{Lie, Planted};
use crate::server::Process;
use crate::snapshots::{Name, Snapshots};
use crate::space::Space;
use crate::world::{Event, World};
use raft_core::wal::{Gone, Identity, Recovery, Refusal, recover};
use raft_core::{
    Base, Boot, ClusterId, Config, ConfigError, DiskId, Entry, HardState, Index, Membership, Node, NodeId,
    Payload, Recovered, Stamp, Update,
};

/// All nodes of a run belong to one cluster.
const CLUSTER: ClusterId = ClusterId(1);

impl World {
    /// A process starts on what its disk gives.
    pub(crate) fn start(&mut self, at: usize) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        if server.process.is_some() || server.refused || !server.seated {
            return Ok(());
        }
        server.snapshots.settle();
        let identity = self.identity(at, self.servers[at].disk_id);
        let recovery = match self.recovered(at) {
            Ok(recovery) => self.with_torn(at, identity, recovery),
            Err(refusal) => match self.refused(at, identity, &refusal)? {
                Some(recovery) => recovery,
                None => return Ok(()),
            },
        };
        self.upgrade(at, &recovery);
        self.begin(at, recovery)
    }

    pub(crate) fn identity(&self, at: usize, disk: DiskId) -> Identity {
        Identity { cluster: CLUSTER, node: self.servers[at].id, disk }
    }

    /// What a disk gives to a process that starts.
    pub(crate) fn recovered(&mut self, at: usize) -> Result<Recovery, Refusal> {
        let segments = self.servers[at].disk.read();
        recover(self.identity(at, self.servers[at].disk_id), self.options.disk.layout, segments)
    }

    fn begin(&mut self, at: usize, recovery: Recovery) -> Result<(), Violation> {
        let Recovery { mut recovered, wal, discard, decayed, .. } = recovery;
        self.counts.decayed += decayed.len() as u64;
        if !self.may_start(at, self.servers[at].disk_id, &recovered)? {
            return Ok(());
        }
        let server = &mut self.servers[at];
        recovered.snapshot = recovered.newest(server.snapshots.intact()).cloned();
        let machine = match &recovered.snapshot {
            Some(snapshot) => {
                let found = server.snapshots.read(Name::Whole(snapshot.last()));
                thawed(&self.frozen, found, snapshot, self.planted)
            }
            None => Some(Machine::default().planted(self.planted)),
        };
        let machine = machine.expect("a snapshot that verifies holds a machine");
        let older = server.spoilt && server.snapshots.newest().is_some_and(|it| it.index > machine.applied());
        self.counts.older_starts += u64::from(older && machine.applied() > Index(0));
        let config = self.config(at);
        let node = match Node::new(config, recovered.clone()) {
            Ok(node) => node,
            Err(why) => return self.unfit(at, why, recovered.hard.boot),
        };
        let stamp = Stamp { disk: self.servers[at].disk_id, boot: Boot(recovered.hard.boot.0 + 1) };
        self.trace.mark(self.now, at, stamp.boot.0 << 8);
        let last = recovered.entries.last().map(Entry::id).unwrap_or_default();
        let snapshot = machine.applied();
        self.trace.say(
            self.now,
            format_args!("{at} starts boot {} with a snapshot to {snapshot} and a log to {last}", stamp.boot),
        );
        let server = &mut self.servers[at];
        let joins = server.joins;
        let fact = Fact::Started { node: server.id, stamp, recovered: &recovered, joins };
        self.judges.observe(self.now, &fact)?;
        let keeps = Fact::Keeps { node: server.id, at: machine.applied(), table: machine.keys_digest() };
        self.judges.observe(self.now, &keeps)?;
        assert_eq!(node.stamp(), stamp, "a start raises the boot counter by one");
        if let Some(behaviour) = &mut self.trace.behaviour {
            behaviour.started(server.id, stamp, &recovered);
        }
        server.stood = configured(&recovered.entries).collect();
        server.process = Some(Process::new(node, wal, machine, discard));
        server.space.start(self.now, &server.disk, &server.snapshots);
        server.newest = stamp;
        let life = server.life;
        self.queue.push(self.now + server.clock.tick(), Event::Tick { at, life });
        let again = self.options.faults[Family::Crash as usize].is_some() && !self.healed;
        if again && self.choices.chance(Site::new(Purpose::Crashes, at), 150_000) {
            let soon = self.choices.range(Purpose::Crashes.into(), 0, 2 * self.options.tick);
            self.queue.push(self.now + soon, Event::Crash { at, life });
        }
        self.look(at)?;
        self.turn(at)?;
        let server = &self.servers[at];
        self.counts.full_starts += u64::from(server.space.is_short() && server.process.is_some());
        Ok(())
    }

    /// No snapshot covers what the log does without, which is right exactly if one rots; or nobody else can have what is lost; or the
    /// disk was given up.
    fn unfit(&mut self, at: usize, why: ConfigError, boot: Boot) -> Result<(), Violation> {
        let server = &self.servers[at];
        // Who was put back to an earlier state knows what was in force then.
        let alone = boot < server.newest.boot
            || self.settled().members().iter().all(|member| member.disk == Some(server.disk_id));
        let right = match why {
            ConfigError::SnapshotMissing => server.spoilt,
            ConfigError::GivenUp => server.gave_up,
            ConfigError::DecayedAlone => server.decays && alone,
            _ => false,
        };
        if !right {
            return Err(self.violation(
                "refusal",
                Class::Durability,
                format!("node {at} can't start: {why}"),
            ));
        }
        self.servers[at].refused = true;
        self.counts.refusals += 1;
        self.trace.say(self.now, format_args!("{at} refuses to start: {why}"));
        Ok(())
    }

    pub(crate) fn config(&mut self, at: usize) -> Config {
        let founders = Membership::founders((1..=self.options.nodes as u64).map(NodeId));
        let seed = self.choices.pick(Site::new(Purpose::Seed, at), 1 << 48);
        let server = &self.servers[at];
        let founders = founders.filter(|_| !server.joins);
        Config {
            election_ticks: self.options.election_ticks,
            heartbeat_ticks: self.options.heartbeat_ticks,
            drift_ticks: self.options.drift_ticks,
            pre_vote: self.options.pre_vote,
            check_quorum: self.options.check_quorum,
            limits: self.options.limits,
            #[cfg(feature = "planted")]
            bug: match self.planted {
                Some(Planted::Core(bug)) => Some(bug),
                _ => None,
            },
            ..Config::new(server.id, server.disk_id, founders, seed)
        }
    }

    /// The log is refused. That is right exactly if the disk rots, and the report names a file that does.
    fn refused(
        &mut self,
        at: usize,
        identity: Identity,
        refusal: &Refusal,
    ) -> Result<Option<Recovery>, Violation> {
        let server = &mut self.servers[at];
        let blamed = match refusal {
            Refusal::Decay(decay) => {
                let mut blamed = decay.unreadable.clone();
                match &decay.gone {
                    Gone::Record { places } | Gone::Payload { places, .. } => {
                        blamed.extend(places.iter().map(|place| place.segment));
                    }
                    Gone::Succession { segment } => blamed.push(*segment),
                }
                blamed
            }
            _ => Vec::new(),
        };
        if !server.rot.iter().any(|segment| blamed.contains(segment)) {
            let said =
                format!("node {at} refuses its log, whose rotten segments are {:?}: {refusal}", server.rot);
            return Err(self.violation("refusal", Class::Durability, said));
        }
        self.counts.refusals += 1;
        self.trace.say(self.now, format_args!("{at} refuses to start: {refusal}"));
        match (self.planted, refusal) {
            (Some(Planted::Driver(lie)), Refusal::Decay(decay)) if lie.cuts(decay) => {
                let before = decay.write;
                server.shadow.retain(|(sequence, _)| *sequence < before);
                let updates = server.shadow.iter().map(|(_, update)| update);
                let recovered = replayed(updates);
                Ok(Some(self.cut(at, identity, recovered)))
            }
            _ => {
                server.refused = true;
                Ok(None)
            }
        }
    }

    /// What recovery gives, or with the bug also what a power cut tore: the entry has its place, and of its bytes none.
    fn with_torn(&mut self, at: usize, identity: Identity, recovery: Recovery) -> Recovery {
        let server = &mut self.servers[at];
        let torn = std::mem::take(&mut server.torn);
        if !torn || self.planted != Some(Planted::Driver(Lie::KeepsTorn)) {
            return recovery;
        }
        let mut recovered = replayed(server.shadow.iter().map(|(_, update)| update));
        let end = |recovered: &Recovered| recovered.entries.last().map(Entry::id);
        match recovered.entries.pop() {
            Some(last) if end(&recovery.recovered) != Some(last.id()) => {
                recovered.entries.push(Entry::new(last.id(), Payload::Noop));
                self.cut(at, identity, recovered)
            }
            _ => recovery,
        }
    }

    /// What a driver does that takes decay for a crash: it goes on with what is left, in a fresh log.
    fn cut(&mut self, at: usize, identity: Identity, recovered: Recovered) -> Recovery {
        let server = &mut self.servers[at];
        server.disk.wipe();
        server.rot.clear();
        let layout = self.options.disk.layout;
        let mut recovery =
            recover(identity, layout, Vec::new()).expect("nothing is wrong with an empty disk");
        let update = Update {
            hard: Some(recovered.hard),
            base: recovered.base.clone(),
            keep: None,
            entries: recovered.entries.clone(),
        };
        let sequence = recovery.wal.append(&update, &mut self.ops).expect("it was written once before");
        server.disk.put(&mut self.ops, sequence, sequence, true);
        server.disk.sync(server.disk.done());
        server.disk.delete(&recovery.wal.synced(sequence));
        server.shadow = vec![(sequence, update)];
        Recovery { recovered, ..recovery }
    }

    /// A process dies: alone, or with the power.
    pub(crate) fn crash(&mut self, at: usize) -> Result<(), Violation> {
        if self.choices.pick(Site::new(Purpose::Crash, at), 3) == 0 {
            self.stop(at)?;
            self.restart(at);
            return Ok(());
        }
        self.crash_with_power(at)
    }

    /// A process dies with the power.
    pub(crate) fn crash_with_power(&mut self, at: usize) -> Result<(), Violation> {
        self.stop(at)?;
        let leftovers = self.servers[at].disk.power_cut(at, &mut self.choices);
        self.servers[at].snapshots.power_cut(at, &mut self.choices);
        self.servers[at].torn |= leftovers.torn > 0;
        self.counts.torn += leftovers.torn;
        self.counts.lost += leftovers.lost;
        self.trace.say(self.now, format_args!("{at} loses its power: {leftovers:?}"));
        if leftovers.parted {
            self.judges.observe(self.now, &Fact::Parted { node: self.servers[at].id })?;
        }
        self.restart(at);
        Ok(())
    }

    /// Ends a process, if one runs.
    pub(crate) fn stop(&mut self, at: usize) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        if server.process.take().is_none() {
            return Ok(());
        }
        server.life += 1;
        self.counts.crashes += 1;
        self.trace.mark(self.now, at, 1);
        self.trace.say(self.now, format_args!("{at} dies"));
        let id = server.id;
        if let Some(behaviour) = &mut self.trace.behaviour {
            behaviour.died(id);
        }
        self.judges.observe(self.now, &Fact::Crashed { node: id })
    }

    /// A process comes back some time.
    pub(crate) fn restart(&mut self, at: usize) {
        let site = Site::new(Purpose::Restart, at);
        let timeout = self.options.election_timeout();
        let longest = self.choices.one_of(site, &[timeout / 4, timeout / 50, timeout, 5 * timeout]);
        let after = self.choices.range(site, 0, longest);
        self.queue.push(self.now + after, Event::Start { at, life: self.servers[at].life });
    }

    /// A disk is emptied under a node's old identity.
    pub(crate) fn wipe(&mut self, at: usize) -> Result<(), Violation> {
        if self.servers[at].fresh || !(self.servers[at].joins || self.may_found_again(at)) {
            // It had no identity yet; or it must not found again.
            return if self.may_seat(at) { self.seat(at) } else { Ok(()) };
        }
        self.stop(at)?;
        self.counts.wipes += 1;
        self.renew_disk(at);
        let formed = self.is_formed();
        let server = &mut self.servers[at];
        // Once the cluster is formed, no record can name a disk that was wiped before it was there.
        server.lost = !formed;
        let id = server.id;
        self.trace.say(self.now, format_args!("{at} loses its disk"));
        self.judges.observe(self.now, &Fact::Wiped { node: id })?;
        self.restart(at);
        Ok(())
    }

    /// A seat gets a server with a fresh disk that waits to be taken in.
    pub(crate) fn seat(&mut self, at: usize) -> Result<(), Violation> {
        self.stop(at)?;
        self.counts.seats += 1;
        self.renew_disk(at);
        let server = &mut self.servers[at];
        server.life += 1;
        (server.seated, server.joins, server.fresh) = (true, true, true);
        let id = server.id;
        self.trace.say(self.now, format_args!("{at} is a new server with disk {}", self.servers[at].disk_id));
        self.judges.observe(self.now, &Fact::Seated { node: id })?;
        self.restart(at);
        Ok(())
    }

    fn renew_disk(&mut self, at: usize) {
        let disk_id = self.draw_disk_id(at);
        let estate = self.estate(at);
        let server = &mut self.servers[at];
        server.estate = estate;
        server.disk.wipe();
        server.snapshots = Snapshots::default();
        server.space = Space::default();
        server.disk_id = disk_id;
        (server.lost, server.decays) = (false, false);
        server.needs.clear();
        server.lacks.clear();
        (server.refused, server.spoilt) = (false, false);
        (server.fresh, server.original, server.founded, server.gave_up) = (false, false, false, false);
        server.recorded = false;
        server.rot.clear();
        server.shadow.clear();
        server.torn = false;
        server.stood.clear();
    }
}

/// What these updates leave, one after another.
fn replayed<'a>(updates: impl Iterator<Item = &'a Update>) -> Recovered {
    let (mut hard, mut base, mut entries) = (HardState::default(), None::<Base>, Vec::<Entry>::new());
    for update in updates {
        hard = update.hard.unwrap_or(hard);
        if update.base.is_some() {
            base.clone_from(&update.base);
            entries.clear();
        }
        let keep = update.keep.unwrap_or(Index(u64::MAX));
        entries.retain(|entry| entry.index() <= keep);
        entries.extend(update.entries.iter().cloned());
    }
    Recovered { hard, base, entries, snapshot: None }
}
