//! A snapshot that arrives, as far as it is here: the bytes from the first on without a hole, and a file beside them that
//! says of which snapshot. Both outlive a restart.

use super::SnapshotsError;
use super::files::{Place, io_error};
use super::paced::{FromStart, PIECE, Pace, Stop};
use crate::machine::snapshot::{self as format, u64_at};
use raft_core::{Base, ClusterId, EntryId, Membership, Snapshot};
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

/// The names of the two files.
pub(super) const PART: &str = "receiving.part";
pub(super) const ABOUT: &str = "receiving.about";

/// A member waits for it, and the others make a majority meanwhile: half of the disk's time.
const ARRIVING_RESTS: u32 = 1;

const MAGIC: [u8; 8] = *b"RAFTPART";
const FIXED_BYTES: usize = 48;
const CHECKSUM_BYTES: usize = 4;

/// The beginning of a snapshot.
#[derive(Debug)]
pub(super) struct Partial {
    snapshot: Snapshot,
    file: Arc<File>,
    have: u64,
    pace: Pace,
}

impl Partial {
    /// Begins to receive: whatever was received of another one goes.
    pub(super) fn begin(place: &Place, snapshot: &Snapshot) -> Result<Partial, SnapshotsError> {
        place.remove(ABOUT)?;
        let file = place.create(PART)?;
        place.write_durably(ABOUT, &encode(snapshot))?;
        Ok(Partial {
            snapshot: snapshot.clone(),
            file: Arc::new(file),
            have: 0,
            pace: Pace::new(ARRIVING_RESTS),
        })
    }

    /// What an earlier process received: as far as it is intact, since what was not synced may not be.
    pub(super) fn resume(place: &Place, cluster: ClusterId) -> Result<Option<Partial>, SnapshotsError> {
        let Place::Directory { path, .. } = place else { return Ok(None) };
        let about = fs::read(path.join(ABOUT)).ok();
        let Some(snapshot) = about.and_then(|bytes| decode(&bytes)) else {
            place.remove(ABOUT)?;
            place.remove(PART)?;
            return Ok(None);
        };
        let part = path.join(PART);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&part);
        let file = Arc::new(file.map_err(io_error("open", &part))?);
        let bytes = BufReader::with_capacity(PIECE, FromStart::new(file.clone(), Stop::default()));
        let have = format::intact(bytes, cluster, &snapshot).min(snapshot.size);
        file.set_len(have).map_err(io_error("cut", &part))?;
        tracing::info!(last = %snapshot.last(), have, size = snapshot.size, "a part of a snapshot is here");
        Ok(Some(Partial { snapshot, file, have, pace: Pace::new(ARRIVING_RESTS) }))
    }

    /// Of which snapshot.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Everything before this byte is here.
    pub(super) fn have(&self) -> u64 {
        self.have
    }

    /// The bytes.
    pub(super) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Takes in what follows on what is here; anything else is passed over.
    pub(super) fn store(&mut self, place: &Place, offset: u64, data: &[u8]) -> Result<(), SnapshotsError> {
        if offset != self.have {
            return Ok(());
        }
        let began = Instant::now();
        let path = place.path(PART);
        self.file.write_all_at(data, offset).map_err(io_error("write to", &path))?;
        self.have += data.len() as u64;
        self.pace.written(data.len(), began, || place.sync(&self.file, PART))
    }
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let Snapshot { base: Base { id: EntryId { term, index }, hash, membership }, size, digest } = snapshot;
    let mut out = MAGIC.to_vec();
    for number in [index.0, term.0, *hash, *size, *digest] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&membership.encode());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<Snapshot> {
    let (bytes, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    if u32::from_le_bytes(*checksum) != crc32fast::hash(bytes) || !bytes.starts_with(&MAGIC) {
        return None;
    }
    let membership = Membership::decode(bytes.get(FIXED_BYTES..)?)?;
    let word = |at| u64_at(bytes, at);
    let base = Base { id: EntryId::new(word(16), word(8)), hash: word(24), membership };
    Some(Snapshot { base, size: word(32), digest: word(40) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::NodeId;

    #[test]
    fn a_description_survives_its_bytes_and_nothing_else_does() {
        let membership = Membership::founders([NodeId(0), NodeId(3)]).unwrap();
        let base = Base { id: EntryId::new(3, 1 << 40), hash: 5, membership };
        let snapshot = Snapshot { base, size: 7, digest: u64::MAX };
        let bytes = encode(&snapshot);
        assert_eq!(decode(&bytes), Some(snapshot));
        for at in 0..bytes.len() {
            assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(decode(&flipped), None, "flipped at {at}");
        }
    }
}
