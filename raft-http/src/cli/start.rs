//! `httpraft <ID>`: one node.

use crate::config::{Config, Store};
use crate::data_dir::DataDir;
use crate::exit::{Code, Exit};

/// Runs a node to its end.
pub(super) fn start(config: Config) -> Result<Exit, Exit> {
    if let Store::Directory(path) = &config.store {
        let data = DataDir::open(path, &config)?;
        tracing::info!(path = ?data.path(), disk = %data.disk(), "opened the data directory");
    }
    Err(Exit::new(Code::Failed, "this version can't serve yet"))
}
