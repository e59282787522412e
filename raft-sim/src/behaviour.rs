//! A run as the specification sees it (`spec/Trace.tla`): what was handed to each node, what came out, and what the node
//! was like after the turn. What the specification doesn't know of is left out: disk ids, hellos, time.

use crate::choices::{MILLION, Random, Source};
use crate::mutants;
use crate::options::{Family, Options, Workload};
use crate::runner::{Ended, Failure, Play};
use crate::tla::{Record, Value};
use crate::trace::Reader;
use crate::world::{Setup, World};
use raft_core::{
    Answer, Body, DiskId, Entry, EntryId, Input, Limits, Member, Membership, Message, NodeId, Output,
    Payload, Recovered, RoleName, Stamp, Status,
};
use std::mem;
use std::ops::Range;

/// How many servers found the cluster of every behaviour; one more may join.
const FOUNDERS: usize = 3;

/// One thing that happened, as a record with at least its kind `k` and its node `i`.
pub type Event = Record;

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    events: Vec<Event>,
    /// The turn under way.
    turn: Vec<Event>,
    /// What each node was like after its last turn.
    before: Vec<(NodeId, Value, u64)>,
    /// The disk that each node ran on first.
    disks: Vec<(NodeId, DiskId)>,
    /// Something happened that the specification can't tell: what follows is not recorded.
    over: bool,
    /// This turn told somebody that it is no member: what it asked was not looked at.
    strange: bool,
}

impl Behaviour {
    /// What follows can't be told.
    pub(crate) fn ends(&mut self) {
        self.over = true;
    }

    /// The first events of a seed's run, as many as asked for and the rest of the last turn. The run is drawn as every
    /// other, but without what the specification leaves out, and with more faults, since it is short.
    ///
    /// # Errors
    /// If an invariant fell.
    pub fn of(seed: u64, most: usize) -> Result<Vec<Event>, Failure> {
        let setup = Setup { planted: None, reader: Reader::Nobody };
        let mut choices = Source::Random(Random::new(seed, false));
        let options = traceable(Options::draw(&mut choices));
        let mut world = World::with(options, choices, setup);
        world.trace.behaviour = Some(Box::default());
        let mut play = Play::new(world, &[]);
        loop {
            let steps = play.world.steps();
            let ended = play.drive(steps + 1, |_| {});
            let behaviour = play.world.trace.behaviour.as_ref();
            let full = behaviour.is_none_or(|it| it.over || it.events.len() >= most);
            match ended {
                Ended::Failed(failure) => return Err(failure),
                Ended::GivenUp if !full => {}
                Ended::GivenUp | Ended::Clean => break,
            }
        }
        Ok(play.world.trace.behaviour.take().unwrap_or_default().events)
    }

    fn push(&mut self, kind: &str, node: NodeId, mut fields: Event) {
        let mut event = vec![("k", kind.into()), ("i", node.0.into())];
        event.append(&mut fields);
        self.turn.push(event);
    }

    /// A process starts.
    pub(crate) fn started(&mut self, node: NodeId, stamp: Stamp, recovered: &Recovered) {
        self.over |= self.disks.iter().any(|(other, disk)| *other == node && *disk != stamp.disk);
        self.disks.push((node, stamp.disk));
        self.before.retain(|(other, ..)| *other != node);
        let base = recovered.base.as_ref().map_or(0, |base| base.id.index.0);
        let log = recovered.entries.iter().map(entry).collect();
        let fields = vec![
            ("boot", stamp.boot.0.into()),
            ("term", recovered.hard.term.0.into()),
            ("vote", recovered.hard.vote.unwrap_or_default().0.into()),
            ("base", base.into()),
            ("snap", recovered.snapshot.as_ref().map_or(0, |snapshot| snapshot.last().index.0).into()),
            ("log", Value::Sequence(log)),
        ];
        self.push("start", node, fields);
    }

    /// A process is gone.
    pub(crate) fn died(&mut self, node: NodeId) {
        self.turn.clear();
        self.push("die", node, Vec::new());
        self.events.append(&mut self.turn);
    }

    /// A node is handed an input.
    pub(crate) fn input(&mut self, node: NodeId, input: &Input) {
        match input {
            Input::Receive { from, message } if is_told(&message.body) => {
                self.push("recv", node, vec![("m", post(*from, node, message))]);
            }
            Input::Persisted(receipt) => self.push("persisted", node, vec![("n", receipt.number().into())]),
            Input::Propose { command, .. } => {
                self.push("propose", node, vec![("val", hash(raft_core::hash::bytes(command)))]);
            }
            Input::Read { ticket } => self.push("read", node, vec![("ticket", ticket.0.into())]),
            Input::Captured(Some(snapshot)) => {
                self.push("captured", node, vec![("last", id(snapshot.last()))])
            }
            Input::Stored(receipt) => {
                let (snapshot, have) = (receipt.snapshot(), receipt.have());
                let all = have == snapshot.size;
                self.push("stored", node, vec![("last", id(snapshot.last())), ("all", all.into())]);
            }
            // Of these the specification knows only what they bring about.
            Input::Receive { .. }
            | Input::Tick { .. }
            | Input::LeaseRead { .. }
            | Input::Reconfigure { .. }
            | Input::Capture
            | Input::Captured(None)
            | Input::Missing { .. }
            | Input::Unreachable { .. }
            | Input::Transfer { .. }
            | Input::Campaign
            | Input::Heartbeat => self.push("tick", node, Vec::new()),
        }
    }

    /// A node's output is carried out.
    pub(crate) fn output(&mut self, node: NodeId, output: &Output) {
        match output {
            Output::Persist(write) => {
                let update = write.update();
                let hard = update.hard.map_or(Vec::new(), |hard| {
                    let vote = hard.vote.unwrap_or_default();
                    vec![hard.boot.0.into(), hard.term.0.into(), vote.0.into()]
                });
                let founds = update.base.as_ref().is_some_and(|base| base.id == EntryId::ORIGIN);
                let fields = vec![
                    ("n", write.number().into()),
                    ("hard", Value::Sequence(hard)),
                    ("entries", Value::Sequence(update.entries.iter().map(entry).collect())),
                    ("founds", founds.into()),
                ];
                self.push("write", node, fields);
            }
            Output::Send { to, message } if is_told(&message.body) => {
                self.push("send", node, vec![("m", post(node, *to, message))]);
            }
            Output::Send { message, .. } => self.strange |= matches!(message.body, Body::Removed { .. }),
            Output::Apply(applied) => {
                let fields = vec![("index", applied.index().0.into()), ("entry", entry(applied))];
                self.push("apply", node, fields);
            }
            Output::Restore(snapshot) => {
                self.push("restore", node, vec![("index", snapshot.last().index.0.into())]);
            }
            Output::Fetch(fetch) => {
                let whole = fetch.offset() == 0 && fetch.length() as u64 == fetch.snapshot().size;
                let fields = vec![
                    ("to", fetch.to().0.into()),
                    ("last", id(fetch.snapshot().last())),
                    ("whole", whole.into()),
                ];
                self.push("fetch", node, fields);
            }
            Output::Release { through } => self.push("release", node, vec![("through", through.0.into())]),
            Output::Answer { answer: Answer::Committed(at), .. } => {
                self.push("committed", node, vec![("id", id(*at))]);
            }
            Output::Answer { ticket, answer: Answer::ReadAt(index) } => {
                self.push("answer", node, vec![("ticket", ticket.0.into()), ("index", index.0.into())]);
            }
            Output::Halt(_) => self.push("halt", node, Vec::new()),
            // Nothing was promised by these, or the state tells of them.
            Output::Capture(_) | Output::Store(_) | Output::Answer { .. } | Output::Event(_) => {}
        }
    }

    /// A node's turn is over, and it is like this. Turns that changed nothing are left out.
    pub(crate) fn turned(&mut self, status: &Status) {
        let (node, state) = (status.id, state(status));
        let before =
            self.before.iter().position(|(other, ..)| *other == node).map(|at| self.before.remove(at));
        let ignored = mem::take(&mut self.strange) || before.as_ref().is_some_and(|it| it.2 < status.ignored);
        let same = before.as_ref().is_some_and(|(_, before, _)| *before == state);
        self.before.push((node, state.clone(), status.ignored));
        // The disk of a member is given up: of disks the specification knows nothing.
        self.over |= status.membership.members().iter().any(|member| member.replaced.is_some());
        let ticks = self.turn.iter().all(|event| event[0].1 == "tick".into());
        let halts = self.turn.iter().any(|event| event[0].1 == "halt".into());
        if (ticks && same) || (status.halted && !halts) || self.over {
            return self.turn.clear();
        }
        for event in self.turn.iter_mut().filter(|event| event[0].1 == "recv".into()) {
            event.push(("ignored", ignored.into()));
        }
        if !halts {
            self.push("end", node, vec![("s", state)]);
        }
        self.events.append(&mut self.turn);
    }
}

/// Whether the specification knows of such messages.
fn is_told(body: &Body) -> bool {
    !matches!(
        body,
        Body::Hello
            | Body::HelloReply(_)
            | Body::Removed { .. }
            | Body::RolledBack { .. }
            | Body::Lacks { .. }
            | Body::Copies { .. }
            | Body::Piece { .. }
    )
}

/// A hash is a string: it has more bits than TLC's numbers.
fn hash(hash: u64) -> Value {
    Value::Text(format!("{hash:x}"))
}

fn id(id: EntryId) -> Value {
    Value::Record(vec![("index", id.index.0.into()), ("term", id.term.0.into())])
}

fn entry(entry: &Entry) -> Value {
    let (kind, val, conf) = match entry.payload() {
        Payload::Noop => ("noop", "".into(), Value::Set(Vec::new())),
        Payload::Command(_) | Payload::Decayed { .. } => ("cmd", hash(entry.hash()), Value::Set(Vec::new())),
        Payload::Membership(membership) => ("conf", "".into(), configuration(membership)),
    };
    Value::Record(vec![("term", entry.term().0.into()), ("kind", kind.into()), ("val", val), ("conf", conf)])
}

/// A configuration: pairs of a server and its standing.
pub fn configuration(membership: &Membership) -> Value {
    let pair = |member: &Member| {
        let standing = format!("{:?}", member.standing);
        Value::Sequence(vec![member.id.0.into(), standing.as_str().into()])
    };
    Value::Set(membership.members().iter().map(pair).collect())
}

fn post(from: NodeId, to: NodeId, message: &Message) -> Value {
    let mut post: Record = vec![
        ("kind", message.body.name().into()),
        ("src", from.0.into()),
        ("dst", to.0.into()),
        ("term", message.term.0.into()),
        ("boot", message.from.boot.0.into()),
        ("to", message.to.map_or(0, |asker| asker.boot.0).into()),
    ];
    post.extend(match &message.body {
        Body::PreVote { last, .. } => vec![("last", id(*last))],
        Body::Vote { last, transfer, .. } => vec![("last", id(*last)), ("transfer", (*transfer).into())],
        Body::PreVoteReply { answer } | Body::VoteReply { answer } => {
            vec![("granted", answer.is_yes().into())]
        }
        Body::Append { slice, commit } => vec![
            ("prev", id(slice.prev())),
            ("entries", Value::Sequence(slice.entries().iter().map(entry).collect())),
            ("commit", commit.0.into()),
        ],
        Body::Appended { matched } => vec![("matched", matched.0.into())],
        Body::Conflict { asked, hint } => vec![("asked", id(*asked)), ("hint", id(*hint))],
        Body::Heartbeat { commit, round } => vec![("commit", commit.0.into()), ("round", round.0.into())],
        Body::HeartbeatReply { round } => vec![("round", round.0.into())],
        Body::Chunk { snapshot, offset, data } => {
            let whole = *offset == 0 && data.len() as u64 == snapshot.size;
            vec![("last", id(snapshot.last())), ("whole", whole.into())]
        }
        Body::ChunkReply { last, .. } => vec![("last", id(*last))],
        Body::ReadIndex { batch } => vec![("batch", batch.0.into())],
        Body::ReadIndexReply { batch, index } => vec![("batch", batch.0.into()), ("index", index.0.into())],
        Body::Hello | Body::HelloReply(_) | Body::Removed { .. } | Body::RolledBack { .. } => Vec::new(),
        Body::Lacks { .. } | Body::Copies { .. } | Body::Piece { .. } => Vec::new(),
        Body::TimeoutNow | Body::Stale => Vec::new(),
    });
    Value::Record(post)
}

fn state(status: &Status) -> Value {
    let role = match status.role {
        RoleName::Follower => "Follower",
        RoleName::PreCandidate => "PreCandidate",
        RoleName::Candidate => "Candidate",
        RoleName::Leader => "Leader",
    };
    Value::Record(vec![
        ("role", role.into()),
        ("term", status.term.0.into()),
        ("vote", status.vote.unwrap_or_default().0.into()),
        ("leader", status.leader.unwrap_or_default().0.into()),
        ("commit", status.commit.0.into()),
        ("applied", status.applied.0.into()),
        ("durable", status.durable.0.into()),
        ("last", id(status.last)),
        ("base", id(status.base)),
        ("snap", status.snapshot.unwrap_or_default().index.0.into()),
        ("conf", configuration(&status.membership)),
    ])
}

/// Options that the specification can follow, and more faults in a short run: disks are neither lost nor do they decay,
/// clients ask for no leases, and a node takes one turn an input.
fn traceable(mut options: Options) -> Options {
    let timeout = options.election_timeout();
    options.nodes = FOUNDERS;
    options.seats = FOUNDERS + 1;
    options.pre_vote = true;
    options.batch = 0;
    options.dies = 0;
    options.shuffled = false;
    options.limits = Limits { snapshot_entries: 6, retain_entries: 1, ..Limits::default() };
    options.snapshots.damaged = 0;
    options.naming = None;
    options.workload = Workload {
        closed: 2,
        readers: 0,
        open: 0,
        leased: 0,
        reads: MILLION / 4,
        think: timeout,
        ..options.workload
    };
    let often = |family| match family {
        Family::Crash | Family::Partition | Family::Transfer | Family::Capture => 5,
        Family::Nudge | Family::Change | Family::Replay => 3,
        Family::PowerCut | Family::Stall | Family::Drift => 15,
        _ => 0,
    };
    for family in Family::ALL {
        options.faults[family as usize] = Some(often(family) * timeout).filter(|mean| *mean > 0);
    }
    options
}

/// A module with the behaviours of some seeds, and changed ones.
///
/// # Errors
/// The seed of a run in which an invariant fell.
pub fn module(name: &str, seeds: Range<u64>, most: usize, mutants: usize) -> Result<String, (u64, Failure)> {
    let mut text = format!("---- MODULE {name} ----\nEXTENDS Trace\n");
    let founders = Membership::founders((1..=FOUNDERS as u64).map(NodeId)).expect("founders vote");
    text += &format!("TheFounders == {}\n", configuration(&founders));
    let (mut runs, mut variants) = (Vec::new(), Vec::new());
    for (at, seed) in seeds.enumerate() {
        let at = at + 1;
        let events = Behaviour::of(seed, most).map_err(|why| (seed, why))?;
        text += &format!("\\* Seed {seed}.\nRun{at} == <<\n");
        variants.push(format!("[run|->{at},op|->\"none\"]"));
        let changed = mutants::mutants(&events, seed, mutants);
        variants.extend(changed.into_iter().map(|mutant| mutant.variant(at).to_string()));
        let lines: Vec<String> = events.into_iter().map(|event| Value::Record(event).to_string()).collect();
        text += &lines.join(",\n");
        text += ">>\n";
        runs.push(format!("Run{at}"));
    }
    text +=
        &format!("TheRuns == <<{}>>\nTheVariants == <<{}>>\n====\n", runs.join(","), variants.join(",\n"));
    Ok(text)
}
