//! The last steps of a run as data: what happened, what became of each message, and what each node was like, for those
//! who show it to a person.

use crate::case::Case;
use crate::facts::Time;
use crate::notation::At;
use crate::runner::{Ended, Ran};
use crate::trace::Reader;
use crate::world::{Event, World};
use raft_core::{EntryId, Index, Input, Message, Node, NodeId, Output, RoleName, Term};
use std::fmt::Arguments;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Tick,
    Hear,
    Send,
    Write,
    Receipt,
    Client,
    Order,
    Snapshot,
    Apply,
    Tell,
    /// Something happened to a node or to all of them that is no input: a fault, a start, a death.
    World,
}

impl What {
    pub(crate) fn name(self) -> &'static str {
        match self {
            What::Tick => "tick",
            What::Hear => "hear",
            What::Send => "send",
            What::Write => "write",
            What::Receipt => "receipt",
            What::Client => "client",
            What::Order => "order",
            What::Snapshot => "snapshot",
            What::Apply => "apply",
            What::Tell => "tell",
            What::World => "world",
        }
    }
}

/// A message that a step sends or hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) message: Message,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Time,
    /// To which node; 0 for none or all.
    pub(crate) node: usize,
    pub(crate) what: What,
    pub(crate) words: String,
    pub(crate) post: Option<Post>,
}

impl Moment {
    pub(crate) fn input(at: Time, node: NodeId, input: &Input) -> Moment {
        let what = match input {
            Input::Tick { .. } => What::Tick,
            Input::Receive { .. } => What::Hear,
            Input::Persisted(_) => What::Receipt,
            Input::Propose { .. } | Input::Read { .. } | Input::LeaseRead { .. } => What::Client,
            Input::Captured(_) | Input::Stored(_) | Input::Missing { .. } => What::Snapshot,
            Input::Reconfigure { .. }
            | Input::Capture
            | Input::Unreachable { .. }
            | Input::Transfer { .. }
            | Input::Campaign
            | Input::Heartbeat => What::Order,
        };
        let post = match input {
            Input::Receive { from, message } => {
                Some(Post { from: from.0 as usize, to: node.0 as usize, message: message.clone() })
            }
            _ => None,
        };
        Moment { at, node: node.0 as usize, what, words: At(node, input).to_string(), post }
    }

    pub(crate) fn output(at: Time, node: NodeId, output: &Output) -> Moment {
        let what = match output {
            Output::Persist(_) => What::Write,
            Output::Send { .. } => What::Send,
            Output::Apply(_) => What::Apply,
            Output::Restore(_)
            | Output::Capture(_)
            | Output::Fetch(_)
            | Output::Store(_)
            | Output::Release { .. } => What::Snapshot,
            Output::Event(_) => What::Tell,
            Output::Answer { .. } => What::Client,
            Output::Halt(_) => What::World,
        };
        let post = match output {
            Output::Send { to, message } => {
                Some(Post { from: node.0 as usize, to: to.0 as usize, message: message.clone() })
            }
            _ => None,
        };
        Moment { at, node: node.0 as usize, what, words: At(node, output).to_string(), post }
    }

    /// Something said in words. Whom it is about stands first, or last after the name of a fault.
    pub(crate) fn said(at: Time, words: Arguments<'_>) -> Moment {
        let words = words.to_string();
        let about =
            if words.starts_with("fault") { words.rsplit(' ').next() } else { words.split(' ').next() };
        let node = about.and_then(|word| word.parse().ok()).unwrap_or_default();
        Moment { at, node, what: What::World, words, post: None }
    }
}

/// What a node is like. Of one that is down: what it was like at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) up: bool,
    pub(crate) paused: bool,
    pub(crate) halted: bool,
    pub(crate) boot: u64,
    pub(crate) role: RoleName,
    pub(crate) term: Term,
    pub(crate) vote: Option<NodeId>,
    pub(crate) leader: Option<NodeId>,
    pub(crate) commit: Index,
    pub(crate) applied: Index,
    pub(crate) durable: Index,
    pub(crate) base: EntryId,
    pub(crate) last: EntryId,
    /// The terms of its log behind the base, each with how many entries it has in a row.
    pub(crate) log: Vec<(u64, u64)>,
}

impl State {
    fn nobody() -> State {
        State {
            up: false,
            paused: false,
            halted: false,
            boot: 0,
            role: RoleName::Follower,
            term: Term(0),
            vote: None,
            leader: None,
            commit: Index(0),
            applied: Index(0),
            durable: Index(0),
            base: EntryId::default(),
            last: EntryId::default(),
            log: Vec::new(),
        }
    }

    fn of(node: &Node, paused: bool) -> State {
        let status = node.status();
        let mut log: Vec<(u64, u64)> = Vec::new();
        for entry in node.log().from(node.log().base().index.next()) {
            match log.last_mut() {
                Some((term, times)) if *term == entry.term().0 => *times += 1,
                _ => log.push((entry.term().0, 1)),
            }
        }
        State {
            up: true,
            paused,
            halted: status.halted,
            boot: status.boot.0,
            role: status.role,
            term: status.term,
            vote: status.vote,
            leader: status.leader,
            commit: status.commit,
            applied: status.applied,
            durable: status.durable,
            base: status.base,
            last: status.last,
            log,
        }
    }
}

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was heard, in the end or so far.
    Heard,
    /// It was on its way when the run ended.
    OnItsWay,
    /// It came to nothing.
    Lost,
    /// It was sent before the first step that is shown.
    Earlier,
}

impl Fate {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fate::Heard => "heard",
            Fate::OnItsWay => "on its way",
            Fate::Lost => "lost",
            Fate::Earlier => "earlier",
        }
    }
}

/// A message and all that became of it: the steps that sent and heard it.
#[derive(Clone, Debug)]
pub(crate) struct Arrow {
    pub(crate) post: Post,
    pub(crate) kind: &'static str,
    pub(crate) sent: Option<usize>,
    pub(crate) heard: Vec<usize>,
    pub(crate) fate: Fate,
}

/// The last steps of a run.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) ran: Ran,
    /// What happened, oldest first.
    pub(crate) moments: Vec<Moment>,
    pub(crate) arrows: Vec<Arrow>,
    /// How the nodes change: after which moment, which, to what. Each has one after the first moment.
    pub(crate) states: Vec<(usize, usize, State)>,
    /// Which links are cut after which moment, whenever that changes.
    pub(crate) cuts: Vec<(usize, Vec<(usize, usize)>)>,
    pub(crate) nodes: usize,
}

impl Recording {
    /// Runs a case twice: to see how long it is, and to look at its end.
    pub(crate) fn of(case: &Case, keep: usize) -> Recording {
        let mut first = case.play(Reader::Nobody, false);
        first.drive(u64::MAX, |_| {});
        // A step is about one moment; some steps are none, and some are many.
        let begin = first.world.steps().saturating_sub(1 + 2 * keep as u64);
        let mut play = case.play(Reader::Report, true);
        play.drive(begin, |_| {});
        let mut scribe = Scribe::new(&mut play.world);
        let ended = play.drive(u64::MAX, |world| scribe.look(world));
        scribe.look(&mut play.world);
        let failure = match ended {
            Ended::Failed(failure) => Some(failure),
            Ended::Clean | Ended::GivenUp => None,
        };
        let ran = Ran::of(&play.world, failure, Reader::Report);
        scribe.end(&play.world, ran, keep)
    }

    /// What the nodes are like in the end, by their number.
    pub(crate) fn last_states(&self) -> Vec<(usize, &State)> {
        let newest = |node| self.states.iter().rev().find(|(_, of, _)| *of == node);
        (1..=self.nodes).filter_map(|node| newest(node).map(|(_, _, state)| (node, state))).collect()
    }
}

/// Writes down what happens.
struct Scribe {
    moments: Vec<Moment>,
    states: Vec<(usize, usize, State)>,
    now: Vec<State>,
    cuts: Vec<(usize, Vec<(usize, usize)>)>,
}

impl Scribe {
    fn new(world: &mut World) -> Scribe {
        world.trace.listen(Reader::Recorder);
        let nobody = vec![State::nobody(); world.servers.len()];
        Scribe { moments: Vec::new(), states: Vec::new(), now: nobody, cuts: Vec::new() }
    }

    fn look(&mut self, world: &mut World) {
        let fresh = world.trace.take();
        if fresh.is_empty() && !self.states.is_empty() {
            return;
        }
        self.moments.extend(fresh);
        let at = self.moments.len().saturating_sub(1);
        for (node, server) in world.servers.iter().enumerate().skip(1) {
            let state = match &server.process {
                Some(process) => State::of(&process.node, process.paused.is_some()),
                None => State { up: false, paused: false, ..self.now[node].clone() },
            };
            if state != self.now[node] || self.states.len() < self.now.len() - 1 {
                self.states.push((at, node, state.clone()));
                self.now[node] = state;
            }
        }
        let cuts: Vec<_> = world.network.cuts().collect();
        if self.cuts.last().is_none_or(|(_, before)| *before != cuts) {
            self.cuts.push((at, cuts));
        }
    }

    fn end(mut self, world: &World, ran: Ran, keep: usize) -> Recording {
        let gone = self.moments.len().saturating_sub(keep);
        self.moments.drain(..gone);
        // Of what was before the first moment, only the newest of each node counts.
        let states = &self.states;
        let covered = |at: usize, (when, node, _): &(usize, usize, State)| {
            *when < gone && states[at + 1..].iter().any(|(later, other, _)| other == node && *later <= gone)
        };
        let states: Vec<_> = states
            .iter()
            .enumerate()
            .filter(|(at, state)| !covered(*at, state))
            .map(|(_, (when, node, state))| (when.saturating_sub(gone), *node, state.clone()))
            .collect();
        let first = self.cuts.iter().rposition(|(when, _)| *when <= gone).unwrap_or_default();
        let cuts = self.cuts.drain(first..).map(|(when, cuts)| (when.saturating_sub(gone), cuts)).collect();
        let arrows = arrows(&self.moments, world);
        Recording { ran, moments: self.moments, arrows, states, cuts, nodes: world.servers.len() - 1 }
    }
}

/// Which step heard what which other one sent. The network gives messages no names: one that is heard is the oldest
/// equal one on that link that was not heard yet, or the newest that was.
fn arrows(moments: &[Moment], world: &World) -> Vec<Arrow> {
    let mut arrows: Vec<Arrow> = Vec::new();
    for (at, moment) in moments.iter().enumerate() {
        let Some(post) = &moment.post else { continue };
        let kind = post.message.body.name();
        if moment.what == What::Send {
            arrows.push(Arrow {
                post: post.clone(),
                kind,
                sent: Some(at),
                heard: Vec::new(),
                fate: Fate::Lost,
            });
            continue;
        }
        let fresh = arrows.iter().position(|arrow| arrow.heard.is_empty() && arrow.post == *post);
        let found = fresh.or_else(|| arrows.iter().rposition(|arrow| arrow.post == *post));
        match found {
            Some(found) => {
                arrows[found].heard.push(at);
                if arrows[found].sent.is_some() {
                    arrows[found].fate = Fate::Heard;
                }
            }
            None => arrows.push(Arrow {
                post: post.clone(),
                kind,
                sent: None,
                heard: vec![at],
                fate: Fate::Earlier,
            }),
        }
    }
    let mut waiting: Vec<Post> = waiting(world);
    for arrow in arrows.iter_mut().filter(|arrow| arrow.fate == Fate::Lost) {
        if let Some(found) = waiting.iter().position(|post| *post == arrow.post) {
            waiting.swap_remove(found);
            arrow.fate = Fate::OnItsWay;
        }
    }
    arrows
}

/// The messages that are on their way, or lie before a process that has not taken them.
fn waiting(world: &World) -> Vec<Post> {
    let mut waiting: Vec<Post> = Vec::new();
    for event in world.queue.waiting() {
        if let Event::Arrive(letter) = event {
            waiting.push(Post { from: letter.from, to: letter.to, message: letter.message.clone() });
        }
    }
    for (to, server) in world.servers.iter().enumerate() {
        for input in server.process.iter().flat_map(|process| &process.inbox) {
            if let Input::Receive { from, message } = input {
                waiting.push(Post { from: from.0 as usize, to, message: message.clone() });
            }
        }
    }
    waiting
}
