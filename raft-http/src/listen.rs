//! Listening sockets, and what is set on every connection.

use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{SockRef, TcpKeepalive};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Why a node can't listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The name has no address.
    #[error("{address}: can't be resolved: {error}")]
    Resolve {
        /// As configured.
        address: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// Other machines could reach the address.
    #[error(
        "{address}: {resolved} is reachable from other machines, and there is neither TLS nor authentication yet: use a \
         loopback address, or give --insecure"
    )]
    Insecure {
        /// As configured.
        address: String,
        /// What it resolves to.
        resolved: SocketAddr,
    },
    /// The address can't be bound.
    #[error("{address}: can't listen on {resolved}: {error}")]
    Bind {
        /// As configured.
        address: String,
        /// What it resolves to.
        resolved: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

/// The sockets of one configured address.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Vec<TcpListener>,
}

/// Binds every address that `address` resolves to: `localhost` may be 127.0.0.1 and ::1, and clients take either. An
/// address of a family that this machine lacks is passed over, if another one is left.
pub(crate) async fn listen(address: &str, insecure: bool) -> Result<Listeners, ListenError> {
    let unresolved = |error| ListenError::Resolve { address: address.to_string(), error };
    let resolved: BTreeSet<SocketAddr> = lookup_host(address).await.map_err(unresolved)?.collect();
    let mut sockets = Vec::new();
    let mut lacking = unresolved(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for resolved in resolved {
        if !resolved.ip().to_canonical().is_loopback() && !insecure {
            return Err(ListenError::Insecure { address: address.to_string(), resolved });
        }
        match TcpListener::bind(resolved).await {
            Ok(socket) => sockets.push(socket),
            Err(error) => {
                let lacks =
                    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
                        || error.raw_os_error() == Some(AF_NOT_SUPPORTED);
                lacking = ListenError::Bind { address: address.to_string(), resolved, error };
                if !lacks {
                    return Err(lacking);
                }
            }
        }
    }
    if sockets.is_empty() { Err(lacking) } else { Ok(Listeners { sockets }) }
}

/// Linux's number for a kernel without the address family.
const AF_NOT_SUPPORTED: i32 = 97;

impl Listeners {
    /// The bound addresses.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Accepts on all sockets until told to close, the receiver is dropped or the tasks are aborted. New connections wait
    /// in the kernel while the receiver is busy. Who has connected before the closing comes out still.
    pub(crate) fn accept(
        self,
        tasks: &mut JoinSet<()>,
        closing: &watch::Receiver<bool>,
    ) -> mpsc::Receiver<TcpStream> {
        let (sender, accepted) = mpsc::channel(1);
        for socket in self.sockets {
            tasks.spawn(accept(socket, sender.clone(), closing.clone()));
        }
        accepted
    }
}

/// Waits to be told to close.
async fn told(closing: &mut watch::Receiver<bool>) {
    // Without anybody to tell it, it is time, too.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn accept(socket: TcpListener, accepted: mpsc::Sender<TcpStream>, mut closing: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = accepted.closed() => return,
            () = told(&mut closing) => break,
            stream = socket.accept() => match stream {
                Ok((stream, _)) => {
                    // A connection that can't be set up was reset already.
                    if stream.set_nodelay(true).is_ok() && accepted.send(stream).await.is_err() {
                        return;
                    }
                }
                // Out of descriptors, or a connection that was reset while it waited: neither ends the service.
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    // The system resets connections that nobody has accepted when the listener goes; a client that was about to send its
    // request could not tell that from a loss of the answer.
    let Ok(socket) = socket.into_std() else { return };
    let waiting: Vec<_> = std::iter::from_fn(|| socket.accept().ok()).collect();
    drop(socket);
    for (stream, _) in waiting {
        let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) else {
            continue;
        };
        if stream.set_nodelay(true).is_ok() && accepted.send(stream).await.is_err() {
            return;
        }
    }
}

/// Lets this process have as many connections as the system allows it: the usual limit of 1024 descriptors is below what
/// the contract promises.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "can't raise the limit of open files; fewer clients can connect");
    }
}

/// So many open files are not for clients.
const RESERVED: usize = 512;

/// How many connections there may be so that descriptors are left for the log, the snapshots and the other nodes: a node that
/// can't open its next segment ends.
pub(crate) fn affordable(wanted: usize) -> usize {
    let most = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok());
    let affordable = wanted.min(most.map_or(wanted, |most| most.saturating_sub(RESERVED).max(1)));
    if affordable < wanted {
        tracing::warn!(wanted, affordable, "max_connections is more than the limit of open files allows");
    }
    affordable
}

/// Has the kernel probe a client that rests for long: one whose machine vanished must not hold its place for ever. The
/// pauses are long: there may be thousands of them.
pub(crate) fn notice_gone(stream: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

/// Has the kernel probe an idle peer and give up unacknowledged bytes, so that a stream whose other end vanished
/// without a word is closed within seconds.
pub(crate) fn notice_half_open(stream: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(3))
        .with_interval(Duration::from_secs(1))
        .with_retries(3);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(6)))
}
