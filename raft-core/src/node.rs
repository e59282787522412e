//! The node (interface only; the protocol is being written).
#![allow(clippy::todo, unused_variables, missing_docs)]
use crate::config::{Config, ConfigError};
use crate::ids::Stamp;
use crate::input::Input;
use crate::log::Log;
use crate::message::Message;
use crate::output::Output;
use crate::status::Status;
use crate::write::Recovered;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {}

impl Node {
    /// A node on what its data directory held. Its first output is a write that raises the boot counter.
    pub fn new(config: Config, recovered: Recovered) -> Result<Node, ConfigError> {
        todo!()
    }
    /// The turn of one input: hands it in and drains what comes of it.
    pub fn step(&mut self, input: Input) -> Drain<'_> {
        todo!()
    }
    /// A turn of many inputs: messages and the write are cut once, when it is drained. Also without any input: drains
    /// what is left over from an earlier drain, and what `new` put out.
    pub fn turn(&mut self) -> Turn<'_> {
        todo!()
    }
    /// This node at this moment.
    pub fn status(&self) -> Status {
        todo!()
    }
    /// Whether a message from this sender can never matter again.
    pub fn is_inert(&self, from: crate::ids::NodeId, message: &Message) -> bool {
        todo!()
    }
    /// What the protocol depends on, without tick counters, generator and statistics.
    pub fn protocol(&self) -> impl core::hash::Hash + Eq + '_ {
        0_u8
    }
    /// The log.
    pub fn log(&self) -> &Log {
        todo!()
    }
    /// The disk and the boot of this process.
    pub fn stamp(&self) -> Stamp {
        todo!()
    }
    /// The settings.
    pub fn config(&self) -> &Config {
        todo!()
    }
}

#[must_use = "dropping it leaves the outputs for the next drain"]
pub struct Turn<'a> {
    node: &'a mut Node,
}
impl<'a> Turn<'a> {
    pub fn input(&mut self, input: Input) {
        todo!()
    }
    pub fn drain(self) -> Drain<'a> {
        todo!()
    }
}

#[must_use = "dropping it leaves the outputs for the next drain"]
pub struct Drain<'a> {
    node: &'a mut Node,
}
impl Iterator for Drain<'_> {
    type Item = Output;
    fn next(&mut self) -> Option<Output> {
        todo!()
    }
}
