//! The command line of the simulator. Exit codes: 0 clean, 2 usage, 10 safety, 11 linearizability, 12 liveness,
//! 13 durability, 14 bounds, 15 not deterministic, 16 panic, 20 a coverage goal missed.

use clap::{Parser, Subcommand};
use raft_sim::choices::Source;
#[cfg(feature = "planted")]
use raft_sim::hunt::{Effort, hunt};
use raft_sim::report::report;
use raft_sim::runner::{Ran, catch_panics, run, run_seed};
use raft_sim::swarm::{Found, Plan, cores, rates, swarm};
use raft_sim::tape::{Player, Tape};
use raft_sim::trace::Reader;
use raft_sim::world::Setup;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: u8 = 2;
const NOT_DETERMINISTIC: u8 = 15;
const COVERAGE: u8 = 20;

/// A deterministic simulator of Raft clusters: a seed is a whole run.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed and prints what it drew and what became of it.
    Run {
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// Print every step.
        #[arg(long)]
        trace: bool,
        /// Print only the hash of the trace.
        #[arg(long)]
        hash: bool,
        /// Write the tape of the run to this file.
        #[arg(long)]
        tape: Option<PathBuf>,
    },
    /// Runs many seeds on all cores.
    Swarm {
        /// Which seeds: `A..B`, without B.
        #[arg(long, value_parser = seeds, default_value = "0..1000")]
        seeds: (u64, u64),
        /// Run for so long instead, from the first seed on.
        #[arg(long)]
        minutes: Option<f64>,
        /// Runs at once; by default one a core.
        #[arg(long)]
        jobs: Option<usize>,
        /// Go on after a failure, and list all of them.
        #[arg(long)]
        keep_going: bool,
        /// List the rare states that were reached, and those that were not.
        #[arg(long)]
        cover: bool,
    },
    /// Runs a recorded tape again.
    Replay {
        /// The tape.
        file: PathBuf,
        /// Print every step.
        #[arg(long)]
        trace: bool,
    },
    /// Plants bugs and counts the seeds until the swarm finds them.
    #[cfg(feature = "planted")]
    Bugs {
        /// Which; all if none is named.
        names: Vec<String>,
        /// All of them.
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// Searches a bug, on disjoint seeds.
        #[arg(long, default_value_t = 1)]
        searches: u64,
        /// Seeds after which a search gives up.
        #[arg(long, default_value_t = 500)]
        seeds: u64,
        /// Searches at once; by default one a core.
        #[arg(long)]
        jobs: Option<usize>,
    },
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let range = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    range.filter(|(a, b)| a < b).ok_or_else(|| "expected A..B with A below B".into())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    catch_panics();
    ExitCode::from(match cli.command {
        Command::Run { seed, trace, hash, tape } => run_one(seed, trace, hash, tape.as_deref()),
        Command::Swarm { seeds: (first, end), minutes, jobs, keep_going, cover } => {
            let limit = minutes.map(|minutes| Duration::from_secs_f64(minutes.max(0.0) * 60.0));
            let end = if limit.is_some() { u64::MAX } else { end };
            let plan = Plan { first, end, limit, jobs: jobs.unwrap_or_else(cores), keep_going };
            run_many(plan, cover)
        }
        Command::Replay { file, trace } => replay(&file, trace),
        #[cfg(feature = "planted")]
        Command::Bugs { names, all, searches, seeds, jobs } => {
            if names.is_empty() && !all {
                eprintln!("raft-sim: name a bug, or say --all");
                return ExitCode::from(USAGE);
            }
            hunt_for(&names, Effort { searches, seeds, jobs: jobs.unwrap_or_else(cores) })
        }
    })
}

fn setup(trace: bool) -> Setup {
    Setup { planted: None, reader: if trace { Reader::Person } else { Reader::Report } }
}

fn run_one(seed: u64, trace: bool, hash: bool, tape: Option<&Path>) -> u8 {
    let ran = run_seed(seed, setup(trace));
    if hash {
        println!("{:016x}", ran.hash);
        return ran.failure.map_or(0, |failure| failure.exit_code());
    }
    finish(&ran, Some(seed), tape)
}

/// Says how a single run ended.
fn finish(ran: &Ran, seed: Option<u64>, wanted: Option<&Path>) -> u8 {
    let default = seed.filter(|_| ran.failure.is_some()).map(|seed| PathBuf::from(format!("{seed}.tape")));
    let path = wanted.or(default.as_deref());
    let written = match (path, &ran.tape) {
        (Some(path), Some(tape)) => match std::fs::write(path, tape.to_string()) {
            Ok(()) => Some(path),
            Err(why) => {
                eprintln!("raft-sim: {}: {why}", path.display());
                None
            }
        },
        _ => None,
    };
    if let Some(failure) = &ran.failure {
        print!("{}", report(ran, failure, seed, None, written));
        return failure.exit_code();
    }
    println!("{}", ran.options);
    println!(
        "clean: {} inputs in {:.3} s of simulated time, trace {:016x}",
        ran.counts.inputs,
        ran.simulated as f64 / 1e6,
        ran.hash
    );
    0
}

fn replay(file: &Path, trace: bool) -> u8 {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(why) => {
            eprintln!("raft-sim: {}: {why}", file.display());
            return USAGE;
        }
    };
    match Tape::parse(&text) {
        Ok(tape) => finish(&run(Source::Tape(Player::new(tape)), setup(trace)), None, None),
        Err(why) => {
            eprintln!("raft-sim: {}: {why}", file.display());
            USAGE
        }
    }
}

#[cfg(feature = "planted")]
fn hunt_for(names: &[String], effort: Effort) -> u8 {
    match hunt(names, effort) {
        Ok(true) => 0,
        Ok(false) => COVERAGE,
        Err(why) => {
            eprintln!("raft-sim: {why}");
            USAGE
        }
    }
}

fn run_many(plan: Plan, cover: bool) -> u8 {
    let found = swarm(plan, Setup { planted: None, reader: Reader::Nobody });
    println!("{}", rates(&found.totals, found.took));
    let lines = found.totals.lines();
    for (name, total) in &lines {
        println!("{total:>12} {name}");
    }
    if cover {
        for (mark, count) in found.totals.coverage.iter() {
            println!("{count:>12} {}", mark.name());
        }
    }
    let unreached: Vec<_> = found.totals.coverage.unreached().map(|mark| mark.name()).collect();
    if !unreached.is_empty() {
        println!("never reached: {}", unreached.join(", "));
    }
    if let Some(code) = tell_failures(&found) {
        return code;
    }
    let missing: Vec<_> = lines.iter().filter(|(_, total)| *total == 0).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        println!("clean");
        return 0;
    }
    println!("not stormy: no {}", missing.join(", no "));
    COVERAGE
}

/// Lists what fell, and reports the first failure in full, from a second run of its seed.
fn tell_failures(found: &Found) -> Option<u8> {
    let (&seed, first) = found.failures.first_key_value()?;
    let mut by_invariant: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (seed, ran) in &found.failures {
        let name = ran.failure.as_ref().map_or("", |failure| failure.invariant());
        by_invariant.entry(name).or_default().push(*seed);
    }
    for (name, seeds) in &by_invariant {
        let shown: Vec<_> = seeds.iter().take(8).map(ToString::to_string).collect();
        println!("{:>12} {name}: seeds {}", seeds.len(), shown.join(", "));
    }
    let again = run_seed(seed, setup(false));
    if again.hash != first.hash {
        println!(
            "seed {seed} gave trace {:016x} first and {:016x} then: NOT DETERMINISTIC",
            first.hash, again.hash
        );
        return Some(NOT_DETERMINISTIC);
    }
    println!();
    Some(finish(&again, Some(seed), None))
}
