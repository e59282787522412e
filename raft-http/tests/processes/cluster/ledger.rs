//! What clients were told, and whether the logs keep it.

use super::{Cluster, ends_within, http};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long logs may take to become the same once nobody writes.
const SETTLE: Duration = Duration::from_secs(15);
/// No log of a test has more pages.
const PAGES: usize = 10_000;

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) text: String,
}

/// What clients were told of their writes. Each text is written once.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Told that it is in the log, where, and when they were told.
    pub(crate) acknowledged: Vec<(Entry, Instant)>,
    /// Told that it is not and never will be.
    pub(crate) not_applied: BTreeSet<String>,
    /// Everything else.
    pub(crate) unknown: usize,
}

impl Ledger {
    /// Takes over what another one has.
    pub(crate) fn add(&mut self, other: Ledger) {
        self.acknowledged.extend(other.acknowledged);
        self.not_applied.extend(other.not_applied);
        self.unknown += other.unknown;
    }

    /// Acknowledged entries that this log does not have.
    pub(crate) fn missing<'a>(&'a self, log: &[Entry]) -> Vec<&'a Entry> {
        let texts: BTreeSet<&str> = log.iter().map(|entry| entry.text.as_str()).collect();
        let entries = self.acknowledged.iter().map(|(entry, _)| entry);
        entries.filter(|entry| !texts.contains(entry.text.as_str())).collect()
    }

    /// Waits until all nodes have the same log, and checks it against what clients were told: what was acknowledged
    /// stands there once and in its place, what was not applied doesn't, nothing stands there twice. Gives the log.
    pub(crate) fn check(&self, cluster: &Cluster) -> Vec<Entry> {
        let mut logs = Vec::new();
        let settled = ends_within(SETTLE, || {
            logs = cluster.up().into_iter().map(|id| cluster.log(id)).collect();
            logs.windows(2).all(|pair| pair[0] == pair[1]) && self.missing(&logs[0]).is_empty()
        });
        for (id, log) in cluster.up().into_iter().zip(&logs) {
            let missing = self.missing(log);
            assert!(missing.is_empty(), "node {id} lost {} entries: {:?}", missing.len(), first(&missing));
            self.check_log(id, log);
        }
        assert!(settled, "the logs differ: {:?}", logs.iter().map(Vec::len).collect::<Vec<_>>());
        logs.swap_remove(0)
    }

    fn check_log(&self, id: usize, log: &[Entry]) {
        assert!(log.windows(2).all(|pair| pair[0].index < pair[1].index), "node {id}: indexes rise");
        assert!(log.windows(2).all(|pair| pair[0].term <= pair[1].term), "node {id}: terms never fall");
        let mut by_text = BTreeMap::new();
        for entry in log {
            let before = by_text.insert(entry.text.as_str(), entry);
            assert_eq!(before, None, "node {id} has {entry:?} twice");
            assert!(
                !self.not_applied.contains(&entry.text),
                "node {id} has {entry:?}, said to be not applied"
            );
        }
        for (entry, _) in &self.acknowledged {
            assert_eq!(by_text.get(entry.text.as_str()), Some(&entry), "node {id}: as the answer said");
        }
    }

    /// The longest time between two acknowledgements, and between the given moment and the first one after it.
    pub(crate) fn pauses(&self, moment: Instant) -> (Duration, Duration) {
        let mut times: Vec<Instant> = self.acknowledged.iter().map(|(_, time)| *time).collect();
        times.sort_unstable();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let after = times.iter().find(|time| **time > moment).map(|time| *time - moment);
        (longest, after.expect("writes go on"))
    }
}

fn first<'a>(entries: &[&'a Entry]) -> Vec<&'a Entry> {
    entries.iter().copied().take(5).collect()
}

/// All of the log that the node at this address has.
pub(crate) fn read_log(api: &str) -> Vec<Entry> {
    let (mut log, mut next) = (Vec::new(), 1);
    for _ in 0..PAGES {
        let answer = http::get(api, &format!("/log?index={next}&limit=5000")).expect("the log can be read");
        assert_eq!(answer.status, 200, "{}", answer.json);
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        let entries = answer.json["entries"].as_array().expect("entries");
        log.extend(entries.iter().map(|entry| Entry {
            index: number(&entry["index"]),
            term: number(&entry["term"]),
            text: entry["entry"].as_str().expect("a text").to_string(),
        }));
        next = number(&answer.json["next"]);
        if next > number(&answer.json["commit"]) {
            return log;
        }
    }
    panic!("the log of {api} does not end");
}
