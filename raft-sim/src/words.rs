//! Inputs and outputs in words, for who reads along.

use raft_core::{Body, Event, Input, Membership, Message, Output, Snapshot};

/// Inputs and outputs in words, in the notation of the golden scenarios: `index@term`.
pub(crate) struct Words<'a, T>(pub(crate) &'a T);

impl std::fmt::Display for Words<'_, Input> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Input::Receive { from, message } => write!(f, "from {from}: {}", Words(message)),
            Input::Persisted(receipt) => write!(f, "{receipt:?}"),
            Input::Propose { ticket, .. } => write!(f, "propose, ticket {ticket}"),
            Input::Captured(Some(snapshot)) => write!(f, "captured {}", Words(snapshot)),
            Input::Stored(_) => write!(f, "stored"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl std::fmt::Display for Words<'_, Output> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Output::Persist(write) => {
                let update = write.update();
                write!(f, "write {}:", write.number())?;
                if let Some(hard) = update.hard {
                    write!(f, " term {} vote {:?} boot {}", hard.term, hard.vote.map(|id| id.0), hard.boot)?;
                }
                if let Some(base) = &update.base {
                    write!(f, " base {}", base.id)?;
                }
                if let Some(keep) = update.keep {
                    write!(f, " keep {keep}")?;
                }
                if let (Some(first), Some(last)) = (update.entries.first(), update.entries.last()) {
                    write!(f, " entries {} to {}", first.id(), last.id())?;
                }
                Ok(())
            }
            Output::Send { to, message } => write!(f, "to {to}: {}", Words(message)),
            Output::Apply(entry) => write!(f, "apply {}", entry.id()),
            Output::Restore(snapshot) => write!(f, "restore {}", Words(snapshot)),
            Output::Event(Event::Membership { at, membership }) => {
                write!(f, "members since {at}: {}", Words(membership))
            }
            Output::Capture(base) => write!(f, "capture {}", base.id),
            Output::Fetch(fetch) => {
                let (to, from, length) = (fetch.to(), fetch.offset(), fetch.length());
                write!(f, "fetch {length} bytes at {from} of {} for {to}", Words(fetch.snapshot()))
            }
            Output::Store(store) => {
                let (from, length) = (store.offset(), store.data().len());
                write!(f, "store {length} bytes at {from} of {}", Words(store.snapshot()))
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl std::fmt::Display for Words<'_, Message> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Message { from, to, term, body } = self.0;
        write!(f, "[term {term}, boot {}", from.boot)?;
        if let Some(to) = to {
            write!(f, ", to boot {}", to.boot)?;
        }
        match body {
            Body::Append { slice, commit } => {
                let (prev, last, count) = (slice.prev(), slice.last(), slice.entries().len());
                write!(f, "] Append after {prev}, {count} entries to {last}, commit {commit}")
            }
            Body::Chunk { snapshot, offset, data } => {
                write!(f, "] Chunk of {} bytes at {offset} of {}", data.len(), Words(snapshot))
            }
            other => write!(f, "] {other:?}"),
        }
    }
}

impl std::fmt::Display for Words<'_, Snapshot> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the snapshot to {} ({} bytes)", self.0.last(), self.0.size)
    }
}

impl std::fmt::Display for Words<'_, Membership> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, member) in self.0.members().iter().enumerate() {
            let gap = if at > 0 { ", " } else { "" };
            write!(f, "{gap}{} {:?}", member.id, member.standing)?;
            match (member.disk, member.replaced) {
                (Some(disk), _) => write!(f, " of disk {disk}")?,
                (None, Some(disk)) => write!(f, " no more of disk {disk}")?,
                (None, None) => {}
            }
        }
        Ok(())
    }
}
