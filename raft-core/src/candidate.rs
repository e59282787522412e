//! Elections (paper section 5.2, dissertation 9.6): a candidate asks every server, itself included, and counts.

use crate::ids::{NodeId, Stamp};
use crate::message::{Ballot, Body};
use crate::planted::Bug;
use crate::state::State;
use alloc::vec::Vec;

/// Which question is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Would you vote for me in the next term? Changes nothing anywhere.
    Pre,
    /// Vote for me in this term.
    Real,
}

/// A candidate and the answers so far, one a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Candidate {
    pub(crate) phase: Phase,
    answers: Vec<(NodeId, Ballot)>,
}

/// The proof that an election was won: nothing else makes one, and a leader can't be made without.
#[derive(Debug)]
pub(crate) struct Won(());

/// How a count stands.
#[derive(Debug)]
pub(crate) enum Count {
    /// Neither side has a quorum.
    Open,
    /// A quorum would vote in the next term.
    WouldWin,
    /// A quorum voted.
    Won(Won),
    /// A quorum refused.
    Lost,
}

impl Candidate {
    /// Asks whether an election could be won: no term changes, so a server that can't win disturbs nobody.
    pub(crate) fn ask_before(state: &mut State) -> Candidate {
        state.leader = None;
        state.clock.draw(&state.config);
        let mut request =
            state.request(Body::PreVote { last: state.log.last(), recorded: state.is_recorded() });
        request.term = state.hard.term.next();
        ask(state, &request, Body::PreVoteReply { answer: Ballot::Granted }, false);
        Candidate { phase: Phase::Pre, answers: Vec::new() }
    }

    /// Stands for election: a new term, the own vote, and a request to everybody. Both wait for the write of the term,
    /// the vote and the log tail that the request advertises (rule 4).
    pub(crate) fn campaign(state: &mut State, transfer: bool) -> Candidate {
        let term = state.hard.term.next();
        state.adopt(term);
        state.vote(state.config.id, state.config.disk);
        state.clock.draw(&state.config);
        let request =
            state.request(Body::Vote { last: state.log.last(), transfer, recorded: state.is_recorded() });
        ask(state, &request, Body::VoteReply { answer: Ballot::Granted }, true);
        Candidate { phase: Phase::Real, answers: Vec::new() }
    }

    /// Counts an answer to the question of this phase. Only a vote from the disk on record counts (rule 16); a server
    /// answers once. A quorum's votes make a leader the only one of its term; the compared ones of so many that no quorum is
    /// without one of them make it hold all that is committed, by any leader of an earlier term. With an odd number of voters
    /// that is the same (Howard, Malkhi, Spiegelman, "Flexible Paxos", 2016).
    pub(crate) fn count(&mut self, state: &State, from: NodeId, stamp: Stamp, answer: Ballot) -> Count {
        let counts = state.on_record(from, stamp) && self.answers.iter().all(|(id, _)| *id != from);
        if counts {
            self.answers.push((from, answer));
        }
        let said = |id: NodeId, what: Ballot| self.answers.contains(&(id, what));
        let yes = |id: NodeId| said(id, Ballot::Granted) || said(id, Ballot::Blind);
        let compared =
            |id: NodeId| said(id, Ballot::Granted) || (yes(id) && state.config.planted(Bug::BlindCompares));
        if state.is_quorum(yes) && state.meets_quorums(compared) {
            match self.phase {
                Phase::Pre => Count::WouldWin,
                Phase::Real => Count::Won(Won(())),
            }
        } else if state.is_quorum(|id| said(id, Ballot::Refused)) {
            Count::Lost
        } else {
            Count::Open
        }
    }
}

/// Sends a question to every other voter, and this server's own answer to itself.
fn ask(state: &mut State, request: &crate::message::Message, own: Body, promise: bool) {
    let voters =
        state.log.membership().map(|membership| membership.voters().collect::<Vec<_>>()).unwrap_or_default();
    let early = state.config.planted(Bug::CampaignBeforeDurable);
    for to in voters {
        let own_answer = to == state.config.id;
        let mut message = if own_answer { state.reply(state.stamp(), own.clone()) } else { request.clone() };
        message.term = request.term;
        let early = if own_answer { state.config.planted(Bug::OwnVoteEarly) } else { early };
        if promise && !early {
            state.outbox.promise(to, message);
        } else {
            state.outbox.send(to, message);
        }
    }
}
