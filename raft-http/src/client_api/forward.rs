//! A request that only the leader can serve goes on to it: once, over one hop.

use super::answer::{Answer, Outcome, PROBLEM_JSON, Problem, ProblemCode, REPLAYED};
use super::{Api, CLUSTER, query};
use crate::call::{Call, CallError};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode, header};
use raft_core::Index;
use serde_json::json;
use tokio::time::Instant;

/// Who forwarded the request: such a one is not forwarded again.
const FORWARDED_BY: &str = "raft-forwarded-by";

/// What a follower does with a request for the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFollower {
    Forward,
    Redirect,
    Reject,
}

impl OnFollower {
    /// `?on_follower=`
    pub(super) fn of<B>(request: &Request<B>) -> Result<OnFollower, Problem> {
        match query::parameter(request, "on_follower").as_deref() {
            None | Some("forward") => Ok(OnFollower::Forward),
            Some("redirect") => Ok(OnFollower::Redirect),
            Some("reject") => Ok(OnFollower::Reject),
            Some(other) => {
                let detail = format!("on_follower is forward, redirect or reject, not {other:?}");
                Err(Problem::new(ProblemCode::BadQuery, detail))
            }
        }
    }
}

/// A request as it came.
pub(super) struct Original<'a> {
    pub(super) head: &'a Parts,
    pub(super) body: Bytes,
    pub(super) writes: bool,
}

impl Original<'_> {
    /// Passes the request on to the leader, or tells the client to go there. `None` if no byte of it has left: then it
    /// may be tried anew.
    pub(super) async fn pass_on(
        &self,
        api: &Api,
        on_follower: OnFollower,
        deadline: Instant,
    ) -> Result<Option<Answer>, Problem> {
        let problem = |code, detail: String, outcome| {
            let problem = Problem::new(code, detail);
            if self.writes { problem.with(outcome) } else { problem }
        };
        let Some(leader) = api.leader().map(|leader| leader.api.clone()) else { return Ok(None) };
        if on_follower == OnFollower::Reject || self.head.headers.contains_key(FORWARDED_BY) {
            let detail = format!("node {} doesn't lead; {leader} does", api.id);
            return Err(problem(ProblemCode::NotLeader, detail, Outcome::NotApplied));
        }
        let path = self.path();
        if on_follower == OnFollower::Redirect {
            let body = json!({ "leader": leader, "location": format!("http://{leader}{path}") });
            let location = Some(format!("http://{leader}{path}"));
            return Ok(Some(Answer { location, ..Answer::json(StatusCode::TEMPORARY_REDIRECT, &body) }));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let mut headers = vec![
            (FORWARDED_BY, api.id.to_string()),
            // The address may have become another cluster's.
            (CLUSTER, format!("{:016x}", api.cluster.0)),
            ("raft-timeout", format!("{}ms", left.as_millis().max(1))),
        ];
        for name in ["if-match", "if-none-match", "content-type", "idempotency-key"] {
            if let Some(value) = self.head.headers.get(name).and_then(|value| value.to_str().ok()) {
                headers.push((name, value.to_string()));
            }
        }
        let call = Call { method: self.head.method.clone(), path, headers, body: self.body.clone() };
        match call.send(&leader, deadline).await {
            Ok(reply) => Ok(Some(relayed(reply.status, &reply.headers, reply.body))),
            Err(CallError::NotSent { .. }) if Instant::now() < deadline => Ok(None),
            Err(error) => {
                let detail = format!("the leader: {error}");
                let late = Instant::now() >= deadline;
                let code = if late { ProblemCode::Timeout } else { ProblemCode::ForwardFailed };
                let sent = matches!(error, CallError::NoAnswer { .. });
                Err(problem(code, detail, if sent { Outcome::Unknown } else { Outcome::NotApplied }))
            }
        }
    }

    /// Path and query, without what is said otherwise to the leader or was for this node.
    fn path(&self) -> String {
        let uri = &self.head.uri;
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let pairs = pairs.filter(|(key, _)| key != "timeout" && key != "on_follower");
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        if query.is_empty() { uri.path().to_string() } else { format!("{}?{query}", uri.path()) }
    }
}

/// The leader's answer as this node's.
fn relayed(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Answer {
    let number = |text: &str| text.trim_matches('"').parse().ok().map(Index);
    let index = |name: &str| headers.get(name).and_then(|value| number(value.to_str().ok()?));
    let problem = headers.get(header::CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON);
    let consistency = headers.get("raft-consistency").is_some_and(|value| value == "linearizable");
    Answer {
        status,
        body,
        content_type: if problem { PROBLEM_JSON } else { "application/json" },
        index: index("raft-index"),
        consistency: consistency.then_some("linearizable"),
        retry_after: headers.contains_key(header::RETRY_AFTER),
        etag: index("etag"),
        marks: Vec::from_iter(headers.contains_key(&REPLAYED).then(|| (REPLAYED.clone(), "true"))),
        ..Answer::empty(status)
    }
}
