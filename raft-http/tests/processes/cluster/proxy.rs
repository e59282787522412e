//! A wire between nodes that can be held: what is sent stays under way until it is let go.

use super::ports::Port;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(5);

/// The way to one address. Its threads end with the test's process.
pub(crate) struct Proxy {
    port: Port,
    held: Arc<AtomicBool>,
}

impl Proxy {
    /// A wire to this address.
    pub(crate) fn to(address: &str) -> Proxy {
        let proxy = Proxy { port: Port::take(), held: Arc::default() };
        let listener = TcpListener::bind(proxy.address()).expect("the port is free");
        let (address, held) = (address.to_string(), proxy.held.clone());
        spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&address) else { continue };
                join(near, far, &held);
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
        self.held.store(true, Ordering::Relaxed);
    }

    /// What is under way arrives.
    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::Relaxed);
    }
}

fn join(near: TcpStream, far: TcpStream, held: &Arc<AtomicBool>) {
    let (Ok(back_from), Ok(back_to)) = (far.try_clone(), near.try_clone()) else { return };
    for (from, to) in [(near, far), (back_from, back_to)] {
        let held = held.clone();
        spawn(move || carry(from, to, &held));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, held: &AtomicBool) {
    let mut bytes = vec![0; 64 << 10];
    let _ = to.set_nodelay(true);
    loop {
        let length = match from.read(&mut bytes) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        while held.load(Ordering::Relaxed) {
            sleep(LOOK);
        }
        if length == 0 || to.write_all(&bytes[..length]).is_err() {
            // The other direction ends by it, too.
            let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
            return;
        }
    }
}
