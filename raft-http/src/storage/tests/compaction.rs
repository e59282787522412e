//! What is released leaves the disk.

use super::*;

/// How many segments there are.
fn segments(directory: &Path) -> usize {
    files(&directory.join("wal"))
        .keys()
        .filter(|path| path.extension().is_some_and(|name| name == "wal"))
        .count()
}

/// Whether a log is this one from some released index on.
fn assert_rest(recovered: &Recovered, all: &Recovered, released: Index) {
    let base = recovered.base.as_ref().unwrap().id;
    assert!(base.index <= released, "{base} was not released");
    assert_eq!(recovered.hard, all.hard);
    let after = all.entries.iter().filter(|entry| entry.index() > base.index);
    assert!(recovered.entries.iter().eq(after));
    let stands = all.entries.iter().any(|entry| entry.id() == base);
    assert!(base == EntryId::ORIGIN || stands || all.base.as_ref().unwrap().id == base);
}

/// Some writes that only add entries, and so leave what is committed as it is.
fn appends(story: &mut Story, count: u64) -> Vec<Update> {
    let append = |_| loop {
        let before = story.expected.clone();
        let update = story.next();
        if update.keep.is_none() {
            return update;
        }
        story.expected = before;
    };
    (0..count).map(append).collect()
}

#[test]
fn what_is_released_leaves_the_disk_over_many_starts() {
    let directory = tempfile::tempdir().unwrap();
    let mut story = Story::new(9);
    let (mut released, mut most, mut last) = (Index(0), 0, 0);
    for boot in 0..40 {
        let (log, recovered) = open(directory.path());
        if boot > 0 {
            assert_rest(&recovered, &story.expected, released);
        }
        let mut log = Storage::Files(log);
        log.release(released);
        let Storage::Files(files) = &mut log else { panic!("files were opened") };
        for _ in 0..8 {
            let batch = appends(&mut story, 3);
            files.store(batch.iter()).unwrap();
            files.mark().unwrap();
            most = most.max(segments(directory.path()));
        }
        released = Index(story.last().index.0 - 1);
        log.release(released);
        last = segments(directory.path());
    }
    assert!(story.last().index > Index(1000), "much was written: {}", story.last());
    assert!(most < 12 && last < 12, "{most} segments at most, {last} at the end");
}

/// A process that ends soon after each start leaves a segment each time; the next one removes it.
#[test]
fn starts_alone_do_not_fill_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut story = Story::new(10);
    let (mut log, _) = open(directory.path());
    log.store(appends(&mut story, 5).iter()).unwrap();
    drop(log);
    for boot in 0..30 {
        let (mut log, recovered) = open(directory.path());
        assert_rest(&recovered, &story.expected, story.last().index);
        log.wal.release(story.last().index);
        let hard = HardState { boot: Boot(100 + boot), ..recovered.hard };
        let update = Update { hard: Some(hard), ..Update::default() };
        story.take(&update);
        log.store([&update].into_iter()).unwrap();
        drop(log);
        assert!(segments(directory.path()) <= 4, "{}", segments(directory.path()));
    }
}

/// A deletion need not be durable when the next one begins.
#[test]
fn segments_that_come_back_are_deleted_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut story = Story::new(11);
    let mut all = BTreeMap::new();
    let (mut log, _) = open(directory.path());
    for _ in 0..30 {
        log.store(appends(&mut story, 2).iter()).unwrap();
        all.extend(files(&directory.path().join("wal")));
        log.wal.release(story.last().index);
    }
    drop(log);
    let now = files(&directory.path().join("wal"));
    all.retain(|path, _| path.extension().is_some_and(|name| name == "wal") && !now.contains_key(path));
    assert!(all.len() > 5, "{}", all.len());
    put_back(&all);
    let (mut log, recovered) = open(directory.path());
    assert_rest(&recovered, &story.expected, story.last().index);
    log.store(appends(&mut story, 1).iter()).unwrap();
    assert!(all.keys().all(|path| !path.exists()));
    drop(log);
    assert_rest(&open(directory.path()).1, &story.expected, story.last().index);
}
