//! What a driver puts inside a command. The core never looks inside; it stands in the log for ever, so it has a version
//! from the first day on. All numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | flags: 1 if there is a key; all others are 0 |
//! | 8 | the leader's clock when the command was proposed, in milliseconds since 1970 |
//! | 2, n | only with a key: its length and the key |
//! | rest | the body |
//!
//! There is no checksum: the entry's hash covers all of it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u8 = 1;
const HAS_KEY: u8 = 1;
const FIXED_BYTES: usize = 10;

/// A command with what every replica needs to apply it alike: no replica may look at its own clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// The leader's clock when the command was proposed, in milliseconds since 1970.
    pub time_ms: u64,
    /// The client's name for this command, by which a repetition is known. At most 65,535 bytes.
    pub key: Option<Bytes>,
    /// The command itself.
    pub body: Bytes,
}

/// Why a command is not an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeError {
    /// A version that this program can't read.
    UnknownVersion {
        /// Which.
        found: u8,
    },
    /// Flags that this version doesn't have.
    UnknownFlags {
        /// All flags of the envelope.
        found: u8,
    },
    /// The command ends within a field.
    TooShort {
        /// Which field.
        field: &'static str,
        /// How many bytes there are in all.
        length: usize,
    },
}

impl core::fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            EnvelopeError::UnknownVersion { found } => write!(
                f,
                "command envelope of version {found}, this program reads version {VERSION}: it was written by a newer one"
            ),
            EnvelopeError::UnknownFlags { found } => {
                write!(
                    f,
                    "command envelope with unknown flags {found:#04x} at byte 1: it was written by a newer program"
                )
            }
            EnvelopeError::TooShort { field, length } => {
                write!(f, "command envelope of {length} bytes ends within its {field}")
            }
        }
    }
}

impl core::error::Error for EnvelopeError {}

impl Envelope {
    /// The bytes of the envelope.
    ///
    /// # Panics
    /// If the key is longer than 65,535 bytes: whoever takes a key from a client limits it.
    pub fn encode(&self) -> Bytes {
        let key = self.key.as_ref().map_or(0, |key| 2 + key.len());
        let mut out = BytesMut::with_capacity(FIXED_BYTES + key + self.body.len());
        out.put_u8(VERSION);
        out.put_u8(if self.key.is_some() { HAS_KEY } else { 0 });
        out.put_u64_le(self.time_ms);
        if let Some(key) = &self.key {
            out.put_u16_le(u16::try_from(key.len()).expect("keys are limited where they come in"));
            out.put_slice(key);
        }
        out.put_slice(&self.body);
        out.freeze()
    }

    /// Reads an envelope; key and body are slices of `command`.
    ///
    /// # Errors
    /// [`EnvelopeError`] for anything that [`Envelope::encode`] of this version doesn't write.
    pub fn decode(mut command: Bytes) -> Result<Envelope, EnvelopeError> {
        let length = command.len();
        let short = |field| EnvelopeError::TooShort { field, length };
        let version = command.try_get_u8().map_err(|_| short("version"))?;
        if version != VERSION {
            return Err(EnvelopeError::UnknownVersion { found: version });
        }
        let flags = command.try_get_u8().map_err(|_| short("flags"))?;
        if flags & !HAS_KEY != 0 {
            return Err(EnvelopeError::UnknownFlags { found: flags });
        }
        let time_ms = command.try_get_u64_le().map_err(|_| short("time"))?;
        let key = if flags == HAS_KEY {
            let key = usize::from(command.try_get_u16_le().map_err(|_| short("key's length"))?);
            if command.len() < key {
                return Err(short("key"));
            }
            Some(command.split_to(key))
        } else {
            None
        };
        Ok(Envelope { time_ms, key, body: command })
    }
}
