//! Where proposals spend their time on the leader. Those of one turn get their places in the log together, become durable
//! and committed together, and are measured together.

use super::Admitted;
use crate::metrics::Metrics;
use raft_core::{Index, RoleName, Status, Term};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// The proposals under way, oldest first.
pub(super) struct Phases {
    metrics: Arc<Metrics>,
    term: Term,
    /// Taken in by the turn that goes on.
    taken: u32,
    applied: Index,
    batches: VecDeque<Batch>,
}

/// The proposals of one turn.
struct Batch {
    last: Index,
    count: u32,
    since: Instant,
    synced: bool,
    committed: Option<Instant>,
}

impl Phases {
    pub(super) fn new(metrics: Arc<Metrics>) -> Phases {
        Phases { metrics, term: Term(0), taken: 0, applied: Index(0), batches: VecDeque::new() }
    }

    /// A turn takes a proposal in.
    pub(super) fn take(&mut self, admitted: &Admitted, now: Instant) {
        self.taken += 1;
        self.metrics.queue.observe(now.saturating_duration_since(admitted.since()).as_secs_f64());
    }

    /// A turn that began at `began` has led to this status. `applied`: up to where entries are now, if any were applied.
    pub(super) fn turned(&mut self, status: &Status, applied: Option<Index>, began: Instant) {
        self.applied = applied.unwrap_or(self.applied);
        let count = std::mem::take(&mut self.taken);
        if status.role != RoleName::Leader || status.term != self.term {
            // What becomes of an older leader's proposals is no measure of anything.
            self.batches.clear();
            self.term = status.term;
        }
        if status.role == RoleName::Leader && count > 0 {
            let last = status.last.index;
            self.batches.push_back(Batch { last, count, since: began, synced: false, committed: None });
        }
        if self.batches.is_empty() {
            return;
        }
        let now = Instant::now();
        for batch in &mut self.batches {
            if !batch.synced && status.durable >= batch.last {
                batch.synced = true;
                observe(&self.metrics.sync, batch.count, now - batch.since);
            }
            if batch.committed.is_none() && status.commit >= batch.last {
                batch.committed = Some(now);
                observe(&self.metrics.replicate, batch.count, now - batch.since);
            }
        }
        while let Some(Batch { last, count, synced: true, committed: Some(committed), .. }) =
            self.batches.front()
            && *last <= self.applied
        {
            observe(&self.metrics.apply, *count, now - *committed);
            self.batches.pop_front();
        }
    }
}

fn observe(
    histogram: &prometheus_client::metrics::histogram::Histogram,
    count: u32,
    took: std::time::Duration,
) {
    for _ in 0..count {
        histogram.observe(took.as_secs_f64());
    }
}
