//! The core's word on a change, as the contract words it.

use super::answer::{Outcome, Problem, ProblemCode};
use raft_core::Refusal;

/// Why a change or a hand-over was refused. Nothing was appended, so nothing happened.
pub(super) fn refused(refusal: Refusal) -> Problem {
    let problem = match refusal {
        Refusal::TermNotCommitted => Problem::new(
            ProblemCode::ChangeInProgress,
            "the leader is new and has committed nothing yet: try again",
        ),
        Refusal::InProgress { at } => {
            let detail = format!("the configuration at index {at} is not complete yet: try again");
            Problem::new(ProblemCode::ChangeInProgress, detail).because_of(at)
        }
        Refusal::Moved { at } => {
            let detail =
                format!("the configuration in force is the one at index {at}: read it, and decide anew");
            Problem::new(ProblemCode::MembershipMoved, detail).because_of(at)
        }
        Refusal::Transferring => {
            Problem::new(ProblemCode::ChangeInProgress, "leadership is being handed over: try again")
        }
        Refusal::UnknownMember { id } => {
            Problem::new(ProblemCode::MemberNotFound, format!("there is no member {id}"))
        }
        Refusal::AlreadyMember { id } => {
            let detail = format!("node {id} is a member already: replace it, or remove it first");
            Problem::new(ProblemCode::AlreadyMember, detail)
        }
        Refusal::NotAVoter { id } => {
            Problem::new(ProblemCode::NotAVoter, format!("node {id} is no voter, so it can't lead"))
        }
        Refusal::Leads { id } => {
            let detail = format!("node {id} leads: hand over first, with `httpraft leader transfer`");
            Problem::new(ProblemCode::Leads, detail)
        }
        Refusal::AlreadyVoter { id } => {
            Problem::new(ProblemCode::AlreadyVoter, format!("node {id} is a voter already"))
        }
        Refusal::NotCaughtUp { id } => {
            let detail =
                format!("node {id} has not caught up yet, or was never heard: start it, and try again");
            Problem::new(ProblemCode::LearnerNotReady, detail)
        }
        Refusal::WouldLoseQuorum => {
            let detail = "too few of the voters would be up to decide anything: bring nodes back first";
            Problem::new(ProblemCode::WouldLoseQuorum, detail)
        }
        Refusal::NotAConfiguration => Problem::new(
            ProblemCode::NotAConfiguration,
            "a cluster has at least one voter, and each member once",
        ),
        Refusal::NoChange => Problem::new(ProblemCode::NotAConfiguration, "nothing would change"),
        Refusal::NoSuccessor => {
            Problem::new(ProblemCode::NoSuccessor, "there is no other voter that could lead: add one first")
        }
    };
    problem.with(Outcome::NotApplied)
}
