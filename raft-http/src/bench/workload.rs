//! What requests are made of, and what a good answer to them is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::ValueEnum;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};

/// A step that visits every key before it comes to one again, as long as it doesn't divide their number.
const STRIDE: u64 = 7919;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// This server
    Httpraft,
    /// etcd, through its JSON gateway
    Etcd,
    /// Any HTTP server: PUT / and GET /, a good answer has a status of 2xx
    Plain,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    /// Let a key stand for a value
    Put,
    /// Append an entry by POST /v1/log
    Append,
    /// Append an entry by POST /request, which followers don't forward
    Request,
    /// Read a key, linearizable
    Get,
    /// Read a key as the asked node has it
    Stale,
}

/// Requests of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    target: Target,
    operation: Operation,
    /// How many keys are written to in turn; the first of them is read.
    keys: u64,
    value: Bytes,
}

impl Workload {
    /// Values of this many bytes. An error says what the target can't do.
    pub(crate) fn new(
        target: Target,
        operation: Operation,
        size: usize,
        keys: u64,
    ) -> Result<Workload, String> {
        if matches!(operation, Operation::Append | Operation::Request) && target != Target::Httpraft {
            return Err("only --target httpraft has a log to append to".to_string());
        }
        let text = "x".repeat(size);
        let value = match (target, operation) {
            (Target::Etcd, _) => STANDARD.encode(text),
            (_, Operation::Request) => json!({ "entry": text }).to_string(),
            _ => text,
        };
        Ok(Workload { target, operation, keys, value: value.into() })
    }

    /// What must be done once before: a key can be read when it was written.
    pub(super) fn first(&self) -> Option<Workload> {
        let reads = matches!(self.operation, Operation::Get | Operation::Stale);
        reads.then(|| Workload { operation: Operation::Put, ..self.clone() })
    }

    pub(crate) fn names(&self) -> (String, String) {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_string())
        };
        (name(self.target.to_possible_value()), name(self.operation.to_possible_value()))
    }

    fn key(&self, number: u64) -> String {
        let at = if self.first().is_some() { 0 } else { number.wrapping_mul(STRIDE) % self.keys };
        format!("{at:016}")
    }

    /// The request of this number, without `Host`.
    pub(super) fn request(&self, number: u64) -> Request<Full<Bytes>> {
        let (method, path, body) = match self.target {
            Target::Httpraft => self.of_httpraft(number),
            Target::Etcd => self.of_etcd(number),
            Target::Plain if self.first().is_some() => (Method::GET, "/".to_string(), Bytes::new()),
            Target::Plain => (Method::PUT, "/".to_string(), self.value.clone()),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("keys are digits");
        if self.operation == Operation::Append {
            let bytes = HeaderValue::from_static("application/octet-stream");
            request.headers_mut().insert(header::CONTENT_TYPE, bytes);
        }
        request
    }

    fn of_httpraft(&self, number: u64) -> (Method, String, Bytes) {
        let path = format!("/v1/kv/{}", self.key(number));
        match self.operation {
            Operation::Put => (Method::PUT, path, self.value.clone()),
            Operation::Append => (Method::POST, "/v1/log".to_string(), self.value.clone()),
            Operation::Request => (Method::POST, "/request".to_string(), self.value.clone()),
            Operation::Get => (Method::GET, path, Bytes::new()),
            Operation::Stale => (Method::GET, format!("{path}?consistency=stale"), Bytes::new()),
        }
    }

    fn of_etcd(&self, number: u64) -> (Method, String, Bytes) {
        let key = STANDARD.encode(self.key(number));
        let put = || {
            let value = std::str::from_utf8(&self.value).expect("base64 is text");
            (Method::POST, "/v3/kv/put".to_string(), format!(r#"{{"key":"{key}","value":"{value}"}}"#).into())
        };
        let range = |serializable: bool| {
            let body = format!(r#"{{"key":"{key}","serializable":{serializable}}}"#);
            (Method::POST, "/v3/kv/range".to_string(), body.into())
        };
        match self.operation {
            Operation::Get => range(false),
            Operation::Stale => range(true),
            Operation::Put | Operation::Append | Operation::Request => put(),
        }
    }

    /// Whether the answer says that it was done; if not, the server's own word for why, or the status.
    pub(super) fn judge(&self, status: StatusCode, body: &[u8]) -> Result<(), String> {
        let has = |part: &str| body.windows(part.len()).any(|window| window == part.as_bytes());
        let done = match (self.target, self.operation) {
            (Target::Httpraft, Operation::Request) => has("\"success\":true"),
            (Target::Httpraft, Operation::Get | Operation::Stale) => body.len() == self.value.len(),
            (Target::Etcd, Operation::Get | Operation::Stale) => has("\"kvs\""),
            (Target::Etcd, _) => has("\"revision\""),
            _ => true,
        };
        if status.is_success() && done {
            return Ok(());
        }
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let code = match &said["code"] {
            Value::String(code) => code.clone(),
            _ if status.is_success() => "unexpected_answer".to_string(),
            _ => status.as_u16().to_string(),
        };
        Err(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_is_written_before_one_is_written_again() {
        let workload = Workload::new(Target::Plain, Operation::Put, 1, 1000).unwrap();
        let keys: BTreeSet<String> = (0..1000).map(|number| workload.key(number)).collect();
        assert_eq!(keys.len(), 1000);
        assert_eq!(workload.key(1000), workload.key(0));
    }

    #[test]
    fn a_read_asks_for_the_key_that_was_written_first() {
        for target in [Target::Httpraft, Target::Etcd] {
            let reads = Workload::new(target, Operation::Get, 8, 1000).unwrap();
            assert_eq!(reads.key(7), reads.first().unwrap().key(0));
        }
    }

    #[test]
    fn an_answer_is_good_only_if_it_says_so() {
        let judge = |target, operation, status, body: &str| {
            let workload = Workload::new(target, operation, 4, 1).unwrap();
            workload.judge(StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        use Operation::{Get, Put, Request};
        assert_eq!(judge(Target::Httpraft, Request, 200, r#"{"success":true,"index":7}"#), Ok(()));
        let follower = r#"{"success":false,"code":"not_leader"}"#;
        assert_eq!(judge(Target::Httpraft, Request, 200, follower), Err("not_leader".to_string()));
        assert_eq!(
            judge(Target::Httpraft, Put, 429, r#"{"code":"overloaded"}"#),
            Err("overloaded".to_string())
        );
        assert_eq!(judge(Target::Httpraft, Get, 200, "xxxx"), Ok(()));
        assert_eq!(judge(Target::Httpraft, Get, 200, "xxx"), Err("unexpected_answer".to_string()));
        assert_eq!(judge(Target::Etcd, Get, 200, r#"{"header":{}}"#), Err("unexpected_answer".to_string()));
        assert_eq!(judge(Target::Etcd, Put, 503, r#"{"code":14}"#), Err("503".to_string()));
        assert_eq!(judge(Target::Plain, Put, 200, "hello"), Ok(()));
    }
}
