//! The clients' connections: how many there may be, which one goes when there are too many, and how they end.

use super::Api;
use super::events::EVENT_STREAM;
use super::socket::{Phase, SharedPhase, Socket};
use super::stream::Body;
use crate::listen::{Listeners, affordable, notice_gone};
use crate::metrics::Metrics;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// hyper's buffer for a head has at least this size.
const LEAST_BUFFER: usize = 8 << 10;

/// Serves the listener's connections until `closing` says so; then lets what is under way finish.
pub(crate) async fn serve(api: Arc<Api>, listeners: Listeners, closing: watch::Receiver<bool>) {
    let mut accepting = JoinSet::new();
    let mut accepted = listeners.accept(&mut accepting, &closing);
    let open = Arc::new(Open::default());
    let limit = affordable(api.limits.connections);
    let mut serving = JoinSet::new();
    for number in 0_u64.. {
        let Some(stream) = accepted.recv().await else { break };
        while serving.try_join_next().is_some() {}
        let connection = open.admit(number, limit, &api.core.metrics);
        // All are busy: what is under way goes first.
        let Some(connection) = connection else { continue };
        let registered = Registered::new(open.clone(), number, api.core.metrics.clone());
        let (api, closing) = (api.clone(), closing.clone());
        serving.spawn(async move {
            connection.serve(api, stream, closing).await;
            drop(registered);
        });
    }
    // No new connection gets in; the old ones end after their present request.
    while serving.join_next().await.is_some() {}
}

/// All open connections.
#[derive(Default)]
struct Open {
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
}

struct Connection {
    stands: Mutex<Use>,
    evicted: Notify,
}

/// What a connection is used for. Who makes room for a new client is the lowest: the order is that of the variants, and
/// of the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// Nothing, since the last request ended or the connection began.
    Idle(Instant),
    /// It follows events, since then. They have no end, and whoever is cut off goes on where they were.
    Follows(Instant),
    /// A request is under way.
    Busy,
}

impl Open {
    /// Registers a connection. At the limit the one that has been idle for longest is closed, or else the one that has
    /// followed events for longest, so that a new client always gets in, unless all are busy.
    fn admit(&self, number: u64, limit: usize, metrics: &Metrics) -> Option<Arc<Connection>> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.len() >= limit {
            let uses = connections.iter().map(|(number, connection)| (*connection.stands(), *number));
            let lowest = uses.min().filter(|(stands, _)| *stands != Use::Busy);
            let Some(longest) = lowest.and_then(|(_, number)| connections.remove(&number)) else {
                metrics.turned_away.inc();
                return None;
            };
            longest.evicted.notify_one();
            metrics.evicted.inc();
        }
        let connection =
            Arc::new(Connection { stands: Mutex::new(Use::Idle(Instant::now())), evicted: Notify::new() });
        connections.insert(number, connection.clone());
        Some(connection)
    }

    fn forget(&self, number: u64) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }
}

impl Connection {
    fn stands(&self) -> MutexGuard<'_, Use> {
        self.stands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: &Arc<Self>, api: &Api, request: Request<Incoming>) -> Response<Body> {
        *self.stands() = Use::Busy;
        let busy = Busy(self.clone());
        let mut response = api.answer(request).await;
        if response.headers().get(CONTENT_TYPE).is_some_and(|media| media == EVENT_STREAM) {
            *self.stands() = Use::Follows(Instant::now());
        }
        response.body_mut().keep(busy);
        response
    }

    async fn serve(self: &Arc<Self>, api: Arc<Api>, stream: TcpStream, mut closing: watch::Receiver<bool>) {
        if notice_gone(&stream).is_err() {
            return;
        }
        let phase = SharedPhase::new();
        let socket = Socket::new(stream, api.clone(), phase.clone());
        let (api, phase) = (&api, &phase);
        let service = service_fn(|request| async move {
            phase.enter(Phase::Serving);
            let response = self.answer(api, request).await;
            phase.enter(Phase::Answering);
            Ok::<_, Infallible>(response)
        });
        // hyper's limits on the head must leave room for the service's own, which answer in JSON.
        let mut serving = pin!(
            http1::Builder::new()
                .header_read_timeout(None)
                .max_buf_size(api.limits.headers.max(LEAST_BUFFER) * 2)
                .half_close(true)
                .serve_connection(TokioIo::new(socket), service)
        );
        tokio::select! {
            // A client that broke off or spoke nonsense is gone.
            _ = serving.as_mut() => return,
            () = self.evicted.notified() => return,
            _ = closing.wait_for(|closing| *closing) => {}
        }
        serving.as_mut().graceful_shutdown();
        let _ = serving.await;
    }
}

/// A connection's place, given back whatever ends its task.
struct Registered {
    open: Arc<Open>,
    number: u64,
    metrics: Arc<Metrics>,
}

impl Registered {
    fn new(open: Arc<Open>, number: u64, metrics: Arc<Metrics>) -> Registered {
        metrics.connections.inc();
        Registered { open, number, metrics }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.metrics.connections.dec();
        self.open.forget(self.number);
    }
}

/// A request under way: until the answer is there, or the end of its body if that is made bit by bit.
struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        let Busy(connection) = self;
        *connection.stands() = Use::Idle(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_longest_idle_connection_makes_room() {
        let (open, metrics) = (Open::default(), Metrics::new());
        let connections: Vec<_> = (0..3).map(|number| open.admit(number, 3, &metrics).unwrap()).collect();
        let start = Instant::now();
        for (connection, age) in connections.iter().zip([1, 3, 2]) {
            *connection.stands() = Use::Idle(start + Duration::from_secs(10 - age));
        }
        *connections[1].stands() = Use::Busy;
        let new = open.admit(3, 3, &metrics);
        assert!(new.is_some());
        let mut left: Vec<_> = open.connections.lock().unwrap().keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [0, 1, 3], "1 has waited for longer, but is busy");
        for connection in open.connections.lock().unwrap().values() {
            *connection.stands() = Use::Busy;
        }
        assert!(open.admit(4, 3, &metrics).is_none(), "nobody is sent away in the middle of a request");
    }
    #[test]
    fn a_place_comes_back_from_a_task_that_panics() {
        let (open, metrics) = (Arc::new(Open::default()), Arc::new(Metrics::new()));
        assert!(open.admit(0, 1, &metrics).is_some());
        let place = Registered::new(open.clone(), 0, metrics.clone());
        assert_eq!(metrics.connections.get(), 1);
        let task = std::thread::spawn(move || {
            let _place = place;
            panic!("as any handler might");
        });
        assert!(task.join().is_err());
        assert_eq!(metrics.connections.get(), 0);
        assert!(open.connections.lock().unwrap().is_empty());
    }
}
