//! A program's own state machine, replicated: the driver, the log, the snapshots and the peers of `httpraft`, without its
//! routes. `examples/counter.rs` is a whole program.

use crate::application::Replicated;
use crate::config::Config;
use crate::contact::AddressBook;
use crate::driver::{Core, Event, Written};
use crate::exit::Exit;
use crate::machine::{Reply, Unreadable, Verdict, snapshot};
use crate::running::{Running, hand_over};
use crate::start::Prepared;
use bytes::Bytes;
use raft_core::envelope::Envelope;
use raft_core::{Answer, Base, ClusterId, Entry, EntryId, Index, Limit, Membership, Payload, Snapshot};
use snapshot::SnapshotError;
use std::collections::HashMap;
use std::future::Future;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

/// How long to wait before asking again when a request was refused for a moment only.
const AGAIN: Duration = Duration::from_millis(5);

/// A state that a program brings. All replicas apply the same commands in the same order, and must come to the same
/// state: no clock, no random number, nothing from outside. A clone is the state frozen for a snapshot, which is written
/// while commands go on being applied: share what is large.
pub trait StateMachine: Clone + Default + Send + Sync + 'static {
    /// Applies a committed command. The answer goes to whoever proposed it, if it is this process.
    fn apply(&mut self, command: &[u8]) -> Bytes;

    /// Writes all of the state.
    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Reads what [`StateMachine::snapshot`] wrote.
    fn restore(input: &mut dyn Read) -> io::Result<Self>;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// Another node leads: go there. The command was not applied and never will be.
    #[error("another node leads, whose address for clients is {0}")]
    NotLeader(String),
    /// It was not applied and never will be: no leader, too much under way, or the leader changed and it was lost.
    #[error("not applied: {0}")]
    NotApplied(&'static str),
    /// It may be applied or not, now or later.
    #[error("whether it was applied is unknown: {0}")]
    Unknown(&'static str),
}

/// The commands of this process that wait for what the machine answers, each by the name in its envelope.
type Answers = Arc<Mutex<HashMap<u128, oneshot::Sender<Bytes>>>>;

/// A program's state as the driver applies it.
#[derive(Clone, Default)]
struct Hosted<S> {
    state: S,
    applied: Index,
    answers: Answers,
}

/// A running replica.
pub struct Replica<S: StateMachine> {
    core: Core<Hosted<S>>,
    answers: Answers,
    book: Arc<AddressBook>,
    running: Mutex<Option<Running<Hosted<S>>>>,
    election_timeout: Duration,
}

impl<S: StateMachine> Replicated for Hosted<S> {
    fn applied(&self) -> Index {
        self.applied
    }

    fn apply(&mut self, entry: &Entry) -> Result<Option<Reply>, Unreadable> {
        assert_eq!(entry.index(), self.applied.next(), "entries are applied in order, each once");
        self.applied = entry.index();
        assert!(!entry.is_decayed(), "a command that the disk has lost is not applied: {}", entry.id());
        let Payload::Command(command) = entry.payload() else { return Ok(None) };
        // Whatever is no envelope was not proposed by this program; it is a command all the same, on all replicas alike.
        let (key, body) = match Envelope::decode(command.clone()) {
            Ok(envelope) => (envelope.key, envelope.body),
            Err(_) => (None, command.clone()),
        };
        let answer = self.state.apply(&body);
        let name = key.and_then(|key| Some(u128::from_le_bytes(key.as_ref().try_into().ok()?)));
        let waiting = name.and_then(|name| lock(&self.answers).remove(&name));
        // A client that gave up needs none.
        let _ = waiting.map(|waiting| waiting.send(answer));
        let verdict = Verdict::Done { held: true, bits: 0 };
        Ok(Some(Reply { id: entry.id(), replayed: false, verdict }))
    }

    fn write(&self, base: &Base, cluster: ClusterId, mut out: &mut dyn Write) -> io::Result<Snapshot> {
        snapshot::write_state(base, cluster, &mut out, |out| self.state.snapshot(out))
    }

    fn restore(input: impl Read, cluster: ClusterId) -> Result<(Snapshot, Hosted<S>), SnapshotError> {
        let (snapshot, state) = snapshot::restore_state(input, cluster, S::restore)?;
        let applied = snapshot.last().index;
        Ok((snapshot, Hosted { state, applied, answers: Answers::default() }))
    }

    fn digest(&self, out: &mut dyn Write) -> io::Result<u64> {
        let origin = Base { id: EntryId::ORIGIN, hash: 0, membership: Membership::default() };
        Ok(self.write(&origin, ClusterId(0), out)?.digest)
    }

    fn succeed(&mut self, old: &Hosted<S>) {
        self.answers = old.answers.clone();
    }
}

/// Forgets a command that nobody waits for any more.
struct Forget<'a> {
    answers: &'a Answers,
    name: u128,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.answers).remove(&self.name);
    }
}

fn lock(answers: &Answers) -> std::sync::MutexGuard<'_, HashMap<u128, oneshot::Sender<Bytes>>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: StateMachine> Replica<S> {
    /// Opens the node's data directory, listens for the other nodes and takes part. The addresses in `apis` are the
    /// program's own to serve; the other nodes learn them.
    pub async fn start(config: Config) -> Result<Replica<S>, Exit> {
        let election_timeout = config.election_timeout;
        let running = Prepared::<Hosted<S>>::open(config)?.launch().await?;
        let core = running.core.clone();
        let (answers, book) = (core.machine().answers.clone(), running.book.clone());
        Ok(Replica { core, answers, book, running: Mutex::new(Some(running)), election_timeout })
    }

    /// Replicates a command, and gives what the machine answered once it is committed and applied here.
    pub async fn propose(&self, command: impl Into<Bytes>, within: Duration) -> Result<Bytes, ReplicaError> {
        let (deadline, command) = (Instant::now() + within, command.into());
        loop {
            let name = u128::from(random()?) << 64 | u128::from(random()?);
            let key = Some(Bytes::copy_from_slice(&name.to_le_bytes()));
            let command = Envelope { time_ms: 0, key, body: command.clone() }.encode();
            let Some(admitted) = self.core.admission.admit(command.len()) else {
                return Err(ReplicaError::NotApplied("too much is under way"));
            };
            let (sender, answered) = oneshot::channel();
            lock(&self.answers).insert(name, sender);
            // Also if whoever proposes gives up.
            let _forgotten = Forget { answers: &self.answers, name };
            let (answer, written) = oneshot::channel();
            let event = Event::Write { command, admitted, answer };
            match timeout_at(deadline, self.core.events.send(event)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(ReplicaError::NotApplied("this node has stopped")),
                Err(_) => return Err(ReplicaError::NotApplied("this node is too busy")),
            }
            let written = timeout_at(deadline, written).await;
            match written {
                Ok(Ok(Written::Applied(_))) => {
                    return answered.await.map_err(|_| ReplicaError::Unknown("a snapshot took its place"));
                }
                Ok(Ok(Written::Not(answer))) => self.refused(answer)?,
                Ok(Err(_)) => return Err(ReplicaError::Unknown("this node has stopped")),
                Err(_) => return Err(ReplicaError::Unknown("it was not committed in time")),
            }
            self.again(deadline).await?;
        }
    }

    /// Reads the state once all is applied here that was committed anywhere when this was called. Any node can.
    pub async fn read<T>(&self, within: Duration, look: impl FnOnce(&S) -> T) -> Result<T, ReplicaError> {
        let deadline = Instant::now() + within;
        loop {
            let (answer, answered) = oneshot::channel();
            let handed = self.core.events.send(Event::Read { answer, lease: false }).await;
            if handed.is_err() {
                return Err(ReplicaError::NotApplied("this node has stopped"));
            }
            match timeout_at(deadline, answered).await {
                Ok(Ok(Answer::ReadAt(_))) => return Ok(self.look(look)),
                // A read has no effect: it may always be asked again.
                Ok(Ok(_)) => self.again(deadline).await?,
                Ok(Err(_)) => return Err(ReplicaError::NotApplied("this node has stopped")),
                Err(_) => return Err(ReplicaError::NotApplied("no quorum confirmed the leader in time")),
            }
        }
    }

    /// Reads the state as it is here; it may be old. To be done in a moment: nothing is applied meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.core.machine().state)
    }

    /// The address for clients of the node that leads, if one is known.
    pub fn leader(&self) -> Option<String> {
        let leader = self.core.status.borrow().leader?;
        Some(self.book.find(leader)?.api.clone())
    }

    /// Whether this node leads, as far as it knows.
    pub fn leads(&self) -> bool {
        let status = self.core.status.borrow();
        status.leader == Some(status.id)
    }

    /// Waits until `shutdown` completes, and hands leadership over then; or until the node must not go on.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Exit {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut running = running.expect("a replica runs once");
        tokio::select! {
            exit = running.ended() => return exit,
            () = shutdown => hand_over(&self.core, 2 * self.election_timeout).await,
        }
        // A driver that doesn't take it has ended, and says so next.
        let _ = self.core.events.send(Event::Stop).await;
        running.ended().await
    }

    /// What an answer means that the core gave before the command had an index; `Ok` if it may be tried again.
    fn refused(&self, answer: Answer) -> Result<(), ReplicaError> {
        match answer {
            Answer::NotLeader { leader: Some(_) } => match self.leader() {
                Some(address) => Err(ReplicaError::NotLeader(address)),
                None => Ok(()),
            },
            Answer::NotLeader { leader: None } | Answer::Busy(Limit::Transferring) => Ok(()),
            Answer::Busy(Limit::CommandTooLarge) => Err(ReplicaError::NotApplied("it is too large")),
            Answer::Busy(_) => Err(ReplicaError::NotApplied("too much is under way")),
            Answer::Lost => {
                Err(ReplicaError::NotApplied("the leader changed, and another entry took its place"))
            }
            Answer::Unknown
            | Answer::Committed(_)
            | Answer::ReadAt(_)
            | Answer::Refused(_)
            | Answer::HandingOver { .. } => Err(ReplicaError::Unknown("the leader changed")),
        }
    }

    async fn again(&self, deadline: Instant) -> Result<(), ReplicaError> {
        if Instant::now() + AGAIN >= deadline {
            return Err(ReplicaError::NotApplied("no node led in time"));
        }
        sleep(AGAIN).await;
        Ok(())
    }
}

fn random() -> Result<u64, ReplicaError> {
    getrandom::u64().map_err(|_| ReplicaError::NotApplied("the system gives no random numbers"))
}
