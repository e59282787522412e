//! The command line.

mod admin;
mod asking;
mod backup;
mod bench;
mod data;
mod logging;
mod offline;
mod settings;
mod status;
mod table;

use crate::exit::{Code, Exit};
use crate::{local, start};
use asking::Asking;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use settings::NodeFlags;
use std::path::PathBuf;

/// A Raft cluster over HTTP. `httpraft local` runs one on this machine at once; `httpraft <ID>` runs one node of the
/// cluster in the config file.
#[derive(Parser)]
#[command(name = "httpraft", version, args_conflicts_with_subcommands = true)]
struct Cli {
    /// Run this node: the index into both lists of the config file
    #[arg(allow_negative_numbers = true)]
    id: Option<String>,
    #[command(flatten)]
    flags: NodeFlags,
    #[command(subcommand)]
    command: Option<Command>,
    /// What to log, like "info" or "raft_http=debug"; RUST_LOG does the same
    #[arg(long, global = true, value_name = "FILTER", env = "HTTPRAFT_LOG")]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole cluster in this process, on loopback ports, its data in a directory
    Local {
        /// How many nodes a new cluster gets; 3 if not given
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: Option<u8>,
        /// Where the cluster's data is kept
        #[arg(long, value_name = "DIR", default_value = "httpraft-data/local")]
        data_dir: PathBuf,
    },
    #[command(flatten)]
    Data(data::Data),
    /// Show every node by its own word
    #[command(after_help = "Example: httpraft status --watch --endpoints localhost:9000")]
    Status {
        #[command(flatten)]
        asking: Asking,
        /// Look again every second, until Ctrl-C
        #[arg(short, long)]
        watch: bool,
    },
    /// List and change the members of a running cluster
    Member {
        #[command(flatten)]
        asking: Asking,
        #[command(subcommand)]
        command: admin::Member,
    },
    /// Say who leads, or hand leadership over
    #[command(after_help = "Example: httpraft leader --endpoints localhost:9000")]
    Leader {
        #[command(flatten)]
        asking: Asking,
        #[command(subcommand)]
        command: Option<admin::Leadership>,
    },
    /// Have each endpoint take a snapshot now, and forget the log that it covers
    #[command(after_help = "Example: httpraft snapshot --endpoints localhost:9000,localhost:9001")]
    Snapshot {
        #[command(flatten)]
        asking: Asking,
    },
    /// Copy the whole state into a file, consistent and verified
    #[command(after_help = "Example: httpraft backup monday.snap --endpoints localhost:9000")]
    Backup {
        #[command(flatten)]
        asking: Asking,
        /// The file
        file: PathBuf,
    },
    /// Make the data directory of a new cluster's first node out of a backup, while no node runs
    #[command(after_help = "Example: httpraft restore monday.snap 0 --data-dir new/node-0")]
    Restore {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        place: offline::Place,
    },
    /// Make a node that is left a new cluster of its own, after most others were lost for good
    #[command(after_help = "Example: httpraft recover 0 --yes")]
    Recover {
        #[command(flatten)]
        place: offline::Place,
        /// It is understood what may be lost
        #[arg(long)]
        yes: bool,
    },
    /// Look at the log of a node that does not run
    Wal {
        #[command(subcommand)]
        command: offline::Wal,
    },
    /// Put load on a cluster, and print rates, latencies and errors
    #[command(after_help = "Example: httpraft bench --operation append -c 16 --endpoints localhost:9000")]
    Bench(Box<bench::Bench>),
    /// Print what lets a shell complete these commands
    #[command(after_help = "Example: httpraft completion bash > /etc/bash_completion.d/httpraft")]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print settings
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Print the version
    Version,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the settings that a node would run with, as a config file
    Show {
        /// The node
        #[arg(default_value = "0", allow_negative_numbers = true)]
        id: String,
        #[command(flatten)]
        flags: Box<NodeFlags>,
    },
    /// Print a config file for three nodes on this machine
    Example,
}

/// Runs the command line of this process to its end.
pub fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are errors to clap, too, and go to standard output.
        Err(error) => {
            let code = if error.use_stderr() { Code::Usage } else { Code::Ok };
            return match error.print() {
                Ok(()) => Exit { code, line: String::new() },
                Err(error) => Exit::new(Code::Io, error),
            };
        }
    };
    dispatch(cli).unwrap_or_else(|exit| exit)
}

fn dispatch(cli: Cli) -> Result<Exit, Exit> {
    logging::init(cli.log.as_deref())?;
    match cli.command {
        None => match cli.id {
            Some(id) => start::run(cli.flags.config(&id)?),
            None => {
                let help = Cli::command().render_help();
                Err(Exit { code: Code::Usage, line: format!("which node?\n\n{help}") })
            }
        },

        Some(Command::Local { nodes, data_dir }) => local::run(nodes.map(usize::from), &data_dir),
        Some(Command::Data(command)) => data::run(command),
        Some(Command::Status { asking, watch }) => status::run(&asking, watch),
        Some(Command::Member { asking, command }) => admin::member(&asking, command),
        Some(Command::Leader { asking, command }) => admin::leader(&asking, command),
        Some(Command::Snapshot { asking }) => admin::snapshot(&asking),
        Some(Command::Backup { asking, file }) => backup::run(&asking, &file),
        Some(Command::Restore { file, place }) => offline::restore(&file, place),
        Some(Command::Recover { place, yes }) => offline::recover(place, yes),
        Some(Command::Wal { command }) => offline::wal(command),
        Some(Command::Bench(load)) => bench::run(*load),
        Some(Command::Completion { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "httpraft", &mut script);
            out(&script)
        }
        Some(Command::Config { what: ConfigCommand::Show { id, flags } }) => {
            print(&format!("{:#}", flags.config(&id)?.to_json()))
        }
        Some(Command::Config { what: ConfigCommand::Example }) => print(settings::EXAMPLE),
        Some(Command::Version) => print(concat!("httpraft ", env!("CARGO_PKG_VERSION"))),
    }
}

/// Prints lines on standard output.
fn print(text: &str) -> Result<Exit, Exit> {
    out(format!("{text}\n").as_bytes())
}

/// Writes bytes to standard output; somebody who closed it is an error, not a panic.
fn out(bytes: &[u8]) -> Result<Exit, Exit> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Exit::new(Code::Io, error))?;
    Ok(Exit::ok())
}
