//! The kit passes a storage that is right, and finds each mistake in one that isn't: the checker is checked.

#![allow(clippy::unwrap_used, reason = "this is test code, too")]

mod reference;

use raft_kit::{Memory, Settings, run};
use reference::{Mistake, Reference};

/// What a disk lies about, and the names of that.
type Lie = (&'static str, fn(&str) -> bool);

/// Runs the reference.
fn tried(mistake: Option<Mistake>, settings: &Settings) -> Result<raft_kit::Report, Box<raft_kit::Failure>> {
    run(&Reference(mistake), &mut Memory::default(), &mut Memory::default(), settings)
}

#[test]
fn a_right_storage_passes() {
    let report = tried(None, &Settings::default()).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{report}");
    let tried = [
        report.starts,
        report.together,
        report.truncations,
        report.bases,
        report.idle,
        report.releases,
        report.captured,
        report.installed,
        report.cut,
    ];
    assert!(tried.iter().all(|count| *count > 0), "something was never tried: {report}");
}

#[test]
fn each_mistake_is_found() {
    let missed: Vec<Mistake> = Mistake::ALL
        .into_iter()
        .filter(|mistake| match tried(Some(*mistake), &Settings { seeds: 0..100, ..Settings::default() }) {
            Ok(_) => true,
            Err(failure) => {
                println!("{mistake:?}: {failure}");
                false
            }
        })
        .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn a_disk_that_lies_is_found() {
    let lies: &[Lie] = &[
        ("the directory", str::is_empty),
        ("the log", |name| name == "log"),
        ("the rewritten log", |name| name == "log.new"),
        ("snapshots", |name| name == "snapshot.new"),
    ];
    for &(about, lies) in lies {
        let failure = tried(None, &Settings { lies, ..Settings::default() }).unwrap_err();
        println!("a disk that lies about {about}: {failure}");
    }
}
