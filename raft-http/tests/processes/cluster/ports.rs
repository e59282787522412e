//! Loopback ports that stay this test's own for as long as it runs.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that systems hand out to outgoing connections: one of those could take a stopped node's place.
const LOWEST: u16 = 12_000;
const COUNT: u16 = 18_000;

/// A TCP port that nobody listens on. The UDP socket of the same number is held as a token: it keeps the other tests
/// of this and other processes away while the node is down.
pub(crate) struct Port {
    number: u16,
    _token: UdpSocket,
}

impl Port {
    /// Takes a free port.
    pub(crate) fn take() -> Port {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Processes that run beside each other begin at different places.
        let begin = (std::process::id() % u32::from(COUNT)) as u16;
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = LOWEST + (begin.wrapping_mul(61).wrapping_add(step)) % COUNT;
            let Ok(token) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Port { number, _token: token };
            }
        }
        panic!("no free port on this machine");
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}
