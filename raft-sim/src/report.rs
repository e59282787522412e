//! What a person sees of a failure: one screen with all that is needed to see it again.

use crate::planted::Planted;
use crate::runner::{Failure, Ran};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// How many of the last steps are shown.
const SHOWN: usize = 16;

/// The report of a failed run. `seed`: if it came of one; `tape`: where its tape was written.
pub fn report(
    ran: &Ran,
    failure: &Failure,
    seed: Option<u64>,
    planted: Option<Planted>,
    tape: Option<&Path>,
) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a string takes any text");
    line(format_args!("FAILED: {} (exit code {})", failure.invariant(), failure.exit_code()));
    line(format_args!("{failure}"));
    line(format_args!(""));
    if let Some(seed) = seed {
        line(format_args!("seed {seed}, commit {}, trace {:016x}", commit(), ran.hash));
    } else {
        line(format_args!("commit {}, trace {:016x}", commit(), ran.hash));
    }
    if let Some(planted) = planted {
        line(format_args!("planted: {planted:?}"));
    }
    line(format_args!("{}", ran.options));
    line(format_args!(""));
    line(format_args!("the last of {} inputs, at {} us:", ran.counts.inputs, ran.simulated));
    for step in ran.last.iter().skip(ran.last.len().saturating_sub(SHOWN)) {
        line(format_args!("{step}"));
    }
    line(format_args!(""));
    if let (Some(seed), None) = (seed, planted) {
        line(format_args!("run again:   cargo run --profile sim -p raft-sim -- run --seed {seed} --trace"));
    }
    if let Some(tape) = tape {
        line(format_args!("replay:      cargo run --profile sim -p raft-sim -- replay {}", tape.display()));
    }
    out
}

/// The commit that is checked out: with the seed, all that a run depends on.
fn commit() -> String {
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let said = git.ok().filter(|output| output.status.success());
    let name = said.and_then(|output| String::from_utf8(output.stdout).ok());
    name.map_or_else(|| "unknown".into(), |name| name.trim().to_string())
}
