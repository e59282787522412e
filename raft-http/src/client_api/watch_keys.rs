//! `GET /v1/watch`: changes of keys as Server-Sent Events.

use super::answer::{Answer, Problem};
use super::data::{Reached, reach};
use super::feed::{Feed, Form};
use super::{Api, query, text, waits};
use crate::machine::{Operation, Record};
use http::Request;
use raft_core::Index;
use serde_json::{Map, Value, json};

/// Follows the changes from now on, from an index on, or from where an earlier stream broke off.
pub(super) async fn follow(api: &Api, request: &Request<()>) -> Result<Answer, Problem> {
    let from = waits::at_least(request, "from_index", 0)?;
    let resumed = Form::Events.resumed(request)?;
    let level = match reach(api, request, &["prefix", "from_index"]).await? {
        Reached::Here(level) => level,
        Reached::Elsewhere(answer) => return Ok(answer),
    };
    let now = api.core.machine().applied().next();
    let prefix = query::parameter(request, "prefix").unwrap_or_default().into_owned();
    let wanted =
        move |operation: &Operation| operation.key().is_some_and(|key| key.starts_with(prefix.as_bytes()));
    let from = resumed.or(from.map(|from| Index(from.max(1)))).unwrap_or(now);
    let feed = Feed { from, form: Form::Events, wanted: Box::new(wanted), event: describe };
    Ok(level.mark(api, feed.start(api)))
}

fn describe(record: &Record) -> (&'static str, Map<String, Value>) {
    let mut object = Map::new();
    let kind = match &record.operation {
        Operation::Put { key, value } => {
            text::put(&mut object, "key", key);
            text::put(&mut object, "value", value);
            "put"
        }
        Operation::Delete { key } => {
            text::put(&mut object, "key", key);
            "delete"
        }
        Operation::Append(_) => unreachable!("it has no key"),
    };
    object.insert("mod_index".to_string(), json!(record.id.index.0));
    (kind, object)
}
