//! The log on standard error: text for people, one JSON object a line for machines.

use crate::exit::{Code, Exit};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging: by this filter, else by `RUST_LOG`, else from `info` on.
pub(super) fn init(filter: Option<&str>) -> Result<(), Exit> {
    let from_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|filter| !filter.is_empty());
    let filter = filter.map(str::to_string).or(from_environment).unwrap_or_else(|| "info".to_string());
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        Exit::new(
            Code::Usage,
            format!("--log {filter:?}: {error}; write it like \"info\" or \"raft_http=debug\""),
        )
    })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        subscriber.with_target(false).init();
    } else {
        subscriber.json().flatten_event(true).init();
    }
    Ok(())
}
