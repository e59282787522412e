//! Files of runs that failed once. With what is planted in it, a run still falls by the invariant that its file names;
//! without, and if the file names none, it is clean.

use raft_sim::case::Case;
use raft_sim::trace::Reader;

fn fallen(case: &Case) -> Option<&'static str> {
    case.play(Reader::Nobody, false).run(Reader::Nobody).failure.map(|failure| failure.invariant())
}

#[test]
fn what_failed_once_is_clean_and_still_exposes_its_bug() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/regressions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let (name, text) = (file.display(), std::fs::read_to_string(&file).unwrap());
        let parse = |text: &str| Case::parse(text).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        let honest: String =
            text.lines().filter(|line| !line.starts_with("planted:")).flat_map(|line| [line, "\n"]).collect();
        let honest = parse(&honest);
        assert!(!honest.story.is_empty(), "{name}: no line tells the story");
        assert_eq!(fallen(&honest), None, "{name}");
        if raft_core::planted::COMPILED_IN && honest.falls.is_some() {
            assert_eq!(fallen(&parse(&text)), honest.falls.as_deref(), "{name}");
        }
    }
}
