use super::*;

/// Commands applied one after another, an index each.
pub(super) struct Applied(pub(super) Machine);

impl Applied {
    pub(super) fn new() -> Applied {
        let mut machine = Machine::default();
        machine.apply(&Entry::new(EntryId::new(1, 1), Payload::Noop)).unwrap();
        Applied(machine)
    }

    pub(super) fn at(&mut self, time_ms: u64, key: Option<&str>, command: impl Into<Command>) -> Reply {
        let key = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
        let envelope = Envelope { time_ms, key, body: command.into().encode() };
        let id = EntryId { index: self.0.applied().next(), ..EntryId::new(1, 0) };
        self.0.apply(&Entry::new(id, Payload::Command(envelope.encode()))).unwrap().unwrap()
    }

    fn all(&mut self, operations: impl IntoIterator<Item = Operation>) {
        for operation in operations {
            self.at(1, None, operation);
        }
    }
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn put(key: &'static str, value: &'static str) -> Operation {
    Operation::Put { key: text(key), value: text(value) }
}

fn delete(key: &'static str) -> Operation {
    Operation::Delete { key: text(key) }
}

fn append(entry: &'static str) -> Operation {
    Operation::Append(text(entry))
}

fn when(key: &'static str, test: Test, then: Operation) -> Command {
    Command::When {
        conditions: vec![Condition { key: text(key), test }],
        then: vec![then],
        otherwise: vec![],
    }
}

fn done(held: bool, bits: u128) -> Verdict {
    Verdict::Done { held, bits }
}

fn texts(machine: &Machine) -> Vec<Bytes> {
    let page = machine.page(Index(0), usize::MAX, usize::MAX);
    page.records.iter().map(|record| record.operation.text().unwrap()).collect()
}

fn versions(machine: &Machine, key: &str) -> Option<(u64, u64)> {
    machine.get(key.as_bytes()).map(|found| (found.version.created.0, found.version.modified.0))
}

#[test]
fn the_last_put_wins_and_every_put_is_an_entry() {
    let mut applied = Applied::new();
    applied.all([put("a", "1:2"), append("x"), put("a", "3")]);
    assert_eq!(applied.0.get(b"a").unwrap().value, "3");
    assert_eq!(versions(&applied.0, "a"), Some((2, 4)));
    assert_eq!(applied.0.get(b"b"), None);
    assert_eq!(texts(&applied.0), ["a:1:2", "x", "a:3"]);
}

#[test]
fn a_key_that_was_deleted_begins_anew() {
    let mut applied = Applied::new();
    assert_eq!(applied.at(1, None, put("a", "1")).verdict, done(true, 1), "a new key");
    assert_eq!(applied.at(1, None, put("a", "2")).verdict, done(true, 0));
    assert_eq!(applied.at(1, None, delete("a")).verdict, done(true, 1));
    assert_eq!(applied.at(1, None, delete("a")).verdict, done(true, 0), "it was gone");
    assert_eq!(applied.0.get(b"a"), None);
    applied.at(1, None, put("a", "3"));
    assert_eq!(versions(&applied.0, "a"), Some((6, 6)));
    assert_eq!(texts(&applied.0), ["a:1", "a:2", "a:3"], "a delete is no entry");
    let changes = applied.0.select(Index(0), 10, 1000, |operation| operation.key().is_some());
    let indexes: Vec<u64> = changes.records.iter().map(|record| record.id.index.0).collect();
    assert_eq!(indexes, [2, 3, 4, 6], "but a change, if it had an effect");
}

#[test]
fn conditions_decide_when_the_command_is_applied() {
    let mut applied = Applied::new();
    let failed = |current: Option<u64>| Verdict::Failed { current: current.map(Index) };
    let mut try_it = |test, expected| {
        let reply = applied.at(1, None, when("a", test, put("a", "v")));
        assert_eq!(reply.verdict, expected, "index {}", reply.id.index);
    };
    try_it(Test::Exists, failed(None));
    try_it(Test::Modified(Index(0)), failed(None));
    try_it(Test::Absent, done(true, 1));
    try_it(Test::Absent, failed(Some(4)));
    try_it(Test::Modified(Index(3)), failed(Some(4)));
    try_it(Test::Modified(Index(4)), done(true, 0));
    try_it(Test::Value(text("w")), failed(Some(7)));
    try_it(Test::Value(text("v")), done(true, 0));
    assert_eq!(texts(&applied.0), ["a:v", "a:v", "a:v"]);
}

#[test]
fn a_batch_is_one_step_and_sees_itself() {
    let mut applied = Applied::new();
    let conditions = vec![Condition { key: text("gate"), test: Test::Absent }];
    let then = vec![put("a", "1"), put("a", "2"), append("x"), delete("b"), put("gate", "")];
    let batch = Command::When { conditions, then, otherwise: vec![delete("gate"), put("b", "3")] };
    let first = applied.at(1, None, batch.clone());
    assert_eq!(first.verdict, done(true, 0b10001), "a is new once, b was not there");
    assert_eq!(texts(&applied.0), ["a:1", "a:2", "x", "gate:"]);
    assert_eq!((applied.0.get(b"a").unwrap().value, versions(&applied.0, "a")), (text("2"), Some((2, 2))));
    assert_eq!(applied.at(1, None, batch).verdict, done(false, 0b11), "gate was there, b is new");
    assert_eq!(versions(&applied.0, "b"), Some((3, 3)));
    // Its entries are never torn apart.
    let page = applied.0.page(Index(1), 2, 1000);
    assert_eq!((page.records.len(), page.next), (4, Index(3)));
    // And many operations have no bits beyond those that there are.
    let many: Vec<Operation> = (0..200).map(|_| delete("z")).chain([put("z", "")]).collect();
    assert_eq!(applied.at(1, None, Command::Many(many)).verdict, done(true, 0));
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let mut applied = Applied::new();
    applied.all([append("aaaa"), append("bbbb"), append("cccc")]);
    let shape = |page: Page| {
        let indexes: Vec<_> = page.records.iter().map(|record| record.id.index.0).collect();
        (indexes, page.next.0)
    };
    assert_eq!(shape(applied.0.page(Index(0), 2, 1000)), (vec![2, 3], 4));
    assert_eq!(shape(applied.0.page(Index(4), 2, 1000)), (vec![4], 5));
    let two = shape(applied.0.page(Index(1), 10, 5));
    assert_eq!(two, (vec![2, 3], 4), "bytes end a page, after one entry at least");
    assert_eq!(shape(applied.0.page(Index(9), 10, 1000)), (vec![], 9), "past the end");
    for _ in 0..LOOKED_AT {
        applied.all([put("k", "v"), delete("k")]);
    }
    let page = applied.0.select(Index(5), 10, 1000, |operation| matches!(operation, Operation::Append(_)));
    assert_eq!((page.records.len(), page.next), (0, Index(5 + LOOKED_AT as u64)), "a search is cut short");
}

#[test]
fn keys_are_listed_in_order_and_in_pages() {
    let mut applied = Applied::new();
    applied.all([put("b", "22"), put("a/2", "1"), put("a/1", ""), put("a", "3"), put("a0", "")]);
    let shape = |listing: Listing| {
        let keys: Vec<_> = listing.keys.into_iter().map(|(key, _)| key).collect();
        (keys, listing.next)
    };
    let list = |prefix: &str, start: &str, limit, bytes| {
        shape(applied.0.list(prefix.as_bytes(), start.as_bytes(), limit, bytes))
    };
    let all = ["a", "a/1", "a/2", "a0", "b"].map(text).to_vec();
    assert_eq!(list("", "", 10, 1000), (all.clone(), None));
    assert_eq!(list("a/", "", 10, 1000), (all[1..3].to_vec(), None));
    assert_eq!(list("a", "", 2, 1000), (all[..2].to_vec(), Some(text("a/2"))));
    assert_eq!(list("a", "a/2", 2, 1000), (all[2..4].to_vec(), None), "nothing else has this prefix");
    assert_eq!(list("", "", 10, 3), (all[..2].to_vec(), Some(text("a/2"))), "bytes end a page");
}

#[test]
fn an_unknown_operation_is_not_skipped() {
    let mut machine = Applied::new().0;
    let envelope = Envelope { time_ms: 1, key: None, body: Bytes::from_static(&[99]) };
    let entry = Entry::new(EntryId::new(1, 2), Payload::Command(envelope.encode()));
    let error = machine.apply(&entry).unwrap_err();
    assert!(error.to_string().contains("2@1") && error.to_string().contains("tag 99"), "{error}");
    assert_eq!(machine.applied(), Index(1));
}

#[test]
fn log_time_never_goes_back() {
    let mut applied = Applied::new();
    for (stamp, time) in [(5, 5), (3, 5), (9, 9)] {
        applied.at(stamp, None, append("x"));
        assert_eq!(applied.0.time_ms(), time);
    }
}

#[test]
fn the_oldest_entries_are_dropped_and_the_values_of_keys_stay() {
    let mut applied = Applied::new();
    let long = || Operation::Append(Bytes::from(vec![b'x'; 1000]));
    let fill = |applied: &mut Applied| applied.all((0..200).map(|_| long()));
    applied.all([put("old", "1"), put("gone", "1"), put("new", "1")]);
    let both = vec![put("both", "1"), put("both", "2")];
    applied.at(1, None, Command::Many(both));
    fill(&mut applied);
    assert_eq!((applied.0.first(), applied.0.least_kept()), (Index(1), None), "without the setting all stay");
    applied.at(1, None, Command::KeepEntries(NonZeroU64::new(100)));
    fill(&mut applied);
    let first = applied.0.first();
    let page = applied.0.page(Index(1), usize::MAX, usize::MAX);
    assert_eq!(page.first, first);
    assert!(page.records.iter().all(|record| record.id.index >= first));
    // A block of 64 KiB more than is to be kept, and the one that is being filled.
    assert!((100..=230).contains(&page.records.len()), "{} entries are kept", page.records.len());
    let value = |applied: &Applied, key: &str| applied.0.get(key.as_bytes()).map(|found| found.value);
    assert_eq!(value(&applied, "old"), Some(text("1")));
    assert_eq!(value(&applied, "both"), Some(text("2")), "the last put of its command");
    assert_eq!(versions(&applied.0, "old"), Some((2, 2)), "its version is of then");
    assert_eq!(applied.0.outlived().count(), 4);
    // Conditions on old values hold as before.
    let swap = when("old", Test::Value(text("1")), put("new", "2"));
    assert_eq!(applied.at(1, None, swap).verdict, done(true, 0));
    applied.all([delete("gone")]);
    assert_eq!((value(&applied, "gone"), value(&applied, "new")), (None, Some(text("2"))));
    assert_eq!(applied.0.outlived().count(), 2, "what was put anew or deleted is not kept twice");
    applied.at(1, None, Command::KeepEntries(None));
    let first = applied.0.first();
    fill(&mut applied);
    assert_eq!(applied.0.first(), first, "it is off again");
}

#[test]
fn no_command_drops_more_than_two_blocks() {
    let mut applied = Applied::new();
    applied.all((0..1000).map(|_| Operation::Append(Bytes::from(vec![b'x'; 1000]))));
    let mut first = applied.0.first();
    applied.at(1, None, Command::KeepEntries(NonZeroU64::new(1)));
    let mut steps = 0;
    while applied.0.first() > first {
        // 64 entries of 1013 bytes and their rows fill a block.
        assert!(applied.0.first().0 - first.0 <= 131, "{first} to {}", applied.0.first());
        first = applied.0.first();
        steps += 1;
        applied.at(1, None, Command::Mark);
    }
    assert!(steps >= 7, "{steps} steps");
    assert!(applied.0.page(Index(1), usize::MAX, usize::MAX).records.len() <= 65);
}
