//! The format does not change by accident: files of this version, committed, must be read for ever.
//!
//! `UPDATE_GOLDEN=1 cargo test -p raft-core --test wal format` writes them anew: only ever for a new format version, and
//! then beside the old ones.

use crate::disk::*;
use raft_core::wal::{HEADER_BYTES, Layout};
use raft_core::{Index, Recovered, Update};
use std::fs;
use std::path::{Path, PathBuf};

const LAYOUT: Layout = Layout { ids_bytes: 104 * 12, data_bytes: 2400 };

/// The script in two starts, and a mark. Every segment is kept.
fn script_files() -> (Files, Recovered) {
    let (mut files, mut state) = (Files::new(), Recovered::default());
    let mut wal = reopen(&files, LAYOUT).expect("empty").wal;
    for (at, update) in script().iter().enumerate() {
        if at == 5 {
            wal = reopen(&files, LAYOUT).expect("undamaged").wal;
        }
        let before = files.clone();
        store(&mut wal, &mut files, LAYOUT, update);
        before.into_iter().for_each(|(number, file)| _ = files.entry(number).or_insert(file));
        apply(&mut state, update);
        if at < 9 {
            wal.release(COMMITTED[at]);
        }
    }
    let mut ops = Vec::new();
    wal.mark(&mut ops).expect("the last write is not vouched for");
    ops.iter().for_each(|op| carry_out(&mut files, LAYOUT, op));
    (files, state)
}

fn folder(version: u16) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/wal-v{version}"))
}

fn committed(version: u16) -> Files {
    let mut committed = Files::new();
    for file in fs::read_dir(folder(version)).expect("committed") {
        let path = file.expect("a plain folder").path();
        let number = path.file_stem().and_then(|name| u64::from_str_radix(name.to_str()?, 16).ok());
        committed.insert(number.expect("a segment"), fs::read(&path).expect("a plain file"));
    }
    committed
}

#[test]
fn the_committed_files_are_read_and_would_be_written_the_same() {
    let (written, state) = script_files();
    #[expect(clippy::disallowed_methods, reason = "whoever runs the test says what it is for")]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        fs::create_dir_all(folder(2)).unwrap();
        for (number, file) in &written {
            fs::write(folder(2).join(format!("{number:016x}.wal")), file).unwrap();
        }
    }
    let committed = committed(2);
    assert!(committed == written, "today's bytes differ from the committed ones");
    let recovery = reopen(&committed, LAYOUT).unwrap();
    assert_eq!((recovery.recovered, recovery.cut), (state, None));
    assert!(recovery.discard.len() >= 2 && committed.len() > recovery.discard.len() + 1, "there is a root");
}

/// Format 1 has neither roots nor anchors. What is written behind it is of today's.
#[test]
fn files_of_format_1_are_read_and_gone_on_with() {
    let (mut files, mut state) = (committed(1), script_files().1);
    let old = files.len();
    let mut last = 24;
    for start in 0..4 {
        let recovery = reopen(&files, LAYOUT).unwrap();
        assert!(found(&recovery.recovered, &state, Index(last)));
        assert_eq!((recovery.discard, recovery.cut, recovery.mended), (vec![], None, vec![]));
        let mut wal = recovery.wal;
        wal.release(Index(last));
        for _ in 0..3 {
            last += 1;
            let update = Update { entries: entries(last, 3, &[100]), ..Update::default() };
            store(&mut wal, &mut files, LAYOUT, &update);
            apply(&mut state, &update);
        }
        let first = *files.keys().next().unwrap();
        assert_eq!(
            first > old as u64,
            start > 0,
            "no segment of format 1 is a root, and none is needed in the end"
        );
    }
}

/// The example of `docs/wal.md`.
#[test]
fn the_first_record_to_the_byte() {
    let mut files = Files::new();
    let mut wal = reopen(&files, SMALL).expect("empty").wal;
    let update = Update { hard: Some(hard(3, Some(2), 1)), ..Update::default() };
    store(&mut wal, &mut files, SMALL, &update);
    let hex = |bytes: &[u8]| {
        let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        bytes.chunks(16).map(line).collect::<Vec<_>>().join("\n")
    };
    let (file, ids, data) = (&files[&1], HEADER_BYTES as usize, (HEADER_BYTES + SMALL.ids_bytes) as usize);
    assert_eq!(file[..96], file[2048..][..96]);
    assert_eq!(file[ids..][..104], file[data..][..104]);
    let page = include_str!("../../../docs/wal.md").replace("\n    ", "\n");
    for part in [hex(&file[ids..][..104]), hex(&file[..96])] {
        assert!(page.contains(&part), "docs/wal.md should have\n{part}");
    }
}
