//! Where a storage has its files, and how it is known what it did to them.

use crate::disk::{Disk, Operation, Tree};
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A directory, or what stands for one.
pub trait Medium {
    /// Holds this and nothing else from now on. No storage is open on it.
    fn put(&mut self, tree: &Tree);

    /// What it holds.
    fn tree(&self) -> Tree;

    /// What was done since this was asked last, in order; what [`Medium::put`] did is no part of it. Asked of the medium
    /// that is recorded alone.
    fn operations(&mut self) -> Vec<Operation>;
}

/// A directory in memory, for storages that are written against one, and for the kit's own tests. All that hold a clone
/// see the same files.
#[derive(Clone, Debug)]
pub struct Memory(Rc<RefCell<Files>>);

#[derive(Debug)]
struct Files {
    disk: Disk,
    done: Vec<Operation>,
    numbers: u64,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory(Rc::new(RefCell::new(Files { disk: Disk::new(&Tree::new()), done: Vec::new(), numbers: 0 })))
    }
}

impl Files {
    fn take(&mut self, operation: Operation) {
        if let Err(problem) = self.disk.take(&operation, |_| false) {
            panic!("can't {operation}: {problem}");
        }
        self.done.push(operation);
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

/// What a storage does to its files. Each panics on what no file system would do: to write to a file that isn't there.
impl Memory {
    /// The names of all files.
    pub fn list(&self) -> Vec<String> {
        self.0.borrow().disk.seen().into_keys().collect()
    }

    /// Makes a file and gives its number.
    pub fn create(&self, path: &str) -> u64 {
        let mut files = self.0.borrow_mut();
        let file = files.number();
        files.take(Operation::Create { file, path: path.to_string() });
        file
    }

    /// Opens a file, or the directory itself, whose path is empty, and gives its number.
    pub fn open(&self, path: &str) -> u64 {
        let mut files = self.0.borrow_mut();
        let file = files.number();
        files.take(Operation::Open { file, path: path.to_string() });
        file
    }

    /// Reads a file to its end.
    pub fn read(&self, file: u64) -> Arc<Vec<u8>> {
        self.0.borrow().disk.bytes(file).expect("it was opened, and is no directory")
    }

    /// Puts bytes into a file.
    pub fn write(&self, file: u64, at: u64, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.0.borrow_mut().take(Operation::Write { file, at, bytes });
    }

    /// Cuts a file.
    pub fn set_length(&self, file: u64, length: u64) {
        self.0.borrow_mut().take(Operation::SetLength { file, length });
    }

    /// Syncs a file or the directory.
    pub fn sync(&self, file: u64) {
        self.0.borrow_mut().take(Operation::Sync { file });
    }

    /// Gives a file another name.
    pub fn rename(&self, from: &str, to: &str) {
        self.0.borrow_mut().take(Operation::Rename { from: from.to_string(), to: to.to_string() });
    }

    /// Deletes a file.
    pub fn delete(&self, path: &str) {
        self.0.borrow_mut().take(Operation::Delete { path: path.to_string() });
    }
}

impl Medium for Memory {
    fn put(&mut self, tree: &Tree) {
        let mut files = self.0.borrow_mut();
        files.disk = Disk::new(tree);
        files.done.clear();
    }

    fn tree(&self) -> Tree {
        self.0.borrow().disk.seen()
    }

    fn operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.0.borrow_mut().done)
    }
}
