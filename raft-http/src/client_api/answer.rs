//! Answers and problems. What a failed write says about itself is decided by the rules of the contract's section 2,
//! once, here and in `writes`.

use super::stream::Pieces;
use crate::driver::{Admission, Admitted};
use crate::machine::Reply;
use bytes::Bytes;
use http::{HeaderName, StatusCode};
use raft_core::Index;
use serde::Serialize;
use std::borrow::Cow;

/// What a problem of `/v1` is (RFC 9457).
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// A body of up to this size is bounded well enough by the number of connections.
pub(crate) const SMALL_BODY: usize = 16 << 10;

/// The header of an answer that was given before.
pub(crate) static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer without the headers that all have.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) content_type: &'static str,
    /// `Raft-Index`: a write's own, or the applied one that a read was served from.
    pub(crate) index: Option<Index>,
    /// `Raft-Consistency`.
    pub(crate) consistency: Option<&'static str>,
    pub(crate) allow: Option<&'static str>,
    pub(crate) retry_after: bool,
    /// `Raft-Last-Contact-Ms`: how long ago this node heard its leader, for a read that may be stale.
    pub(crate) last_contact: Option<u64>,
    /// `ETag`: the index that a precondition names.
    pub(crate) etag: Option<Index>,
    /// Where to go instead.
    pub(crate) location: Option<String>,
    /// The body, if it is made bit by bit; then `body` is empty.
    pub(crate) stream: Option<Pieces>,
    /// Further headers.
    pub(crate) marks: Vec<(HeaderName, &'static str)>,
}

impl Answer {
    /// An answer with this body.
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
        let body = serde_json::to_vec(body).expect("texts and numbers always become JSON");
        Answer { body: body.into(), ..Answer::empty(status) }
    }

    /// An answer whose body is still to come.
    pub(crate) fn empty(status: StatusCode) -> Answer {
        Answer {
            status,
            body: Bytes::new(),
            content_type: "application/json",
            index: None,
            consistency: None,
            allow: None,
            retry_after: false,
            last_contact: None,
            etag: None,
            location: None,
            stream: None,
            marks: Vec::new(),
        }
    }

    /// The same answer, in the room that is kept for bodies until the client has read it. A small one needs none.
    pub(crate) fn with_room(self, bodies: &Admission) -> Result<Answer, Problem> {
        if self.body.len() <= SMALL_BODY {
            return Ok(self);
        }
        match bodies.admit(self.body.len()) {
            Some(room) => {
                Ok(Answer { body: Bytes::from_owner(Kept { body: self.body, _room: room }), ..self })
            }
            None => {
                let detail = "too much is being read by clients who are slow to take it";
                Err(Problem::new(ProblemCode::Overloaded, detail))
            }
        }
    }

    /// The answer to a write that stands at `index`, or to a read that saw everything up to there.
    pub(crate) fn at(mut self, index: Index) -> Answer {
        self.index = Some(index);
        self
    }

    /// The answer to a write, with where it stands and whether it was done before.
    pub(crate) fn of(self, reply: &Reply) -> Answer {
        let mut answer = self.at(reply.id.index);
        if reply.replayed {
            answer.marks.push((REPLAYED.clone(), "true"));
        }
        answer
    }

    /// The answer to a read at this level.
    pub(crate) fn consistency(mut self, level: &'static str) -> Answer {
        self.consistency = Some(level);
        self
    }
}

/// The body of an answer, and its room.
struct Kept {
    body: Bytes,
    _room: Admitted,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Whether a failed write took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// A promise: it did not and never will.
    NotApplied,
    /// It may or may not, now or later.
    Unknown,
    /// It did, but what it led to can't be told.
    Applied,
}

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProblemCode {
    BadRequest,
    BadJson,
    BadQuery,
    BadKey,
    KeyNotFound,
    NoRoute,
    MemberNotFound,
    Method,
    ChangeInProgress,
    WouldLoseQuorum,
    LearnerNotReady,
    AlreadyMember,
    AlreadyVoter,
    NotAVoter,
    Leads,
    NotAConfiguration,
    NoSuccessor,
    TargetSilent,
    MembershipMoved,
    CasFailed,
    KeyExpired,
    Compacted,
    Removed,
    IdempotencyMismatch,
    NotLeader,
    WrongCluster,
    BadHost,
    SlowBody,
    TooLarge,
    Uri,
    Headers,
    Overloaded,
    NoLeader,
    Draining,
    Starting,
    Lost,
    LeadershipLost,
    ForwardFailed,
    ShuttingDown,
    Timeout,
    StorageFull,
}

impl ProblemCode {
    fn status(self) -> StatusCode {
        match self {
            ProblemCode::BadRequest | ProblemCode::BadJson | ProblemCode::BadQuery | ProblemCode::BadKey => {
                StatusCode::BAD_REQUEST
            }
            ProblemCode::NoRoute | ProblemCode::MemberNotFound | ProblemCode::KeyNotFound => {
                StatusCode::NOT_FOUND
            }
            ProblemCode::ChangeInProgress
            | ProblemCode::WouldLoseQuorum
            | ProblemCode::LearnerNotReady
            | ProblemCode::AlreadyMember
            | ProblemCode::AlreadyVoter
            | ProblemCode::NotAVoter
            | ProblemCode::Leads
            | ProblemCode::NotAConfiguration
            | ProblemCode::NoSuccessor
            | ProblemCode::TargetSilent => StatusCode::CONFLICT,
            ProblemCode::MembershipMoved | ProblemCode::CasFailed => StatusCode::PRECONDITION_FAILED,
            ProblemCode::KeyExpired | ProblemCode::Compacted | ProblemCode::Removed => StatusCode::GONE,
            ProblemCode::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            ProblemCode::NotLeader | ProblemCode::WrongCluster | ProblemCode::BadHost => {
                StatusCode::MISDIRECTED_REQUEST
            }
            ProblemCode::Method => StatusCode::METHOD_NOT_ALLOWED,
            ProblemCode::SlowBody => StatusCode::REQUEST_TIMEOUT,
            ProblemCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ProblemCode::Uri => StatusCode::URI_TOO_LONG,
            ProblemCode::Headers => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            ProblemCode::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            ProblemCode::NoLeader
            | ProblemCode::Draining
            | ProblemCode::Starting
            | ProblemCode::Lost
            | ProblemCode::LeadershipLost
            | ProblemCode::ForwardFailed
            | ProblemCode::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            ProblemCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ProblemCode::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    fn title(self) -> &'static str {
        match self {
            ProblemCode::BadRequest => "the request can't be read",
            ProblemCode::BadJson => "the body is not the JSON that is expected here",
            ProblemCode::BadQuery => "a query parameter is wrong",
            ProblemCode::BadKey => "the key can't be used",
            ProblemCode::KeyNotFound => "the key stands for nothing",
            ProblemCode::CasFailed => "a condition doesn't hold",
            ProblemCode::KeyExpired => "the idempotency key is too old to be known",
            ProblemCode::Compacted => "entries from there on are not kept",
            ProblemCode::IdempotencyMismatch => "the idempotency key belongs to another request",
            ProblemCode::NoRoute => "no such path",
            ProblemCode::MemberNotFound => "no such member",
            ProblemCode::ChangeInProgress => "an earlier change of the members is not complete",
            ProblemCode::WouldLoseQuorum => "the new configuration would have no live quorum",
            ProblemCode::LearnerNotReady => "the learner is not ready to vote",
            ProblemCode::AlreadyMember => "it is a member already",
            ProblemCode::AlreadyVoter => "it votes already",
            ProblemCode::Leads => "it leads",
            ProblemCode::NotAVoter => "it doesn't vote",
            ProblemCode::NotAConfiguration => "the change leads to no configuration",
            ProblemCode::NoSuccessor => "there is no other voter",
            ProblemCode::TargetSilent => "the voter that is to lead is silent",
            ProblemCode::MembershipMoved => "the members have changed since",
            ProblemCode::NotLeader => "this node doesn't lead",
            ProblemCode::WrongCluster => "this is another cluster",
            ProblemCode::BadHost => "the host is none",
            ProblemCode::Removed => "this node was removed from its cluster",
            ProblemCode::Method => "the path has other methods",
            ProblemCode::SlowBody => "the body came too slowly",
            ProblemCode::TooLarge => "the body is too large",
            ProblemCode::Uri => "the path or the query is too long",
            ProblemCode::Headers => "the headers are too large",
            ProblemCode::Overloaded => "too much is under way",
            ProblemCode::NoLeader => "the cluster has no leader just now",
            ProblemCode::Draining => "this node is being stopped",
            ProblemCode::Starting => "the cluster is not founded yet",
            ProblemCode::Lost => "another entry took the place of this one",
            ProblemCode::ForwardFailed => "the leader could not be asked",
            ProblemCode::LeadershipLost => "the leader changed before the write was confirmed",
            ProblemCode::ShuttingDown => "this node stopped before the write was confirmed",
            ProblemCode::Timeout => "the deadline has passed",
            ProblemCode::StorageFull => "there is no room for it",
        }
    }

    /// Whether the same request may succeed when it is sent again.
    fn retryable(self) -> bool {
        matches!(self.status().as_u16(), 408 | 429 | 503 | 504 | 507)
            || matches!(
                self,
                ProblemCode::ChangeInProgress | ProblemCode::LearnerNotReady | ProblemCode::NotLeader
            )
    }
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Problem {
    code: ProblemCode,
    detail: Cow<'static, str>,
    outcome: Option<Outcome>,
    allow: Option<&'static str>,
    /// What stands in the way is there.
    current: Option<Index>,
    /// Where the log begins.
    first: Option<Index>,
    /// It is the first answer to an idempotency key, once more.
    replayed: bool,
}

impl Problem {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Problem {
        let (outcome, allow, current, first, replayed) = (None, None, None, None, false);
        Problem { code, detail: detail.into(), outcome, allow, current, first, replayed }
    }

    /// The path is there, but has only these methods.
    pub(crate) fn method(allow: &'static str) -> Problem {
        let detail = format!("this path takes {allow}");
        Problem { allow: Some(allow), ..Problem::new(ProblemCode::Method, detail) }
    }

    /// The same problem, because of what stands at this index.
    pub(crate) fn because_of(self, index: Index) -> Problem {
        Problem { current: Some(index), ..self }
    }

    /// The clients' log begins behind what was asked for.
    pub(crate) fn compacted(first: Index) -> Problem {
        let detail =
            format!("the log begins at index {first}: what was before it is not kept (log_retention)");
        Problem { first: Some(first), ..Problem::new(ProblemCode::Compacted, detail) }
    }

    /// The same problem, as the first time if it is an answer to a repetition.
    pub(crate) fn replayed(self, replayed: bool) -> Problem {
        Problem { replayed, ..self }
    }

    /// The same problem of a write with this outcome.
    pub(crate) fn with(self, outcome: Outcome) -> Problem {
        Problem { outcome: Some(outcome), ..self }
    }

    /// The same problem; if it is a write's, the write never reached the core.
    pub(crate) fn of_write(self, is_write: bool) -> Problem {
        if is_write { self.with(Outcome::NotApplied) } else { self }
    }

    /// The same problem of a request of which an earlier try may still take effect.
    pub(crate) fn doubted(self) -> Problem {
        if self.outcome == Some(Outcome::NotApplied) { self.with(Outcome::Unknown) } else { self }
    }

    /// The same problem of a read.
    pub(crate) fn without_outcome(self) -> Problem {
        Problem { outcome: None, ..self }
    }

    /// The problem as an answer: the members of RFC 9457 beside the seed's `success` and `leader`.
    pub(crate) fn answer(&self, leader: &str) -> Answer {
        let status = self.code.status();
        let body = Body {
            success: false,
            leader,
            r#type: "about:blank",
            title: self.code.title(),
            status: status.as_u16(),
            detail: &self.detail,
            code: self.code,
            outcome: self.outcome,
            retryable: self.code.retryable(),
            current_index: self.current.map(|index| index.0),
            first_index: self.first.map(|index| index.0),
        };
        Answer {
            allow: self.allow,
            retry_after: matches!(status.as_u16(), 429 | 503),
            marks: Vec::from_iter(self.replayed.then(|| (REPLAYED.clone(), "true"))),
            ..Answer::json(status, &body)
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    success: bool,
    leader: &'a str,
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: ProblemCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_index: Option<u64>,
}
