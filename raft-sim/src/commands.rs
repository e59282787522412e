//! The commands: each does what was asked for, says so, and gives the exit code.

use raft_sim::behaviour;
use raft_sim::case::Case;
use raft_sim::exhaust::Bounds;
use raft_sim::explore::{self, arguments};
use raft_sim::report::report;
use raft_sim::runner::Ran;
use raft_sim::swarm::{self, Found, Plan, Watch, rates};
use raft_sim::trace::Reader;
use raft_sim::world::Setup;
use raft_sim::{
    cover as covered, exhaust as exhausted, explain as explained, shrink as shrunk, view as viewed,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NOT_DETERMINISTIC: u8 = 15;
const COVERAGE: u8 = 20;

/// The exit code of a command, or why it can't be done.
type Done = Result<u8, String>;

/// Reads a case from its file; `honest` if what it plants is to be left out.
pub(crate) fn load(file: &Path, honest: bool) -> Result<Case, String> {
    let wrong = |why: String| format!("{}: {why}", file.display());
    let mut text = std::fs::read_to_string(file).map_err(|why| wrong(why.to_string()))?;
    if honest {
        let lines = text.lines().map(|line| if line.starts_with("planted:") { "#" } else { line });
        text = lines.collect::<Vec<_>>().join("\n");
    }
    Case::parse(&text).map_err(wrong)
}

fn save(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|why| format!("{}: {why}", file.display()))
}

fn play(case: &Case, trace: bool) -> Ran {
    let reader = if trace { Reader::Person } else { Reader::Report };
    case.play(reader, true).run(reader)
}

pub(crate) fn run(case: &Case, trace: bool, hash: bool, tape: Option<&Path>) -> Done {
    let ran = play(case, trace && !hash);
    if hash {
        println!("{:016x}", ran.hash);
        return Ok(ran.failure.map_or(0, |failure| failure.exit_code()));
    }
    let written = keep(case, &ran, tape)?;
    Ok(finish(case, &ran, written.as_deref()))
}

/// Writes the tape of a run: where it is wanted, or, of a failure, beside.
fn keep(case: &Case, ran: &Ran, wanted: Option<&Path>) -> Result<Option<PathBuf>, String> {
    let default = case.plain_seed().map_or_else(|| "forked.tape".into(), |seed| format!("{seed}.tape"));
    let path = match wanted {
        Some(path) => path.to_path_buf(),
        None if ran.failure.is_some() => PathBuf::from(default),
        None => return Ok(None),
    };
    let Some(tape) = &ran.tape else { return Ok(None) };
    let falls = ran.failure.as_ref().map(|failure| failure.invariant().to_string());
    let origin = raft_sim::case::Origin::Tape(tape.clone());
    save(&path, &Case { origin, falls, planted: case.planted, story: Vec::new() }.to_string())?;
    Ok(Some(path))
}

/// Says how a single run ended. `file`: where it can be had from.
fn finish(case: &Case, ran: &Ran, file: Option<&Path>) -> u8 {
    if let Some(failure) = &ran.failure {
        print!("{}", report(case, ran, failure, file));
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

pub(crate) fn replay(file: &Path, trace: bool, hash: bool, honest: bool) -> Done {
    let case = load(file, honest)?;
    let ran = play(&case, trace && !hash);
    if hash {
        println!("{:016x}", ran.hash);
        return Ok(ran.failure.map_or(0, |failure| failure.exit_code()));
    }
    case.story.iter().filter(|line| !line.is_empty()).for_each(|line| println!("{line}"));
    let code = finish(&case, &ran, Some(file));
    let fell = ran.failure.as_ref().map(|failure| failure.invariant());
    match case.falls.as_deref() {
        Some(falls) if fell == Some(falls) => println!("{falls} fell, as the file says"),
        Some(falls) => println!("the file says that {falls} falls; it didn't"),
        None => {}
    }
    Ok(code)
}

pub(crate) fn shrink(case: &Case, name: &str, out: &Path, effort: shrunk::Effort) -> Done {
    let name = case.plain_seed().map_or_else(|| name.to_string(), |seed| format!("seed {seed}"));
    let shrunk = shrunk::shrink(case, &name, effort)?;
    save(out, &shrunk.case.to_string())?;
    println!("{}", shrunk.said);
    shrunk.case.story.iter().for_each(|line| println!("{line}"));
    println!("{} tries; written to {}", shrunk.tries, out.display());
    print!("{}", raft_sim::report::commands(&shrunk.case, Some(out)));
    Ok(0)
}

pub(crate) fn explain(case: &Case, steps: usize) -> Done {
    print!("{}", explained::explain(case, steps).0);
    Ok(0)
}

pub(crate) fn view(case: &Case, steps: usize, out: &Path) -> Done {
    let (page, _) = viewed::view(case, steps);
    save(out, &page)?;
    println!("{}: {} bytes; open it in a browser", out.display(), page.len());
    Ok(0)
}

#[cfg(feature = "planted")]
pub(crate) fn bugs(names: &[String], effort: raft_sim::hunt::Effort, out: Option<&Path>) -> Done {
    let (mut table, mut written) = (String::new(), Ok(()));
    // Line by line: what is known stays, however the search ends.
    let all = raft_sim::hunt::hunt(names, effort, |line| {
        println!("{line}");
        table.push_str(line);
        table.push('\n');
        if let Some(out) = out {
            written = save(out, &table);
        }
    })?;
    written.map(|()| if all { 0 } else { COVERAGE })
}

fn many(plan: Plan) -> Found {
    let found = swarm::swarm(plan, Setup { planted: None, reader: Reader::Nobody });
    println!("{}", rates(&found.totals, found.took));
    found
}

pub(crate) fn swarm(plan: Plan, cover: bool) -> Done {
    let found = many(plan);
    let lines = found.totals.lines();
    for (name, total) in &lines {
        println!("{total:>12} {name}");
    }
    let (runs, late) = (found.totals.runs, found.totals.late);
    let share = late * 100_000 / runs.max(1);
    println!(
        "{late} of {runs} runs had a late leader after the healing, {}.{:03} %",
        share / 1_000,
        share % 1_000
    );
    if cover {
        print!("{}", covered::cover(&found).0);
    } else {
        let unreached: Vec<_> = found.totals.coverage.unreached().map(|mark| mark.name()).collect();
        if !unreached.is_empty() {
            println!("never reached: {}", unreached.join(", "));
        }
    }
    if let Some(code) = tell_failures(&found)? {
        return Ok(code);
    }
    let missing: Vec<_> = lines.iter().filter(|(_, total)| *total == 0).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        println!("clean");
        return Ok(0);
    }
    println!("not stormy: no {}", missing.join(", no "));
    Ok(COVERAGE)
}

pub(crate) fn cover(plan: Plan) -> Done {
    let found = many(plan);
    let (table, all) = covered::cover(&found);
    print!("{table}");
    if let Some(code) = tell_failures(&found)? {
        return Ok(code);
    }
    Ok(if all { 0 } else { COVERAGE })
}

/// Lists what fell, and reports the first failure in full, from a second run of its seed.
fn tell_failures(found: &Found) -> Result<Option<u8>, String> {
    let Some((&seed, first)) = found.failures.first_key_value() else { return Ok(None) };
    let mut by_invariant: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (seed, ran) in &found.failures {
        let name = ran.failure.as_ref().map_or("", |failure| failure.invariant());
        by_invariant.entry(name).or_default().push(seed.to_string());
    }
    for (name, seeds) in &by_invariant {
        let shown = seeds.len().min(8);
        println!("{:>12} {name}: seeds {}", seeds.len(), seeds[..shown].join(", "));
    }
    again(&Case::seed(seed), first.hash).map(Some)
}

/// A second run of a failure, with its report.
fn again(case: &Case, hash: u64) -> Done {
    let ran = play(case, false);
    if ran.hash != hash {
        return Ok(not_deterministic(case, hash, &ran));
    }
    println!();
    let written = keep(case, &ran, None)?;
    Ok(finish(case, &ran, written.as_deref()))
}

fn not_deterministic(case: &Case, first: u64, then: &Ran) -> u8 {
    println!("{}: trace {first:016x} first and {:016x} then: NOT DETERMINISTIC", arguments(case), then.hash);
    NOT_DETERMINISTIC
}

pub(crate) fn trace(seeds: Range<u64>, events: usize, mutants: usize, out: &Path) -> Done {
    let name = out.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let module = behaviour::module(name, seeds, events, mutants)
        .map_err(|(seed, why)| format!("seed {seed}: {why}"))?;
    save(out, &module)?;
    println!("{}: {} bytes", out.display(), module.len());
    Ok(0)
}

pub(crate) fn explore(plan: explore::Plan) -> Done {
    let explored = explore::explore(plan);
    print!("{}", explored.told());
    if let Some((case, hash)) = &explored.proof {
        // What is printed as a recipe must be one.
        let ran = play(case, false);
        if ran.hash != *hash {
            return Ok(not_deterministic(case, *hash, &ran));
        }
        println!("run {} gave the same trace again", arguments(case));
    }
    let Some((case, _, hash)) = explored.failures.first() else {
        println!("clean");
        return Ok(0);
    };
    println!();
    let mut by_invariant: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (case, failure, _) in &explored.failures {
        by_invariant.entry(failure.invariant()).or_default().push(arguments(case));
    }
    for (name, runs) in &by_invariant {
        println!("{:>12} {name}", runs.len());
        runs.iter().take(4).for_each(|run| println!("{:>12} run {run}", ""));
    }
    again(case, *hash)
}

/// The bounds with these names; without any the short ones, or all.
pub(crate) fn bounds(names: &[String], all: bool) -> Result<Vec<Bounds>, String> {
    let named = exhausted::named();
    let find = |name: &String| {
        let known = || named.iter().map(|bounds| bounds.name).collect::<Vec<_>>().join(", ");
        let found = named.iter().find(|bounds| bounds.name == name);
        found.cloned().ok_or_else(|| format!("no bounds are named '{name}'; there are {}", known()))
    };
    if names.is_empty() {
        return Ok(named.into_iter().filter(|bounds| all || !bounds.long).collect());
    }
    names.iter().map(find).collect()
}

pub(crate) fn exhaust(all: &[Bounds], states: u64, limit: Option<Duration>) -> Done {
    let mut code = 0;
    for bounds in all {
        println!("{}: {bounds}", bounds.name);
        let watch = Watch::new(limit);
        let found = exhausted::search(bounds, states, |so_far| {
            watch.say(format!("{}: {so_far}", bounds.name));
            !watch.over()
        });
        watch.clear();
        let verdict = match &found.fall {
            Some(_) => "not all are safe",
            None if found.complete => "all are safe",
            None => "not complete",
        };
        println!("  {found}; {:.1} s: {verdict}", watch.took().as_secs_f64());
        if let Some(fall) = &found.fall {
            println!("  {} fell: {}\n{}", fall.invariant, fall.said, fall.path);
            return Ok(fall.class.exit_code());
        }
        code = if found.complete { code } else { COVERAGE };
    }
    Ok(code)
}
