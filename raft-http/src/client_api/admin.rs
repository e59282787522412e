//! What operators change, as requests: `/v1/members`, `/v1/leader/transfer`, `/v1/snapshot`. Each is tried on this node
//! first; if the core says that another one leads, it goes there, as the client wishes.

use super::answer::{Answer, Outcome, Problem, ProblemCode};
use super::forward::{OnFollower, Original};
use super::reads::Consistency;
use super::writes::Refused;
use super::{Api, body, leadership, members, query};
use crate::contact::Contact;
use http::{HeaderMap, Method, Request, header};
use hyper::body::Incoming;
use raft_core::{Change, Index, NodeId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All members, and how far they are.
    Members,
    /// A change of the members.
    Change { change: Change, expect: Option<Index> },
    /// Other addresses of a member, and with `replaces` another disk.
    Addresses { id: NodeId, given: ContactBody, replaces: bool, expect: Option<Index> },
    /// Another leader.
    Transfer { to: Option<NodeId> },
    /// A snapshot on this node.
    Snapshot,
}

/// Whether the path is one of those here.
pub(super) fn is_route(path: &str) -> bool {
    path == "/v1/members"
        || path.starts_with("/v1/members/")
        || path == "/v1/leader/transfer"
        || path == "/v1/snapshot"
}

/// Answers a request to one of these paths.
pub(super) async fn answer(api: &Api, request: Request<Incoming>) -> Result<Answer, Problem> {
    let writes = *request.method() != Method::GET;
    let before = |problem: Problem| problem.of_write(writes);
    // A level is a read's, and a snapshot is this node's whoever leads.
    let known: &[&str] =
        if writes { &["timeout", "on_follower"] } else { &["timeout", "on_follower", "consistency"] };
    query::only(&request, known).map_err(before)?;
    let level = Consistency::of(&request, api.lease_reads).map_err(before)?;
    let deadline = api.deadline(&request).map_err(before)?;
    let on_follower = OnFollower::of(&request).map_err(before)?;
    if level == Consistency::Stale {
        return Ok(members::stale(api));
    }
    let (head, incoming) = request.into_parts();
    let bytes = body::read(&head.headers, incoming, &api.limits, deadline).await.map_err(before)?;
    let asked = parse(&head.method, head.uri.path(), &head.headers, &bytes).map_err(before)?;
    let original = Original { head: &head, body: bytes, writes };
    loop {
        let tried = match &asked {
            Asked::Members => members::list(api, deadline).await,
            Asked::Change { change, expect } => members::change(api, change, *expect, deadline).await,
            Asked::Addresses { id, given, replaces, expect } => match api.until_leader(deadline).await {
                // Only the leader knows for sure which ones the member has.
                Ok(()) => match readdressed(api, *id, given, *replaces) {
                    Ok(change) => members::change(api, &change, *expect, deadline).await,
                    Err(problem) => Err(problem.with(Outcome::NotApplied).into()),
                },
                Err(refused) => Err(refused),
            },
            Asked::Transfer { to } => leadership::transfer(api, *to, deadline).await,
            Asked::Snapshot => leadership::snapshot(api, deadline).await,
        };
        match tried {
            Ok(answer) => return Ok(answer),
            Err(Refused::Problem(problem)) if writes => return Err(problem),
            Err(Refused::Problem(problem)) => return Err(problem.without_outcome()),
            Err(Refused::NotLeader) => {}
        }
        // Only what never left this node may be tried anew.
        if let Some(answer) = original.pass_on(api, on_follower, deadline).await? {
            return Ok(answer);
        }
        api.pause(deadline).await?;
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddBody {
    id: u64,
    peer: String,
    api: String,
    #[serde(default = "votes")]
    voter: bool,
}

fn votes() -> bool {
    true
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactBody {
    peer: Option<String>,
    api: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct TransferBody {
    to: Option<u64>,
}

fn parse(method: &Method, path: &str, headers: &HeaderMap, bytes: &[u8]) -> Result<Asked, Problem> {
    let expect = precondition(headers)?;
    let change = |change| Ok(Asked::Change { change, expect });
    let addresses = |id, given, replaces| Ok(Asked::Addresses { id, given, replaces, expect });
    let rest = path.strip_prefix("/v1/").unwrap_or_default();
    let segments: Vec<&str> = rest.split('/').collect();
    match (segments.as_slice(), method) {
        (["members"], &Method::GET) => Ok(Asked::Members),
        (["members"], &Method::POST) => {
            let AddBody { id, peer, api, voter } = json(bytes)?;
            let context = sound(Contact { peer, api })?.encode();
            change(Change::Add { id: NodeId(id), context, votes: voter })
        }
        (["members", id], &Method::DELETE) => change(Change::Remove { id: node(id)? }),
        (["members", id], &Method::PATCH) => addresses(node(id)?, json(bytes)?, false),
        (["members", id, "promote"], &Method::POST) => change(Change::Promote { id: node(id)? }),
        (["members", id, "demote"], &Method::POST) => change(Change::Demote { id: node(id)? }),
        (["members", id, "replace"], &Method::POST) => addresses(node(id)?, optional(bytes)?, true),
        (["leader", "transfer"], &Method::POST) => {
            let TransferBody { to } = optional(bytes)?;
            Ok(Asked::Transfer { to: to.map(NodeId) })
        }
        (["snapshot"], &Method::POST) => Ok(Asked::Snapshot),
        (["members"], _) => Err(Problem::method("GET, POST")),
        (["members", _], _) => Err(Problem::method("DELETE, PATCH")),
        (["members", _, "promote" | "demote" | "replace"] | ["leader", "transfer"] | ["snapshot"], _) => {
            Err(Problem::method("POST"))
        }
        _ => Err(Problem::new(ProblemCode::NoRoute, "there is no such path")),
    }
}

/// The change to the addresses that were given, and for the others to what the member has.
fn readdressed(api: &Api, id: NodeId, given: &ContactBody, replaces: bool) -> Result<Change, Problem> {
    let known = {
        let status = api.core.status.borrow();
        let none = || Problem::new(ProblemCode::MemberNotFound, format!("there is no member {id}"));
        api.book.of_member(status.membership.get(id).ok_or_else(none)?)
    };
    let bad = |detail| Problem::new(ProblemCode::BadJson, detail);
    if *given == ContactBody::default() {
        let kept = replaces.then_some(Change::Replace { id, context: None });
        return kept.ok_or_else(|| bad("a change of addresses names \"peer\", \"api\" or both"));
    }
    let (peer, api) = known.map_or((None, None), |known| (Some(known.peer), Some(known.api)));
    let (Some(peer), Some(api)) = (given.peer.clone().or(peer), given.api.clone().or(api)) else {
        return Err(bad("a member needs both addresses: \"peer\" and \"api\""));
    };
    let context = sound(Contact { peer, api })?.encode();
    let change = Change::Update { id, context: context.clone() };
    Ok(if replaces { Change::Replace { id, context: Some(context) } } else { change })
}

fn sound(contact: Contact) -> Result<Contact, Problem> {
    let Contact { peer, api } = &contact;
    let wrong = match contact.addresses() {
        None => format!("{peer:?} and {api:?} must both be host:port"),
        Some([own, other]) if own == other => {
            format!("{peer:?} can't be both \"peer\" and \"api\": every node needs two of its own")
        }
        Some(_) => return Ok(contact),
    };
    Err(Problem::new(ProblemCode::BadJson, wrong))
}

fn node(text: &str) -> Result<NodeId, Problem> {
    let none = |_| Problem::new(ProblemCode::MemberNotFound, format!("{text:?} is no node's number"));
    text.parse().map(NodeId).map_err(none)
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::new(ProblemCode::BadJson, error.to_string()))
}

/// A body that may be absent.
fn optional<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) { Ok(T::default()) } else { json(bytes) }
}

/// `If-Match: "<membership_index>"`: change only what the client has seen.
fn precondition(headers: &HeaderMap) -> Result<Option<Index>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let index =
        value.to_str().ok().and_then(|text| text.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok());
    let bad = || {
        let detail = "If-Match is the \"membership_index\" that was read, in quotation marks";
        Problem::new(ProblemCode::BadRequest, detail)
    };
    index.map(|index| Some(Index(index))).ok_or_else(bad)
}
