//! What must hold for a command to take effect.

use crate::command::Malformed;
use crate::operation::{put_length, take_counted, take_u64};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft_core::Index;

/// What must hold of a key. As bytes: the test's tag, the key with its length (u32 before it), then
///
/// | tag | test | after the key |
/// |---|---|---|
/// | 1 | it stands for something | |
/// | 2 | it stands for nothing | |
/// | 3 | its newest put is at this index | index u64 |
/// | 4 | it stands for this value | the value with its length |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Of which key.
    pub key: Bytes,
    /// What.
    pub test: Test,
}

/// See [`Condition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The key stands for something.
    Exists,
    /// The key stands for nothing.
    Absent,
    /// The key's newest put is the one at this index.
    Modified(Index),
    /// The key stands for this value.
    Value(Bytes),
}

const EXISTS: u8 = 1;
const ABSENT: u8 = 2;
const MODIFIED: u8 = 3;
const VALUE: u8 = 4;

impl Condition {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(match self.test {
            Test::Exists => EXISTS,
            Test::Absent => ABSENT,
            Test::Modified(_) => MODIFIED,
            Test::Value(_) => VALUE,
        });
        put_length(out, self.key.len());
        out.put_slice(&self.key);
        match &self.test {
            Test::Exists | Test::Absent => {}
            Test::Modified(index) => out.put_u64_le(index.0),
            Test::Value(value) => {
                put_length(out, value.len());
                out.put_slice(value);
            }
        }
    }

    /// Takes off what [`Condition::encode`] wrote.
    pub(crate) fn take(rest: &mut Bytes) -> Result<Condition, Malformed> {
        let tag = rest.try_get_u8().map_err(|_| Malformed::Short)?;
        let key = take_counted(rest)?;
        let test = match tag {
            EXISTS => Test::Exists,
            ABSENT => Test::Absent,
            MODIFIED => Test::Modified(Index(take_u64(rest)?)),
            VALUE => Test::Value(take_counted(rest)?),
            _ => return Err(Malformed::Tag(tag)),
        };
        Ok(Condition { key, test })
    }
}
