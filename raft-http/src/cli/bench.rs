//! Load, and what it costs.

use super::asking::{self, Asking, Output};
use super::{print, table};
use crate::bench::{self, Load, Operation, Target, Workload};
use crate::exit::{Code, Exit};
use clap::Args;
use std::time::Duration;

/// The load.
#[derive(Args)]
pub(super) struct Bench {
    #[command(flatten)]
    asking: Asking,
    /// Who listens at the endpoints
    #[arg(long, value_enum, default_value = "httpraft")]
    target: Target,
    /// What is asked for
    #[arg(long, value_enum, default_value = "put")]
    operation: Operation,
    /// How many requests are under way at most; they are spread over the endpoints
    #[arg(short, long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// So many requests a second, due whether earlier ones were answered or not; without it, each client sends its
    /// next request when it has an answer
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// How many bytes a value or entry has
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,
    /// How many keys are written to in turn
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// How long is measured
    #[arg(short, long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    duration: Duration,
    /// How long the same load lasts before it is measured
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = asking::duration)]
    warmup: Duration,
    /// The servers' processes on this machine, to tell what CPU time a request costs them
    #[arg(long, value_name = "PID,..", value_delimiter = ',')]
    pids: Vec<u32>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "is not a number".to_string())?;
    if (0.1..=1e6).contains(&rate) { Ok(rate) } else { Err("is not from 0.1 to 1000000".to_string()) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = asking::duration(text)?;
    if duration.is_zero() { Err("nothing can be measured in no time".to_string()) } else { Ok(duration) }
}

/// Puts the load on its target and prints the figures.
pub(super) fn run(bench: Bench) -> Result<Exit, Exit> {
    let workload = Workload::new(bench.target, bench.operation, bench.size, bench.keys)
        .map_err(|error| Exit::new(Code::Usage, error))?;
    let load = Load {
        endpoints: bench.asking.endpoints()?,
        workload,
        clients: bench.clients.into(),
        rate: bench.rate,
        warmup: bench.warmup,
        duration: bench.duration,
        timeout: bench.asking.timeout,
        processes: bench.pids,
    };
    let report = crate::start::runtime()?.block_on(bench::run(load))?;
    print(&match bench.asking.output {
        Output::Json => format!("{:#}", report.json()),
        Output::Table => table::load(report.json()),
    })?;
    if report.is_empty() {
        return Err(Exit::new(Code::Failed, "not one request had a good answer"));
    }
    Ok(Exit::ok())
}
