//! One stream to a peer for the whole life of the node: dialled, written to, dialled again.

use super::Lane;
use super::dial::dial;
use super::handshake::Identity;
use crate::driver::Event;
use bytes::{Buf, Bytes};
use raft_core::{Message, NodeId, codec};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tracing::{info, warn};

/// The shortest and the longest pause between two dials.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A stream that lasts for less was closed at once. Longer than the longest pause, or two that displace each other would
/// never slow down.
const AT_ONCE: Duration = Duration::from_secs(3);

/// After so many of them in a row no restart of the peer explains it.
const IN_A_ROW: u32 = 3;

/// Why a peer closes each stream that it grants: it does so when another one comes from the same node.
const TWICE: &str = "it grants streams and closes them at once, as when another process runs under this node's id: if this \
                     is a copy of a data directory, stop it; a further node has an id of its own and an empty directory";

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
    /// How many streams in a row were closed at once.
    closed: u32,
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
        Link { identity, to, address, lane, heard, events, trouble: None, closed: 0 }
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
                    while old && queue.try_recv().is_ok() {}
                    let Err(error) = self.pump(stream, &mut queue).await else { return };
                    self.broke(&error, &mut pause);
                    if self.lane == Lane::Appends {
                        // Only a hint: a driver that is too busy for it does without.
                        let _ = self.events.try_send(Event::StreamBroke { to: self.to });
                    }
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

    /// The next dial is soon, unless streams are closed as fast as they are opened.
    fn broke(&mut self, error: &io::Error, pause: &mut Duration) {
        if self.closed < IN_A_ROW {
            *pause = PAUSES.0;
            self.down(&format!("the stream broke: {error}"));
        } else {
            self.down(TWICE);
        }
    }

    /// Writes to the stream until it breaks. After some that were closed at once, it is up when it has lasted.
    async fn pump(&mut self, stream: TcpStream, queue: &mut mpsc::Receiver<Message>) -> io::Result<()> {
        if self.closed < IN_A_ROW {
            self.up();
        }
        let mut pumping = pin!(pump(stream, queue));
        if let Ok(ended) = timeout(AT_ONCE, pumping.as_mut()).await {
            self.closed = self.closed.saturating_add(1);
            return ended;
        }
        if self.closed >= IN_A_ROW {
            self.up();
        }
        self.closed = 0;
        pumping.await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::Contact;
    use raft_core::{ClusterId, Stamp};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn streams_that_are_closed_at_once_are_dialled_ever_more_slowly_and_name_the_cause() {
        let (contact, stamp) = (Contact { peer: "a:1".into(), api: "a:2".into() }, Stamp::default());
        let (cluster, node, patience) = (ClusterId(1), NodeId(1), Duration::ZERO);
        let identity = Identity { cluster, node, stamp, contact, patience };
        let (events, _driver) = mpsc::channel(1);
        let heard = Arc::default();
        let mut link = Link::new(Arc::new(identity), NodeId(0), "a:1".into(), Lane::Control, heard, events);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_sender, mut queue) = mpsc::channel(1);
        let slow = PAUSES.1;
        for count in 1..=IN_A_ROW + 2 {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            drop(listener.accept().await.unwrap());
            let mut pause = slow;
            let error = link.pump(stream, &mut queue).await.unwrap_err();
            link.broke(&error, &mut pause);
            let named = link.trouble.as_deref() == Some(TWICE);
            assert_eq!((named, pause == slow), (count >= IN_A_ROW, count >= IN_A_ROW), "{count}");
        }
    }
}
