//! The members of the cluster, and their change.

use super::answer::{Answer, Outcome, Problem, ProblemCode};
use super::changes::refused;
use super::writes::Refused;
use super::{Api, reads::Consistency};
use crate::contact::Contact;
use crate::driver::Event;
use http::StatusCode;
use raft_core::{Answer as Core, Change, Index, Lag, Limit, Member, PeerStatus, Refusal, Status};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// `GET /v1/members` from the leader, with how far each member is.
pub(super) async fn list(api: &Api, deadline: Instant) -> Result<Answer, Refused> {
    api.until_leader(deadline).await?;
    api.read(false, deadline).await?;
    let progress = progress(api, deadline).await?;
    let status = api.core.status.borrow().clone();
    Ok(Consistency::Linearizable.mark(api, table(api, &status, &progress)))
}

/// How far each member is, as this node knows if it leads.
pub(super) async fn progress(api: &Api, deadline: Instant) -> Result<Vec<PeerStatus>, Problem> {
    let (answer, answered) = oneshot::channel();
    api.hand_in(Event::Progress { answer }, deadline).await?;
    let none = |code, detail| Problem::new(code, detail).with(Outcome::NotApplied);
    match timeout_at(deadline, answered).await {
        Ok(Ok(progress)) => Ok(progress),
        Ok(Err(_)) => Err(none(ProblemCode::ShuttingDown, "this node stopped")),
        Err(_) => Err(none(ProblemCode::Timeout, "this node did not answer in time")),
    }
}

/// For how long a peer was not heard.
pub(super) fn silent_ms(api: &Api, peer: &PeerStatus) -> u64 {
    let silent = u128::from(peer.silent) * api.tick.as_millis();
    u64::try_from(silent).unwrap_or(u64::MAX)
}

/// `GET /v1/members?consistency=stale`: as far as this node knows.
pub(super) fn stale(api: &Api) -> Answer {
    let status = api.core.status.borrow().clone();
    Consistency::Stale.mark(api, table(api, &status, &[]))
}

/// Changes the configuration. Answers when the final one, not the joint one on the way, is committed here.
pub(super) async fn change(
    api: &Api,
    change: &Change,
    expect: Option<Index>,
    deadline: Instant,
) -> Result<Answer, Refused> {
    loop {
        api.until_leader(deadline).await?;
        refuse_shared(api, change)?;
        let (answer, answered) = oneshot::channel();
        let event = Event::Reconfigure { changes: vec![change.clone()], expect, answer };
        api.hand_in(event, deadline).await?;
        let problem =
            |code, detail: &'static str, outcome| Err(Problem::new(code, detail).with(outcome).into());
        return match timeout_at(deadline, answered).await {
            Err(_) => problem(ProblemCode::Timeout, "the change was not committed in time", Outcome::Unknown),
            Ok(Err(_)) => problem(ProblemCode::ShuttingDown, "this node stopped", Outcome::Unknown),
            Ok(Ok(Core::Committed(id))) => complete(api, id.index, deadline).await,
            Ok(Ok(Core::NotLeader { leader: Some(leader) })) if leader != api.id => Err(Refused::NotLeader),
            Ok(Ok(
                Core::NotLeader { .. }
                | Core::Busy(Limit::Transferring)
                | Core::Refused(Refusal::TermNotCommitted | Refusal::Transferring),
            )) => {
                api.pause(deadline).await?;
                continue;
            }
            // It is as the client wants it.
            Ok(Ok(Core::Refused(Refusal::NoChange))) => {
                let status = api.core.status.borrow().clone();
                Ok(table(api, &status, &[]))
            }
            Ok(Ok(Core::Refused(refusal))) => Err(refused(refusal).into()),
            Ok(Ok(Core::Busy(_))) => {
                problem(ProblemCode::Overloaded, "too much is under way", Outcome::NotApplied)
            }
            Ok(Ok(Core::Lost)) => problem(
                ProblemCode::Lost,
                "the leader changed, and another entry is committed in this one's place",
                Outcome::NotApplied,
            ),
            Ok(Ok(Core::Unknown | Core::ReadAt(_) | Core::HandingOver { .. })) => problem(
                ProblemCode::LeadershipLost,
                "the leader changed; this node can't tell: look at /v1/members",
                Outcome::Unknown,
            ),
        };
    }
}

/// Each address is one node's, as in the config file: a second one there would take the first one's calls.
fn refuse_shared(api: &Api, change: &Change) -> Result<(), Problem> {
    let (id, context) = match change {
        Change::Add { id, context, .. } | Change::Update { id, context } => (*id, context),
        Change::Replace { id, context: Some(context) } => (*id, context),
        _ => return Ok(()),
    };
    let new = Contact::decode(context);
    let status = api.core.status.borrow();
    for member in status.membership.members().iter().filter(|member| member.id != id) {
        let theirs = api.book.of_member(member);
        let both = new.as_ref().zip(theirs.as_ref());
        if let Some(shared) = both.and_then(|(new, theirs)| new.shared(theirs)) {
            let detail =
                format!("node {} is at {shared:?}: every node needs two addresses of its own", member.id);
            return Err(Problem::new(ProblemCode::NotAConfiguration, detail).with(Outcome::NotApplied));
        }
    }
    Ok(())
}

/// Waits until the change at this index has led to a configuration that is committed and not joint.
async fn complete(api: &Api, index: Index, deadline: Instant) -> Result<Answer, Refused> {
    let mut watched = api.core.status.clone();
    let done = |status: &Status| {
        status.membership_at >= index
            && !status.membership.is_joint()
            && status.commit >= status.membership_at
    };
    let applied = |code, detail: &'static str| Err(Problem::new(code, detail).with(Outcome::Applied).into());
    let status = match timeout_at(deadline, watched.wait_for(done)).await {
        Ok(Ok(status)) => status.clone(),
        Ok(Err(_)) => {
            return applied(
                ProblemCode::ShuttingDown,
                "the change is in force; this node stopped before it was complete",
            );
        }
        Err(_) => {
            return applied(
                ProblemCode::Timeout,
                "the change is in force, and the leader completes it: look at /v1/members",
            );
        }
    };
    Ok(table(api, &status, &[]).at(index))
}

fn table(api: &Api, status: &Status, progress: &[PeerStatus]) -> Answer {
    let row = |member: &Member| {
        let mut row = describe(api, member);
        if let Some(peer) = progress.iter().find(|peer| peer.id == member.id) {
            progress_into(api, status, peer, &mut row);
        }
        row
    };
    let body = json!({
        "leader": api.leader_or_self().api,
        "leader_id": status.leader.map(|leader| leader.0),
        "membership_index": status.membership_at.0,
        "committed": status.commit >= status.membership_at,
        "joint": status.membership.is_joint(),
        "members": status.membership.members().iter().map(row).collect::<Vec<Value>>(),
    });
    Answer { etag: Some(status.membership_at), ..Answer::json(StatusCode::OK, &body).at(status.applied) }
}

/// A member as a row.
pub(super) fn describe(api: &Api, member: &Member) -> Value {
    let contact = api.book.of_member(member);
    let hex = |disk: raft_core::DiskId| format!("{:016x}", disk.0);
    json!({
        "id": member.id.0,
        "peer": contact.as_ref().map(|contact| &contact.peer),
        "api": contact.as_ref().map(|contact| &contact.api),
        "voter": member.standing.votes(),
        "standing": member.standing.to_string(),
        "disk": member.disk.map(hex),
        "replaced_disk": member.replaced.map(hex),
    })
}

fn progress_into(api: &Api, status: &Status, peer: &PeerStatus, row: &mut Value) {
    row["matched_index"] = json!(peer.matched.0);
    row["behind"] = json!(status.last.index.0.saturating_sub(peer.matched.0));
    row["silent_ms"] = json!(silent_ms(api, peer));
    row["lag"] = json!(match peer.lag {
        Lag::None => "none",
        Lag::Silent => "silent",
        Lag::Probing => "probing",
        Lag::Snapshot { .. } => "snapshot",
        Lag::WindowFull => "window_full",
        Lag::OnTheWay => "on_the_way",
    });
    if let Lag::Snapshot { have, size } = peer.lag {
        row["snapshot"] = json!({ "have": have, "size": size });
    }
}
