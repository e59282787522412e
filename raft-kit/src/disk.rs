//! A disk as pessimistic as POSIX lets it be. What is written to a file is on stable storage once that file is synced, what
//! is done to names once their directory is. A power cut keeps any part of the rest: writes in any subset, torn at any
//! byte; names in any subset, too, but those done to one name in their order, and a rename as a whole.

use crate::draw::Draw;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// What a directory holds, by paths relative to it.
pub type Tree = BTreeMap<String, Content>;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// A directory.
    Directory,
    /// A file with these bytes.
    File(Arc<Vec<u8>>),
}

/// One thing that a storage did to its files. Paths are relative to its directory; the number of a file is anything that
/// stays the same as long as the file is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new, empty file.
    Create {
        /// Its number from now on.
        file: u64,
        /// Its name.
        path: String,
    },
    /// A file or directory that was there is opened.
    Open {
        /// Its number from now on.
        file: u64,
        /// Its name; empty: the directory itself.
        path: String,
    },
    /// A new directory.
    MakeDirectory {
        /// Its name.
        path: String,
    },
    /// Bytes are put into a file.
    Write {
        /// Into which.
        file: u64,
        /// Where.
        at: u64,
        /// What.
        bytes: Bytes,
    },
    /// A file is cut, or filled with zeros.
    SetLength {
        /// Which.
        file: u64,
        /// To this length in bytes.
        length: u64,
    },
    /// A file or a directory is synced.
    Sync {
        /// Which.
        file: u64,
    },
    /// A name is changed. What stood at the new one goes.
    Rename {
        /// The old one.
        from: String,
        /// The new one, in the same directory.
        to: String,
    },
    /// A name goes.
    Delete {
        /// Which.
        path: String,
    },
    /// Something that this kit knows nothing of. It ends the run.
    Unknown(String),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Create { file, path } => write!(f, "create {path} (file {file})"),
            Operation::Open { file, path } => write!(f, "open {path:?} (file {file})"),
            Operation::MakeDirectory { path } => write!(f, "make the directory {path}"),
            Operation::Write { file, at, bytes } => {
                write!(f, "write {} bytes at {at} into file {file}", bytes.len())
            }
            Operation::SetLength { file, length } => write!(f, "set the length of file {file} to {length}"),
            Operation::Sync { file } => write!(f, "sync file {file}"),
            Operation::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Operation::Delete { path } => write!(f, "delete {path}"),
            Operation::Unknown(what) => write!(f, "{what}, which the kit can't follow"),
        }
    }
}

/// What a power cut takes of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: a process that dies alone leaves everything to the system.
    Nothing,
    /// All of it.
    Everything,
    /// What files hold, and no name.
    Contents,
    /// Names, and nothing that files hold.
    Names,
    /// Any part.
    Some,
}

type Names = BTreeMap<String, u64>;

/// A file's bytes or a directory's names.
#[derive(Clone, Debug)]
enum Body {
    File(Arc<Vec<u8>>),
    Directory(Names),
}

/// What was done and not synced.
#[derive(Clone, Debug)]
enum Change {
    Put {
        at: usize,
        bytes: Bytes,
    },
    Length(usize),
    /// All of it at once: what stands at these names from then on.
    Names(Vec<(String, Option<u64>)>),
}

#[derive(Clone, Debug)]
struct Object {
    /// On stable storage.
    stable: Body,
    /// As a process sees it.
    seen: Body,
    loose: Vec<Change>,
}

/// The directory of a storage. Nothing is ever forgotten of it, since a deletion may be undone.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    objects: Vec<Object>,
    /// Which file has which number at the moment, and by which name it was opened.
    open: BTreeMap<u64, (usize, String)>,
}

const ROOT: usize = 0;

impl Body {
    fn take(&mut self, change: &Change) {
        match (self, change) {
            (Body::File(file), Change::Put { at, bytes }) => {
                let file = Arc::make_mut(file);
                file.resize(file.len().max(at + bytes.len()), 0);
                file[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            (Body::File(file), Change::Length(length)) => Arc::make_mut(file).resize(*length, 0),
            (Body::Directory(names), Change::Names(cells)) => {
                for (name, object) in cells {
                    match object {
                        Some(object) => names.insert(name.clone(), *object),
                        None => names.remove(name),
                    };
                }
            }
            (Body::File(_), Change::Names(_)) | (Body::Directory(_), _) => unreachable!("the kinds agree"),
        }
    }
}

impl Object {
    fn new(body: Body) -> Object {
        Object { stable: body.clone(), seen: body, loose: Vec::new() }
    }

    fn change(&mut self, change: Change) {
        self.seen.take(&change);
        self.loose.push(change);
    }

    fn sync(&mut self) {
        self.stable = self.seen.clone();
        self.loose.clear();
    }

    /// What a power cut leaves of it.
    fn after(&self, loss: Loss, draw: &mut Draw) -> Body {
        let names = matches!(self.stable, Body::Directory(_));
        match loss {
            _ if self.loose.is_empty() => self.stable.clone(),
            Loss::Nothing => self.seen.clone(),
            Loss::Everything => self.stable.clone(),
            Loss::Contents if names => self.seen.clone(),
            Loss::Names if !names => self.seen.clone(),
            Loss::Contents | Loss::Names => self.stable.clone(),
            Loss::Some => self.any_part(draw),
        }
    }

    fn any_part(&self, draw: &mut Draw) -> Body {
        let mut body = self.stable.clone();
        // All of one fate, each of its own, or most of them kept.
        let mode = draw.below(5);
        let mut lost = BTreeSet::new();
        for change in &self.loose {
            let kept = match mode {
                0 => true,
                1 => false,
                2 => !draw.once_in(4),
                _ => draw.once_in(2),
            };
            match change {
                // What is done to one name is in order, and one operation is whole.
                Change::Names(cells) => {
                    if kept && cells.iter().all(|(name, _)| !lost.contains(name)) {
                        body.take(change);
                    } else {
                        lost.extend(cells.iter().map(|(name, _)| name));
                    }
                }
                Change::Length(_) if kept => body.take(change),
                Change::Put { .. } if kept => body.take(change),
                Change::Put { at, bytes } if mode != 1 => tear(&mut body, *at, bytes, draw),
                Change::Length(_) | Change::Put { .. } => {}
            }
        }
        body
    }
}

/// A part of a put is there: its beginning, its end, its length alone, or nothing.
fn tear(body: &mut Body, at: usize, bytes: &Bytes, draw: &mut Draw) {
    let cut = draw.below(bytes.len() + 1);
    let (from, part) = match draw.below(4) {
        0 => (at, bytes.slice(..cut)),
        1 => (at + cut, bytes.slice(cut..)),
        2 => (at + bytes.len(), Bytes::new()),
        _ => return,
    };
    body.take(&Change::Put { at: from, bytes: part });
}

/// A path's directory and its name there.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Disk {
    /// A disk that holds this, all of it on stable storage.
    pub(crate) fn new(tree: &Tree) -> Disk {
        let mut disk =
            Disk { objects: vec![Object::new(Body::Directory(Names::new()))], open: BTreeMap::new() };
        for (path, content) in tree {
            let body = match content {
                Content::Directory => Body::Directory(Names::new()),
                Content::File(bytes) => Body::File(bytes.clone()),
            };
            disk.name(path, body).expect("a directory stands before what is in it");
        }
        disk.objects.iter_mut().for_each(Object::sync);
        disk
    }

    fn find(&self, path: &str) -> Option<usize> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(ROOT, |at, name| {
            match &self.objects[at].seen {
                Body::Directory(names) => names.get(name).map(|object| *object as usize),
                Body::File(_) => None,
            }
        })
    }

    fn directory(&mut self, path: &str) -> Result<&mut Object, String> {
        let at = self.find(path).ok_or_else(|| format!("there is no directory {path:?}"))?;
        Ok(&mut self.objects[at])
    }

    /// Makes a file or directory.
    fn name(&mut self, path: &str, body: Body) -> Result<usize, String> {
        let (at, (directory, name)) = (self.objects.len(), split(path));
        self.directory(directory)?.change(Change::Names(vec![(name.to_string(), Some(at as u64))]));
        self.objects.push(Object::new(body));
        Ok(at)
    }

    fn opened(&mut self, file: u64) -> Result<&mut Object, String> {
        let (at, _) = self.open.get(&file).ok_or_else(|| format!("file {file} was not opened"))?;
        Ok(&mut self.objects[*at])
    }

    /// Carries out what a storage did. Of a sync of these names it says that it has, and hasn't.
    ///
    /// # Errors
    /// If that can't be.
    pub(crate) fn take(&mut self, operation: &Operation, lies: fn(&str) -> bool) -> Result<(), String> {
        match operation {
            Operation::Create { file, path } => {
                let made = self.name(path, Body::File(Arc::default()))?;
                self.open.insert(*file, (made, path.clone()));
            }
            Operation::Open { file, path } => {
                let found = self.find(path).ok_or_else(|| format!("there is no file {path}"))?;
                self.open.insert(*file, (found, path.clone()));
            }
            Operation::MakeDirectory { path } => drop(self.name(path, Body::Directory(Names::new()))?),
            Operation::Write { file, at, bytes } => {
                self.opened(*file)?.change(Change::Put { at: *at as usize, bytes: bytes.clone() });
            }
            Operation::SetLength { file, length } => {
                self.opened(*file)?.change(Change::Length(*length as usize));
            }
            Operation::Sync { file } => {
                let lied_about = self.open.get(file).is_some_and(|(_, name)| lies(name));
                let object = self.opened(*file)?;
                if !lied_about {
                    object.sync();
                }
            }
            Operation::Rename { from, to } => {
                let ((directory, old), (other, new)) = (split(from), split(to));
                if directory != other {
                    return Err("a rename from one directory to another can't be followed".into());
                }
                let object = self.find(from).ok_or_else(|| format!("there is no file {from}"))?;
                let cells = vec![(old.to_string(), None), (new.to_string(), Some(object as u64))];
                self.directory(directory)?.change(Change::Names(cells));
            }
            Operation::Delete { path } => {
                let (directory, name) = split(path);
                self.directory(directory)?.change(Change::Names(vec![(name.to_string(), None)]));
            }
            Operation::Unknown(what) => return Err(format!("{what}: the kit can't follow that")),
        }
        Ok(())
    }

    /// What is there after a power cut.
    pub(crate) fn after(&self, loss: Loss, draw: &mut Draw) -> Tree {
        let mut tree = Tree::new();
        let mut directories = vec![(String::new(), ROOT)];
        while let Some((above, at)) = directories.pop() {
            let Body::Directory(names) = self.objects[at].after(loss, draw) else { continue };
            for (name, object) in names {
                let object = object as usize;
                let path = if above.is_empty() { name } else { format!("{above}/{name}") };
                let content = match &self.objects[object].stable {
                    Body::Directory(_) => {
                        directories.push((path.clone(), object));
                        Content::Directory
                    }
                    Body::File(_) => match self.objects[object].after(loss, draw) {
                        Body::File(bytes) => Content::File(bytes),
                        Body::Directory(_) => unreachable!("a file stays one"),
                    },
                };
                tree.insert(path, content);
            }
        }
        tree
    }

    /// What a process sees.
    pub(crate) fn seen(&self) -> Tree {
        self.after(Loss::Nothing, &mut Draw::new(0))
    }

    /// The bytes of a file that is open.
    pub(crate) fn bytes(&self, file: u64) -> Option<Arc<Vec<u8>>> {
        match &self.objects[self.open.get(&file)?.0].seen {
            Body::File(bytes) => Some(bytes.clone()),
            Body::Directory(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(file: u64, path: &str) -> Operation {
        Operation::Create { file, path: path.into() }
    }

    fn write(file: u64, at: u64, text: &'static str) -> Operation {
        Operation::Write { file, at, bytes: Bytes::from_static(text.as_bytes()) }
    }

    fn rename(from: &str, to: &str) -> Operation {
        Operation::Rename { from: from.into(), to: to.into() }
    }

    /// Everything that power cuts after these operations leave, in words.
    fn left(operations: &[Operation]) -> BTreeSet<String> {
        let (mut disk, mut draw) = (Disk::new(&Tree::new()), Draw::new(1));
        disk.take(&Operation::Open { file: 0, path: String::new() }, |_| false).unwrap();
        operations.iter().for_each(|operation| disk.take(operation, |_| false).unwrap());
        let mut words = |_| {
            let tree = disk.after(Loss::Some, &mut draw).into_iter().map(|(path, content)| match content {
                Content::Directory => path,
                Content::File(bytes) => {
                    format!("{path}={}", String::from_utf8_lossy(&bytes).replace('\0', "0"))
                }
            });
            tree.collect::<Vec<_>>().join(" ")
        };
        (0..3000).map(&mut words).collect()
    }

    #[test]
    fn a_power_cut_leaves_any_part_of_what_was_not_synced_and_all_of_the_rest() {
        let sync = |file| Operation::Sync { file };
        let all = |words: &[&str]| words.iter().map(|text| text.to_string()).collect::<BTreeSet<_>>();
        // A file's sync says nothing of its name, and a rename is there or not.
        let named = [create(1, "a"), write(1, 0, "xy"), sync(1), rename("a", "b")];
        assert_eq!(left(&named), all(&["", "a=xy", "b=xy"]));
        // What comes later under a name is not there without what came before.
        let again = [create(1, "a"), sync(0), rename("a", "b"), create(2, "a")];
        assert_eq!(left(&again), all(&["a=", "b=", "a= b="]));
        // Names of their own come in any subset.
        assert_eq!(left(&[create(1, "a"), create(2, "b")]), all(&["", "a=", "b=", "a= b="]));
        // Writes as well, and torn: at any byte, from either end, or with their length alone.
        let put = [create(1, "a"), sync(0), write(1, 0, "xy"), write(1, 2, "z")];
        let parts = ["", "x", "x0", "0y", "00", "xy", "xyz", "00z", "x0z", "0yz", "xy0", "x00", "0y0", "000"];
        assert_eq!(left(&put), parts.iter().map(|part| format!("a={part}")).collect());
        assert_eq!(left(&[put.as_slice(), &[sync(1)]].concat()), all(&["a=xyz"]));
        // A deletion that was not synced comes undone.
        let gone = [create(1, "a"), sync(0), Operation::Delete { path: "a".into() }];
        assert_eq!(left(&gone), all(&["", "a="]));
    }
}
