//! The command line of the simulator. Exit codes: 0 clean, 2 usage, 10 safety, 11 linearizability, 12 liveness,
//! 13 durability, 14 bounds, 15 not deterministic, 16 panic, 20 a coverage goal missed.

mod commands;

use clap::{Args, Parser, Subcommand};
use raft_sim::case::{Case, Fork, Origin};
use raft_sim::runner::catch_panics;
use raft_sim::swarm::{Plan, cores};
#[cfg(feature = "planted")]
use raft_sim::{exhaust::Bounds, hunt::Effort, planted::Planted};
use raft_sim::{explore, shrink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: u8 = 2;

/// A deterministic simulator of Raft clusters: a seed is a whole run.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 clean, 2 usage, 10 safety, 11 linearizability, 12 liveness, \
    13 durability, 14 bounds, 15 not deterministic, 16 panic, 20 a coverage goal missed."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed and prints what it drew and what became of it.
    Run {
        #[command(flatten)]
        seed: Seed,
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
        #[command(flatten)]
        many: Many,
        /// Go on after a failure, and list all of them.
        #[arg(long)]
        keep_going: bool,
        /// List the rare states that were reached, and those that were not.
        #[arg(long)]
        cover: bool,
    },
    /// Runs many seeds and lists the rare states: how often each was reached, and by which seed first.
    ///
    /// Exit code 20 if one that every large swarm must reach never was.
    Cover {
        #[command(flatten)]
        many: Many,
    },
    /// Runs a file again: a tape, a shrunk failure, or a recipe of an exploration.
    Replay {
        /// The file.
        file: PathBuf,
        /// Print every step.
        #[arg(long)]
        trace: bool,
        /// Print only the hash of the trace.
        #[arg(long)]
        hash: bool,
        /// Without the bug that the file plants.
        #[arg(long)]
        honest: bool,
    },
    /// Makes a failing run the smallest that still fails by the same invariant.
    ///
    /// It is written to a file that `replay` takes. The result depends on the run and the tries alone, unless the minutes
    /// run out first.
    Shrink {
        #[command(flatten)]
        which: Which,
        /// Where to; by default the seed or file with the ending `.shrunk`.
        #[arg(long, short)]
        out: Option<PathBuf>,
        /// Smaller runs to try at most.
        #[arg(long, default_value_t = 4_000)]
        tries: u64,
        /// Stop after so long.
        #[arg(long)]
        minutes: Option<f64>,
        /// Runs at once; by default one a core.
        #[arg(long)]
        jobs: Option<usize>,
    },
    /// Shows the end of a run: its last steps, the facts that contradict each other, and all nodes.
    ///
    /// The steps are in the notation of the golden scenarios.
    Explain {
        #[command(flatten)]
        which: Which,
        /// How many steps.
        #[arg(long, default_value_t = 40)]
        steps: usize,
    },
    /// Draws the end of a run as one self-contained page.
    ///
    /// It has a lane for each node with its roles and terms, the messages, the faults, and the logs at each step.
    View {
        #[command(flatten)]
        which: Which,
        /// The page.
        #[arg(long, short)]
        out: PathBuf,
        /// How many steps.
        #[arg(long, default_value_t = 2_000)]
        steps: usize,
    },
    /// Writes the beginnings of runs as a TLA+ module, for the specification to follow (docs/spec.md).
    Trace {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// How many runs.
        #[arg(long, default_value_t = 1)]
        runs: u64,
        /// How many events of each.
        #[arg(long, default_value_t = 500)]
        events: usize,
        /// How often each is also changed, somewhere and somehow: none of these may be followed.
        #[arg(long, default_value_t = 0)]
        mutants: usize,
        /// The module; its name is the module's.
        #[arg(long, short)]
        out: PathBuf,
    },
    /// Runs seeds, forks the world where a rare state is reached, and spends more on what follows there.
    ///
    /// Then a plain swarm has as many inputs, and what each of them reached is compared.
    Explore {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// How many runs.
        #[arg(long, required_unless_present = "minutes")]
        runs: Option<u64>,
        /// For how long, the plain swarm included.
        #[arg(long, conflicts_with = "runs")]
        minutes: Option<f64>,
        /// Runs at once; by default one a core.
        #[arg(long)]
        jobs: Option<usize>,
    },
    /// Looks at every interleaving within small bounds.
    ///
    /// Prints the bounds, the states, and if an invariant falls the shortest way there. Exit code 20 if the search was not
    /// complete.
    Exhaust {
        /// Which bounds; those that take seconds if none is named.
        bounds: Vec<String>,
        /// All bounds: minutes, and half a gigabyte.
        #[arg(long, conflicts_with = "bounds")]
        all: bool,
        /// Give up after so many states.
        #[arg(long, default_value_t = 60_000_000)]
        states: u64,
        /// Give up after so long.
        #[arg(long)]
        minutes: Option<f64>,
        /// A bug to plant.
        #[cfg(feature = "planted")]
        #[arg(long, value_name = "BUG")]
        planted: Option<String>,
    },
    /// Plants bugs and counts the seeds, the simulated time and the events until the swarm finds them.
    ///
    /// A bug is found if an invariant falls that its row of the table names, on a seed that is clean without it. Exit code
    /// 20 if one was not found in every search.
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
        /// Write the table to this file, too.
        #[arg(long, short)]
        out: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Seed {
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// From this step on take choices from another stream, as `explore` prints it; may be given more than once.
    #[arg(long, value_name = "STEP:STREAM", value_parser = fork)]
    fork: Vec<Fork>,
    /// A bug to plant.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "BUG")]
    planted: Option<String>,
}

#[derive(Args)]
struct Which {
    /// The seed.
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    seed: Option<u64>,
    /// .. or a file: a tape, a shrunk failure, or a recipe.
    file: Option<PathBuf>,
    /// See `run`.
    #[arg(long, value_name = "STEP:STREAM", value_parser = fork, requires = "seed")]
    fork: Vec<Fork>,
    /// A bug to plant.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "BUG")]
    planted: Option<String>,
}

#[derive(Args)]
struct Many {
    /// Which seeds: `A..B`, without B.
    #[arg(long, value_parser = seeds, default_value = "0..1000")]
    seeds: (u64, u64),
    /// Run for so long instead, from the first seed on.
    #[arg(long)]
    minutes: Option<f64>,
    /// Runs at once; by default one a core.
    #[arg(long)]
    jobs: Option<usize>,
}

impl Many {
    fn plan(&self, keep_going: bool) -> Plan {
        let limit = self.minutes.map(time);
        let end = if limit.is_some() { u64::MAX } else { self.seeds.1 };
        let jobs = self.jobs.unwrap_or_else(cores);
        Plan { first: self.seeds.0, end, limit, jobs, keep_going }
    }
}

impl Seed {
    fn case(self) -> Result<Case, String> {
        let case = Case::of(Origin::Recipe { seed: self.seed, forks: self.fork });
        #[cfg(feature = "planted")]
        let case = plant(case, self.planted.as_deref())?;
        Ok(case)
    }
}

impl Which {
    /// The case, and what to call it.
    fn case(self) -> Result<(Case, String), String> {
        let (case, name) = match (self.file, self.seed) {
            (Some(file), _) => (commands::load(&file, false)?, file.display().to_string()),
            (None, seed) => {
                let seed = seed.unwrap_or_default();
                let name = if self.fork.is_empty() { format!("{seed}") } else { format!("{seed}-forked") };
                (Case::of(Origin::Recipe { seed, forks: self.fork }), name)
            }
        };
        #[cfg(feature = "planted")]
        let case = plant(case, self.planted.as_deref())?;
        Ok((case, name))
    }
}

#[cfg(feature = "planted")]
fn plant(case: Case, name: Option<&str>) -> Result<Case, String> {
    let Some(name) = name else { return Ok(case) };
    Ok(Case { planted: Some(raft_sim::case::planted(name)?), ..case })
}

#[cfg(feature = "planted")]
fn plant_all(bounds: Vec<Bounds>, name: Option<&str>) -> Result<Vec<Bounds>, String> {
    let Some(name) = name else { return Ok(bounds) };
    let Planted::Core(bug) = raft_sim::case::planted(name)? else {
        return Err(format!("{name} is a driver's, and here there is no driver"));
    };
    bounds.into_iter().map(|bounds| bounds.planted(bug)).collect()
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let range = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    range.filter(|(a, b)| a < b).ok_or_else(|| "expected A..B with A below B".into())
}

fn fork(text: &str) -> Result<Fork, String> {
    let numbers = text.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.map(|(step, stream)| Fork { step, stream }).ok_or_else(|| "expected STEP:STREAM".into())
}

fn time(minutes: f64) -> Duration {
    Duration::try_from_secs_f64(minutes.max(0.0) * 60.0).unwrap_or(Duration::MAX / 4)
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    catch_panics();
    match obey(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("raft-sim: {why}");
            ExitCode::from(USAGE)
        }
    }
}

/// The exit code, or what is wrong with what was asked for.
fn obey(command: Command) -> Result<u8, String> {
    match command {
        Command::Run { seed, trace, hash, tape } => {
            let case = seed.case()?;
            commands::run(&case, trace, hash, tape.as_deref())
        }
        Command::Swarm { many, keep_going, cover } => commands::swarm(many.plan(keep_going), cover),
        Command::Cover { many } => commands::cover(many.plan(true)),
        Command::Replay { file, trace, hash, honest } => commands::replay(&file, trace, hash, honest),
        Command::Shrink { which, out, tries, minutes, jobs } => {
            let (case, name) = which.case()?;
            let out = out.unwrap_or_else(|| Path::new(&name).with_extension("shrunk"));
            let effort = shrink::Effort { tries, limit: minutes.map(time), jobs: jobs.unwrap_or_else(cores) };
            commands::shrink(&case, &name, &out, effort)
        }
        Command::Explain { which, steps } => commands::explain(&which.case()?.0, steps),
        Command::View { which, out, steps } => commands::view(&which.case()?.0, steps, &out),
        Command::Trace { seed, runs, events, mutants, out } => {
            commands::trace(seed..seed.saturating_add(runs), events, mutants, &out)
        }
        Command::Explore { seed, runs, minutes, jobs } => commands::explore(explore::Plan {
            first: seed,
            runs: runs.unwrap_or(u64::MAX),
            limit: minutes.map(time),
            jobs: jobs.unwrap_or_else(cores),
        }),
        Command::Exhaust {
            bounds,
            all,
            states,
            minutes,
            #[cfg(feature = "planted")]
            planted,
        } => {
            let chosen = commands::bounds(&bounds, all)?;
            #[cfg(feature = "planted")]
            let chosen = plant_all(chosen, planted.as_deref())?;
            commands::exhaust(&chosen, states, minutes.map(time))
        }
        #[cfg(feature = "planted")]
        Command::Bugs { names, all, searches, seeds, jobs, out } => {
            if names.is_empty() && !all {
                return Err("name a bug, or say --all".into());
            }
            let effort = Effort { searches: searches.max(1), seeds, jobs: jobs.unwrap_or_else(cores) };
            commands::bugs(&names, effort, out.as_deref())
        }
    }
}
