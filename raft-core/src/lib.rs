//! Raft as a pure state machine: all that happens to a node is an [`Input`], all that it asks for is an [`Output`].
#![no_std]

extern crate alloc;

mod candidate;
mod clock;
pub mod codec;
pub mod config;
pub mod entry;
pub mod envelope;
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
mod outbox;
pub mod output;
pub mod planted;
mod progress;
mod reads;
mod state;
pub mod status;
mod tickets;
mod voter;
pub mod wal;
pub mod write;

pub use codec::CodecError;
pub use config::{Config, ConfigError, Limits};
pub use entry::{Entry, LogSlice, Payload};
pub use envelope::{Envelope, EnvelopeError};
pub use ids::{Boot, ClusterId, DiskId, EntryId, Index, NodeId, Round, Stamp, Term, Ticket};
pub use input::Input;
pub use log::Log;
pub use membership::{Member, Membership, Standing};
pub use message::{Acquaintance, Body, Message};
pub use node::{Drain, Node, Turn};
pub use output::{Answer, Limit, Output, Report};
pub use status::{RoleName, Status};
pub use write::{Base, HardState, Persisted, Recovered, Update, Write};
