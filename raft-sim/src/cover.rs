//! Which rare states a swarm reached, how often, and which seed did so first.

use crate::coverage::Mark;
use crate::swarm::Found;
use std::fmt::Write;

/// The marks as a table, those that were never reached first. Whether all that are owed were reached.
pub fn cover(found: &Found) -> (String, bool) {
    let mut out = format!("{:>12} {:>10}  mark\n", "times", "first seed");
    let mut rows: Vec<(Mark, u64)> = found.totals.coverage.iter().collect();
    rows.sort_by_key(|(_, count)| *count);
    for (mark, count) in rows {
        let first = found.firsts.get(&mark).map_or("-".into(), u64::to_string);
        let free = if mark.is_owed() { "" } else { " (not owed)" };
        writeln!(out, "{count:>12} {first:>10}  {}{free}", mark.name()).expect("a string takes any text");
    }
    let missed: Vec<_> = found.totals.coverage.unreached().map(Mark::name).collect();
    if missed.is_empty() {
        out += "every mark that is owed was reached\n";
    } else {
        writeln!(out, "never reached, though owed: {}", missed.join(", ")).expect("a string takes any text");
    }
    (out, missed.is_empty())
}
