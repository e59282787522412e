//! The commands of the golden scripts.
//!
//! ```text
//! cluster 3 [setting=value ..]  founded servers 1 to 3; settings are those of `Config` and `Limits`, with `-` for `_`
//! found 3 [setting=value ..]    the same on empty data directories
//! recover 2 term=4 [vote=1] log=1,1,4   server 2 is started on a log of these terms, the first one below its base
//! quietly settle                any command without a word: for what leads to the matter
//! elect 1                       elects and settles without a word: what happens is in `election.txt`
//! wipe 2                        server 2 is started on a new, empty data directory
//! crash 2 | restart 2           what was not synced is lost
//! decay 2 5                     while 2 is down: its disk loses the bytes of the command at 5
//! image 2 | put-back 2          what the disk holds now is kept; the server is down, and its disk holds that again
//! slow 1 | fast 1               receipts wait for `persist`, or come at once (as at first)
//! persist 1 [#4]                all writes or one are synced and their receipts handed in
//! sync 1                        all writes are synced, their receipts are not handed in
//! campaign 1 | heartbeat 1 | tick 1 10 | propose 1 x [y ..] | read 1 [how many] | lease 1 [how many] | transfer 1 [to]
//! capture 1 | unreachable 1 3   input for the core; see `raft_core::Input`
//! join 4                        server 4 is started on a new, empty data directory; it founds nothing
//! change 1 add 4 addr, learn 5, promote 5, demote 2, remove 3, replace 3 [addr], update 2 addr [expect=7]
//! hold 1 capture | unhold 1 capture   such work (`capture`, `fetch`, `store`) waits for `do`, or is done at once
//! do 1 fetch | fail 1 fetch | lose 1 fetch   the oldest work that waits is done, fails, or is forgotten
//! forget 1 | damage 2           all snapshots of 1 are gone; a bit of what 2 has of one is turned
//! deliver [which] | drop [which] | repeat [which] | network [which]
//!                               what is on its way now: `1->3`, `->3`, `1->`, a message's name, `first`
//! settle                        delivers until nothing is on its way
//! isolate 2 | cut 1->3 | heal   links that lose everything, or none
//! log | status | members | peers | state [which servers]
//! events on | off               whether what nodes tell about themselves is shown
//! ```

use crate::cluster::{Cluster, Event, Packet, Work, config, with_log};
use crate::show::{logs, look};
use raft_core::{Change, Config, DiskId, Input, NodeId, Recovered, RoleName};

#[derive(Default)]
pub(crate) struct Runner {
    cluster: Option<Cluster>,
    /// Whether what nodes tell about themselves is shown.
    telling: bool,
    /// The settings of the cluster, for servers that join it.
    settings: Vec<String>,
}

impl Runner {
    /// Runs a command; `place` says where it stands, should it make no sense. What came of it, a line each.
    pub(crate) fn run(&mut self, command: &str, place: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (verb, words) = words.split_first().unwrap_or_else(|| panic!("{place}: no command"));
        let n = || number(words.first().unwrap_or_else(|| panic!("{place}: how many?")), place);
        match *verb {
            "quietly" => {
                self.run(&words.join(" "), place);
                return String::new();
            }
            "cluster" => {
                self.telling = false;
                self.settings = words[1..].iter().map(|word| (*word).to_owned()).collect();
                self.cluster = Some(Cluster::with(n(), |config| set(config, &words[1..], place)));
                return String::new();
            }
            "found" => {
                self.settings = words[1..].iter().map(|word| (*word).to_owned()).collect();
                let mut cluster = Cluster::empty();
                for id in 1..=n() {
                    let mut config = config(id, n());
                    set(&mut config, &words[1..], place);
                    cluster.start(config, Recovered::default());
                }
                self.cluster = Some(cluster);
            }
            "join" => {
                let cluster = self.cluster.as_mut().unwrap_or_else(|| panic!("{place}: no cluster yet"));
                let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
                cluster.join(n(), |config| set(config, &settings, place));
            }
            "events" => self.telling = words == ["on"],
            _ => {
                let cluster = self.cluster.as_mut().unwrap_or_else(|| panic!("{place}: no cluster yet"));
                match *verb {
                    "log" => return logs(cluster),
                    "network" => return network(cluster, words, place),
                    _ => {}
                }
                let which: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
                if let Some(text) = look(cluster, verb, &which) {
                    return text;
                }
                act(cluster, verb, words, place);
            }
        }
        let events = self.cluster.iter_mut().flat_map(|cluster| cluster.events.drain(..));
        let telling = self.telling;
        let events = events.filter(|event| telling || !matches!(event, Event::Tell { .. }));
        events.fold(String::new(), |out, event| out + &format!("{event}\n"))
    }
}

fn number(word: &str, place: &str) -> u64 {
    word.trim_start_matches('#').parse().unwrap_or_else(|_| panic!("{place}: {word} is no number"))
}

/// The value of `key=value` among the words.
fn value<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn set(config: &mut Config, words: &[&str], place: &str) {
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("{place}: {word}?"));
        let limits = &mut config.limits;
        let limit = match key {
            "pre-vote" => {
                config.pre_vote = value == "on";
                continue;
            }
            "check-quorum" => {
                config.check_quorum = value == "on";
                continue;
            }
            "batch-entries" => &mut limits.batch_entries,
            "batch-bytes" => &mut limits.batch_bytes,
            "inflight-appends" => &mut limits.inflight_appends,
            "inflight-bytes" => &mut limits.inflight_bytes,
            "uncommitted-bytes" => &mut limits.uncommitted_bytes,
            "command-bytes" => &mut limits.command_bytes,
            "tickets" => &mut limits.tickets,
            "held" => &mut limits.held,
            "snapshot-bytes" => &mut limits.snapshot_bytes,
            "retain-bytes" => &mut limits.retain_bytes,
            "chunk-bytes" => &mut limits.chunk_bytes,
            "inflight-chunks" => &mut limits.inflight_chunks,
            "snapshot-entries" => {
                limits.snapshot_entries = number(value, place);
                continue;
            }
            "retain-entries" => {
                limits.retain_entries = number(value, place);
                continue;
            }
            _ => panic!("{place}: no setting {key}"),
        };
        *limit = number(value, place) as usize;
    }
}

/// Which messages: all words must fit; `first` is the first that fits.
fn chosen(cluster: &Cluster, words: &[&str], place: &str) -> Vec<usize> {
    let fits = |packet: &Packet, word: &str| match word.split_once("->") {
        Some((from, to)) => {
            (from.is_empty() || number(from, place) == packet.from)
                && (to.is_empty() || number(to, place) == packet.to)
        }
        None => word == "first" || packet.to_string().split(' ').nth(1) == Some(word),
    };
    let network = cluster.network().iter().enumerate();
    let fitting = network.filter(|(_, packet)| words.iter().all(|word| fits(packet, word)));
    let most = if words.contains(&"first") { 1 } else { usize::MAX };
    let chosen: Vec<usize> = fitting.map(|(at, _)| at).take(most).collect();
    assert!(!chosen.is_empty(), "{place}: no such message is on its way");
    chosen
}

/// What is on its way.
fn network(cluster: &Cluster, words: &[&str], place: &str) -> String {
    if cluster.network().is_empty() {
        return "nothing\n".into();
    }
    let packets = chosen(cluster, words, place).into_iter().map(|at| &cluster.network()[at]);
    packets.fold(String::new(), |out, packet| out + &format!("{packet}\n"))
}

/// Changes of the configuration, in their notation.
fn changes(words: &[&str], place: &str) -> Vec<Change> {
    let words: Vec<&str> = words.iter().filter(|word| !word.contains("expect=")).copied().collect();
    let change = |text: &str| {
        let mut words = text.split_whitespace();
        let verb = words.next().unwrap_or_else(|| panic!("{place}: which change?"));
        let id = words.next().unwrap_or_else(|| panic!("{place}: whom?"));
        let id = NodeId(number(id, place));
        let address = words.next().map(|word| bytes::Bytes::copy_from_slice(word.as_bytes()));
        match verb {
            "add" => Change::Add { id, context: address.unwrap_or_default(), votes: true },
            "learn" => Change::Add { id, context: address.unwrap_or_default(), votes: false },
            "promote" => Change::Promote { id },
            "demote" => Change::Demote { id },
            "remove" => Change::Remove { id },
            "replace" => Change::Replace { id, context: address },
            "update" => Change::Update { id, context: address.unwrap_or_default() },
            _ => panic!("{place}: no change {verb}"),
        }
    };
    let text = words.join(" ");
    text.split(',').filter(|text| !text.trim().is_empty()).map(change).collect()
}

fn work(word: Option<&&str>, place: &str) -> Work {
    match word {
        Some(&"capture") => Work::Capture,
        Some(&"fetch") => Work::Fetch,
        Some(&"store") => Work::Store,
        _ => panic!("{place}: which work?"),
    }
}

/// Commands for snapshots. Whether this was one.
fn act_on_snapshots(cluster: &mut Cluster, verb: &str, id: u64, words: &[&str], place: &str) -> bool {
    let which = || work(words.get(1), place);
    match verb {
        "capture" => cluster.turn(id, vec![Input::Capture]),
        "hold" => cluster.hold(id, which(), true),
        "unhold" => cluster.hold(id, which(), false),
        "do" => assert!(cluster.work(id, which()), "{place}: nothing waits"),
        "fail" => cluster.fail(id, which()),
        "lose" => cluster.snapshots(id).lose(which()),
        "forget" => cluster.snapshots(id).forget(),
        "damage" => cluster.snapshots(id).damage(),
        _ => return false,
    }
    true
}

/// Commands that hand in one input. Whether this was one.
fn hand_in(cluster: &mut Cluster, verb: &str, id: u64, words: &[&str], place: &str) -> bool {
    let second = || words.get(1).map(|word| number(word, place));
    match verb {
        "campaign" => cluster.campaign(id),
        "heartbeat" => cluster.turn(id, vec![Input::Heartbeat]),
        "tick" => cluster.tick(id, second().unwrap_or(1) as u32),
        "propose" => {
            cluster.propose(id, &words[1..]);
        }
        "read" => {
            for _ in 0..second().unwrap_or(1) {
                cluster.read(id);
            }
        }
        "lease" => {
            for _ in 0..second().unwrap_or(1) {
                cluster.lease_read(id);
            }
        }
        "transfer" => {
            cluster.transfer(id, second());
        }
        "change" => {
            let expect = value(words, "expect").map(|index| number(index, place));
            cluster.change(id, changes(&words[1..], place), expect);
        }
        "unreachable" => {
            let peer = NodeId(second().unwrap_or_else(|| panic!("{place}: whom?")));
            cluster.turn(id, vec![Input::Unreachable { peer }]);
        }
        _ => return false,
    }
    true
}

/// Commands that make something happen.
fn act(cluster: &mut Cluster, verb: &str, words: &[&str], place: &str) {
    match verb {
        "settle" => return cluster.settle(),
        "heal" => return cluster.heal(),
        "deliver" | "drop" | "repeat" => return carry(cluster, verb, words, place),
        _ => {}
    }
    let first = words.first().unwrap_or_else(|| panic!("{place}: which server?"));
    if verb == "cut" {
        let (from, to) = first.split_once("->").unwrap_or_else(|| panic!("{place}: which link?"));
        return cluster.cut(number(from, place), number(to, place));
    }
    let id = number(first, place);
    let second = || words.get(1).map(|word| number(word, place));
    if act_on_snapshots(cluster, verb, id, words, place) || hand_in(cluster, verb, id, words, place) {
        return;
    }
    match verb {
        "recover" => {
            let log: Vec<u64> = value(words, "log")
                .map_or(vec![], |log| log.split(',').map(|term| number(term, place)).collect());
            let term = value(words, "term")
                .map_or_else(|| panic!("{place}: in which term?"), |it| number(it, place));
            let vote = value(words, "vote").map(|vote| number(vote, place));
            let n = cluster.ids().len() as u64;
            cluster.replace(id, with_log(n, &log, term, vote));
            cluster.events.clear();
        }
        "wipe" => {
            let config = cluster.config(id).clone();
            cluster.start(Config { disk: DiskId(config.disk.0 + 100), ..config }, Recovered::default());
        }
        "crash" => {
            let lost = cluster.crash(id);
            cluster.events.extend(lost.into_iter().map(|number| Event::Gone { at: id, number }));
        }
        "decay" => cluster.decay(id, raft_core::Index(second().expect("an index"))),
        "restart" => cluster.restart(id),
        "image" => cluster.image(id),
        "put-back" => cluster.put_back(id),
        "slow" => cluster.slow(id, true),
        "fast" => cluster.slow(id, false),
        "persist" => {
            let only = second();
            cluster.persist(id, |number| only.is_none_or(|only| only == number));
        }
        "sync" => cluster.sync(id),
        "isolate" => cluster.isolate(id),
        "elect" => {
            cluster.campaign(id);
            cluster.settle();
            assert_eq!(cluster.status(id).role, RoleName::Leader, "{place}");
            cluster.events.clear();
        }
        _ => panic!("{place}: no such command"),
    }
}

/// Delivers, drops or repeats what is on its way.
fn carry(cluster: &mut Cluster, verb: &str, words: &[&str], place: &str) {
    let chosen = chosen(cluster, words, place);
    if verb == "repeat" {
        return cluster.repeat(&chosen);
    }
    for packet in cluster.take_at(&chosen) {
        match verb {
            "drop" => cluster.events.push(Event::Lost(packet)),
            _ => cluster.receive(packet),
        }
    }
}
