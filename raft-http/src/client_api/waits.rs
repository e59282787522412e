//! Reads that wait for something to happen, and how they find what happened.

use super::answer::{Problem, ProblemCode};
use super::{Api, query};
use crate::machine::{Operation, Page};
use http::Request;
use raft_core::Index;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The longest wait that a client may ask for.
const LONGEST: Duration = Duration::from_secs(60);

/// How many bytes of entries a page has, about.
pub(super) const PAGE_BYTES: usize = 4 << 20;

/// `?wait=`: until when to wait for news; now, if it isn't asked for.
pub(super) fn until<B>(request: &Request<B>) -> Result<Instant, Problem> {
    let wait = query::parameter(request, "wait").map_or(Ok(Duration::ZERO), |text| {
        humantime::parse_duration(&text).map_err(|_| {
            Problem::new(ProblemCode::BadQuery, "a wait is written like 30s or 500ms, and is at most 60s")
        })
    });
    Ok(Instant::now() + wait?.min(LONGEST))
}

/// A parameter that is an index, or a number of things of which there is at least `least`.
pub(super) fn at_least<B>(request: &Request<B>, name: &str, least: u64) -> Result<Option<u64>, Problem> {
    let Some(number) = query::number(request, name)? else { return Ok(None) };
    let number = u64::try_from(number).ok().filter(|number| *number >= least);
    let bad = || Problem::new(ProblemCode::BadQuery, format!("{name} is at least {least}"));
    number.map(Some).ok_or_else(bad)
}

/// The index behind the one that a client names: where what it has not seen begins.
pub(super) fn behind(name: &str, index: u64) -> Result<Index, String> {
    index.checked_add(1).map(Index).ok_or_else(|| format!("{name} {index} is no index: nothing is behind it"))
}

impl Api {
    /// Waits until this node has applied this index; `false` if it has not in time, or is being stopped: nobody may hold
    /// that up.
    pub(super) async fn until_applied(&self, index: Index, deadline: Instant) -> Result<bool, Problem> {
        let mut applied = self.core.applied.clone();
        tokio::select! {
            news = applied.wait_for(|applied| *applied >= index) => match news {
                Ok(_) => Ok(true),
                Err(_) => Err(Problem::new(ProblemCode::ShuttingDown, "this node stopped")),
            },
            () = sleep_until(deadline) => Ok(false),
            () = self.closing() => Ok(false),
        }
    }

    /// What is wanted of the records from an index on: some, unless there are none up to all that is applied.
    pub(super) async fn page(&self, from: Index, limit: usize, wanted: impl Fn(&Operation) -> bool) -> Page {
        let mut from = from;
        loop {
            let page = self.core.machine().select(from, limit, PAGE_BYTES, &wanted);
            if !page.records.is_empty() || page.next > page.applied {
                return page;
            }
            from = page.next;
            // Others have a turn before the search goes on.
            tokio::task::yield_now().await;
        }
    }

    /// The same, but waits for some until the deadline.
    pub(super) async fn page_until(
        &self,
        from: Index,
        limit: usize,
        wanted: impl Fn(&Operation) -> bool,
        deadline: Instant,
    ) -> Result<Page, Problem> {
        let mut page = self.page(from, limit, &wanted).await;
        while page.records.is_empty() && self.until_applied(page.next, deadline).await? {
            page = self.page(page.next, limit, &wanted).await;
        }
        Ok(page)
    }
}
