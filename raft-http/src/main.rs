//! `httpraft`: a Raft cluster over HTTP.

use std::process::ExitCode;

fn main() -> ExitCode {
    let exit = raft_http::cli::run();
    if !exit.line.is_empty() {
        eprintln!("httpraft: {}", exit.line);
    }
    exit.code.into()
}
