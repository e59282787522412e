//! What a leader knows of one server's log, and how it sends to it.

use crate::config::Limits;
use crate::ids::{EntryId, Index, Round};
use crate::sending::Sending;
use crate::snapshot::Snapshot;
use crate::status::FlowName;
use alloc::collections::VecDeque;

/// How entries are sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flow {
    /// Where the logs meet isn't known: one message at a time, answered or given up before the next.
    Probe {
        /// The first entry to send; the one before it is the question.
        next: Index,
        /// A question is on its way.
        asked: bool,
    },
    /// The logs meet: entries are streamed within the window.
    Replicate {
        /// The first entry to send.
        next: Index,
        /// Appends on their way: the last index and the payload bytes of each.
        window: VecDeque<(Index, usize)>,
        /// The sum of the bytes.
        bytes: usize,
    },
    /// The leader's log begins behind what the server holds: a snapshot is streamed.
    Snapshot(Sending),
}

/// One server's progress. Invariant: `matched` is below what is sent next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    /// Everything up to here is durable there, in this leader's order.
    pub(crate) matched: Index,
    /// The newest round that it acknowledged.
    pub(crate) round: Round,
    /// The newest commit index that it was told.
    pub(crate) told: Index,
    /// How entries are sent.
    pub(crate) flow: Flow,
}

impl Progress {
    /// Nothing is known yet: begin with what follows `last` (Figure 2: nextIndex starts at the leader's last + 1).
    pub(crate) fn new(last: Index) -> Progress {
        Progress {
            matched: Index(0),
            round: Round(0),
            told: Index(0),
            flow: Flow::Probe { next: last.next(), asked: false },
        }
    }

    /// The server restarted, or a window was lost: what is on its way is forgotten, what is matched stays.
    pub(crate) fn probe(&mut self, next: Index) {
        self.flow = Flow::Probe { next: next.max(self.matched.next()), asked: false };
    }

    /// The entries to send next are gone: a snapshot covers them.
    pub(crate) fn send_snapshot(&mut self, snapshot: Snapshot) {
        self.flow = Flow::Snapshot(Sending::new(snapshot));
    }

    /// The snapshot that is being sent.
    pub(crate) fn sending(&mut self) -> Option<&mut Sending> {
        match &mut self.flow {
            Flow::Snapshot(sending) => Some(sending),
            Flow::Probe { .. } | Flow::Replicate { .. } => None,
        }
    }

    /// How entries are sent, in a word.
    pub(crate) fn name(&self) -> FlowName {
        match self.flow {
            Flow::Probe { .. } => FlowName::Probe,
            Flow::Replicate { .. } => FlowName::Replicate,
            Flow::Snapshot(_) => FlowName::Snapshot,
        }
    }

    /// The first entry to send: while a snapshot is sent, the one behind it.
    pub(crate) fn next(&self) -> Index {
        match &self.flow {
            Flow::Probe { next, .. } | Flow::Replicate { next, .. } => *next,
            Flow::Snapshot(sending) => sending.last().index.next(),
        }
    }

    /// Payload bytes on their way.
    pub(crate) fn bytes(&self) -> usize {
        match &self.flow {
            Flow::Probe { .. } => 0,
            Flow::Replicate { bytes, .. } => *bytes,
            Flow::Snapshot(sending) => usize::try_from(sending.on_the_way()).unwrap_or(usize::MAX),
        }
    }

    /// What was on its way is lost: it is asked again where the logs meet, or what there is of the snapshot.
    pub(crate) fn lost(&mut self) {
        match &mut self.flow {
            Flow::Probe { asked, .. } => *asked = false,
            Flow::Replicate { .. } => self.probe(self.matched.next()),
            Flow::Snapshot(sending) => sending.lost(),
        }
    }

    /// Whether anything is on its way without an answer.
    pub(crate) fn waits(&self) -> bool {
        match &self.flow {
            Flow::Probe { asked, .. } => *asked,
            Flow::Replicate { window, .. } => !window.is_empty(),
            Flow::Snapshot(sending) => sending.waits(),
        }
    }

    /// Whether an append may leave now, for a log that ends at `last`. A probe is a question even without entries.
    pub(crate) fn may_send(&self, last: Index, limits: &Limits) -> bool {
        match &self.flow {
            Flow::Probe { asked, .. } => !asked,
            Flow::Replicate { next, window, bytes } => {
                *next <= last && window.len() < limits.inflight_appends && *bytes < limits.inflight_bytes
            }
            Flow::Snapshot(_) => false,
        }
    }

    /// An append up to `last` left.
    pub(crate) fn sent(&mut self, last: Index, size: usize) {
        match &mut self.flow {
            Flow::Probe { asked, .. } => *asked = true,
            Flow::Replicate { next, window, bytes } => {
                window.push_back((last, size));
                *bytes += size;
                *next = last.next();
            }
            Flow::Snapshot(_) => {}
        }
    }

    /// The server holds everything up to `matched`; the leader's log begins behind `base`. Whether that is news.
    pub(crate) fn appended(&mut self, matched: Index, base: Index) -> bool {
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        let after = self.matched.next();
        match &mut self.flow {
            // The entries that follow are gone, and the snapshot is still needed; or a newer one, if it has this one.
            Flow::Snapshot(sending) if self.matched < base => {
                if self.matched >= sending.last().index {
                    self.probe(after);
                }
            }
            Flow::Probe { .. } | Flow::Snapshot(_) => {
                self.flow = Flow::Replicate { next: after, window: VecDeque::new(), bytes: 0 };
            }
            Flow::Replicate { next, window, bytes } => {
                while let Some((_, size)) = window.pop_front_if(|(last, _)| *last < after) {
                    *bytes -= size;
                }
                *next = (*next).max(after);
            }
        }
        news
    }

    /// The server doesn't hold `asked`; a match may stand at or before `meet`. A rejection of what is matched, or of
    /// a question that was not asked last, is late and changes nothing (rule 9).
    pub(crate) fn conflict(&mut self, asked: EntryId, meet: Index) {
        let late = match self.flow {
            Flow::Probe { next, asked: waiting } => !waiting || next.previous() != Some(asked.index),
            Flow::Replicate { .. } => asked.index <= self.matched,
            Flow::Snapshot(_) => true,
        };
        if !late {
            self.probe(meet.next());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Term;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn a_late_rejection_never_moves_below_what_is_matched() {
        let mut progress = Progress::new(Index(9));
        progress.sent(Index(9), 0);
        progress.conflict(EntryId::new(1, 9), Index(3));
        assert_eq!(progress.next(), Index(4));
        assert!(progress.appended(Index(6), Index(0)));
        progress.conflict(EntryId::new(1, 5), Index(2));
        assert_eq!((progress.matched, progress.next()), (Index(6), Index(7)));
        progress.conflict(EntryId::new(1, 8), Index(2));
        assert_eq!(progress.next(), Index(7), "probes right after the match");
    }

    #[test]
    fn the_window_is_bounded_and_returns_to_zero() {
        let limits = Limits { inflight_appends: 2, inflight_bytes: 100, ..Limits::default() };
        let mut progress = Progress::new(Index(0));
        progress.appended(Index(0), Index(0));
        progress.sent(Index(1), 60);
        assert!(progress.may_send(Index(9), &limits));
        progress.sent(Index(2), 60);
        assert!(!progress.may_send(Index(9), &limits));
        progress.appended(Index(2), Index(0));
        assert!(!progress.waits() && progress.may_send(Index(9), &limits));
        assert!(matches!(progress.flow, Flow::Replicate { bytes: 0, .. }));
    }

    /// What happens to a follower that holds everything up to `meet` in the leader's order, and to what is on its way.
    #[derive(Clone, Debug)]
    enum Event {
        Propose,
        Send,
        /// An append arrives, and its answer may be late.
        Arrive(usize),
        /// An answer arrives, perhaps an old one again.
        Answer(usize),
        LoseAll,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            2 => Just(Event::Propose),
            4 => Just(Event::Send),
            4 => (0..8_usize).prop_map(Event::Arrive),
            4 => (0..8_usize).prop_map(Event::Answer),
            1 => Just(Event::LoseAll),
        ]
    }

    proptest! {
        /// Whatever is lost, late or repeated: what is matched is held and never goes back, the next entry comes after
        /// it, and the window's account is exact and within its limits.
        #[test]
        fn the_progress_is_true_in_any_order(
            last in 0..9_u64,
            meet in 0..9_u64,
            events in proptest::collection::vec(event(), 1..80),
        ) {
            let limits = Limits { inflight_appends: 3, inflight_bytes: 20, batch_entries: 2, ..Limits::default() };
            let (mut last, mut held) = (Index(last), Index(meet.min(last)));
            let mut progress = Progress::new(last);
            let (mut appends, mut answers) = (Vec::new(), Vec::new());
            for event in events {
                let before = progress.matched;
                match event {
                    Event::Propose => last = last.next(),
                    Event::Send if progress.may_send(last, &limits) => {
                        let prev = progress.next().previous().unwrap_or_default();
                        let end = Index(last.0.min(prev.0 + 2));
                        progress.sent(end, 7 * (end.0 - prev.0) as usize);
                        appends.push((prev, end));
                    }
                    Event::Arrive(at) if !appends.is_empty() => {
                        let (prev, end) = appends.remove(at % appends.len());
                        if prev <= held {
                            held = held.max(end);
                            answers.push(Ok(end));
                        } else {
                            answers.push(Err((prev, held.min(prev))));
                        }
                    }
                    Event::Answer(at) if !answers.is_empty() => match answers[at % answers.len()] {
                        Ok(matched) => drop(progress.appended(matched, Index(0))),
                        Err((asked, meet)) => progress.conflict(EntryId { term: Term(1), index: asked }, meet),
                    },
                    Event::LoseAll => {
                        appends.clear();
                        progress.probe(progress.matched.next());
                    }
                    Event::Send | Event::Arrive(_) | Event::Answer(_) => {}
                }
                prop_assert!(before <= progress.matched && progress.matched <= held);
                prop_assert!(progress.matched < progress.next());
                if let Flow::Replicate { window, bytes, .. } = &progress.flow {
                    prop_assert_eq!(*bytes, window.iter().map(|(_, size)| size).sum::<usize>());
                    prop_assert!(window.len() <= 3 && *bytes < 20 + 14);
                    prop_assert!(window.iter().is_sorted() && window.iter().all(|(end, _)| *end > progress.matched));
                }
            }
        }
    }
}
