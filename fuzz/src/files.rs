//! Snapshots without their bytes: the complete ones, and what is under way.

use crate::draw::Draw;
use bytes::Bytes;
use raft_core::write::Base;
use raft_core::{Fetch, Input, Message, NodeId, Recovered, Snapshot, Store};
use std::collections::VecDeque;

#[derive(Default)]
pub(crate) struct Files {
    complete: Vec<Snapshot>,
    partial: Option<(Snapshot, u64)>,
    captures: VecDeque<Base>,
    fetches: VecDeque<Fetch>,
    stores: VecDeque<Store>,
}

/// How many parts to send may wait: a driver that is slower forgets them.
const FETCHES: usize = 64;

impl Files {
    pub(crate) fn new(snapshot: Option<Snapshot>) -> Files {
        Files { complete: snapshot.into_iter().collect(), ..Files::default() }
    }

    pub(crate) fn newest(&self, recovered: &Recovered) -> Option<Snapshot> {
        recovered.newest(&self.complete).cloned()
    }

    pub(crate) fn complete(&self) -> impl Iterator<Item = &Snapshot> {
        self.complete.iter()
    }

    /// What is not on the disk is gone.
    pub(crate) fn crash(&mut self) {
        let (complete, partial) = (std::mem::take(&mut self.complete), self.partial.take());
        *self = Files { complete, partial, ..Files::default() };
    }

    pub(crate) fn capture(&mut self, base: Base) {
        assert!(self.captures.is_empty(), "one snapshot is taken at a time");
        self.captures.push_back(base);
    }

    pub(crate) fn fetch(&mut self, fetch: Fetch) {
        self.fetches.truncate(FETCHES - 1);
        self.fetches.push_front(fetch);
    }

    pub(crate) fn store(&mut self, store: Store, most: usize) {
        self.stores.push_back(store);
        // One more than the window: the question, too, carries a part.
        assert!(self.stores.len() <= most + 1, "{} parts wait to be stored", self.stores.len());
    }

    /// What is older than an installed snapshot may go.
    pub(crate) fn keep_from(&mut self, snapshot: &Snapshot) {
        assert!(self.complete.contains(snapshot), "what is restored was stored before");
        self.complete.retain(|it| it.last().index >= snapshot.last().index);
    }

    /// A capture, a part or a question about a part ends, well or not.
    pub(crate) fn work(&mut self, draw: &mut Draw<'_>) -> Option<Done> {
        let fails = draw.rarely(8);
        Some(match draw.below(3) {
            0 => {
                let base = self.captures.pop_front()?;
                let snapshot = Snapshot { size: draw.below(30) as u64, digest: base.id.index.0, base };
                self.complete.extend((!fails).then(|| snapshot.clone()));
                Done::Input(Input::Captured((!fails).then_some(snapshot)))
            }
            1 => {
                let fetch = self.fetches.pop_back()?;
                if fails || !self.complete.contains(fetch.snapshot()) {
                    return Some(Done::Input(Input::Missing { last: fetch.snapshot().last() }));
                }
                let (to, data) = (fetch.to(), Bytes::from(vec![7; fetch.length()]));
                Done::Send(to, fetch.fill(data))
            }
            _ => {
                let at = draw.below(self.stores.len().clamp(1, 256));
                let store = self.stores.remove(at)?;
                let have = self.take(&store, fails);
                Done::Input(Input::Stored(store.stored(have)))
            }
        })
    }

    fn take(&mut self, store: &Store, damaged: bool) -> u64 {
        let snapshot = store.snapshot();
        if self.complete.contains(snapshot) {
            return snapshot.size;
        }
        let (_, have) = match &mut self.partial {
            Some(partial) if partial.0 == *snapshot => partial,
            other => other.insert((snapshot.clone(), 0)),
        };
        if store.offset() == *have {
            *have += store.data().len() as u64;
        }
        let have = *have;
        if have < snapshot.size {
            return have;
        }
        self.partial = None;
        // Nothing can't be damaged.
        if damaged && have > 0 {
            return 0;
        }
        self.complete.push(snapshot.clone());
        have
    }
}

/// What comes of work.
pub(crate) enum Done {
    Input(Input),
    Send(NodeId, Message),
}
