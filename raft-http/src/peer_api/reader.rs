//! Bytes of a granted stream to messages of the core.

use crate::driver::Event;
use crate::peers::handshake::Caller;
use bytes::{Buf, Bytes, BytesMut};
use raft_core::codec::{self, CodecError};
use raft_core::{Message, Stamp};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

/// How much is read at once. What lies in the log for ever must not keep a whole read buffer alive, so a frame of up
/// to this size is copied out of the buffer, and a larger one is read into memory of its own.
const READ_BYTES: usize = 64 << 10;

/// Why a stream was closed by this side.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("what came is no frame: {0}")]
    Frame(#[from] CodecError),
    #[error("a message of disk {:016x}, boot {} on the stream of disk {:016x}, boot {}",
        said.disk.0, said.boot, caller.disk.0, caller.boot)]
    OtherSender { caller: Stamp, said: Stamp },
}

/// Reads frames until the peer closes the stream. Waits when the driver is behind, and so does the peer then.
pub(super) async fn read(
    mut stream: impl AsyncRead + Unpin,
    before: &[u8],
    caller: &Caller,
    events: &mpsc::Sender<Event>,
    max_frame: usize,
) -> Result<(), Broken> {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    buffer.extend_from_slice(before);
    let mut newer = false;
    loop {
        let mut messages = Vec::new();
        while let Some(length) = codec::frame_len(&buffer, max_frame)? {
            let frame = if length <= buffer.len() {
                let frame = Bytes::copy_from_slice(&buffer[..length]);
                buffer.advance(length);
                frame
            } else if length > READ_BYTES {
                long_frame(&mut stream, &mut buffer, length).await?
            } else {
                break;
            };
            match codec::decode(frame) {
                // Whole, and of a newer program: it can do without an answer from an older one.
                Err(CodecError::UnknownKind { found }) => note_newer(&mut newer, caller, found),
                decoded => messages.push(checked(decoded?, caller)?),
            }
        }
        if !messages.is_empty() {
            let event = Event::Received { from: caller.node, messages };
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
        buffer.reserve(READ_BYTES);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// A stream on which a newer program speaks is named once.
fn note_newer(noted: &mut bool, caller: &Caller, kind: u8) {
    if !std::mem::replace(noted, true) {
        tracing::warn!(
            node = caller.node.0,
            kind,
            "passed over a kind of message that only a newer version knows: upgrade"
        );
    }
}

/// Takes the whole buffer, which is the beginning of one frame, and reads the rest. Memory grows with what comes, not
/// with what was announced.
async fn long_frame(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    length: usize,
) -> Result<Bytes, Broken> {
    let mut frame = std::mem::take(buffer);
    while frame.len() < length {
        let missing = length - frame.len();
        frame.reserve(missing.min(frame.len().max(READ_BYTES)));
        if (&mut *stream).take(missing as u64).read_buf(&mut frame).await? == 0 {
            return Err(Broken::Read(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(frame.freeze())
}

/// A stream carries the words of the process that opened it and of no other.
fn checked(message: Message, caller: &Caller) -> Result<Message, Broken> {
    if message.from == caller.stamp {
        Ok(message)
    } else {
        Err(Broken::OtherSender { caller: caller.stamp, said: message.from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Body, Boot, DiskId, NodeId, Term};

    fn frame(body: Body) -> Vec<u8> {
        let (stamp, mut chunks) = (Stamp { disk: DiskId(7), boot: Boot(1) }, Vec::new());
        let to = body.is_reply().then_some(Stamp::default());
        codec::encode(&Message { from: stamp, to, term: Term(1), body }, &mut chunks);
        chunks.concat()
    }

    /// Reads a stream to its end: the messages, and how it ended.
    async fn all(stream: Vec<u8>) -> (Vec<Body>, Result<(), Broken>) {
        let (events, mut received) = mpsc::channel(8);
        let stamp = Stamp { disk: DiskId(7), boot: Boot(1) };
        let caller = Caller { node: NodeId(2), stamp, contact: None, patience: None };
        let ended = read(&stream[..], &[], &caller, &events, 1 << 20).await;
        drop(events);
        let mut bodies = Vec::new();
        while let Some(event) = received.recv().await {
            let Event::Received { messages, .. } = event else { panic!("nothing else comes from a stream") };
            bodies.extend(messages.into_iter().map(|message| message.body));
        }
        (bodies, ended)
    }

    /// While a cluster is upgraded, newer nodes say what older ones don't know: the stream goes on. Damage ends it.
    #[tokio::test]
    async fn a_whole_frame_of_a_newer_kind_is_passed_over() {
        let mut newer = frame(Body::Hello);
        newer[9] = 99;
        let crc = crc32fast::hash(&newer[8..]);
        newer[4..8].copy_from_slice(&crc.to_le_bytes());
        let (read, ended) = all([frame(Body::Stale), newer.clone(), frame(Body::TimeoutNow)].concat()).await;
        assert!(ended.is_ok());
        assert_eq!(read, [Body::Stale, Body::TimeoutNow]);
        newer[30] ^= 1;
        let (read, ended) = all([newer, frame(Body::TimeoutNow)].concat()).await;
        assert!(matches!(ended, Err(Broken::Frame(CodecError::Checksum { .. }))), "{ended:?}");
        assert_eq!(read, []);
    }

    /// An announced length takes no memory, and is waited for only if it may be.
    #[tokio::test]
    async fn what_the_caller_may_not_say_ends_the_stream() {
        let mut long = frame(Body::Hello);
        long[12..16].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        let (_, ended) = all([long.clone(), frame(Body::Stale)].concat()).await;
        let too_long = |max| matches!(max, Err(Broken::Frame(CodecError::TooLong { max: 1_048_576, .. })));
        assert!(too_long(ended));
        long[12..16].copy_from_slice(&(1_u32 << 19).to_le_bytes());
        let (_, ended) = all([long, frame(Body::Stale)].concat()).await;
        assert!(matches!(ended, Err(Broken::Read(error)) if error.kind() == io::ErrorKind::UnexpectedEof));
        let other = Message {
            from: Stamp { disk: DiskId(8), boot: Boot(1) },
            to: None,
            term: Term(1),
            body: Body::Hello,
        };
        let mut chunks = Vec::new();
        codec::encode(&other, &mut chunks);
        let (read, ended) = all([frame(Body::Hello), chunks.concat()].concat()).await;
        assert!(matches!(ended, Err(Broken::OtherSender { .. })), "{ended:?}");
        assert_eq!(read, []);
    }
}
