//! What a person sees of a failure: one screen with all that is needed to see it again.

use crate::case::{Case, Origin};
use crate::runner::{Failure, Ran};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// How many of the last steps are shown.
const SHOWN: usize = 16;

/// The report of a failed run. `file`: where it can be had from, if it was written or read.
pub fn report(case: &Case, ran: &Ran, failure: &Failure, file: Option<&Path>) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a string takes any text");
    line(format_args!("FAILED: {} (exit code {})", failure.invariant(), failure.exit_code()));
    line(format_args!("{failure}"));
    line(format_args!(""));
    let what = match &case.origin {
        Origin::Recipe { seed, forks } if forks.is_empty() => format!("seed {seed}, "),
        Origin::Recipe { seed, forks } => format!("seed {seed} with {} forks, ", forks.len()),
        Origin::Tape(_) => String::new(),
    };
    line(format_args!("{what}commit {}, trace {:016x}", commit(), ran.hash));
    if let Some(planted) = case.planted {
        line(format_args!("planted: {}", planted.name()));
    }
    line(format_args!("{}", ran.options));
    line(format_args!(""));
    line(format_args!("the last of {} inputs, at {} us:", ran.counts.inputs, ran.simulated));
    for step in ran.last.iter().skip(ran.last.len().saturating_sub(SHOWN)) {
        line(format_args!("{step}"));
    }
    line(format_args!(""));
    out + &commands(case, file)
}

/// The commands that show this run again.
pub fn commands(case: &Case, file: Option<&Path>) -> String {
    let features =
        if case.planted.is_some() { " --features planted --target-dir target/planted" } else { "" };
    let program = format!("cargo run --profile sim -p raft-sim{features} --");
    let file = file.map(|path| path.display().to_string());
    let bug = case.planted.map_or(String::new(), |planted| format!(" --planted {}", planted.name()));
    let seed = case.plain_seed().map(|seed| format!("--seed {seed}{bug}"));
    let Some(which) = seed.clone().or_else(|| file.clone()) else { return String::new() };
    let stem = case.plain_seed().map_or_else(|| "run".into(), |seed| seed.to_string());
    let mut lines = Vec::new();
    if let Some(seed) = &seed {
        lines.push(format!("run again:   {program} run {seed} --trace"));
    }
    if let Some(file) = &file {
        lines.push(format!("replay:      {program} replay {file}"));
    }
    lines.push(format!("shrink:      {program} shrink {which} --out {stem}.shrunk"));
    lines.push(format!("explain:     {program} explain {which}"));
    lines.push(format!("view:        {program} view {which} -o {stem}.html"));
    lines.join("\n") + "\n"
}

/// The commit that is checked out: with the seed, all that a run depends on.
pub(crate) fn commit() -> String {
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let said = git.ok().filter(|output| output.status.success());
    let name = said.and_then(|output| String::from_utf8(output.stdout).ok());
    name.map_or_else(|| "unknown".into(), |name| name.trim().to_string())
}
