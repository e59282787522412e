//! `POST /v1/batch`: several operations at once, on conditions.

use super::answer::{Answer, Problem, ProblemCode};
use super::data::Asked;
use super::text;
use crate::machine::{Command, Condition, Operation, Reply, Test, Verdict};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use raft_core::Index;
use serde::Deserialize;
use serde_json::{Value, json};

/// How many operations, and how many conditions, a batch has at most.
const LARGEST: usize = 128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    r#if: Vec<If>,
    then: Vec<Then>,
    #[serde(default)]
    r#else: Vec<Then>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct If {
    key: String,
    exists: Option<bool>,
    mod_index: Option<u64>,
    value: Option<String>,
    value_b64: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Then {
    Put { key: String, value: Option<String>, value_b64: Option<String> },
    Delete { key: String },
    Append { entry: Option<String>, entry_b64: Option<String> },
}

impl If {
    fn condition(self) -> Result<Condition, Problem> {
        let If { key, exists, mod_index, value, value_b64 } = self;
        let test = match (exists, mod_index, value.is_some() || value_b64.is_some()) {
            (Some(true), None, false) => Test::Exists,
            (Some(false), None, false) => Test::Absent,
            (None, Some(index), false) => Test::Modified(Index(index)),
            (None, None, true) => Test::Value(text::take("value", value, value_b64)?),
            _ => {
                let detail = "a condition names a key and one of \"exists\", \"mod_index\" and \"value\"";
                return Err(Problem::new(ProblemCode::BadJson, detail));
            }
        };
        Ok(Condition { key: named(key)?, test })
    }
}

impl Then {
    fn operation(self) -> Result<Operation, Problem> {
        Ok(match self {
            Then::Put { key, value, value_b64 } => {
                Operation::Put { key: named(key)?, value: text::take("value", value, value_b64)? }
            }
            Then::Delete { key } => Operation::Delete { key: named(key)? },
            Then::Append { entry, entry_b64 } => Operation::Append(text::take("entry", entry, entry_b64)?),
        })
    }
}

fn named(key: String) -> Result<Bytes, Problem> {
    if key.is_empty() { Err(Problem::new(ProblemCode::BadKey, "a key is empty")) } else { Ok(key.into()) }
}

/// A batch as a command.
pub(super) fn parse(_: &Parts, body: &Bytes) -> Result<Asked, Problem> {
    let bad = |detail: String| Problem::new(ProblemCode::BadJson, detail);
    let batch: Body = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    let operations = batch.then.len() + batch.r#else.len();
    if operations > LARGEST || batch.r#if.len() > LARGEST {
        let detail = format!("a batch has at most {LARGEST} operations and as many conditions");
        return Err(bad(detail));
    }
    let operations = |of: Vec<Then>| of.into_iter().map(Then::operation).collect::<Result<Vec<_>, _>>();
    let conditions = batch.r#if.into_iter().map(If::condition).collect::<Result<Vec<_>, _>>()?;
    let (then, otherwise) = (operations(batch.then)?, operations(batch.r#else)?);
    let kinds = [&then, &otherwise].map(|of| of.iter().map(kind).collect::<Vec<_>>());
    let show = Box::new(move |reply: &Reply| show(&kinds, reply));
    Ok(Asked { command: Command::When { conditions, then, otherwise }, show })
}

fn kind(operation: &Operation) -> &'static str {
    match operation {
        Operation::Append(_) => "append",
        Operation::Put { .. } => "put",
        Operation::Delete { .. } => "delete",
    }
}

fn show([then, otherwise]: &[Vec<&'static str>; 2], reply: &Reply) -> Answer {
    let held = matches!(reply.verdict, Verdict::Done { held: true, .. });
    let done = if held { then } else { otherwise };
    let row = |(at, kind): (usize, &&str)| match *kind {
        "put" => json!({ "op": kind, "created": reply.verdict.bit(at) }),
        "delete" => json!({ "op": kind, "deleted": u8::from(reply.verdict.bit(at)) }),
        _ => json!({ "op": kind }),
    };
    let results: Vec<Value> = done.iter().enumerate().map(row).collect();
    let (index, term) = (reply.id.index.0, reply.id.term.0);
    let body = json!({ "succeeded": held, "results": results, "index": index, "term": term });
    Answer::json(StatusCode::OK, &body)
}
