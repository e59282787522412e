//! What the replicated state needs that no client asks for. A leader sees to it that the settings which decide what a
//! command does are its own, and marks places in the log where every replica takes the digest of its state. Every node
//! compares its digests with those of the others: one that has gone astray stops.

use super::answer::{Answer, Problem};
use super::{Api, query};
use crate::call::Call;
use crate::driver::Event;
use crate::exit::{Code, Exit};
use crate::machine::Command;
use http::{Request, StatusCode};
use raft_core::{Index, NodeId, Status};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{error, warn};

/// How long one step may take; another one follows anyway.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the others are asked for their digests, and how long the pause between is: a large state takes its time.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// Sees to the state for as long as the node runs.
pub(crate) async fn run(api: Arc<Api>) {
    tokio::join!(settle(&api), mark(&api), compare(&api), api.space.watch());
}

fn leads(api: &Api) -> bool {
    let status: &Status = &api.core.status.borrow();
    status.leader == Some(api.id)
}

/// Whenever this node has come to lead: writes its settings if others are in force.
async fn settle(api: &Api) {
    let mut status = api.core.status.clone();
    loop {
        // Who doesn't lead any more need not see to it, and who does tries again.
        if leads(api) && !is_settled(api, Instant::now() + PATIENCE).await {
            sleep(PAUSE).await;
        } else if status.changed().await.is_err() {
            return;
        }
    }
}

/// Whether this node's settings are in force, perhaps because it has just written them.
async fn is_settled(api: &Api, deadline: Instant) -> bool {
    // The state must be as new as the term before it is asked.
    let current = api.read(false, deadline).await.is_ok();
    let (retention, least_kept) = {
        let machine = api.core.machine();
        (machine.retention(), machine.least_kept())
    };
    let wanted = [
        (retention != api.retention).then_some(Command::Settings(api.retention)),
        (least_kept != api.log_retention).then_some(Command::KeepEntries(api.log_retention)),
    ];
    for command in wanted.into_iter().flatten().filter(|_| current) {
        if api.write(&command, None, deadline).await.is_err() {
            return false;
        }
    }
    current
}

/// From time to time: marks a place, if anything was written since the last one.
async fn mark(api: &Api) {
    let mut times = interval(api.audit_interval);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    times.tick().await;
    let mut marked = Index(0);
    loop {
        times.tick().await;
        if !leads(api) || *api.core.applied.borrow() <= marked {
            continue;
        }
        match api.write(&Command::Mark, None, Instant::now() + PATIENCE).await {
            Ok(reply) => marked = reply.id.index,
            // There is no hurry.
            Err(_) if api.core.events.is_closed() => return,
            Err(_) => {}
        }
    }
}

/// Compares each new digest of this node with the others'.
async fn compare(api: &Api) {
    let mut digests = api.core.digests.clone();
    while digests.changed().await.is_ok() {
        let Some((index, own)) = digests.borrow_and_update().back().copied() else { continue };
        let theirs = ask(api, index).await;
        let (members, leader) = {
            let status = api.core.status.borrow();
            (status.membership.members().len(), status.leader)
        };
        for (node, digest) in theirs.iter().filter(|(_, digest)| **digest != own) {
            error!(index = index.0, node = node.0, "replicas differ: {digest:016x} there, {own:016x} here");
        }
        if is_astray(own, &theirs, members, leader) {
            let line = format!(
                "the state of this node at index {index} is not that of the others (digest {own:016x}): memory or disk \
                 gave back other bytes than were put in. Keep the data directory for a diagnosis, and replace this \
                 node with `httpraft member replace`"
            );
            // A driver that is gone has ended already.
            let _ = api.core.events.send(Event::Astray(Exit::new(Code::Corrupt, line))).await;
            return;
        }
    }
}

/// Whether this node is the one that is wrong: more than half of the members agree on something else; or, if no state has
/// so many, the leader has another one.
fn is_astray(own: u64, theirs: &BTreeMap<NodeId, u64>, members: usize, leader: Option<NodeId>) -> bool {
    let count = |digest: u64| theirs.values().filter(|other| **other == digest).count();
    if 2 * (1 + count(own)) > members {
        return false;
    }
    let outvoted = theirs.values().any(|digest| *digest != own && 2 * count(*digest) > members);
    let led = leader.and_then(|leader| theirs.get(&leader));
    outvoted || led.is_some_and(|digest| *digest != own)
}

/// The digests of the other members at this index: of those that are reached and have one.
async fn ask(api: &Api, index: Index) -> BTreeMap<NodeId, u64> {
    let others = {
        let status = api.core.status.borrow();
        let others = status.membership.members().iter().filter(|member| member.id != api.id);
        others.map(|member| (member.id, api.book.of_member(member))).collect::<Vec<_>>()
    };
    let mut theirs = BTreeMap::new();
    for _ in 0..TRIES {
        for (id, contact) in &others {
            let Some(contact) = contact.as_ref().filter(|_| !theirs.contains_key(id)) else { continue };
            let reply = Call::get("/v1/digest").send(&contact.api, Instant::now() + PAUSE).await;
            let digests = reply.map(|reply| reply.json()["digests"].take()).unwrap_or_default();
            theirs.extend(digest_at(&digests, index).map(|digest| (*id, digest)));
        }
        if theirs.len() == others.len() {
            break;
        }
        sleep(PAUSE).await;
    }
    if theirs.len() < others.len() {
        warn!(index = index.0, "not all members gave the digest of their state");
    }
    theirs
}

fn digest_at(digests: &Value, index: Index) -> Option<u64> {
    let row = digests.as_array()?.iter().find(|row| row["index"] == json!(index.0))?;
    u64::from_str_radix(row["digest"].as_str()?, 16).ok()
}

/// `GET /v1/digest`: the newest digests of this node's state.
pub(super) fn digests<B>(api: &Api, request: &Request<B>) -> Result<Answer, Problem> {
    query::only(request, &[])?;
    let digests = api.core.digests.borrow().clone();
    let row =
        |(index, digest): &(Index, u64)| json!({ "index": index.0, "digest": format!("{digest:016x}") });
    let body = json!({ "node": api.id.0, "digests": digests.iter().map(row).collect::<Vec<Value>>() });
    Ok(Answer::json(StatusCode::OK, &body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_outvoted_is_wrong_and_the_leader_has_the_last_word() {
        let theirs = |digests: &[u64]| (2..).map(NodeId).zip(digests.iter().copied()).collect();
        let astray = |own, others: &[u64], members, leader: Option<u64>| {
            is_astray(own, &theirs(others), members, leader.map(NodeId))
        };
        assert!(!astray(7, &[7, 7], 3, Some(2)));
        assert!(!astray(7, &[7, 8], 3, Some(3)), "the leader is the one");
        assert!(astray(8, &[7, 7], 3, Some(1)), "even a leader");
        assert!(!astray(8, &[7], 3, None), "one of three is no majority");
        assert!(astray(8, &[7], 3, Some(2)), "but if it leads");
        assert!(astray(8, &[7], 2, Some(2)) && !astray(7, &[8], 2, Some(1)));
        assert!(!astray(7, &[], 3, None), "nobody answers");
        assert!(!astray(7, &[7, 7, 8, 8], 5, Some(5)), "three of five agree");
    }
}
