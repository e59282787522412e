//! Every curl line of `docs/http.md` is run, and every route is there.

use crate::cluster::Cluster;
use crate::document::described;
use std::collections::BTreeSet;
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/http.md");

/// Method and path of a curl line.
fn asks(line: &str) -> (String, String) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |flag| words.iter().position(|word| *word == flag).map(|at| words[at + 1]);
    let method = after("-X").unwrap_or(if words.contains(&"-d") { "POST" } else { "GET" });
    let url =
        words.iter().map(|word| word.trim_matches('\'')).find_map(|word| word.strip_prefix("localhost:9000"));
    let path = url.and_then(|url| url.split('?').next()).expect("a line asks this node");
    (method.to_string(), path.to_string())
}

#[test]
fn every_line_answers_as_the_page_says() {
    let cluster = Cluster::started(1);
    let mut asked = BTreeSet::new();
    for line in PAGE.lines().filter(|line| line.starts_with("curl ")) {
        let (command, expected) = line.rsplit_once('#').unwrap_or_else(|| panic!("no status behind: {line}"));
        let flags = "curl --silent --show-error --output /dev/null --write-out '%{http_code}' ";
        let script = command.replacen("curl ", flags, 1).replace("localhost:9000", &cluster.apis[0]);
        let ran = Command::new("sh").args(["-c", &script]).output().expect("a shell starts");
        let status = String::from_utf8_lossy(&ran.stdout);
        assert_eq!(status, expected.trim(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
        asked.insert(asks(command));
    }
    for (method, template, fits) in described() {
        let found = asked.iter().any(|(by, path)| *by == method && fits(path));
        assert!(found, "docs/http.md has no line for {method} {template}");
    }
}
