//! Damage to what was synced: refused, or repaired from the other copy; never cut.

use crate::disk::*;
use bytes::Bytes;
use proptest::prelude::*;
use raft_core::wal::{
    Decay, Gone, HEADER_BYTES, Identity, Layout, Recovery, Refusal, Region, Sequence, recover,
};
use raft_core::{ClusterId, DiskId, EntryId, Index, NodeId, Recovered, Update};

/// The files and the state after some writes.
type Image = (Files, Recovered);

/// A log with a reset at its end, or one with roots because of releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    Reset,
    Released,
}

const ALL: [(Layout, Story); 4] =
    [(TINY, Story::Reset), (SMALL, Story::Reset), (TINY, Story::Released), (SMALL, Story::Released)];

/// The writes of a story. None of them leaves everything as it was.
fn writes(story: Story) -> Vec<Update> {
    let mut writes = script();
    if story == Story::Released {
        writes.truncate(9);
        let more = (10..40).step_by(3).map(|from| Update {
            hard: (from % 2 == 0).then(|| hard(from, None, 1)),
            entries: entries(from, 40, &[30, 90, 200]),
            ..Update::default()
        });
        writes.extend(more);
    }
    writes
}

/// Some starts' worth of a story, all synced, and a mark at the end. Also the image after each write.
fn written(layout: Layout, story: Story) -> (Files, Recovered, Vec<Image>) {
    let (mut files, mut state, mut images) = (Files::new(), Recovered::default(), Vec::new());
    let mut wal = reopen(&files, layout).expect("empty").wal;
    for (at, update) in writes(story).iter().enumerate() {
        store(&mut wal, &mut files, layout, update);
        apply(&mut state, update);
        images.push((files.clone(), state.clone()));
        if at % 6 == 5 {
            wal = reopen(&files, layout).expect("undamaged").wal;
        }
        if story == Story::Released {
            wal.release(COMMITTED.get(at).copied().unwrap_or(Index(12)));
        }
    }
    let mut ops = Vec::new();
    let mark = wal.mark(&mut ops).expect("the last write is not vouched for");
    ops.iter().for_each(|op| carry_out(&mut files, layout, op));
    delete(&mut files, &wal.synced(mark));
    (files, state, images)
}

/// What became of a damaged log: everything is there, but perhaps for commands that are known to be lost; or it is refused
/// as decay. `None`: untouched by the damage.
fn outcome(files: &Files, layout: Layout, state: &Recovered) -> Option<Result<Recovery, Box<Decay>>> {
    match reopen(files, layout) {
        Ok(recovery) => {
            assert!(found(&refilled(&recovery, state), state, Index(12)), "something synced was cut");
            let touched = !recovery.mended.is_empty() || !recovery.decayed.is_empty();
            touched.then_some(Ok(recovery))
        }
        Err(Refusal::Decay(decay)) => {
            assert!(decay.write <= decay.synced);
            Some(Err(decay))
        }
        Err(other) => panic!("{other}"),
    }
}

/// The non-zero bytes of the files: those that were ever put, nearly.
fn put_bytes(files: &Files) -> Vec<(u64, usize)> {
    let of = |(number, file): (&u64, &Vec<u8>)| {
        let number = *number;
        let put = file.iter().enumerate().filter(|(_, byte)| **byte != 0);
        put.map(move |(at, _)| (number, at)).collect::<Vec<_>>()
    };
    files.iter().flat_map(of).collect()
}

#[test]
fn a_flipped_byte_anywhere_is_mended_or_a_command_that_is_known() {
    let (mut mended, mut lost) = (0, 0);
    for (layout, story) in ALL {
        let (mut files, state, _) = written(layout, story);
        for (number, at) in put_bytes(&files) {
            let flip = |files: &mut Files| files.get_mut(&number).unwrap()[at] ^= 1 << (at % 8);
            flip(&mut files);
            match outcome(&files, layout, &state) {
                Some(Ok(recovery)) => match recovery.decayed.first() {
                    None => mended += 1,
                    Some((_, place)) => {
                        lost += 1;
                        assert_eq!((place.segment, place.region), (number, Region::Data));
                        assert!((place.at..place.at + 1024).contains(&(at as u64)), "{place}");
                    }
                },
                Some(Err(decay)) => panic!("all but commands stands twice: {decay}"),
                // The mark itself: nothing vouches for it, and nothing is lost with it.
                None => {}
            }
            flip(&mut files);
        }
    }
    assert!(mended > 9000 && lost > 4000, "{mended} {lost}");
}

#[test]
fn a_command_that_is_gone_is_named_and_its_entry_kept() {
    let (mut files, state, _) = written(SMALL, Story::Reset);
    let payload = match state.entries[0].payload() {
        raft_core::Payload::Command(bytes) => bytes.clone(),
        _ => panic!("the script ends with commands"),
    };
    let (number, at) = files
        .iter()
        .rev()
        .find_map(|(number, file)| Some((*number, file.windows(9).rposition(|window| window == payload)?)))
        .expect("it is stored");
    files.get_mut(&number).unwrap()[at] ^= 1;
    let recovery = reopen(&files, SMALL).expect("a peer may have it");
    let [(id, place)] = recovery.decayed[..] else { panic!("{:?}", recovery.decayed) };
    assert_eq!((id, place.at), (EntryId::new(3, 21), at as u64));
    assert_eq!(place.to_string(), format!("000000000000000{number}.wal at byte {at} (data)"));
    let kept = recovery.recovered.entries.iter().find(|entry| entry.id() == id).expect("it is known");
    assert_eq!((kept.is_decayed(), kept.hash(), kept.size()), (true, state.entries[0].hash(), 9));
    assert_eq!(recovery.cut, None);
}

#[test]
fn a_record_that_is_gone_in_both_copies_is_refused_for_every_record() {
    for (layout, story) in ALL {
        let (files, state, _) = written(layout, story);
        let ids_at = HEADER_BYTES as usize;
        let data_at = ids_at + layout.ids_bytes as usize;
        let mut records = 0;
        for (number, file) in &files {
            for slot in 0..layout.ids_bytes as usize / 104 {
                let header = &file[ids_at + 104 * slot..][..104];
                if &header[..4] != b"RREC" {
                    continue;
                }
                let offset = u32::from_le_bytes(header[84..88].try_into().unwrap()) as usize;
                let write = u64::from_le_bytes(header[32..40].try_into().unwrap());
                let mut damaged = files.clone();
                let file = damaged.get_mut(number).unwrap();
                file[ids_at + 104 * slot..][..104].fill(0);
                file[data_at + offset..][..104].fill(0);
                records += 1;
                match reopen(&damaged, layout) {
                    Err(Refusal::Decay(decay)) => {
                        assert_eq!(decay.write, Sequence(write));
                        assert!(matches!(decay.gone, Gone::Record { .. }));
                    }
                    Ok(recovery) => {
                        assert_eq!(write as usize, writes(story).len() + 1, "only the mark may go");
                        assert!(found(&recovery.recovered, &state, Index(12)));
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
        assert!(records > 10, "{records}");
    }
}

#[test]
fn a_segment_or_its_header_that_is_gone_is_refused() {
    for story in [Story::Reset, Story::Released] {
        let (files, state, _) = written(TINY, story);
        let newest = *files.keys().last().unwrap();
        for number in files.keys().copied() {
            // The newest one may be gone without a trace: it holds nothing but the mark.
            let mut page = files.clone();
            page.get_mut(&number).unwrap()[..4096].fill(0);
            match outcome(&page, TINY, &state) {
                Some(Err(decay)) => assert_eq!(decay.unreadable, [number]),
                other => assert_eq!((number, other), (newest, None)),
            }
            for copy in [0, 2048] {
                let mut one = files.clone();
                one.get_mut(&number).unwrap()[copy..copy + 96].fill(0xff);
                // Nothing vouched for a life's last write when the next one began: that may have been a crash.
                let first = u64::from_le_bytes(core::array::from_fn(|byte| files[&number][56 + byte]));
                let mended = match outcome(&one, TINY, &state) {
                    Some(Ok(recovery)) => recovery.mended.len(),
                    None => 0,
                    Some(Err(decay)) => panic!("{decay}"),
                };
                assert_eq!(mended, usize::from(number != newest && first % 6 != 0), "{number}");
            }
            let mut absent = files.clone();
            absent.remove(&number);
            match outcome(&absent, TINY, &state) {
                Some(Err(decay)) => assert_eq!(decay.missing, [number]),
                other => assert_eq!((number, other), (newest, None)),
            }
        }
    }
}

#[test]
fn a_file_that_became_shorter_is_refused() {
    let (files, state, _) = written(SMALL, Story::Reset);
    // The ids of the records that are gone still stand.
    for (number, file) in &files {
        let used = file.iter().rposition(|byte| *byte != 0).unwrap();
        let first_record = (HEADER_BYTES + SMALL.ids_bytes) as usize;
        for length in (first_record..used).step_by(8) {
            let mut shorter = files.clone();
            shorter.get_mut(number).unwrap().truncate(length);
            outcome(&shorter, SMALL, &state);
        }
    }
}

#[test]
fn a_sector_that_reads_back_old_is_mended_or_refused() {
    let mut seen = 0;
    for (layout, story) in ALL {
        let (files, state, images) = written(layout, story);
        for (image, _) in &images {
            for (number, old) in image {
                for at in (0..old.len()).step_by(512) {
                    let end = old.len().min(at + 512);
                    let mut damaged = files.clone();
                    let Some(file) = damaged.get_mut(number) else { continue };
                    if file[at..end] != old[at..end] {
                        file[at..end].copy_from_slice(&old[at..end]);
                        seen += usize::from(outcome(&damaged, layout, &state).is_some());
                    }
                }
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

/// Nothing vouched for the newest write before a start, which found it whole and wrote after it. Its rot is no crash any
/// more: the header of the segment that the start opened says so, alone until that life's second write. Cut, it would take
/// the acknowledged write behind it along (seed 9800057 of the simulator).
#[test]
fn what_a_start_found_whole_is_never_cut_again() {
    let (mut files, mut state) = (Files::new(), Recovered::default());
    let mut wal = reopen(&files, SMALL).expect("empty").wal;
    for update in &script()[..8] {
        store(&mut wal, &mut files, SMALL, update);
        apply(&mut state, update);
    }
    let found = files.values().next_back().unwrap().clone();
    let mut wal = reopen(&files, SMALL).expect("undamaged").wal;
    let before = state.clone();
    let boot = Update { hard: Some(hard(2, None, 2)), ..Update::default() };
    store(&mut wal, &mut files, SMALL, &boot);
    apply(&mut state, &boot);
    assert_eq!(reopen(&files, SMALL).expect("undamaged").recovered, state);
    let number = *files.keys().next_back().unwrap();
    let rotten = number - 1;
    assert_eq!(files[&rotten], found, "each start opens a segment");
    let last = found.iter().rposition(|byte| *byte != 0).unwrap();
    files.get_mut(&rotten).unwrap()[last] ^= 1;
    let lost = reopen(&files, SMALL).expect("only a command is lost");
    assert_eq!((refilled(&lost, &state), lost.decayed.len()), (state, 1));
    // The header alone will do: the write behind it may be lost to a crash, the one before it was there.
    files.get_mut(&number).unwrap()[HEADER_BYTES as usize..].fill(0);
    let lost = reopen(&files, SMALL).expect("only a command is lost");
    assert_eq!((refilled(&lost, &before), lost.decayed.len()), (before, 1));
    // And so if the record is gone as a whole.
    let file = files.get_mut(&rotten).unwrap();
    for at in
        (0..found.len()).step_by(8).filter(|at| found[*at..].starts_with(b"RREC") && found[at + 32] == 8)
    {
        file[at..at + 104].fill(0);
    }
    let Err(Refusal::Decay(decay)) = reopen(&files, SMALL) else { panic!("not refused") };
    assert_eq!((decay.write, decay.evidence.segment), (Sequence(8), number));
    assert_eq!(decay.evidence.region, Region::Header);
}

/// What can't be told from a crash, or from an earlier moment of the same disk. `docs/wal.md` says so; the protocol's
/// own rules catch a part of it (a leader that has an acknowledgement from here halts this node).
#[test]
fn what_nothing_vouches_for_may_be_cut() {
    let (mut files, mut state) = (Files::new(), Recovered::default());
    let mut wal = reopen(&files, SMALL).expect("empty").wal;
    let mut before = state.clone();
    for update in script() {
        before = state.clone();
        store(&mut wal, &mut files, SMALL, &update);
        apply(&mut state, &update);
    }
    // The newest write was synced, and no later record says so: its rot looks like a crash during it.
    let file = files.values_mut().next_back().unwrap();
    let last = file.iter().rposition(|byte| *byte != 0).unwrap();
    file[last] ^= 1;
    let recovery = reopen(&files, SMALL).expect("looks like a crash");
    assert_eq!(recovery.recovered, before);
    assert!(recovery.cut.is_some());
    // An older image of the whole disk is a log as good as any.
    let (_, _, images) = written(SMALL, Story::Reset);
    assert!(images.iter().all(|(image, _)| reopen(image, SMALL).is_ok()));
}

#[test]
fn files_of_another_log_are_refused() {
    let (files, ..) = written(SMALL, Story::Reset);
    let segments = || files.iter().map(|(number, file)| (*number, Bytes::from(file.clone()))).collect();
    let refusal = |identity| recover(identity, SMALL, segments()).unwrap_err();
    let wrong = refusal(Identity { cluster: ClusterId(8), ..US });
    assert!(matches!(wrong, Refusal::WrongCluster { .. }), "{wrong}");
    let wrong = refusal(Identity { node: NodeId(1), ..US });
    assert!(matches!(wrong, Refusal::WrongNode { .. }), "{wrong}");
    let wrong = refusal(Identity { disk: DiskId(1), ..US });
    assert!(matches!(wrong, Refusal::WrongDisk { .. }), "{wrong}");
}

#[test]
fn a_newer_format_is_refused() {
    let (mut files, ..) = written(SMALL, Story::Reset);
    let first = *files.keys().next().unwrap();
    let file = files.get_mut(&first).unwrap();
    file[8] = 3;
    let crc = crc32fast::hash(&file[..92]);
    file[92..96].copy_from_slice(&crc.to_le_bytes());
    let refusal = reopen(&files, SMALL).unwrap_err();
    assert_eq!(refusal, Refusal::NewerFormat { segment: first, version: 3, known: 2 });
}

#[test]
fn an_old_use_of_a_recycled_file_is_nothing() {
    let (files, state, _) = written(TINY, Story::Reset);
    let newest = *files.keys().last().unwrap();
    for (number, file) in &files {
        // The same bytes under a new name, as if the file had been taken for the next segment: all stale.
        let mut recycled = files.clone();
        recycled.insert(newest + 1, file.clone());
        let recovery = reopen(&recycled, TINY).unwrap();
        assert_eq!((recovery.recovered, recovery.cut), (state.clone(), None), "of {number}");
        assert_eq!(recovery.discard, [newest + 1]);
    }
}

/// Two lives that use the same segment number for the same write numbers, as after a rollback: what the first one left
/// in the space of the second one has the right generation, number and place, and a chain that does not continue.
#[test]
fn an_old_record_in_recycled_space_is_nothing() {
    let mut files = Files::new();
    let mut wal = reopen(&files, SMALL).unwrap().wal;
    store(&mut wal, &mut files, SMALL, &Update { hard: Some(hard(1, None, 1)), ..Update::default() });
    let life = |term: u64, writes: usize| {
        let mut files = files.clone();
        let mut wal = reopen(&files, SMALL).unwrap().wal;
        for index in 1..=writes as u64 {
            let update = Update { entries: entries(index, term, &[50]), ..Update::default() };
            store(&mut wal, &mut files, SMALL, &update);
        }
        files
    };
    let (first, mut second) = (life(1, 2), life(2, 1));
    let whole = reopen(&second, SMALL).unwrap().recovered;
    // The hard state and the entry of the second life, then what the first one left.
    let (ids, data) = (HEADER_BYTES as usize, (HEADER_BYTES + SMALL.ids_bytes) as usize);
    for rest in [ids + 2 * 104..data, data + 2 * 104 + 56..data + 2000] {
        second.get_mut(&2).unwrap()[rest.clone()].copy_from_slice(&first[&2][rest]);
    }
    let recovery = reopen(&second, SMALL).unwrap();
    assert_eq!(recovery.recovered, whole);
    assert!(recovery.cut.is_some(), "something stands there");
}

/// The copies of records: where each stands, and what it vouches for.
fn copies(files: &Files) -> Vec<(u64, usize, u64)> {
    let of = |(number, file): (&u64, &Vec<u8>)| {
        let at = (0..file.len() / 8).map(|step| 8 * step).filter(|at| file[*at..].starts_with(b"RREC"));
        let synced = |at: usize| u64::from_le_bytes(core::array::from_fn(|byte| file[at + 40 + byte]));
        at.map(|at| (*number, at, synced(at))).collect::<Vec<_>>()
    };
    files.iter().flat_map(of).collect()
}

/// The newest write that a start found whole though nothing vouched for it: what the intact headers of the segments that
/// starts opened say.
fn found_by_starts(files: &Files, whole: &Files) -> u64 {
    let intact = |number: &u64, at: usize| files[number][at..][..96] == whole[number][at..][..96];
    let says = |file: &Vec<u8>| {
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|byte| file[at + byte]));
        let (first, proven) = (word(56), word(64));
        if proven + 1 < first { first - 1 } else { 0 }
    };
    let of = whole.iter().filter(|(number, _)| intact(number, 0) || intact(number, 2048));
    of.map(|(_, file)| says(file)).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Any damage to any places at once: what some intact record vouches for is there, or the log is refused.
    #[test]
    fn damage_of_any_kind_is_mended_or_refused(
        kind in 0_usize..4,
        hits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..600, 0_u8..3), 1..6),
    ) {
        type Written = (Files, Recovered, Vec<Image>);
        thread_local!(static WRITTEN: [Written; 4] = ALL.map(|(layout, story)| written(layout, story)));
        WRITTEN.with(|written| {
            let (whole, _, images) = &written[kind];
            let mut files = whole.clone();
            let places = put_bytes(&files);
            for (place, length, how) in hits {
                let (number, at) = places[place.index(places.len())];
                let file = files.get_mut(&number).unwrap();
                let end = file.len().min(at + length);
                for (step, byte) in file[at..end].iter_mut().enumerate() {
                    *byte = [0, !*byte, (step * 37) as u8][usize::from(how)];
                }
            }
            let intact = |(number, at, _): &(u64, usize, u64)| files[number][*at..][..104] == whole[number][*at..][..104];
            let said = copies(whole).into_iter().filter(intact).map(|(.., synced)| synced).max().unwrap_or(0);
            let vouched = said.max(found_by_starts(&files, whole));
            match reopen(&files, ALL[kind].0) {
                Ok(recovery) => {
                    // The last such image: a write may leave the state as it was.
                    let is = |state: &Recovered| found(&refilled(&recovery, state), state, Index(12));
                    let image = images.iter().rposition(|(_, state)| is(state));
                    assert!(image.is_some() || recovery.recovered == Recovered::default());
                    let writes = image.map_or(0, |before| before as u64 + 1);
                    assert!(writes >= vouched, "{writes} of {vouched} writes");
                }
                // A header that names a root may say more than all that is left of the records.
                Err(Refusal::Decay(decay)) if decay.evidence.region == Region::Header => {
                    assert!((vouched..=images.len() as u64 + 1).contains(&decay.synced.0), "{decay:?}");
                }
                Err(Refusal::Decay(decay)) => assert_eq!(decay.synced, Sequence(vouched)),
                Err(other) => panic!("{other}"),
            }
        });
    }
}
