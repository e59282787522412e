//! Every ticket is answered exactly once, and truthfully: `Committed` names the entry that carries the very command,
//! `Lost` only when another committed entry stands in its place or one of a later term before it, and a refusal only when
//! nothing was appended.

mod changes;

use super::{
    Broken, Verdict,
    cluster::{Cluster, Step},
    demand, reads,
};
use crate::facts::Class;
use changes::Request;
use raft_core::{Answer, Change, EntryId, Index, NodeId, Payload, RoleName, Status, Ticket, hash};
use std::collections::{BTreeMap, BTreeSet};

/// The name of this invariant.
pub const NAME: &str = "tickets";

/// Where a command stands in the log of the node that took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Not looked at yet, or one of several equal commands.
    Unclear,
    /// Nowhere.
    Nowhere,
    /// There.
    At(EntryId),
}

/// What a ticket stands for.
#[derive(Clone, Debug)]
enum Asked {
    Command { hash: u64, place: Place },
    Read(reads::Asked),
    Change(Request),
    Transfer,
}

/// What a ticket that was answered stood for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answered {
    Command,
    Read(reads::Asked),
    Change,
    Transfer,
}

/// The tickets of one process.
#[derive(Clone, Debug, Default)]
struct Desk {
    open: BTreeMap<Ticket, Asked>,
    closed: BTreeSet<Ticket>,
    /// The commands of the turn that is being taken, in order.
    proposed: Vec<(Ticket, u64)>,
    /// The changes of the configuration that were handed in for it.
    changed: Vec<Ticket>,
    /// How many tickets were handed in since the turn before.
    fresh: usize,
}

impl Desk {
    fn take(&mut self, node: NodeId, ticket: Ticket, asked: Asked) -> Verdict {
        self.fresh += 1;
        let new = self.open.insert(ticket, asked).is_none() && !self.closed.contains(&ticket);
        demand(new, NAME, Class::Safety, || format!("ticket {ticket} is handed to node {node} twice"))
    }
}

/// All tickets.
#[derive(Clone, Debug)]
pub(crate) struct Tickets {
    desks: Vec<Desk>,
    /// The indexes that were given out as `Committed`, each to one ticket.
    committed: BTreeMap<Index, (NodeId, Ticket)>,
}

impl Tickets {
    pub(crate) fn new(nodes: usize) -> Tickets {
        Tickets { desks: vec![Desk::default(); nodes + 1], committed: BTreeMap::new() }
    }

    /// A process ends: its tickets are nobody's. How many were open.
    pub(crate) fn crashed(&mut self, node: NodeId) -> usize {
        std::mem::take(self.desk(node)).open.len()
    }

    /// How many answers a node owes when the log is committed to `end` and nobody proposes any more. What became of a
    /// command beyond the end is known only once another entry stands there.
    pub(crate) fn owed(&self, node: NodeId, end: Index) -> usize {
        let due = |asked: &&Asked| match asked {
            Asked::Command { place, .. } | Asked::Change(Request { place, .. }) => match place {
                Place::At(id) => id.index <= end,
                Place::Nowhere => true,
                Place::Unclear => false,
            },
            Asked::Read(_) | Asked::Transfer => true,
        };
        self.desks.get(node.0 as usize).map_or(0, |desk| desk.open.values().filter(due).count())
    }

    /// How many tickets that were handed in before this turn are still open.
    pub(crate) fn waiting(&self, node: NodeId) -> usize {
        self.desks.get(node.0 as usize).map_or(0, |desk| desk.open.len().saturating_sub(desk.fresh))
    }

    /// A command is handed in.
    pub(crate) fn proposed(&mut self, node: NodeId, ticket: Ticket, command: &[u8]) -> Verdict {
        let hash = hash::bytes(command);
        let desk = self.desk(node);
        desk.proposed.push((ticket, hash));
        desk.take(node, ticket, Asked::Command { hash, place: Place::Unclear })
    }

    /// A read is handed in.
    pub(crate) fn read_asked(&mut self, node: NodeId, ticket: Ticket, asked: reads::Asked) -> Verdict {
        self.desk(node).take(node, ticket, Asked::Read(asked))
    }

    /// A change of the configuration is handed in.
    pub(crate) fn reconfigured(
        &mut self,
        node: NodeId,
        ticket: Ticket,
        changes: &[Change],
        expect: Option<Index>,
    ) -> Verdict {
        let desk = self.desk(node);
        desk.changed.push(ticket);
        let request = Request { changes: changes.to_vec(), expect, place: Place::Unclear };
        desk.take(node, ticket, Asked::Change(request))
    }

    /// A hand-over is asked for.
    pub(crate) fn transfer_asked(&mut self, node: NodeId, ticket: Ticket) -> Verdict {
        self.desk(node).take(node, ticket, Asked::Transfer)
    }

    /// A turn is over: which entries are the commands that were handed in for it? They are taken in order, so the new
    /// entries are some of the commands, in the same order.
    pub(crate) fn stepped(&mut self, step: &Step<'_>) {
        let desk = self.desk(step.node);
        desk.fresh = 0;
        changes::placed(desk, step);
        if desk.proposed.is_empty() {
            return;
        }
        let proposed = std::mem::take(&mut desk.proposed);
        // Whoever led at either end of the turn took them in that term.
        let led = |status: &&Status| status.role == RoleName::Leader;
        let Some(term) = step.before.filter(led).or(Some(step.after).filter(led)).map(|status| status.term)
        else {
            return;
        };
        let commands: Vec<(EntryId, u64)> = step
            .log
            .from(step.kept.next())
            .filter(|entry| entry.term() == term && matches!(entry.payload(), Payload::Command(_)))
            .map(|entry| (entry.id(), entry.hash()))
            .collect();
        let all = commands.len() == proposed.len();
        let mut next = commands.iter().peekable();
        for (ticket, hash) in &proposed {
            let found = next.next_if(|(_, entry)| entry == hash);
            let alone = || proposed.iter().filter(|(_, other)| other == hash).count() == 1;
            let place = match found {
                Some((id, _)) if all || alone() => Place::At(*id),
                None if step.led_throughout() && alone() => Place::Nowhere,
                _ => Place::Unclear,
            };
            if let Some(Asked::Command { place: known, .. }) = desk.open.get_mut(ticket) {
                *known = place;
            }
        }
    }

    /// A ticket is answered. A read's answer is for `reads` to judge, with what was known when it was asked.
    pub(crate) fn answered(
        &mut self,
        cluster: &Cluster,
        node: NodeId,
        ticket: Ticket,
        answer: Answer,
    ) -> Result<Answered, Broken> {
        let desk = self.desk(node);
        let Some(asked) = desk.open.remove(&ticket) else {
            let again = if desk.closed.contains(&ticket) { "again" } else { "though nobody asked" };
            return demand(false, NAME, Class::Safety, || {
                format!("node {node} answers ticket {ticket} {again}: {answer:?}")
            })
            .map(|()| Answered::Transfer);
        };
        desk.closed.insert(ticket);
        let halted = cluster.seat(node).status.as_ref().is_some_and(|status| status.halted);
        let verdict = match (&asked, answer) {
            (_, Answer::Unknown) if halted => Ok(()),
            (Asked::Read(_), Answer::ReadAt(_) | Answer::NotLeader { .. } | Answer::Busy(_)) => Ok(()),
            (Asked::Read(_), _) => Err("it stands for a read".into()),
            (Asked::Command { hash, place }, _) => truthful(cluster, node, *place, *hash, answer),
            (Asked::Change(request), _) => changes::truthful(cluster, node, request, answer),
            (Asked::Transfer, _) => changes::handed_over(cluster, node, answer),
        };
        verdict.map_err(|why| {
            let said = format!("node {node} answers ticket {ticket} with {answer:?}, but {why}");
            super::broken(NAME, Class::Safety, said)
        })?;
        if let Answer::Committed(id) = answer {
            self.once(node, ticket, id)?;
        }
        Ok(match asked {
            Asked::Read(asked) => Answered::Read(asked),
            Asked::Command { .. } => Answered::Command,
            Asked::Change(_) => Answered::Change,
            Asked::Transfer => Answered::Transfer,
        })
    }

    fn once(&mut self, node: NodeId, ticket: Ticket, id: EntryId) -> Verdict {
        let first = self.committed.insert(id.index, (node, ticket));
        demand(first.is_none(), NAME, Class::Safety, || {
            format!(
                "node {node} tells ticket {ticket} that {id} is its entry, and {first:?} was told so before"
            )
        })
    }

    fn desk(&mut self, node: NodeId) -> &mut Desk {
        &mut self.desks[node.0 as usize]
    }
}

/// Whether an answer to a command is true; if not, why.
fn truthful(cluster: &Cluster, node: NodeId, place: Place, hash: u64, answer: Answer) -> Result<(), String> {
    let canon = &cluster.canon;
    match answer {
        Answer::Committed(id) => {
            let before = id.index.previous().and_then(|index| canon.hash_at(index));
            let kind = u64::from(Payload::Command(Default::default()).kind());
            let with_it = before.map(|before| hash::chain(before, &[id.index.0, id.term.0, kind, hash]));
            if with_it.is_none() || canon.hash_at(id.index) != with_it {
                return Err(format!(
                    "the log is committed to {}, and its command isn't the entry {id}",
                    canon.last()
                ));
            }
            placed(place, id)
        }
        Answer::Lost => lost(cluster, place),
        Answer::NotLeader { .. } | Answer::Busy(_) => not_appended(place),
        Answer::Unknown => unknown(cluster, node, place),
        Answer::Refused(_) | Answer::HandingOver { .. } | Answer::ReadAt(_) => {
            Err("it stands for a command".into())
        }
    }
}

fn placed(place: Place, id: EntryId) -> Result<(), String> {
    match place {
        Place::At(own) if own != id => Err(format!("it was appended as {own}")),
        Place::Nowhere => Err("it was never appended".into()),
        _ => Ok(()),
    }
}

fn not_appended(place: Place) -> Result<(), String> {
    match place {
        Place::At(id) => Err(format!("it was appended as {id}")),
        Place::Nowhere | Place::Unclear => Ok(()),
    }
}

fn lost(cluster: &Cluster, place: Place) -> Result<(), String> {
    let canon = &cluster.canon;
    match place {
        Place::At(id) if canon.holds(id) => Err(format!("{id} is what was asked for, and is committed")),
        Place::At(id) if canon.last().index < id.index && canon.last().term <= id.term => Err(format!(
            "nothing is committed yet in the place of {id}, nor anything of a later term before it"
        )),
        _ => Ok(()),
    }
}

/// A snapshot that took the place of the log hides what stood in it.
fn unknown(cluster: &Cluster, node: NodeId, place: Place) -> Result<(), String> {
    let installed = cluster.seat(node).installed;
    match place {
        Place::At(id) if id.index > installed => {
            Err(format!("{id} is what was asked for, and the newest snapshot that came covers {installed}"))
        }
        Place::Nowhere => Err("it was never appended".into()),
        _ if installed == Index(0) => {
            Err("the node has not halted, and no snapshot covers anything here".into())
        }
        _ => Ok(()),
    }
}
