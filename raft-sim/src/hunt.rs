//! The search for planted bugs, as a person sees it: a table of what fell and how many seeds it took.

use crate::planted::{Exposed, Row, Search, TABLE};
use crate::swarm::searches;
use std::collections::BTreeMap;

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Searches a bug, on disjoint seeds.
    pub searches: u64,
    /// Seeds a search gives up after.
    pub seeds: u64,
    /// Searches at once.
    pub jobs: usize,
}

/// Searches for the bugs of these names, or for all. Whether each was found in every search.
///
/// # Errors
/// A name that is in no row of the table.
pub fn hunt(names: &[String], effort: Effort) -> Result<bool, String> {
    let known = |name: &str| TABLE.iter().find(|row| row.planted.name() == name);
    if let Some(unknown) = names.iter().find(|name| known(name).is_none()) {
        let all: Vec<String> = TABLE.iter().map(|row| row.planted.name()).collect();
        return Err(format!("no bug is named '{unknown}'; there are {}", all.join(", ")));
    }
    println!(
        "{:<24} {:<22} {:>9} {:>13} {:>7}  a seed that exposes it",
        "bug", "exposed by", "found", "median seeds", "events"
    );
    let mut all = true;
    for row in TABLE.iter().filter(|row| names.is_empty() || names.contains(&row.planted.name())) {
        let found = searches(row, effort.searches, effort.seeds, effort.jobs);
        all &= tell(row, &found);
    }
    Ok(all)
}

fn tell(row: &Row, searches: &[Search]) -> bool {
    let mut exposed: Vec<&Exposed> = searches.iter().filter_map(|search| search.exposed.as_ref()).collect();
    exposed.sort_by_key(|exposed| exposed.seeds);
    let mut fell: Vec<&str> = exposed.iter().map(|exposed| exposed.failure.invariant()).collect();
    fell.sort_unstable();
    fell.dedup();
    let median = |of: fn(&Exposed) -> u64| {
        let mut all: Vec<u64> = exposed.iter().map(|exposed| of(exposed)).collect();
        all.sort_unstable();
        all.get(all.len() / 2).map_or("-".into(), u64::to_string)
    };
    println!(
        "{:<24} {:<22} {:>9} {:>13} {:>7}  {}",
        row.planted.name(),
        fell.join(" "),
        format!("{} of {}", exposed.len(), searches.len()),
        median(|exposed| exposed.seeds),
        median(|exposed| exposed.inputs),
        exposed.first().map_or(String::new(), |first| first.seed.to_string())
    );
    let mut others: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (name, seed) in searches.iter().flat_map(|search| &search.others) {
        others.entry(name).or_insert((0, *seed)).0 += 1;
    }
    for (name, (times, seed)) in others {
        println!("    {name} fell instead {times} times, first with seed {seed}");
    }
    exposed.len() == searches.len()
}
