//! The command line of the simulator.

use clap::{Parser, Subcommand};
use raft_sim::runner::{catch_panics, run_seed};
use raft_sim::trace::Reader;
use raft_sim::world::Setup;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run {
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        trace: bool,
    },
}

fn main() {
    let Command::Run { seed, trace } = Cli::parse().command;
    catch_panics();
    let reader = if trace { Reader::Person } else { Reader::Report };
    let ran = run_seed(seed, Setup { planted: None, reader });
    println!("{}", ran.options);
    if let Some(f) = &ran.failure {
        for l in &ran.last { println!("{l}"); }
        println!("{f}");
    }
    println!("{:?} {:?} {:016x} {}", ran.counts, ran.network, ran.hash, ran.simulated);
}
