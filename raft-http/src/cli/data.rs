//! What people do with a cluster: keys and the log. Every write has an idempotency key, so it is sent again until its
//! answer is there, and takes effect once.

use super::asking::{AGAIN, Asking, Endpoints, Output, Request};
use super::{out, table};
use crate::exit::{Code, Exit};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use form_urlencoded::Serializer;
use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::io::{IsTerminal, Read};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What stays as it is in a key in a path.
const KEY: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// How long a follower of the log lets the server wait for news.
const WAIT: Duration = Duration::from_secs(30);

/// How many keys or entries are asked for at once.
const PAGE: u64 = 1000;

/// Keys and entries.
#[derive(Subcommand)]
pub(super) enum Data {
    /// Let a key stand for a value
    #[command(after_help = "Example: httpraft put color red --endpoints localhost:9000")]
    Put {
        #[command(flatten)]
        asking: Asking,
        /// The key
        key: String,
        /// The value; from standard input if not given
        value: Option<String>,
        /// Only if the key was changed last at this index
        #[arg(long, value_name = "INDEX", conflicts_with = "if_absent")]
        if_match: Option<u64>,
        /// Only if the key stands for nothing yet
        #[arg(long)]
        if_absent: bool,
    },
    /// Print a key's value, just as it was put
    #[command(after_help = "Example: httpraft get color")]
    Get {
        #[command(flatten)]
        asking: Asking,
        /// The key
        key: String,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// Let a key stand for nothing
    #[command(after_help = "Example: httpraft del color")]
    Del {
        #[command(flatten)]
        asking: Asking,
        /// The key
        key: String,
        /// Only if the key was changed last at this index
        #[arg(long, value_name = "INDEX")]
        if_match: Option<u64>,
    },
    /// List keys
    #[command(after_help = "Example: httpraft ls users/ --keys-only")]
    Ls {
        #[command(flatten)]
        asking: Asking,
        /// Only those that begin like this
        #[arg(default_value = "")]
        prefix: String,
        /// At most so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Without the values
        #[arg(long)]
        keys_only: bool,
        #[command(flatten)]
        fresh: Fresh,
    },
    /// Print changes of keys as they happen, until Ctrl-C
    #[command(after_help = "Example: httpraft watch users/ -o json")]
    Watch {
        #[command(flatten)]
        asking: Asking,
        /// Only of those that begin like this
        #[arg(default_value = "")]
        prefix: String,
        /// From this index on; from now on if not given
        #[arg(long, value_name = "INDEX")]
        from_index: Option<u64>,
    },
    /// Append an entry to the log
    #[command(after_help = "Example: echo hello | httpraft append")]
    Append {
        #[command(flatten)]
        asking: Asking,
        /// The entry; from standard input if not given
        entry: Option<String>,
    },
    /// Print entries of the log
    #[command(after_help = "Example: httpraft log --from 100 --follow")]
    Log {
        #[command(flatten)]
        asking: Asking,
        /// From this index on; from the first that is kept if not given
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// At most so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Wait for more, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        fresh: Fresh,
    },
}

/// How fresh a read must be.
#[derive(Args)]
pub(super) struct Fresh {
    /// What the read promises
    #[arg(long, value_enum)]
    consistency: Option<Level>,
    /// Wait until this index is applied
    #[arg(long, value_name = "INDEX")]
    min_index: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Level {
    /// It sees all that was acknowledged before it began
    Linearizable,
    /// The same, as long as the machines' clocks run about equally fast
    Lease,
    /// It sees what the asked node has
    Stale,
}

impl Fresh {
    fn add(&self, query: &mut Serializer<'_, String>) {
        if let Some(level) = self.consistency.and_then(|level| level.to_possible_value()) {
            query.append_pair("consistency", level.get_name());
        }
        if let Some(index) = self.min_index {
            query.append_pair("min_index", &index.to_string());
        }
    }
}

/// A path with what is asked for.
fn path(path: &str, fill: impl FnOnce(&mut Serializer<'_, String>)) -> String {
    let mut query = Serializer::new(String::new());
    fill(&mut query);
    let query = query.finish();
    if query.is_empty() { path.to_string() } else { format!("{path}?{query}") }
}

fn key_path(key: &str) -> String {
    format!("/v1/kv/{}", utf8_percent_encode(key, &KEY))
}

/// Runs one of these commands.
pub(super) fn run(command: Data) -> Result<Exit, Exit> {
    match command {
        Data::Put { asking, key, value, if_match, if_absent } => {
            let request = Request::new(Method::PUT, key_path(&key))
                .header("if-match", if_match.map(quoted))
                .header("if-none-match", if_absent.then(|| "*".to_string()))
                .once(given(value)?);
            write(&asking, &request)
        }
        Data::Del { asking, key, if_match } => {
            let request = Request::new(Method::DELETE, key_path(&key));
            write(&asking, &request.header("if-match", if_match.map(quoted)).once(Bytes::new()))
        }
        Data::Append { asking, entry } => {
            let request = Request::new(Method::POST, "/v1/log");
            let request = request.header("content-type", Some("application/octet-stream".to_string()));
            write(&asking, &request.once(given(entry)?))
        }
        Data::Get { asking, key, fresh } => get(&asking, &key, &fresh),
        Data::Ls { asking, prefix, limit, keys_only, fresh } => asking
            .show(table::keys, async |endpoints| list(endpoints, &prefix, limit, keys_only, &fresh).await),
        Data::Watch { asking, prefix, from_index } => {
            asking.run(async |endpoints| watch(&asking, endpoints, &prefix, from_index).await)
        }
        Data::Log { asking, from, limit, follow, fresh } => asking.run(async |endpoints| {
            log(&asking, endpoints, Range { from, limit, follow }, &fresh).await?;
            Ok(Exit::ok())
        }),
    }
}

fn quoted(index: u64) -> String {
    format!("\"{index}\"")
}

/// What stands on the command line, or else all of standard input.
fn given(text: Option<String>) -> Result<Bytes, Exit> {
    let mut bytes = Vec::new();
    match text {
        Some(text) => bytes = text.into_bytes(),
        None => drop(std::io::stdin().read_to_end(&mut bytes).map_err(|error| Exit::new(Code::Io, error))?),
    }
    Ok(bytes.into())
}

fn write(asking: &Asking, request: &Request) -> Result<Exit, Exit> {
    asking.show(table::written, async |endpoints| {
        let reply = endpoints.insist(request).await?;
        let mut said = reply.json();
        if said["index"].is_null() {
            said["index"] = json!(index(&reply.headers));
        }
        Ok(said)
    })
}

/// `Raft-Index`
fn index(headers: &HeaderMap) -> Option<u64> {
    headers.get("raft-index")?.to_str().ok()?.parse().ok()
}

fn get(asking: &Asking, key: &str, fresh: &Fresh) -> Result<Exit, Exit> {
    let json = asking.output == Output::Json;
    let path = path(&key_path(key), |query| {
        fresh.add(query);
        if json {
            query.append_key_only("meta");
        }
    });
    let reply = asking.run(async |endpoints| endpoints.insist(&Request::get(path)).await)?;
    if json {
        return super::print(&format!("{:#}", reply.json()));
    }
    // A value is what it is; only people want a line's end behind it.
    let end: &[u8] = if std::io::stdout().is_terminal() { b"\n" } else { b"" };
    out(&[&reply.body[..], end].concat())
}

async fn list(
    endpoints: &Endpoints,
    prefix: &str,
    limit: Option<u64>,
    keys_only: bool,
    fresh: &Fresh,
) -> Result<Value, Exit> {
    let mut keys = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let left = limit.map_or(PAGE, |limit| limit.saturating_sub(keys.len() as u64).min(PAGE));
        if left == 0 {
            break;
        }
        let path = path("/v1/kv", |query| {
            query.append_pair("prefix", prefix).append_pair("limit", &left.to_string());
            query.extend_pairs(next.iter().map(|next| ("start", next)));
            if keys_only {
                query.append_pair("keys_only", "true");
            }
            fresh.add(query);
        });
        let mut page = endpoints.insist(&Request::get(path)).await?.json();
        keys.extend(page["keys"].as_array_mut().map(std::mem::take).unwrap_or_default());
        next = page["next"].as_str().map(str::to_string);
        if next.is_none() {
            break;
        }
    }
    Ok(json!({ "keys": keys }))
}

/// Which entries.
struct Range {
    from: Option<u64>,
    limit: Option<u64>,
    follow: bool,
}

async fn log(asking: &Asking, endpoints: &Endpoints, range: Range, fresh: &Fresh) -> Result<(), Exit> {
    let (mut from, mut left) = (range.from, range.limit.unwrap_or(u64::MAX));
    // For each page; who follows lets each endpoint wait for news.
    let patience = endpoints.deadline.saturating_duration_since(Instant::now());
    let waits = 2 * WAIT * endpoints.endpoints.len() as u32;
    let patience = if range.follow { patience.max(waits) } else { patience };
    while left > 0 {
        let path = path("/v1/log", |query| {
            query.append_pair("limit", &left.min(PAGE).to_string());
            query.extend_pairs(from.map(|from| ("from", from.to_string())));
            if range.follow {
                query.append_pair("wait", "30s");
            }
            fresh.add(query);
        });
        let patient =
            Endpoints { endpoints: endpoints.endpoints.clone(), deadline: Instant::now() + patience };
        let page = patient.insist(&Request::get(path)).await?.json();
        let entries = page["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        for entry in entries {
            out(format!("{}\n", line(asking, entry, table::entry)).as_bytes())?;
        }
        left = left.saturating_sub(entries.len() as u64);
        let end = page["next"].as_u64();
        if !range.follow && (end > page["commit"].as_u64() || end <= from) {
            break;
        }
        from = end.max(from);
    }
    Ok(())
}

fn line(asking: &Asking, value: &Value, table: fn(&Value) -> String) -> String {
    match asking.output {
        Output::Json => value.to_string(),
        Output::Table => table(value),
    }
}

/// Follows the changes over any number of connections, each going on where the one before broke off.
async fn watch(
    asking: &Asking,
    endpoints: &Endpoints,
    prefix: &str,
    from_index: Option<u64>,
) -> Result<Exit, Exit> {
    let path = path("/v1/watch", |query| {
        query.append_pair("prefix", prefix);
        query.extend_pairs(from_index.map(|from| ("from_index", from.to_string())));
    });
    let patience = endpoints.deadline.saturating_duration_since(Instant::now());
    let mut last_id = None;
    loop {
        let again = Endpoints { endpoints: endpoints.endpoints.clone(), deadline: Instant::now() + patience };
        let request = Request::get(path.clone()).header("last-event-id", last_id.clone());
        let (_, mut opened) = again.open(&request).await?;
        let mut text = Vec::new();
        // A connection that breaks is opened anew.
        while let Ok(Some(piece)) = opened.piece().await {
            text.extend_from_slice(&piece);
            while let Some(end) = text.windows(2).position(|end| end == b"\n\n") {
                let event: Vec<u8> = text.drain(..end + 2).collect();
                let event = Event::parse(&String::from_utf8_lossy(&event));
                last_id = event.id.clone().or(last_id);
                match event.kind.as_str() {
                    "put" | "delete" => {
                        let mut change: Value = serde_json::from_str(&event.data).unwrap_or_default();
                        change["event"] = json!(event.kind);
                        out(format!("{}\n", line(asking, &change, table::change)).as_bytes())?;
                    }
                    "compacted" => {
                        let line = format!("the changes from there on are gone: {}", event.data);
                        return Err(Exit::new(Code::Failed, line));
                    }
                    _ => {}
                }
            }
        }
        sleep(AGAIN).await;
    }
}

/// A Server-Sent Event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    kind: String,
    data: String,
}

impl Event {
    fn parse(text: &str) -> Event {
        let mut event = Event::default();
        for line in text.lines() {
            match line.split_once(':').map(|(name, value)| (name, value.strip_prefix(' ').unwrap_or(value))) {
                Some(("id", id)) => event.id = Some(id.to_string()),
                Some(("event", kind)) => event.kind = kind.to_string(),
                Some(("data", data)) => event.data.push_str(data),
                _ => {}
            }
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_becomes_one_path() {
        assert_eq!(key_path("a/b c?d%:ü"), "/v1/kv/a/b%20c%3Fd%25%3A%C3%BC");
    }

    #[test]
    fn an_event_is_read_line_by_line() {
        let event = Event::parse("id: 7\nevent: put\ndata: {\"key\":\n: a comment\ndata:\"a:b\"}\n\n");
        let data = "{\"key\":\"a:b\"}".to_string();
        assert_eq!(event, Event { id: Some("7".into()), kind: "put".into(), data });
    }
}
