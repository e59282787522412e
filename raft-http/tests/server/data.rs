//! The clients' routes of `/v1` on one node: what they answer, and how they refuse.

use crate::cluster::stream::Stream;
use crate::cluster::{Client, Cluster, Reply};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

async fn one(more: &[(&str, Value)]) -> (Cluster, Client) {
    let cluster = Cluster::of_one(more).await;
    let client = cluster.client(0).await;
    (cluster, client)
}

fn refused(reply: &Reply, status: u16, code: &str, outcome: Option<&str>) {
    assert_eq!((reply.status, &reply.json["code"]), (status, &json!(code)), "{reply:?}");
    assert_eq!(reply.json.get("outcome").and_then(Value::as_str), outcome, "{reply:?}");
    assert_eq!(reply.json["status"], json!(status));
    assert_eq!(reply.headers["content-type"], "application/problem+json");
}

const NOT_APPLIED: Option<&str> = Some("not_applied");

#[tokio::test]
async fn a_value_is_its_bytes_and_has_versions() {
    let (_cluster, mut client) = one(&[]).await;
    let path = "/v1/kv/a%20b/%C3%BC:";
    let put = client.with("PUT", path, &[], b"1:2").await;
    let index = put.json["index"].as_u64().unwrap();
    assert_eq!((put.status, &put.json["created"]), (201, &json!(true)));
    assert_eq!(
        (&put.headers["etag"], &put.headers["raft-index"]),
        (&format!("\"{index}\""), &index.to_string())
    );
    let binary = [0xff, 0, b'\n'];
    let again = client.with("PUT", path, &[], &binary).await;
    let newest = again.json["index"].as_u64().unwrap();
    assert_eq!((again.status, &again.json["created"]), (200, &json!(false)));
    let got = client.get(path).await;
    assert_eq!((got.status, got.body.as_slice()), (200, &binary[..]));
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
        ("content-disposition", "attachment"),
        ("etag", &format!("\"{newest}\"")),
        ("raft-consistency", "linearizable"),
        ("raft-index", &newest.to_string()),
    ] {
        assert_eq!(got.headers[name], value, "{name}");
    }
    let meta = client.get(&format!("{path}?meta")).await.json;
    let expected =
        json!({ "key": "a b/ü:", "value_b64": "/wAK", "create_index": index, "mod_index": newest });
    assert_eq!(meta, expected);
    let deleted = client.with("DELETE", path, &[], b"").await;
    assert_eq!((deleted.status, &deleted.json["deleted"]), (200, &json!(1)));
    assert_eq!(client.with("DELETE", path, &[], b"").await.json["deleted"], json!(0));
    let missing = client.get(path).await;
    refused(&missing, 404, "key_not_found", None);
    assert_eq!(missing.headers["raft-consistency"], "linearizable");
    refused(&client.with("PUT", "/v1/kv/", &[], b"x").await, 400, "bad_key", NOT_APPLIED);
    refused(&client.get("/v1/kv/%ff").await, 400, "bad_key", None);
}

#[tokio::test]
async fn preconditions_are_judged_where_the_write_is_applied() {
    let (_cluster, mut client) = one(&[]).await;
    let mut put = async |header: (&str, &str)| client.with("PUT", "/v1/kv/k", &[header], b"v").await;
    let failed = put(("If-Match", "*")).await;
    refused(&failed, 412, "cas_failed", NOT_APPLIED);
    assert_eq!(failed.json.get("current_index"), None);
    let created = put(("If-None-Match", "*")).await;
    assert_eq!(created.status, 201);
    let etag = created.headers["etag"].clone();
    let failed = put(("If-None-Match", "*")).await;
    refused(&failed, 412, "cas_failed", NOT_APPLIED);
    assert_eq!(failed.json["current_index"], created.json["index"]);
    let next = put(("If-Match", &etag)).await;
    assert_eq!(next.status, 200);
    refused(&put(("If-Match", &etag)).await, 412, "cas_failed", NOT_APPLIED);
    assert_eq!(put(("If-Match", "*")).await.status, 200);
    refused(&put(("If-Match", "7")).await, 400, "bad_request", NOT_APPLIED);
    refused(&put(("If-None-Match", "\"7\"")).await, 400, "bad_request", NOT_APPLIED);
    let delete = client.with("DELETE", "/v1/kv/k", &[("If-Match", &etag)], b"").await;
    refused(&delete, 412, "cas_failed", NOT_APPLIED);
    let etag = client.get("/v1/kv/k").await.headers["etag"].clone();
    let delete = client.with("DELETE", "/v1/kv/k", &[("If-Match", &etag)], b"").await;
    assert_eq!((delete.status, &delete.json["deleted"]), (200, &json!(1)));
    // What failed is no entry.
    assert_eq!(client.get("/v1/log").await.json["entries"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn keys_are_listed_in_pages() {
    let (_cluster, mut client) = one(&[]).await;
    for key in ["b", "a/2", "a/1", "a/3", "a"] {
        client.with("PUT", &format!("/v1/kv/{key}"), &[], key.as_bytes()).await;
    }
    let mut listed = Vec::new();
    let mut start = String::new();
    loop {
        let page = client.get(&format!("/v1/kv?prefix=a%2F&limit=2&start={start}")).await.json;
        listed.extend(page["keys"].as_array().unwrap().iter().map(|row| row["key"].clone()));
        match page.get("next") {
            Some(next) => start = next.as_str().unwrap().replace('/', "%2F"),
            None => break,
        }
    }
    assert_eq!(listed, ["a/1", "a/2", "a/3"]);
    let all = client.get("/v1/kv").await;
    assert_eq!((all.json["keys"].as_array().unwrap().len(), &all.json["keys"][0]["value"]), (5, &json!("a")));
    assert_eq!(all.headers["raft-consistency"], "linearizable");
    assert_eq!(client.get("/v1/kv?keys_only").await.json["keys"][0].get("value"), None);
    refused(&client.get("/v1/kv?limit=0").await, 400, "bad_query", None);
}

#[tokio::test]
async fn a_batch_happens_as_a_whole_or_not_at_all() {
    let (_cluster, mut client) = one(&[]).await;
    let transfer = json!({
        "if": [{ "key": "from", "value": "10" }, { "key": "lock", "exists": false }],
        "then": [
            { "op": "put", "key": "from", "value": "7" },
            { "op": "put", "key": "to", "value_b64": "Mw==" },
            { "op": "delete", "key": "from" },
            { "op": "append", "entry": "moved 3" },
        ],
    });
    let failed = client.post("/v1/batch", &transfer).await;
    refused(&failed, 412, "cas_failed", NOT_APPLIED);
    client.with("PUT", "/v1/kv/from", &[], b"10").await;
    let done = client.post("/v1/batch", &transfer).await;
    let results = json!([
        { "op": "put", "created": false },
        { "op": "put", "created": true },
        { "op": "delete", "deleted": 1 },
        { "op": "append" },
    ]);
    assert_eq!((done.status, &done.json["succeeded"], &done.json["results"]), (200, &json!(true), &results));
    assert_eq!(client.get("/v1/kv/to").await.body, b"3");
    let log = client.get("/v1/log").await.json;
    let texts: Vec<&Value> = log["entries"].as_array().unwrap().iter().map(|row| &row["entry"]).collect();
    assert_eq!(texts, ["from:10", "from:7", "to:3", "moved 3"]);
    let mut otherwise = transfer;
    otherwise["else"] = json!([{ "op": "append", "entry": "not moved" }]);
    let done = client.post("/v1/batch", &otherwise).await.json;
    assert_eq!((&done["succeeded"], &done["results"]), (&json!(false), &json!([{ "op": "append" }])));
    let modified = json!({ "if": [{ "key": "to", "mod_index": 1 }], "then": [] });
    let failed = client.post("/v1/batch", &modified).await;
    refused(&failed, 412, "cas_failed", NOT_APPLIED);
    assert!(failed.json["current_index"].is_u64());
    let many: Vec<Value> = (0..129).map(|_| json!({ "op": "append", "entry": "x" })).collect();
    for body in [
        json!({ "then": many }),
        json!({}),
        json!({ "then": [{ "op": "append" }] }),
        json!({ "then": [{ "op": "append", "entry": "a", "entry_b64": "YQ==" }] }),
        json!({ "then": [{ "op": "append", "entry_b64": "?" }] }),
        json!({ "then": [{ "op": "get", "key": "k" }] }),
        json!({ "then": [{ "op": "delete", "key": "k", "value": "v" }] }),
        json!({ "if": [{ "key": "k" }], "then": [] }),
        json!({ "if": [{ "key": "k", "exists": true, "value": "v" }], "then": [] }),
        json!({ "then": [], "otherwise": [] }),
    ] {
        refused(&client.post("/v1/batch", &body).await, 400, "bad_json", NOT_APPLIED);
    }
    let empty = json!({ "then": [{ "op": "delete", "key": "" }] });
    refused(&client.post("/v1/batch", &empty).await, 400, "bad_key", NOT_APPLIED);
}

#[tokio::test]
async fn entries_are_appended_alone_or_together_and_read_in_any_form() {
    let (_cluster, mut client) = one(&[]).await;
    let first = client.with("POST", "/v1/log", &[], &[0xfe]).await;
    assert_eq!(first.status, 201);
    let json_type = [("Content-Type", "application/json; charset=utf-8")];
    let several = client.with("POST", "/v1/log", &json_type, br#"{"entries":["a","b","c"]}"#).await;
    assert_eq!(several.status, 201);
    let at = &several.json["index"];
    let page = client.get("/v1/log?limit=2").await.json;
    assert_eq!(
        page["entries"],
        json!([
            { "index": first.json["index"], "term": first.json["term"], "entry_b64": "/g==" },
            { "index": at, "term": several.json["term"], "entry": "a" },
            { "index": at, "term": several.json["term"], "entry": "b" },
            { "index": at, "term": several.json["term"], "entry": "c" },
        ]),
        "what was appended together stays together"
    );
    assert_eq!((&page["first"], &page["commit"]), (&json!(1), at));
    let next = page["next"].as_u64().unwrap();
    assert_eq!(client.get(&format!("/v1/log?from={next}")).await.json["entries"], json!([]));
    assert_eq!(
        client.get("/log?index=2").await.json["entries"].as_array().unwrap().len(),
        4,
        "as the seed sees it"
    );
    for body in ["", "{}", "{\"entries\":[]}", "{\"entries\":[1]}", "{\"entries\":[\"a\"],\"x\":1}"] {
        refused(
            &client.with("POST", "/v1/log", &json_type, body.as_bytes()).await,
            400,
            "bad_json",
            NOT_APPLIED,
        );
    }
    let mut stream = Stream::open(&client, "/v1/log", &[("Accept", "application/x-ndjson")]).await;
    assert_eq!(stream.headers["raft-index"], page["commit"].to_string());
    let text = stream.rest().await;
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json!(lines), page["entries"]);
    let mut stream = Stream::open(&client, "/v1/log?from=1", &[("Accept", "text/event-stream")]).await;
    let events = stream.events(5).await;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["progress", "entry", "entry", "entry", "entry"]);
    client.with("POST", "/v1/log", &[], b"d").await;
    assert_eq!(stream.events(1).await[0].data["entry"], "d");
}

#[tokio::test]
async fn reads_wait_for_news() {
    let (cluster, mut client) = one(&[]).await;
    let index = client.with("PUT", "/v1/kv/k", &[], b"1").await.json["index"].as_u64().unwrap();
    let begun = Instant::now();
    let unchanged = client.get(&format!("/v1/kv/k?wait_index={index}&wait=200ms")).await;
    assert_eq!((unchanged.status, unchanged.body.as_slice()), (200, &b"1"[..]));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    let past = client.get(&format!("/v1/kv/k?wait_index={}&wait=30s", index - 1)).await;
    assert_eq!(past.body, b"1", "it has changed since");
    let mut other = cluster.client(0).await;
    let begun = Instant::now();
    let (path, log) =
        (format!("/v1/kv/k?wait_index={index}&wait=30s"), format!("/v1/log?from={}&wait=30s", index + 1));
    let later = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut writer = cluster.client(0).await;
        writer.with("PUT", "/v1/kv/other", &[], b"x").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        writer.with("DELETE", "/v1/kv/k", &[], b"").await;
    };
    let (key, log, ()) = tokio::join!(client.get(&path), other.get(&log), later);
    refused(&key, 404, "key_not_found", None);
    assert_eq!(log.json["entries"][0]["entry"], "other:x");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let late = client.get(&format!("/v1/kv/k?min_index={}&timeout=100ms", index + 1000)).await;
    refused(&late, 504, "timeout", None);
    let reached = client.get(&format!("/v1/kv/other?min_index={index}&consistency=stale")).await;
    assert_eq!((reached.status, reached.headers["raft-consistency"].as_str()), (200, "stale"));
}

#[tokio::test]
async fn no_index_is_too_high_for_a_node() {
    let (_cluster, mut client) = one(&[]).await;
    let highest = u64::MAX.to_string();
    let events = [("Accept", "text/event-stream"), ("Last-Event-ID", highest.as_str())];
    refused(&client.get(&format!("/v1/kv/k?wait_index={highest}")).await, 400, "bad_query", None);
    for path in ["/v1/watch", "/v1/log"] {
        refused(&client.with("GET", path, &events, b"").await, 400, "bad_request", None);
    }
    for name in ["from", "limit"] {
        assert_eq!(client.get(&format!("/v1/log?{name}={highest}")).await.status, 200, "{name}");
    }
    let events = [("Accept", "text/event-stream"), ("Last-Event-ID", "18446744073709551614")];
    assert_eq!(Stream::open(&client, "/v1/log", &events).await.events(1).await[0].kind, "progress");
}

#[tokio::test]
async fn a_watch_sees_every_change_once_and_goes_on_where_it_broke_off() {
    let (_cluster, mut client) = one(&[]).await;
    client.with("PUT", "/v1/kv/a/1", &[], b"before").await;
    let mut watch = Stream::open(&client, "/v1/watch?prefix=a%2F", &[]).await;
    assert_eq!(watch.headers["content-type"], "text/event-stream");
    let begun = watch.events(1).await.remove(0);
    assert_eq!(begun.kind, "progress");
    client.with("PUT", "/v1/kv/a/1", &[], b"1").await;
    client.with("PUT", "/v1/kv/b", &[], b"elsewhere").await;
    let batch = json!({ "then": [
        { "op": "put", "key": "a/2", "value_b64": "/w==" },
        { "op": "delete", "key": "a/1" },
        { "op": "delete", "key": "a/9" },
    ] });
    let index = client.post("/v1/batch", &batch).await.json["index"].as_u64().unwrap();
    let events = watch.events(3).await;
    let shape: Vec<_> =
        events.iter().map(|event| (event.kind.as_str(), event.data["key"].as_str().unwrap())).collect();
    assert_eq!(shape, [("put", "a/1"), ("put", "a/2"), ("delete", "a/1")]);
    assert_eq!((&events[0].data["value"], &events[1].data["value_b64"]), (&json!("1"), &json!("/w==")));
    assert_eq!(events[1].id, None, "the command is not complete here");
    assert_eq!(events[2].id, Some(index));
    let first = events[0].id.unwrap().to_string();
    let mut resumed = Stream::open(&client, "/v1/watch?prefix=a%2F", &[("Last-Event-ID", &first)]).await;
    assert_eq!(resumed.events(3).await[1..], events[1..]);
    let mut all = Stream::open(&client, "/v1/watch?from_index=1", &[]).await;
    assert_eq!(all.events(6).await.len(), 6, "progress, and five changes");
    refused(&client.with("GET", "/v1/watch", &[("Last-Event-ID", "x")], b"").await, 400, "bad_request", None);
}

#[tokio::test]
async fn streams_end_when_the_node_stops() {
    let (mut cluster, client) = one(&[]).await;
    let mut watch = Stream::open(&client, "/v1/watch", &[]).await;
    watch.events(1).await;
    let begun = Instant::now();
    assert_eq!(cluster.stop(0).await.code, raft_http::exit::Code::Ok);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    watch.rest().await;
}

#[tokio::test]
async fn half_of_the_lines_never_looks_like_all() {
    let (mut cluster, mut client) = one(&[]).await;
    // Far more than any buffer on the way holds.
    let entry = vec![b'x'; 1 << 20];
    for number in 0..32 {
        assert_eq!(client.with("POST", "/v1/log", &[], &entry).await.status, 201, "{number}");
    }
    let lines = [("Accept", "application/x-ndjson")];
    let mut whole = Stream::open(&client, "/v1/log", &lines).await;
    assert_eq!((whole.rest().await.lines().count(), whole.whole), (32, true));
    let mut half = Stream::open(&client, "/v1/log", &lines).await;
    assert_eq!(cluster.stop(0).await.code, raft_http::exit::Code::Ok);
    let lines = half.rest().await.lines().count();
    assert!(lines < 32 && !half.whole, "{lines} lines and an end");
}

#[tokio::test]
async fn a_watcher_that_takes_nothing_costs_no_writer_anything() {
    let (_cluster, mut client) = one(&[]).await;
    let mut watch = Stream::open(&client, "/v1/watch", &[]).await;
    // Far more than any buffer on the way holds.
    let value = vec![b'x'; 1 << 20];
    for number in 0..32 {
        assert!(client.with("PUT", "/v1/kv/k", &[], &value).await.status < 300, "{number}");
    }
    let events = watch.events(33).await;
    assert_eq!(events[32].data["value"].as_str().unwrap().len(), 1 << 20, "nothing was lost");
}

#[tokio::test]
async fn what_is_unknown_is_refused_everywhere() {
    let (_cluster, mut client) = one(&[]).await;
    for path in ["/v1/log", "/v1/kv", "/v1/kv/k", "/v1/watch", "/v1/digest", "/v1/openapi.json"] {
        refused(&client.get(&format!("{path}?consistancy=stale")).await, 400, "bad_query", None);
    }
    for path in ["/v1/log", "/v1/kv", "/v1/kv/k", "/v1/watch"] {
        for query in
            ["consistency=strong", "consistency=lease", "min_index=-1", "timeout=soon", "on_follower=ask"]
        {
            refused(&client.get(&format!("{path}?{query}")).await, 400, "bad_query", None);
        }
    }
    for level in ["strong", "lease"] {
        let reply = client.get(&format!("/v1/members?consistency={level}")).await;
        refused(&reply, 400, "bad_query", None);
    }
    for (method, path) in
        [("POST", "/v1/log"), ("PUT", "/v1/kv/k"), ("DELETE", "/v1/kv/k"), ("POST", "/v1/batch")]
    {
        for query in ["consistency=stale", "timeout=soon", "on_follower=ask"] {
            refused(
                &client.send(method, &format!("{path}?{query}"), "").await,
                400,
                "bad_query",
                NOT_APPLIED,
            );
        }
        let long = "k".repeat(256);
        for key in ["", "\"\"", &long] {
            let reply = client.with(method, path, &[("Idempotency-Key", key)], b"").await;
            refused(&reply, 400, "bad_key", NOT_APPLIED);
        }
    }
    for (method, path, allow) in [
        ("PUT", "/v1/log", "GET, POST"),
        ("POST", "/v1/kv", "GET"),
        ("POST", "/v1/kv/k", "GET, PUT, DELETE"),
        ("GET", "/v1/batch", "POST"),
        ("DELETE", "/v1/watch", "GET"),
    ] {
        let reply = client.send(method, path, "").await;
        refused(&reply, 405, "method", if method == "GET" { None } else { NOT_APPLIED });
        assert_eq!(reply.headers["allow"], allow);
    }
    let large = vec![b'x'; 2 << 20];
    refused(&client.with("PUT", "/v1/kv/k", &[], &large).await, 413, "too_large", NOT_APPLIED);
    assert_eq!(client.get("/v1/log").await.json["entries"], json!([]), "nothing of it was written");
    assert_eq!(client.get("/v1/openapi.json").await.json["openapi"], "3.1.0");
}
