//! Clients that repeat whatever is in doubt with its idempotency key, while nodes are killed, paused and cut off from
//! each other, and snapshots taken: each write is in the log once, or was answered 410 and is there at most once; and
//! what all clients saw is linearizable.

use crate::cluster::history::{Event, check_linearizable};
use crate::cluster::ledger::{Entry, Ledger};
use crate::cluster::proxy::Proxy;
use crate::cluster::{Cluster, http, report};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const CLIENTS: usize = 6;
/// For how many seconds faults follow on each other; `HTTPRAFT_TEST_SECONDS` is another number.
const SECONDS: u64 = 15;
/// How long a node is away or cut off: longer than a key is kept.
const AWAY: Duration = Duration::from_millis(1500);
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
    events: Vec<Event>,
    /// Answered 410, and since when they were tried.
    expired: Vec<(String, Instant)>,
    repeated: usize,
}

/// Writes until it is stopped, each write until it is acknowledged or its key has expired. Every sixth request is given
/// up so soon that its answer is mostly missed. Between the writes it reads, at another node each time.
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
            assert!(began.elapsed() < PATIENCE, "{text} is answered in time");
            let within = Duration::from_millis(if attempt % 2 == 0 && number % 3 == 0 { 4 } else { 3000 });
            match http::append_once(&apis[at % apis.len()], &text, &key, within) {
                Ok(answer) if answer.status == 201 => {
                    let place = |name: &str| answer.json[name].as_u64().expect("a number");
                    let (index, ended) = (place("index"), Instant::now());
                    seen.events.push(Event { place: index, is_write: true, began, ended: Some(ended) });
                    seen.ledger.acknowledged.push((Entry { index, term: place("term"), text }, ended));
                    break;
                }
                Ok(answer) if answer.json["code"] == "key_expired" => {
                    assert_eq!((answer.status, answer.json["outcome"].as_str()), (410, Some("unknown")));
                    seen.expired.push((text, began));
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
        let began = Instant::now();
        if let Ok(answer) = http::get(&apis[(at + number) % apis.len()], "/v1/log?from=1000000000&limit=1")
            && answer.status == 200
        {
            let place = answer.json["commit"].as_u64().expect("an index");
            seen.events.push(Event { place, is_write: false, began, ended: Some(Instant::now()) });
        }
    }
    seen
}

/// One fault after another, each over before the next.
fn disturb(cluster: &mut Cluster, wires: &[Proxy], round: usize) {
    let leader = cluster.leader().id;
    let other = (leader + 1 + round % 2) % 3;
    match round % 6 {
        0 | 2 => {
            let victim = if round.is_multiple_of(6) { leader } else { other };
            cluster.kill(victim);
            sleep(AWAY / 4);
            cluster.start(victim);
        }
        1 | 3 => {
            let cut_off = if round % 6 == 1 { leader } else { other };
            wires.iter().for_each(|wire| wire.hold_from(cut_off));
            wires[cut_off].hold();
            sleep(AWAY);
            wires.iter().for_each(Proxy::release);
        }
        4 => {
            cluster.process(leader).pause();
            sleep(AWAY);
            cluster.process(leader).wake();
        }
        _ => {
            cluster.kill_all();
            cluster.start_all();
        }
    }
    cluster.leader();
}

#[test]
fn whatever_is_repeated_is_applied_once() {
    let seconds = std::env::var("HTTPRAFT_TEST_SECONDS");
    let seconds = seconds.map_or(SECONDS, |seconds| seconds.parse().expect("a number of seconds"));
    let mut cluster = Cluster::new(3);
    let wires = cluster.put_wires();
    for setup in &mut cluster.setups {
        let often = ["--snapshot-entries", "100", "--retain-entries", "10"];
        setup.arguments.extend(often.map(str::to_string));
        let short = [("HTTPRAFT_DEDUPE_WINDOW", "1s"), ("HTTPRAFT_DEDUPE_MIN", "500ms")];
        setup.variables.extend(short.map(|(name, value)| (name.to_string(), value.to_string())));
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
    let (began, mut rounds) = (Instant::now(), 0);
    while rounds < 6 || began.elapsed() < Duration::from_secs(seconds) {
        sleep(Duration::from_millis(700));
        disturb(&mut cluster, &wires, rounds);
        rounds += 1;
    }
    sleep(Duration::from_millis(1000));
    stop.store(true, Ordering::Relaxed);
    let (mut ledger, mut events, mut expired, mut repeated) = (Ledger::default(), Vec::new(), Vec::new(), 0);
    for client in clients {
        let seen = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ledger.add(seen.ledger);
        events.extend(seen.events);
        expired.extend(seen.expired);
        repeated += seen.repeated;
    }
    let log = ledger.check(&cluster);
    // The check has found no text twice, and all that was acknowledged.
    let places: BTreeMap<&str, u64> = log.iter().map(|entry| (entry.text.as_str(), entry.index)).collect();
    let standing = expired.iter().filter_map(|(text, began)| Some((*places.get(text.as_str())?, *began)));
    let standing: Vec<_> =
        standing.map(|(place, began)| Event { place, is_write: true, began, ended: None }).collect();
    let (writes, standing_count) = (ledger.acknowledged.len(), standing.len());
    assert_eq!(log.len(), writes + standing_count, "nothing else is in the log");
    let reads = events.iter().filter(|event| !event.is_write).count();
    events.extend(standing);
    assert_eq!(check_linearizable(&mut events), Ok(()));
    assert!(repeated > rounds && reads > rounds, "{repeated} repetitions, {reads} reads");
    report(&format!(
        "exactly once, {rounds} faults in {:?}: {writes} writes acknowledged, {repeated} repetitions, each in every log \
         once; {} answered 410, of which {standing_count} stand once; with {reads} reads linearizable",
        began.elapsed(),
        expired.len(),
    ));
}

/// A check that accepts everything proves nothing.
#[test]
fn a_history_that_is_not_linearizable_is_found() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let event =
        |place, is_write, began, ended| Event { place, is_write, began: at(began), ended: Some(at(ended)) };
    let mut right = [event(3, true, 0, 10), event(4, true, 5, 20), event(4, false, 21, 30)];
    assert_eq!(check_linearizable(&mut right), Ok(()));
    for mut wrong in [
        [event(3, true, 0, 10), event(2, false, 11, 12)],
        [event(3, true, 0, 10), event(2, true, 11, 12)],
        [event(3, false, 0, 10), event(3, true, 11, 12)],
    ] {
        assert!(check_linearizable(&mut wrong).is_err(), "{wrong:?}");
    }
}
