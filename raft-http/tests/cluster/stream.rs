//! An answer without an end, piece by piece.

use super::{Client, PATIENCE, request};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The answer, as far as it has come.
pub(crate) struct Stream {
    client: Client,
    pub(crate) headers: BTreeMap<String, String>,
    /// Bytes of the body, without what is taken.
    body: Vec<u8>,
    ended: bool,
    /// It ended as an answer does, and did not break off.
    pub(crate) whole: bool,
}

/// A Server-Sent Event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<u64>,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

impl Stream {
    /// Asks the node that the client is connected to, on a connection of its own.
    pub(crate) async fn open(client: &Client, path: &str, headers: &[(&str, &str)]) -> Stream {
        let stream = TcpStream::connect(client.stream.peer_addr().unwrap()).await.unwrap();
        let mut client = Client { stream, received: Vec::new() };
        client.write(&request("GET", path, headers, b"")).await.unwrap();
        let mut stream =
            Stream { client, headers: BTreeMap::new(), body: Vec::new(), ended: false, whole: false };
        let end = loop {
            let received = &stream.client.received;
            match received.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => assert!(stream.receive().await, "the head comes"),
            }
        };
        let head = String::from_utf8(stream.client.received.drain(..end).collect()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let named = head.lines().filter_map(|line| line.split_once(": "));
        stream.headers = named.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        assert_eq!(stream.headers["transfer-encoding"], "chunked");
        assert_eq!(stream.headers["raft-consistency"], "linearizable");
        stream
    }

    async fn receive(&mut self) -> bool {
        let Client { stream, received } = &mut self.client;
        timeout(PATIENCE, stream.read_buf(received))
            .await
            .expect("something in time")
            .is_ok_and(|read| read > 0)
    }

    /// Takes in the next chunk; `false` at the end.
    async fn chunk(&mut self) -> bool {
        loop {
            let received = &self.client.received;
            if let Some(line) = received.windows(2).position(|window| window == b"\r\n") {
                let size =
                    usize::from_str_radix(std::str::from_utf8(&received[..line]).unwrap(), 16).unwrap();
                if received.len() >= line + 2 + size + 2 {
                    self.body.extend_from_slice(&received[line + 2..line + 2 + size]);
                    self.client.received.drain(..line + 2 + size + 2);
                    self.whole = size == 0;
                    self.ended = self.whole;
                    return !self.ended;
                }
            }
            if !self.receive().await {
                self.ended = true;
                return false;
            }
        }
    }

    /// All that is still to come.
    pub(crate) async fn rest(&mut self) -> String {
        while !self.ended {
            self.chunk().await;
        }
        String::from_utf8(std::mem::take(&mut self.body)).unwrap()
    }

    /// The next events.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            match self.body.windows(2).position(|window| window == b"\n\n") {
                Some(end) => {
                    let text: Vec<u8> = self.body.drain(..end + 2).collect();
                    events.push(Event::read(std::str::from_utf8(&text).unwrap()));
                }
                None => assert!(self.chunk().await, "the stream goes on: {events:?}"),
            }
        }
        events
    }
}

impl Event {
    fn read(text: &str) -> Event {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Event {
            id: field("id").map(|id| id.parse().unwrap()),
            kind: field("event").unwrap().to_string(),
            data: serde_json::from_str(field("data").unwrap()).unwrap(),
        }
    }
}
