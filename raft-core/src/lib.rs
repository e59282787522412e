//! Raft as a pure state machine: all that happens to a node is an [`Input`], all that it asks for is an [`Output`].
//!
//! # The story, in protocol order
//!
//! 1. **Founding** (`founding`). The members of a new cluster say hello to each other. Only when a node has heard from
//!    all of them does it write the base of its log, the disk id of each founder, and may vote. A node that lost its
//!    disk asks again, finds the cluster formed, and stops.
//! 2. **Election** (`candidate`, `voter`; paper section 5.2). The election timer fires; the node asks whether it would
//!    win, then raises its term, votes for itself and asks for votes. Each vote waits for the disk of the voter, the
//!    request itself for the disk of the candidate.
//! 3. **Replication** (`leader`, `progress`, `follower`; section 5.3). Proposals of one turn become one append a
//!    follower, sent at once. Followers take what is new, truncate only from the first conflict, and acknowledge once
//!    it is durable. The leader's own disk works in parallel: its acknowledgement of itself waits like any other.
//! 4. **Commit** (section 5.4). What a quorum holds is committed, if it is of the leader's own term; what is committed
//!    and durable here comes out as [`Output::Apply`], and its ticket is answered.
//! 5. **Reads** (`reads`, `asks`; dissertation 6.4). A read is answered once a quorum has confirmed, after the read
//!    arrived, that nobody else leads; with good clocks a lease answers it at once. A follower asks its leader which
//!    index its reads need, and serves them itself.
//! 6. **Membership** (`leader/reconfigure`, `change`, `membership`; dissertation 4). A configuration is an entry, in force
//!    from its append on. Whatever changes the voters goes through a joint one, which any leader leaves. A new member's
//!    first answer puts its disk on record, and once it has caught up its leader makes it a voter.
//! 7. **Hand-over** (`leader/handover`; dissertation 3.10). A leader that is to go, or that has removed itself, brings its
//!    successor up to date and tells it to campaign at once.
//! 8. **Snapshots** (`capture`, `sending`, `receiving`; paper section 7). When the log has grown, the application is asked
//!    for a snapshot, and what it covers may go. Who needs what is gone is sent the snapshot, chunk by chunk; once it is
//!    durable, and the log's new beginning, too, the application is restored from it.
//!
//! # What a driver must do
//!
//! Hand in what happens, carry out what comes out, in any order between kinds, and hand in a write's receipt only when
//! the write is on stable storage. The whole of it is on one screen in `examples/three_nodes.rs`. What can be got wrong
//! beyond lying about the disk doesn't compile, or stalls, or loses nothing:
//! outputs can't be ignored unseen, a receipt is made only from its write, and what a dropped [`Drain`] leaves comes
//! first in the next one.
//!
//! A turn ends before the next one begins:
//! ```
//! # use raft_core::{Input, Node};
//! fn turns(node: &mut Node) {
//!     node.step(Input::Campaign).for_each(drop);
//!     node.step(Input::Heartbeat).for_each(drop);
//! }
//! ```
//! While outputs are being taken there is no second one:
//! ```compile_fail
//! # use raft_core::{Input, Node};
//! fn turns(node: &mut Node) {
//!     let first = node.step(Input::Campaign);
//!     node.step(Input::Heartbeat).for_each(drop);
//!     first.for_each(drop);
//! }
//! ```
//! And outputs, turns and single outputs are not forgotten unseen:
//! ```compile_fail
//! # #![deny(unused_must_use)]
//! # use raft_core::{Input, Node};
//! fn turn(node: &mut Node) {
//!     node.step(Input::Campaign);
//! }
//! ```
//! ```compile_fail
//! # #![deny(unused_must_use)]
//! # use raft_core::Node;
//! fn turn(node: &mut Node) {
//!     node.turn();
//! }
//! ```
//! ```compile_fail
//! # #![deny(unused_must_use)]
//! # use raft_core::{Input, Node, Output};
//! fn output(output: Output) -> Output {
//!     output
//! }
//! fn turn(node: &mut Node) {
//!     node.step(Input::Campaign).for_each(|it| {
//!         output(it);
//!     });
//! }
//! ```
//!
//! # Left out on purpose
//!
//! Clocks, threads, files, sockets, logging, and every trait that would stand for them; client sessions, and the bytes of
//! snapshots but in passing.
#![no_std]

extern crate alloc;

mod asks;
mod candidate;
mod capture;
pub mod change;
mod clock;
pub mod codec;
pub mod config;
pub mod entry;
pub mod envelope;
pub mod event;
mod follower;
mod founding;
pub mod hash;
pub mod ids;
pub mod input;
mod leader;
pub mod log;
pub mod membership;
pub mod message;
pub mod node;
mod notation;
mod outbox;
pub mod output;
pub mod planted;
mod progress;
mod reads;
mod receiving;
mod repair;
mod sending;
pub mod snapshot;
mod state;
pub mod status;
mod tickets;
mod voter;
pub mod wal;
pub mod write;

pub use change::{Change, Refusal};
pub use codec::CodecError;
pub use config::{Config, ConfigError, Limits};
pub use entry::{Entry, LogSlice, Payload};
pub use envelope::{Envelope, EnvelopeError};
pub use event::Event;
pub use ids::{Boot, ClusterId, DiskId, EntryId, Index, NodeId, Round, Stamp, Term, Ticket};
pub use input::Input;
pub use log::Log;
pub use membership::{Member, Membership, Standing};
pub use message::{Acquaintance, Ballot, Body, Message};
pub use node::{Drain, Node, Turn};
pub use output::{Answer, Limit, Output, Report};
pub use snapshot::{Fetch, Snapshot, Store, Stored};
pub use status::{FlowName, Lag, PeerStatus, RoleName, Status};
pub use write::{Base, HardState, Persisted, Recovered, Update, Write};
