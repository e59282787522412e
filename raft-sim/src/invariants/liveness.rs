//! Once the faults are over, the cluster serves: there is a leader, all live logs are the same, committed and applied
//! to their end, every ticket is answered, and a fresh write and a fresh read have been served. Asked only where a
//! quorum is left to do it.

use super::{
    Rules, Verdict,
    cluster::{Cluster, Seat},
    demand,
    tickets::Tickets,
};
use crate::facts::{Class, Time};
use raft_core::{Answer, NodeId, Ticket};
use std::collections::BTreeSet;

/// The name of this invariant.
pub const NAME: &str = "liveness";

/// Election timeouts after which a first leader counts as late: elections are random, and this is rare.
const LATE: Time = 10;
/// Election timeouts after which it is never going to be elected.
const NEVER: Time = 100;
/// Election timeouts from the first leader until everything has converged.
const CONVERGED: Time = 30;

/// What became of the cluster since it was healed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Liveness {
    healed: Option<Time>,
    led: Option<Time>,
    /// What was asked since, and not answered.
    fresh: BTreeSet<(NodeId, Ticket)>,
    /// Such a write was served.
    wrote: bool,
    /// Such a read was served.
    read: bool,
}

impl Liveness {
    pub(crate) fn healed(&mut self, at: Time) {
        *self = Liveness { healed: Some(at), ..Liveness::default() };
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

    /// A node leads after a turn. Whether it is the first one since the healing, and late.
    pub(crate) fn leads(&mut self, at: Time, rules: &Rules) -> bool {
        let Some(healed) = self.healed.filter(|_| self.led.is_none()) else { return false };
        self.led = Some(at);
        at > healed + LATE * rules.election_timeout
    }

    /// Whether the time is over in which the cluster had to recover. Constant time, so that it can be asked often.
    pub(crate) fn overdue(&self, at: Time, rules: &Rules) -> bool {
        let timeouts = |number| number * rules.election_timeout;
        match (self.healed, self.led) {
            (None, _) => false,
            (Some(healed), None) => at > healed + timeouts(NEVER),
            (Some(_), Some(led)) => at > led + timeouts(CONVERGED),
        }
    }

    /// The run is over: if it was healed, it must have settled.
    pub(crate) fn ended(&self, cluster: &Cluster, tickets: &Tickets) -> Verdict {
        let Some(healed) = self.healed else { return Ok(()) };
        match self.unsettled(cluster, tickets) {
            None => Ok(()),
            Some(why) => demand(false, NAME, Class::Liveness, || {
                format!("the faults ended at {healed} us, and still {why}")
            }),
        }
    }

    /// What a healed cluster has not done yet, if anything.
    pub(crate) fn unsettled(&self, cluster: &Cluster, tickets: &Tickets) -> Option<String> {
        let live = || cluster.seats().filter(|(_, seat)| lives(seat));
        let all = cluster.seats().count();
        // A cluster is founded by all together; after that, a quorum will do.
        let able = live().filter(|(_, seat)| founded(seat)).count();
        if live().count() < all && able <= all / 2 {
            return None;
        }
        let newest = live().filter_map(|(_, seat)| seat.status.as_ref()).map(|status| status.term).max();
        let leads = |seat: &Seat| seat.leading().is_some_and(|status| Some(status.term) == newest);
        let Some((leader, first)) = live().find(|(_, seat)| leads(seat)) else {
            return Some("nobody leads the newest term".into());
        };
        let end = first.log.last();
        live()
            .find_map(|(node, seat)| lags(leader, first, node, seat))
            .or_else(|| {
                let owed = |node| tickets.owed(node, end.index);
                let owing = live().map(|(node, _)| node).find(|node| owed(*node) > 0)?;
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
