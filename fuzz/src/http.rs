//! Bytes of clients.

use raft_core::Index;
use raft_http::alone::Alone;
use raft_http::config::{Config, parse};
use raft_machine::{Machine, Record};
use serde_json::Value;
use std::path::Path;

/// What separates requests.
const SEPARATOR: u8 = 0x1e;

/// The highest number.
const LIMIT: &[u8] = b"18446744073709551615";

/// The settings of the node that is asked. Bounds are low, so that inputs reach them.
const SETTINGS: &str = r#"{
    "peers": ["localhost:8000"], "apis": ["localhost:9000"], "in_memory": true, "lease_reads": true,
    "max_body": "512B", "dedupe_keys": 4, "log_retention": 8, "max_proposal_bytes": "2KiB", "snapshot_entries": 20
}"#;

const WRITES: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

/// Asks a new node, one request after another: for each a line with method and target, lines of headers, an empty line
/// and a body. Then the same with every number at its limit. Every answer keeps what the contract says of all answers, and
/// what it says of a write is true. Accepted is what has a request that is answered well.
pub fn answer(data: &[u8]) -> bool {
    let given = parse(Path::new("peers.json"), SETTINGS.as_bytes()).expect("the settings are JSON");
    let config = Config::new(0, &given).expect("the settings are sound");
    let mut node = Alone::new(&config).expect("the settings are sound");
    let mut done = false;
    let stretched = at_the_limit(data);
    for request in [data, &stretched].into_iter().flat_map(|data| data.split(|byte| *byte == SEPARATOR)) {
        let Some((method, bytes)) = wire(request) else { continue };
        let before = Seen::of(&node.machine());
        let answer = node.ask(&bytes);
        // What was begun comes to its end, whether the client waits or not.
        node.ask(b"");
        let after = Seen::of(&node.machine());
        if let Some(answer) = Answer::read(&answer) {
            answer.check(&method, &before, &after);
            done |= answer.status < 300;
        }
    }
    done
}

/// The same with the highest number for each: what a client sends must not reach arithmetic that it overflows. What has a
/// unit or is a part of a word stays.
fn at_the_limit(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts = data.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()).peekable();
    while let Some(part) = parts.next() {
        let begins = out.last().is_some_and(|before| b"= :\"".contains(before));
        let ends =
            parts.peek().and_then(|next| next.first()).is_none_or(|next| b"& ,\"}]\n\x1e".contains(next));
        let number = part.first().is_some_and(u8::is_ascii_digit) && begins && ends;
        out.extend_from_slice(if number { LIMIT } else { part });
    }
    out
}

/// The request as it is sent, and its method. Whose length isn't said gets the right one.
fn wire(request: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = request.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((request, &[][..]), |end| (&request[..end], &request[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next().filter(|line| !line.is_empty())?;
    // Asks the members, wherever these are.
    if first.windows(11).any(|part| part == b"/v1/cluster") {
        return None;
    }
    let method = String::from_utf8_lossy(first.split(|byte| *byte == b' ').next().unwrap_or_default());
    let mut out = [first, b" HTTP/1.1\r\n"].concat();
    let mut sized = false;
    for line in lines {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default().to_ascii_lowercase();
        sized |= name == b"content-length" || name == b"transfer-encoding";
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    if !sized {
        out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    // Or what stands behind the body would be a request, too.
    out.extend_from_slice(b"connection: close\r\n\r\n");
    out.extend_from_slice(body);
    Some((method.into_owned(), out))
}

/// What clients can see of a state.
struct Seen {
    records: Vec<Record>,
    applied: Index,
    values: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Seen {
    fn of(machine: &Machine) -> Seen {
        let records = machine.select(Index(0), usize::MAX, usize::MAX, |_| true).records;
        let keys = machine.list(b"", b"", usize::MAX, usize::MAX).keys;
        let values = keys.into_iter().map(|(key, found)| (key.to_vec(), found.value.to_vec())).collect();
        Seen { records, applied: machine.applied(), values }
    }

    fn is_like(&self, other: &Seen) -> bool {
        self.records == other.records && self.values == other.values
    }
}

/// One answer of the service.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// The first answer among these bytes. None, if the request waits, or was refused before the service had it.
    fn read(bytes: &[u8]) -> Option<Answer> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = str::from_utf8(&bytes[..end]).expect("heads are text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let status = status.parse().expect("a status is a number");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header has a name");
            (name.to_string(), value.to_string())
        };
        let headers: Vec<_> = lines.map(header).collect();
        let mut answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
        if answer.header("raft-node").is_none() {
            assert!((400..500).contains(&answer.status), "hyper refuses what is no request: {status}");
            return None;
        }
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        answer.body.truncate(length.unwrap_or(usize::MAX));
        Some(answer)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn check(&self, method: &str, before: &Seen, after: &Seen) {
        let writes = WRITES.contains(&method);
        let said = || {
            format!("{method}: {} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
        };
        assert!(self.status != 500, "the service doesn't know what happened: {}", said());
        assert_eq!(self.header("cache-control"), Some("no-store"), "{}", said());
        assert!(self.header("raft-term").is_some() && self.header("raft-leader").is_some(), "{}", said());
        if !writes {
            assert!(before.is_like(after), "a read has changed something: {}", said());
        }
        let media = self.header("content-type").unwrap_or_default();
        if !media.starts_with("application/json") && !media.starts_with("application/problem+json") {
            assert!(self.status < 300, "a problem is JSON: {}", said());
            return;
        }
        // The answer to HEAD has none.
        if method == "HEAD" {
            return;
        }
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else { panic!("not JSON: {}", said()) };
        if self.status >= 400 {
            self.check_problem(&body, method, before, after, &said);
        } else if writes
            && body["term"].is_u64()
            && body["index"].is_u64()
            && self.header("idempotency-replayed").is_none()
        {
            assert!(after.applied > before.applied, "nothing was written: {}", said());
        }
    }

    fn check_problem(
        &self,
        body: &Value,
        method: &str,
        before: &Seen,
        after: &Seen,
        said: &dyn Fn() -> String,
    ) {
        let (writes, reads) = (WRITES.contains(&method), method == "GET");
        assert_eq!(body["status"], self.status, "{}", said());
        for member in ["code", "title", "detail", "leader"] {
            let text = body[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "without {member}: {}", said());
        }
        assert!(body["outcome"].is_string() || !writes, "a write has an outcome: {}", said());
        assert!(body["outcome"].is_null() || !reads, "a read has none: {}", said());
        if body["outcome"] == "not_applied" {
            assert!(before.is_like(after), "it was applied: {}", said());
        }
        assert_eq!(self.header("allow").is_some(), self.status == 405, "{}", said());
    }
}
