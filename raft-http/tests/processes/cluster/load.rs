//! Clients that follow `leader`, as the published collections do it.

use super::http;
use super::ledger::{Entry, Ledger};
use serde_json::Value;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a client waits before it asks again when nobody could answer.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a client waits for an answer; longer than the server's own deadline.
const PATIENCE: Duration = Duration::from_secs(10);

/// One client. Its `leader` is the variable of that name in the collection.
pub(crate) struct Client {
    name: String,
    apis: Vec<String>,
    leader: String,
    pub(crate) ledger: Ledger,
}

impl Client {
    /// A client that begins with this node. Its name keeps its texts apart from those of others.
    pub(crate) fn new(name: &str, apis: &[String], first: usize) -> Client {
        let (name, leader) = (name.to_string(), apis[first].clone());
        Client { name, apis: apis.to_vec(), leader, ledger: Ledger::default() }
    }

    /// Sends message `number` until it is acknowledged, each try as a text of its own. Gives the number of tries, or
    /// `None` if `give_up` became true first.
    pub(crate) fn write(&mut self, number: usize, mut give_up: impl FnMut() -> bool) -> Option<usize> {
        let mut tries = 0;
        while !give_up() {
            tries += 1;
            if self.send(&format!("{} {number}.{tries}", self.name)) {
                return Some(tries);
            }
        }
        None
    }

    /// One try: whether it was acknowledged.
    fn send(&mut self, text: &str) -> bool {
        let answer = match http::append(&self.leader, text, PATIENCE) {
            Ok(answer) => answer,
            // Refused or broken: the next node of the list.
            Err(error) => {
                // Refused, it never left. Broken, nobody knows.
                self.ledger.unknown += usize::from(error.kind() != ErrorKind::ConnectionRefused);
                let at = self.apis.iter().position(|api| *api == self.leader).unwrap_or(0);
                self.leader = self.apis[(at + 1) % self.apis.len()].clone();
                std::thread::sleep(AGAIN);
                return false;
            }
        };
        let told = &answer.json;
        self.leader = told["leader"].as_str().unwrap_or_else(|| panic!("no leader in {told}")).to_string();
        assert!(self.apis.contains(&self.leader), "nobody can use the leader in {told}");
        match (answer.status, told["success"].as_bool()) {
            (200, Some(true)) => {
                let number =
                    |name: &str| told[name].as_u64().unwrap_or_else(|| panic!("no {name} in {told}"));
                let entry = Entry { index: number("index"), term: number("term"), text: text.to_string() };
                self.ledger.acknowledged.push((entry, Instant::now()));
                true
            }
            (status, Some(false)) => {
                self.failed(status, told, text);
                false
            }
            _ => panic!("{} without success: {told}", answer.status),
        }
    }

    fn failed(&mut self, status: u16, told: &Value, text: &str) {
        assert!(matches!(status, 200 | 503 | 504 | 507), "{status} to a good write: {told}");
        match told["outcome"].as_str() {
            Some("not_applied") => drop(self.ledger.not_applied.insert(text.to_string())),
            Some("unknown") => self.ledger.unknown += 1,
            _ => panic!("a failed write has an outcome: {told}"),
        }
        if status != 200 {
            std::thread::sleep(AGAIN);
        }
    }
}

/// Clients that write until they are stopped, or until [`Load::LONGEST`] has passed.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Ledger>>,
}

impl Load {
    const LONGEST: Duration = Duration::from_secs(120);

    /// Starts `count` clients; they begin at different nodes.
    pub(crate) fn start(name: &str, apis: &[String], count: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |id: usize| {
            let (stop, began) = (stop.clone(), Instant::now());
            let mut client = Client::new(&format!("{name}-{id}"), apis, id % apis.len());
            std::thread::spawn(move || {
                let stopped = || stop.load(Ordering::Relaxed) || began.elapsed() > Load::LONGEST;
                let mut number = 0;
                while client.write(number, stopped).is_some() {
                    number += 1;
                }
                client.ledger
            })
        };
        let clients = (0..count).map(client).collect();
        Load { stop, clients }
    }

    /// Stops them, and gives what all of them were told.
    pub(crate) fn stop(mut self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut ledger = Ledger::default();
        for client in self.clients.drain(..) {
            // A client's own assertion is the test's.
            ledger.add(client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        ledger
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
