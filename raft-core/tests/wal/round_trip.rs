//! Without faults everything comes back, over segments and starts.

use crate::disk::*;
use bytes::Bytes;
use raft_core::wal::{HEADER_BYTES, Layout, Op, Sequence};
use raft_core::{Recovered, Update};

#[test]
fn an_empty_directory_holds_nothing() {
    let recovery = reopen(&Files::new(), SMALL).unwrap();
    assert_eq!(recovery.recovered, Recovered::default());
    assert_eq!((recovery.discard, recovery.cut, recovery.mended), (vec![], None, vec![]));
}

#[test]
fn what_is_written_comes_back_after_every_write_and_every_start() {
    for layout in [TINY, SMALL, Layout::default()] {
        let mut files = Files::new();
        let mut state = Recovered::default();
        let mut wal = reopen(&files, layout).unwrap().wal;
        for (at, update) in script().into_iter().enumerate() {
            store(&mut wal, &mut files, layout, &update);
            apply(&mut state, &update);
            let recovery = reopen(&files, layout).unwrap();
            assert_eq!(recovery.recovered, state, "after {at}");
            assert_eq!(
                (recovery.discard, recovery.cut, recovery.mended),
                (vec![], None, vec![]),
                "after {at}"
            );
            if at % 3 == 2 {
                wal = recovery.wal;
            }
        }
        assert!(layout != TINY || *files.keys().last().unwrap() >= 6, "the tiny layout needs many segments");
    }
}

#[test]
fn writes_are_numbered_over_all_starts() {
    let mut files = Files::new();
    for start in 0..5_u64 {
        let mut wal = reopen(&files, SMALL).unwrap().wal;
        let mut ops = Vec::new();
        for write in 0..3 {
            let update = Update { hard: Some(hard(start, None, start)), ..Update::default() };
            assert_eq!(wal.append(&update, &mut ops), Ok(Sequence(start * 3 + write + 1)));
        }
        ops.iter().for_each(|op| carry_out(&mut files, SMALL, op));
    }
    assert_eq!(files.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_write_larger_than_a_segment_spans_segments_and_a_larger_entry_is_refused() {
    let mut files = Files::new();
    let mut wal = reopen(&files, TINY).unwrap().wal;
    let update = Update { entries: entries(1, 1, &[500; 40]), ..Update::default() };
    store(&mut wal, &mut files, TINY, &update);
    assert!(files.len() >= 40);
    let before = wal.clone();
    let mut ops = Vec::new();
    let limit = 1024 - 2 * 104;
    let large = Update { entries: entries(41, 1, &[3, limit + 1]), ..Update::default() };
    let refused = wal.append(&large, &mut ops).unwrap_err();
    assert_eq!((refused.bytes, refused.limit), (limit + 1, limit));
    assert_eq!((&wal, ops.len()), (&before, 0), "a refused update leaves no trace");
    let largest = Update { entries: entries(41, 1, &[limit]), ..Update::default() };
    store(&mut wal, &mut files, TINY, &largest);
    assert_eq!(reopen(&files, TINY).unwrap().recovered.entries.len(), 41);
}

#[test]
fn layouts_may_change_from_start_to_start() {
    let mut files = Files::new();
    let mut state = Recovered::default();
    for (update, layout) in script().iter().zip([TINY, SMALL].into_iter().cycle()) {
        let mut wal = reopen(&files, layout).unwrap().wal;
        store(&mut wal, &mut files, layout, update);
        apply(&mut state, update);
    }
    assert_eq!(reopen(&files, SMALL).unwrap().recovered, state);
}

#[test]
fn large_payloads_are_shared_and_puts_are_joined() {
    let mut wal = reopen(&Files::new(), SMALL).unwrap().wal;
    let mut ops = Vec::new();
    wal.append(&Update { hard: Some(hard(1, None, 1)), ..Update::default() }, &mut ops).unwrap();
    ops.clear();
    let update = Update { entries: entries(1, 1, &[10, 20, 2000, 30]), ..Update::default() };
    wal.append(&update, &mut ops).unwrap();
    let puts: Vec<(u64, &Bytes)> = ops
        .iter()
        .map(|op| match op {
            Op::Put { at, bytes, .. } => (*at, bytes),
            Op::Create { .. } => panic!("the segment is there"),
        })
        .collect();
    let data = u64::from(HEADER_BYTES + SMALL.ids_bytes) + 104;
    assert_eq!(
        puts.iter().map(|(at, bytes)| (*at, bytes.len())).collect::<Vec<_>>(),
        [
            (data, 104 + 16 + 104 + 24 + 104),
            (data + 352, 2000),
            (data + 2352, 104 + 32),
            (u64::from(HEADER_BYTES) + 104, 4 * 104),
        ]
    );
    let raft_core::Payload::Command(payload) = update.entries[2].payload() else { panic!() };
    assert_eq!(puts[1].1.as_ptr(), payload.as_ptr(), "not copied");
}

#[test]
fn recovered_payloads_are_slices_of_the_segment() {
    let mut files = Files::new();
    let mut wal = reopen(&files, SMALL).unwrap().wal;
    store(&mut wal, &mut files, SMALL, &Update { entries: entries(1, 1, &[10, 2000]), ..Update::default() });
    let file = Bytes::from(files[&1].clone());
    let recovery = raft_core::wal::recover(US, SMALL, vec![(1, file.clone())]).unwrap();
    for entry in &recovery.recovered.entries {
        let raft_core::Payload::Command(payload) = entry.payload() else { panic!() };
        assert!(file.as_ptr_range().contains(&payload.as_ptr()));
    }
}

#[test]
fn a_mark_is_due_once_after_the_last_sync() {
    let mut files = Files::new();
    let mut wal = reopen(&files, SMALL).unwrap().wal;
    let mut ops = Vec::new();
    assert_eq!(wal.mark(&mut ops), None, "nothing was written");
    let first = wal.append(&Update { hard: Some(hard(1, None, 1)), ..Update::default() }, &mut ops).unwrap();
    assert_eq!(wal.mark(&mut ops), None, "nothing is synced");
    assert_eq!(wal.synced(first), []);
    let mark = wal.mark(&mut ops).unwrap();
    assert_eq!(wal.mark(&mut ops), None, "it vouches already");
    assert_eq!(wal.synced(mark), []);
    assert_eq!(wal.mark(&mut ops), None, "a mark needs no mark");
    ops.iter().for_each(|op| carry_out(&mut files, SMALL, op));
    let mut wal = reopen(&files, SMALL).unwrap().wal;
    assert_eq!(wal.mark(&mut ops), None, "also after a start");
}
