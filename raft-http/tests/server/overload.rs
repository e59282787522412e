//! What clients can make a node hold is bounded, and who is slow is cut off.

use crate::cluster::{Client, Cluster, PATIENCE};
use serde_json::json;
use socket2::SockRef;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// A request that announces a body of this size, and sends half of it.
async fn half(address: &str, size: usize) -> Client {
    let mut client = Client::new(address).await;
    let head = format!("POST /request HTTP/1.1\r\nHost: me\r\nContent-Length: {size}\r\n\r\n");
    client.write(&[head.into_bytes(), vec![b' '; size / 2]].concat()).await.unwrap();
    client
}

#[tokio::test]
async fn large_bodies_share_their_room_and_small_ones_need_none() {
    let more = [("max_body", json!("100KiB")), ("max_body_bytes", json!("250KiB"))];
    let cluster = Cluster::of_one(&more).await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        slow.push(half(cluster.api(0), 100 << 10).await);
    }
    let entry = "x".repeat(60 << 10);
    // The server may not have seen them yet.
    let start = Instant::now();
    let refused = loop {
        let reply = cluster.client(0).await.post("/request", &json!({ "entry": entry })).await;
        if reply.status != 200 {
            break reply;
        }
        assert!(start.elapsed() < PATIENCE, "never refused");
    };
    assert_eq!((refused.status, &refused.json["code"]), (429, &json!("overloaded")));
    assert_eq!(refused.json["outcome"], "not_applied");
    assert_eq!(refused.headers["retry-after"], "1");
    let small = cluster.client(0).await.post("/request", &json!({ "entry": "small" })).await;
    assert_eq!(small.status, 200, "{small:?}");
    drop(slow);
    let start = Instant::now();
    while cluster.client(0).await.post("/request", &json!({ "entry": entry })).await.status != 200 {
        assert!(start.elapsed() < PATIENCE, "the room does not come back");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A client that is busy sending must get to read that it was refused, and not find its connection reset.
#[tokio::test]
async fn who_sends_much_is_told_that_there_is_no_room() {
    let more = [
        ("max_body", json!("8MiB")),
        ("max_body_bytes", json!("9MiB")),
        ("max_proposal_bytes", json!("64MiB")),
    ];
    let cluster = Cluster::of_one(&more).await;
    let _slow = half(cluster.api(0), 8 << 20).await;
    let entry = "x".repeat(7 << 20);
    for _ in 0..5 {
        let refused = cluster.client(0).await.post("/request", &json!({ "entry": entry })).await;
        assert_eq!((refused.status, &refused.json["outcome"]), (429, &json!("not_applied")));
    }
}

#[tokio::test]
async fn who_does_not_read_is_cut_off_and_gives_the_room_back() {
    let more = [
        ("max_body", json!("8MiB")),
        ("max_body_bytes", json!("16MiB")),
        ("answer_write_timeout", json!("500ms")),
    ];
    let cluster = Cluster::of_one(&more).await;
    // Six bytes of JSON each: 12 MB, more than the sockets' buffers take.
    let entry = "\u{1}".repeat(1 << 20);
    for _ in 0..2 {
        assert_eq!(cluster.client(0).await.post("/request", &json!({ "entry": entry })).await.status, 200);
    }
    let mut lazy = TcpStream::connect(cluster.api(0)).await.unwrap();
    SockRef::from(&lazy).set_recv_buffer_size(4096).unwrap();
    lazy.write_all(b"GET /log HTTP/1.1\r\nHost: me\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    let refused = cluster.client(0).await.get("/log").await;
    assert_eq!((refused.status, &refused.json["code"]), (429, &json!("overloaded")));
    assert!(refused.json["outcome"].is_null(), "a read has none");
    sleep(Duration::from_secs(1)).await;
    let after = cluster.client(0).await.get("/log").await;
    assert_eq!(after.status, 200, "the room came back");
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, lazy.read_to_end(&mut rest)).await.expect("it was cut off");
    assert!(end.is_err() || rest.len() < 12 << 20, "{} bytes of the answer came", rest.len());
}
