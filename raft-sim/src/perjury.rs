//! More than a cluster can bear: the disks of a quorum have said that writes were synced, and a power cut takes these all the
//! same. What was acknowledged may be gone then, and nobody can tell. But whoever still knows it to be committed must not give
//! it up to a leader that has something else: it halts (rule 8). The judge of it is `invariants/perjury.rs`.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::{Fact, Time, Violation};
use crate::rollback::Image;
use crate::world::{Event, World};
use raft_core::Membership;

/// What the disks of a quorum hold, and all that they will.
#[derive(Clone, Debug)]
pub(crate) struct Oath {
    liars: Vec<(usize, Image)>,
}

impl World {
    /// From now on what the disks of a quorum are given is lost when their power goes.
    pub(crate) fn swear(&mut self) -> Result<(), Violation> {
        let settled = self.settled();
        let voters: Vec<usize> = settled.voters().map(|id| id.0 as usize).collect();
        let whole = |at: &usize| {
            let server = &self.servers[*at];
            server.runs() && !server.lost && !server.refused && server.rot.is_empty()
        };
        // What a disk forgets that is put back, and who has to be told so, is another matter; so is what decays.
        let apart = self.ruined.is_some() || !self.rolled_back.is_empty() || settled.is_joint();
        if apart || self.perjured || self.oath.is_some() || voters.len() < 3 || !voters.iter().all(whole) {
            return Ok(());
        }
        let site = Site::from(Purpose::Perjuries);
        let most = voters.len() as u64;
        let begins = self.choices.pick(site, most) as usize;
        let liars = (0..=voters.len() / 2).map(|next| voters[(begins + next) % voters.len()]);
        let liars: Vec<_> = liars.map(|at| (at, Image::of(&self.servers[at]))).collect();
        self.oath = Some(Box::new(Oath { liars }));
        let timeout = self.options.election_timeout();
        self.calm_until = self.now + 4 * timeout;
        if let Some(at) = self.leader {
            self.queue.push(self.now + timeout / 2, Event::Burst { at });
        }
        let after = self.choices.range(site, timeout, 3 * timeout);
        self.queue.push(self.now + after, Event::Perjury);
        Ok(())
    }

    /// Their power goes, and they begin again without the others.
    pub(crate) fn perjury(&mut self) -> Result<(), Violation> {
        let Some(oath) = self.oath.take().filter(|_| !self.healed && self.ruined.is_none()) else {
            return Ok(());
        };
        let same = |(at, image): &(usize, Image)| {
            let server = &self.servers[*at];
            image.is_of(server.newest) && server.disk_id == server.newest.disk && !server.lost
        };
        if !oath.liars.iter().all(same) || !self.rolled_back.is_empty() {
            return Ok(());
        }
        self.counts.perjuries += 1;
        self.perjured = true;
        if let Some(behaviour) = &mut self.trace.behaviour {
            behaviour.ends();
        }
        for at in 1..self.servers.len() {
            // An older state of a disk, or an older disk, is another matter still.
            (self.servers[at].image, self.servers[at].estate) = (None, None);
        }
        self.revenant = None;
        let liars: Vec<usize> = oath.liars.iter().map(|(at, _)| *at).collect();
        for (at, image) in oath.liars {
            self.stop(at)?;
            self.trace.say(self.now, format_args!("the disk of {at} has lied, and loses what it had synced"));
            image.put_back(&mut self.servers[at]);
            self.servers[at].torn = false;
        }
        self.judges.observe(self.now, &Fact::Perjured)?;
        self.set_apart(&liars, &self.settled());
        for at in liars {
            self.restart(at);
        }
        Ok(())
    }

    /// The others don't hear who has lost something until it has a leader; from then on nothing else happens.
    fn set_apart(&mut self, liars: &[usize], settled: &Membership) {
        let timeout = self.options.election_timeout();
        for at in settled.members().iter().map(|member| member.id.0 as usize).filter(|at| !liars.contains(at))
        {
            self.cut_off(at, None);
        }
        let away = self.choices.range(Purpose::Perjuries.into(), 4 * timeout, 12 * timeout);
        self.queue.push(self.now + away, Event::Mend);
        self.calm_until = Time::MAX;
        self.options.inputs = self.options.inputs.min(self.counts.inputs + 6_000);
    }

    /// Whether more is lost than the cluster can bear: that it serves can't be asked any more.
    pub(crate) fn is_beyond(&self) -> bool {
        self.ruined.is_some() || self.perjured
    }
}
