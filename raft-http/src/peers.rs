//! What this node sends to the others: three streams a peer, each with a bounded queue. Appends have one of their own,
//! so that they keep their order and nothing that must be quick waits behind data: heartbeats, votes and all replies.
//! Snapshots have another one, so that the log goes on beside them.
//! A full queue drops the message; to the core that is a lossy network, which it is built for.

mod dial;
pub(crate) mod handshake;
mod link;

use crate::contact::AddressBook;
use crate::driver::Event;
use handshake::Identity;
use link::Link;
use raft_core::{Body, Index, Membership, Message, NodeId, Status};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// Messages that may wait for a stream. Appends are bounded by the core's window as well.
const QUEUE: usize = 1024;

/// Chunks of a snapshot that may wait for a stream: they are large, and the core has only a few under way.
const CHUNKS: usize = 16;

/// How long the streams to a node that is no member stay after the last message to it: what it is told last must leave.
const LINGER: Duration = Duration::from_secs(10);

/// How long the last messages may take to leave when this node ends.
const LEAVE: Duration = Duration::from_millis(100);

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
            Body::Append { .. } | Body::Copies { .. } => Lane::Appends,
            Body::Chunk { .. } | Body::Piece { .. } => Lane::Snapshots,
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
            | Body::RolledBack { .. }
            | Body::Lacks { .. }
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

/// The queues to the other nodes: to the members of the configuration in force, and for a while to whoever else was
/// answered.
pub(crate) struct Peers {
    identity: Arc<Identity>,
    book: Arc<AddressBook>,
    /// Told when a stream broke.
    events: mpsc::Sender<Event>,
    /// Who the founders are, while no configuration is in force.
    founders: Membership,
    /// The configuration that is followed, and where it stands.
    followed: Option<(Index, Membership)>,
    peers: BTreeMap<NodeId, Peer>,
    /// All links; they end with this.
    tasks: JoinSet<()>,
}

struct Peer {
    /// The address that is dialled.
    address: String,
    member: bool,
    /// When the last message was sent to a node that is no member.
    used: Instant,
    control: mpsc::Sender<Message>,
    appends: mpsc::Sender<Message>,
    snapshots: mpsc::Sender<Message>,
    links: Vec<AbortHandle>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.links.iter().for_each(AbortHandle::abort);
    }
}

impl Peers {
    /// Nobody is dialled before the first configuration is followed.
    pub(crate) fn new(
        identity: Arc<Identity>,
        book: Arc<AddressBook>,
        founders: Option<&Membership>,
        events: mpsc::Sender<Event>,
    ) -> Peers {
        let founders = founders.cloned().unwrap_or_default();
        Peers {
            identity,
            book,
            events,
            founders,
            followed: None,
            peers: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Follows the configuration in force: new members get streams, a changed address is dialled anew, and the streams to
    /// a node that is no member any more go a little later.
    pub(crate) fn follow(&mut self, status: &Status, now: Instant) {
        let (at, membership) = (status.membership_at, &status.membership);
        let same = |(seen_at, seen): &(Index, Membership)| *seen_at == at && seen == membership;
        if !self.followed.as_ref().is_some_and(same) {
            self.followed = Some((at, membership.clone()));
            let members =
                if membership.members().is_empty() { self.founders.clone() } else { membership.clone() };
            self.book.follow(&members);
            for (id, peer) in &mut self.peers {
                if peer.member && members.get(*id).is_none() {
                    (peer.member, peer.used) = (false, now);
                }
            }
            for member in members.members() {
                if let Some(contact) = self.book.find(member.id).filter(|_| member.id != self.identity.node) {
                    self.reach(member.id, &contact.peer, true, now);
                }
            }
        }
        self.peers.retain(|_, peer| peer.member || now.saturating_duration_since(peer.used) < LINGER);
        while self.tasks.try_join_next().is_some() {}
    }

    /// Has streams to this address, and to no other one of this node.
    fn reach(&mut self, id: NodeId, address: &str, member: bool, now: Instant) -> &Peer {
        let same = self.peers.get(&id).is_some_and(|peer| peer.address == address);
        if !same {
            let peer = self.dial(id, address, now);
            self.peers.insert(id, peer);
        }
        let peer = self.peers.get_mut(&id).expect("it was put there");
        (peer.member, peer.used) = (member, now);
        peer
    }

    fn dial(&mut self, id: NodeId, address: &str, now: Instant) -> Peer {
        let mut links = Vec::new();
        let mut lane = |lane, room| {
            let (sender, queue) = mpsc::channel(room);
            let heard = self.book.heard(id);
            let events = self.events.clone();
            let link = Link::new(self.identity.clone(), id, address.to_string(), lane, heard, events);
            links.push(self.tasks.spawn(link.run(queue)));
            sender
        };
        let (control, appends) = (lane(Lane::Control, QUEUE), lane(Lane::Appends, QUEUE));
        let snapshots = lane(Lane::Snapshots, CHUNKS);
        Peer { address: address.to_string(), member: true, used: now, control, appends, snapshots, links }
    }

    /// Queues a message, or drops it if the queue is full or nobody knows where the peer is. One that no configuration
    /// names is answered where it said that it is.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        let known = self.peers.get(&to).is_some_and(|peer| peer.member);
        if !known {
            let Some(contact) = self.book.find(to) else { return };
            self.reach(to, &contact.peer, false, Instant::now());
        }
        let Some(peer) = self.peers.get(&to) else { return };
        let queue = match Lane::of(&message.body) {
            Lane::Control => &peer.control,
            Lane::Appends => &peer.appends,
            Lane::Snapshots => &peer.snapshots,
        };
        let _ = queue.try_send(message);
    }

    /// Lets what is queued leave, and closes all streams.
    pub(crate) async fn finish(mut self) {
        let links: Vec<_> =
            self.peers.values_mut().flat_map(|peer| std::mem::take(&mut peer.links)).collect();
        self.peers.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // A stream that is being dialled has nothing to lose.
        let _ = tokio::time::timeout(LEAVE, all).await;
        links.iter().for_each(AbortHandle::abort);
    }
}
