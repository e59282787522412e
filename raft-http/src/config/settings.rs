//! Each setting once: its name in the file (upper case after `HTTPRAFT_` in the environment) and how its value is read.

use super::{Config, ConfigError, Store};
use serde_json::Value;
use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

/// One value that somebody gave, known or not, good or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Where it stands.
    pub from: GivenFrom,
    /// Which setting.
    pub key: String,
    /// To what; from flags and environment always a string.
    pub value: Value,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenFrom {
    /// In this file.
    File(PathBuf),
    /// In the environment.
    Environment,
    /// On the command line.
    Flag,
}

impl fmt::Display for Given {
    /// The value's place, as somebody who wants to change it finds it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            // A file may hold any key, with line breaks in it.
            GivenFrom::File(path) => write!(f, "{}: {}", path.display(), self.key.escape_debug()),
            GivenFrom::Environment => write!(f, "{PREFIX}{}", self.key.to_ascii_uppercase()),
            GivenFrom::Flag => write!(f, "--{}", self.key.replace('_', "-")),
        }
    }
}

/// Reads one value into the config; an error says what is wrong with the value.
type Read = fn(&mut Config, &Value) -> Result<(), String>;

/// Every setting and how it is read.
const SETTINGS: [(&str, Read); 31] = [
    ("peers", |config, value| list(value).map(|list| config.peers = list)),
    ("apis", |config, value| list(value).map(|list| config.apis = list)),
    ("peer", |config, value| own(value, "peers").map(|text| config.own.peer = text)),
    ("api", |config, value| own(value, "apis").map(|text| config.own.api = text)),
    ("join", |config, value| list(value).map(|list| config.join = list)),
    ("cluster", |config, value| text(value).map(|text| config.cluster = Some(text))),
    ("data_dir", |config, value| text(value).map(|text| config.store = Store::Directory(text.into()))),
    ("in_memory", |config, value| {
        switch(value).map(|on| if on { config.store = Store::Memory } else { leave_memory(config) })
    }),
    ("heartbeat", |config, value| duration(value).map(|duration| config.heartbeat = duration)),
    ("election_timeout", |config, value| duration(value).map(|duration| config.election_timeout = duration)),
    ("lease_reads", |config, value| switch(value).map(|on| config.lease_reads = on)),
    ("dedupe_window", |config, value| millis(value).map(|time| config.retention.window_ms = time)),
    ("dedupe_keys", |config, value| count(value).map(|count| config.retention.keys = count as u64)),
    ("dedupe_min", |config, value| millis(value).map(|time| config.retention.least_ms = time)),
    ("log_retention", |config, value| entries(value).map(|least| config.log_retention = least)),
    ("audit_interval", |config, value| duration(value).map(|time| config.audit_interval = time)),
    ("max_body", |config, value| size(value).map(|size| config.limits.body = size)),
    ("max_headers", |config, value| size(value).map(|size| config.limits.headers = size)),
    ("header_read_timeout", |config, value| duration(value).map(|time| config.limits.header_read = time)),
    ("body_read_timeout", |config, value| duration(value).map(|time| config.limits.body_read = time)),
    ("answer_write_timeout", |config, value| duration(value).map(|time| config.limits.answer_write = time)),
    ("max_body_bytes", |config, value| size(value).map(|size| config.limits.body_bytes = size)),
    ("max_connections", |config, value| count(value).map(|count| config.limits.connections = count)),
    ("max_proposals", |config, value| count(value).map(|count| config.limits.proposals = count)),
    ("max_proposal_bytes", |config, value| size(value).map(|size| config.limits.proposal_bytes = size)),
    ("snapshot_entries", |config, value| {
        count(value).map(|count| config.compaction.snapshot_entries = count)
    }),
    ("snapshot_bytes", |config, value| size(value).map(|size| config.compaction.snapshot_bytes = size)),
    ("retain_entries", |config, value| count(value).map(|count| config.compaction.retain_entries = count)),
    ("retain_bytes", |config, value| size(value).map(|size| config.compaction.retain_bytes = size)),
    ("insecure", |config, value| switch(value).map(|on| config.insecure = on)),
    ("unsafe_no_fsync", |config, value| switch(value).map(|on| config.unsafe_no_fsync = on)),
];

/// What the environment sets beside [`SETTINGS`].
const ENVIRONMENT_ONLY: [&str; 3] = ["config", "log", "endpoints"];
const PREFIX: &str = "HTTPRAFT_";

/// The settings among these environment variables, and the names of those that look like settings and aren't. These
/// are no errors: orchestrators make variables up, such as `HTTPRAFT_SERVICE_HOST` for a service of this name.
pub fn from_environment(variables: impl Iterator<Item = (String, String)>) -> (Vec<Given>, Vec<String>) {
    let (mut given, mut unknown) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
        if SETTINGS.iter().any(|(known, _)| *known == key) {
            given.push(Given { from: GivenFrom::Environment, key, value: Value::String(value) });
        } else if !ENVIRONMENT_ONLY.contains(&key.as_str()) {
            unknown.push(name);
        }
    }
    (given, unknown)
}

/// Puts the given values into the config, in this order: later ones win.
pub(super) fn apply(config: &mut Config, given: &[Given]) -> Result<(), ConfigError> {
    for given in given {
        let Some((_, read)) = SETTINGS.iter().find(|(known, _)| *known == given.key) else {
            return Err(ConfigError::Unknown { place: given.to_string(), nearest: nearest(&given.key) });
        };
        read(config, &given.value)
            .map_err(|problem| ConfigError::Value { place: given.to_string(), problem })?;
    }
    refuse_two_stores(given)
}

/// No place may say that the node keeps its data and that it keeps nothing: neither can be what was meant for sure.
fn refuse_two_stores(given: &[Given]) -> Result<(), ConfigError> {
    let memory = |given: &&Given| given.key == "in_memory" && switch(&given.value) == Ok(true);
    for memory in given.iter().filter(memory) {
        if let Some(directory) =
            given.iter().find(|other| other.key == "data_dir" && other.from == memory.from)
        {
            let problem = format!("{memory} is true, too: leave one of them out");
            return Err(ConfigError::Value { place: directory.to_string(), problem });
        }
    }
    Ok(())
}

fn nearest(key: &str) -> &'static str {
    let likeness = |known: &str| strsim::jaro_winkler(known, key);
    SETTINGS
        .iter()
        .map(|(known, _)| *known)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .expect("there are settings")
}

fn leave_memory(config: &mut Config) {
    if config.store == Store::Memory {
        config.store = Store::Directory(PathBuf::new());
    }
}

fn text(value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some("") => Err("is empty".to_string()),
        Some(text) => Ok(text.to_string()),
        None => Err(format!("{value} is not a string")),
    }
}

/// This node's own address; a list under this name is meant for the other one.
fn own(value: &Value, list: &str) -> Result<String, String> {
    let hint =
        |problem| format!("{problem}, and this is the node's own address: the list of all is {list:?}");
    text(value).map_err(hint)
}

/// A JSON list of strings; outside of JSON, comma-separated.
fn list(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::String(items) => Ok(items.split(',').map(|item| item.trim().to_string()).collect()),
        _ => Err(format!("{value} is not a list of strings")),
    }
}

fn switch(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(on) => Ok(*on),
        Value::String(text) if text == "true" || text == "1" => Ok(true),
        Value::String(text) if text == "false" || text == "0" => Ok(false),
        _ => Err(format!("{value} is neither true nor false")),
    }
}

/// A duration of 1 ms to 1 h. The upper bound keeps sums of them far from any overflow.
fn duration(value: &Value) -> Result<Duration, String> {
    let form = || format!("{value} is not a duration: write it like \"150ms\" or \"2s\"");
    let duration = humantime::parse_duration(value.as_str().ok_or_else(form)?).map_err(|_| form())?;
    let allowed = Duration::from_millis(1)..=Duration::from_secs(3600);
    if allowed.contains(&duration) { Ok(duration) } else { Err(format!("{value} is not from 1ms to 1h")) }
}

/// The same, in milliseconds.
fn millis(value: &Value) -> Result<u64, String> {
    duration(value).map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A size of 1 byte to 1 GiB.
fn size(value: &Value) -> Result<usize, String> {
    let form = || format!("{value} is not a size: write it like \"64MiB\" or \"512KiB\"");
    let size: bytesize::ByteSize = value.as_str().ok_or_else(form)?.parse().map_err(|_| form())?;
    let size = usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
    if (1..=1 << 30).contains(&size) { Ok(size) } else { Err(format!("{value} is not from 1B to 1GiB")) }
}

/// A number of 1 to a million.
fn count(value: &Value) -> Result<usize, String> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        _ => value.as_u64(),
    };
    match number.and_then(|number| usize::try_from(number).ok()) {
        Some(count) if (1..=1_000_000).contains(&count) => Ok(count),
        _ => Err(format!("{value} is not a whole number from 1 to 1000000")),
    }
}

/// A number of entries, or "off".
fn entries(value: &Value) -> Result<Option<NonZeroU64>, String> {
    let number = match value {
        Value::String(text) if text == "off" => return Ok(None),
        Value::String(text) => text.parse().ok(),
        _ => value.as_u64(),
    };
    let bad = || format!("{value} is neither a number of entries from 1 on nor \"off\"");
    number.and_then(NonZeroU64::new).map(Some).ok_or_else(bad)
}

/// A size in the largest unit that says it exactly.
pub(super) fn size_text(bytes: usize) -> String {
    let (shift, unit) = [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes.trailing_zeros() >= *shift)
        .unwrap_or((0, "B"));
    format!("{}{unit}", bytes >> shift)
}
