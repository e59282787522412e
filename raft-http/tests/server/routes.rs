//! The routes of one node: what they answer, and how they refuse.

use crate::cluster::stream::Stream;
use crate::cluster::{Client, Cluster, Reply, configs, request};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

fn refused(cluster: &Cluster, reply: &Reply, status: u16, code: &str) {
    reply.check(&cluster.configs[0].apis);
    assert_eq!((reply.status, &reply.json["code"]), (status, &json!(code)), "{reply:?}");
    assert_eq!(reply.json["status"], json!(status));
    for member in ["type", "title", "detail"] {
        assert!(reply.json[member].is_string(), "{member}: {reply:?}");
    }
    assert!(reply.json["retryable"].is_boolean());
}

fn refused_write(cluster: &Cluster, reply: &Reply, status: u16, code: &str) {
    refused(cluster, reply, status, code);
    assert_eq!((&reply.json["success"], &reply.json["outcome"]), (&json!(false), &json!("not_applied")));
}

#[tokio::test]
async fn the_published_collections_walk_through() {
    let cluster = Cluster::of_one(&[]).await;
    let leader = cluster.api(0);
    let mut client = cluster.client(0).await;
    let written = client.post("/request", &json!({ "entry": "Message 1" })).await;
    written.check(&cluster.configs[0].apis);
    let (index, term) = (&written.json["index"], &written.json["term"]);
    assert_eq!(
        (written.status, &written.json),
        (200, &json!({ "success": true, "leader": leader, "index": index, "term": term }))
    );
    assert_eq!(written.headers["raft-index"], index.to_string());

    let put = client.put("/", &json!({ "key": "a", "value": "1:2:3" })).await;
    let put_index = &put.json["index"];
    assert_eq!((put.status, &put.json["value"], &put.json["leader"]), (200, &json!("1:2:3"), &json!(leader)));
    let got = client.get("/?key=a").await;
    got.check(&cluster.configs[0].apis);
    let expected =
        json!({ "leader": leader, "key": "a", "value": "1:2:3", "found": true, "index": put_index });
    assert_eq!((got.status, &got.json), (200, &expected));
    let missing = client.get("/?key=b").await;
    assert_eq!((&missing.json["value"], &missing.json["found"]), (&json!("null"), &json!(false)));

    let log = client.get("/log?index=1").await;
    log.check(&cluster.configs[0].apis);
    let entries = json!([
        { "index": index, "term": term, "entry": "Message 1" },
        { "index": put_index, "term": term, "entry": "a:1:2:3" },
    ]);
    assert_eq!(
        (&log.json["success"], &log.json["entries"], &log.json["first"]),
        (&json!(true), &entries, &json!(1))
    );
    assert_eq!(log.json["commit"], *put_index);
    assert_eq!(log.json["next"].as_u64().unwrap(), put_index.as_u64().unwrap() + 1);
}

#[tokio::test]
async fn the_log_is_read_in_pages_from_anywhere() {
    let cluster = Cluster::of_one(&[]).await;
    let mut client = cluster.client(0).await;
    for number in 0..5 {
        client.post("/request", &json!({ "entry": format!("e{number}") })).await;
    }
    let (mut next, mut entries) = (1, Vec::new());
    for _ in 0..3 {
        let page = client.get(&format!("/log?index={next}&limit=2")).await;
        next = page.json["next"].as_u64().unwrap();
        entries.extend(page.json["entries"].as_array().unwrap().iter().map(|entry| entry["entry"].clone()));
    }
    assert_eq!(entries, ["e0", "e1", "e2", "e3", "e4"]);
    for path in ["/log", "/log?index=-7", "/log?index=0"] {
        assert_eq!(client.get(path).await.json["entries"].as_array().unwrap().len(), 5, "{path}");
    }
    let past = client.get("/log?index=1000").await;
    assert_eq!((past.status, &past.json["entries"], &past.json["next"]), (200, &json!([]), &json!(1000)));
    refused(&cluster, &client.get("/log?index=x").await, 400, "bad_query");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let cluster = Cluster::of_one(&[]).await;
    let mut client = cluster.client(0).await;
    for body in ["", "{", "[]", "{\"entry\":1}", "{\"text\":\"x\"}", "\u{0}"] {
        refused_write(&cluster, &client.send("POST", "/request", body).await, 400, "bad_json");
    }
    refused_write(&cluster, &client.send("PUT", "/", "{\"key\":\"k\"}").await, 400, "bad_json");
    refused_write(
        &cluster,
        &client.send("POST", "/request?timeout=soon", "{\"entry\":\"x\"}").await,
        400,
        "bad_query",
    );
    refused(&cluster, &client.get("/").await, 400, "bad_query");
    refused(&cluster, &client.get("/nowhere").await, 404, "no_route");
    refused_write(&cluster, &client.send("POST", "/nowhere", "").await, 404, "no_route");
    for (method, path, allow) in [
        ("GET", "/request", "POST"),
        ("DELETE", "/", "GET, PUT"),
        ("PATCH", "/log", "GET"),
        ("BREW", "/livez", "GET"),
    ] {
        let reply = client.send(method, path, "").await;
        refused(&cluster, &reply, 405, "method");
        assert_eq!(reply.headers["allow"], allow);
    }
    refused_write(&cluster, &client.send("POST", "/log", "").await, 405, "method");
    assert_eq!(client.get("/log").await.json["entries"], json!([]), "nothing of it was written");
}

#[tokio::test]
async fn operators_are_answered() {
    let cluster = Cluster::of_one(&[]).await;
    let mut client = cluster.client(0).await;
    for path in ["/v1/status", "/livez", "/readyz", "/version"] {
        let reply = client.get(path).await;
        reply.check(&cluster.configs[0].apis);
        assert_eq!(reply.status, 200, "{path}");
    }
    let status = client.get("/v1/status").await.json;
    assert_eq!(
        (&status["id"], &status["role"], &status["founded"]),
        (&json!(0), &json!("leader"), &json!(true))
    );
    let member = &status["members"][0];
    assert_eq!((&member["id"], &member["peer"]), (&json!(0), &json!(cluster.configs[0].peer())));
    assert_eq!((&member["api"], &member["standing"]), (&json!(cluster.api(0)), &json!("voter")));
    assert_eq!((&member["voter"], &member["disk"]), (&json!(true), &status["disk"]));
}

#[tokio::test]
async fn entries_of_any_text_and_content_type_survive() {
    let cluster = Cluster::of_one(&[]).await;
    let mut client = cluster.client(0).await;
    let text = "quote \" backslash \\ newline \n nul \u{0} snowman \u{2603} :";
    let body = json!({ "entry": text }).to_string();
    let head = format!(
        "POST /request HTTP/1.1\r\nHost: me\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    assert_eq!(client.raw(&[head.as_bytes(), body.as_bytes()].concat()).await.status, 200);
    assert_eq!(client.get("/log?index=1").await.json["entries"][0]["entry"], json!(text));
    // What the original has no text for is told beside it; a key that no other route reaches is none.
    assert_eq!(client.with("PUT", "/v1/kv/b", &[], b"\xff\x00").await.status, 201);
    let got = client.get("/?key=b").await.json;
    assert_eq!((&got["value"], &got["value_b64"]), (&json!("\u{fffd}\u{0}"), &json!("/wA=")));
    let entries = client.get("/log?index=1").await.json["entries"].clone();
    assert_eq!((&entries[1]["entry_b64"], entries[0].get("entry_b64")), (&json!("Yjr/AA=="), None));
    refused_write(&cluster, &client.put("/", &json!({ "key": "", "value": "v" })).await, 400, "bad_key");
    let key = "a b/ü:";
    client.put("/", &json!({ "key": key, "value": "v" })).await;
    let got = client.get("/?key=a+b%2F%C3%BC%3A").await;
    assert_eq!((&got.json["key"], &got.json["value"]), (&json!(key), &json!("v")));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_read_so_far_that_the_client_sees_it() {
    let cluster = Cluster::of_one(&[]).await;
    let body = json!({ "entry": "x".repeat(2 << 20) }).to_string();
    let mut client = cluster.client(0).await;
    refused_write(&cluster, &client.send("POST", "/request", &body).await, 413, "too_large");
    let mut client = cluster.client(0).await;
    client.write(b"POST /request HTTP/1.1\r\nHost: me\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    for part in body.as_bytes().chunks(64 << 10) {
        client.write(format!("{:x}\r\n", part.len()).as_bytes()).await.unwrap();
        client.write(&[part, b"\r\n"].concat()).await.unwrap();
    }
    client.write(b"0\r\n\r\n").await.unwrap();
    refused_write(&cluster, &client.reply().await.unwrap(), 413, "too_large");
    let body = json!({ "entry": "x".repeat(1 << 20) }).to_string();
    let reply = cluster.client(0).await.send("POST", "/request", &body).await;
    assert_eq!(reply.status, 200, "1 MiB is below the limit");
}

#[tokio::test]
async fn a_half_sent_head_is_cut_off_and_a_half_sent_body_answered() {
    let short = [("header_read_timeout", json!("200ms")), ("body_read_timeout", json!("200ms"))];
    let cluster = Cluster::of_one(&short).await;
    let begun = Instant::now();
    let mut client = cluster.client(0).await;
    client.write(b"POST /request HTTP/1.1\r\nHost: m").await.unwrap();
    assert!(client.reply().await.is_none(), "the connection is closed");
    assert!((150..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let mut client = cluster.client(0).await;
    client.write(b"POST /request HTTP/1.1\r\nHost: me\r\nContent-Length: 100\r\n\r\n{\"ent").await.unwrap();
    refused_write(&cluster, &client.reply().await.unwrap(), 408, "slow_body");
    // A request that is not here by its own deadline is told so, and not begun.
    let patient = Cluster::of_one(&[]).await;
    let mut client = patient.client(0).await;
    let head = b"POST /request?timeout=300ms HTTP/1.1\r\nHost: me\r\nContent-Length: 15\r\n\r\n{\"entry\"";
    client.write(head).await.unwrap();
    refused_write(&patient, &client.reply().await.unwrap(), 504, "timeout");
    // A connection that rests is no slow head; a slow head after it is.
    let mut client = cluster.client(0).await;
    for _ in 0..2 {
        assert_eq!(client.get("/livez").await.status, 200);
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let begun = Instant::now();
    client.write(b"GET /li").await.unwrap();
    assert!(client.reply().await.is_none(), "the connection is closed");
    assert!((150..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_request_meant_for_somebody_else_is_refused() {
    let cluster = Cluster::of_one(&[]).await;
    let mut client = cluster.client(0).await;
    let own = client.get("/v1/status").await.json["cluster_id"].as_str().unwrap().to_string();
    let put = |headers: &[(&str, &str)]| request("PUT", "/v1/kv/a", headers, b"1");
    for (headers, code) in
        [([("Raft-Cluster", "00000000deadbeef")], "wrong_cluster"), ([("Host", "me too")], "bad_host")]
    {
        let sent = put(&headers);
        let reply = client.raw(&sent).await;
        crate::cluster::contract::check(&sent, &reply);
        assert_eq!((reply.status, &reply.json["code"]), (421, &json!(code)), "{reply:?}");
        assert_eq!(reply.json["outcome"], "not_applied");
    }
    assert_eq!(client.raw(&put(&[("Raft-Cluster", &own)])).await.status, 201);
}

#[tokio::test]
async fn even_what_is_no_http_gets_json() {
    let cluster = Cluster::of_one(&[]).await;
    for (bytes, status, code) in [
        ("NONSENSE\r\n\r\n".to_string(), 400, "bad_request"),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_string(), 400, "bad_request"),
        (format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(40 << 10)), 431, "headers"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101)), 431, "headers"),
        ("PUT / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n".to_string(), 431, "headers"),
        (format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(200 << 10)), 431, "headers"),
        (format!("GET /?key={} HTTP/1.1\r\n\r\n", "k".repeat(9 << 10)), 414, "uri"),
    ] {
        let mut client = cluster.client(0).await;
        // A good request before it on the same connection: what is replaced is hyper's answer, never ours.
        assert_eq!(client.get("/livez").await.status, 200);
        let reply = client.raw(bytes.as_bytes()).await;
        refused(&cluster, &reply, status, code);
    }
}

#[tokio::test]
async fn a_new_client_always_gets_in() {
    let cluster = Cluster::of_one(&[("max_connections", json!(3))]).await;
    let mut oldest = cluster.client(0).await;
    oldest.get("/livez").await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut client = cluster.client(0).await;
        assert_eq!(client.get("/livez").await.status, 200);
        others.push(client);
    }
    assert!(oldest.reply().await.is_none(), "the longest idle one was closed");
    for client in &mut others {
        assert_eq!(client.get("/livez").await.status, 200);
    }
}

#[tokio::test]
async fn streams_make_room_for_a_new_client_when_nobody_is_idle() {
    let cluster = Cluster::of_one(&[("max_connections", json!(3))]).await;
    let mut first = cluster.client(0).await;
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(Stream::open(&first, "/v1/watch", &[]).await);
    }
    assert!(first.reply().await.is_none(), "the idle one was closed for the last stream");
    let mut client = cluster.client(0).await;
    assert_eq!(client.get("/livez").await.status, 200);
    assert!(watches[0].rest().await.starts_with("id: "), "the oldest stream has ended");
    assert_eq!(client.with("PUT", "/v1/kv/a", &[], b"1").await.status, 201);
    for watch in &mut watches[1..] {
        assert_eq!(watch.events(2).await[1].kind, "put", "the others go on");
    }
}

#[tokio::test]
async fn too_much_under_way_is_refused() {
    let mut cluster = Cluster::start(configs(3, &[("max_proposals", json!(2))])).await;
    let leader = cluster.leader().await;
    for id in (0..3).filter(|id| *id != leader) {
        cluster.kill(id).await;
    }
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut client = cluster.client(leader).await;
        let body = "{\"entry\":\"x\"}";
        let head =
            format!("POST /request?timeout=1s HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        client.write(head.as_bytes()).await.unwrap();
        waiting.push(client);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reply = cluster.client(leader).await.post("/request", &json!({ "entry": "y" })).await;
    refused_write(&cluster, &reply, 429, "overloaded");
    assert_eq!(reply.headers["retry-after"], "1");
}

#[tokio::test]
async fn localhost_is_every_loopback_address() {
    let mut configs = configs(1, &[]);
    let port = configs[0].apis[0].rsplit(':').next().unwrap().to_string();
    configs[0].apis[0] = format!("localhost:{port}");
    configs[0].own.api = configs[0].apis[0].clone();
    let cluster = Cluster::start(configs).await;
    cluster.leader().await;
    for address in tokio::net::lookup_host(cluster.api(0)).await.unwrap() {
        let mut client = Client::new(&address.to_string()).await;
        assert_eq!(client.get("/livez").await.json["leader"], cluster.api(0));
    }
}

#[tokio::test]
async fn the_peer_listener_is_for_peers() {
    let cluster = Cluster::start(configs(3, &[])).await;
    cluster.leader().await;
    let peer = cluster.configs[0].peer();
    let reply = Client::new(peer).await.undescribed(b"GET /request HTTP/1.1\r\nHost: me\r\n\r\n").await;
    assert_eq!((reply.status, &reply.json["code"]), (404, &json!("no_route")));
    let ours = format!("{:016x}", cluster.configs[0].cluster_id.0);
    let call = async |cluster: &str, from: u64, to: u64, protocol: &str| {
        let head = format!(
            "GET /raft/control HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: httpraft\r\nRaft-Cluster: {cluster}\r\n\
             Raft-From: {from}\r\nRaft-To: {to}\r\nRaft-Disk: 1\r\nRaft-Boot: 1\r\nRaft-Protocol: {protocol}\r\n\r\n"
        );
        let reply = Client::new(peer).await.undescribed(head.as_bytes()).await;
        (reply.status, reply.json["code"].as_str().unwrap().to_string())
    };
    let refused = |status, code: &str| (status, code.to_string());
    assert_eq!(call("0000000000000001", 1, 0, "1-1").await, refused(421, "wrong_cluster"));
    assert_eq!(call(&ours, 1, 2, "1-1").await, refused(421, "wrong_receiver"));
    assert_eq!(call(&ours, 0, 0, "1-1").await, refused(403, "wrong_sender"));
    assert_eq!(call(&ours, 1, 0, "98-99").await, refused(426, "protocol"));
    assert_eq!(call("x", 1, 0, "1-1").await, refused(400, "bad_handshake"));
}
