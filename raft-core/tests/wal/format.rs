//! The format does not change by accident: files of this version, committed, must be read for ever.
//!
//! `UPDATE_GOLDEN=1 cargo test -p raft-core --test wal format` writes them anew: only ever for a new format version, and
//! then beside the old ones.

use crate::disk::*;
use raft_core::wal::{HEADER_BYTES, Layout};
use raft_core::{Recovered, Update};
use std::fs;
use std::path::Path;

const LAYOUT: Layout = Layout { ids_bytes: 104 * 12, data_bytes: 2400 };

/// The script in two starts, and a mark.
fn script_files() -> (Files, Recovered) {
    let (mut files, mut state) = (Files::new(), Recovered::default());
    let mut wal = reopen(&files, LAYOUT).expect("empty").wal;
    for (at, update) in script().iter().enumerate() {
        if at == 5 {
            wal = reopen(&files, LAYOUT).expect("undamaged").wal;
        }
        store(&mut wal, &mut files, LAYOUT, update);
        apply(&mut state, update);
    }
    let mut ops = Vec::new();
    wal.mark(&mut ops).expect("the last write is not vouched for");
    ops.iter().for_each(|op| carry_out(&mut files, LAYOUT, op));
    (files, state)
}

#[test]
fn the_committed_files_are_read_and_would_be_written_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wal-v1");
    let (written, state) = script_files();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (number, file) in &written {
            fs::write(folder.join(format!("{number:016x}.wal")), file).unwrap();
        }
    }
    let mut committed = Files::new();
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        committed.insert(u64::from_str_radix(name, 16).unwrap(), fs::read(&path).unwrap());
    }
    let recovery = reopen(&committed, LAYOUT).unwrap();
    assert_eq!((recovery.recovered, recovery.cut, recovery.discard), (state, None, vec![]));
    assert!(committed == written, "today's bytes differ from the committed ones");
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
