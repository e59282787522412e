//! Bringing a request to the core and its answer back, and what may be said about a write that failed.

use super::answer::{Outcome, Problem, ProblemCode};
use super::{Api, Stage};
use crate::driver::{Event, Written};
use crate::machine::{Command, Reply, Verdict};
use bytes::Bytes;
use http::HeaderMap;
use raft_core::envelope::Envelope;
use raft_core::{Answer, Limit, NodeId};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// How long to wait before asking again while leadership is being handed over.
const HANDING_OVER: Duration = Duration::from_millis(5);

/// The longest idempotency key.
const KEY_BYTES: usize = 255;

/// `Idempotency-Key`: what the client calls this write. It may stand in quotation marks.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Bytes>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if text.is_empty() || text.len() > KEY_BYTES {
        let detail = format!("an Idempotency-Key is 1 to {KEY_BYTES} visible characters; best is a UUIDv7");
        return Err(Problem::new(ProblemCode::BadKey, detail).with(Outcome::NotApplied));
    }
    Ok(Some(Bytes::copy_from_slice(text.as_bytes())))
}

/// Why a request was not served here.
pub(super) enum Refused {
    /// Another node leads.
    NotLeader,
    /// It failed.
    Problem(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        Refused::Problem(problem)
    }
}

fn problem(code: ProblemCode, detail: &'static str, outcome: Outcome) -> Refused {
    Refused::Problem(Problem::new(code, detail).with(outcome))
}

impl Api {
    /// Writes a command; returns what the machine replied once it is applied here, if it took effect.
    pub(super) async fn write(
        &self,
        command: &Command,
        key: Option<&Bytes>,
        deadline: Instant,
    ) -> Result<Reply, Refused> {
        use Outcome::{NotApplied, Unknown};
        let body = command.encode();
        loop {
            self.until_leader(deadline).await?;
            if self.space.is_short() {
                let detail = "the disk of the leader is nearly full: make room, and writes are taken again";
                return Err(problem(ProblemCode::StorageFull, detail, NotApplied));
            }
            // Stamped anew with each attempt: it is the leader's time.
            let envelope = Envelope { time_ms: now_ms(), key: key.cloned(), body: body.clone() };
            let command = envelope.encode();
            let Some(admitted) = self.core.admission.admit(command.len()) else {
                return Err(problem(ProblemCode::Overloaded, "too many writes are under way", NotApplied));
            };
            let (answer, answered) = oneshot::channel();
            self.hand_in(Event::Write { command, admitted, answer }, deadline).await?;
            let answer = match timeout_at(deadline, answered).await {
                Err(_) => {
                    return Err(problem(
                        ProblemCode::Timeout,
                        "the write was not committed in time",
                        Unknown,
                    ));
                }
                Ok(Err(_)) => return Err(problem(ProblemCode::ShuttingDown, "this node stopped", Unknown)),
                Ok(Ok(Written::Applied(reply))) => return decided(reply),
                Ok(Ok(Written::Not(answer))) => answer,
            };
            return Err(match answer {
                // Refused before it had an index, so it may be handed in again (rule b of the contract's "Outcome").
                Answer::NotLeader { leader: Some(_) } => Refused::NotLeader,
                Answer::NotLeader { leader: None } => continue,
                Answer::Busy(Limit::Transferring) => {
                    self.pause(deadline).await?;
                    continue;
                }
                Answer::Busy(Limit::CommandTooLarge) => {
                    problem(ProblemCode::TooLarge, "the entry is longer than the log takes", NotApplied)
                }
                Answer::Busy(Limit::UncommittedBytes | Limit::Tickets) => {
                    problem(ProblemCode::Overloaded, "too many writes are under way", NotApplied)
                }
                Answer::Lost => problem(
                    ProblemCode::Lost,
                    "the leader changed, and another entry is committed in this one's place",
                    NotApplied,
                ),
                Answer::Unknown
                | Answer::Committed(_)
                | Answer::ReadAt(_)
                | Answer::Refused(_)
                | Answer::HandingOver { .. } => {
                    problem(ProblemCode::LeadershipLost, "the leader changed; this node can't tell", Unknown)
                }
            });
        }
    }

    /// Waits for this node to lead: at most two election timeouts for any leader to be known.
    pub(super) async fn until_leader(&self, deadline: Instant) -> Result<(), Refused> {
        let leader = self.until_led(deadline).await?;
        if leader == self.id { Ok(()) } else { Err(Refused::NotLeader) }
    }

    /// Waits for at most two election timeouts until a leader is known.
    pub(super) async fn until_led(&self, deadline: Instant) -> Result<NodeId, Problem> {
        let problem = |code, detail| Problem::new(code, detail).with(Outcome::NotApplied);
        let mut leader = self.core.status.borrow().leader;
        let removed = self.is_in(Stage::Removed);
        if removed || (self.is_in(Stage::Closing) && leader.is_none_or(|leader| leader == self.id)) {
            return Err(self.stopping().with(Outcome::NotApplied));
        }
        if leader.is_none() {
            let patience = deadline.min(Instant::now() + 2 * self.election_timeout);
            let mut status = self.core.status.clone();
            leader = match timeout_at(patience, status.wait_for(|status| status.leader.is_some())).await {
                Ok(Ok(status)) => status.leader,
                Ok(Err(_)) => return Err(self.stopping().with(Outcome::NotApplied)),
                Err(_) if !self.core.status.borrow().founded => {
                    let detail = if self.founders.members().is_empty() {
                        "this node waits until `httpraft member add` or `member replace` names it"
                    } else {
                        "this node waits to hear once from every node of the config file"
                    };
                    return Err(problem(ProblemCode::Starting, detail));
                }
                Err(_) => None,
            };
        }
        let none = || problem(ProblemCode::NoLeader, "no majority of the nodes is up and in touch");
        leader.ok_or_else(none)
    }

    pub(super) async fn hand_in(&self, event: Event, deadline: Instant) -> Result<(), Problem> {
        let problem = |code, detail| Problem::new(code, detail).with(Outcome::NotApplied);
        if Instant::now() >= deadline {
            return Err(problem(ProblemCode::Timeout, "the request was not here in time"));
        }
        match timeout_at(deadline, self.core.events.send(event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.stopping().with(Outcome::NotApplied)),
            Err(_) => Err(problem(ProblemCode::Timeout, "the request never reached the core")),
        }
    }

    pub(super) async fn pause(&self, deadline: Instant) -> Result<(), Problem> {
        if Instant::now() >= deadline {
            let late = Problem::new(ProblemCode::Timeout, "leadership was being handed over");
            return Err(late.with(Outcome::NotApplied));
        }
        tokio::time::sleep(HANDING_OVER).await;
        Ok(())
    }
}

/// What the machine decided, as the contract words it.
fn decided(reply: Reply) -> Result<Reply, Refused> {
    use Outcome::{NotApplied, Unknown};
    let refused = match reply.verdict {
        Verdict::Done { .. } | Verdict::Marked => return Ok(reply),
        Verdict::Failed { current } => {
            let failed = match current {
                Some(index) => {
                    let detail = format!("the key was changed at index {index}: read it, and decide anew");
                    Problem::new(ProblemCode::CasFailed, detail).because_of(index)
                }
                None => Problem::new(ProblemCode::CasFailed, "the key stands for nothing"),
            };
            Refused::Problem(failed.with(NotApplied).replayed(reply.replayed))
        }
        Verdict::Mismatch => problem(
            ProblemCode::IdempotencyMismatch,
            "the first request with this Idempotency-Key was another one: take a new key",
            NotApplied,
        ),
        Verdict::Expired => problem(
            ProblemCode::KeyExpired,
            "a write with this Idempotency-Key may have been applied long ago; it was not applied now",
            Unknown,
        ),
        Verdict::Ahead => problem(
            ProblemCode::BadKey,
            "the time in this Idempotency-Key is more than 5 minutes ahead: set the clock",
            NotApplied,
        ),
        Verdict::Full => problem(
            ProblemCode::Overloaded,
            "too many writes with an Idempotency-Key were made lately: take UUIDv7 keys, or wait",
            NotApplied,
        ),
    };
    Err(refused)
}

/// This machine's clock; before 1970 it is 0.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
