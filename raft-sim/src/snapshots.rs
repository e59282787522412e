//! The snapshot files of one node, on the same kind of disk as its log: what is put into a file stays only once the file
//! is synced, what is done to names only once the directory is. A power cut keeps any part of the rest.

use crate::choices::{Choices, Purpose, Site};
use raft_core::{EntryId, Index, Snapshot, hash};

/// What a file is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// What this node captures.
    Draft,
    /// What a leader sends.
    Partial,
    /// A whole snapshot, by the last entry that it covers.
    Whole(EntryId),
}

/// A file with its head. It may be there without a name for a while.
#[derive(Clone, Debug)]
struct File {
    number: u64,
    head: Snapshot,
    bytes: Vec<u8>,
    /// What was put into it and not synced: from, to.
    loose: Vec<(usize, usize)>,
}

impl File {
    /// Whether it is what its head says, to the byte.
    fn verifies(&self) -> bool {
        self.bytes.len() as u64 == self.head.size && digest(&self.bytes) == self.head.digest
    }
}

/// What was done to names and not synced.
#[derive(Clone, Copy, Debug)]
enum Undone {
    Named { name: Name, file: u64 },
    Moved { from: Name, to: Name, file: u64 },
    Gone { name: Name },
}

/// Names and their files.
#[derive(Clone, Debug, Default)]
struct Names(Vec<(Name, u64)>);

impl Names {
    fn get(&self, name: Name) -> Option<u64> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, file)| *file)
    }

    fn take(&mut self, undone: Undone) {
        match undone {
            Undone::Named { name, file } => {
                self.0.retain(|(known, _)| *known != name);
                self.0.push((name, file));
            }
            Undone::Moved { from, to, file } => {
                self.0.retain(|(known, _)| *known != from && *known != to);
                self.0.push((to, file));
            }
            Undone::Gone { name } => self.0.retain(|(known, _)| *known != name),
        }
    }
}

/// The directory of snapshots. It outlives its processes.
#[derive(Clone, Debug, Default)]
pub struct Snapshots {
    files: Vec<File>,
    /// As a process sees the names.
    seen: Names,
    /// As they are on stable storage.
    stable: Names,
    undone: Vec<Undone>,
    next: u64,
}

/// The hash by which a snapshot's bytes are known.
pub fn digest(bytes: &[u8]) -> u64 {
    hash::bytes(bytes)
}

impl Snapshots {
    /// A new and empty file of this name, in place of what had it.
    pub fn begin(&mut self, name: Name, head: Snapshot) {
        self.next += 1;
        let file = self.next;
        self.files.push(File { number: file, head, bytes: Vec::new(), loose: Vec::new() });
        self.rename(Undone::Named { name, file });
    }

    fn rename(&mut self, undone: Undone) {
        self.seen.take(undone);
        self.undone.push(undone);
    }

    fn file(&self, name: Name) -> Option<&File> {
        let number = self.seen.get(name)?;
        self.files.iter().find(|file| file.number == number)
    }

    fn file_mut(&mut self, name: Name) -> Option<&mut File> {
        let number = self.seen.get(name)?;
        self.files.iter_mut().find(|file| file.number == number)
    }

    /// Appends to a file.
    pub fn append(&mut self, name: Name, bytes: &[u8]) {
        let Some(file) = self.file_mut(name) else { return };
        let from = file.bytes.len();
        file.bytes.extend_from_slice(bytes);
        file.loose.push((from, from + bytes.len()));
    }

    /// How much of a snapshot is there under a name.
    pub fn have(&self, name: Name, snapshot: &Snapshot) -> Option<u64> {
        let file = self.file(name).filter(|file| file.head == *snapshot)?;
        Some(file.bytes.len() as u64)
    }

    /// The content of a file that is what its head says, to the byte.
    pub fn read(&self, name: Name) -> Option<(&Snapshot, &[u8])> {
        let file = self.file(name).filter(|file| file.verifies())?;
        Some((&file.head, &file.bytes))
    }

    /// The content of a file is on stable storage.
    pub fn sync(&mut self, name: Name) {
        if let Some(file) = self.file_mut(name) {
            file.loose.clear();
        }
    }

    /// Gives a whole snapshot its final name.
    pub fn finish(&mut self, from: Name) {
        if let Some((file, last)) = self.file(from).map(|file| (file.number, file.head.last())) {
            self.rename(Undone::Moved { from, to: Name::Whole(last), file });
        }
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: Name) {
        if self.seen.get(name).is_some() {
            self.rename(Undone::Gone { name });
        }
    }

    /// The names are on stable storage.
    pub fn sync_names(&mut self) {
        self.undone.clear();
        self.stable = self.seen.clone();
        let seen = &self.seen;
        self.files.retain(|file| seen.0.iter().any(|(_, number)| *number == file.number));
    }

    /// The whole snapshots that verify.
    pub fn intact(&self) -> impl Iterator<Item = &Snapshot> {
        let whole = self.seen.0.iter().filter(|(name, _)| matches!(name, Name::Whole(_)));
        whole.filter_map(|(name, _)| self.read(*name)).map(|(head, _)| head)
    }

    /// The room that the files take.
    pub fn bytes(&self) -> u64 {
        let named = |file: &&File| self.seen.0.iter().any(|(_, number)| *number == file.number);
        self.files.iter().filter(named).map(|file| file.bytes.len() as u64).sum()
    }

    /// The newest whole snapshot, intact or not.
    pub fn newest(&self) -> Option<EntryId> {
        let whole = |(name, _): &(Name, u64)| match name {
            Name::Whole(last) => Some(*last),
            _ => None,
        };
        self.seen.0.iter().filter_map(whole).max_by_key(|last| last.index)
    }

    /// The last entry that any of the files covers, whole or not.
    pub fn reach(&self) -> Index {
        self.files.iter().map(|file| file.head.last().index).max().unwrap_or_default()
    }

    /// Of the snapshots up to this one keeps the newest two. One beyond it was received and may be installed yet.
    pub fn prune(&mut self, newest: EntryId) {
        let whole = |(name, _): &(Name, u64)| match name {
            Name::Whole(last) if last.index <= newest.index => Some(*last),
            _ => None,
        };
        let mut old: Vec<EntryId> = self.seen.0.iter().filter_map(whole).collect();
        old.sort_unstable_by_key(|last| std::cmp::Reverse((last.index, last.term)));
        for last in old.into_iter().skip(2) {
            self.remove(Name::Whole(last));
        }
    }

    /// A process starts: what the system still held back is synced first, and drafts are of no use.
    pub fn settle(&mut self) {
        self.files.iter_mut().for_each(|file| file.loose.clear());
        self.remove(Name::Draft);
        self.sync_names();
    }

    /// The power is gone, and with it any part of what was not synced.
    pub fn power_cut(&mut self, node: usize, choices: &mut impl Choices) {
        let site = Site::new(Purpose::Files, node);
        for undone in std::mem::take(&mut self.undone) {
            if choices.pick(site, 2) == 0 {
                self.stable.take(undone);
            }
        }
        self.seen = self.stable.clone();
        for file in &mut self.files {
            for (from, to) in std::mem::take(&mut file.loose) {
                // It is kept, or its place is empty, or the file ends before it.
                match choices.pick(site, 3) {
                    0 => {}
                    1 => {
                        let to = to.min(file.bytes.len());
                        file.bytes[from.min(to)..to].fill(0);
                    }
                    _ => file.bytes.truncate(from),
                }
            }
        }
        self.sync_names();
    }

    /// Flips a bit of a whole snapshot. Which one, if there is any.
    pub fn rot(&mut self, choices: &mut impl Choices) -> Option<EntryId> {
        let site = Site::from(Purpose::Spoils);
        let whole = |(name, _): &(Name, u64)| match name {
            Name::Whole(last) => Some(*last),
            _ => None,
        };
        let whole: Vec<EntryId> = self.seen.0.iter().filter_map(whole).collect();
        let last = *whole.get(choices.pick(site, whole.len() as u64) as usize)?;
        let file = self.file_mut(Name::Whole(last))?;
        let at = choices.pick(site, file.bytes.len() as u64) as usize;
        *file.bytes.get_mut(at)? ^= 1 << choices.pick(site, 8);
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::Bytes;
    use raft_core::Base;

    fn head(index: u64, bytes: &[u8]) -> Snapshot {
        let base = Base { id: EntryId::new(1, index), hash: 0, membership: Default::default() };
        Snapshot { base, size: bytes.len() as u64, digest: digest(bytes) }
    }

    fn whole(files: &mut Snapshots, index: u64) {
        files.begin(Name::Draft, head(index, b"abcd"));
        files.append(Name::Draft, b"abcd");
        files.sync(Name::Draft);
        files.finish(Name::Draft);
        files.sync_names();
    }

    #[test]
    fn what_is_synced_outlives_a_power_cut_and_the_rest_may_not() {
        let mut files = Snapshots::default();
        whole(&mut files, 3);
        files.begin(Name::Partial, head(9, b"abcd"));
        files.append(Name::Partial, b"ab");
        // The name is kept, and of its content nothing.
        let mut fate = Bytes::new(bytes::Bytes::from_static(&[0, 1]));
        files.power_cut(1, &mut fate);
        assert_eq!(files.have(Name::Partial, &head(9, b"abcd")), Some(2));
        files.append(Name::Partial, b"cd");
        assert!(files.read(Name::Partial).is_none(), "its first half is empty");
        let intact: Vec<_> = files.intact().map(Snapshot::last).collect();
        assert_eq!(intact, [EntryId::new(1, 3)]);
    }

    #[test]
    fn the_newest_two_are_kept_and_what_is_beyond() {
        let mut files = Snapshots::default();
        for index in [3, 5, 7, 20] {
            whole(&mut files, index);
        }
        files.prune(EntryId::new(1, 7));
        let mut intact: Vec<_> = files.intact().map(|head| head.last().index.0).collect();
        intact.sort_unstable();
        assert_eq!(intact, [5, 7, 20]);
    }
}
