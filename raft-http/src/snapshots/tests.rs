//! What a crash leaves of a snapshot is never taken for one.

use super::*;
use crate::machine::{Command, Operation};
use bytes::Bytes;
use raft_core::envelope::Envelope;
use raft_core::{Entry, Index, Membership, NodeId, Payload};
use tempfile::TempDir;

const CLUSTER: ClusterId = ClusterId(0xc1);

fn membership() -> Membership {
    Membership::founders((0..3).map(NodeId)).unwrap()
}

/// A state after this many entries: puts of few keys, appends of `size` bytes, and no-ops.
fn state(count: u64, size: usize) -> Machine {
    let mut machine = Machine::default();
    for at in 1..=count {
        let command = match at % 3 {
            0 => None,
            1 => Some(Operation::Append(Bytes::from(vec![at as u8; size]))),
            _ => {
                Some(Operation::Put { key: format!("key {}", at % 7).into(), value: format!("{at}").into() })
            }
        };
        let payload = command.map_or(Payload::Noop, |operation| {
            Payload::Command(
                Envelope { time_ms: at, key: None, body: Command::One(operation).encode() }.encode(),
            )
        });
        machine.apply(&Entry::new(raft_core::EntryId::new(1 + at / 50, at), payload)).unwrap();
    }
    machine
}

fn base(machine: &Machine) -> Base {
    let index = machine.applied().0;
    Base { id: EntryId::new(1 + index / 50, index), hash: 7 * index, membership: membership() }
}

fn bytes(machine: &Machine) -> (Snapshot, Vec<u8>) {
    let mut out = Vec::new();
    let snapshot = write(machine, &base(machine), CLUSTER, &mut out).unwrap();
    assert_eq!(snapshot.size, out.len() as u64);
    (snapshot, out)
}

fn texts(machine: &Machine) -> Vec<(EntryId, Bytes)> {
    let page = machine.page(Index(0), usize::MAX, usize::MAX);
    page.records.into_iter().map(|record| (record.id, record.operation.text().unwrap())).collect()
}

fn same(a: &Machine, b: &Machine) -> bool {
    texts(a) == texts(b) && a.applied() == b.applied()
}

/// Snapshots of a directory, and the names in it.
fn open(directory: &TempDir) -> Snapshots {
    Snapshots::open(directory.path(), CLUSTER, false).unwrap()
}

fn names(directory: &TempDir) -> Vec<String> {
    let files = fs::read_dir(directory.path().join("snapshots")).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn capture(snapshots: &mut Snapshots, machine: &Machine) -> Snapshot {
    let captured = snapshots.writer(base(machine), machine.clone(), Stop::default())().unwrap();
    snapshots.keep(captured).unwrap()
}

/// A log that begins behind the first snapshot and holds all up to the second.
fn recovered(first: &Snapshot) -> Recovered {
    Recovered { base: Some(first.base.clone()), ..Recovered::default() }
}

#[test]
fn the_newest_two_stay() {
    let directory = TempDir::new().unwrap();
    let mut snapshots = open(&directory);
    let kept: Vec<Snapshot> = (1..=4).map(|at| capture(&mut snapshots, &state(10 * at, 5))).collect();
    let expected: Vec<String> = kept[2..].iter().map(|snapshot| name(snapshot.last())).collect();
    assert_eq!(names(&directory), expected);
    let snapshots = open(&directory);
    assert!(snapshots.kept.values().map(|(snapshot, _)| snapshot).eq(&kept[2..]));
}

#[test]
fn one_that_arrived_doesnt_displace_the_one_that_the_log_needs() {
    let directory = TempDir::new().unwrap();
    let mut snapshots = open(&directory);
    capture(&mut snapshots, &state(10, 5));
    let own = capture(&mut snapshots, &state(20, 5));
    for at in [30, 40] {
        let (arriving, bytes) = bytes(&state(at, 5));
        snapshots.receive(&arriving, 0, &bytes, &Stop::default()).unwrap();
    }
    let mut snapshots = open(&directory);
    assert_eq!(snapshots.kept.len(), 3, "the own two and the newest that arrived");
    let mut recovered = recovered(&own);
    assert!(same(&snapshots.restore(&mut recovered).unwrap(), &state(20, 5)));
    assert_eq!(recovered.snapshot, Some(own));
}

#[test]
fn a_late_capture_doesnt_displace_the_one_that_was_installed_meanwhile() {
    let directory = TempDir::new().unwrap();
    let mut snapshots = open(&directory);
    let machine = state(10, 5);
    let late = snapshots.writer(base(&machine), machine, Stop::default())().unwrap();
    let (installed, bytes_of) = bytes(&state(20, 5));
    snapshots.receive(&installed, 0, &bytes_of, &Stop::default()).unwrap();
    snapshots.installed(installed.last());
    snapshots.keep(late).unwrap();
    let (next, bytes_of) = bytes(&state(30, 5));
    snapshots.receive(&next, 0, &bytes_of, &Stop::default()).unwrap();
    assert!(same(&open(&directory).restore(&mut recovered(&installed)).unwrap(), &state(20, 5)));
}

#[test]
fn a_new_one_takes_the_place_of_a_damaged_one_of_its_name() {
    let directory = TempDir::new().unwrap();
    let kept = [10, 20].map(|at| capture(&mut open(&directory), &state(at, 5)));
    let path = directory.path().join("snapshots").join(name(kept[1].last()));
    let mut damaged = fs::read(&path).unwrap();
    damaged[100] ^= 4;
    fs::write(&path, &damaged).unwrap();
    let mut snapshots = open(&directory);
    snapshots.restore::<Machine>(&mut recovered(&kept[0])).unwrap();
    capture(&mut snapshots, &state(20, 5));
    assert!(same(&open(&directory).restore(&mut recovered(&kept[1])).unwrap(), &state(20, 5)));
}

#[test]
fn what_a_crash_leaves_is_cleared_up() {
    let directory = TempDir::new().unwrap();
    let mut snapshots = open(&directory);
    let snapshot = capture(&mut snapshots, &state(10, 5));
    fs::write(directory.path().join("snapshots").join(CAPTURING), b"half").unwrap();
    open(&directory);
    assert_eq!(names(&directory), [name(snapshot.last())]);
}

#[test]
fn a_damaged_one_falls_back_on_an_older_one_that_fits() {
    let directory = TempDir::new().unwrap();
    let mut snapshots = open(&directory);
    let machines = [state(10, 5), state(20, 5)];
    let kept = machines.each_ref().map(|machine| capture(&mut snapshots, machine));
    let newest = directory.path().join("snapshots").join(name(kept[1].last()));
    let whole = fs::read(&newest).unwrap();
    for at in [0, 100, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        fs::write(&newest, &damaged).unwrap();
        let mut fits = recovered(&kept[0]);
        assert!(same(&open(&directory).restore(&mut fits).unwrap(), &machines[0]), "damage at {at}");
        assert_eq!(fits.snapshot, Some(kept[0].clone()));
        let exit = Exit::from(open(&directory).restore::<Machine>(&mut recovered(&kept[1])).unwrap_err());
        assert_eq!(exit.code, Code::Corrupt);
        assert!(exit.line.contains("replace this member"), "{}", exit.line);
        assert!(newest.exists(), "nothing is deleted on the way");
    }
    // The next one clears it up.
    let mut snapshots = open(&directory);
    snapshots.restore::<Machine>(&mut recovered(&kept[0])).unwrap();
    let next = capture(&mut snapshots, &state(30, 5));
    assert_eq!(names(&directory), [name(kept[0].last()), name(next.last())]);
}

#[test]
fn nothing_is_needed_while_the_log_begins_at_its_beginning() {
    let directory = TempDir::new().unwrap();
    let base = Base { id: EntryId::ORIGIN, hash: 0, membership: membership() };
    for base in [None, Some(base)] {
        let mut recovered = Recovered { base, ..Recovered::default() };
        assert_eq!(open(&directory).restore::<Machine>(&mut recovered).unwrap().applied(), Index(0));
        assert_eq!(recovered.snapshot, None);
    }
}

#[test]
fn what_arrives_goes_on_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let machine = state(3000, 200);
    let (snapshot, bytes) = bytes(&machine);
    let mut snapshots = open(&directory);
    let receive = |snapshots: &mut Snapshots, from: usize, to: usize| {
        snapshots.receive(&snapshot, from as u64, &bytes[from..to], &Stop::default()).unwrap()
    };
    assert_eq!(receive(&mut snapshots, 0, 0), 0, "a question");
    assert_eq!(receive(&mut snapshots, 0, 150_000), 150_000);
    assert_eq!(receive(&mut snapshots, 0, 100_000), 150_000, "once more");
    assert_eq!(receive(&mut snapshots, 160_000, 170_000), 150_000, "a hole");
    let mut snapshots = open(&directory);
    let have = receive(&mut snapshots, 0, 0);
    assert!((70_000..=150_000).contains(&have), "all but the last block: {have}");
    // What a crash damaged is not gone on from.
    let part = directory.path().join("snapshots").join(partial::PART);
    let mut damaged = fs::read(&part).unwrap();
    damaged[70_000] ^= 1;
    fs::write(&part, damaged).unwrap();
    let mut snapshots = open(&directory);
    let have = receive(&mut snapshots, 0, 0) as usize;
    assert!(have <= 70_000, "only what is intact: {have}");
    for from in (have..bytes.len()).step_by(1 << 16) {
        receive(&mut snapshots, from, bytes.len().min(from + (1 << 16)));
    }
    assert_eq!(names(&directory), [name(snapshot.last())]);
    assert_eq!(receive(&mut snapshots, 0, 100), snapshot.size, "it is there already");
    assert!(same(&open(&directory).restore(&mut recovered(&snapshot)).unwrap(), &machine));
}

#[test]
fn what_arrives_damaged_is_nothing() {
    let directory = TempDir::new().unwrap();
    let (snapshot, mut bytes) = bytes(&state(40, 20));
    bytes[300] ^= 1;
    let mut snapshots = open(&directory);
    let error = snapshots.receive(&snapshot, 0, &bytes, &Stop::default()).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    snapshots.drop_partial();
    assert_eq!(names(&directory), [] as [&str; 0]);
    // Intact, but not what was announced.
    let (_, bytes) = self::bytes(&state(41, 20));
    let other = Snapshot { size: bytes.len() as u64, ..snapshot };
    assert!(snapshots.receive(&other, 0, &bytes, &Stop::default()).is_err());
}

#[test]
fn another_one_takes_the_place_of_what_has_arrived() {
    let directory = TempDir::new().unwrap();
    let mut snapshots = open(&directory);
    let [(first, old), (second, new)] = [bytes(&state(30, 500)), bytes(&state(40, 500))];
    let stop = Stop::default();
    assert_eq!(snapshots.receive(&first, 0, &old[..900], &stop).unwrap(), 900);
    assert_eq!(snapshots.receive(&second, 900, &new[900..], &stop).unwrap(), 0);
    assert_eq!(snapshots.receive(&second, 0, &new, &stop).unwrap(), second.size);
    assert_eq!(names(&directory), [name(second.last())]);
}

#[test]
fn without_a_directory_it_is_all_the_same() {
    let mut snapshots = Snapshots::in_memory(CLUSTER);
    let machine = state(100, 50);
    let snapshot = capture(&mut snapshots, &machine);
    assert!(same(&snapshots.load(&snapshot, Stop::default()).unwrap(), &machine));
    let (arriving, bytes) = bytes(&state(200, 50));
    assert_eq!(snapshots.receive(&arriving, 0, &bytes, &Stop::default()).unwrap(), arriving.size);
    assert!(same(&snapshots.load(&arriving, Stop::default()).unwrap(), &state(200, 50)));
    assert!(snapshots.file(&arriving).is_some());
}

#[test]
fn the_end_of_the_node_ends_the_writing_of_a_snapshot() {
    let directory = TempDir::new().unwrap();
    let snapshots = open(&directory);
    let stop = Stop::default();
    let machine = state(3000, 500);
    let write = snapshots.writer(base(&machine), machine.clone(), stop.clone());
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(write().is_err());
    assert_eq!(names(&directory), [] as [&str; 0]);
}

#[test]
fn one_that_cant_be_written_is_an_error_and_the_next_one_is_not() {
    let directory = TempDir::new().unwrap();
    let mut snapshots = open(&directory);
    let machine = state(20, 5);
    let aside = directory.path().join("aside");
    fs::rename(directory.path().join("snapshots"), &aside).unwrap();
    let error = snapshots.writer(base(&machine), machine.clone(), Stop::default())().unwrap_err();
    assert_eq!(Exit::from(error).code, Code::Io);
    fs::rename(&aside, directory.path().join("snapshots")).unwrap();
    let snapshot = capture(&mut snapshots, &machine);
    assert_eq!(names(&directory), [name(snapshot.last())]);
}
