//! Bytes in a command.

use bytes::Bytes;
use raft_core::Envelope;

/// Decodes an envelope. What is accepted must be written back to the very same bytes.
pub fn decode(data: &[u8]) -> bool {
    let command = Bytes::copy_from_slice(data);
    let Ok(envelope) = Envelope::decode(command.clone()) else { return false };
    assert!(
        command.as_ptr_range().end == envelope.body.as_ptr_range().end,
        "the body is a slice, not a copy"
    );
    assert_eq!(envelope.encode(), command, "an envelope has one form");
    true
}
