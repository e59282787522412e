//! Rules of style that are counted: a file has at most 500 lines, a function at most 70 (CONTRIBUTING.md says why).
//! The limits only ever go down.
#![allow(clippy::unwrap_used)] // a file that can't be read fails the test

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

const CURE: &str = "it owns two ideas: find the second one, and give it a name and a place of its own";

/// The workspace's members, and where they keep their code.
const MEMBERS: [&str; 6] = ["raft-core", "raft-machine", "raft-sim", "raft-kit", "raft-http", "fuzz"];
const FOLDERS: [&str; 4] = ["src", "tests", "examples", "fuzz_targets"];

/// All Rust files below a folder, in order. A folder that isn't there has none.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The name of the function that this line begins, if it begins one.
fn function(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let modifier = |word: &str| {
        let quoted = word.starts_with('"');
        quoted || word.starts_with("pub") || matches!(word, "const" | "async" | "unsafe" | "extern" | "in")
    };
    let first = words.by_ref().find(|word| !modifier(word) && !word.ends_with(')'))?;
    let name = words.next().filter(|_| first == "fn")?;
    name.split(['(', '<']).next()
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// How many lines the function has that begins with the first of these: up to the brace that closes it, which rustfmt
/// puts below its beginning, or to the semicolon of one without a body.
fn length(lines: &[&str]) -> usize {
    let ends = |line: &str| line.ends_with('}') || line.ends_with(';');
    let Some((first, rest)) = lines.split_first() else { return 0 };
    if ends(first) {
        return 1;
    }
    let depth = indentation(first);
    let last = |line: &&str| !line.is_empty() && indentation(line) == depth && ends(line);
    rest.iter().position(last).map_or(lines.len(), |at| at + 2)
}

/// What is too long in a file, each with its cure.
fn offences(name: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    if lines.len() > FILE_LINES {
        let count = lines.len();
        found.push(format!("{name} has {count} lines, {FILE_LINES} are allowed; {CURE}"));
    }
    for (at, line) in lines.iter().enumerate() {
        let Some(function) = function(line) else { continue };
        let count = length(&lines[at..]);
        if count > FUNCTION_LINES {
            let place = format!("{name}:{}: fn {function}", at + 1);
            found.push(format!("{place} has {count} lines, {FUNCTION_LINES} are allowed; {CURE}"));
        }
    }
    found
}

#[test]
fn sizes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for member in MEMBERS {
        let before = files.len();
        for folder in FOLDERS {
            rust_files(&root.join(member).join(folder), &mut files);
        }
        assert!(files.len() > before, "{member} has no Rust file: is the list of members right?");
    }
    let mut found = Vec::new();
    for path in &files {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        found.extend(offences(&name, &fs::read_to_string(path).unwrap()));
    }
    assert!(found.is_empty(), "too long:\n{}", found.join("\n"));
}

/// A function of so many lines, indented by so many spaces.
fn synthetic(head: &str, lines: usize, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let body = format!("{margin}    if x {{\n{margin}    }}\n").repeat((lines - 2) / 2);
    let odd = format!("{margin}    y();\n").repeat(lines % 2);
    format!("{margin}{head} {{\n{body}{odd}{margin}}}\n")
}

#[test]
fn a_function_of_71_lines_is_found() {
    let heads = [
        "fn long()",
        "pub fn long<T>(it: T) -> T",
        "pub(crate) async fn long()",
        "pub(in crate::a) const unsafe fn long()",
        "extern \"C\" fn long()",
    ];
    for (head, indent) in heads.into_iter().zip([0, 4, 8, 4, 0]) {
        let text = |lines| format!("fn one() {{}}\n{}fn next() {{\n}}\n", synthetic(head, lines, indent));
        assert_eq!(offences("a.rs", &text(70)), [""; 0], "{head}");
        let found = offences("a.rs", &text(71));
        assert_eq!(found, [format!("a.rs:2: fn long has 71 lines, 70 are allowed; {CURE}")], "{head}");
    }
}

#[test]
fn a_head_of_many_lines_belongs_to_its_function_and_a_function_without_a_body_ends() {
    let body = "    y();\n".repeat(67);
    let text = format!("fn long(\n    a: u8,\n) -> u8 {{\n{body}}}\n");
    assert_eq!(offences("a.rs", &text).len(), 1, "3 + 67 + 1 lines");
    let declared = format!("    fn long(\n        a: u8,\n    ) -> u8;\n{}", "    // nothing\n".repeat(99));
    assert_eq!(offences("a.rs", &declared), [""; 0]);
    assert_eq!(function("    // fn in prose"), None);
    assert_eq!(function("let a: fn(u8) -> u8 = b;"), None);
}

#[test]
fn a_file_of_501_lines_is_found() {
    let text = |lines| "//\n".repeat(lines);
    assert_eq!(offences("a.rs", &text(500)), [""; 0]);
    assert_eq!(offences("a.rs", &text(501)), [format!("a.rs has 501 lines, 500 are allowed; {CURE}")]);
}
