//! Clients that repeat whatever is in doubt with its idempotency key, while nodes are killed and snapshots taken: each
//! write is in the log once.

use crate::cluster::ledger::{Entry, Ledger};
use crate::cluster::{Cluster, http, report};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const CLIENTS: usize = 6;
const ROUNDS: usize = 6;
/// No write is in doubt for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A UUIDv7 made now.
fn uuid(client: usize, number: usize) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis();
    format!("{:08x}-{:04x}-7000-8{client:03x}-{number:012x}", now >> 16, now & 0xffff)
}

/// What a client saw.
#[derive(Default)]
struct Seen {
    ledger: Ledger,
    repeated: usize,
}

/// Writes until it is stopped, each write until it is acknowledged. Every second request is given up so soon that its
/// answer is mostly missed.
fn write_on(client: usize, apis: &[String], stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut at = client;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (text, key, began) =
            (format!("client {client} write {number}"), uuid(client, number), Instant::now());
        for attempt in 0.. {
            assert!(began.elapsed() < PATIENCE, "{text} is acknowledged in time");
            let within = Duration::from_millis(if attempt % 2 == 0 && number % 3 == 0 { 4 } else { 3000 });
            match http::append_once(&apis[at % apis.len()], &text, &key, within) {
                Ok(answer) if answer.status == 201 => {
                    let place = |name: &str| answer.json[name].as_u64().expect("a number");
                    let entry = Entry { index: place("index"), term: place("term"), text };
                    seen.ledger.acknowledged.push((entry, Instant::now()));
                    break;
                }
                // 421: who was asked leads no longer, and a request is forwarded once only.
                Ok(answer) => assert!(matches!(answer.status, 421 | 503 | 504), "{}", answer.json),
                Err(_) => {}
            }
            seen.repeated += 1;
            at += 1;
            sleep(Duration::from_millis(10));
        }
    }
    seen
}

#[test]
fn whatever_is_repeated_is_applied_once() {
    let mut cluster = Cluster::new(3);
    for setup in &mut cluster.setups {
        let often = ["--snapshot-entries", "100", "--retain-entries", "10"];
        setup.arguments.extend(often.map(str::to_string));
    }
    cluster.start_all();
    cluster.leader();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (apis, stop) = (cluster.apis.clone(), stop.clone());
            std::thread::spawn(move || write_on(client, &apis, &stop))
        })
        .collect();
    for round in 0..ROUNDS {
        sleep(Duration::from_millis(1000));
        // The leader every other time; the last time all of them.
        let victim = if round % 2 == 0 { cluster.leader().id } else { round % 3 };
        if round + 1 == ROUNDS {
            cluster.kill_all();
            cluster.start_all();
        } else {
            cluster.kill(victim);
            sleep(Duration::from_millis(300));
            cluster.start(victim);
        }
        cluster.leader();
    }
    sleep(Duration::from_millis(1000));
    stop.store(true, Ordering::Relaxed);
    let (mut ledger, mut repeated) = (Ledger::default(), 0);
    for client in clients {
        let seen = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ledger.add(seen.ledger);
        repeated += seen.repeated;
    }
    let log = ledger.check(&cluster);
    assert_eq!(
        log.len(),
        ledger.acknowledged.len(),
        "nothing is in the log that was not acknowledged in the end"
    );
    assert!(repeated > ROUNDS, "{repeated} repetitions");
    report(&format!("exactly once: {} writes, {repeated} repetitions, each in every log once", log.len()));
}
