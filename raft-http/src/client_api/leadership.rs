//! Handing leadership over, and taking a snapshot now.

use super::answer::{Answer, Outcome, Problem, ProblemCode};
use super::changes::refused;
use super::writes::Refused;
use super::{Api, members};
use crate::driver::Event;
use http::StatusCode;
use raft_core::{Answer as Core, Limit, NodeId, Refusal, Status};
use serde_json::json;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// For how long a voter must not have been heard to be no successor, whatever the election timeout: a pause is no end.
const SILENT: Duration = Duration::from_secs(1);

/// `POST /v1/leader/transfer`: answers once the target leads, as far as this node sees. One that comes to nothing is tried
/// again until the deadline, unless the target is silent: writes would wait for it in vain.
pub(super) async fn transfer(api: &Api, to: Option<NodeId>, deadline: Instant) -> Result<Answer, Refused> {
    let mut begun = false;
    let ended = attempts(api, to, deadline, &mut begun).await;
    ended.map_err(|refused| match refused {
        // A target that was told to take over may still do so when it is back.
        Refused::Problem(problem) if begun => problem.doubted().into(),
        refused => refused,
    })
}

async fn attempts(
    api: &Api,
    to: Option<NodeId>,
    deadline: Instant,
    begun: &mut bool,
) -> Result<Answer, Refused> {
    loop {
        let leader = api.until_led(deadline).await?;
        if leader != api.id {
            // Another leader must not begin what has come to its end here.
            return if *begun { handed_over(api, to, leader) } else { Err(Refused::NotLeader) };
        }
        if to == Some(api.id) {
            return Ok(leads(api, api.id));
        }
        if let Some(to) = to {
            refuse_silent(api, to, deadline).await?;
        }
        let (answer, answered) = oneshot::channel();
        api.hand_in(Event::Transfer { to, answer }, deadline).await?;
        let problem =
            |code, detail: &'static str, outcome| Err(Problem::new(code, detail).with(outcome).into());
        match timeout_at(deadline, answered).await {
            Err(_) => {
                return problem(ProblemCode::Timeout, "this node did not answer in time", Outcome::Unknown);
            }
            Ok(Err(_)) => return problem(ProblemCode::ShuttingDown, "this node stopped", Outcome::Unknown),
            Ok(Ok(Core::HandingOver { to: target })) => {
                *begun = true;
                let leader = settle(api, target, deadline).await?;
                if leader != api.id {
                    return handed_over(api, to, leader);
                }
                refuse_silent(api, target, deadline).await?;
            }
            Ok(Ok(
                Core::NotLeader { .. }
                | Core::Busy(Limit::Transferring)
                | Core::Refused(Refusal::Transferring | Refusal::TermNotCommitted),
            )) => {}
            Ok(Ok(Core::Refused(refusal))) => return Err(refused(refusal).into()),
            Ok(Ok(Core::Busy(_) | Core::Committed(_) | Core::ReadAt(_) | Core::Lost | Core::Unknown)) => {
                return problem(ProblemCode::Overloaded, "too much is under way", Outcome::NotApplied);
            }
        }
        api.pause(deadline).await?;
    }
}

/// Another node leads now, the one that was wanted or yet another.
fn handed_over(api: &Api, to: Option<NodeId>, leader: NodeId) -> Result<Answer, Refused> {
    if to.is_none_or(|to| to == leader) {
        return Ok(leads(api, leader));
    }
    Err(Problem::new(ProblemCode::LeadershipLost, "yet another node leads now").with(Outcome::Applied).into())
}

/// A voter that is down can't take over.
async fn refuse_silent(api: &Api, to: NodeId, deadline: Instant) -> Result<(), Problem> {
    let progress = members::progress(api, deadline).await?;
    let silent = progress.iter().find(|peer| peer.id == to).map_or(0, |peer| members::silent_ms(api, peer));
    let votes = |status: &Status| status.membership.get(to).is_some_and(|member| member.standing.votes());
    let patience = SILENT.max(2 * api.election_timeout);
    if u128::from(silent) < patience.as_millis() || !votes(&api.core.status.borrow()) {
        return Ok(());
    }
    let detail = format!("node {to} was not heard for {silent} ms: start it, or name another voter");
    Err(Problem::new(ProblemCode::TargetSilent, detail).with(Outcome::NotApplied))
}

/// Who leads when the hand-over is over.
async fn settle(api: &Api, target: NodeId, deadline: Instant) -> Result<NodeId, Problem> {
    let mut watched = api.core.status.clone();
    let over = |status: &Status| status.leader.is_some() && status.transferring.is_none();
    let settled = match timeout_at(deadline, watched.wait_for(over)).await {
        Ok(Ok(status)) => status.leader,
        Ok(Err(_)) | Err(_) => None,
    };
    settled.ok_or_else(|| {
        let detail = match api.core.status.borrow().leader {
            Some(_) => format!("the hand-over to node {target} has begun, and has not come to an end"),
            None => "the hand-over has begun, and nobody leads yet that is known here".to_string(),
        };
        Problem::new(ProblemCode::Timeout, detail).with(Outcome::Unknown)
    })
}

fn leads(api: &Api, leader: NodeId) -> Answer {
    let contact = api.book.find(leader);
    let term = api.core.status.borrow().term.0;
    let address = contact.map_or_else(|| api.leader_or_self().api.clone(), |contact| contact.api.clone());
    Answer::json(StatusCode::OK, &json!({ "leader": address, "leader_id": leader.0, "term": term }))
}

/// `POST /v1/snapshot`: of this node, whoever leads. Answers when it is on stable storage.
pub(super) async fn snapshot(api: &Api, deadline: Instant) -> Result<Answer, Refused> {
    let (before, applied) = {
        let status = api.core.status.borrow();
        (status.snapshot, status.applied)
    };
    api.hand_in(Event::Capture, deadline).await?;
    let mut watched = api.core.status.clone();
    let taken = |status: &Status| {
        let covers = status.snapshot.is_some_and(|last| last.index >= applied);
        covers || status.snapshot > before || applied.0 == 0
    };
    let late = || Problem::new(ProblemCode::Timeout, "the snapshot was not ready in time; it may be later");
    let status = match timeout_at(deadline, watched.wait_for(taken)).await {
        Ok(Ok(status)) => status.clone(),
        Ok(Err(_)) => {
            let stopped = Problem::new(ProblemCode::ShuttingDown, "this node stopped");
            return Err(stopped.with(Outcome::Unknown).into());
        }
        Err(_) => return Err(late().with(Outcome::Unknown).into()),
    };
    let index = status.snapshot.map_or(0, |last| last.index.0);
    let body = json!({ "leader": api.leader_or_self().api, "node": api.id.0, "index": index, "first_index": status.base.index.0 + 1 });
    Ok(Answer::json(StatusCode::OK, &body).at(status.applied))
}
