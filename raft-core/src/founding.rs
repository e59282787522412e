//! Founding: a cluster begins only after each founder has heard from every other, so that a founder that lost its disk
//! finds out that the cluster is formed, and never votes again under its old identity.
//!
//! Every founder asks all others (`Hello`) again and again until it has founded. What it has heard, the disk id of each founder,
//! becomes the base of its log at [`EntryId::ORIGIN`]; only with a base does it vote, campaign or take entries. A
//! formed server answers that the asker is a stranger if another disk is on its record. The word of one server that the
//! asker's disk is on record is enough only if that record is committed: one that merely stands in a base could be of a
//! founder that was wiped and heard anew by some, after others had founded with its lost disk. So, as long as it has not
//! founded, a founder counts like a lost one: nobody may be left who can tell it that the cluster is formed, until a leader sends it
//! heartbeats.

use crate::ids::{DiskId, EntryId, NodeId};
use crate::log::Log;
use crate::membership::Membership;
use crate::message::{Acquaintance, Body, Message};
use crate::output::Report;
use crate::planted::Bug;
use crate::state::State;
use crate::write::Base;
use alloc::collections::BTreeMap;

/// What an unfounded server has heard in this boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Founding {
    heard: BTreeMap<NodeId, DiskId>,
    /// The cluster is formed and has this server on record: a leader will bring it the log.
    pub(crate) taken_in: bool,
}

/// Asks every other founder, also those that have answered: the cluster may have been formed since, and then the word of
/// one is enough, even if another founder is gone for good. Founds at once if there is nobody to ask.
pub(crate) fn ask(state: &mut State) {
    if state.founded() || state.taken_in() {
        return;
    }
    let Some(founders) = state.config.founders.clone() else { return };
    let own = state.config.id;
    state.founding.heard.insert(own, state.config.disk);
    for founder in founders.members().iter().filter(|founder| founder.id != own) {
        let message = state.request(Body::Hello);
        state.outbox.send(founder.id, message);
    }
    found_if_complete(state, &founders);
}

/// A leader sends heartbeats to a founder that has not founded: all other founders may have left, and it may be the only one who can
/// tell that the cluster is formed. It is asked as often as it is heard.
pub(crate) fn ask_leader(state: &mut State, leader: NodeId) {
    let founds = state.config.founders.is_some() && !state.founded() && !state.taken_in();
    if founds && state.may_hold() && !state.config.planted(Bug::AsksFoundersOnly) {
        let message = state.request(Body::Hello);
        state.outbox.send(leader, message);
    }
}

/// Answers a founder. Also hears that a founder was wiped meanwhile: what its lost disk said is void.
pub(crate) fn hello(state: &mut State, from: NodeId, message: &Message) {
    let acquaintance = match state.log.membership() {
        None if state.taken_in() => return state.ignored += 1,
        None => {
            if state.founding.heard.get(&from).is_some_and(|disk| *disk != message.from.disk) {
                state.founding.heard.remove(&from);
            }
            Acquaintance::Founding
        }
        Some(_) => match acquaintance(state, from, message.from.disk) {
            Some(acquaintance) => acquaintance,
            None => return state.ignored += 1,
        },
    };
    let reply = state.reply(message.from, Body::HelloReply(acquaintance));
    state.outbox.send(from, reply);
}

/// What a formed server knows of a founder's disk; `None` if that is nothing for sure. What isn't committed may not come
/// to be: a disk is on record only if a quorum agreed on that, and a stranger only by no configuration that may be in force.
fn acquaintance(state: &State, from: NodeId, disk: DiskId) -> Option<Acquaintance> {
    let (log, commit) = (&state.log, state.commit);
    let committed = log.membership_at(commit);
    let agreed = committed.is_some_and(|it| it.on_record(from, disk)) && !log.is_hearsay_at(commit);
    if agreed {
        return Some(log.founding().cloned().map_or(Acquaintance::TakenIn, Acquaintance::OnRecord));
    }
    let may_be = log.memberships_from(commit).any(|membership| membership.on_record(from, disk));
    if may_be || state.config.planted(Bug::FoundsAgain) {
        return Some(Acquaintance::Founding);
    }
    committed.map(|_| Acquaintance::Stranger)
}

/// Takes a founder's answer, and of others the word that its disk is on record.
pub(crate) fn hello_reply(state: &mut State, from: NodeId, message: &Message, acquaintance: &Acquaintance) {
    let Some(founders) = state.config.founders.clone() else { return };
    let on_record = matches!(acquaintance, Acquaintance::OnRecord(_) | Acquaintance::TakenIn);
    match acquaintance {
        _ if state.founded() || state.taken_in() || !(on_record || founders.is_voter(from)) => {
            state.ignored += 1;
        }
        Acquaintance::Founding => {
            state.founding.heard.insert(from, message.from.disk);
            found_if_complete(state, &founders);
        }
        Acquaintance::OnRecord(membership) => {
            if membership.on_record(state.config.id, state.config.disk) {
                found(state, membership.clone());
            } else {
                state.ignored += 1;
            }
        }
        Acquaintance::TakenIn => state.founding.taken_in = true,
        Acquaintance::Stranger => {
            let report = Report::NotOnRecord { disk: state.config.disk, on_record: None, told_by: from };
            state.halt(report);
        }
    }
}

fn found_if_complete(state: &mut State, founders: &Membership) {
    let heard = &state.founding.heard;
    if founders.members().iter().all(|member| heard.contains_key(&member.id)) {
        let membership = founders.with_disks(|id| heard.get(&id).copied());
        found(state, membership);
    }
}

fn found(state: &mut State, membership: Membership) {
    let base = Base { id: EntryId::ORIGIN, hash: 0, membership };
    state.log = Log::new(Some(&base));
    state.founding = Founding::default();
    state.outbox.stage_base(base, EntryId::ORIGIN.index);
    state.clock.draw(&state.config);
}
