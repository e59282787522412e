//! The driver's work on snapshots: it captures the machine, stores what a leader sends, and reads for followers. Each
//! step takes its time, and a process may die between any two.

use crate::choices::{Choices, Purpose, Site};
use crate::facts::{Class, Fact, Time, Violation};
use crate::machine::{Frozen, Machine};
use crate::planted::{Lie, Planted};
use crate::server::Process;
use crate::snapshots::{Name, digest};
use crate::world::{Event, World};
use bytes::Bytes;
use raft_core::{Base, Fetch, Index, Input, Snapshot, Store};

/// Work on a snapshot's file that is under way.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// The frozen state is written to a draft.
    Write { head: Snapshot, bytes: Bytes },
    /// The draft is synced and gets its name.
    Name { head: Snapshot },
    /// The directory is synced.
    Publish { head: Snapshot },
    /// A chunk is stored.
    Store(Store),
    /// What has come as a whole is synced and gets its name.
    NameStored(Store),
    /// The directory is synced.
    PublishStored(Store),
    /// A chunk is read.
    Fetch(Fetch),
}

impl World {
    fn work(&mut self, at: usize, longest: Time, work: Work) {
        let takes = self.choices.range(Site::new(Purpose::Files, at), longest / 4, longest);
        let server = &self.servers[at];
        let due = self.now.max(server.stalled_until) + takes;
        self.queue.push(due, Event::Work { at, life: server.life, work: Box::new(work) });
    }

    fn fails(&mut self, at: usize) -> bool {
        self.choices.chance(Site::new(Purpose::Files, at), self.options.snapshots.fail)
    }

    /// The state is frozen at this place of the stream; meanwhile the machine goes on.
    pub(crate) fn capture(&mut self, at: usize, base: Base) -> Result<(), Violation> {
        let Some(process) = &self.servers[at].process else { return Ok(()) };
        let (applied, machine) = (process.machine.applied(), process.machine.digest());
        if applied != base.id.index {
            let said = format!("node {at} is to capture {} after {applied} was applied", base.id);
            return Err(self.violation("machine", Class::Safety, said));
        }
        let bytes = self.frozen.freeze(&process.machine);
        self.counts.captures += 1;
        let node = self.servers[at].id;
        self.judges.observe(self.now, &Fact::Capturing { node, base: &base, machine })?;
        let table = process.machine.keys_digest();
        self.judges.observe(self.now, &Fact::Keeps { node, at: applied, table })?;
        let head = Snapshot { base, size: bytes.len() as u64, digest: digest(&bytes) };
        self.work(at, self.options.snapshots.capture, Work::Write { head, bytes: bytes.into() });
        Ok(())
    }

    /// A chunk is to be stored.
    pub(crate) fn store(&mut self, at: usize, store: Store) -> Result<(), Violation> {
        let node = self.servers[at].id;
        self.judges.observe(self.now, &Fact::Storing { node })?;
        self.work(at, self.options.snapshots.store, Work::Store(store));
        Ok(())
    }

    /// A chunk is to be read: late, out of order, or never. A disk that stalls doesn't take it: it will be asked again,
    /// and again, and they would all be read at once.
    pub(crate) fn fetch(&mut self, at: usize, fetch: Fetch) -> Result<(), Violation> {
        let fact = Fact::Fetching { node: self.servers[at].id, to: fetch.to(), bytes: fetch.length() };
        self.judges.observe(self.now, &fact)?;
        let stalls = self.servers[at].stalled_until > self.now;
        if !stalls && !self.choices.chance(Site::new(Purpose::Files, at), self.options.snapshots.lost) {
            self.work(at, self.options.snapshots.fetch, Work::Fetch(fetch));
        }
        Ok(())
    }

    /// A step of work is done.
    pub(crate) fn worked(&mut self, at: usize, work: Work) -> Result<(), Violation> {
        let longest = self.options.snapshots.capture;
        match work {
            Work::Write { .. } | Work::Name { .. } | Work::Publish { .. } if self.fails(at) => {
                self.servers[at].snapshots.remove(Name::Draft);
                self.counts.failed_captures += 1;
                self.input(at, Input::Captured(None))
            }
            Work::Write { head, bytes } => {
                let Some(fitting) = self.fitting(at, bytes.len()) else {
                    return self.input(at, Input::Captured(None));
                };
                let snapshots = &mut self.servers[at].snapshots;
                snapshots.begin(Name::Draft, head.clone());
                snapshots.append(Name::Draft, &bytes[..fitting]);
                self.work(at, longest, Work::Name { head });
                Ok(())
            }
            Work::Name { head } => {
                let snapshots = &mut self.servers[at].snapshots;
                snapshots.sync(Name::Draft);
                snapshots.finish(Name::Draft);
                self.work(at, longest, Work::Publish { head });
                Ok(())
            }
            Work::Publish { head } => {
                let server = &mut self.servers[at];
                server.snapshots.sync_names();
                server.snapshots.prune(head.last());
                let fact = Fact::Captured { node: server.id, snapshot: &head };
                self.judges.observe(self.now, &fact)?;
                if self.outruns_log(at)? { Ok(()) } else { self.input(at, Input::Captured(Some(head))) }
            }
            Work::Store(store) => self.stored(at, store),
            Work::NameStored(store) => {
                let snapshots = &mut self.servers[at].snapshots;
                // Another one may have come in its place.
                if snapshots.have(Name::Partial, store.snapshot()) == Some(store.snapshot().size) {
                    snapshots.sync(Name::Partial);
                    snapshots.finish(Name::Partial);
                    if self.planted == Some(Planted::Driver(Lie::StoredBeforeSync)) {
                        let size = store.snapshot().size;
                        return self.input(at, Input::Stored(store.stored(size)));
                    }
                }
                self.work(at, self.options.snapshots.store, Work::PublishStored(store));
                Ok(())
            }
            Work::PublishStored(store) => self.published(at, store),
            Work::Fetch(fetch) => self.fetched(at, fetch),
        }
    }

    /// A chunk comes to its place, if there is no hole before it.
    fn stored(&mut self, at: usize, store: Store) -> Result<(), Violation> {
        let fails = self.fails(at);
        let fits = self.fitting(at, store.data().len()).is_some();
        let longest = self.options.snapshots.store;
        let server = &mut self.servers[at];
        let whole = Name::Whole(store.snapshot().last());
        if server.snapshots.read(whole).is_some_and(|(head, _)| head == store.snapshot()) {
            self.work(at, longest, Work::PublishStored(store));
            return Ok(());
        }
        let snapshots = &mut server.snapshots;
        if !fits {
            snapshots.remove(Name::Partial);
            return self.input(at, Input::Stored(store.stored(0)));
        }
        let before = snapshots.have(Name::Partial, store.snapshot()).unwrap_or_else(|| {
            snapshots.begin(Name::Partial, store.snapshot().clone());
            0
        });
        if before == store.offset() && !fails {
            snapshots.append(Name::Partial, store.data());
        }
        let have = snapshots.have(Name::Partial, store.snapshot()).unwrap_or(0);
        if have < store.snapshot().size {
            return self.input(at, Input::Stored(store.stored(have)));
        }
        if snapshots.read(Name::Partial).is_none() {
            self.counts.damaged_snapshots += 1;
            snapshots.remove(Name::Partial);
            return self.input(at, Input::Stored(store.stored(0)));
        }
        self.work(at, longest, Work::NameStored(store));
        Ok(())
    }

    /// A received snapshot is on stable storage, if it is still there.
    fn published(&mut self, at: usize, store: Store) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        let whole = Name::Whole(store.snapshot().last());
        if server.snapshots.read(whole).is_none_or(|(head, _)| head != store.snapshot()) {
            return self.input(at, Input::Stored(store.stored(0)));
        }
        server.snapshots.sync_names();
        let fact = Fact::Stored { node: server.id, snapshot: store.snapshot() };
        self.judges.observe(self.now, &fact)?;
        let size = store.snapshot().size;
        if self.outruns_log(at)? { Ok(()) } else { self.input(at, Input::Stored(store.stored(size))) }
    }

    /// A snapshot is on the disk, and what was written to the log before is not yet: the power may be cut now, so that the next
    /// start finds the one without the other. Whether it was.
    fn outruns_log(&mut self, at: usize) -> Result<bool, Violation> {
        let behind = |process: &Process| process.durable < process.handed;
        let dies = !self.healed
            && self.servers[at].process.as_ref().is_some_and(behind)
            && self.choices.pick(Site::new(Purpose::Outruns, at), 8) == 1;
        if dies {
            self.counts.outruns += 1;
            self.crash_with_power(at)?;
        }
        Ok(dies)
    }

    /// A chunk was read. A file that doesn't verify is as good as gone.
    fn fetched(&mut self, at: usize, fetch: Fetch) -> Result<(), Violation> {
        let site = Site::new(Purpose::Files, at);
        let last = fetch.snapshot().last();
        let found = self.servers[at].snapshots.read(Name::Whole(last));
        let Some((_, bytes)) = found.filter(|(head, _)| *head == fetch.snapshot()) else {
            self.counts.missing += 1;
            let node = self.servers[at].id;
            self.judges.observe(self.now, &Fact::Unread { node, to: fetch.to() })?;
            return self.input(at, Input::Missing { last });
        };
        let from = fetch.offset() as usize;
        let mut data = bytes[from..from + fetch.length()].to_vec();
        if !data.is_empty() && self.choices.chance(site, self.options.snapshots.damaged) {
            let place = self.choices.pick(site, data.len() as u64) as usize;
            data[place] ^= 1 << self.choices.pick(site, 8);
        }
        self.counts.chunks += 1;
        let to = fetch.to();
        self.post(at, to, fetch.fill(data.into()))
    }

    /// The machine takes over a snapshot that was stored before.
    pub(crate) fn restore(&mut self, at: usize, snapshot: &Snapshot) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        let Some(process) = &mut server.process else { return Ok(()) };
        let found = server.snapshots.read(Name::Whole(snapshot.last()));
        let Some(machine) = thawed(&self.frozen, found, snapshot, self.planted) else {
            // It was there when it was stored: it rots. The next start finds out what is left.
            return self.crash(at);
        };
        process.machine = machine;
        server.snapshots.prune(snapshot.last());
        self.counts.installs += 1;
        let machine = process.machine.digest();
        self.judges.observe(self.now, &Fact::Restored { node: server.id, snapshot, machine })?;
        let (last, table) = (snapshot.last().index, process.machine.keys_digest());
        self.judges.observe(self.now, &Fact::Keeps { node: server.id, at: last, table })?;
        self.serve(at)
    }

    /// The log on disk may forget what a snapshot covers.
    pub(crate) fn release(&mut self, at: usize, through: Index) -> Result<(), Violation> {
        let server = &mut self.servers[at];
        if let Some(process) = &mut server.process {
            process.wal.release(through);
        }
        self.judges.observe(self.now, &Fact::Released { node: server.id, through })
    }
}

/// The machine that a file holds, if it is the one that is asked for.
pub(crate) fn thawed(
    frozen: &Frozen,
    found: Option<(&Snapshot, &[u8])>,
    wanted: &Snapshot,
    planted: Option<Planted>,
) -> Option<Machine> {
    let (_, bytes) = found.filter(|(head, _)| *head == wanted)?;
    #[cfg_attr(not(feature = "planted"), expect(unused_mut, reason = "only a planted bug changes it"))]
    let mut machine = frozen.thaw(&wanted.base, bytes)?.planted(planted);
    #[cfg(feature = "planted")]
    if planted == Some(Planted::Driver(Lie::ForgetsKeys)) {
        machine.forget_keys();
    }
    Some(machine)
}
