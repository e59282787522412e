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

/// Where the old data directory goes when the node's is taken over by [`recover`].
pub fn kept_aside(directory: &Path) -> PathBuf {
    let name =
        directory.file_name().map_or_else(|| "node".into(), |name| name.to_string_lossy().into_owned());
    let aside = |number| directory.with_file_name(format!("{name}.before-recover-{number}"));
    let free = (1..).map(aside).find(|path| !path.exists());
    free.expect("there are as many names as numbers")
}

/// Makes the data directory of a node the beginning of a new cluster of this node alone. All entries of its log are taken
/// for committed, so no write that was acknowledged and is here is lost; one that was not acknowledged may be in effect
/// now. The old directory stays, beside it.
pub fn recover(config: Config) -> Result<(Rebuilt, PathBuf), Exit> {
    let directory = directory(&config)?;
    let origin = salvage(&DataDir::existing(&directory)?)?;
    let new = directory.with_extension("recovering");
    if new.exists() {
        // Left of an earlier try: nothing uses it yet.
        fs::remove_dir_all(&new).map_err(|error| failed("remove", &new, &error))?;
    }
    let rebuilt = make(config, &new, origin)?;
    let aside = kept_aside(&directory);
    fs::rename(&directory, &aside).map_err(|error| failed("rename", &directory, &error))?;
    fs::rename(&new, &directory).map_err(|error| failed("rename", &new, &error))?;
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    crate::data_dir::sync_dir(parent).map_err(|error| failed("sync", parent, &error))?;
    Ok((rebuilt, aside))
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
