//! The load generator. A closed loop has so many clients, each of which sends its next request when it has the answer to
//! the last. An open loop has a rate: a request is due at its moment whether earlier ones were answered or not, and its
//! latency counts from that moment, so that a server that stalls can't hide the requests that it kept from being sent.

mod connection;
mod processes;
mod report;
mod workload;

pub(crate) use report::Report;
pub(crate) use workload::{Operation, Target, Workload};

use crate::exit::{Code, Exit};
use connection::{Connection, Trouble};
use processes::cpu_time;
use report::Tally;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

/// The pause of a client that can't connect.
const AGAIN: Duration = Duration::from_millis(10);

/// What is to be done to whom.
pub(crate) struct Load {
    /// The clients are spread over these.
    pub(crate) endpoints: Vec<String>,
    pub(crate) workload: Workload,
    /// How many requests are under way at most, each on a connection of its own.
    pub(crate) clients: usize,
    /// Requests a second; a closed loop if none.
    pub(crate) rate: Option<f64>,
    /// What is due within the first part is done and not measured.
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// When a request counts as failed.
    pub(crate) timeout: Duration,
    /// The servers, to be asked for the CPU time that they took.
    pub(crate) processes: Vec<u32>,
}

/// One run, shared by its clients.
struct Run {
    load: Load,
    pace: Pace,
    /// What is due from here on is measured ..
    measured: Instant,
    /// .. until here, and nothing is due afterwards.
    end: Instant,
    requests: AtomicU64,
    tally: Mutex<Tally>,
}

/// When requests are due.
enum Pace {
    Closed,
    /// Whoever is free takes the next one.
    Open(tokio::sync::Mutex<UnboundedReceiver<Instant>>),
}

/// Puts the load on its target, waits for every answer and reports.
pub(crate) async fn run(load: Load) -> Result<Report, Exit> {
    if let Some(first) = load.workload.first() {
        let mut connection = Connection::new(&load.endpoints[0]);
        let prepared = timeout(load.timeout, connection.exchange(&first, 0)).await;
        prepared.unwrap_or(Err(Trouble::code("timeout"))).map_err(|trouble| {
            let why = format!("{}: can't write the key to read: {}", load.endpoints[0], trouble.code);
            Exit::new(Code::Temporary, why)
        })?;
    }
    let start = Instant::now();
    let measured = start + load.warmup;
    let end = measured + load.duration;
    let pace = match load.rate {
        None => Pace::Closed,
        Some(rate) => {
            let (queue, due) = unbounded_channel();
            std::thread::spawn(move || send_on_time(start, end, rate, &queue));
            Pace::Open(tokio::sync::Mutex::new(due))
        }
    };
    let (requests, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let run = Arc::new(Run { load, pace, measured, end, requests, tally });
    let mut clients = JoinSet::new();
    for number in 0..run.load.clients {
        clients.spawn(client(run.clone(), number));
    }
    sleep_until(measured.into()).await;
    let before = cpu_time(&run.load.processes)?;
    sleep_until(end.into()).await;
    let cpu = cpu_time(&run.load.processes)?.saturating_sub(before);
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|error| Exit::new(Code::Failed, error))?;
    }
    let run = Arc::into_inner(run).expect("every client has ended");
    let tally = run.tally.into_inner().expect("no client panicked");
    Ok(Report::new(&run.load, tally, cpu))
}

/// Says when a request is due. A thread of its own: the runtime's timer knows milliseconds only.
fn send_on_time(start: Instant, end: Instant, rate: f64, queue: &UnboundedSender<Instant>) {
    for number in 0_u32.. {
        let due = start + Duration::from_secs_f64(f64::from(number) / rate);
        if due >= end {
            return;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if queue.send(due).is_err() {
            return;
        }
    }
}

impl Pace {
    async fn next(&self, end: Instant) -> Option<Instant> {
        match self {
            Pace::Closed => Some(Instant::now()).filter(|now| *now < end),
            Pace::Open(queue) => queue.lock().await.recv().await,
        }
    }
}

async fn client(run: Arc<Run>, number: usize) {
    let load = &run.load;
    let mut connection = Connection::new(&load.endpoints[number % load.endpoints.len()]);
    while let Some(due) = run.pace.next(run.end).await {
        // A server that is too slow for the rate is not waited for without end.
        let result = if Instant::now() > run.end + load.timeout {
            Err(Trouble::code("too_late"))
        } else {
            let request = run.requests.fetch_add(1, Ordering::Relaxed);
            let exchange = timeout(load.timeout, connection.exchange(&load.workload, request));
            exchange.await.unwrap_or_else(|_| {
                connection.close();
                Err(Trouble::code("timeout"))
            })
        };
        let took = due.elapsed();
        let not_sent = matches!(&result, Err(trouble) if trouble.not_sent);
        run.tally.lock().expect("no client panicked").count(due >= run.measured, took, result);
        if not_sent {
            sleep(AGAIN).await;
        }
    }
}
