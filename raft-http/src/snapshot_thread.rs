//! The thread that reads and writes snapshots, so that neither the driver nor the log's disk thread waits for them. What
//! takes long, a whole snapshot, has a thread of its own meanwhile: parts for other nodes are read beside it.

use crate::application::Replicated;
use crate::driver::Event;
use crate::exit::Exit;
use crate::snapshots::{Captured, Nowhere, Snapshots, SnapshotsError, Stop, after_all_others};
use bytes::{Bytes, BytesMut};
use raft_core::{Base, EntryId, Fetch, Index, Snapshot, Store};
use std::any::Any;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

/// How long the end waits for the thread; a disk that hangs longer must not keep the process.
const FINISH: Duration = Duration::from_secs(5);

/// For how long the file of a transfer stays open after the last part that was asked for, if its name is gone.
const TRANSFER: Duration = Duration::from_secs(120);

/// How many parts may wait to be read for members that have lost commands: they ask for what does not come again.
const ANSWERS: usize = 8;

/// How long an answer waits after a failure, so that a full disk is not tried without a pause.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A snapshot that is being copied, and its file, which outlives its name.
pub(crate) type Copied = (Snapshot, Arc<File>);

/// Begins to write a frozen state; of which kind it is, the thread need not know.
type Capture = dyn FnOnce(&Snapshots, Stop) -> Box<Work<Captured>> + Send;

/// Takes the digest of a frozen state.
type Digest = dyn FnOnce(&mut Nowhere) -> io::Result<u64> + Send;

/// Begins to read a state.
type Load = fn(&Snapshots, &Snapshot, Stop) -> Result<Box<Work<Box<dyn Any + Send>>>, SnapshotsError>;

/// What takes long, and has a thread of its own.
type Work<T> = dyn FnOnce() -> Result<T, SnapshotsError> + Send;

/// What there is to do.
enum Job {
    Capture(EntryId, Box<Capture>),
    Captured(Result<Captured, SnapshotsError>),
    Digest(Index, Box<Digest>),
    Load(Snapshot),
    Fetch(Fetch),
    Store(Store),
    Newest(oneshot::Sender<Option<Copied>>),
    Stop,
}

/// The way to the thread.
pub(crate) struct SnapshotThread {
    jobs: Sender<Job>,
    stop: Stop,
    /// Parts that wait to be read for members that have lost commands.
    answers: Arc<AtomicUsize>,
    /// Closed when the thread has ended.
    ended: oneshot::Receiver<()>,
}

impl SnapshotThread {
    /// Starts the thread. What comes of its work goes to `events`.
    pub(crate) fn start<M: Replicated>(
        snapshots: Snapshots,
        events: mpsc::Sender<Event>,
    ) -> io::Result<SnapshotThread> {
        let (jobs, waiting) = channel();
        let (running, ended) = oneshot::channel();
        let (stop, answers) = (Stop::default(), Arc::<AtomicUsize>::default());
        let mut worker = Worker {
            snapshots,
            events,
            load: |snapshots, snapshot, stop| {
                let load = snapshots.loader::<M>(snapshot, stop)?;
                Ok(Box::new(|| Ok(Box::new(load()?) as Box<dyn Any + Send>)))
            },
            jobs: jobs.clone(),
            stop: stop.clone(),
            answers: answers.clone(),
            transfers: BTreeMap::new(),
            digesting: Arc::default(),
            threads: Vec::new(),
        };
        Builder::new().name("snapshots".into()).spawn(move || {
            let _running: oneshot::Sender<()> = running;
            after_all_others();
            worker.serve(&waiting);
        })?;
        Ok(SnapshotThread { jobs, stop, answers, ended })
    }

    /// Writes a frozen state; [`Event::Captured`] follows.
    pub(crate) fn capture(&self, base: Base, state: impl Replicated) {
        let last = base.id;
        let begin = move |snapshots: &Snapshots, stop: Stop| -> Box<Work<Captured>> {
            Box::new(snapshots.writer(base, state, stop))
        };
        self.send(Job::Capture(last, Box::new(begin)));
    }

    /// Takes the digest of a frozen state; [`Event::Digested`] follows, unless an earlier one is still under way.
    pub(crate) fn digest(&self, state: impl Replicated) {
        self.send(Job::Digest(state.applied(), Box::new(move |out| state.digest(out))));
    }

    /// Reads the state of a snapshot that was stored; [`Event::Loaded`] follows.
    pub(crate) fn load(&self, snapshot: Snapshot) {
        self.send(Job::Load(snapshot));
    }

    /// Reads a part; [`Event::Fetched`] or [`Event::Missing`] follows, unless a disk that hangs lets too many answers wait.
    pub(crate) fn fetch(&self, fetch: Fetch) {
        if fetch.is_answer() {
            if self.answers.load(Ordering::Relaxed) >= ANSWERS {
                return;
            }
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
        self.send(Job::Fetch(fetch));
    }

    /// Stores a part; [`Event::Stored`] follows.
    pub(crate) fn store(&self, store: Store) {
        self.send(Job::Store(store));
    }

    /// Gives the newest snapshot to whoever wants a copy of it.
    pub(crate) fn newest(&self, answer: oneshot::Sender<Option<Copied>>) {
        self.send(Job::Newest(answer));
    }

    fn send(&self, job: Job) {
        // The thread ends only when told to.
        let _ = self.jobs.send(job);
    }

    /// Gives up what is under way, and waits until nothing uses the files any more.
    pub(crate) async fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.send(Job::Stop);
        if tokio::time::timeout(FINISH, self.ended).await.is_err() {
            warn!(
                "the disk of the snapshots has not answered for {} s; stopping without it",
                FINISH.as_secs()
            );
        }
    }
}

/// What the thread owns.
struct Worker {
    snapshots: Snapshots,
    events: mpsc::Sender<Event>,
    load: Load,
    jobs: Sender<Job>,
    stop: Stop,
    answers: Arc<AtomicUsize>,
    /// Snapshots that are being sent, and when a part was asked for last.
    transfers: BTreeMap<EntryId, (Snapshot, Arc<File>, Instant)>,
    /// Those that read or write a whole snapshot.
    threads: Vec<JoinHandle<()>>,
    /// A digest is being taken.
    digesting: Arc<AtomicBool>,
}

impl Worker {
    fn serve(&mut self, waiting: &Receiver<Job>) {
        while let Ok(job) = waiting.recv() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let event = match job {
                Job::Capture(last, begin) => self.capture(last, begin),
                Job::Captured(captured) => Some(Event::Captured(self.captured(captured))),
                Job::Digest(applied, digest) => {
                    self.digest(applied, digest);
                    None
                }
                Job::Load(snapshot) => self.load(&snapshot),
                Job::Fetch(fetch) => Some(self.fetch(fetch)),
                Job::Store(store) => self.store(store),
                Job::Newest(answer) => {
                    // Who gave up waiting needs none.
                    let _ = answer.send(self.snapshots.newest());
                    None
                }
                Job::Stop => break,
            };
            // Without a driver nobody asks for anything: `Stop` comes next.
            let _ = event.map(|event| self.events.blocking_send(event));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    fn capture(&mut self, last: EntryId, begin: Box<Capture>) -> Option<Event> {
        let (jobs, began) = (self.jobs.clone(), Instant::now());
        let write = begin(&self.snapshots, self.stop.clone());
        let started = self.spawn("capture", move || {
            let captured = write();
            if captured.is_ok() {
                info!(%last, seconds = began.elapsed().as_secs_f32(), "wrote a snapshot");
            }
            let _ = jobs.send(Job::Captured(captured));
        });
        started.err().map(|error| {
            warn!("can't start a thread for a snapshot: {error}");
            Event::Captured(None)
        })
    }

    fn digest(&mut self, applied: Index, digest: Box<Digest>) {
        if self.digesting.swap(true, Ordering::Relaxed) {
            return;
        }
        let (events, stop, busy) = (self.events.clone(), self.stop.clone(), self.digesting.clone());
        let started = self.spawn("digest", move || {
            let digest = digest(&mut Nowhere::new(stop));
            busy.store(false, Ordering::Relaxed);
            // It fails only because the node stops.
            let _ = digest.map(|digest| events.blocking_send(Event::Digested(applied, digest)));
        });
        if let Err(error) = started {
            warn!("can't start a thread for a digest: {error}");
            self.digesting.store(false, Ordering::Relaxed);
        }
    }

    fn captured(&mut self, captured: Result<Captured, SnapshotsError>) -> Option<Snapshot> {
        self.close_transfers(Instant::now());
        let kept = captured.and_then(|captured| self.snapshots.keep(captured));
        kept.inspect_err(|error| warn!("no snapshot was taken, and the log stays longer: {error}")).ok()
    }

    fn load(&mut self, snapshot: &Snapshot) -> Option<Event> {
        self.snapshots.installed(snapshot.last());
        let failed = |error: SnapshotsError| Event::Loaded(Err(Exit::from(error)));
        let load = match (self.load)(&self.snapshots, snapshot, self.stop.clone()) {
            Ok(load) => load,
            Err(error) => return Some(failed(error)),
        };
        let (events, last, began) = (self.events.clone(), snapshot.last(), Instant::now());
        let started = self.spawn("restore", move || {
            let loaded = load().map_err(Exit::from);
            info!(%last, seconds = began.elapsed().as_secs_f32(), "read a snapshot");
            let _ = events.blocking_send(Event::Loaded(loaded));
        });
        started.err().map(|error| Event::Loaded(Err(Exit::new(crate::exit::Code::Failed, error))))
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.retain(|thread| !thread.is_finished());
        let last = move || {
            after_all_others();
            work();
        };
        self.threads.push(Builder::new().name(name.into()).spawn(last)?);
        Ok(())
    }

    fn fetch(&mut self, fetch: Fetch) -> Event {
        let (to, last) = (fetch.to(), fetch.snapshot().last());
        if fetch.is_answer() {
            self.answers.fetch_sub(1, Ordering::Relaxed);
        }
        match self.read(&fetch) {
            Some(bytes) => Event::Fetched { to, message: Box::new(fetch.fill(bytes)) },
            None => Event::Missing { last },
        }
    }

    /// Closes the files of transfers that are over: one that was deleted meanwhile takes its room until then.
    fn close_transfers(&mut self, now: Instant) {
        self.transfers.retain(|_, (_, _, asked)| now.duration_since(*asked) < TRANSFER);
    }

    fn read(&mut self, fetch: &Fetch) -> Option<Bytes> {
        let (snapshot, now) = (fetch.snapshot(), Instant::now());
        self.close_transfers(now);
        let known = self.transfers.get(&snapshot.last()).filter(|(label, ..)| label == snapshot);
        let file = known.map(|(_, file, _)| file.clone()).or_else(|| self.snapshots.file(snapshot))?;
        self.transfers.insert(snapshot.last(), (snapshot.clone(), file.clone(), now));
        let mut bytes = BytesMut::zeroed(fetch.length());
        match file.read_exact_at(&mut bytes, fetch.offset()) {
            Ok(()) => Some(bytes.freeze()),
            Err(error) => {
                warn!(last = %snapshot.last(), "can't read a snapshot: {error}");
                None
            }
        }
    }

    fn store(&mut self, store: Store) -> Option<Event> {
        let received = self.snapshots.receive(store.snapshot(), store.offset(), store.data(), &self.stop);
        let have = match received {
            Ok(have) => have,
            // What failed because of the end is as good as before at the next start.
            Err(_) if self.stop.load(Ordering::Relaxed) => return None,
            Err(error) => {
                warn!("what has arrived of a snapshot is given up: {error}");
                self.snapshots.drop_partial();
                std::thread::sleep(AFTER_FAILURE);
                0
            }
        };
        Some(Event::Stored(store.stored(have)))
    }
}
