//! Each invariant is shown a made-up violation, which it must report, and a tricky legal history, which it must accept.

mod clients;
mod disks;
mod elections;
mod logs;
mod members;
mod perjury;
mod reading;
mod removals;
mod repair;
mod ruin;
mod snapshots;
mod stale_reads;
mod staying;
mod terms;

use super::{Judges, Rules};
use crate::facts::{Fact, Time, Violation};
use bytes::Bytes;
use raft_core::{
    Ballot, Base, Body, DiskId, Entry, EntryId, HardState, Index, Limits, Log, LogSlice, Membership, Message,
    NodeId, Payload, Recovered, RoleName, Round, Stamp, Status, Term, Update,
};

type Verdict = Result<(), Violation>;

/// Asserts that exactly this invariant fell.
#[track_caller]
fn falls(verdict: Verdict, invariant: &str) {
    match verdict {
        Ok(()) => panic!("{invariant} should have fallen"),
        Err(violation) => assert_eq!(violation.invariant, invariant, "{violation}"),
    }
}

/// One node as a test makes it up.
#[derive(Clone)]
struct Actor {
    stamp: Stamp,
    status: Status,
    log: Log,
    joins: bool,
    /// What its disk would give after a crash.
    image: Recovered,
    /// What was written and not synced.
    in_flight: Vec<Update>,
    number: u64,
}

/// A founded cluster of made-up nodes. Its methods do what a sound node would do, unless a test has them lie.
#[derive(Clone)]
struct Stage {
    judges: Judges,
    actors: Vec<Actor>,
    now: Time,
}

fn rules(nodes: u64) -> Rules {
    let nodes = usize::try_from(nodes).unwrap();
    let limits = Limits::default();
    Rules {
        nodes,
        founders: nodes,
        lease: true,
        limits,
        pre_vote: false,
        patience: 900,
        election_timeout: 1_000,
        lease_ticks: 9,
    }
}

fn command(text: &'static str) -> Payload {
    Payload::Command(Bytes::from_static(text.as_bytes()))
}

fn entry(term: u64, index: u64, text: &'static str) -> Entry {
    Entry::new(EntryId::new(term, index), command(text))
}

fn slice(prev: EntryId, entries: Vec<Entry>) -> LogSlice {
    LogSlice::new(prev, entries).unwrap()
}

impl Stage {
    fn new(nodes: u64) -> Stage {
        Stage::with(rules(nodes))
    }

    /// All founders are started and founded, in term 0. The others never ran.
    fn with(rules: Rules) -> Stage {
        let ids = || (1..=rules.founders as u64).map(NodeId);
        let membership = Membership::founders(ids()).unwrap().with_disks(|id| Some(DiskId(id.0 * 100)));
        let base = Base { id: EntryId::ORIGIN, hash: 0, membership };
        let all = (1..=rules.nodes as u64).map(NodeId);
        let actors = all.map(|id| Actor::new(id, (id.0 <= rules.founders as u64).then_some(&base))).collect();
        let mut stage = Stage { judges: Judges::new(rules), actors, now: 0 };
        for id in ids() {
            let (stamp, recovered) = (stage.actor(id.0).stamp, Recovered::default());
            stage.tell(&Fact::Started { node: id, stamp, recovered: &recovered, joins: false }).unwrap();
            let hard = Some(HardState { boot: stamp.boot, ..HardState::default() });
            stage.write(id.0, Update { hard, base: Some(base.clone()), ..Update::default() }).unwrap();
            stage.sync(id.0).unwrap();
            stage.step(id.0).unwrap();
        }
        stage
    }

    fn actor(&mut self, node: u64) -> &mut Actor {
        &mut self.actors[usize::try_from(node).unwrap() - 1]
    }

    fn tell(&mut self, fact: &Fact<'_>) -> Verdict {
        self.now += 1;
        self.judges.observe(self.now, fact)
    }

    /// A turn of a node ends as its actor stands.
    fn step(&mut self, node: u64) -> Verdict {
        let actor = self.actor(node);
        actor.look();
        let (status, log) = (actor.status.clone(), actor.log.clone());
        self.tell(&Fact::Stepped { node: NodeId(node), status, log: &log })
    }

    fn write(&mut self, node: u64, update: Update) -> Verdict {
        let actor = self.actor(node);
        actor.number += 1;
        actor.in_flight.push(update.clone());
        let number = actor.number;
        self.tell(&Fact::Wrote { node: NodeId(node), number, update: &update })
    }

    /// Everything that was written is durable, and the node knows it.
    fn sync(&mut self, node: u64) -> Verdict {
        let through = self.actor(node).number;
        self.actor(node).survive(usize::MAX);
        self.tell(&Fact::Synced { node: NodeId(node), through })?;
        (1..=through).try_for_each(|number| self.tell(&Fact::Confirmed { node: NodeId(node), number }))
    }

    fn write_durably(&mut self, node: u64, update: Update) -> Verdict {
        self.write(node, update)?;
        self.sync(node)
    }

    fn send(&mut self, node: u64, to: u64, body: Body) -> Verdict {
        let term = self.actor(node).status.term.0;
        self.send_in(node, to, term, body)
    }

    fn message(&mut self, node: u64, to: u64, term: u64, body: Body) -> Message {
        let asker = self.actor(to).stamp;
        let to = body.is_reply().then_some(asker);
        Message { from: self.actor(node).stamp, to, term: Term(term), body }
    }

    fn send_in(&mut self, node: u64, to: u64, term: u64, body: Body) -> Verdict {
        let message = self.message(node, to, term, body);
        self.tell(&Fact::Sent { node: NodeId(node), to: NodeId(to), message: &message })
    }

    /// Adopts a term, and perhaps votes in it, durably. A vote for itself makes it a candidate.
    fn adopt(&mut self, node: u64, term: u64, vote: Option<u64>) -> Verdict {
        let stands = vote == Some(node);
        self.actor(node).status.role = if stands { RoleName::Candidate } else { RoleName::Follower };
        let hard = self.actor(node).adopt(term, vote);
        self.step(node)?;
        self.write_durably(node, Update { hard: Some(hard), ..Update::default() })
    }

    /// Stands for election, since it is told to, with all promises kept.
    fn stand(&mut self, node: u64, term: u64) -> Verdict {
        self.tell(&Fact::Nudged { node: NodeId(node) })?;
        self.adopt(node, term, Some(node))?;
        let last = self.actor(node).log.last();
        for to in (1..=self.actors.len() as u64).filter(|to| *to != node) {
            self.send(node, to, Body::Vote { last, transfer: false, recorded: true })?;
        }
        Ok(())
    }

    /// Gives a vote, with all promises kept.
    fn vote(&mut self, node: u64, candidate: u64, term: u64) -> Verdict {
        self.adopt(node, term, Some(candidate))?;
        self.send(node, candidate, Body::VoteReply { answer: Ballot::Granted })
    }

    /// A candidate leads after a turn, and has appended its first entry, not durably.
    fn lead(&mut self, node: u64) -> Verdict {
        let actor = self.actor(node);
        actor.status.role = RoleName::Leader;
        let id = EntryId { term: actor.status.term, index: actor.log.last().index.next() };
        self.append(node, vec![Entry::new(id, Payload::Noop)])
    }

    /// An election from its beginning to its end.
    fn elect(&mut self, node: u64, voters: &[u64], term: u64) {
        self.stand(node, term).unwrap();
        for voter in voters {
            self.vote(*voter, node, term).unwrap();
        }
        self.lead(node).unwrap();
    }

    /// A turn appends entries and writes them.
    fn append(&mut self, node: u64, entries: Vec<Entry>) -> Verdict {
        for entry in &entries {
            self.actor(node).log.append(entry.clone());
        }
        self.step(node)?;
        self.write(node, Update { entries, ..Update::default() })
    }

    /// A turn truncates the log, durably.
    fn truncate(&mut self, node: u64, keep: u64) -> Verdict {
        self.actor(node).log.truncate(Index(keep));
        self.step(node)?;
        self.write_durably(node, Update { keep: Some(Index(keep)), ..Update::default() })
    }

    /// A follower, in the leader's term, takes everything that it lacks, durably, and acknowledges it.
    fn follow(&mut self, node: u64, leader: u64) -> Verdict {
        let (term, log) = (self.actor(leader).status.term, self.actor(leader).log.clone());
        if self.actor(node).status.term < term {
            self.adopt(node, term.0, None)?;
        }
        self.actor(node).status.role = RoleName::Follower;
        let mut agree = self.actor(node).log.last().index.min(log.last().index);
        while self.actor(node).log.hash_at(agree) != log.hash_at(agree) {
            agree = agree.previous().unwrap();
        }
        if self.actor(node).log.last().index > agree {
            self.truncate(node, agree.0)?;
        }
        self.append(node, log.from(agree.next()).cloned().collect())?;
        self.sync(node)?;
        self.send(node, leader, Body::Appended { matched: log.last().index })
    }

    /// A turn learns of a commit: a leader by counting, another from a leader's heartbeat.
    fn commit(&mut self, node: u64, index: u64) -> Verdict {
        if self.actor(node).status.role != RoleName::Leader {
            let told = Body::Heartbeat { commit: Index(index), round: Round(0) };
            self.hear(node, told)?;
        }
        self.actor(node).status.commit = Index(index);
        self.step(node)
    }

    /// The next node says something in the term of this one.
    fn hear(&mut self, node: u64, body: Body) -> Verdict {
        let (from, term) = (node % self.actors.len() as u64 + 1, self.actor(node).status.term.0);
        let message = self.message(from, node, term, body);
        self.tell(&Fact::Received { node: NodeId(node), from: NodeId(from), message: &message })
    }

    fn apply(&mut self, node: u64, index: u64) -> Verdict {
        let entry = self.actor(node).log.entry(Index(index)).unwrap().clone();
        self.tell(&Fact::Applied { node: NodeId(node), entry: &entry })
    }

    /// A crash that leaves this many of the writes in flight, and a restart.
    fn restart(&mut self, node: u64, surviving: usize) -> Verdict {
        self.crash(node, surviving)?;
        self.start(node)
    }

    fn crash(&mut self, node: u64, surviving: usize) -> Verdict {
        self.actor(node).survive(surviving);
        self.actor(node).in_flight.clear();
        self.tell(&Fact::Crashed { node: NodeId(node) })
    }

    /// A process starts on its disk's image; its boot is durable at once.
    fn start(&mut self, node: u64) -> Verdict {
        let actor = self.actor(node);
        actor.number = 0;
        actor.stamp.boot.0 += 1;
        let (stamp, recovered) = (actor.stamp, actor.image.clone());
        let hard = HardState { boot: stamp.boot, ..recovered.hard };
        actor.status = status(NodeId(node), hard);
        let snapshot = recovered.snapshot.as_ref().map(|snapshot| snapshot.last());
        actor.status.snapshot = snapshot;
        actor.status.commit = snapshot.unwrap_or_default().index;
        actor.status.applied = actor.status.commit;
        actor.log = Log::recovered(recovered.base.as_ref(), recovered.entries.iter().cloned());
        let joins = actor.joins;
        self.tell(&Fact::Started { node: NodeId(node), stamp, recovered: &recovered, joins })?;
        self.step(node)?;
        self.write_durably(node, Update { hard: Some(hard), ..Update::default() })
    }
}

fn status(id: NodeId, hard: HardState) -> Status {
    Status {
        id,
        boot: hard.boot,
        role: RoleName::Follower,
        term: hard.term,
        vote: hard.vote,
        leader: None,
        commit: Index(0),
        applied: Index(0),
        durable: Index(0),
        last: EntryId::ORIGIN,
        base: EntryId::ORIGIN,
        snapshot: None,
        membership: Membership::default(),
        membership_at: Index(0),
        transferring: None,
        founded: true,
        halted: false,
        held: 0,
        tickets: 0,
        decayed: 0,
        ignored: 0,
    }
}

impl Actor {
    fn new(id: NodeId, base: Option<&Base>) -> Actor {
        let stamp = Stamp { disk: DiskId(id.0 * 100), boot: raft_core::Boot(1) };
        Actor {
            stamp,
            status: status(id, HardState { boot: stamp.boot, ..HardState::default() }),
            log: Log::new(base),
            joins: base.is_none(),
            image: Recovered::default(),
            in_flight: Vec::new(),
            number: 0,
        }
    }

    /// Its status says what is in its log.
    fn look(&mut self) {
        self.status.last = self.log.last();
        self.status.base = self.log.base();
        self.status.decayed = self.log.decayed().len();
        self.status.membership = self.log.membership().cloned().unwrap_or_default();
        self.status.membership_at = self.log.membership_index().unwrap_or_default();
    }

    fn adopt(&mut self, term: u64, vote: Option<u64>) -> HardState {
        self.status.term = Term(term);
        self.status.vote = vote.map(NodeId);
        HardState { term: self.status.term, vote: self.status.vote, boot: self.stamp.boot }
    }

    /// So many of the oldest writes in flight reach the disk.
    fn survive(&mut self, count: usize) {
        let count = count.min(self.in_flight.len());
        for update in self.in_flight.drain(..count) {
            let image = &mut self.image;
            image.hard = update.hard.unwrap_or(image.hard);
            if update.base.is_some() {
                (image.base, image.entries) = (update.base, Vec::new());
            }
            if let Some(keep) = update.keep {
                image.entries.retain(|entry| entry.index() <= keep);
            }
            image.entries.extend(update.entries);
        }
    }
}
