//! All nodes at a glance.

use super::asking::{Asking, Output, Request};
use super::{out, table};
use crate::exit::Exit;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::sleep;

/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Clears a terminal, and goes to its beginning.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// What each node says of itself, once or until Ctrl-C.
pub(super) fn run(asking: &Asking, watch: bool) -> Result<Exit, Exit> {
    loop {
        let answer =
            asking.run(async |endpoints| endpoints.insist(&Request::get("/v1/cluster")).await)?.json();
        let text = match asking.output {
            Output::Json if watch => answer.to_string(),
            Output::Json => format!("{answer:#}"),
            Output::Table => table::cluster(&answer),
        };
        let clear = if watch && asking.output == Output::Table && std::io::stdout().is_terminal() {
            CLEAR
        } else {
            ""
        };
        out(format!("{clear}{text}\n").as_bytes())?;
        if !watch {
            return Ok(Exit::ok());
        }
        crate::start::runtime()?.block_on(sleep(LOOK));
    }
}
