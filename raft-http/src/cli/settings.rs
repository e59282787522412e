//! From flags, environment and file to a node's settings.

use crate::config::{self, Config, Given, GivenFrom};
use crate::exit::{Code, Exit};
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What `httpraft config example` prints.
pub(super) const EXAMPLE: &str = r#"{
  "peers": ["localhost:8000", "localhost:8001", "localhost:8002"],
  "apis":  ["localhost:9000", "localhost:9001", "localhost:9002"]
}"#;

/// The settings that have a flag. Each also has a key in the file and an `HTTPRAFT_*` variable.
#[derive(Args)]
pub(super) struct NodeFlags {
    /// The config file; else ./peers.json, else ./config.json
    #[arg(long, value_name = "FILE", env = "HTTPRAFT_CONFIG")]
    config: Option<PathBuf>,
    /// Take part in the cluster of these running nodes, by their addresses for clients; of no effect once it is done
    #[arg(long, value_name = "HOST:PORT,..")]
    join: Option<String>,
    /// This node's address for the other nodes, instead of the config file's
    #[arg(long, value_name = "HOST:PORT")]
    peer: Option<String>,
    /// This node's address for clients, instead of the config file's
    #[arg(long, value_name = "HOST:PORT")]
    api: Option<String>,
    /// Where this node's data is kept; httpraft-data/node-<ID> if not given
    #[arg(long, value_name = "DIR", conflicts_with = "in_memory")]
    data_dir: Option<String>,
    /// Keep nothing: a restart is a node with a wiped disk
    #[arg(long)]
    in_memory: bool,
    /// Listen on addresses that other machines reach, without TLS and authentication
    #[arg(long)]
    insecure: bool,
    /// Never sync: a power cut takes acknowledged writes back
    #[arg(long)]
    unsafe_no_fsync: bool,
    /// A leader's heartbeat interval, like 100ms
    #[arg(long, value_name = "DURATION")]
    heartbeat: Option<String>,
    /// The minimal election timeout, like 500ms; at least 5 heartbeats
    #[arg(long, value_name = "DURATION")]
    election_timeout: Option<String>,
    /// Take a snapshot after this many entries
    #[arg(long, value_name = "COUNT")]
    snapshot_entries: Option<String>,
    /// Take a snapshot after this much of the log, like 64MiB
    #[arg(long, value_name = "SIZE")]
    snapshot_bytes: Option<String>,
    /// Keep at most this many entries of the log behind a snapshot
    #[arg(long, value_name = "COUNT")]
    retain_entries: Option<String>,
    /// Keep at most this much of the log behind a snapshot, like 16MiB
    #[arg(long, value_name = "SIZE")]
    retain_bytes: Option<String>,
    /// Let clients ask for reads by the leader's lease, which are as good as the machines' clocks
    #[arg(long)]
    lease_reads: bool,
}

impl NodeFlags {
    /// The settings of a node: the file's, over them the environment's, over them the flags'.
    pub(super) fn config(&self, id: &str) -> Result<Config, Exit> {
        let number = id.parse().map_err(|_| {
            let problem = "is neither a node's number nor a command: see httpraft --help";
            Exit::new(Code::Usage, format!("{id:?} {problem}"))
        })?;
        let mut given = match config::find(self.config.as_deref()) {
            Ok(file) => config::read(&file).map_err(config::ConfigError::from)?,
            // A node that joins needs no lists.
            Err(config::FileError::None) if self.peer.is_some() && self.api.is_some() => Vec::new(),
            Err(error) => return Err(config::ConfigError::from(error).into()),
        };
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let (environment, unknown) = config::from_environment(variables);
        for name in unknown {
            tracing::warn!("the environment variable {name} is no setting of httpraft");
        }
        given.extend(environment);
        given.extend(self.given());
        Ok(Config::new(number, &given)?)
    }

    /// The flags that were given, for another command line of the same node; `data_dir` instead of that flag's value.
    pub(super) fn repeated(&self, data_dir: Option<&Path>) -> String {
        let config = self.config.iter().map(|file| ("config".to_string(), file.display().to_string()));
        let flag = |Given { key, value, .. }: Given| {
            let text = match (key.as_str(), data_dir, value) {
                ("data_dir", Some(path), _) => path.display().to_string(),
                (_, _, Value::String(text)) => text,
                _ => String::new(),
            };
            (key.replace('_', "-"), text)
        };
        let flags = config.chain(self.given().into_iter().map(flag));
        let written = flags.map(|(name, text)| match text.as_str() {
            "" => format!(" --{name}"),
            text => format!(" --{name} {}", quoted(text)),
        });
        written.collect()
    }

    fn given(&self) -> Vec<Given> {
        let texts = [
            ("join", &self.join),
            ("peer", &self.peer),
            ("api", &self.api),
            ("data_dir", &self.data_dir),
            ("heartbeat", &self.heartbeat),
            ("election_timeout", &self.election_timeout),
            ("snapshot_entries", &self.snapshot_entries),
            ("snapshot_bytes", &self.snapshot_bytes),
            ("retain_entries", &self.retain_entries),
            ("retain_bytes", &self.retain_bytes),
        ];
        let switches = [
            ("in_memory", self.in_memory),
            ("insecure", self.insecure),
            ("lease_reads", self.lease_reads),
            ("unsafe_no_fsync", self.unsafe_no_fsync),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, Value::String(text.clone()?))));
        let switches = switches.into_iter().filter(|(_, on)| *on).map(|(key, _)| (key, Value::Bool(true)));
        let given =
            |(key, value): (&str, Value)| Given { from: GivenFrom::Flag, key: key.to_string(), value };
        texts.chain(switches).map(given).collect()
    }
}

/// The text as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,=@%+".contains(&byte);
    if text.bytes().all(plain) { text.to_string() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: NodeFlags,
    }

    #[test]
    fn what_was_given_is_repeated_as_a_shell_takes_it() {
        let given =
            ["--config", "a b/c.json", "--data-dir", "it's here", "--api=localhost:9001", "--insecure"];
        let Line { flags } = Line::try_parse_from([&["httpraft"], &given[..]].concat()).unwrap();
        let rest = " --api localhost:9001 --data-dir";
        assert_eq!(flags.repeated(None), format!(r" --config 'a b/c.json'{rest} 'it'\''s here' --insecure"));
        let moved = flags.repeated(Some(Path::new("/srv/n0")));
        assert_eq!(moved, format!(" --config 'a b/c.json'{rest} /srv/n0 --insecure"));
        let Line { flags } = Line::try_parse_from(["httpraft"]).unwrap();
        assert_eq!(flags.repeated(Some(Path::new("/srv/n0"))), "", "by default a node finds its directory");
    }
}
