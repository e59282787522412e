//! The application and its snapshots: what is applied, files that outlive a crash, and what is under way.

use raft_core::write::Base;
use raft_core::{Entry, EntryId, Fetch, Input, Message, Payload, Recovered, Snapshot, Store, hash};
use std::collections::VecDeque;

/// Work with snapshots that may be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Capture,
    Fetch,
    Store,
}

/// What comes of a piece of work.
pub(crate) enum Done {
    Input(Input),
    Send(u64, Message),
}

/// The application of the tests: it remembers each command, in order.
#[derive(Default)]
pub(crate) struct Snapshots {
    /// The commands applied, each with a `;` behind it.
    pub(crate) state: String,
    /// Complete and verified files, oldest first. They outlive a crash, and so does `partial`.
    files: Vec<(Snapshot, String)>,
    partial: Option<(Snapshot, Vec<u8>)>,
    captures: VecDeque<(Base, String)>,
    fetches: VecDeque<Fetch>,
    stores: VecDeque<Store>,
    held: Vec<Work>,
}

/// A snapshot of a state.
pub(crate) fn snapshot(base: Base, state: &str) -> Snapshot {
    Snapshot { base, size: state.len() as u64, digest: hash::bytes(state.as_bytes()) }
}

impl Snapshots {
    /// A directory with a file for the snapshot that a drawn image begins with.
    pub(crate) fn new(image: &Recovered, state: &str) -> Snapshots {
        let file = image.snapshot.clone().map(|snapshot| (snapshot, state.to_owned()));
        Snapshots { files: file.into_iter().collect(), ..Snapshots::default() }
    }

    /// A start: the application is restored from the newest snapshot that the log holds.
    pub(crate) fn start(&mut self, image: &mut Recovered) {
        let newest = image.newest(self.files.iter().map(|(snapshot, _)| snapshot)).cloned();
        self.state = newest.as_ref().and_then(|it| self.file(it)).unwrap_or_default();
        image.snapshot = newest;
    }

    /// Memory is gone.
    pub(crate) fn crash(&mut self) {
        self.state.clear();
        self.captures.clear();
        self.fetches.clear();
        self.stores.clear();
    }

    pub(crate) fn apply(&mut self, entry: &Entry) {
        if let Payload::Command(command) = entry.payload() {
            self.state += &String::from_utf8_lossy(command);
            self.state.push(';');
        }
    }

    pub(crate) fn restore(&mut self, snapshot: &Snapshot) {
        self.state = self.file(snapshot).expect("what is restored was stored before");
        self.keep_two();
    }

    /// The state is frozen at its place in the stream, whenever it is written.
    pub(crate) fn capture(&mut self, base: Base) {
        assert!(self.captures.is_empty(), "one snapshot is taken at a time");
        self.captures.push_back((base, self.state.clone()));
    }

    pub(crate) fn fetch(&mut self, fetch: Fetch) {
        self.fetches.push_back(fetch);
    }

    pub(crate) fn store(&mut self, store: Store) {
        self.stores.push_back(store);
    }

    fn file(&self, wanted: &Snapshot) -> Option<String> {
        self.files.iter().find(|(snapshot, _)| snapshot == wanted).map(|(_, state)| state.clone())
    }

    /// The newest two, by what they cover.
    fn keep_two(&mut self) {
        self.files.sort_by_key(|(snapshot, _)| snapshot.last().index);
        self.files.drain(..self.files.len().saturating_sub(2));
    }

    /// Complete files, oldest first.
    pub(crate) fn files(&self) -> &[(Snapshot, String)] {
        &self.files
    }

    /// What is there of a snapshot that is not complete.
    pub(crate) fn partial(&self) -> Option<(EntryId, usize)> {
        self.partial.as_ref().map(|(snapshot, data)| (snapshot.last(), data.len()))
    }

    /// Damages a file that was not complete.
    pub(crate) fn damage(&mut self) {
        let (_, data) = self.partial.as_mut().expect("a part is there");
        data.first_mut().into_iter().for_each(|byte| *byte ^= 1);
    }

    /// All complete files are gone.
    pub(crate) fn forget(&mut self) {
        self.files.clear();
    }

    pub(crate) fn hold(&mut self, work: Work, held: bool) {
        self.held.retain(|it| *it != work);
        if held {
            self.held.push(work);
        }
    }

    pub(crate) fn is_held(&self, work: Work) -> bool {
        self.held.contains(&work)
    }

    /// How many pieces of work wait.
    pub(crate) fn waiting(&self, work: Work) -> usize {
        match work {
            Work::Capture => self.captures.len(),
            Work::Fetch => self.fetches.len(),
            Work::Store => self.stores.len(),
        }
    }

    /// Carries out the oldest piece of work.
    pub(crate) fn work(&mut self, work: Work) -> Option<Done> {
        match work {
            Work::Capture => {
                let (base, state) = self.captures.pop_front()?;
                let snapshot = snapshot(base, &state);
                self.files.push((snapshot.clone(), state));
                self.keep_two();
                Some(Done::Input(Input::Captured(Some(snapshot))))
            }
            Work::Fetch => {
                let fetch = self.fetches.pop_front()?;
                let Some(state) = self.file(fetch.snapshot()) else {
                    return Some(Done::Input(Input::Missing { last: fetch.snapshot().last() }));
                };
                let (from, to) = (fetch.offset() as usize, fetch.to().0);
                let data = state.as_bytes()[from..from + fetch.length()].to_vec();
                Some(Done::Send(to, fetch.fill(data.into())))
            }
            Work::Store => {
                let store = self.stores.pop_front()?;
                let have = self.take(&store);
                Some(Done::Input(Input::Stored(store.stored(have))))
            }
        }
    }

    /// The oldest piece of work comes to nothing, and the node is told.
    pub(crate) fn fail(&mut self, work: Work) -> Option<Input> {
        match work {
            Work::Capture => self.captures.pop_front().map(|_| Input::Captured(None)),
            Work::Fetch => {
                self.fetches.pop_front().map(|fetch| Input::Missing { last: fetch.snapshot().last() })
            }
            Work::Store => {
                let store = self.stores.pop_front()?;
                self.partial = None;
                Some(Input::Stored(store.stored(0)))
            }
        }
    }

    /// The oldest piece of work is forgotten, without a word.
    pub(crate) fn lose(&mut self, work: Work) {
        match work {
            Work::Capture => drop(self.captures.pop_front()),
            Work::Fetch => drop(self.fetches.pop_front()),
            Work::Store => drop(self.stores.pop_front()),
        }
    }

    /// Stores a part as [`Store`] says it. What is there then, without a hole.
    fn take(&mut self, store: &Store) -> u64 {
        let snapshot = store.snapshot();
        if self.file(snapshot).is_some() {
            return snapshot.size;
        }
        let (_, data) = match &mut self.partial {
            Some(partial) if partial.0 == *snapshot => partial,
            other => other.insert((snapshot.clone(), vec![])),
        };
        if store.offset() == data.len() as u64 {
            data.extend(store.data());
        }
        let have = data.len() as u64;
        if have < snapshot.size {
            return have;
        }
        let (snapshot, data) = self.partial.take().expect("it is there");
        if hash::bytes(&data) != snapshot.digest {
            return 0;
        }
        let state = String::from_utf8(data).expect("states are text");
        self.files.push((snapshot, state));
        have
    }
}
