//! What came of a load.

use super::Load;
use super::connection::Trouble;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Counts of one run.
pub(super) struct Tally {
    /// Of good answers to requests that were due in the measured part; microseconds.
    latencies: Histogram<u64>,
    /// Of requests that were due in the measured part.
    errors: BTreeMap<String, u64>,
    /// Good answers from the very beginning on.
    acknowledged: u64,
    /// Everything else from the very beginning on.
    failed: u64,
}

impl Default for Tally {
    fn default() -> Tally {
        let latencies = Histogram::new(3).expect("3 digits are allowed");
        Tally { latencies, errors: BTreeMap::new(), acknowledged: 0, failed: 0 }
    }
}

impl Tally {
    /// Counts a request that came to its end.
    pub(super) fn count(&mut self, measured: bool, took: Duration, result: Result<(), Trouble>) {
        match result {
            Ok(()) => {
                self.acknowledged += 1;
                if measured {
                    // A histogram that grows takes every value.
                    self.latencies += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                }
            }
            Err(trouble) => {
                self.failed += 1;
                if measured {
                    *self.errors.entry(trouble.code).or_default() += 1;
                }
            }
        }
    }
}

/// A run's figures.
pub(crate) struct Report(Value);

impl Report {
    pub(super) fn new(load: &Load, tally: Tally, cpu: Duration) -> Report {
        let Tally { latencies, errors, acknowledged, failed } = tally;
        let operations = latencies.len();
        let milliseconds = |microseconds: u64| microseconds as f64 / 1000.0;
        let mut latency: BTreeMap<&str, f64> = QUANTILES
            .map(|(name, quantile)| (name, milliseconds(latencies.value_at_quantile(quantile))))
            .into();
        latency.insert("max", milliseconds(latencies.max()));
        let (target, operation) = load.workload.names();
        let cpu_each = (!load.processes.is_empty() && operations > 0)
            .then(|| round(cpu.as_secs_f64() * 1e6 / operations as f64));
        Report(json!({
            "target": target,
            "operation": operation,
            "clients": load.clients,
            "rate": load.rate,
            "seconds": load.duration.as_secs_f64(),
            "operations": operations,
            "per_second": round(operations as f64 / load.duration.as_secs_f64()),
            "latency_ms": latency,
            "server_cpu_us": cpu_each,
            "errors": errors,
            "total": { "acknowledged": acknowledged, "failed": failed },
        }))
    }

    /// Whether anything was acknowledged in the measured part.
    pub(crate) fn is_empty(&self) -> bool {
        self.0["operations"] == 0
    }

    pub(crate) fn json(&self) -> &Value {
        &self.0
    }
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
