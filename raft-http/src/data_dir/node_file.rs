//! `node.json`: what a data directory says of itself.

use super::{DataDirError, FORMAT, NODE, NODE_NEW, io_error, sync_dir};
use crate::config::Config;
use raft_core::{ClusterId, DiskId};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// The content of `node.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeFile {
    format: u32,
    pub(super) cluster_id: Hex,
    pub(super) cluster: Option<String>,
    pub(super) node_id: u64,
    pub(super) disk_id: Hex,
    /// The lists that the cluster was founded with: for people, and to tell another cluster's file.
    pub(super) peers: Vec<String>,
    pub(super) apis: Vec<String>,
    /// Whether it joined a running cluster: then it never founds one.
    #[serde(default)]
    pub(super) joined: bool,
    /// Whether it was told that the cluster is without it.
    #[serde(default)]
    pub(super) removed: bool,
    /// For how long the last start waits for a leader that it has heard, in microseconds; of an older version, nobody knows.
    #[serde(default)]
    pub(super) patience_us: Option<u64>,
    /// Whether the log has its first segment: from then on, a log without any is a loss.
    pub(super) log_begun: bool,
}

/// Just the format, whatever else a newer version may have changed.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// 64 bits as 16 hexadecimal digits: JSON's numbers are not good for 64 bits everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Hex(pub(super) u64);

impl From<Hex> for String {
    fn from(hex: Hex) -> String {
        format!("{:016x}", hex.0)
    }
}

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Hex, String> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u64::from_str_radix(&text, 16) {
            Ok(number) if digits => Ok(Hex(number)),
            _ => Err(format!("{text:?} is not 16 hexadecimal digits")),
        }
    }
}

impl From<Hex> for ClusterId {
    fn from(hex: Hex) -> ClusterId {
        ClusterId(hex.0)
    }
}

impl NodeFile {
    /// What a directory without a log says.
    pub(super) fn new(config: &Config, disk: DiskId) -> NodeFile {
        NodeFile {
            format: FORMAT,
            cluster_id: Hex(config.cluster_id.0),
            cluster: config.cluster.clone(),
            node_id: config.id as u64,
            disk_id: Hex(disk.0),
            peers: config.peers.clone(),
            apis: config.apis.clone(),
            joined: !config.founds,
            removed: false,
            patience_us: None,
            log_begun: false,
        }
    }

    /// Reads it; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<NodeFile>, DataDirError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", path)(error)),
        };
        let damaged = |error: serde_json::Error| DataDirError::Damaged {
            path: path.to_path_buf(),
            problem: error.to_string(),
        };
        let Format { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format > FORMAT {
            let directory = path.parent().unwrap_or(path).to_path_buf();
            return Err(DataDirError::Newer { path: directory, format });
        }
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Writes it into the directory, whole or not at all: under another name, synced, renamed, the directory synced.
    pub(super) fn write(&self, directory: &Path) -> Result<(), DataDirError> {
        let new = directory.join(NODE_NEW);
        let write = || {
            let mut json = serde_json::to_vec_pretty(self)?;
            json.push(b'\n');
            let mut file = File::create(&new)?;
            file.write_all(&json)?;
            file.sync_all()?;
            fs::rename(&new, directory.join(NODE))?;
            sync_dir(directory)
        };
        write().map_err(io_error("write", &directory.join(NODE)))
    }
}
