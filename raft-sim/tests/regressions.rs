//! Files of runs that failed once. Most expose a bug: with what is planted in it, the run still falls by the invariant that
//! its file names, and without it is clean. The others show that a judge accepts an odd, legal history.

use raft_sim::case::Case;
use raft_sim::explain::explain;
use raft_sim::trace::Reader;
use std::path::{Path, PathBuf};

/// The files that show that a legal history is accepted, each with the step that a judge refused once.
const LEGAL: &[(&str, &str)] = &[
    ("given_up_before_halt.shrunk", "1 refuses to start: this data directory has lost what it had promised"),
    ("removed_before_founding.tape", "1 halt: NotOnRecord"),
    ("unread_is_not_sent.shrunk", "4138615 3 fetch 0..1 of 7850@33 for 2"),
    ("waits_longer_than_settling.shrunk", "1867024 3 answer t2579 committed 444@28"),
];

/// More steps than any of these runs has.
const ALL: usize = 1_000_000;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    files
}

fn fallen(case: &Case) -> Option<&'static str> {
    case.play(Reader::Nobody, false).run(Reader::Nobody).failure.map(|failure| failure.invariant())
}

#[test]
fn what_failed_once_is_clean_and_still_exposes_its_bug() {
    let (legal, exposing): (Vec<_>, Vec<_>) =
        files().into_iter().partition(|file| LEGAL.iter().any(|(name, _)| file.ends_with(name)));
    assert_eq!(legal.len(), LEGAL.len(), "{legal:?}");
    assert!(!exposing.is_empty());
    for file in legal.iter().chain(&exposing) {
        let (name, text) = (file.display(), std::fs::read_to_string(file).unwrap());
        let parse = |text: &str| Case::parse(text).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        let is_planted = |line: &&str| line.starts_with("planted:");
        let rest: Vec<&str> = text.lines().filter(|line| !is_planted(line)).collect();
        let honest = parse(&rest.join("\n"));
        assert!(!honest.story.is_empty(), "{name}: no line tells the story");
        assert_eq!(fallen(&honest), None, "{name}");
        let names_a_bug = honest.falls.is_some() && text.lines().any(|line| is_planted(&line));
        assert_eq!(names_a_bug, exposing.contains(file), "{name}: which bug falls by what? Or is it legal?");
        if raft_core::planted::COMPILED_IN && names_a_bug {
            assert_eq!(fallen(&parse(&text)), honest.falls.as_deref(), "{name}");
        }
    }
}

#[test]
fn the_odd_step_of_a_legal_history_still_happens() {
    for (name, step) in LEGAL {
        let file = files().into_iter().find(|file| file.ends_with(name)).expect("it is there");
        let case = Case::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        let (steps, code) = explain(&case, ALL);
        assert!(code == 0 && steps.contains(step), "{name}");
    }
}
