//! A wire between nodes that can be held: what is sent stays under way until it is let go.

use super::ports::Port;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{sleep, spawn};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(5);

/// The way to one address. Its threads end with the test's process.
pub(crate) struct Proxy {
    port: Port,
    /// Whose streams are held: a bit a node.
    held: Arc<AtomicU64>,
    /// How often all streams were ended.
    severed: Arc<AtomicU64>,
}

impl Proxy {
    /// A wire to this address.
    pub(crate) fn to(address: &str) -> Proxy {
        let proxy = Proxy { port: Port::take(), held: Arc::default(), severed: Arc::default() };
        let listener = TcpListener::bind(proxy.address()).expect("the port is free");
        let (address, held, severed) = (address.to_string(), proxy.held.clone(), proxy.severed.clone());
        spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&address) else { continue };
                let (held, severed) = (held.clone(), severed.clone());
                spawn(move || join(near, far, &held, &severed));
            }
        });
        proxy
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> String {
        self.port.address()
    }

    /// Nothing arrives until further notice, and nothing is lost.
    pub(crate) fn hold(&self) {
        self.held.store(u64::MAX, Ordering::SeqCst);
    }

    /// .. of what this node sends.
    pub(crate) fn hold_from(&self, node: usize) {
        self.held.fetch_or(1 << node, Ordering::SeqCst);
    }

    /// What is under way arrives.
    #[allow(dead_code)] // each test target uses its own part
    pub(crate) fn release(&self) {
        self.held.store(0, Ordering::SeqCst);
    }

    /// What is under way is lost, with the streams that carry it; new ones get through.
    #[allow(dead_code)] // each test target uses its own part
    pub(crate) fn sever(&self) {
        self.severed.fetch_add(1, Ordering::SeqCst);
        self.held.store(0, Ordering::SeqCst);
    }
}

fn join(mut near: TcpStream, far: TcpStream, held: &Arc<AtomicU64>, severed: &Arc<AtomicU64>) {
    let Some(head) = head(&mut near) else { return };
    // Whoever doesn't say who they are is held with everybody.
    let sender = head.lines().find_map(|line| line.strip_prefix("raft-from: ")?.trim().parse().ok());
    let of = sender.map_or(u64::MAX, |node: u32| 1 << node);
    let (Ok(back_from), Ok(back_to)) = (far.try_clone(), near.try_clone()) else { return };
    for (from, to, first) in [(near, far, head), (back_from, back_to, String::new())] {
        let (held, severed) = (held.clone(), severed.clone());
        let before = severed.load(Ordering::SeqCst);
        let is_severed = move || severed.load(Ordering::SeqCst) != before;
        let is_held = move || held.load(Ordering::SeqCst) & of != 0;
        spawn(move || carry(from, to, first.into_bytes(), &is_held, &is_severed));
    }
}

/// What a stream begins with: the request that opens it.
fn head(near: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        near.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    String::from_utf8(head).ok()
}

fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    first: Vec<u8>,
    is_held: &dyn Fn() -> bool,
    is_severed: &dyn Fn() -> bool,
) {
    let mut bytes = vec![0; 64 << 10];
    let mut ready = first;
    let _ = to.set_nodelay(true);
    loop {
        while is_held() {
            sleep(LOOK);
        }
        let written =
            if is_severed() { Err(ErrorKind::ConnectionAborted.into()) } else { to.write_all(&ready) };
        let length = match written.and_then(|()| from.read(&mut bytes)) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                ready.clear();
                continue;
            }
            Err(_) => 0,
        };
        ready = bytes[..length].to_vec();
        if length == 0 {
            while is_held() {
                sleep(LOOK);
            }
            // The other direction ends by it, too.
            let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
            return;
        }
    }
}
