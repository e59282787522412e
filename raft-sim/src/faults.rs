//! The faults that happen to a cluster as time goes by, and the end of them.

use crate::choices::{Choices, Purpose, Site};
use crate::clock::Clock;
use crate::facts::{Fact, Violation};
use crate::options::{Family, Leases};
use crate::planted::{Lie, Planted};
use crate::world::{Event, World};
use raft_core::{Input, NodeId};
use std::mem;

/// How many of a million due faults happen: a tape that ends has none.
const HAPPENS: u64 = 900_000;

impl World {
    /// The next fault of a family, if it takes part in this run.
    pub(crate) fn schedule_fault(&mut self, family: Family) {
        if let Some(mean) = self.options.faults[family as usize] {
            let after = self.choices.range(family.purpose().into(), mean / 2, mean + mean / 2);
            self.queue.push(self.now + after, Event::Fault(family));
        }
    }

    /// A fault is due.
    pub(crate) fn fault(&mut self, family: Family) -> Result<(), Violation> {
        if self.healed {
            return Ok(());
        }
        self.schedule_fault(family);
        if self.now < self.calm_until {
            return Ok(());
        }
        let site = Site::from(family.purpose());
        if !self.choices.chance(site, HAPPENS) {
            return Ok(());
        }
        let at = self.victim(site);
        self.trace.say(self.now, format_args!("fault: {family:?}, {at}"));
        match family {
            Family::Crash => self.crash_if_up(at),
            Family::PowerCut => self.cut_all_power(),
            Family::Partition => {
                self.partition(at);
                Ok(())
            }
            Family::Pause => {
                self.pause(at);
                Ok(())
            }
            Family::Stall => {
                self.counts.stalls += 1;
                let longest = 3 * self.options.election_timeout();
                self.servers[at].stalled_until = self.now + self.choices.pick(site, longest);
                Ok(())
            }
            Family::Replay => {
                let count = 1 + self.choices.pick(site, 6);
                self.replay(count);
                Ok(())
            }
            Family::Transfer => {
                let to = self.choices.pick(site, self.options.seats as u64 + 1);
                self.transfer(self.leader.unwrap_or(at), (to > 0).then_some(NodeId(to)))
            }
            Family::Nudge => self.nudge(site, at),
            Family::Drift | Family::Leap | Family::Standstill => self.disturb_clock(family, at),
            Family::Wipe if self.servers[at].seated && self.may_lose(at) => self.wipe(at),
            Family::Rot if self.may_rot(at) => self.rot(at),
            Family::Spoil if self.may_rot(at) => self.spoil(at),
            Family::Wipe | Family::Rot | Family::Spoil => Ok(()),
            Family::Change => {
                let left = 1 + self.choices.pick(site, 3);
                self.change(left as u8)
            }
            Family::Renew => self.renew(),
            Family::Capture => self.input(at, Input::Capture),
            Family::Exile => self.exile(site),
            Family::Absence => self.absence(),
            Family::Rollback => self.roll_back(at),
            Family::Bequest => self.bequest(3),
            Family::Fill => self.fill(at),
            Family::Moth => self.moth(),
            Family::Ruin => self.ruin(),
            Family::Revenant => self.return_somebody(),
            Family::Perjury => self.swear(),
            Family::Report => {
                self.counts.reports += 1;
                let peer = NodeId(1 + self.choices.pick(site, self.options.seats as u64));
                self.input(self.leader.unwrap_or(at), Input::Unreachable { peer })
            }
        }
    }

    /// Who leads doesn't campaign, and nobody else sends heartbeats.
    fn nudge(&mut self, site: Site, at: usize) -> Result<(), Violation> {
        if self.choices.pick(site, 3) == 0 {
            return self.input(self.leader.unwrap_or(at), Input::Heartbeat);
        }
        let at = self.somebody(site);
        self.input(at, Input::Campaign)
    }

    /// A clock changes its rate, jumps forward, or stands still for a while.
    fn disturb_clock(&mut self, family: Family, at: usize) -> Result<(), Violation> {
        let site = Site::from(family.purpose());
        match family {
            Family::Leap => {
                self.counts.leaps += 1;
                let elapsed = 1 + self.choices.pick(site, 3 * u64::from(self.options.election_ticks));
                return self.input(at, Input::Tick { elapsed: elapsed as u32 });
            }
            Family::Standstill => {
                self.counts.standstills += 1;
                let longest = 4 * self.options.election_timeout();
                self.servers[at].stopped_until = self.now + self.choices.pick(site, longest);
            }
            _ => self.servers[at].clock = Clock::draw(at, &self.options, &mut self.choices),
        }
        Ok(())
    }

    /// Some node; every second time the leader.
    fn victim(&mut self, site: Site) -> usize {
        let at = self.somebody(site);
        if self.choices.pick(site, 2) == 1 { self.leader.unwrap_or(at) } else { at }
    }

    /// Some voter as a rule; sometimes any seat.
    fn somebody(&mut self, site: Site) -> usize {
        let any = 1 + self.choices.pick(site, self.options.seats as u64) as usize;
        let voters: Vec<usize> = self.settled().voters().map(|id| id.0 as usize).collect();
        match self.choices.pick(site, 4) {
            3 => any,
            _ => voters[self.choices.pick(site, voters.len() as u64) as usize],
        }
    }

    pub(crate) fn crash_if_up(&mut self, at: usize) -> Result<(), Violation> {
        if self.servers[at].process.is_some() { self.crash(at) } else { Ok(()) }
    }

    pub(crate) fn cut_all_power(&mut self) -> Result<(), Violation> {
        self.counts.power_cuts += 1;
        for at in 1..self.servers.len() {
            // What a dead process left to the system goes with the power, too.
            self.crash_with_power(at)?;
        }
        Ok(())
    }

    fn pause(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let Some(process) = &mut server.process else { return };
        if process.paused.is_some() {
            return;
        }
        self.counts.pauses += 1;
        process.paused = Some(0);
        let site = Site::from(Purpose::Pauses);
        let timeout = self.options.election_timeout();
        let longest = self.choices.one_of(site, &[timeout / 2, 2 * timeout, 6 * timeout]);
        let after = self.choices.range(site, 0, longest);
        let tells = self.choices.pick(Site::new(Purpose::Clock, at), 3) != 2;
        // A lease is as good as a clock that also runs while its process doesn't.
        let tells = tells || self.options.leases == Leases::Safe;
        self.queue.push(self.now + after, Event::Resume { at, life: server.life, tells });
    }

    /// A paused process goes on. Its clock tells how long it was away, or has stopped meanwhile.
    pub(crate) fn resume(&mut self, at: usize, tells: bool) -> Result<(), Violation> {
        let Some(process) = &mut self.servers[at].process else { return Ok(()) };
        let Some(missed) = process.paused.take() else { return Ok(()) };
        if self.planted == Some(Planted::Driver(Lie::ClockReadLate)) {
            self.turn(at)?;
        }
        let Some(process) = &mut self.servers[at].process else { return Ok(()) };
        if tells && missed > 0 {
            // What waited is older than the clock's word, and goes in after it.
            process.inbox.insert(0, Input::Tick { elapsed: missed });
        }
        self.wake(at)
    }

    /// Some of what was synced decays, unnoticed until the next start.
    fn rot(&mut self, at: usize) -> Result<(), Violation> {
        if self.servers[at].lost || !self.has_committed() {
            return Ok(());
        }
        let places = 1 + self.choices.pick(Purpose::Rots.into(), 8);
        for _ in 0..places {
            let server = &mut self.servers[at];
            for (segment, place) in server.disk.rot(&mut self.choices) {
                self.counts.rots += 1;
                (server.lost, server.decays) = (true, true);
                server.rot.push(segment);
                self.trace.say(self.now, format_args!("{at} rots in segment {segment} at byte {place}"));
            }
        }
        self.crash_if_up(at)
    }

    /// A bit of a snapshot flips, unnoticed until it is read.
    fn spoil(&mut self, at: usize) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        let Some(last) = server.snapshots.rot(&mut self.choices) else { return Ok(()) };
        self.counts.spoilt += 1;
        (server.lost, server.spoilt) = (true, true);
        self.trace.say(self.now, format_args!("{at} has a rotten snapshot to {last}"));
        if self.choices.pick(Purpose::Spoils.into(), 2) == 0 { self.crash_if_up(at) } else { Ok(()) }
    }

    fn partition(&mut self, at: usize) {
        let site = Site::from(Purpose::Partitions);
        let nodes = 1..=self.options.seats;
        let other = self.somebody(site);
        let kind = self.choices.pick(site, 10);
        if self.choices.pick(site, 2) == 0 {
            self.network.mend();
        }
        match kind {
            0 => self.network.mend(),
            1 | 2 => {
                // Two halves; of the second kind one node is the bridge between them.
                let side = self.choices.pick(site, 1 << self.options.seats) << 1;
                for (a, b) in nodes.clone().flat_map(|a| nodes.clone().map(move |b| (a, b))) {
                    let apart = (side >> a ^ side >> b) & 1 == 1;
                    let bridge = kind == 2 && (a == at || b == at);
                    if apart && !bridge {
                        self.network.cut(a, b);
                    }
                }
            }
            3..=5 => {
                // One is alone: in both directions, or only deaf, or only mute.
                for peer in nodes.filter(|peer| *peer != at) {
                    if kind != 4 {
                        self.network.cut(peer, at);
                    }
                    if kind != 5 {
                        self.network.cut(at, peer);
                    }
                }
            }
            6 => self.network.cut(at, other),
            7 | 8 => {
                // Two don't hear each other, and everybody else hears both.
                self.network.cut(at, other);
                self.network.cut(other, at);
            }
            _ => self.queue.push(self.now, Event::Flap { from: at, to: other, left: 20 }),
        }
        if self.choices.pick(site, 4) != 3 {
            let longest = 6 * self.options.election_timeout();
            let after = self.choices.range(site, 0, longest);
            self.queue.push(self.now + after, Event::Mend);
        }
        self.follow_up(site, other);
    }

    /// Cuts a server off in both directions, from all but one.
    pub(crate) fn cut_off(&mut self, at: usize, but: Option<usize>) {
        for peer in (1..=self.options.seats).filter(|peer| *peer != at && Some(*peer) != but) {
            self.network.cut(peer, at);
            self.network.cut(at, peer);
        }
    }

    /// The leader is cut off in both directions. What clients on its side write, nobody hears of; meanwhile the others
    /// elect one of them, who goes on and takes snapshots. So the exile comes back with a log of its own, as long as theirs
    /// or longer, to a cluster that may have forgotten where they part.
    fn exile(&mut self, site: Site) -> Result<(), Violation> {
        let Some(at) = self.leader else { return Ok(()) };
        self.counts.exiles += 1;
        self.cut_off(at, None);
        let timeout = self.options.election_timeout();
        let away = self.choices.range(site, 2 * timeout, 12 * timeout);
        self.queue.push(self.now + away, Event::Mend);
        for _ in 0..=self.choices.pick(site, 2) {
            let burst = self.choices.range(site, 0, timeout);
            self.queue.push(self.now + burst, Event::Burst { at });
            let capture = self.choices.range(site, timeout, away);
            self.queue.push(self.now + capture, Event::Capture);
        }
        Ok(())
    }

    /// A partition may bring more soon: while some hear the leader and some don't, another one restarts, or stands for
    /// election. Within an election timeout that is what leases and the patience of voters are for.
    fn follow_up(&mut self, site: Site, other: usize) {
        let timeout = self.options.election_timeout();
        let crashes = self.options.faults[Family::Crash as usize].is_some();
        for _ in 0..self.choices.pick(site, 5) {
            let any = self.somebody(site);
            let at = if self.choices.pick(site, 2) == 1 { other } else { any };
            let life = self.servers[at].life;
            if crashes && self.choices.pick(site, 2) == 1 {
                // Late enough that somebody stands for election meanwhile.
                let due = self.now + self.choices.range(site, 0, 3 * timeout);
                self.queue.push(due, Event::Crash { at, life });
            } else {
                let due = self.now + self.choices.range(site, 0, timeout);
                self.queue.push(due, Event::Nudge { at, life });
            }
        }
    }

    /// A link goes on and off.
    pub(crate) fn flap(&mut self, from: usize, to: usize, left: u8) {
        if self.healed || left == 0 {
            return;
        }
        for (a, b) in [(from, to), (to, from)] {
            if left.is_multiple_of(2) { self.network.cut(a, b) } else { self.network.open(a, b) }
        }
        let after = self.choices.range(Purpose::Partitions.into(), 1, self.options.election_timeout());
        self.queue.push(self.now + after, Event::Flap { from, to, left: left - 1 });
    }

    /// The faults are over: from now on the cluster must serve.
    pub(crate) fn heal(&mut self) -> Result<(), Violation> {
        self.trace.say(self.now, format_args!("the faults are over"));
        self.trace.mark(self.now, 0, 2);
        (self.healed, self.heir, self.revenant) = (true, None, None);
        let calm = self.options.tick * u64::from(self.options.heartbeat_ticks) / 4;
        let timeout = self.options.election_timeout();
        self.network.heal(calm);
        self.workload.heal(2 * timeout, self.options.leases);
        self.options.dies = 0;
        self.options.batch = self.options.batch.min(calm);
        let network = &mut self.options.network;
        (network.delay, network.jitter) = (network.delay.min(calm / 2), network.jitter.min(calm / 2));
        let disk = &mut self.options.disk;
        (disk.fail, disk.slow) = (0, 0);
        (disk.sync, disk.jitter) = (disk.sync.min(calm / 2), disk.jitter.min(calm / 2));
        disk.receipt = disk.receipt.min(calm);
        let snapshots = &mut self.options.snapshots;
        (snapshots.fail, snapshots.lost, snapshots.damaged) = (0, 0, 0);
        (snapshots.store, snapshots.fetch) = (snapshots.store.min(calm / 2), snapshots.fetch.min(calm / 2));
        snapshots.capture = snapshots.capture.min(calm);
        self.operator.down = self.stay_down()?;
        self.draw_strangers();
        for at in 1..self.servers.len() {
            let server = &mut self.servers[at];
            (server.stalled_until, server.stopped_until) = (0, 0);
            server.space.empty();
            server.clock = Clock::calm(at, &self.options, &mut self.choices);
            if !(self.belongs(at) || self.is_stranger(at)) {
                // Who was removed stays away.
                self.stop(at)?;
                self.servers[at].life += 1;
            } else if !self.operator.down.contains(&at) {
                self.retire(at)?;
                self.start(at)?;
                self.resume(at, true)?;
            }
        }
        self.publish_members();
        if !self.is_beyond() {
            self.judges.observe(self.now, &Fact::Healed)?;
        }
        self.tend()
    }

    /// Who stays down: nobody, or as many as a cluster that has formed can do without.
    fn stay_down(&mut self) -> Result<Vec<usize>, Violation> {
        if self.options.minority_down && self.has_committed() {
            for _ in 0..self.options.seats {
                let at = self.victim(Purpose::Crashes.into());
                if !self.operator.down.contains(&at) && self.belongs(at) && self.may_lose(at) {
                    self.operator.down.push(at);
                    self.stop(at)?;
                    self.servers[at].life += 1;
                }
            }
        }
        Ok(mem::take(&mut self.operator.down))
    }
}
