//! Clients that put and read keys while a storm goes on, and all that they saw.

use crate::cluster::history::Event;
use crate::cluster::http::{self, Request};
use crate::cluster::ledger::{Entry, Ledger};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) const CLIENTS: usize = 12;
/// How many operations each key has: few enough for the search.
const OPERATIONS: u64 = 40;
/// No write is in doubt for longer: calms come more often.
const PATIENCE: Duration = Duration::from_secs(60);

/// An operation that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) key: u64,
    /// What was put, or what was found.
    pub(crate) value: Option<u64>,
    pub(crate) event: Event,
}

/// What clients saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) ledger: Ledger,
    pub(crate) done: Vec<Done>,
    /// How often a write was sent anew, with its idempotency key.
    pub(crate) repeated: usize,
    pub(crate) unanswered_reads: usize,
}

/// Clients at work.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Clients {
    /// Starts them. Their reads ask for these levels of consistency in turn.
    pub(crate) fn start(apis: &[String], levels: &'static [&'static str], seed: u64) -> Clients {
        let (stop, acknowledged, begun) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let client = |number: usize| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(number as u64 + 1);
            let (apis, stop) = (apis.to_vec(), stop.clone());
            let (acknowledged, begun) = (acknowledged.clone(), begun.clone());
            let mut client = Client { number, apis, levels, random, acknowledged, seen: Seen::default() };
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    client.operate(begun.fetch_add(1, Ordering::Relaxed) / OPERATIONS);
                }
                client.seen
            })
        };
        let threads = (0..CLIENTS).map(client).collect();
        Clients { stop, acknowledged, threads }
    }

    /// How many writes were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Lets each end what it does, and gives what all of them saw.
    pub(crate) fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for thread in self.threads.drain(..) {
            // A client's own assertion is the test's.
            let seen = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.ledger.add(seen.ledger);
            all.done.extend(seen.done);
            all.repeated += seen.repeated;
            all.unanswered_reads += seen.unanswered_reads;
        }
        all
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Client {
    number: usize,
    apis: Vec<String>,
    levels: &'static [&'static str],
    random: ChaCha8Rng,
    acknowledged: Arc<AtomicU64>,
    seen: Seen,
}

impl Client {
    /// One operation on this key, after a short rest.
    fn operate(&mut self, key: u64) {
        sleep(Duration::from_millis(self.below(10)));
        if self.below(3) == 0 { self.put(key) } else { self.get(key) }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random.next_u64() % end
    }

    /// Any node, and how long it has: often so short that the answer is missed.
    fn anywhere(&mut self) -> (String, Duration) {
        let at = self.below(self.apis.len() as u64) as usize;
        let within = [5, 300, 1500][self.below(3) as usize];
        (self.apis[at].clone(), Duration::from_millis(within))
    }

    /// Puts a value that nobody else puts, again and again until it is acknowledged.
    fn put(&mut self, key: u64) {
        let value = (self.number as u64) << 32 | self.seen.ledger.acknowledged.len() as u64;
        let body = json!({ "then": [{ "op": "put", "key": key.to_string(), "value": value.to_string() }] });
        let idempotency_key = self.uuid();
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "the put of {value} to {key} is acknowledged in time");
            let (api, within) = self.anywhere();
            let request = Request { method: "POST", path: "/v1/batch", body: Some(&body), within };
            match http::ask_once(&api, &request, &idempotency_key) {
                Ok(answer) if answer.status == 200 => {
                    let ended = Instant::now();
                    let place = |name: &str| answer.json[name].as_u64().expect("a number");
                    let (index, term) = (place("index"), place("term"));
                    let event = Event { place: index, is_write: true, began, ended: Some(ended) };
                    self.seen.done.push(Done { key, value: Some(value), event });
                    let entry = Entry { index, term, text: format!("{key}:{value}") };
                    self.seen.ledger.acknowledged.push((entry, ended));
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                // 421: who was asked leads no longer, and a request is forwarded once only.
                Ok(answer) => assert!(matches!(answer.status, 421 | 503 | 504), "{}", answer.json),
                Err(_) => {}
            }
            self.seen.repeated += 1;
            sleep(Duration::from_millis(10));
        }
    }

    fn get(&mut self, key: u64) {
        let level = self.levels[self.below(self.levels.len() as u64) as usize];
        let (api, within) = self.anywhere();
        match read(&api, key, level, within) {
            Some(done) => self.seen.done.push(done),
            None => self.seen.unanswered_reads += 1,
        }
    }

    /// A UUIDv7 made now.
    fn uuid(&mut self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis();
        let (high, low) = (self.below(1 << 12), self.below(1 << 60));
        format!(
            "{:08x}-{:04x}-7{high:03x}-8{:03x}-{:012x}",
            now >> 16,
            now & 0xffff,
            low >> 48,
            low << 16 >> 16
        )
    }
}

/// One read; `None` if it was not answered.
///
/// # Panics
/// If it was refused by another reason than that there was no leader or not enough time.
pub(crate) fn read(api: &str, key: u64, level: &str, within: Duration) -> Option<Done> {
    let began = Instant::now();
    let path = format!("/?key={key}&consistency={level}");
    let request = Request { method: "GET", path: &path, body: None, within };
    let answer = http::ask(api, &request).ok()?;
    let ended = Some(Instant::now());
    if answer.status != 200 {
        assert!(matches!(answer.status, 503 | 504), "{}", answer.json);
        return None;
    }
    let found = answer.json["found"].as_bool().expect("whether it was found");
    let number = || answer.json["value"].as_str().and_then(|value| value.parse().ok()).expect("a number");
    let place = answer.json["index"].as_u64().expect("an index");
    let event = Event { place, is_write: false, began, ended };
    Some(Done { key, value: found.then(number), event })
}
