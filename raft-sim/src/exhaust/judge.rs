//! What must hold in every state and at every step: Figure 3 of the paper, and what it stands on, a disk that is asked
//! first. Told from the states alone, and from what no state remembers: who has led, and what was committed.

use super::server::Server;
use crate::facts::Class;
use crate::invariants::{
    Broken, Verdict, broken, commit_quorum, demand, election_safety, leader_completeness, log_matching,
    one_vote, promises, quorum, state_machine_safety,
};
use crate::notation::Text;
use raft_core::{Body, EntryId, Index, Message, NodeId, Output, RoleName, Term};
use std::collections::BTreeMap;

/// The name of the invariant that no server of a cluster with good disks stops, unless it was removed.
const HALT: &str = "halt";

/// A committed entry.
#[derive(Clone, Debug, Hash)]
struct Committed {
    id: EntryId,
    /// The log's running hash there.
    hash: u64,
    /// The term of the leader that committed it.
    term: Term,
}

/// What has happened, and may stand in no server's state any more.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Past {
    leaders: BTreeMap<Term, NodeId>,
    committed: Vec<Committed>,
}

/// What a server did by itself: what became of its disk, and what it put out.
pub(super) fn alone(before: &Server, after: &Server, outputs: &[Output]) -> Verdict {
    let (id, old, new) = (after.id(), before.disk.hard, after.disk.hard);
    one_vote::durable(old, new)?;
    demand(new.term >= old.term, one_vote::NAME, Class::Safety, || {
        format!("the disk of node {id} goes from term {} back to term {}", old.term, new.term)
    })?;
    for output in outputs {
        match output {
            Output::Send { to, message } => sent(after, *to, message)?,
            Output::Apply(entry) => {
                let index = entry.index();
                let held = after.disk.log.hash_at(index) == after.node.log().hash_at(index);
                demand(held, promises::NAME, Class::Durability, || {
                    format!("node {id} applies {}, and its disk doesn't hold it", entry.id())
                })?;
            }
            Output::Halt(report) => {
                let removed = matches!(report, raft_core::Report::Removed { .. });
                demand(removed, HALT, Class::Safety, || format!("node {id} stops: {report:?}"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Nothing is promised that the disk doesn't hold. What a promise of an older term needs is durable with the write that
/// raised the term, which came later.
fn sent(server: &Server, to: NodeId, message: &Message) -> Verdict {
    let (id, hard, log) = (server.id(), server.disk.hard, &server.disk.log);
    let early = |what: String| {
        broken(
            promises::NAME,
            Class::Durability,
            format!("node {id} {what}, and its disk holds {hard:?} and a log to {}", log.last()),
        )
    };
    if hard.boot < message.from.boot {
        return Err(early(format!("speaks as boot {}", message.from.boot)));
    }
    if message.term < hard.term {
        return Ok(());
    }
    let voted = |whom| hard.term == message.term && hard.vote == Some(whom);
    match &message.body {
        Body::VoteReply { answer } if answer.is_yes() && !voted(to) => {
            Err(early(format!("votes for node {to} in term {}", message.term)))
        }
        Body::Vote { last, .. } => {
            let stands = server.node.status().role == RoleName::Candidate;
            if voted(id) && (!stands || log.id_at(last.index) == Some(*last)) {
                return Ok(());
            }
            Err(early(format!("asks for votes in term {} with a log to {last}", message.term)))
        }
        Body::Appended { matched } if log.hash_at(*matched) != server.node.log().hash_at(*matched) => {
            Err(early(format!("acknowledges its log up to {matched}")))
        }
        _ => Ok(()),
    }
}

/// Whether a step can change anything that [`Past::after`] looks at.
pub(super) fn concerns_others(before: &Server, after: &Server) -> bool {
    let commit = |server: &Server| server.node.status().commit;
    newly_leads(before, after).is_some()
        || commit(before) != commit(after)
        || before.node.log() != after.node.log()
}

fn leads(server: &Server) -> Option<Term> {
    let status = server.node.status();
    (status.role == RoleName::Leader).then_some(status.term)
}

fn newly_leads(before: &Server, after: &Server) -> Option<Term> {
    let same_boot = before.node.stamp() == after.node.stamp();
    leads(after).filter(|term| !same_boot || leads(before) != Some(*term))
}

impl Past {
    /// How many terms have had a leader, and how many entries are committed.
    pub(super) fn extent(&self) -> (u64, u64) {
        (self.leaders.len() as u64, self.committed.len() as u64)
    }

    /// What has happened once one of the servers took a step, or what fell by it.
    pub(super) fn after(&self, before: &Server, after: &Server, servers: &[&Server]) -> Result<Past, Broken> {
        let mut past = self.clone();
        for other in servers {
            logs_match(after, other)?;
        }
        if let Some(term) = newly_leads(before, after) {
            past.elected(term, after)?;
        }
        past.commits(before, after, servers)?;
        Ok(past)
    }

    fn elected(&mut self, term: Term, leader: &Server) -> Verdict {
        let id = leader.id();
        if let Some(earlier) = self.leaders.insert(term, id) {
            let said = format!("node {id} leads term {term}, which node {earlier} has led");
            return Err(broken(election_safety::NAME, Class::Safety, said));
        }
        self.committed.iter().try_for_each(|entry| complete(term, leader, entry))
    }

    /// What this server knows as committed is what was committed; and what it is the first to know has its quorum.
    fn commits(&mut self, before: &Server, server: &Server, servers: &[&Server]) -> Verdict {
        let (id, log, commit) = (server.id(), server.node.log(), server.node.status().commit);
        for (index, entry) in (1..=commit.0).zip(&self.committed) {
            let ours = log.hash_at(Index(index));
            demand(
                ours.is_none_or(|ours| ours == entry.hash),
                state_machine_safety::NAME,
                Class::Safety,
                || {
                    let ours = log.id_at(Index(index)).unwrap_or_default();
                    format!("node {id} knows {ours} as committed, and {} was committed there", entry.id)
                },
            )?;
        }
        let known = self.committed.len() as u64;
        if commit.0 <= known {
            return Ok(());
        }
        let Some(term) = leads(before).or(leads(server)) else {
            let said = format!("node {id} is the first to know {commit} as committed, and doesn't lead");
            return Err(broken(commit_quorum::NAME, Class::Safety, said));
        };
        has_quorum(before, server, commit, servers)?;
        for index in (known + 1..=commit.0).map(Index) {
            let (id, hash) =
                log.id_at(index).zip(log.hash_at(index)).expect("what is committed is in the log");
            let entry = Committed { id, hash, term };
            for other in servers {
                leads(other).map_or(Ok(()), |term| complete(term, other, &entry))?;
            }
            self.committed.push(entry);
        }
        Ok(())
    }
}

/// Two logs that agree on an entry agree on all before it.
fn logs_match(one: &Server, other: &Server) -> Verdict {
    let (ours, theirs) = (one.node.log(), other.node.log());
    for entry in ours.from(Index(0)) {
        let at = entry.index();
        let same = theirs.id_at(at) != Some(entry.id()) || theirs.hash_at(at) == ours.hash_at(at);
        demand(same, log_matching::NAME, Class::Safety, || {
            let (one, other) = (one.id(), other.id());
            format!("nodes {one} and {other} both have {}, but differ in it or before it", entry.id())
        })?;
    }
    Ok(())
}

/// A leader holds what was committed in an earlier term.
fn complete(term: Term, leader: &Server, entry: &Committed) -> Verdict {
    let log = leader.node.log();
    let holds = log.hash_at(entry.id.index) == Some(entry.hash);
    demand(term <= entry.term || holds, leader_completeness::NAME, Class::Safety, || {
        let ours = log.id_at(entry.id.index).map_or("nothing".into(), |id| id.to_string());
        format!(
            "{} was committed in term {}, but node {} leads term {term} with {ours} there",
            entry.id,
            entry.term,
            leader.id()
        )
    })
}

/// A quorum of the configuration in force has on its disks what a leader commits. It commits first, and may then append
/// the next configuration.
fn has_quorum(before: &Server, leader: &Server, commit: Index, servers: &[&Server]) -> Verdict {
    let members = before.node.log().membership().cloned().unwrap_or_default();
    let hash = leader.node.log().hash_at(commit);
    let holds = |server: &&&Server| {
        members.on_record(server.id(), server.node.stamp().disk) && server.disk.log.hash_at(commit) == hash
    };
    let holders: Vec<NodeId> = servers.iter().filter(holds).map(|server| server.id()).collect();
    demand(quorum::agreed(&members, |id| holders.contains(&id)), commit_quorum::NAME, Class::Safety, || {
        format!(
            "node {} commits {}, which only {holders:?} of {} have on their disks",
            leader.id(),
            leader.node.log().id_at(commit).unwrap_or_default(),
            Text(&members)
        )
    })
}
