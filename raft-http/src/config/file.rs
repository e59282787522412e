//! The config file: where it is looked for, and its JSON.

use super::settings::{Given, GivenFrom};
use serde_json::{Map, Value};
use std::io;
use std::path::{Path, PathBuf};

/// Where a config file is looked for when none is named.
const PLACES: [&str; 2] = ["./peers.json", "./config.json"];

/// Why there are no settings from a file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FileError {
    /// No file was named, and none is in the usual places.
    #[error(
        "no config file: looked for ./peers.json and ./config.json; name one with --config FILE or \
         $HTTPRAFT_CONFIG (`httpraft config example` prints one)"
    )]
    None,
    /// The file can't be read.
    #[error("can't read the config file {path:?}: {problem}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The system's word.
        problem: String,
    },
    /// The file is not JSON.
    #[error("{path:?} is not JSON: {problem}")]
    Json {
        /// Which.
        path: PathBuf,
        /// What is wrong, with line and column.
        problem: String,
    },
    /// The file is JSON, but not an object.
    #[error("{path:?} is not a JSON object: `httpraft config example` prints what it should look like")]
    NoObject {
        /// Which.
        path: PathBuf,
    },
}

/// The config file: the named one, or the first that exists in the usual places.
pub fn find(named: Option<&Path>) -> Result<PathBuf, FileError> {
    let usual = || PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    named.map(Path::to_path_buf).or_else(usual).ok_or(FileError::None)
}

/// All that stands in a config file, whether it is known or not.
pub fn read(path: &Path) -> Result<Vec<Given>, FileError> {
    let unreadable =
        |error: io::Error| FileError::Unreadable { path: path.into(), problem: error.to_string() };
    parse(path, &std::fs::read(path).map_err(unreadable)?)
}

/// All that stands in these bytes of a config file.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Given>, FileError> {
    let json: Value = serde_json::from_slice(bytes)
        .map_err(|error| FileError::Json { path: path.into(), problem: error.to_string() })?;
    let object: Map<String, Value> = match json {
        Value::Object(object) => object,
        _ => return Err(FileError::NoObject { path: path.into() }),
    };
    let given = |(key, value)| Given { from: GivenFrom::File(path.into()), key, value };
    Ok(object.into_iter().map(given).collect())
}
