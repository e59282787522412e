//! The commands of the golden scripts.
//!
//! ```text
//! cluster 3 [setting=value ..]  founded servers 1 to 3; settings are those of `Config` and `Limits`, with `-` for `_`
//! found 3 [setting=value ..]    the same on empty data directories
//! recover 2 term=4 [vote=1] log=1,1,4   server 2 is started on a log of these terms, the first one below its base
//! elect 1                       elects and settles without a word: what happens is in `election.txt`
//! wipe 2                        server 2 is started on a new, empty data directory
//! crash 2 | restart 2           what was not synced is lost
//! slow 1 | fast 1               receipts wait for `persist`, or come at once (as at first)
//! persist 1 [#4]                all writes or one are synced and their receipts handed in
//! sync 1                        all writes are synced, their receipts are not handed in
//! campaign 1 | heartbeat 1 | tick 1 10 | propose 1 x [y ..] | read 1 [how many] | transfer 1 [to]
//! deliver [which] | drop [which] | repeat [which] | network [which]
//!                               what is on its way now: `1->3`, `->3`, `1->`, a message's name, `first`
//! settle                        delivers until nothing is on its way
//! isolate 2 | cut 1->3 | heal   links that lose everything, or none
//! log | status [which servers]
//! ```

use crate::cluster::{Cluster, Event, Packet, config, with_log};
use raft_core::{Config, DiskId, Input, Recovered, RoleName, Status};
use std::fmt::Write as _;

#[derive(Default)]
pub(crate) struct Runner {
    cluster: Option<Cluster>,
}

impl Runner {
    /// Runs a command; `place` says where it stands, should it make no sense. What came of it, a line each.
    pub(crate) fn run(&mut self, command: &str, place: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (verb, words) = words.split_first().unwrap_or_else(|| panic!("{place}: no command"));
        let n = || number(words.first().unwrap_or_else(|| panic!("{place}: how many?")), place);
        match *verb {
            "cluster" => {
                self.cluster = Some(Cluster::with(n(), |config| set(config, &words[1..], place)));
                return String::new();
            }
            "found" => {
                let mut cluster = Cluster::empty();
                for id in 1..=n() {
                    let mut config = config(id, n());
                    set(&mut config, &words[1..], place);
                    cluster.start(config, Recovered::default());
                }
                self.cluster = Some(cluster);
            }
            _ => {
                let cluster = self.cluster.as_mut().unwrap_or_else(|| panic!("{place}: no cluster yet"));
                if let Some(text) = look(cluster, verb, words, place) {
                    return text;
                }
                act(cluster, verb, words, place);
            }
        }
        let events = self.cluster.iter_mut().flat_map(|cluster| cluster.events.drain(..));
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

/// Commands that show something and change nothing but the network.
fn look(cluster: &mut Cluster, verb: &str, words: &[&str], place: &str) -> Option<String> {
    let mut out = String::new();
    match verb {
        "network" if cluster.network().is_empty() => out += "nothing\n",
        "network" => {
            for at in chosen(cluster, words, place) {
                writeln!(out, "{}", cluster.network()[at]).unwrap();
            }
        }
        "log" => out = logs(cluster),
        "status" => {
            for id in cluster.ids() {
                if !words.is_empty() && !words.iter().any(|word| number(word, place) == id) {
                    continue;
                }
                match cluster.runs(id) {
                    true => writeln!(out, "{}", status(&cluster.status(id))).unwrap(),
                    false => writeln!(out, "{id} is down").unwrap(),
                }
            }
        }
        _ => return None,
    }
    Some(out)
}

/// The logs as the paper's figures draw them: the term of each entry under its index.
fn logs(cluster: &Cluster) -> String {
    let running = || cluster.ids().into_iter().filter(|id| cluster.runs(*id));
    let longest = running().map(|id| cluster.status(id).last.index.0).max().unwrap_or_default();
    let row = |cells: Vec<u64>| cells.iter().map(|cell| format!("{cell:>3}")).collect::<String>();
    let mut out = format!("index{}\n", row((1..=longest).collect()));
    for id in running() {
        let (terms, status) = (row(cluster.terms(id)), cluster.status(id));
        let width = 3 * longest as usize;
        writeln!(out, "{id:>5}{terms:width$}  commit={} durable={}", status.commit, status.durable).unwrap();
    }
    out
}

fn status(status: &Status) -> String {
    let role = match status.role {
        RoleName::Follower => "follower",
        RoleName::PreCandidate => "pre-candidate",
        RoleName::Candidate => "candidate",
        RoleName::Leader => "leader",
    };
    let who = |id: Option<raft_core::NodeId>| id.map_or("-".into(), |id| id.to_string());
    let mut out = format!(
        "{} {role} term={} vote={} leader={} commit={} applied={} durable={} last={}",
        status.id,
        status.term,
        who(status.vote),
        who(status.leader),
        status.commit,
        status.applied,
        status.durable,
        status.last
    );
    for (name, count) in [("held", status.held), ("tickets", status.tickets)] {
        if count > 0 {
            write!(out, " {name}={count}").unwrap();
        }
    }
    for (name, is) in [("unfounded", !status.founded), ("halted", status.halted)] {
        if is {
            write!(out, " {name}").unwrap();
        }
    }
    out
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
        "restart" => cluster.restart(id),
        "slow" => cluster.slow(id, true),
        "fast" => cluster.slow(id, false),
        "persist" => {
            let only = second();
            cluster.persist(id, |number| only.is_none_or(|only| only == number));
        }
        "sync" => cluster.sync(id),
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
        "transfer" => cluster.turn(id, vec![Input::Transfer { to: second().map(raft_core::NodeId) }]),
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
