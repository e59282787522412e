//! Limits as small as they can be: progress is slow, but made, and all accounts return to zero.

use crate::cluster::Cluster;
use raft_core::{Answer, Config, Limits, RoleName};

fn smallest(config: &mut Config) {
    config.limits = Limits {
        batch_entries: 1,
        batch_bytes: 1,
        inflight_appends: 1,
        inflight_bytes: 1,
        uncommitted_bytes: 1,
        command_bytes: 1,
        tickets: 1,
        held: 1,
        snapshot_entries: 1,
        snapshot_bytes: 1,
        retain_entries: 1,
        retain_bytes: 1,
        chunk_bytes: 1,
        inflight_chunks: 1,
    };
}

/// Proposes commands one by one, again while busy. How often it was busy.
fn propose_all(cluster: &mut Cluster, commands: usize) -> usize {
    let (mut done, mut busy) = (0, 0);
    let mut open = None;
    for _ in 0..50 * commands {
        if done == commands {
            return busy;
        }
        let ticket = *open.get_or_insert_with(|| cluster.propose(1, &["x"]));
        // Somebody else asks, too.
        let other = cluster.propose(1, &["y"]);
        busy += cluster.answers(other).iter().filter(|answer| matches!(answer, Answer::Busy(_))).count();
        cluster.tick(1, 1);
        cluster.deliver(|_| true);
        for answer in cluster.answers(ticket) {
            done += usize::from(matches!(answer, Answer::Committed(_)));
            open = None;
        }
    }
    panic!("{done} of {commands} were committed");
}

#[test]
fn with_every_limit_set_to_one_fifty_commands_are_committed() {
    let mut cluster = Cluster::with(3, smallest);
    cluster.campaign(1);
    cluster.settle();
    assert_eq!(cluster.status(1).role, RoleName::Leader);
    let busy = propose_all(&mut cluster, 50);
    assert!(busy > 10, "the limits were met {busy} times");
    for _ in 0..10 {
        cluster.tick(1, 2);
        cluster.settle();
    }
    for id in 1..=3 {
        let status = cluster.status(id);
        assert_eq!((status.held, status.tickets), (0, 0));
        assert_eq!((status.commit, status.applied), (status.last.index, status.last.index));
        assert_eq!(status.last, cluster.status(1).last);
    }
    let ticket = cluster.propose(1, &["z"]);
    cluster.settle();
    assert!(matches!(cluster.answers(ticket)[..], [Answer::Committed(_)]), "there is room again");
}

/// What is held back for a slow disk is bounded; the rest is dropped, and asked again.
#[test]
fn held_messages_are_bounded() {
    let mut cluster = Cluster::with(3, |config| config.limits.held = 2);
    cluster.campaign(1);
    cluster.settle();
    cluster.slow(3, true);
    for _ in 0..20 {
        cluster.propose(1, &["x"]);
        cluster.settle();
        // A held request may still be followed by its answer.
        assert!(cluster.status(3).held <= 3, "{}", cluster.status(3).held);
    }
    cluster.slow(3, false);
    for _ in 0..10 {
        cluster.tick(1, 2);
        cluster.settle();
    }
    assert_eq!(cluster.terms(3), cluster.terms(1));
    assert_eq!(cluster.status(3).held, 0);
}
