//! Where one node is reached, and the book of where all are. A member's addresses stand in the configuration in the log,
//! as the context that the core carries for it:
//!
//! ```json
//! {"peer":"localhost:8000","api":"localhost:9000"}
//! ```
//!
//! The founders' come from the config file, in just these bytes, so that all founders found with the same ones. A data
//! directory of before has empty contexts: then the file's lists count, by id.

use crate::config::Config;
use crate::config::address::Address;
use bytes::Bytes;
use raft_core::{Member, Membership, NodeId, Standing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A node's two addresses, `host:port` each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// For the other nodes.
    pub peer: String,
    /// For clients.
    pub api: String,
}

impl Contact {
    /// The bytes of a member's context.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("two texts always become JSON").into()
    }

    /// Reads what [`Contact::encode`] wrote. Fields that a newer version adds are passed over; `None` if the addresses
    /// are not there or are none.
    pub fn decode(context: &[u8]) -> Option<Contact> {
        serde_json::from_slice::<Contact>(context).ok().filter(Contact::is_sound)
    }

    /// Whether both are addresses.
    pub fn is_sound(&self) -> bool {
        self.addresses().is_some()
    }

    /// Both, for other nodes and for clients, if they are addresses.
    pub fn addresses(&self) -> Option<[Address; 2]> {
        Some([self.peer.parse().ok()?, self.api.parse().ok()?])
    }

    /// An address of this node that is the other's, too.
    pub fn shared(&self, other: &Contact) -> Option<&str> {
        let theirs = other.addresses()?;
        let is_theirs = |text: &&str| text.parse().is_ok_and(|address: Address| theirs.contains(&address));
        [self.peer.as_str(), self.api.as_str()].into_iter().find(is_theirs)
    }
}

/// What a cluster of these settings is founded with; `None` without lists.
pub fn founders(config: &Config) -> Option<Membership> {
    let member = |(id, contact): (u64, Contact)| Member::new(NodeId(id), Standing::Voter, contact.encode());
    Membership::new((0..).zip(config.listed()).map(member).collect())
}

/// How many callers that no configuration names are remembered.
const CALLERS: usize = 256;

/// Where all nodes are reached, as far as this one knows.
pub(crate) struct AddressBook {
    listed: Vec<Contact>,
    /// The lists overrule what stands in the log: see [`Config::moved`].
    moved: bool,
    own: (NodeId, Arc<Contact>),
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    /// By the configuration in force.
    members: BTreeMap<NodeId, Arc<Contact>>,
    /// By their own word. A new leader may be unknown to a node that is behind.
    callers: BTreeMap<NodeId, Arc<Contact>>,
    heard: BTreeMap<NodeId, Arc<Notify>>,
}

impl AddressBook {
    pub(crate) fn new(config: &Config) -> AddressBook {
        AddressBook {
            listed: config.listed().collect(),
            moved: config.moved,
            own: (NodeId(config.id as u64), Arc::new(config.own.clone())),
            entries: Mutex::default(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a configuration's addresses.
    pub(crate) fn follow(&self, membership: &Membership) {
        let contact = |member: &Member| Some((member.id, Arc::new(self.of_member(member)?)));
        self.entries().members = membership.members().iter().filter_map(contact).collect();
    }

    /// A member's addresses by its context, or by the file if it has none.
    pub(crate) fn of_member(&self, member: &Member) -> Option<Contact> {
        let listed = || usize::try_from(member.id.0).ok().and_then(|id| self.listed.get(id)).cloned();
        if self.moved { listed() } else { None }.or_else(|| Contact::decode(&member.context)).or_else(listed)
    }

    /// Where a node is reached: by the configuration, else by its own word.
    pub(crate) fn find(&self, id: NodeId) -> Option<Arc<Contact>> {
        let entries = self.entries();
        let known = entries.members.get(&id).or_else(|| entries.callers.get(&id)).cloned();
        known.or_else(|| (id == self.own.0).then(|| self.own.1.clone()))
    }

    /// This node's own.
    pub(crate) fn own(&self) -> &Arc<Contact> {
        &self.own.1
    }

    /// A node called and said where it is.
    pub(crate) fn called(&self, id: NodeId, contact: Option<Contact>) {
        let mut entries = self.entries();
        if let Some(contact) = contact
            && (entries.callers.len() < CALLERS || entries.callers.contains_key(&id))
        {
            entries.callers.insert(id, Arc::new(contact));
        }
        if let Some(heard) = entries.heard.get(&id) {
            heard.notify_waiters();
        }
    }

    /// Wakes who waits to dial this node: it was just heard from, so it is up.
    pub(crate) fn heard(&self, id: NodeId) -> Arc<Notify> {
        self.entries().heard.entry(id).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Given, GivenFrom};
    use serde_json::{Value, json};

    fn contact(port: u16) -> Contact {
        Contact { peer: format!("localhost:{port}"), api: format!("localhost:{}", port + 1000) }
    }

    fn config() -> Config {
        let given = |(key, value): (&str, Value)| Given { from: GivenFrom::Flag, key: key.into(), value };
        let lists =
            [("peers", ["localhost:8000", "localhost:8001"]), ("apis", ["localhost:9000", "localhost:9001"])];
        Config::new(0, &lists.map(|(key, list)| given((key, json!(list))))).unwrap()
    }

    #[test]
    fn a_context_is_the_same_bytes_everywhere_and_comes_back() {
        let bytes = contact(8000).encode();
        assert_eq!(bytes, r#"{"peer":"localhost:8000","api":"localhost:9000"}"#);
        assert_eq!(Contact::decode(&bytes), Some(contact(8000)));
        let newer = br#"{"peer":"a:1","api":"b:2","zone":"c"}"#;
        assert_eq!(Contact::decode(newer).map(|contact| contact.api), Some("b:2".to_string()));
        for nonsense in ["", "{}", r#"{"peer":"a","api":"b:1"}"#, "\u{0}"] {
            assert_eq!(Contact::decode(nonsense.as_bytes()), None, "{nonsense:?}");
        }
    }

    #[test]
    fn the_log_counts_then_the_file_then_the_callers_word() {
        let member = |id, context| Member::new(NodeId(id), Standing::Voter, context);
        let membership = Membership::new(vec![
            member(0, Bytes::new()),
            member(1, contact(1).encode()),
            member(7, contact(7).encode()),
        ]);
        let membership = membership.unwrap();
        let mut config = config();
        let book = AddressBook::new(&config);
        book.called(NodeId(7), Some(contact(70)));
        assert_eq!(book.find(NodeId(7)).as_deref(), Some(&contact(70)));
        book.follow(&membership);
        for (id, port) in [(0, 8000), (1, 1), (7, 7)] {
            assert_eq!(book.find(NodeId(id)).as_deref(), Some(&contact(port)), "{id}");
        }
        assert_eq!(book.find(NodeId(2)), None);
        config.moved = true;
        let book = AddressBook::new(&config);
        book.follow(&membership);
        assert_eq!(
            book.find(NodeId(1)).as_deref(),
            Some(&contact(8001)),
            "nodes whose ports are drawn at each start"
        );
    }

    #[test]
    fn founders_carry_their_addresses() {
        let founders = founders(&config()).unwrap();
        let contexts: Vec<_> =
            founders.members().iter().map(|member| Contact::decode(&member.context)).collect();
        assert_eq!(contexts, [Some(contact(8000)), Some(contact(8001))]);
    }
}
