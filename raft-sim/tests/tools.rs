//! What a person uses to understand a failure: it shrinks, replays, is explained and drawn; and exploration's recipes
//! are runs that can be had again.

use raft_sim::case::{Case, Fork, Origin};
use raft_sim::explain::explain;
use raft_sim::explore::{self, explore};
use raft_sim::planted::{Lie, Planted, Row, TABLE, search};
use raft_sim::shrink::{Effort, Shrunk, shrink};
use raft_sim::trace::Reader;
use raft_sim::view::view;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A file that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        Scratch(std::env::temp_dir().join(format!("raft-sim-{}-{name}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn raft_sim(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_raft-sim")).args(arguments).output();
    let output = output.expect("it was built for this test");
    let text = String::from_utf8(output.stdout.clone()).expect("it prints text");
    (output, text)
}

/// A seed that a planted bug fails, found as the swarm finds it.
fn failing(planted: Planted) -> Case {
    raft_sim::runner::catch_panics();
    let row: &Row = TABLE.iter().find(|row| row.planted == planted).expect("it stands in the table");
    let exposed = search(row, 0, 400).exposed.expect("the swarm finds it");
    Case { planted: Some(planted), ..Case::seed(exposed.seed) }
}

fn fallen(case: &Case) -> Option<String> {
    let failure = case.play(Reader::Nobody, false).run(Reader::Nobody).failure;
    failure.map(|failure| failure.invariant().to_string())
}

/// Shrinks to a twenty-fifth of the choices at least (mostly to a thousandth, given more tries), and still fails by the same invariant, also from its file.
fn shrinks(case: &Case) -> Shrunk {
    let before = fallen(case);
    let effort = Effort { tries: 1_200, limit: None, jobs: 2 };
    let shrunk = shrink(case, "a seed", effort).expect("it fails");
    println!("{}\n{} tries\n{}", shrunk.said, shrunk.tries, shrunk.case);
    assert!(shrunk.after.choices * 25 <= shrunk.before.choices, "{}", shrunk.said);
    assert_eq!(fallen(&shrunk.case), before);
    let read = Case::parse(&shrunk.case.to_string()).expect("it was written as it is read");
    assert_eq!(fallen(&read), before);
    assert_eq!(shrunk.case.falls, before);
    shrunk
}

#[test]
fn the_jobs_decide_nothing() {
    let case = failing(Planted::Driver(Lie::CutsDecay));
    let shrunk = |jobs| shrink(&case, "a seed", Effort { tries: 300, limit: None, jobs }).unwrap();
    let (alone, together) = (shrunk(1), shrunk(3));
    assert_eq!((alone.case, alone.tries), (together.case, together.tries));
}

#[test]
fn a_failure_of_a_lying_driver_shrinks_and_replays() {
    let shrunk = shrinks(&failing(Planted::Driver(Lie::CutsDecay)));
    let file = Scratch::new("lie.shrunk");
    std::fs::write(&file.0, shrunk.case.to_string()).unwrap();
    let (output, said) = raft_sim(&["replay", file.path()]);
    assert!(matches!(output.status.code(), Some(10 | 13)), "{said}");
    let falls = shrunk.case.falls.unwrap();
    assert!(said.contains(&format!("{falls} fell, as the file says")), "{said}");
    assert!(said.contains("view:") && said.contains("explain:") && said.contains("shrink:"), "{said}");
    let (output, said) = raft_sim(&["replay", "--honest", file.path()]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("it didn't"), "{said}");
}

#[cfg(feature = "planted")]
#[test]
fn failures_of_planted_bugs_shrink() {
    use raft_sim::planted::Bug;
    for bug in [Bug::CommitOldTerm, Bug::CommitByOwnLast] {
        shrinks(&failing(Planted::Core(bug)));
    }
}

#[test]
fn what_doesnt_fail_is_not_shrunk() {
    let calm = Case::parse("raft-sim tape 1\n").unwrap();
    let effort = Effort { tries: 10, limit: None, jobs: 1 };
    assert!(shrink(&calm, "calm", effort).unwrap_err().contains("nothing falls"));
    let other = Case { falls: Some("luck".into()), ..failing(Planted::Driver(Lie::CutsDecay)) };
    assert!(shrink(&other, "other", effort).unwrap_err().contains("not luck"));
}

#[test]
fn a_failure_is_explained_on_two_screens() {
    let case = failing(Planted::Driver(Lie::CutsDecay));
    let (said, code) = explain(&case, 30);
    assert!([10, 13].contains(&code));
    let falls = fallen(&case).unwrap();
    assert!(said.starts_with(&format!("{falls} fell")), "{said}");
    assert!(said.contains(&format!("the facts that contradict each other:\n  {falls} fell at")), "{said}");
    assert!(said.contains("->"), "messages are in the notation of the golden scenarios: {said}");
    assert!(said.contains("\n1 ") && said.contains(" term=") && said.contains("\nindex"), "{said}");
    assert!(said.lines().count() <= 30 + 30, "{} lines:\n{said}", said.lines().count());
}

#[test]
fn a_page_holds_the_last_steps_and_needs_nothing_else() {
    let case = failing(Planted::Driver(Lie::CutsDecay));
    let steps = 300;
    let (page, code) = view(&case, steps);
    assert!([10, 13].contains(&code));
    let data = page.split_once("type=\"application/json\">").unwrap().1.split_once("</script>").unwrap().0;
    let data: Value = serde_json::from_str(data).unwrap();
    let moments = data["steps"].as_array().unwrap();
    assert!(!moments.is_empty() && moments.len() <= steps, "{}", moments.len());
    let place = |value: &Value| usize::try_from(value.as_i64().unwrap()).ok();
    for arrow in data["arrows"].as_array().unwrap() {
        let words = |step: usize| moments[step][3].as_str().unwrap();
        let (kind, ends) = (arrow[0].as_str().unwrap(), format!("{}->{} ", arrow[1], arrow[2]));
        let heard = arrow[4].as_array().unwrap().iter().filter_map(place);
        for step in place(&arrow[3]).into_iter().chain(heard) {
            assert!(words(step).contains(&format!("{ends}{kind} ")), "{arrow} at {}", words(step));
        }
    }
    let nodes = data["nodes"].as_u64().unwrap();
    for node in 1..=nodes {
        let mut states = data["states"].as_array().unwrap().iter().filter(|state| state[1] == node);
        assert_eq!(
            states.next().map(|state| &state[0]),
            Some(&Value::from(0)),
            "node {node} has a beginning"
        );
    }
    assert!(data["said"].as_str().unwrap().starts_with(&fallen(&case).unwrap()));
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for elsewhere in ["http:", "https:", "src=", "href", "import ", "@import", "fetch(", "url(//"] {
        assert!(!page.contains(elsewhere), "the page refers to {elsewhere}");
    }
}

#[test]
fn a_recipe_of_an_exploration_gives_the_same_trace_again() {
    raft_sim::runner::catch_panics();
    let explored = explore(explore::Plan { first: 0, runs: 64, limit: None, jobs: 2 });
    println!("{}", explored.told());
    assert!(explored.plain.inputs >= explored.explored.inputs, "they are compared by inputs");
    let (case, hash) = explored.proof.expect("every sixth run from a fork is run to its end");
    assert!(case.plain_seed().is_none());
    assert_eq!(case.play(Reader::Nobody, false).run(Reader::Nobody).hash, hash);
    let file = Scratch::new("explored.recipe");
    std::fs::write(&file.0, case.to_string()).unwrap();
    let (_, said) = raft_sim(&["replay", "--hash", file.path()]);
    assert_eq!(said.trim(), format!("{hash:016x}"));
}

#[test]
fn a_fork_takes_other_choices_and_its_tape_replays() {
    let fork = |stream| {
        let forks = vec![Fork { step: 3_000, stream }];
        Case::of(Origin::Recipe { seed: 2, forks }).play(Reader::Report, true).run(Reader::Report)
    };
    let (one, other) = (fork(1), fork(2));
    assert_ne!(one.hash, other.hash);
    let tape = Case::of(Origin::Tape(one.tape.unwrap()));
    assert_eq!(tape.play(Reader::Nobody, false).run(Reader::Nobody).hash, one.hash);
}

#[test]
fn a_mark_that_is_owed_and_missed_has_its_exit_code() {
    let (output, said) = raft_sim(&["cover", "--seeds", "2..3", "--jobs", "1"]);
    assert_eq!(output.status.code(), Some(20), "{said}");
    assert!(said.contains("never reached, though owed"), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for arguments in [
        ["replay", "no-such-file"].as_slice(),
        &["explain"],
        &["shrink", "--seed", "1", "file"],
        &["explore"],
        &["run", "--seed", "1", "--fork", "5"],
    ] {
        assert_eq!(raft_sim(arguments).0.status.code(), Some(2), "{arguments:?}");
    }
}
