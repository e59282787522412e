//! `host:port`: what the config file's lists hold. A host is a name or an IP address, an IPv6 one in brackets.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A host and a port, in one spelling, so that equal addresses compare equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Address {
    /// Whether other machines reach it for sure: an IP address that isn't a loopback one. What a name stands for is
    /// seen when it is listened on.
    pub fn is_exposed(&self) -> bool {
        matches!(self.host, Host::Ip(ip) if !ip.to_canonical().is_loopback())
    }
}

/// What is wrong with an address, to be read after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no colon, or nothing before it.
    #[error("is not host:port, like \"localhost:8000\"")]
    Form,
    /// An IPv6 address without brackets.
    #[error("has an IPv6 address without brackets: write it like \"[::1]:8000\"")]
    Brackets,
    /// The host is neither a name nor an IP address.
    #[error("has a host that is neither a name nor an IP address")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Form)?;
        if host.is_empty() {
            return Err(AddressError::Form);
        }
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => Host::Ip(inner.parse::<Ipv6Addr>().map_err(|_| AddressError::Host)?.into()),
            None if host.contains(':') => return Err(AddressError::Brackets),
            None => match host.parse::<IpAddr>() {
                Ok(ip) => Host::Ip(ip),
                Err(_) if is_name(host) => Host::Name(host.to_ascii_lowercase()),
                Err(_) => return Err(AddressError::Host),
            },
        };
        // `parse` alone would take "+80".
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| *port > 0 && digits).ok_or(AddressError::Port)?;
        Ok(Address { host, port })
    }
}

/// Letters, digits, `-`, `_` and dots between labels that are not empty; not all digits at the end, which would be a
/// mistyped IPv4 address.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses() {
        for (text, exposed) in [
            ("localhost:8000", false),
            ("127.0.0.2:1", false),
            ("[::1]:65535", false),
            ("[::ffff:127.0.0.1]:80", false),
            ("node-1.example.org.:8000", false),
            ("my_host:8000", false),
            ("0.0.0.0:8000", true),
            ("[::]:8000", true),
            ("10.0.0.1:8000", true),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.is_exposed(), exposed, "{text}");
        }
    }

    #[test]
    fn spelling_makes_no_difference() {
        let same = |a: &str, b: &str| assert_eq!(a.parse::<Address>(), b.parse(), "{a} {b}");
        same("LOCALHOST:8000", "localhost:8000");
        same("localhost:08000", "localhost:8000");
        same("[0:0::1]:80", "[::1]:80");
    }

    #[test]
    fn bad_addresses() {
        for (text, error) in [
            ("", AddressError::Form),
            ("localhost", AddressError::Form),
            (":8000", AddressError::Form),
            ("::1:8000", AddressError::Brackets),
            ("[::1:8000", AddressError::Brackets),
            ("[nonsense]:8000", AddressError::Host),
            ("http://localhost:8000", AddressError::Brackets),
            ("a b:8000", AddressError::Host),
            ("a..b:8000", AddressError::Host),
            ("127.0.0.256:8000", AddressError::Host),
            ("localhost:", AddressError::Port),
            ("localhost:0", AddressError::Port),
            ("localhost:+80", AddressError::Port),
            ("localhost:65536", AddressError::Port),
            ("localhost:80/", AddressError::Port),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text:?}");
        }
    }
}
