//! A node alone: the founder and only voter of its cluster, without disk, peers, sockets and threads of its own. What a
//! client sends is served by the very code that serves it otherwise, in the caller's thread; only the clock is outside.

use crate::client_api::{Api, keep_up};
use crate::config::Config;
use crate::contact::AddressBook;
use crate::driver::{Admission, Core, Solo, TickTimes, inbox};
use crate::machine::Machine;
use crate::patience::Patience;
use crate::running::{StartError, core_config};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use raft_core::{DiskId, Node, NodeId, Recovered};
use std::convert::Infallible;
use std::future::ready;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

/// How much a client can send before anything of it is taken.
const PIPE: usize = 1 << 16;

/// After so many looks without anything new a request waits for something that doesn't happen by itself.
const QUIET: u32 = 8;

const DISK: DiskId = DiskId(1);

/// The node.
pub struct Alone {
    solo: Solo,
    core: Core,
    book: Arc<AddressBook>,
    api: Arc<Api>,
    runtime: Runtime,
}

impl Alone {
    /// A node of these settings that has gone as far as it gets by itself: the only founder leads.
    ///
    /// # Errors
    /// If the core refuses the settings.
    pub fn new(config: &Config) -> Result<Alone, StartError> {
        let times = TickTimes::new(config.heartbeat, config.election_timeout);
        let settings = core_config(config, &times, DISK)?;
        let node = Node::new(settings, Recovered::default()).map_err(StartError::Node)?;
        let admission = Admission::new(config.limits.proposals, config.limits.proposal_bytes);
        let (core, inbox) = inbox(node.status(), admission, Machine::default());
        let book = Arc::new(AddressBook::new(config));
        let patience = Arc::new(Patience::new(NodeId(config.id as u64), times.patience()));
        let api = Arc::new(Api::new(core.clone(), book.clone(), patience, config, DISK));
        let runtime = Builder::new_current_thread().enable_time().build().map_err(StartError::Thread)?;
        runtime.spawn(keep_up(api.clone()));
        let mut alone = Alone { solo: Solo::new(node, inbox, config.cluster_id), core, book, api, runtime };
        alone.ask(b"");
        Ok(alone)
    }

    /// Sends these bytes over a connection of their own. What was answered by the time that nothing happens any more, a
    /// stream's beginning among it; nothing, if the request still waits.
    pub fn ask(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Alone { solo, core, book, api, runtime } = self;
        let (mut client, server) = tokio::io::duplex(PIPE.max(bytes.len()));
        let service = service_fn(|request| async { Ok::<_, Infallible>(api.answer(request).await) });
        let mut answer = Vec::new();
        runtime.block_on(async {
            let mut serving = pin!(
                http1::Builder::new()
                    .header_read_timeout(None)
                    .half_close(true)
                    .serve_connection(TokioIo::new(server), service)
            );
            client.write_all(bytes).await.expect("the pipe takes everything");
            client.shutdown().await.expect("the pipe is open");
            let (mut quiet, mut served) = (0, false);
            while quiet < QUIET {
                let turned = solo.turn();
                book.follow(&core.status.borrow().membership);
                if !served {
                    served = tokio::select! { biased; _ = serving.as_mut() => true, () = ready(()) => false };
                }
                let before = answer.len();
                tokio::select! { biased; _ = client.read_buf(&mut answer) => {}, () = ready(()) => {} }
                quiet = if turned || answer.len() > before { 0 } else { quiet + 1 };
                yield_now().await;
            }
        });
        answer
    }

    /// What is replicated, as it is now.
    pub fn machine(&self) -> impl Deref<Target = Machine> + '_ {
        self.core.machine()
    }
}
