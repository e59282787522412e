//! What a command does to the state, one step of it, to bytes and back.

use crate::command::Malformed;
use bytes::{BufMut, Bytes, BytesMut};

/// One change of the state. As bytes, a tag and then
///
/// | tag | operation | after the tag |
/// |---|---|---|
/// | 1 | append | the entry's bytes |
/// | 2 | put | length of the key u32 little-endian, key, value |
/// | 3 | delete | the key |
///
/// A tag never changes its meaning; a new operation takes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Append an entry to the clients' log.
    Append(Bytes),
    /// Append `key:value` to the clients' log, and let the key stand for the value.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// Let the key stand for nothing.
    Delete {
        /// The key.
        key: Bytes,
    },
}

const APPEND: u8 = 1;
const PUT: u8 = 2;
const DELETE: u8 = 3;

impl Operation {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        match self {
            Operation::Append(entry) => {
                out.put_u8(APPEND);
                out.put_slice(entry);
            }
            Operation::Put { key, value } => {
                out.put_u8(PUT);
                put_length(out, key.len());
                out.put_slice(key);
                out.put_slice(value);
            }
            Operation::Delete { key } => {
                out.put_u8(DELETE);
                out.put_slice(key);
            }
        }
    }

    /// How many bytes [`Operation::encode`] writes.
    pub(crate) fn encoded(&self) -> usize {
        self.size() + if matches!(self, Operation::Put { .. }) { 5 } else { 1 }
    }

    /// Reads what [`Operation::encode`] wrote; the parts share `body`'s memory.
    pub(crate) fn decode(body: &Bytes) -> Result<Operation, Malformed> {
        match body.split_first() {
            Some((&APPEND, _)) => Ok(Operation::Append(body.slice(1..))),
            Some((&PUT, _)) => {
                let mut rest = body.slice(1..);
                Ok(Operation::Put { key: take_counted(&mut rest)?, value: rest })
            }
            Some((&DELETE, _)) => Ok(Operation::Delete { key: body.slice(1..) }),
            Some((&tag, _)) => Err(Malformed::Tag(tag)),
            None => Err(Malformed::Short),
        }
    }

    /// How many of the client's bytes it carries.
    pub fn size(&self) -> usize {
        match self {
            Operation::Append(entry) => entry.len(),
            Operation::Put { key, value } => key.len() + value.len(),
            Operation::Delete { key } => key.len(),
        }
    }

    /// The entry of the clients' log as a client reads it: a put is `key:value`, and a delete is no entry.
    pub fn text(&self) -> Option<Bytes> {
        match self {
            Operation::Append(entry) => Some(entry.clone()),
            Operation::Put { key, value } => Some([key.as_ref(), b":", value.as_ref()].concat().into()),
            Operation::Delete { .. } => None,
        }
    }

    /// The key that it changes, if it is about one.
    pub fn key(&self) -> Option<&Bytes> {
        match self {
            Operation::Append(_) => None,
            Operation::Put { key, .. } | Operation::Delete { key } => Some(key),
        }
    }
}

/// A length as it stands before what it counts.
pub(crate) fn put_length(out: &mut BytesMut, length: usize) {
    out.put_u32_le(u32::try_from(length).expect("a request's body is far below 4 GiB"));
}

/// Takes off a length and as many bytes.
pub(crate) fn take_counted(rest: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = take_u32(rest)? as usize;
    if rest.len() < length { Err(Malformed::Short) } else { Ok(rest.split_to(length)) }
}

pub(crate) fn take_u32(rest: &mut Bytes) -> Result<u32, Malformed> {
    let (bytes, _) = rest.split_first_chunk().ok_or(Malformed::Short)?;
    let number = u32::from_le_bytes(*bytes);
    drop(rest.split_to(4));
    Ok(number)
}

pub(crate) fn take_u64(rest: &mut Bytes) -> Result<u64, Malformed> {
    let (bytes, _) = rest.split_first_chunk().ok_or(Malformed::Short)?;
    let number = u64::from_le_bytes(*bytes);
    drop(rest.split_to(8));
    Ok(number)
}

/// Some operations, one after another: each its length and its bytes.
pub(crate) fn encode_all(operations: &[Operation], out: &mut BytesMut) {
    for operation in operations {
        put_length(out, operation.encoded());
        operation.encode(out);
    }
}

/// Reads what [`encode_all`] wrote, to the end.
pub(crate) fn decode_all(mut rest: Bytes) -> Result<Vec<Operation>, Malformed> {
    let mut operations = Vec::new();
    while !rest.is_empty() {
        operations.push(Operation::decode(&take_counted(&mut rest)?)?);
    }
    Ok(operations)
}
