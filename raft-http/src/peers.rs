//! What this node sends to the others: three streams a peer, each with a bounded queue. Appends have one of their own,
//! so that they keep their order and nothing that must be quick waits behind data: heartbeats, votes and all replies.
//! Snapshots have another one, so that the log goes on beside them.
//! A full queue drops the message; to the core that is a lossy network, which it is built for.

mod dial;
pub(crate) mod handshake;
mod link;

use handshake::Identity;
use link::Link;
use raft_core::{Body, Message, NodeId};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

/// Messages that may wait for a stream. Appends are bounded by the core's window as well.
const QUEUE: usize = 1024;

/// Chunks of a snapshot that may wait for a stream: they are large, and the core has only a few under way.
const CHUNKS: usize = 16;

/// Which of a peer's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Everything that is small and must not wait.
    Control,
    /// Appends, in order.
    Appends,
    /// Chunks of snapshots, in order.
    Snapshots,
}

impl Lane {
    pub(crate) const ALL: [Lane; 3] = [Lane::Control, Lane::Appends, Lane::Snapshots];

    fn of(body: &Body) -> Lane {
        match body {
            Body::Append { .. } => Lane::Appends,
            Body::Chunk { .. } => Lane::Snapshots,
            Body::Hello
            | Body::HelloReply(_)
            | Body::PreVote { .. }
            | Body::PreVoteReply { .. }
            | Body::Vote { .. }
            | Body::VoteReply { .. }
            | Body::Appended { .. }
            | Body::Conflict { .. }
            | Body::Heartbeat { .. }
            | Body::HeartbeatReply { .. }
            | Body::ChunkReply { .. }
            | Body::ReadIndex { .. }
            | Body::ReadIndexReply { .. }
            | Body::Removed { .. }
            | Body::TimeoutNow
            | Body::Stale => Lane::Control,
        }
    }

    /// The path of the stream on the peer listener.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Lane::Control => "/raft/control",
            Lane::Appends => "/raft/appends",
            Lane::Snapshots => "/raft/snapshots",
        }
    }
}

/// The queues to all other nodes.
pub(crate) struct Peers {
    peers: Vec<Peer>,
}

struct Peer {
    id: NodeId,
    control: mpsc::Sender<Message>,
    appends: mpsc::Sender<Message>,
    snapshots: mpsc::Sender<Message>,
}

impl Peers {
    /// Starts the links to these nodes as tasks of `tasks`. `heard` of a peer tells its links to dial at once: it was
    /// just heard from, so it is up.
    pub(crate) fn start(
        identity: &Arc<Identity>,
        peers: Vec<(NodeId, String, Arc<Notify>)>,
        tasks: &mut JoinSet<()>,
    ) -> Peers {
        let peers = peers.into_iter().map(|(id, address, heard)| {
            let mut lane = |lane, room| {
                let (sender, queue) = mpsc::channel(room);
                let link = Link::new(identity.clone(), id, address.clone(), lane, heard.clone());
                tasks.spawn(link.run(queue));
                sender
            };
            Peer {
                id,
                control: lane(Lane::Control, QUEUE),
                appends: lane(Lane::Appends, QUEUE),
                snapshots: lane(Lane::Snapshots, CHUNKS),
            }
        });
        Peers { peers: peers.collect() }
    }

    /// Queues a message, or drops it if the queue is full or the peer unknown.
    pub(crate) fn send(&self, to: NodeId, message: Message) {
        let Some(peer) = self.peers.iter().find(|peer| peer.id == to) else { return };
        let queue = match Lane::of(&message.body) {
            Lane::Control => &peer.control,
            Lane::Appends => &peer.appends,
            Lane::Snapshots => &peer.snapshots,
        };
        let _ = queue.try_send(message);
    }
}
