//! Bytes as a config file, and variables of the environment.

use raft_http::alone::Alone;
use raft_http::config::{Config, Given, from_environment, parse};
use std::path::Path;

/// What separates the file from the variables, and these from each other.
const SEPARATOR: char = '\x1e';

/// Reads settings: the first byte is the node's number, then comes the file, then variables as `NAME=value`. What is
/// wrong is said in one line. What is accepted says the same once it is written as a file, and a node can begin with it.
pub fn read(data: &[u8]) -> bool {
    let Some((id, bytes)) = data.split_first() else { return false };
    let id = usize::from(*id) % 8;
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split(SEPARATOR);
    let file = parts.next().unwrap_or_default();
    let variables =
        parts.filter_map(|part| part.split_once('=')).map(|(name, value)| (name.into(), value.into()));
    let (environment, _) = from_environment(variables);
    let Some(given) = given(file.as_bytes()) else { return false };
    let Some(config) = settings(id, &[given, environment].concat()) else { return false };
    let again = given_of(&config);
    assert_eq!(settings(id, &again), Some(config.clone()), "a config is what it says");
    if config.founds && config.is_listed() {
        Alone::new(&config).expect("what is accepted can be begun with");
    }
    true
}

fn given(file: &[u8]) -> Option<Vec<Given>> {
    parse(Path::new("peers.json"), file).map_err(one_line).ok()
}

fn given_of(config: &Config) -> Vec<Given> {
    given(config.to_json().to_string().as_bytes()).expect("it is written as JSON")
}

fn settings(id: usize, given: &[Given]) -> Option<Config> {
    Config::new(id, given).map_err(one_line).ok()
}

fn one_line(error: impl std::error::Error) {
    let said = error.to_string();
    assert!(!said.is_empty() && !said.contains(['\n', '\r', '\x1b']), "not one line: {said:?}");
}
