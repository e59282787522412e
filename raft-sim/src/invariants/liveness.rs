//! Once the faults are over, the cluster serves: there is a leader, the logs of all live members are the same, committed
//! and applied to their end, no change of the configuration is under way, every ticket is answered, and a fresh write and
//! a fresh read have been served. Asked only where a quorum is left to do it. Once that is so, its leader stays, and no
//! member hears of a later term, unless somebody asks for what may change that.

use super::{
    Rules, Verdict,
    cluster::{Cluster, Seat, Step},
    demand, quorum,
    tickets::Tickets,
};
use crate::coverage::{Coverage, Mark};
use crate::facts::{Class, Time};
use raft_core::{Answer, Index, Member, Membership, NodeId, RoleName, Standing, Status, Term, Ticket};
use std::collections::BTreeSet;

/// The name of this invariant.
pub const NAME: &str = "liveness";

/// Election timeouts without a leader after which the next one counts as late: elections are random, and this is rare.
const LATE: Time = 10;
/// Election timeouts after which it is never going to be elected.
const NEVER: Time = 100;
/// Election timeouts from a leader's first turn until everything has converged.
const CONVERGED: Time = 30;
/// .. at most, if snapshots and changes go on, or somebody far behind catches up.
const MOVED: Time = 300;
/// How many entries are far: one by one they take a good part of the time that convergence may take.
const FAR: u64 = 100;

/// What became of the cluster since it was healed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Liveness {
    healed: Option<Time>,
    /// Since when there is no leader, or was none when the present one came.
    vacant: Time,
    /// The newest leader and its first turn: one that was cut off until the healing may still step down.
    led: Option<(NodeId, Term, Time)>,
    /// The last time that a snapshot, a change or catching up went on.
    moved: Time,
    /// What was asked since, and not answered.
    fresh: BTreeSet<(NodeId, Ticket)>,
    /// Such a write was served.
    wrote: bool,
    /// Such a read was served.
    read: bool,
    /// The leader that stays, and since when it does.
    stays: Option<(NodeId, Term, Time)>,
}

impl Liveness {
    pub(crate) fn healed(&mut self, at: Time) {
        *self = Liveness { healed: Some(at), vacant: at, ..Liveness::default() };
    }

    /// A ticket is handed in.
    pub(crate) fn asked(&mut self, node: NodeId, ticket: Ticket) {
        if self.healed.is_some() {
            self.fresh.insert((node, ticket));
        }
    }

    /// A ticket is answered.
    pub(crate) fn answered(&mut self, node: NodeId, ticket: Ticket, answer: Answer) {
        if self.fresh.remove(&(node, ticket)) {
            self.wrote |= matches!(answer, Answer::Committed(_));
            self.read |= matches!(answer, Answer::ReadAt(_));
        }
    }

    /// A node took a turn. Whether it leads since then, and is late.
    pub(crate) fn stepped(&mut self, at: Time, node: NodeId, status: &Status, rules: &Rules) -> bool {
        if self.healed.is_none() {
            return false;
        }
        let leads = status.role == RoleName::Leader;
        if leads && self.led.is_none_or(|(_, term, _)| term < status.term) {
            let late = self.led.is_none() && at > self.vacant + LATE * rules.election_timeout;
            self.led = Some((node, status.term, at));
            return late;
        }
        if !leads && self.led.is_some_and(|(leader, ..)| leader == node) {
            (self.led, self.vacant) = (None, at);
        }
        false
    }

    /// All that the faults left is over, and the cluster has settled: whoever leads now stays.
    pub(crate) fn settled(&mut self, at: Time, cluster: &Cluster, rules: &Rules, coverage: &mut Coverage) {
        let first = newest_leader(cluster, rules).filter(|_| able(cluster, rules));
        self.stays = first.and_then(|(leader, seat)| Some((leader, seat.status.as_ref()?.term, at)));
        if self.stays.is_none() {
            return;
        }
        coverage.reach(Mark::Watched);
        let stranger = |(node, seat): (NodeId, &Seat)| {
            let voter = seat.log.configuration().is_some_and(|(_, members)| members.is_voter(node));
            voter && lives(seat) && !counts(cluster, rules, node, seat)
        };
        if cluster.seats().any(stranger) {
            coverage.reach(Mark::WatchedWithStranger);
        }
    }

    /// A hand-over, a campaign or a change of the configuration is asked for: whoever led need not stay.
    pub(crate) fn may_change_hands(&mut self) {
        self.stays = None;
    }

    /// A node took a turn: if it is a member, it still follows the same leader in the same term. Who was removed, or is no
    /// member yet, may be in any term: rule 10 of DESIGN keeps it from disturbing the others (dissertation 4.2.3).
    pub(crate) fn stays(&self, cluster: &Cluster, rules: &Rules, step: &Step<'_>) -> Verdict {
        let Some((leader, led, since)) = self.stays else { return Ok(()) };
        let (node, Status { term, role, .. }) = (step.node, step.after);
        // A learner's new disk is in no term yet.
        let same = *term <= led && (*role == RoleName::Leader) == (node == leader);
        demand(same || !counts(cluster, rules, node, cluster.seat(node)), NAME, Class::Liveness, || {
            format!(
                "the cluster had settled at {since} us with leader {leader} of term {led}, nothing was asked for that ends \
                 that, and now node {node} is {role:?} in term {term}"
            )
        })
    }

    /// A snapshot arrives in part, or a configuration is appended: what follows takes its time.
    pub(crate) fn moves(&mut self, at: Time) {
        self.moved = at;
    }

    /// Whether a server that is far behind the leader gets on.
    pub(crate) fn catches_up(&self, cluster: &Cluster, step: &Step<'_>) -> bool {
        let gets_on = step.before.is_some_and(|before| before.last.index < step.after.last.index);
        let last = self.led.map(|(leader, ..)| cluster.seat(leader).log.last().index);
        gets_on && last.is_some_and(|last| step.after.last.index.0 + FAR < last.0)
    }

    /// Whether the time is over in which the cluster had to recover. Constant time, so that it can be asked often.
    pub(crate) fn overdue(&self, at: Time, rules: &Rules) -> bool {
        let timeouts = |number| number * rules.election_timeout;
        let Some(healed) = self.healed else { return false };
        let over = match self.led {
            None => at > self.vacant + timeouts(NEVER),
            Some((_, _, led)) => at > led.max(self.moved) + timeouts(CONVERGED) || at > led + timeouts(MOVED),
        };
        over || at > healed + timeouts(NEVER + MOVED)
    }

    /// The run is over: if it was healed, it must have settled.
    pub(crate) fn ended(&self, cluster: &Cluster, tickets: &Tickets, rules: &Rules) -> Verdict {
        let Some(healed) = self.healed else { return Ok(()) };
        match self.unsettled(cluster, tickets, rules) {
            None => Ok(()),
            Some(why) => demand(false, NAME, Class::Liveness, || {
                format!("the faults ended at {healed} us, and still {why}")
            }),
        }
    }

    /// What a healed cluster has not done yet, if anything.
    pub(crate) fn unsettled(&self, cluster: &Cluster, tickets: &Tickets, rules: &Rules) -> Option<String> {
        if !able(cluster, rules) {
            return None;
        }
        let members = || cluster.seats().filter(|(node, seat)| counts(cluster, rules, *node, seat));
        let Some((leader, first)) = newest_leader(cluster, rules) else {
            return Some("nobody leads the newest term".into());
        };
        let end = first.log.last();
        changing(cluster, leader, first)
            .or_else(|| members().find_map(|(node, seat)| lags(leader, first, node, seat)))
            .or_else(|| {
                let owed = |node| tickets.owed(node, end.index);
                let owing = members().map(|(node, _)| node).find(|node| owed(*node) > 0)?;
                Some(format!("node {owing} owes {} answers, with every log equal to {end}", owed(owing)))
            })
            .or_else(|| {
                let unserved = self.healed.is_some() && !(self.wrote && self.read);
                unserved.then(|| {
                    format!("fresh writes served: {}, fresh reads served: {}", self.wrote, self.read)
                })
            })
    }
}

/// Who leads the newest term that a member has heard of.
fn newest_leader<'a>(cluster: &'a Cluster, rules: &Rules) -> Option<(NodeId, &'a Seat)> {
    let members = || cluster.seats().filter(|(node, seat)| counts(cluster, rules, *node, seat));
    let newest = members().filter_map(|(_, seat)| seat.status.as_ref()).map(|status| status.term).max();
    members().find(|(_, seat)| seat.leading().is_some_and(|status| Some(status.term) == newest))
}

/// Whether a quorum is left to serve: by the newest configuration that is committed, and by the one in force in the log
/// of each live member of it that holds it, since each of these may be the only one whose log is electable, and must be
/// able to be elected by its own. Whose log is older only votes. A founder that has not founded counts like a
/// lost one, unless somebody is left who can tell it that the cluster is formed: until it hears that, or from every
/// founder, it can't know that its disk has never voted before.
fn able(cluster: &Cluster, rules: &Rules) -> bool {
    let Some((committed, newest)) = formed(cluster) else {
        let founders = || cluster.seats().take(rules.founders);
        // A cluster is founded by all together; after that, a quorum will do.
        let live = founders().filter(|(_, seat)| lives(seat)).count();
        let able = founders().filter(|(_, seat)| lives(seat) && founded(seat)).count();
        return live == rules.founders || able > rules.founders / 2;
    };
    let knows =
        |seat: &Seat| seat.log.configuration().is_some_and(|(at, _)| at > Index(0) && at <= seat.commit());
    let known = cluster.seats().any(|(_, seat)| lives(seat) && founded(seat) && knows(seat));
    let quorum = |members: &Membership| {
        quorum::agreed(members, |id| {
            let recorded = |seat: &&Seat| lives(seat) && members.on_record(id, seat.stamp.disk);
            cluster.find(id).filter(recorded).is_some_and(|seat| known || founded(seat))
        })
    };
    let by_its_own = |member: &Member| {
        let live = cluster.find(member.id).filter(|seat| lives(seat) && member.disk == Some(seat.stamp.disk));
        let own = live.and_then(|seat| seat.log.configuration()).filter(|(at, _)| *at >= committed);
        own.is_none_or(|(_, members)| quorum(members))
    };
    quorum(newest) && newest.members().iter().all(by_its_own)
}

/// The newest committed configuration of a formed cluster: that at index 0 is the founders' hearsay of each other.
fn formed(cluster: &Cluster) -> Option<(Index, &Membership)> {
    cluster.canon.configuration().filter(|(at, _)| *at > Index(0))
}

/// Whether a node must take part: it lives, and the newest committed configuration has it with this disk, or waits for a
/// disk of it to put on record. Who was removed, or is none of it yet, is nobody's care.
fn counts(cluster: &Cluster, rules: &Rules, node: NodeId, seat: &Seat) -> bool {
    let Some((_, newest)) = formed(cluster) else {
        return lives(seat) && node.0 <= rules.founders as u64;
    };
    let disk = seat.stamp.disk;
    let waits = |member: &Member| {
        member.disk.is_none() && member.replaced != Some(disk) && (seat.joins || member.replaced.is_none())
    };
    lives(seat) && newest.get(node).is_some_and(|member| member.disk == Some(disk) || waits(member))
}

/// What change of the configuration is not complete, by the leader.
fn changing(cluster: &Cluster, leader: NodeId, first: &Seat) -> Option<String> {
    let (at, members) = first.log.configuration()?;
    if at > first.commit() {
        return Some(format!("the configuration of leader {leader} at {at} is not committed"));
    }
    if quorum::halves(members).len() > 1 {
        return Some(format!("the joint configuration of leader {leader} at {at} is not left"));
    }
    let waiting = |member: &&Member| {
        let live = |seat: &&Seat| lives(seat) && seat.joins && member.replaced != Some(seat.stamp.disk);
        let unrecorded = member.disk.is_none();
        let seat = cluster.find(member.id).filter(live);
        let here = seat.is_some_and(|seat| unrecorded || member.disk == Some(seat.stamp.disk));
        here && (unrecorded || member.standing == Standing::Entrant)
    };
    let member = members.members().iter().find(waiting)?;
    Some(format!("node {} waits for leader {leader} to go on: {member:?}", member.id))
}

/// Whether a node counts: it runs, and is not one that must stay away because its disk was wiped.
fn lives(seat: &Seat) -> bool {
    seat.running && !seat.halted && (founded(seat) || !seat.wiped)
}

fn founded(seat: &Seat) -> bool {
    seat.status.as_ref().is_some_and(|status| status.founded)
}

fn lags(leader: NodeId, first: &Seat, node: NodeId, seat: &Seat) -> Option<String> {
    let end = first.log.last();
    let Some(status) = &seat.status else { return Some(format!("node {node} took no turn")) };
    if (seat.log.last(), seat.log.last_hash()) != (end, first.log.last_hash()) {
        return Some(format!(
            "node {node} has a log to {} and its leader {leader} one to {end}",
            seat.log.last()
        ));
    }
    if (status.commit, status.applied) != (end.index, end.index) {
        let (commit, applied) = (status.commit, status.applied);
        return Some(format!("node {node} has committed {commit} and applied {applied} of a log to {end}"));
    }
    None
}
