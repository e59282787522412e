//! What is done to a data directory while its node does not run.

use super::asking::Output;
use super::settings::NodeFlags;
use super::{out, print};
use crate::data_dir::DataDir;
use crate::exit::{Code, Exit};
use crate::rebuild;
use crate::snapshots;
use crate::storage::Storage;
use clap::{Args, Subcommand};
use raft_core::{Boot, ConfigError, Entry, EntryId, Index, Payload};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(super) enum Wal {
    /// Read all of the log and the snapshots, and say whether a node could start on them
    #[command(after_help = "Example: httpraft wal verify httpraft-data/node-0")]
    Verify(Looking),
    /// Print the entries of the log, without what they hold
    #[command(after_help = "Example: httpraft wal dump httpraft-data/node-0 --from 100")]
    Dump {
        #[command(flatten)]
        looking: Looking,
        /// From this index on
        #[arg(long, value_name = "INDEX", default_value_t = 0)]
        from: u64,
        /// With what they hold, as far as it is text
        #[arg(long)]
        values: bool,
    },
}

/// Where to look.
#[derive(Args)]
pub(super) struct Looking {
    /// The data directory; its node must not run
    data_dir: PathBuf,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Looks at a log.
pub(super) fn wal(command: Wal) -> Result<Exit, Exit> {
    match command {
        Wal::Verify(looking) => verify(&looking),
        Wal::Dump { looking, from, values } => dump(&looking, Index(from), values),
    }
}

fn verify(looking: &Looking) -> Result<Exit, Exit> {
    let data = DataDir::existing(&looking.data_dir)?;
    let recovery = Storage::inspect(&data)?;
    let (recovered, copies) = (&recovery.recovered, verified_snapshots(data.path())?);
    let base = recovered.base.as_ref().map_or(EntryId::ORIGIN, |base| base.id);
    let last = recovered.entries.last().map_or(base, Entry::id);
    let base = base.index;
    let damaged = copies.iter().filter(|copy| !copy["error"].is_null()).count();
    let covered = |copy: &Value| copy["error"].is_null() && copy["index"].as_u64() >= Some(base.0);
    let report = json!({
        "node": data.node().0,
        "cluster_id": format!("{:016x}", data.cluster().0),
        "term": recovered.hard.term.0,
        "boots": recovered.hard.boot.0,
        "begins_behind": base.0,
        "entries": recovered.entries.len(),
        "last_index": last.index.0,
        "last_term": last.term.0,
        "cut": recovery.cut.as_ref().map(ToString::to_string),
        "mended": recovery.mended.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "lost": recovery.decayed.iter().map(|(id, place)| format!("entry {id} ({place})")).collect::<Vec<_>>(),
        "snapshots": copies,
    });
    match looking.output {
        Output::Json => print(&format!("{report:#}"))?,
        Output::Table => print(&summary(&report))?,
    };
    if recovered.hard.boot == Boot::GIVEN_UP {
        return Err(Exit::new(Code::Corrupt, ConfigError::GivenUp));
    }
    if base > Index(0) && !copies.iter().any(covered) {
        let line =
            format!("the log begins behind index {base}, and no intact snapshot covers what is before");
        return Err(Exit::new(Code::Corrupt, line));
    }
    if !recovery.decayed.is_empty() {
        let line =
            "commands are lost; a node can start, and gets them from the other members: replace the disk";
        return Err(Exit::new(Code::Corrupt, line));
    }
    if damaged > 0 || !recovery.mended.is_empty() {
        return Err(Exit::new(Code::Corrupt, "something is damaged; a node can start: replace the disk"));
    }
    Ok(Exit::ok())
}

/// Each snapshot, read to its end.
fn verified_snapshots(data: &Path) -> Result<Vec<Value>, Exit> {
    let folder = data.join("snapshots");
    let Ok(listed) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut names: Vec<PathBuf> = listed.filter_map(|file| Some(file.ok()?.path())).collect();
    names.retain(|name| name.extension().is_some_and(|extension| extension == "snap"));
    names.sort();
    let verified = |name: &PathBuf| {
        let file = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match snapshots::read_copy(name) {
            Ok((_, snapshot, _)) => {
                json!({ "file": file, "index": snapshot.last().index.0, "bytes": snapshot.size })
            }
            Err(error) => json!({ "file": file, "error": error.to_string() }),
        }
    };
    Ok(names.iter().map(verified).collect())
}

fn summary(report: &Value) -> String {
    let mut lines = vec![
        format!("node {} of cluster {}", report["node"], report["cluster_id"].as_str().unwrap_or("?")),
        format!("term {}, start number {}", report["term"], report["boots"]),
        format!(
            "{} entries, behind index {}; the last one is {}@{}",
            report["entries"], report["begins_behind"], report["last_index"], report["last_term"]
        ),
    ];
    lines.extend(report["cut"].as_str().map(str::to_string));
    let mended = report["mended"].as_array().into_iter().flatten();
    lines.extend(
        mended.filter_map(Value::as_str).map(|place| format!("damaged, with an intact copy: {place}")),
    );
    let lost = report["lost"].as_array().into_iter().flatten();
    lines.extend(lost.filter_map(Value::as_str).map(|entry| format!("its command is lost: {entry}")));
    for copy in report["snapshots"].as_array().into_iter().flatten() {
        let file = copy["file"].as_str().unwrap_or("?");
        lines.push(match copy["error"].as_str() {
            Some(error) => format!("snapshot {file}: {error}"),
            None => {
                format!("snapshot {file}: up to index {}, {} bytes, intact", copy["index"], copy["bytes"])
            }
        });
    }
    lines.join("\n")
}

fn dump(looking: &Looking, from: Index, values: bool) -> Result<Exit, Exit> {
    let data = DataDir::existing(&looking.data_dir)?;
    let recovered = Storage::inspect(&data)?.recovered;
    for entry in recovered.entries.iter().filter(|entry| entry.index() >= from) {
        let kind = match entry.payload() {
            Payload::Noop => "noop",
            Payload::Command(_) => "command",
            Payload::Membership(_) => "membership",
            Payload::Decayed { .. } => "decayed",
        };
        let mut row = json!({
            "index": entry.index().0,
            "term": entry.term().0,
            "kind": kind,
            "bytes": entry.size(),
            "hash": format!("{:016x}", entry.hash()),
        });
        if let Payload::Membership(membership) = entry.payload() {
            row["membership"] = json!(membership.to_string());
        }
        if let (Payload::Command(command), true) = (entry.payload(), values) {
            row["value"] = json!(String::from_utf8_lossy(command));
        }
        let line = match looking.output {
            Output::Json => row.to_string(),
            Output::Table => {
                let rest = row["membership"].as_str().or(row["value"].as_str()).unwrap_or_default();
                let (id, size, hash) = (entry.id().to_string(), entry.size(), entry.hash());
                format!("{id:>12}  {kind:10}  {size:>9}  {hash:016x}  {rest}").trim_end().to_string()
            }
        };
        out(format!("{line}\n").as_bytes())?;
    }
    Ok(Exit::ok())
}

/// A node's own place and addresses.
#[derive(Args)]
pub(super) struct Place {
    /// The node
    #[arg(default_value = "0", allow_negative_numbers = true)]
    id: String,
    #[command(flatten)]
    flags: Box<NodeFlags>,
}

/// A new cluster out of a backup.
pub(super) fn restore(file: &Path, place: Place) -> Result<Exit, Exit> {
    let rebuilt = rebuild::restore(place.flags.config(&place.id)?, file)?;
    let (id, cluster, last) = (&place.id, rebuilt.cluster.0, rebuilt.last);
    let flags = place.flags.repeated(None);
    print(&format!(
        "Node {id} is now a cluster of its own, {cluster:016x}, with everything up to entry {last}.\n\
         Start it with `httpraft {id}{flags}`; further nodes, on empty data directories, with --join and `httpraft member add`."
    ))
}

/// A new cluster out of what one node has left.
pub(super) fn recover(place: Place, sure: bool) -> Result<Exit, Exit> {
    let config = place.flags.config(&place.id)?;
    let id = &place.id;
    if !sure {
        let why = format!(
            "this makes node {id} a new cluster of its own: writes that only other nodes hold are lost, and they can't come \
             back into it with their data. If a majority of the nodes can be started, start them instead. Otherwise \
             choose the node whose last entry is the newest, its term first (`httpraft wal verify`), and say --yes"
        );
        return Err(Exit::new(Code::Usage, why));
    }
    let rebuild::Recovery { rebuilt, directory, aside } = rebuild::recover(config)?;
    let (cluster, last, aside) = (rebuilt.cluster.0, rebuilt.last, aside.display());
    // By its full name: `.` is now what was there before.
    let flags = place.flags.repeated(Some(&directory));
    print(&format!(
        "Node {id} is now a cluster of its own, {cluster:016x}, with everything up to entry {last}; what was there before \
         is in {aside}.\nStart it with `httpraft {id}{flags}`; the others, on empty data directories, with --join and `httpraft \
         member add`."
    ))
}
