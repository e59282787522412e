//! A real directory. What is done to it is seen by a library that stands before the C library's calls on files: it sees what
//! the shipped code does, whichever thread and whichever crate does it, and nothing had to be built into that code.

use crate::disk::{Content, Operation, Tree};
use crate::medium::Medium;
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const RECORDED: &str = "RAFT_KIT_RECORDED";
const TRACE: &str = "RAFT_KIT_TRACE";
const SCRATCH: &str = "RAFT_KIT_SCRATCH";

/// Words of a record's head: kind, file, place, and the lengths of two paths and the data.
const HEAD: usize = 6 * 8;

/// A directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Where it is put down what was done to it, if that is recorded.
    trace: Option<PathBuf>,
    /// Up to where that was read.
    read: u64,
}

/// Runs this test once more with the recorder in place; gives the recorded directory and one for trials if this is that
/// run. It needs Linux and a C compiler named `cc`.
///
/// # Panics
/// If the other run failed, as it said itself.
pub fn recorded(test: &str) -> Option<(Directory, Directory)> {
    if let Some(path) = std::env::var_os(RECORDED) {
        let named = |variable| PathBuf::from(std::env::var_os(variable).expect("they are set together"));
        let directory = |path, trace| Directory { path, trace, read: 0 };
        return Some((directory(path.into(), Some(named(TRACE))), directory(named(SCRATCH), None)));
    }
    // In memory, where there is such a place: the disk is a model, and nothing here waits for a real one.
    let place = Some(Path::new("/dev/shm")).filter(|place| place.is_dir());
    let place = place.map_or_else(std::env::temp_dir, Path::to_path_buf);
    // The recorder knows what is open by the path that the system has for it.
    let place =
        place.canonicalize().and_then(tempfile::tempdir_in).expect("a directory for trials can be made");
    let path = |name: &str| place.path().join(name);
    let (recorded, scratch, library) = (path("recorded"), path("scratch"), path("recorder.so"));
    fs::create_dir(&recorded).and_then(|()| fs::create_dir(&scratch)).expect("there is room in it");
    compile(place.path(), &library);
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args([test, "--exact", "--nocapture", "--test-threads", "1"]);
    command.env("LD_PRELOAD", &library).env(RECORDED, &recorded).env(SCRATCH, &scratch);
    let status = command.env(TRACE, path("trace")).status().expect("this program runs once more");
    assert!(status.success(), "the recorded run of {test} failed, as said above");
    None
}

fn compile(place: &Path, library: &Path) {
    let source = place.join("recorder.c");
    fs::write(&source, include_str!("recorder.c")).expect("there is room for a few lines of C");
    let mut command = Command::new("cc");
    command.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(library).arg(&source).arg("-ldl");
    let output = command.output().expect("there is a C compiler named cc");
    assert!(output.status.success(), "recorder.c: {}", String::from_utf8_lossy(&output.stderr));
}

impl Directory {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything below, by its path relative to the directory.
    fn read(&self, below: &str, tree: &mut Tree) -> std::io::Result<()> {
        for entry in fs::read_dir(self.path.join(below))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            if entry.file_type()?.is_dir() {
                self.read(&path, tree)?;
                tree.insert(path, Content::Directory);
            } else {
                tree.insert(path, Content::File(Arc::new(fs::read(entry.path())?)));
            }
        }
        Ok(())
    }

    fn fill(&self, tree: &Tree) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        for (path, content) in tree {
            match content {
                Content::Directory => fs::create_dir(self.path.join(path))?,
                Content::File(bytes) => fs::write(self.path.join(path), bytes.as_slice())?,
            }
        }
        Ok(())
    }

    /// What was put down since the last time.
    fn traced(&mut self) -> std::io::Result<Bytes> {
        let Some(trace) = self.trace.as_ref().filter(|trace| trace.exists()) else { return Ok(Bytes::new()) };
        let mut file = File::open(trace)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

impl Medium for Directory {
    fn put(&mut self, tree: &Tree) {
        self.fill(tree).expect("a directory for trials takes everything");
        self.operations();
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        self.read("", &mut tree).expect("a directory for trials can be read");
        tree
    }

    fn operations(&mut self) -> Vec<Operation> {
        let mut bytes = self.traced().expect("the trace can be read");
        let mut found = Vec::new();
        // Another thread may be about to put down one more.
        while let Some((operation, length)) = operation(&bytes) {
            found.push(operation);
            self.read += length as u64;
            bytes = bytes.slice(length..);
        }
        found
    }
}

/// The record that these bytes begin with, and its length.
fn operation(bytes: &Bytes) -> Option<(Operation, usize)> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at * 8..at * 8 + 8)?.try_into().ok()?));
    let (kind, file, at) = (word(0)?, word(1)?, word(2)?);
    let first = HEAD + word(3)? as usize;
    let second = first + word(4)? as usize;
    let end = second + word(5)? as usize;
    let text = |from, to| Some(String::from_utf8_lossy(bytes.get(from..to)?).into_owned());
    let (path, other) = (text(HEAD, first)?, text(first, second)?);
    bytes.get(second..end)?;
    let operation = match kind {
        1 => Operation::Create { file, path },
        2 => Operation::Open { file, path },
        3 => Operation::MakeDirectory { path },
        4 => Operation::Write { file, at, bytes: bytes.slice(second..end) },
        5 => Operation::SetLength { file, length: at },
        6 => Operation::Sync { file },
        7 => Operation::Rename { from: path, to: other },
        8 => Operation::Delete { path },
        _ => Operation::Unknown(path),
    };
    Some((operation, end))
}
