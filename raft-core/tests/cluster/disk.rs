//! A disk that keeps what was synced, and nothing else, over a crash.

use raft_core::{Entry, Index, Log, Recovered, Update, Write};
use std::collections::VecDeque;

/// A write that the node put out. Its receipt is handed in once.
struct Pending {
    number: u64,
    update: Update,
    write: Option<Write>,
    synced: bool,
}

/// What a server has on stable storage, and the writes on their way there.
#[derive(Default)]
pub(crate) struct Disk {
    image: Recovered,
    writes: VecDeque<Pending>,
    /// What the node doesn't need any more.
    released: Index,
    /// Receipts wait for `persist`.
    pub(crate) slow: bool,
}

impl Disk {
    pub(crate) fn new(image: Recovered) -> Disk {
        Disk { image, ..Disk::default() }
    }

    pub(crate) fn write(&mut self, write: Write) {
        let (number, update) = (write.number(), write.update().clone());
        self.writes.push_back(Pending { number, update, write: Some(write), synced: false });
    }

    /// Puts the chosen writes on stable storage, without telling the node.
    pub(crate) fn sync(&mut self, chosen: impl Fn(u64) -> bool) {
        for write in self.writes.iter_mut().filter(|write| chosen(write.number)) {
            write.synced = true;
        }
    }

    /// Syncs the chosen writes and takes them out, for their receipts.
    pub(crate) fn finish(&mut self, chosen: impl Fn(u64) -> bool) -> Vec<Write> {
        self.sync(&chosen);
        let due = self.writes.iter_mut().filter(|write| chosen(write.number));
        let taken = due.filter_map(|write| write.write.take()).collect();
        while let Some(done) = self.writes.pop_front_if(|write| write.synced && write.write.is_none()) {
            change(&mut self.image, done.update);
        }
        taken
    }

    /// A crash: of the writes on their way, the unbroken run of synced ones is kept, as the log's recovery does it.
    /// The numbers of those that are gone.
    pub(crate) fn crash(&mut self) -> Vec<u64> {
        while let Some(done) = self.writes.pop_front_if(|write| write.synced) {
            change(&mut self.image, done.update);
        }
        self.writes.drain(..).map(|write| write.number).collect()
    }

    /// What a crash would keep now.
    pub(crate) fn synced(&self) -> Recovered {
        let mut image = self.image.clone();
        for write in self.writes.iter().take_while(|write| write.synced) {
            change(&mut image, write.update.clone());
        }
        image
    }

    /// The writes whose receipts were not handed in.
    pub(crate) fn pending(&self) -> Vec<u64> {
        self.writes.iter().filter(|write| write.write.is_some()).map(|write| write.number).collect()
    }

    /// Entries up to here may go. They do when the log is next recovered: until then nobody can tell.
    pub(crate) fn release(&mut self, through: Index) {
        self.released = self.released.max(through);
    }

    /// The bytes of a command are lost.
    pub(crate) fn decay(&mut self, index: Index) {
        let entry = self.image.entries.iter_mut().find(|entry| entry.index() == index).expect("it is stored");
        *entry = Entry::decayed(entry.id(), entry.hash(), entry.size() as u32);
    }

    /// What a start finds.
    pub(crate) fn image(&mut self) -> Recovered {
        let image = &mut self.image;
        let log = Log::recovered(image.base.as_ref(), image.entries.iter().cloned());
        if let Some(base) = log.base_at(self.released).filter(|base| base.id > log.base()) {
            image.entries.retain(|entry| entry.index() > base.id.index);
            image.base = Some(base);
        }
        image.clone()
    }
}

/// Changes what is stored, in the order in which an update says it.
fn change(image: &mut Recovered, update: Update) {
    if let Some(hard) = update.hard {
        image.hard = hard;
    }
    if let Some(base) = update.base {
        image.base = Some(base);
        image.entries.clear();
    }
    if let Some(keep) = update.keep {
        image.entries.retain(|entry| entry.index() <= keep);
    }
    image.entries.extend(update.entries);
}
