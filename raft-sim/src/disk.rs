//! A disk: what is put into files is on stable storage only after a sync. A crash keeps any part of the rest, torn at
//! any byte; a new file may be gone, a deleted one be back.

use crate::choices::{Choices, Purpose, Site};
use bytes::Bytes;
use raft_core::wal::{Layout, Op, Sequence};
use std::collections::VecDeque;
use std::sync::Arc;

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

/// What was done and not synced.
#[derive(Clone, Debug)]
enum Undone {
    Create { segment: u64 },
    Put { segment: u64, at: usize, bytes: Bytes, write: Sequence, vouches: Sequence },
    Delete { segment: u64 },
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

    /// Carries out what belongs to a write; its records say that everything up to `vouches` is synced. The number of
    /// the last operation, for [`Disk::sync`].
    pub fn put(&mut self, ops: &mut Vec<Op>, write: Sequence, vouches: Sequence) -> u64 {
        for op in ops.drain(..) {
            self.done += 1;
            self.undone.push_back(match op {
                Op::Create { segment } => Undone::Create { segment },
                Op::Put { segment, at, bytes } => {
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
                self.vouched = self.vouched.max(vouches);
                let Some(file) = self.file(segment) else { return };
                Arc::make_mut(&mut file.bytes)[at..at + bytes.len()].copy_from_slice(&bytes);
                file.synced.push((write, at, bytes.len()));
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
        leftovers
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

    /// Empties the disk.
    pub fn wipe(&mut self) {
        *self = Disk::new(self.layout);
    }

    /// Flips a bit of a write that a later record vouches for. Where, if there is any such write.
    pub fn rot(&mut self, choices: &mut impl Choices) -> Option<(u64, usize)> {
        let site = Site::from(Purpose::Rots);
        let vouched = self.vouched;
        let rotting = |file: &File| file.synced.iter().filter(|(write, ..)| *write <= vouched).count() as u64;
        let all: u64 = self.files.iter().map(rotting).sum();
        let mut at = choices.pick(site, all);
        for file in &mut self.files {
            let here = rotting(file);
            if at < here {
                let mut synced = file.synced.iter().filter(|(write, ..)| *write <= vouched);
                let (_, start, length) = *synced.nth(at as usize)?;
                let place = start + choices.pick(site, length as u64) as usize;
                let bit = 1 << choices.pick(site, 8);
                *Arc::make_mut(&mut file.bytes).get_mut(place)? ^= bit;
                return Some((file.segment, place));
            }
            at -= here;
        }
        None
    }
}
