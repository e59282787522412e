//! The exhaustive search within bounds that take seconds: nothing falls, and what is left out of it changes nothing.
//! In the build with planted bugs: it finds them, each by the shortest way.

use raft_sim::exhaust::{Bounds, Found, search};

const MOST: u64 = 20_000_000;

fn look(bounds: &Bounds) -> Found {
    let found = search(bounds, MOST, |_| true);
    println!("{}: {bounds}: {found}", bounds.name);
    found
}

#[cfg(not(feature = "planted"))]
mod sound {
    use super::*;
    use raft_sim::exhaust::{Kind, named};

    /// Everything was tried, nothing fell, and so much came about.
    fn safe(bounds: &Bounds, leaders: u64, committed: u64) -> Found {
        let found = look(bounds);
        if let Some(fall) = &found.fall {
            panic!("{} fell: {}\n{}", fall.invariant, fall.said, fall.path);
        }
        assert!(found.complete, "{found}");
        assert_eq!((found.leaders, found.committed), (leaders, committed), "{found}");
        found
    }

    fn bounds(name: &str) -> Bounds {
        named().into_iter().find(|bounds| bounds.name == name).expect("there are such bounds")
    }

    #[test]
    fn three_servers_elect() {
        safe(&bounds("votes"), 2, 3);
    }

    #[test]
    fn three_servers_write() {
        safe(&bounds("writes"), 3, 5);
    }

    #[test]
    fn two_servers_crash() {
        safe(&bounds("pair"), 2, 4);
    }

    #[test]
    fn members_change_and_leadership_is_handed_over() {
        safe(&bounds("grow"), 2, 7);
        safe(&bounds("shrink"), 3, 6);
        safe(&bounds("leave"), 3, 6);
        safe(&bounds("handover"), 3, 4);
    }

    /// What a node calls inert never matters again; and a lost message is as good as one that is never delivered.
    #[test]
    fn what_is_left_out_changes_nothing() {
        let small = [
            Bounds::of("two", 2).with(Kind::Campaign, 2).with(Kind::Crash, 1),
            Bounds::of("three", 3).with(Kind::Campaign, 1).with(Kind::Propose, 1),
        ];
        for bounds in small {
            let plain = look(&bounds);
            for more in [Bounds { inert: true, ..bounds.clone() }, Bounds { losses: true, ..bounds.clone() }]
            {
                let found = look(&more);
                assert!(plain.complete && found.complete);
                assert!(found.states > plain.states, "more is on its way, or less");
                assert_eq!((found.servers, found.combinations), (plain.servers, plain.combinations));
            }
        }
    }

    /// That server 1 campaigns first stands for all that follows if another one does.
    #[test]
    fn servers_are_alike_at_the_beginning() {
        let one = Bounds::of("one", 3).with(Kind::Campaign, 1).with(Kind::Propose, 1);
        let any = Bounds { any_first: true, ..one.clone() };
        let (one, any) = (look(&one), look(&any));
        assert!(one.complete && any.complete);
        assert_eq!(any.states - 1, 3 * (one.states - 1));
    }
}

#[cfg(feature = "planted")]
mod planted {
    use super::*;
    use raft_sim::exhaust::{Fall, named};
    use raft_sim::planted::Bug;
    use raft_sim::runner::catch_panics;

    /// The bounds within which a bug is found, and the invariant that falls.
    const TABLE: [(Bug, &str, &str); 12] = [
        (Bug::HalfIsQuorum, "pair", "commit_quorum"),
        (Bug::VoteBeforeDurable, "pair", "durable_before_sent"),
        (Bug::AckBeforeDurable, "pair", "durable_before_sent"),
        (Bug::LeaderCountsEarly, "pair", "commit_quorum"),
        (Bug::CampaignBeforeDurable, "pair", "durable_before_sent"),
        (Bug::TruncateBeforeCompare, "pair", "commit_quorum"),
        (Bug::VoteForgotten, "votes", "one_vote"),
        (Bug::ApplyBeforeDurable, "votes", "durable_before_sent"),
        (Bug::LearnerCounts, "grow", "commit_quorum"),
        (Bug::OneHalfDecides, "grow", "commit_quorum"),
        (Bug::LeavesJointEarly, "grow", "commit_quorum"),
        (Bug::HalfIsQuorum, "leave", "commit_quorum"),
    ];

    fn find(bug: Bug, name: &str) -> Fall {
        let bounds = named().into_iter().find(|bounds| bounds.name == name).expect("there are such bounds");
        let found = look(&bounds.planted(bug).expect("this build has planted bugs"));
        found.fall.unwrap_or_else(|| panic!("{bug:?} is not found within the bounds {name}"))
    }

    #[test]
    fn planted_bugs_are_found() {
        catch_panics();
        for (bug, name, invariant) in TABLE {
            let fall = find(bug, name);
            println!("{bug:?}: {} fell: {}\n{}", fall.invariant, fall.said, fall.path);
            assert_eq!(fall.invariant, invariant, "{bug:?}");
        }
    }

    #[test]
    fn the_shortest_way_is_told_as_a_scenario() {
        let path = "\
> cluster 2 pre-vote=off check-quorum=off
> slow 1
> slow 2
> campaign 1
1 persist #2 boot=1 term=1 vote=1
> persist 1 #2
1->2 Vote term=1 last=0@0
# 1->2 Vote term=1 last=0@0
> deliver 1->2 Vote
2->1 VoteReply term=1 granted
2 persist #2 boot=1 term=1 vote=1
";
        assert_eq!(find(Bug::VoteBeforeDurable, "pair").path, path);
    }
}
