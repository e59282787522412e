//! How fresh a read is, and how a node gets there.

use super::answer::{Answer, Problem, ProblemCode};
use super::{Api, query};
use crate::driver::{Event, since_start};
use http::Request;
use raft_core::{Answer as Core, Limit};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// What a read promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consistency {
    /// It sees all that was acknowledged before it began.
    Linearizable,
    /// The same, as long as the machines' clocks run about equally fast.
    Lease,
    /// It sees what this node has.
    Stale,
}

impl Consistency {
    fn name(self) -> &'static str {
        match self {
            Consistency::Linearizable => "linearizable",
            Consistency::Lease => "lease",
            Consistency::Stale => "stale",
        }
    }

    /// The level that the request asks for.
    pub(super) fn of<B>(request: &Request<B>, lease_reads: bool) -> Result<Consistency, Problem> {
        let bad = |detail: String| Err(Problem::new(ProblemCode::BadQuery, detail));
        match query::parameter(request, "consistency").as_deref() {
            None | Some("linearizable") => Ok(Consistency::Linearizable),
            Some("stale") => Ok(Consistency::Stale),
            Some("lease") if lease_reads => Ok(Consistency::Lease),
            Some("lease") => {
                bad("lease reads are off on this node: \"lease_reads\": true turns them on".to_string())
            }
            Some(other) => bad(format!("consistency is linearizable, lease or stale, not {other:?}")),
        }
    }

    /// The answer with what it promises, and how old it may be.
    pub(super) fn mark(self, api: &Api, answer: Answer) -> Answer {
        let last_contact = if self == Consistency::Stale { api.core.last_contact() } else { None };
        Answer { last_contact, ..answer.consistency(self.name()) }
    }
}

impl Api {
    /// Waits until this node may serve the read at the level that it asks for.
    pub(super) async fn reach<B>(&self, request: &Request<B>) -> Result<Consistency, Problem> {
        let level = Consistency::of(request, self.lease_reads)?;
        self.reach_level(level, self.deadline(request)?).await?;
        Ok(level)
    }

    /// The same, of a request that was looked at.
    pub(super) async fn reach_level(&self, level: Consistency, deadline: Instant) -> Result<(), Problem> {
        if level != Consistency::Stale {
            let read = self.read(level == Consistency::Lease, deadline).await;
            read.map_err(Problem::without_outcome)?;
        }
        Ok(())
    }

    /// Whether a lease is good for anything (rule 14).
    fn shares_patience(&self) -> bool {
        self.patience.is_shared(&self.core.status.borrow().membership, since_start())
    }

    /// Waits until this node has applied all that was committed anywhere when the read came in. Any node can: a follower
    /// asks its leader.
    pub(super) async fn read(&self, lease: bool, deadline: Instant) -> Result<(), Problem> {
        let failed = |code, detail| Err(Problem::new(code, detail));
        loop {
            self.until_led(deadline).await?;
            let lease = lease && self.shares_patience();
            let (answer, answered) = oneshot::channel();
            self.hand_in(Event::Read { answer, lease }, deadline).await?;
            return match timeout_at(deadline, answered).await {
                Err(_) => failed(ProblemCode::Timeout, "no quorum confirmed the leader in time"),
                Ok(Err(_)) => failed(ProblemCode::ShuttingDown, "this node stopped"),
                Ok(Ok(Core::ReadAt(_))) => Ok(()),
                // A read has no effect: it may always be asked again.
                Ok(Ok(
                    Core::NotLeader { .. } | Core::Lost | Core::Unknown | Core::Busy(Limit::Transferring),
                )) => {
                    self.pause(deadline).await?;
                    continue;
                }
                Ok(Ok(Core::Busy(_) | Core::Committed(_) | Core::Refused(_) | Core::HandingOver { .. })) => {
                    failed(ProblemCode::Overloaded, "too many reads are under way")
                }
            };
        }
    }
}
