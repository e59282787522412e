//! One stream to a peer for the whole life of the node: dialled, written to, dialled again.

use super::Lane;
use super::dial::dial;
use super::handshake::Identity;
use crate::driver::Event;
use bytes::{Buf, Bytes};
use raft_core::{Message, NodeId, codec};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Notify, mpsc};
use tracing::{info, warn};

/// The shortest and the longest pause between two dials.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How many waiting messages are encoded into one system call at most.
const TOGETHER: usize = 64;

/// The stream of one lane to one peer.
pub(super) struct Link {
    identity: Arc<Identity>,
    to: NodeId,
    address: String,
    lane: Lane,
    heard: Arc<Notify>,
    /// The driver, told when the stream broke.
    events: mpsc::Sender<Event>,
    /// What was logged last about this peer, so that a lasting trouble is logged once.
    trouble: Option<String>,
}

impl Link {
    pub(super) fn new(
        identity: Arc<Identity>,
        to: NodeId,
        address: String,
        lane: Lane,
        heard: Arc<Notify>,
        events: mpsc::Sender<Event>,
    ) -> Link {
        Link { identity, to, address, lane, heard, events, trouble: None }
    }

    /// Sends what comes from the queue until the driver is gone. What was queued for a broken stream is dropped: it is
    /// old by the time the peer is back, and the core sends anew what still matters.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut pause = PAUSES.0;
        // What waits for the first dial is new: the first words to a new member, or the answer to a stranger.
        let mut old = false;
        while !queue.is_closed() {
            match dial(&self.identity, self.to, &self.address, self.lane).await {
                Ok(stream) => {
                    self.up();
                    while old && queue.try_recv().is_ok() {}
                    let Err(error) = pump(stream, &mut queue).await else { return };
                    self.down(&format!("the stream broke: {error}"));
                    if self.lane == Lane::Appends {
                        // Only a hint: a driver that is too busy for it does without.
                        let _ = self.events.try_send(Event::StreamBroke { to: self.to });
                    }
                    pause = PAUSES.0;
                }
                Err(error) => self.down(&error.to_string()),
            }
            old = true;
            self.pause(&mut pause).await;
        }
    }

    /// Waits before the next dial, twice as long each time and with jitter, so that peers don't dial in step. A peer
    /// that was just heard from is dialled at once.
    async fn pause(&self, pause: &mut Duration) {
        let percent = 50 + getrandom::u32().unwrap_or(50) % 100;
        tokio::select! {
            () = tokio::time::sleep(*pause * percent / 100) => *pause = (*pause * 2).min(PAUSES.1),
            () = self.heard.notified() => *pause = PAUSES.0,
        }
    }

    fn up(&mut self) {
        self.trouble = None;
        if self.lane == Lane::Control {
            info!(node = self.identity.node.0, peer = self.to.0, address = self.address, "peer up");
        }
    }

    fn down(&mut self, trouble: &str) {
        if self.trouble.as_deref() != Some(trouble) && self.lane == Lane::Control {
            warn!(
                node = self.identity.node.0,
                peer = self.to.0,
                address = self.address,
                trouble,
                "peer down"
            );
        }
        self.trouble = Some(trouble.to_string());
    }
}

/// Writes what comes from the queue: all that waits in one system call. Ends well when the queue is closed.
async fn pump(stream: TcpStream, queue: &mut mpsc::Receiver<Message>) -> io::Result<()> {
    let (mut read, mut write) = stream.into_split();
    let mut messages = Vec::new();
    let mut frames = Vec::new();
    let mut unexpected = [0; 1];
    loop {
        tokio::select! {
            taken = queue.recv_many(&mut messages, TOGETHER) => {
                if taken == 0 {
                    return Ok(());
                }
                for message in messages.drain(..) {
                    codec::encode(&message, &mut frames);
                }
                write_all(&mut write, frames.drain(..).collect()).await?;
            }
            // The receiver never speaks on this stream, but closing it is heard here first.
            end = read.read(&mut unexpected) => {
                return Err(match end? {
                    0 => io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed it"),
                    _ => io::Error::new(io::ErrorKind::InvalidData, "the peer spoke out of turn"),
                });
            }
        }
    }
}

async fn write_all(write: &mut OwnedWriteHalf, mut chunks: VecDeque<Bytes>) -> io::Result<()> {
    while !chunks.is_empty() {
        let slices: Vec<IoSlice<'_>> =
            chunks.iter().take(TOGETHER).map(|chunk| IoSlice::new(chunk)).collect();
        let mut written = write.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(first) = chunks.front_mut() {
            if first.len() > written {
                first.advance(written);
                break;
            }
            written -= first.len();
            chunks.pop_front();
        }
    }
    Ok(())
}
