//! The smallest HTTP/1.1 client that can tell a whole answer from a broken one: one connection a request, every step
//! with a time-out.

use serde_json::Value;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const CONNECT: Duration = Duration::from_secs(2);

/// A request as it is sent; `Host: me` goes with it, as the published collections do it.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) body: Option<&'a Value>,
    /// How long the whole exchange may take.
    pub(crate) within: Duration,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
}

/// Asks for a path.
pub(crate) fn get(address: &str, path: &str) -> io::Result<Answer> {
    ask(address, &Request { method: "GET", path, body: None, within: Duration::from_secs(5) })
}

/// Appends an entry, as the published request does it.
pub(crate) fn append(address: &str, entry: &str, within: Duration) -> io::Result<Answer> {
    let body = serde_json::json!({ "entry": entry });
    ask(address, &Request { method: "POST", path: "/request", body: Some(&body), within })
}

/// Appends an entry under an idempotency key.
pub(crate) fn append_once(address: &str, entry: &str, key: &str, within: Duration) -> io::Result<Answer> {
    let body = serde_json::json!({ "entries": [entry] });
    ask_once(address, &Request { method: "POST", path: "/v1/log", body: Some(&body), within }, key)
}

/// Sends a request under an idempotency key.
pub(crate) fn ask_once(address: &str, request: &Request, key: &str) -> io::Result<Answer> {
    ask_with(address, request, &format!("Idempotency-Key: {key}\r\n"))
}

/// Sends a request and reads its answer to the end.
///
/// # Errors
/// No connection, or one that broke before the answer was whole.
///
/// # Panics
/// If a whole answer is not HTTP or not JSON: that is never a matter of timing.
pub(crate) fn ask(address: &str, request: &Request) -> io::Result<Answer> {
    ask_with(address, request, "")
}

/// .. with further headers.
fn ask_with(address: &str, request: &Request, headers: &str) -> io::Result<Answer> {
    let deadline = Instant::now() + request.within;
    let mut stream = connect(address)?;
    stream.set_nodelay(true)?;
    let body = request.body.map(Value::to_string).unwrap_or_default();
    let Request { method, path, .. } = request;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: me\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n"
    );
    stream.set_write_timeout(Some(request.within))?;
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let bytes = read_to_end(&mut stream, deadline)?;
    parse(&bytes).ok_or_else(|| io::Error::new(ErrorKind::UnexpectedEof, "the answer broke off"))
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    let mut last = io::Error::other("a name without an address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn read_to_end(stream: &mut TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let (mut bytes, mut part) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => return Ok(bytes),
            length => bytes.extend_from_slice(&part[..length]),
        }
    }
}

/// `None` if the answer is not whole.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).expect("an HTTP answer");
    let status = status.get(..3).and_then(|status| status.parse().ok()).expect("a status");
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map(|(_, length)| length.trim().parse().expect("a length"))
        .expect("an answer has its length");
    let body = bytes[end + 4..].get(..length)?;
    let json = serde_json::from_slice(body)
        .unwrap_or_else(|error| panic!("{status} without JSON: {error}: {}", String::from_utf8_lossy(body)));
    Some(Answer { status, json })
}
