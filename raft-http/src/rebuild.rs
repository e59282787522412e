//! A new cluster of one node from a state: out of a backup, or of what is left of a cluster that has lost its quorum. It
//! has a new id, so nobody of the old cluster can take part in it, or be taken in by mistake.

use crate::config::{Config, Store};
use crate::data_dir::DataDir;
use crate::exit::{Code, Exit};
use crate::machine::Machine;
use crate::snapshots::{self, Snapshots};
use crate::storage::Storage;
use raft_core::{
    Base, ClusterId, EntryId, HardState, Index, Log, Member, Membership, NodeId, Standing, Term,
};
use std::fs;
use std::path::{Path, PathBuf};

/// What a data directory is made of.
struct Origin {
    state: Machine,
    /// The last entry that the state covers, and the log's hash there.
    last: EntryId,
    hash: u64,
    /// At least as high as any term of the old cluster that this node knows of.
    term: Term,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The new cluster.
    pub cluster: ClusterId,
    /// The last entry of the old one.
    pub last: EntryId,
}

/// What [`recover`] has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The new cluster.
    pub rebuilt: Rebuilt,
    /// The node's data directory, by its full name.
    pub directory: PathBuf,
    /// What was there before.
    pub aside: PathBuf,
}

/// Makes the node's data directory, which must be empty or missing, out of a backup.
pub fn restore(config: Config, backup: &Path) -> Result<Rebuilt, Exit> {
    let directory = directory(&config)?;
    if DataDir::is_used(&directory)? {
        let why = format!("{directory:?} holds a node's data: give an empty directory with --data-dir");
        return Err(Exit::new(Code::Usage, why));
    }
    let (_, snapshot, state) = snapshots::read_copy(backup)?;
    let last = snapshot.last();
    make(config, &directory, Origin { state, last, hash: snapshot.base.hash, term: last.term })
}

/// A name that is free, beside the directory: with this ending, and a number.
fn beside(directory: &Path, ending: &str) -> PathBuf {
    let name =
        directory.file_name().map_or_else(|| "node".into(), |name| name.to_string_lossy().into_owned());
    let numbered = |number| directory.with_file_name(format!("{name}.{ending}-{number}"));
    let free = (1..).map(numbered).find(|path| path.symlink_metadata().is_err());
    free.expect("there are as many names as numbers")
}

/// Makes the data directory of a node the beginning of a new cluster of this node alone. All entries of its log are taken
/// for committed, so no write that was acknowledged and is here is lost; one that was not acknowledged may be in effect
/// now. The old directory stays, beside it, and nothing is deleted.
pub fn recover(config: Config) -> Result<Recovery, Exit> {
    let directory = directory(&config)?;
    // Locked until it has its other name.
    let old = DataDir::existing(&directory)?;
    // A name like `.` says nothing of what is beside it.
    let directory = fs::canonicalize(&directory).map_err(|error| failed("find", &directory, &error))?;
    let origin = salvage(&old)?;
    let (new, aside) = (beside(&directory, "recovering"), beside(&directory, "before-recover"));
    let rebuilt = make(config, &new, origin)?;
    fs::rename(&directory, &aside).map_err(|error| failed("rename", &directory, &error))?;
    fs::rename(&new, &directory).map_err(|error| {
        let line = format!("; what was in {directory:?} is in {aside:?} now, and the new cluster in {new:?}");
        Exit { line: failed("rename", &new, &error).line + &line, code: Code::Io }
    })?;
    let parent = directory.parent().unwrap_or(Path::new("/"));
    crate::data_dir::sync_dir(parent).map_err(|error| failed("sync", parent, &error))?;
    Ok(Recovery { rebuilt, directory, aside })
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Exit {
    Exit::new(Code::Io, format!("can't {doing} {path:?}: {error}"))
}

fn directory(config: &Config) -> Result<PathBuf, Exit> {
    match &config.store {
        Store::Directory(path) => Ok(path.clone()),
        Store::Memory => Err(Exit::new(Code::Usage, "a node with --in-memory has no data directory")),
    }
}

/// The state at the end of the log.
fn salvage(data: &DataDir) -> Result<Origin, Exit> {
    let mut recovered = Storage::inspect(data)?.recovered;
    let mut state: Machine = Snapshots::open(data.path(), data.cluster(), true)?.restore(&mut recovered)?;
    let log = Log::recovered(recovered.base.as_ref(), recovered.entries.iter().cloned());
    let last = log.last();
    if last.index == Index(0) {
        return Err(Exit::new(
            Code::Usage,
            format!("{:?} holds no entry: there is nothing to recover", data.path()),
        ));
    }
    if let Some(lost) = log.decayed().iter().find(|index| **index > state.applied()) {
        let line = format!(
            "{:?} has lost the command at index {lost}, and what follows can't be in effect without it: recover from \
             another node's directory, or restore a backup",
            data.path()
        );
        return Err(Exit::new(Code::Corrupt, line));
    }
    for entry in log.from(state.applied().next()) {
        state.apply(entry).map_err(|unreadable| Exit::new(Code::Newer, unreadable))?;
    }
    let hash = log.hash_at(last.index).expect("the end of the log has a hash");
    Ok(Origin { state, last, hash, term: recovered.hard.term.max(last.term) })
}

fn make(mut config: Config, directory: &Path, origin: Origin) -> Result<Rebuilt, Exit> {
    let random = getrandom::u64().map_err(|error| Exit::new(Code::Io, error))?;
    // A member of a cluster that exists: it must not found one by its lists.
    (config.cluster_id, config.founds) = (ClusterId(random), false);
    let node = Member::new(NodeId(config.id as u64), Standing::Voter, config.own.encode());
    let data = DataDir::open(directory, &config)?;
    let membership = Membership::new(vec![node]).expect("one member is a configuration");
    let membership = membership.with_disks(|_| Some(data.disk()));
    let base = Base { id: origin.last, hash: origin.hash, membership };
    Snapshots::open(data.path(), data.cluster(), true)?.store(base.clone(), origin.state)?;
    Storage::begin(&data, HardState { term: origin.term, ..HardState::default() }, base)?;
    Ok(Rebuilt { cluster: data.cluster(), last: origin.last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Given, GivenFrom};
    use raft_core::{Entry, Payload};
    use serde_json::json;

    fn config(directory: &Path) -> Config {
        let settings = [
            ("peers", json!(["localhost:8000"])),
            ("apis", json!(["localhost:9000"])),
            ("data_dir", json!(directory)),
        ];
        let given = settings.map(|(key, value)| Given { from: GivenFrom::Flag, key: key.into(), value });
        Config::new(0, &given).unwrap()
    }

    /// A data directory whose state covers this entry.
    fn used(directory: &Path, last: EntryId) -> ClusterId {
        let mut state = Machine::default();
        state.apply(&Entry::new(last, Payload::Noop)).unwrap();
        let origin = Origin { state, last, hash: 7, term: last.term };
        make(config(directory), directory, origin).unwrap().cluster
    }

    #[test]
    fn recovery_deletes_nothing_however_the_directory_is_called() {
        let last = EntryId::new(3, 1);
        for (called, name) in
            [("n0", "n0"), ("n0/wal/..", "n0"), ("n0.recovering", "n0.recovering"), ("n0.v2", "n0.v2")]
        {
            let parent = tempfile::tempdir().unwrap();
            let old = used(&parent.path().join(name), last);
            let foreign = ["n0.recovering/mine", "n0.recovering-1/mine"].map(|file| parent.path().join(file));
            for file in &foreign {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "an operator's own").unwrap();
            }
            let made = recover(config(&parent.path().join(called))).unwrap();
            assert_eq!(DataDir::existing(&made.aside).unwrap().cluster(), old, "{called}");
            assert_eq!(made.directory, parent.path().canonicalize().unwrap().join(name), "{called}");
            let new = DataDir::existing(&made.directory).unwrap();
            assert_eq!((new.cluster(), made.rebuilt.last), (made.rebuilt.cluster, last), "{called}");
            assert_ne!(new.cluster(), old, "{called}");
            let kept = foreign.iter().filter(|file| fs::read(file).is_ok()).count();
            // What the data directory held went aside with it.
            let with_it = usize::from(made.aside.join("mine").exists());
            assert_eq!(kept + with_it, foreign.len(), "{called}");
        }
    }
}
