//! Section 6 and dissertation 4.2.2 to 4.3: changes of the voters.

use super::*;
use crate::cluster::Work;
use raft_core::Refusal;

/// 6: the cluster first switches to a transitional configuration, joint consensus; once that is committed, the system
/// moves on to the new one.
#[test]
fn a_change_of_voters_goes_through_a_joint_configuration() {
    let mut cluster = with_learners(3, &[4]);
    cluster.change(1, vec![promote(4), remove(3)], None);
    assert!(membership(&cluster, 1).is_joint());
    talk(&mut cluster, 1, 3);
    assert!(membership(&cluster, 1).is_joint(), "not committed yet: of the new half only 1 has it");
    talk(&mut cluster, 1, 4);
    assert_eq!(membership(&cluster, 1).voters().map(|id| id.0).collect::<Vec<_>>(), [1, 2, 4]);
    assert!(!membership(&cluster, 1).is_joint());
}

/// 6: while joint, entries are replicated to all servers of both configurations.
#[test]
fn entries_go_to_the_servers_of_both_configurations() {
    let mut cluster = with_learners(3, &[4, 5]);
    cluster.change(1, vec![promote(4), promote(5), remove(2), remove(3)], None);
    cluster.events.clear();
    cluster.propose(1, &["x"]);
    assert_eq!(receivers(&cluster, |body| matches!(body, Body::Append { .. })), [2, 3, 4, 5]);
}

/// 6: any server of either configuration may serve as leader.
#[test]
fn a_server_of_either_configuration_may_lead_while_joint() {
    for candidate in [2, 3, 4, 5] {
        let mut cluster = with_learners(3, &[4, 5]);
        cluster.change(1, vec![promote(4), promote(5), remove(2), remove(3)], None);
        cluster.deliver(|packet| packet.from == 1);
        cluster.take(|_| true);
        cluster.campaign(candidate);
        for _ in 0..2 {
            cluster
                .deliver(|packet| matches!(packet.message.body, Body::Vote { .. } | Body::VoteReply { .. }));
        }
        assert_eq!(role(&cluster, candidate), RoleName::Leader, "{candidate}");
    }
}

/// 6: agreement, for elections and for entries, needs separate majorities of the old and of the new configuration.
#[test]
fn while_joint_an_entry_needs_both_majorities() {
    for (acknowledge, commits) in [(vec![2, 3], false), (vec![4, 5], false), (vec![2, 4], true)] {
        let mut cluster = with_learners(3, &[4, 5]);
        let ticket = cluster.change(1, vec![promote(4), promote(5), remove(2), remove(3)], None);
        acknowledge.iter().for_each(|id| talk(&mut cluster, 1, *id));
        assert_eq!(!cluster.answers(ticket).is_empty(), commits, "{acknowledge:?}");
    }
}

/// 6: the same for elections.
#[test]
fn while_joint_an_election_needs_both_majorities() {
    for (votes, wins) in [(vec![3, 6], false), (vec![4, 5], false), (vec![3, 4, 5], true)] {
        let mut cluster = with_learners(3, &[4, 5, 6]);
        cluster.change(1, vec![promote(4), promote(5), promote(6), remove(1), remove(3)], None);
        cluster.deliver(|packet| packet.from == 1);
        cluster.take(|_| true);
        cluster.crash(1);
        cluster.campaign(2);
        votes.iter().for_each(|id| talk(&mut cluster, 2, *id));
        assert_eq!(role(&cluster, 2) == RoleName::Leader, wins, "{votes:?}");
    }
}

/// 6: so the cluster goes on serving its clients throughout the change.
#[test]
fn clients_are_served_throughout_the_change() {
    let mut cluster = with_learners(3, &[4]);
    let change = cluster.change(1, vec![promote(4), remove(3)], None);
    let joint = cluster.propose(1, &["while joint"]);
    talk(&mut cluster, 1, 2);
    talk(&mut cluster, 1, 4);
    let after = cluster.propose(1, &["after it"]);
    cluster.settle();
    for ticket in [change, joint, after] {
        assert!(matches!(cluster.answers(ticket)[..], [Answer::Committed(_)]), "t{ticket}");
    }
}

/// 6: a server uses the latest configuration in its log for all decisions, committed or not.
#[test]
fn the_latest_configuration_in_the_log_is_in_force_committed_or_not() {
    let mut cluster = with_learners(3, &[4]);
    cluster.change(1, vec![promote(4)], None);
    assert!(cluster.status(1).membership_at > cluster.status(1).commit);
    assert_eq!(standing(&cluster, 1, 4), Some(Standing::Joining));
    cluster.deliver(|packet| packet.to == 2);
    assert_eq!(standing(&cluster, 2, 4), Some(Standing::Joining));
    assert_eq!(standing(&cluster, 3, 4), Some(Standing::Learner));
}

/// 4.1 of the dissertation: so a server must be able to fall back to the previous configuration when the entry is
/// removed from its log.
#[test]
fn a_removed_entry_takes_its_configuration_with_it() {
    let mut cluster = led(3);
    cluster.isolate(1);
    cluster.change(1, vec![remove(3)], None);
    assert_eq!(standing(&cluster, 1, 3), Some(Standing::Leaving));
    elect(&mut cluster, 2);
    cluster.heal();
    spread(&mut cluster, 2);
    assert_eq!(standing(&cluster, 1, 3), Some(Standing::Voter));
}

/// 6: the leader uses the rules of the joint configuration to tell when the joint configuration itself is committed.
#[test]
fn the_joint_entry_is_committed_by_its_own_rules() {
    let mut cluster = with_learners(1, &[2, 3]);
    let ticket = cluster.change(1, vec![promote(2), promote(3)], None);
    assert!(cluster.answers(ticket).is_empty(), "server 1 alone was a quorum of the old configuration");
    talk(&mut cluster, 1, 2);
    assert!(matches!(cluster.answers(ticket)[..], [Answer::Committed(_)]));
}

/// 6: if the leader crashes, a new one may be chosen under the old or the joint configuration, depending on whether the
/// winner has the joint entry.
#[test]
fn after_a_crash_the_winner_decides_which_configuration_goes_on() {
    for has_it in [true, false] {
        let mut cluster = with_learners(3, &[4]);
        cluster.change(1, vec![promote(4)], None);
        cluster.deliver(|packet| packet.to == 2 && has_it);
        cluster.take(|_| true);
        cluster.crash(1);
        cluster.campaign(2);
        cluster.settle();
        assert_eq!(role(&cluster, 2), RoleName::Leader);
        let expected = if has_it { Standing::Voter } else { Standing::Learner };
        assert_eq!(standing(&cluster, 2, 4), Some(expected));
    }
}

/// 6: once the joint entry is committed, only servers that have it can be elected.
#[test]
fn once_joint_is_committed_only_servers_with_it_can_be_elected() {
    let mut cluster = with_learners(3, &[4]);
    let ticket = cluster.change(1, vec![promote(4)], None);
    for id in [2, 4] {
        talk(&mut cluster, 1, id);
    }
    assert!(matches!(cluster.answers(ticket)[..], [Answer::Committed(_)]));
    cluster.take(|_| true);
    cluster.crash(1);
    for _ in 0..3 {
        cluster.campaign(3);
        cluster.settle();
        assert_ne!(role(&cluster, 3), RoleName::Leader);
    }
    elect(&mut cluster, 2);
}

/// 6: it is then safe to append the new configuration, by whichever leader sees the joint one committed.
#[test]
fn the_next_leader_completes_the_change() {
    let mut cluster = with_learners(3, &[4]);
    cluster.change(1, vec![promote(4), remove(1)], None);
    cluster.deliver(|packet| packet.from == 1);
    cluster.take(|_| true);
    cluster.crash(1);
    cluster.campaign(2);
    cluster.settle();
    assert_eq!(membership(&cluster, 2).voters().map(|id| id.0).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(!membership(&cluster, 2).is_joint());
}

/// 6: when the new configuration is committed under its own rules, the servers that are not in it can be shut down.
#[test]
fn removed_servers_can_be_shut_down_once_the_new_configuration_is_committed() {
    let mut cluster = led(3);
    cluster.change(1, vec![remove(2), remove(3)], None);
    talk(&mut cluster, 1, 2);
    assert_eq!(membership(&cluster, 1).voters().collect::<Vec<_>>(), [NodeId(1)]);
    cluster.crash(2);
    cluster.crash(3);
    let ticket = cluster.propose(1, &["x"]);
    assert!(matches!(cluster.answers(ticket)[..], [Answer::Committed(_)]), "server 1 alone decides");
}

/// 6: they are told, and stop by themselves.
#[test]
fn a_removed_server_is_told_and_stops() {
    let mut cluster = led(3);
    cluster.change(1, vec![remove(3)], None);
    cluster.settle();
    let halted = |event: &Event| matches!(event, Event::Halt { at: 3, report: Report::Removed { .. } });
    assert!(cluster.events.iter().any(halted));
    assert!(cluster.status(3).halted && !cluster.status(2).halted);
}

/// 6: a leader that is not in the new configuration steps down once that is committed.
#[test]
fn a_leader_that_removed_itself_steps_down_when_that_is_committed() {
    let mut cluster = led(3);
    cluster.change(1, vec![remove(1)], None);
    cluster.deliver(|packet| packet.from == 1);
    cluster.deliver(|packet| packet.to == 1);
    assert_eq!(standing(&cluster, 1, 1), None);
    assert_eq!(role(&cluster, 1), RoleName::Leader, "its removal is not committed yet");
    cluster.settle();
    assert_ne!(role(&cluster, 1), RoleName::Leader);
}

/// 6: while that is being committed it manages a cluster that it is not in: it replicates, and doesn't count itself.
#[test]
fn a_leader_that_removed_itself_does_not_count_itself() {
    let mut cluster = led(3);
    cluster.change(1, vec![remove(1)], None);
    talk(&mut cluster, 1, 2);
    talk(&mut cluster, 1, 3);
    let settled = cluster.status(1).membership_at;
    assert_eq!(standing(&cluster, 1, 1), None);
    assert!(cluster.status(1).durable >= settled);
    talk(&mut cluster, 1, 2);
    assert!(cluster.status(1).commit < settled, "2 alone is no majority of 2 and 3");
    talk(&mut cluster, 1, 3);
    assert_eq!(cluster.status(1).commit, settled);
}

/// Dissertation 4.2.2: until then it, or whoever its latest configuration is without, may still be needed: it goes on
/// to start elections.
#[test]
fn a_server_whose_removal_is_not_committed_still_campaigns() {
    let mut cluster = led(2);
    cluster.change(1, vec![remove(1)], None);
    talk(&mut cluster, 1, 2);
    cluster.take(|_| true);
    assert_eq!(standing(&cluster, 1, 1), None);
    cluster.crash(1);
    cluster.restart(1);
    cluster.tick(1, 40);
    cluster.settle();
    cluster.settle();
    spread(&mut cluster, 1);
    let settled = [1, 2].map(|id| cluster.status(id).commit).into_iter().max();
    assert!(settled > Some(Index(3)), "only server 1 has the entry: it must be elected to get it committed");
}

/// Dissertation 4.2.2: a server that is no voter by its own log may be needed, too, and starts an election. Here only if a
/// candidate takes it for a voter that it must refuse, since its log is newer (5.4.1): a lost leader has given its first
/// entry to it alone.
#[test]
fn a_server_without_a_vote_campaigns_if_it_must_refuse_who_takes_it_for_a_voter() {
    let mut cluster = with_learners(3, &[4]);
    cluster.isolate(1);
    cluster.change(1, vec![promote(4)], None);
    cluster.campaign(2);
    talk(&mut cluster, 2, 3);
    assert_eq!(role(&cluster, 2), RoleName::Leader);
    talk(&mut cluster, 2, 4);
    cluster.take(|_| true);
    cluster.crash(2);
    cluster.heal();
    cluster.tick(1, 2);
    cluster.settle();
    assert_eq!(role(&cluster, 1), RoleName::Follower, "it was told of the newer term");
    assert_eq!(standing(&cluster, 4, 4), Some(Standing::Learner));
    let newest = cluster.status(4).last.index.0;
    cluster.tick(4, 40);
    assert_eq!(term(&cluster, 4), 2, "so far nobody has taken it for a voter");
    for id in [3, 1] {
        cluster.campaign(id);
        cluster.settle();
        assert_ne!(role(&cluster, id), RoleName::Leader, "{id} is refused by who has more");
    }
    cluster.tick(4, 40);
    cluster.settle();
    for id in [1, 3] {
        assert!(commit(&cluster, id) >= newest, "what 4 alone had is committed");
    }
}

/// Dissertation 4.3 and Ongaro 2015: a change begins only after the previous one is committed, and after the leader has
/// committed an entry of its own term.
#[test]
fn one_change_at_a_time_and_none_before_the_own_term_is_committed() {
    let mut cluster = with_learners(3, &[4]);
    cluster.change(1, vec![promote(4)], None);
    let second = cluster.change(1, vec![remove(3)], None);
    assert!(matches!(cluster.answers(second)[..], [Answer::Refused(Refusal::InProgress { .. })]));
    cluster.settle();
    cluster.campaign(2);
    for _ in 0..2 {
        cluster.deliver(|packet| matches!(packet.message.body, Body::Vote { .. } | Body::VoteReply { .. }));
    }
    assert_eq!(role(&cluster, 2), RoleName::Leader);
    let early = cluster.change(2, vec![remove(3)], None);
    assert_eq!(cluster.answers(early), [Answer::Refused(Refusal::TermNotCommitted)]);
    cluster.settle();
    let later = cluster.change(2, vec![remove(3)], None);
    cluster.settle();
    assert!(matches!(cluster.answers(later)[..], [Answer::Committed(_)]));
}

/// Three servers with the dissertation's precautions, of which the third was removed and doesn't know it.
fn with_a_removed_server(pre_vote: bool) -> Cluster {
    let mut cluster = Cluster::with(3, |config| config.pre_vote = pre_vote);
    elect(&mut cluster, 1);
    cluster.isolate(3);
    cluster.change(1, vec![remove(3)], None);
    cluster.settle();
    cluster.heal();
    cluster.events.clear();
    cluster
}

/// 6, dissertation 4.2.3: a server that hears a leader disregards requests for votes: it neither takes the term nor
/// votes. So removed servers can't disturb the cluster.
#[test]
fn a_removed_server_cannot_depose_a_leader_that_is_heard() {
    for pre_vote in [false, true] {
        let mut cluster = with_a_removed_server(pre_vote);
        cluster.take(|packet| matches!(packet.message.body, Body::Removed { .. }));
        cluster.tick(3, 40);
        for packet in cluster.take(|packet| packet.from == 3) {
            cluster.receive(packet);
        }
        assert_eq!((role(&cluster, 1), term(&cluster, 1), term(&cluster, 2)), (RoleName::Leader, 1, 1));
    }
}

/// 6: as long as the leader's heartbeats come through, it isn't deposed by larger terms.
#[test]
fn heartbeats_keep_a_leader_in_spite_of_larger_terms() {
    let mut cluster = with_a_removed_server(false);
    // What it is told is lost: it goes on for ever.
    cluster.cut(1, 3);
    cluster.cut(2, 3);
    for _ in 0..20 {
        cluster.tick(1, 2);
        cluster.settle();
        cluster.tick(2, 2);
        cluster.tick(3, 40);
        cluster.settle();
    }
    assert_eq!((role(&cluster, 1), term(&cluster, 1)), (RoleName::Leader, 1));
    assert!(term(&cluster, 3) > 10, "it tried again and again");
}

/// Dissertation 4.2.3: that precaution must not stand in the way of elections that are needed: a voter that has heard
/// nothing for the minimal election timeout votes.
#[test]
fn a_voter_that_hears_no_leader_votes() {
    let mut cluster = Cluster::new(3);
    elect(&mut cluster, 1);
    cluster.isolate(1);
    cluster.tick(3, 9);
    cluster.tick(2, 40);
    cluster.settle();
    assert_ne!(role(&cluster, 2), RoleName::Leader, "3 has heard the leader 9 ticks ago");
    cluster.tick(3, 1);
    cluster.tick(2, 40);
    cluster.settle();
    assert_eq!(role(&cluster, 2), RoleName::Leader);
}

/// Dissertation 4.2.3: a server that was removed and stands alone, ever again, disrupts nobody; nor does what it gives to one whose
/// disk has lost it. Section 5.1: without a leader that is heard, its later term counts like any other.
#[test]
fn who_gives_a_snapshot_disrupts_no_leader() {
    let mut cluster = Cluster::with(3, |config| {
        plainly(config);
        (config.check_quorum, config.limits.snapshot_entries, config.limits.retain_entries) = (true, 2, 0);
    });
    elect(&mut cluster, 1);
    cluster.hold(3, Work::Capture, true);
    cluster.propose(1, &["a", "lost on 3"]);
    cluster.settle();
    spread(&mut cluster, 1);
    let last = cluster.status(3).last.index;
    cluster.crash(3);
    cluster.decay(3, last);
    cluster.hold(1, Work::Fetch, true);
    cluster.cut(1, 2);
    cluster.cut(2, 1);
    cluster.restart(3);
    spread(&mut cluster, 1);
    cluster.tick(2, 30);
    cluster.settle();
    assert!(term(&cluster, 2) > term(&cluster, 1));
    cluster.events.clear();
    cluster.tick(3, 2);
    cluster.settle();
    assert!(sent(&cluster).iter().any(|packet| matches!(packet.message.body, Body::Piece { .. })));
    assert_eq!(
        (term(&cluster, 3), cluster.status(3).leader, role(&cluster, 1)),
        (1, Some(NodeId(1)), RoleName::Leader)
    );
    cluster.crash(1);
    for _ in 0..30 {
        cluster.tick(3, 2);
        cluster.settle();
    }
    assert!(term(&cluster, 3) >= term(&cluster, 2));
    assert_eq!((cluster.status(3).decayed, cluster.status(3).base.index), (0, last));
}
