//! The search for planted bugs, as a person sees it: a table of what fell, how many seeds it took, how much simulated time
//! and how many events.

use crate::planted::{Exposed, Row, Search, TABLE, search};
use crate::swarm::in_order;
use std::collections::BTreeMap;

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Searches a bug, on disjoint seeds: the first from seed 0 on, each later one from where the one before gives up.
    pub searches: u64,
    /// Seeds a search gives up after.
    pub seeds: u64,
    /// Searches at once.
    pub jobs: usize,
}

/// Searches for the bugs of these names, or for all, and tells the lines of the table as they are known. Whether each was
/// found in every search.
///
/// # Errors
/// A name that is in no row of the table.
pub fn hunt(names: &[String], effort: Effort, mut tell: impl FnMut(&str) + Send) -> Result<bool, String> {
    let known = |name: &str| TABLE.iter().find(|row| row.planted.name() == name);
    if let Some(unknown) = names.iter().find(|name| known(name).is_none()) {
        let all: Vec<String> = TABLE.iter().map(|row| row.planted.name()).collect();
        return Err(format!("no bug is named '{unknown}'; there are {}", all.join(", ")));
    }
    let Effort { searches, seeds, jobs } = effort;
    let rows = TABLE.iter().filter(|row| names.is_empty() || names.contains(&row.planted.name()));
    let items: Vec<(&Row, u64)> =
        rows.flat_map(|row| (0..searches).map(move |number| (row, number))).collect();
    tell(&format!("{searches} searches a bug, on disjoint seeds, each given up after {seeds} seeds"));
    tell(&line(["bug", "exposed by", "found", "median seeds", "median seconds", "median events", "a seed"]));
    let (mut all, mut found) = (true, Vec::new());
    in_order(
        &items,
        jobs,
        |(row, number)| search(row, number * seeds, seeds),
        |(row, number), search| {
            found.push(search);
            if number + 1 == searches {
                all &= tell_row(row, &std::mem::take(&mut found), &mut tell);
            }
        },
    );
    Ok(all)
}

fn line(columns: [&str; 7]) -> String {
    let [bug, exposed_by, found, seeds, seconds, events, seed] = columns;
    format!("{bug:<26} {exposed_by:<24} {found:>8} {seeds:>13} {seconds:>15} {events:>14}  {seed}")
}

fn tell_row(row: &Row, searches: &[Search], mut tell: impl FnMut(&str)) -> bool {
    let exposed: Vec<&Exposed> = searches.iter().filter_map(|search| search.exposed.as_ref()).collect();
    let mut fell: Vec<&str> = exposed.iter().map(|exposed| exposed.failure.invariant()).collect();
    fell.sort_unstable();
    fell.dedup();
    // A search that found nothing took longer than any that did.
    let median = |of: fn(&Exposed) -> u64, say: fn(u64) -> String| {
        let mut all: Vec<u64> = exposed.iter().map(|exposed| of(exposed)).collect();
        all.sort_unstable();
        all.get((searches.len() - 1) / 2).map_or("-".into(), |median| say(*median))
    };
    tell(&line([
        &row.planted.name(),
        &fell.join(" "),
        &format!("{} of {}", exposed.len(), searches.len()),
        &median(|exposed| exposed.seeds, |seeds| seeds.to_string()),
        &median(|exposed| exposed.simulated, |time| format!("{:.1}", time as f64 / 1e6)),
        &median(|exposed| exposed.inputs, |inputs| inputs.to_string()),
        &exposed.iter().min_by_key(|it| it.seeds).map_or("-".into(), |it| it.seed.to_string()),
    ]));
    let mut others: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (name, seed) in searches.iter().flat_map(|search| &search.others) {
        others.entry(name).or_insert((0, *seed)).0 += 1;
    }
    for (name, (times, seed)) in others {
        tell(&format!("    {name} fell instead {times} times, first with seed {seed}"));
    }
    exposed.len() == searches.len()
}
