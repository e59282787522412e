//! Who talks to whom: the headers that open a stream between two nodes, and what is checked in them. A stream is asked
//! for with an HTTP/1.1 upgrade and, once granted, carries frames of `raft_core::codec` one way.

use crate::contact::Contact;
use http::{HeaderMap, HeaderValue, StatusCode};
use raft_core::{Boot, ClusterId, DiskId, NodeId, Stamp, codec};
use std::time::Duration;

/// The value of the `Upgrade` header.
pub(crate) const UPGRADE: &str = "httpraft";

const CLUSTER: &str = "raft-cluster";
const FROM: &str = "raft-from";
const TO: &str = "raft-to";
const DISK: &str = "raft-disk";
const BOOT: &str = "raft-boot";
const PROTOCOL: &str = "raft-protocol";
/// Where the caller is reached, for nodes whose configuration doesn't name it yet.
const PEER: &str = "raft-peer";
const API: &str = "raft-api";
/// How long the caller waits for a leader, in microseconds.
const PATIENCE: &str = "raft-patience";

/// The versions of the codec that this program reads, as `lowest-highest`.
const PROTOCOLS: (u64, u64) = (codec::VERSION as u64, codec::VERSION as u64);

/// Who this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The cluster that it belongs to.
    pub(crate) cluster: ClusterId,
    /// Which node it is.
    pub(crate) node: NodeId,
    /// Which start of which data directory.
    pub(crate) stamp: Stamp,
    /// Where it is reached.
    pub(crate) contact: Contact,
    /// How long it waits for a leader.
    pub(crate) patience: Duration,
}

/// Who calls, as far as the caller says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The node.
    pub(crate) node: NodeId,
    /// The process.
    pub(crate) stamp: Stamp,
    /// Where it is reached, if it says so.
    pub(crate) contact: Option<Contact>,
    /// How long it waits for a leader, if it says so.
    pub(crate) patience: Option<Duration>,
}

/// Why a stream is refused: what was wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the header {0} is missing or no number of the right form: only nodes of a cluster may call here"
    )]
    Header(&'static str),
    #[error(
        "the caller belongs to cluster {theirs:016x} and this node to cluster {ours:016x}: give both the same config \
         file (\"peers\", \"apis\", \"cluster\"), or correct the address"
    )]
    WrongCluster { ours: u64, theirs: u64 },
    #[error(
        "the caller wants node {wanted} and this is node {this}: \"peers\" must list the same addresses in the same \
         order on all nodes"
    )]
    WrongReceiver { this: NodeId, wanted: u64 },
    #[error("the caller says that it is node {0}, which it can't be: every id is one node's")]
    WrongSender(u64),
    #[error(
        "the caller speaks versions {}-{} of the protocol and this node {}-{}: run the same httpraft on both",
        theirs.0, theirs.1, PROTOCOLS.0, PROTOCOLS.1
    )]
    Protocol { theirs: (u64, u64) },
}

impl Refusal {
    /// A word for programs, and the status.
    pub(crate) fn code(&self) -> (&'static str, StatusCode) {
        match self {
            Refusal::Header(_) => ("bad_handshake", StatusCode::BAD_REQUEST),
            Refusal::WrongCluster { .. } => ("wrong_cluster", StatusCode::MISDIRECTED_REQUEST),
            Refusal::WrongReceiver { .. } => ("wrong_receiver", StatusCode::MISDIRECTED_REQUEST),
            Refusal::WrongSender(_) => ("wrong_sender", StatusCode::FORBIDDEN),
            Refusal::Protocol { .. } => ("protocol", StatusCode::UPGRADE_REQUIRED),
        }
    }
}

impl Identity {
    /// The headers that name this process to node `to`.
    pub(crate) fn introduce(&self, to: NodeId, headers: &mut HeaderMap) {
        let Identity { cluster, node, stamp, contact, patience } = self;
        for (name, value) in [
            (CLUSTER, format!("{:016x}", cluster.0)),
            (FROM, node.to_string()),
            (TO, to.to_string()),
            (DISK, format!("{:016x}", stamp.disk.0)),
            (BOOT, stamp.boot.to_string()),
            (PROTOCOL, format!("{}-{}", PROTOCOLS.0, PROTOCOLS.1)),
            (PEER, contact.peer.clone()),
            (API, contact.api.clone()),
            (PATIENCE, patience.as_micros().to_string()),
        ] {
            headers
                .insert(name, HeaderValue::try_from(value).expect("numbers and addresses are header values"));
        }
    }

    /// Checks the headers of the other side: the same cluster, meant for this node, a version in common, and a node that
    /// it may be. Any other one may call: a new leader can be unknown to a node that is behind.
    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        may_be: impl Fn(NodeId) -> bool,
    ) -> Result<Caller, Refusal> {
        // The protocol comes first: another version may have other headers.
        let theirs = text(headers, PROTOCOL)?
            .split_once('-')
            .and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)))
            .ok_or(Refusal::Header(PROTOCOL))?;
        if theirs.0 > PROTOCOLS.1 || theirs.1 < PROTOCOLS.0 {
            return Err(Refusal::Protocol { theirs });
        }
        let cluster = number(headers, CLUSTER, 16)?;
        if cluster != self.cluster.0 {
            return Err(Refusal::WrongCluster { ours: self.cluster.0, theirs: cluster });
        }
        let wanted = number(headers, TO, 10)?;
        if wanted != self.node.0 {
            return Err(Refusal::WrongReceiver { this: self.node, wanted });
        }
        let node = NodeId(number(headers, FROM, 10)?);
        if node == self.node || !may_be(node) {
            return Err(Refusal::WrongSender(node.0));
        }
        let stamp =
            Stamp { disk: DiskId(number(headers, DISK, 16)?), boot: Boot(number(headers, BOOT, 10)?) };
        let contact = match (text(headers, PEER), text(headers, API)) {
            (Ok(peer), Ok(api)) => Some(Contact { peer: peer.to_string(), api: api.to_string() }),
            _ => None,
        };
        let patience = number(headers, PATIENCE, 10).ok().map(Duration::from_micros);
        Ok(Caller { node, stamp, contact: contact.filter(Contact::is_sound), patience })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Refusal::Header(name))
}

fn number(headers: &HeaderMap, name: &'static str, radix: u32) -> Result<u64, Refusal> {
    u64::from_str_radix(text(headers, name)?, radix).map_err(|_| Refusal::Header(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(cluster: u64, node: u64) -> Identity {
        let stamp = Stamp { disk: DiskId(u64::MAX - node), boot: Boot(node + 7) };
        let contact =
            Contact { peer: format!("localhost:{}", 8000 + node), api: format!("localhost:{}", 9000 + node) };
        let patience = Duration::from_micros(490_001);
        Identity { cluster: ClusterId(cluster), node: NodeId(node), stamp, contact, patience }
    }

    fn call(caller: &Identity, to: u64, change: impl Fn(&mut HeaderMap)) -> Result<Caller, Refusal> {
        let mut headers = HeaderMap::new();
        caller.introduce(NodeId(to), &mut headers);
        change(&mut headers);
        identity(5, 0).check(&headers, |id| id.0 < 30)
    }

    #[test]
    fn a_peer_is_known_by_its_headers() {
        let peer = identity(5, 2);
        let caller = |contact| {
            Ok(Caller { node: peer.node, stamp: peer.stamp, contact, patience: Some(peer.patience) })
        };
        assert_eq!(call(&peer, 0, |_| {}), caller(Some(peer.contact.clone())));
        assert_eq!(
            call(&peer, 0, |headers| drop(headers.remove(PEER))),
            caller(None),
            "an older one doesn't say"
        );
        let odd = |headers: &mut HeaderMap| drop(headers.insert(API, HeaderValue::from_static("nowhere")));
        assert_eq!(call(&peer, 0, odd), caller(None));
        for say in ["", "-1", "soon", "99999999999999999999"] {
            let odd = |headers: &mut HeaderMap| drop(headers.insert(PATIENCE, HeaderValue::from_static(say)));
            assert_eq!(call(&peer, 0, odd).map(|caller| caller.patience), Ok(None), "{say}");
        }
    }

    #[test]
    fn whatever_does_not_fit_is_refused_by_name() {
        let cluster = Refusal::WrongCluster { ours: 5, theirs: 6 };
        assert_eq!(call(&identity(6, 2), 0, |_| {}), Err(cluster));
        let receiver = Refusal::WrongReceiver { this: NodeId(0), wanted: 1 };
        assert_eq!(call(&identity(5, 2), 1, |_| {}), Err(receiver));
        assert_eq!(call(&identity(5, 30), 0, |_| {}), Err(Refusal::WrongSender(30)));
        assert_eq!(call(&identity(5, 0), 0, |_| {}), Err(Refusal::WrongSender(0)), "oneself");
        let set = |name, value| {
            move |headers: &mut HeaderMap| drop(headers.insert(name, HeaderValue::from_static(value)))
        };
        let newer = Refusal::Protocol { theirs: (200, 201) };
        assert_eq!(call(&identity(6, 2), 0, set(PROTOCOL, "200-201")), Err(newer));
        for (name, value) in [(DISK, "xyz"), (BOOT, "-1"), (FROM, ""), (PROTOCOL, "1")] {
            assert_eq!(call(&identity(5, 2), 0, set(name, value)), Err(Refusal::Header(name)));
        }
        assert_eq!(call(&identity(5, 2), 0, |headers| drop(headers.remove(TO))), Err(Refusal::Header(TO)));
    }
}
