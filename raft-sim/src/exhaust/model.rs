//! The cluster as a search sees it: a state is a few numbers, and a move leads to the next.

use super::bounds::{Bounds, Counts, KINDS, Kind};
use super::judge::Past;
use super::server::{Act, Server};
use super::tables::Tables;
use crate::invariants::Broken;
use raft_core::hash::chain;

/// The servers, what has happened, how often what may happen only so often did, and the messages on their way, in order
/// of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) servers: Vec<u32>,
    past: u32,
    spent: Counts,
    pub(super) network: Vec<u32>,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// To the server at this place. `again`: the message that is delivered stays on its way.
    Act { server: usize, act: Act, again: bool },
    /// A message is lost.
    Lose { packet: u32 },
}

impl State {
    /// The state in words of 32 bits, which tell it from all others of the same bounds.
    pub(super) fn pack(&self, words: &mut Vec<u32>) {
        let spent = u64::from_le_bytes(self.spent);
        words.extend_from_slice(&self.servers);
        words.extend([self.past, spent as u32, (spent >> 32) as u32]);
        words.extend_from_slice(&self.network);
    }

    pub(super) fn unpack(&mut self, servers: usize, words: &[u32]) {
        let (theirs, rest) = words.split_at(servers);
        self.servers.clear();
        self.servers.extend_from_slice(theirs);
        self.past = rest[0];
        self.spent = (u64::from(rest[1]) | u64::from(rest[2]) << 32).to_le_bytes();
        self.network.clear();
        self.network.extend_from_slice(&rest[3..]);
    }
}

/// The hash of a packed state: two states are taken for one if theirs is the same.
pub(super) fn fingerprint(words: &[u32]) -> u64 {
    words.chunks(2).fold(words.len() as u64, |hash, pair| {
        let high = pair.get(1).copied().unwrap_or_default();
        chain(hash, &[u64::from(pair[0]) | u64::from(high) << 32])
    })
}

/// The cluster within its bounds.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) tables: Tables,
}

impl Model {
    pub(super) fn new(bounds: Bounds) -> Model {
        Model { tables: Tables::new(bounds) }
    }

    fn bounds(&self) -> &Bounds {
        self.tables.bounds()
    }

    /// Where a search begins.
    pub(super) fn first(&mut self) -> State {
        let bounds = self.bounds().clone();
        let servers = (0..bounds.servers())
            .map(|server| self.tables.number_server(Server::new(&bounds, server)))
            .collect();
        let past = self.tables.number_past(Past::default());
        let mut state = State { servers, past, spent: [0; KINDS.len()], network: Vec::new() };
        if bounds.settled {
            for act in [Act::Campaign, Act::Heartbeat] {
                self.go(&mut state, Move::Act { server: 0, act, again: false });
                while let Some(next) = self.automatic(&state) {
                    self.go(&mut state, next);
                }
            }
            state.spent = [0; KINDS.len()];
        }
        state
    }

    /// What happens next if nothing is late.
    fn automatic(&self, state: &State) -> Option<Move> {
        let writes = |server: &u32| self.tables.server(*server).writes() > 0;
        if let Some(server) = state.servers.iter().position(writes) {
            return Some(Move::Act { server, act: Act::Persist, again: false });
        }
        state.network.first().map(|packet| self.delivery(*packet, false))
    }

    /// A move of the way to the first state: it is no part of the search, and so not within its bounds.
    fn go(&mut self, state: &mut State, next: Move) {
        let before = state.clone();
        match self.apply(&before, next, state) {
            Ok(true) => {}
            Ok(false) => {
                let Move::Act { act: Act::Deliver(packet), .. } = next else { return };
                take(&mut state.network, packet);
            }
            Err(broken) => unreachable!("nothing falls on the way to the first state: {broken:?}"),
        }
    }

    fn delivery(&self, packet: u32, again: bool) -> Move {
        let server = self.tables.receiver(packet);
        Move::Act { server, act: Act::Deliver(packet), again }
    }

    /// What may happen in a state.
    pub(super) fn moves(&self, state: &State, moves: &mut Vec<Move>) {
        let bounds = self.bounds();
        let left = |kind: Kind| state.spent[kind as usize] < bounds.most[kind as usize];
        moves.clear();
        for (server, number) in state.servers.iter().enumerate() {
            let mut push = |act| moves.push(Move::Act { server, act, again: false });
            let writes = self.tables.server(*number).writes();
            if writes > 0 {
                push(Act::Persist);
            }
            let first = state.spent[Kind::Campaign as usize] == 0;
            if left(Kind::Campaign) && !(first && bounds.is_like_the_first(server)) {
                push(Act::Campaign);
            }
            let own = [
                (Kind::Heartbeat, Act::Heartbeat),
                (Kind::Propose, Act::Propose(state.spent[Kind::Propose as usize])),
                (Kind::Change, Act::Change),
                (Kind::Transfer, Act::Transfer),
                (Kind::Patience, Act::Patience),
            ];
            own.into_iter().filter(|(kind, _)| left(*kind)).for_each(|(_, act)| push(act));
            if left(Kind::Crash) {
                (0..=writes as u8).for_each(|kept| push(Act::Crash(kept)));
            }
        }
        let mut before = None;
        for packet in state.network.iter().copied() {
            // Of two equal messages the first stands for both.
            if before.replace(packet) == Some(packet) {
                continue;
            }
            moves.push(self.delivery(packet, false));
            if left(Kind::Repeat) {
                moves.push(self.delivery(packet, true));
            }
            if bounds.losses {
                moves.push(Move::Lose { packet });
            }
        }
    }

    /// Puts into `after` where a move leads. Whether it changes anything, or what falls by it.
    pub(super) fn apply(&mut self, state: &State, next: Move, after: &mut State) -> Result<bool, Broken> {
        let (server, act, again) = match next {
            Move::Lose { packet } => {
                after.clone_from(state);
                take(&mut after.network, packet);
                return Ok(true);
            }
            Move::Act { server, act, again } => (server, act, again),
        };
        let before = state.servers[server];
        let step = self.tables.step(before, act);
        let outcome = self.tables.outcome(step);
        if let Some(fell) = &outcome.fell {
            return Err(fell.clone());
        }
        // A delivery that changes nothing is a loss, and a lost message is one that is never delivered.
        if outcome.server == before && outcome.sent.is_empty() {
            return Ok(false);
        }
        after.clone_from(state);
        let (number, concerns_others) = (outcome.server, outcome.concerns_others);
        after.servers[server] = number;
        if let Act::Deliver(packet) = act
            && !again
        {
            take(&mut after.network, packet);
        }
        if let Some(kind) = kind(act, again) {
            after.spent[kind as usize] += 1;
        }
        self.send(after, server, step);
        if concerns_others {
            after.past = self.tables.past_after(after.past, before, number, &after.servers)?;
        }
        Ok(true)
    }

    /// What a server sent is on its way now; what it, or who it is for, now calls inert is not.
    fn send(&mut self, after: &mut State, server: usize, step: u32) {
        let (inert, tables, servers) = (self.bounds().inert, &mut self.tables, &after.servers);
        after.network.retain(|packet| {
            inert || tables.receiver(*packet) != server || !tables.is_inert(servers[server], *packet)
        });
        for at in 0..tables.outcome(step).sent.len() {
            let packet = tables.outcome(step).sent[at];
            if inert || !tables.is_inert(servers[tables.receiver(packet)], packet) {
                after.network.push(packet);
            }
        }
        after.network.sort_unstable();
    }
}

/// What an act is counted as, if it may happen only so often.
fn kind(act: Act, again: bool) -> Option<Kind> {
    match act {
        Act::Persist => None,
        Act::Campaign => Some(Kind::Campaign),
        Act::Heartbeat => Some(Kind::Heartbeat),
        Act::Change => Some(Kind::Change),
        Act::Transfer => Some(Kind::Transfer),
        Act::Patience => Some(Kind::Patience),
        Act::Propose(_) => Some(Kind::Propose),
        Act::Crash(_) => Some(Kind::Crash),
        Act::Deliver(_) => again.then_some(Kind::Repeat),
    }
}

/// Takes one message off its way.
fn take(network: &mut Vec<u32>, packet: u32) {
    if let Some(at) = network.iter().position(|other| *other == packet) {
        network.remove(at);
    }
}
