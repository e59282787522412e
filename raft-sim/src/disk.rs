//! A disk: what is put into files is on stable storage only after a sync. A crash keeps any part of the rest, torn at
//! any byte; a new file may be gone, a deleted one be back.

use crate::choices::{Choices, Purpose, Site};
use bytes::Bytes;
use raft_core::EntryId;
use raft_core::wal::{HEADER_BYTES, Layout, Op, Sequence};
use std::collections::{BTreeMap, VecDeque};
use std::iter;
use std::sync::Arc;

/// What a disk writes and reads as a whole, in bytes.
const SECTOR: usize = 512;

/// A file as it is on stable storage.
#[derive(Clone, Debug)]
struct File {
    segment: u64,
    /// Shared with the processes that read it, since a log holds on to its payloads.
    bytes: Arc<Vec<u8>>,
    /// Its directory entry is on stable storage.
    named: bool,
    /// What is vouched for, or soon will be: the write, its place and its length.
    synced: Vec<(Sequence, usize, usize)>,
}

/// A file's content in the hands of a reader.
struct Content(Arc<Vec<u8>>);

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A record as it stands in a file, `docs/wal.md`.
struct Stored {
    write: Sequence,
    /// Its place within the write.
    part: u32,
    /// An entry's id and the length of its command, if that has any bytes.
    command: Option<(EntryId, usize)>,
    payload: usize,
    end: usize,
}

impl Stored {
    /// The record at a place, if one stands there.
    fn read(bytes: &[u8], at: usize) -> Option<Stored> {
        // What is damaged already may say anything.
        Stored::header(bytes, at).filter(|record| record.end <= bytes.len())
    }

    /// The same, though its payload may not be there.
    fn header(bytes: &[u8], at: usize) -> Option<Stored> {
        let header = bytes.get(at..at + 104).filter(|header| header.starts_with(b"RREC"))?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
        let length = half(12) as usize;
        let command = (header[4], header[6]) == (1, 1) && length > 0;
        Some(Stored {
            write: Sequence(word(32)),
            part: half(8),
            command: command.then(|| (EntryId::new(word(56), word(48)), length)),
            payload: at + 104,
            end: at + 104 + length.next_multiple_of(8),
        })
    }
}

/// What was done and not synced.
#[derive(Clone, Debug)]
enum Undone {
    Create { segment: u64 },
    Put { segment: u64, at: usize, bytes: Bytes, write: Sequence, vouches: Sequence },
    Delete { segment: u64 },
}

impl Undone {
    /// Where bytes are put, and which.
    fn bytes(&self) -> Option<(u64, usize, Bytes)> {
        match self {
            Undone::Put { segment, at, bytes, .. } => Some((*segment, *at, bytes.clone())),
            Undone::Create { .. } | Undone::Delete { .. } => None,
        }
    }
}

/// How much of what was not synced a crash left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leftovers {
    /// Puts that are there as a whole.
    pub kept: u64,
    /// Puts of which a part is there.
    pub torn: u64,
    /// Puts that are gone.
    pub lost: u64,
    /// Of a write one record is there as a whole, and of another one nothing.
    pub parted: bool,
}

/// The disk of one node. It outlives its processes.
#[derive(Clone, Debug)]
pub struct Disk {
    layout: Layout,
    files: Vec<File>,
    undone: VecDeque<Undone>,
    /// How many operations were done in all, and how many of them are synced.
    done: u64,
    synced: u64,
    /// Everything up to this write is vouched for by a record on stable storage.
    vouched: Sequence,
}

impl Disk {
    /// An empty disk.
    pub fn new(layout: Layout) -> Disk {
        Disk { layout, files: Vec::new(), undone: VecDeque::new(), done: 0, synced: 0, vouched: Sequence(0) }
    }

    /// Carries out what belongs to a write; its records say that everything up to `vouches` is synced. The first write of
    /// a process opens a segment, whose header says that everything before was found whole; no other header says anything.
    /// The number of the last operation, for [`Disk::sync`].
    pub fn put(&mut self, ops: &mut Vec<Op>, write: Sequence, vouches: Sequence, first: bool) -> u64 {
        let found = if first { Sequence(write.0 - 1) } else { Sequence(0) };
        for op in ops.drain(..) {
            self.done += 1;
            self.undone.push_back(match op {
                Op::Create { segment } => Undone::Create { segment },
                Op::Put { segment, at, bytes } => {
                    let vouches = if at == 0 { found } else { vouches };
                    Undone::Put { segment, at: at as usize, bytes, write, vouches }
                }
            });
        }
        self.done
    }

    /// Deletes files, durably with the next sync.
    pub fn delete(&mut self, segments: &[u64]) {
        for &segment in segments {
            self.done += 1;
            self.undone.push_back(Undone::Delete { segment });
        }
    }

    /// The number of the last operation.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// A sync that was begun after operation `through` is complete.
    pub fn sync(&mut self, through: u64) {
        while self.synced < through {
            let Some(undone) = self.undone.pop_front() else { return };
            self.synced += 1;
            self.settle(undone);
        }
    }

    /// Brings an operation to stable storage.
    fn settle(&mut self, undone: Undone) {
        match undone {
            Undone::Create { segment } => self.create(segment).named = true,
            Undone::Put { segment, at, bytes, write, vouches } => {
                let Some(file) = self.file(segment) else { return };
                Arc::make_mut(&mut file.bytes)[at..at + bytes.len()].copy_from_slice(&bytes);
                file.synced.push((write, at, bytes.len()));
                self.vouched = self.vouched.max(vouches);
            }
            Undone::Delete { segment } => self.files.retain(|file| file.segment != segment),
        }
    }

    fn file(&mut self, segment: u64) -> Option<&mut File> {
        self.files.iter_mut().rev().find(|file| file.segment == segment)
    }

    fn create(&mut self, segment: u64) -> &mut File {
        let size = self.layout.segment_bytes() as usize;
        let at = self.files.iter().position(|file| file.segment == segment).unwrap_or_else(|| {
            self.files.push(File {
                segment,
                bytes: Arc::new(vec![0; size]),
                named: false,
                synced: Vec::new(),
            });
            self.files.len() - 1
        });
        &mut self.files[at]
    }

    /// The power is gone, and with it any part of what was not synced. (A process that dies alone leaves everything to
    /// the system, which holds it back still.)
    pub fn power_cut(&mut self, node: usize, choices: &mut impl Choices) -> Leftovers {
        let site = Site::new(Purpose::Crash, node);
        let mut leftovers = Leftovers::default();
        let mode = choices.pick(site, 4);
        let puts: Vec<(u64, usize, Bytes)> = self.undone.iter().filter_map(Undone::bytes).collect();
        while let Some(undone) = self.undone.pop_front() {
            self.synced += 1;
            let fate = match mode {
                0 => 0,
                1 => 3,
                2 => choices.pick(site, 4),
                _ => choices.pick(site, 2) * 3,
            };
            self.leave(undone, fate, site, choices, &mut leftovers);
        }
        leftovers.parted = self.parts(&puts);
        leftovers
    }

    /// Whether of the records of one write that were put there one is whole, and no copy of another one is there.
    fn parts(&self, puts: &[(u64, usize, Bytes)]) -> bool {
        let data_at = HEADER_BYTES as usize + self.layout.ids_bytes as usize;
        let mut records = BTreeMap::<(Sequence, u32), (bool, bool)>::new();
        for (segment, at, bytes) in puts {
            let stands = |from: usize, to: usize| {
                let file = self.files.iter().find(|file| file.segment == *segment);
                file.is_some_and(|file| file.bytes[at + from..at + to] == bytes[from..to])
            };
            // A header stands at a multiple of 8; in `ids` its payload may be elsewhere.
            for from in (0..bytes.len()).step_by(8) {
                let Some(record) = Stored::header(bytes, from) else { continue };
                let (whole, there) = records.entry((record.write, record.part)).or_default();
                *there |= stands(from, from + 104);
                *whole |= *at >= data_at && record.end <= bytes.len() && stands(from, record.end);
            }
        }
        let mut writes = BTreeMap::<Sequence, (bool, bool)>::new();
        for ((write, _), (whole, there)) in records {
            let (kept, lost) = writes.entry(write).or_default();
            *kept |= whole;
            *lost |= !there;
        }
        writes.values().any(|(kept, lost)| *kept && *lost)
    }

    /// What becomes of one operation that was not synced: 0 it is kept, 3 it is gone, otherwise a put is torn.
    fn leave(
        &mut self,
        undone: Undone,
        fate: u64,
        site: Site,
        choices: &mut impl Choices,
        leftovers: &mut Leftovers,
    ) {
        match (undone, fate) {
            (undone @ Undone::Put { .. }, 0) => {
                leftovers.kept += 1;
                self.settle(undone);
            }
            (undone, 0) => self.settle(undone),
            (Undone::Put { segment, at, bytes, .. }, 1 | 2) => {
                leftovers.torn += 1;
                let cut = choices.pick(site, bytes.len() as u64 + 1) as usize;
                let (from, to) = if fate == 1 { (0, bytes.len() - cut) } else { (cut, bytes.len()) };
                if let Some(file) = self.file(segment) {
                    Arc::make_mut(&mut file.bytes)[at + from..at + to].copy_from_slice(&bytes[from..to]);
                }
            }
            (Undone::Put { .. }, _) => leftovers.lost += 1,
            // The file is there, but it is empty: its length was written with its name, its content was not.
            (Undone::Create { segment }, 1 | 2) => self.create(segment).named = true,
            (Undone::Create { .. } | Undone::Delete { .. }, _) => {}
        }
    }

    /// The content of all files, as a process reads it that starts now. What the system still held back is synced
    /// first, so that nothing can be read and then be lost.
    pub fn read(&mut self) -> Vec<(u64, Bytes)> {
        self.sync(self.done);
        let shared = |file: &File| (file.segment, Bytes::from_owner(Content(file.bytes.clone())));
        self.files.iter().map(shared).collect()
    }

    /// The size of a segment's file.
    pub fn segment_bytes(&self) -> u64 {
        self.layout.segment_bytes()
    }

    /// The room that its files take, those included that are not synced yet, and those that are to be deleted.
    pub fn bytes(&self) -> u64 {
        let new = self.undone.iter().filter(|undone| matches!(undone, Undone::Create { .. })).count();
        (self.files.len() + new) as u64 * self.segment_bytes()
    }

    /// Empties the disk.
    pub fn wipe(&mut self) {
        *self = Disk::new(self.layout);
    }

    /// A write that a later record vouches for decays: one of its bits flips, or one of its sectors reads as before it, or
    /// it went to a wrong place. What a crash could have lost is left alone, and with it the record that vouches. Where,
    /// the segments and their places; nowhere if there is no such write.
    pub fn rot(&mut self, choices: &mut impl Choices) -> Vec<(u64, usize)> {
        let site = Site::from(Purpose::Rots);
        // What was vouched for last has the fewest witnesses.
        let newest = choices.pick(site, 2) == 0;
        let all: Vec<(usize, usize, usize)> = self.rotting(newest).collect();
        let Some(&(file, start, length)) = all.get(choices.pick(site, all.len() as u64) as usize) else {
            return Vec::new();
        };
        let segment = self.files[file].segment;
        match choices.pick(Purpose::Decays.into(), 4) {
            2 => {
                let place = start + choices.pick(site, length as u64) as usize;
                let end = ((place / SECTOR + 1) * SECTOR).min(self.files[file].bytes.len());
                let from = start.max(place / SECTOR * SECTOR);
                self.overwrite(file, from, &vec![0; end - from])
                    .map(|()| (segment, from))
                    .into_iter()
                    .collect()
            }
            3 => {
                let (other, to, _) = all[choices.pick(site, all.len() as u64) as usize];
                let bytes = self.files[file].bytes[start..start + length].to_vec();
                if (other, to) == (file, start) || self.overwrite(other, to, &bytes).is_none() {
                    return Vec::new();
                }
                // The two may overlap: then its own place is no more what it was, either way.
                let gone = self.overwrite(file, start, &vec![0; length]);
                let landed = (self.files[other].segment, to);
                gone.map(|()| (segment, start)).into_iter().chain([landed]).collect()
            }
            _ => {
                let place = start + choices.pick(site, length as u64) as usize;
                let bit = 1 << choices.pick(site, 8);
                Arc::make_mut(&mut self.files[file].bytes)[place] ^= bit;
                vec![(segment, place)]
            }
        }
    }

    /// The commands on stable storage: the file, the entry and its write, the place and the length.
    fn commands(&self) -> impl Iterator<Item = (usize, EntryId, Sequence, usize, usize)> + '_ {
        let data_at = HEADER_BYTES as usize + self.layout.ids_bytes as usize;
        self.files.iter().enumerate().flat_map(move |(number, file)| {
            let records = iter::successors(Stored::read(&file.bytes, data_at), |record| {
                Stored::read(&file.bytes, record.end)
            });
            records.filter_map(move |record| {
                let (id, length) = record.command?;
                Some((number, id, record.write, record.payload, length))
            })
        })
    }

    /// Whether every record of a command can be found and may decay: none is such as a crash could have lost.
    pub fn may_lose(&self, id: EntryId) -> bool {
        let mut records = self.commands().filter(|(_, known, ..)| *known == id).peekable();
        records.peek().is_some() && records.all(|(_, _, write, ..)| write <= self.vouched)
    }

    /// Of the commands that may be lost, one in `share` is, or with 0 the first and the last: a bit of its bytes flips. What a
    /// crash could have lost is left alone. Which, the segments and their places.
    pub fn moth(
        &mut self,
        share: u64,
        may: impl Fn(EntryId) -> bool,
        choices: &mut impl Choices,
    ) -> Vec<(EntryId, u64, usize)> {
        let lost = self.commands().filter(|(_, id, write, ..)| *write <= self.vouched && may(*id));
        let lost: Vec<_> = lost.collect();
        let (site, last) = (Site::from(Purpose::Moths), lost.len().saturating_sub(1));
        let mut places = Vec::new();
        for (at, (number, id, _, payload, length)) in lost.into_iter().enumerate() {
            let hit = if share == 0 { at == 0 || at == last } else { choices.pick(site, share) == 0 };
            if hit {
                let (place, bit) =
                    (payload + choices.pick(site, length as u64) as usize, choices.pick(site, 8));
                let file = &mut self.files[number];
                Arc::make_mut(&mut file.bytes)[place] ^= 1 << bit;
                places.push((id, file.segment, place));
            }
        }
        places
    }

    /// What may decay, or of it the newest: the file, the place and the length.
    fn rotting(&self, newest: bool) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let vouched = self.vouched;
        self.files.iter().enumerate().flat_map(move |(at, file)| {
            let fits = move |write: Sequence| if newest { write == vouched } else { write <= vouched };
            let fit = file.synced.iter().filter(move |(write, ..)| fits(*write));
            fit.map(move |(_, start, length)| (at, *start, *length))
        })
    }

    /// Overwrites a place, unless that would take what nobody vouches for.
    fn overwrite(&mut self, file: usize, at: usize, bytes: &[u8]) -> Option<()> {
        let (vouched, end) = (self.vouched, at + bytes.len());
        let file = &mut self.files[file];
        let meets = |start: usize, length: usize| start < end && at < start + length;
        let spared =
            file.synced.iter().any(|(write, start, length)| *write > vouched && meets(*start, *length));
        let place = Arc::make_mut(&mut file.bytes).get_mut(at..end).filter(|_| !spared)?;
        place.copy_from_slice(bytes);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::Random;
    use raft_core::wal::{Identity, recover};
    use raft_core::{Base, ClusterId, DiskId, Entry, Membership, NodeId, Payload, Update};

    const LAYOUT: Layout = Layout { ids_bytes: 1_664, data_bytes: 4_096 };

    /// A write of four records is put on an empty disk, and the power is cut: whether it was parted, and how many entries
    /// the next start finds.
    fn cut(seed: u64) -> (bool, usize) {
        let identity = Identity { cluster: ClusterId(1), node: NodeId(1), disk: DiskId(7) };
        let mut wal = recover(identity, LAYOUT, Vec::new()).unwrap().wal;
        let membership = Membership::founders([NodeId(1)]).unwrap();
        let base = Some(Base { id: EntryId::ORIGIN, hash: 0, membership });
        let command = |index| Payload::Command(vec![7; 40 * index as usize].into());
        let entries = (1..4).map(|index| Entry::new(EntryId::new(1, index), command(index))).collect();
        let (mut disk, mut ops) = (Disk::new(LAYOUT), Vec::new());
        let write = wal.append(&Update { base, entries, ..Update::default() }, &mut ops).unwrap();
        disk.put(&mut ops, write, Sequence(0), true);
        let parted = disk.power_cut(1, &mut Random::new(seed, false)).parted;
        (parted, recover(identity, LAYOUT, disk.read()).unwrap().recovered.entries.len())
    }

    #[test]
    fn a_write_of_which_one_record_is_gone_is_gone() {
        let cuts: Vec<(bool, usize)> = (0..200).map(cut).collect();
        assert!(cuts.iter().all(|(parted, found)| [0, 3].contains(found) && !(*parted && *found == 3)));
        for wanted in [(true, 0), (false, 0), (false, 3)] {
            assert!(cuts.contains(&wanted), "{wanted:?}");
        }
    }
}
