//! What clients ask for, to bytes and back.

use bytes::{BufMut, Bytes, BytesMut};
use raft_core::EntryId;
use raft_core::envelope::EnvelopeError;

/// What a client asks the cluster to do, as it stands in an envelope's body: a tag byte, and then
///
/// | tag | operation | after the tag |
/// |---|---|---|
/// | 1 | append | the entry's bytes |
/// | 2 | put | length of the key u32 little-endian, key, value |
///
/// A tag never changes its meaning; a new operation takes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Append an entry to the clients' log.
    Append(Bytes),
    /// Append `key:value` to the clients' log, and let the key stand for the value.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
}

const APPEND: u8 = 1;
const PUT: u8 = 2;

impl Command {
    /// The body of the command's envelope.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(5 + self.size());
        match self {
            Command::Append(entry) => {
                out.put_u8(APPEND);
                out.put_slice(entry);
            }
            Command::Put { key, value } => {
                out.put_u8(PUT);
                out.put_u32_le(u32::try_from(key.len()).expect("a request's body is far below 4 GiB"));
                out.put_slice(key);
                out.put_slice(value);
            }
        }
        out.freeze()
    }

    /// Reads what [`Command::encode`] wrote; the parts share `body`'s memory.
    pub(crate) fn decode(body: &Bytes) -> Result<Command, Malformed> {
        match body.split_first() {
            Some((&APPEND, _)) => Ok(Command::Append(body.slice(1..))),
            Some((&PUT, rest)) => {
                let (length, _) = rest.split_first_chunk::<4>().ok_or(Malformed::Short)?;
                let key_end = 5 + u32::from_le_bytes(*length) as usize;
                if body.len() < key_end {
                    return Err(Malformed::Short);
                }
                Ok(Command::Put { key: body.slice(5..key_end), value: body.slice(key_end..) })
            }
            Some((&tag, _)) => Err(Malformed::Tag(tag)),
            None => Err(Malformed::Short),
        }
    }

    /// How many of the client's bytes the command carries.
    pub(super) fn size(&self) -> usize {
        match self {
            Command::Append(entry) => entry.len(),
            Command::Put { key, value } => key.len() + value.len(),
        }
    }

    /// The entry as a client reads it: a put is `key:value`.
    pub fn text(&self) -> Bytes {
        match self {
            Command::Append(entry) => entry.clone(),
            Command::Put { key, value } => [key.as_ref(), b":", value.as_ref()].concat().into(),
        }
    }
}

/// A committed command that this version can't read. Skipping it would let nodes differ, so the node stops.
#[derive(Debug, thiserror::Error)]
#[error("the committed entry {id} can't be applied: {why}; run the newest httpraft on this data directory")]
pub struct Unreadable {
    pub(super) id: EntryId,
    pub(super) why: Malformed,
}

/// Why bytes are no command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("its operation has the tag {0}, which this version doesn't know")]
    Tag(u8),
    #[error("its operation is cut off")]
    Short,
    #[error("{0}")]
    Envelope(EnvelopeError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_its_bytes() {
        let put =
            |key, value| Command::Put { key: Bytes::from_static(key), value: Bytes::from_static(value) };
        let append = |entry| Command::Append(Bytes::from_static(entry));
        for command in [append(b""), append(b"a:b"), put(b"", b""), put(b"k:1", b"v:2:3"), put(b"k", b"")] {
            assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        }
        assert!(Command::decode(&put(b"key", b"").encode().slice(..6)).is_err());
    }
}
