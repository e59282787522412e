//! A network of the test's own: a namespace for each node, joined by a bridge, and what the bridge lets through.

use crate::cluster::Cluster;
use crate::cluster::namespaces::run;
use serde_json::Value;
use std::collections::BTreeSet;

/// From one node to another.
pub(crate) type Way = (usize, usize);

/// The bridge drops by addresses, so a connection that stands is cut as well as a new one.
const RULES: &str = "table bridge faults {
    counter cut {}
    counter lost {}
    set cuts { type ipv4_addr . ipv4_addr; }
    set lossy { type ipv4_addr . ipv4_addr; }
    chain forward {
        type filter hook forward priority 0;
        ip saddr . ip daddr @cuts counter name cut drop
        ip saddr . ip daddr @lossy numgen random mod 100 < 30 counter name lost drop
    }
}";

/// The way to a node, when it is narrow: whatever is sent waits its turn, for as long as this, or is lost.
const NARROW: &str = "root tbf rate 400kbit burst 4kb latency 400ms";

/// The network of a cluster. It ends with the namespaces of the test.
pub(crate) struct Network {
    nodes: usize,
}

impl Network {
    /// Lays it, in the empty network namespace that this process has.
    pub(crate) fn lay(nodes: usize) -> Network {
        // The names of namespaces are files, and nobody else shall see these.
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"]);
        ip("link set lo up");
        ip("link add hub type bridge");
        ip("addr add 10.77.0.254/24 dev hub");
        ip("link set hub up");
        let network = Network { nodes };
        for node in 0..nodes {
            let (name, address) = (network.name(node), network.address(node));
            ip(&format!("netns add {name}"));
            ip(&format!("link add to-{name} type veth peer name eth0 netns {name}"));
            ip(&format!("link set to-{name} master hub up"));
            ip(&format!("-n {name} addr add {address}/24 dev eth0"));
            ip(&format!("-n {name} link set eth0 up"));
            ip(&format!("-n {name} link set lo up"));
        }
        run("nft", &[RULES]);
        network
    }

    /// A cluster in it, with reads by lease. No node runs yet.
    pub(crate) fn cluster(&self) -> Cluster {
        let at = |port: u16| (0..self.nodes).map(|node| format!("{}:{port}", self.address(node))).collect();
        let mut cluster = Cluster::at(at(8000), at(9000), self.nodes);
        for (node, setup) in cluster.setups.iter_mut().enumerate() {
            let quick = ["--heartbeat", "25ms", "--election-timeout", "250ms"];
            setup.arguments.extend(quick.map(str::to_string));
            setup.arguments.extend(["--insecure", "--lease-reads"].map(str::to_string));
            setup.network = Some(self.name(node));
        }
        cluster
    }

    /// The name of a node's namespace.
    fn name(&self, node: usize) -> String {
        format!("node-{node}")
    }

    /// A node's host.
    fn address(&self, node: usize) -> String {
        assert!(node < self.nodes);
        format!("10.77.0.{}", node + 1)
    }

    /// From now on nothing goes these ways, three of ten packets are lost on those, and all others are free.
    pub(crate) fn filter(&self, cuts: &BTreeSet<Way>, lossy: &BTreeSet<Way>) {
        let mut commands = String::new();
        for (set, ways) in [("cuts", cuts), ("lossy", lossy)] {
            commands += &format!("flush set bridge faults {set};");
            for (from, to) in ways {
                let way = format!("{} . {}", self.address(*from), self.address(*to));
                commands += &format!("add element bridge faults {set} {{ {way} }};");
            }
        }
        run("nft", &[commands]);
    }

    /// Makes the way to a node narrow.
    pub(crate) fn narrow(&self, node: usize) {
        tc(&format!("qdisc add dev to-{} {NARROW}", self.name(node)));
    }

    /// .. and wide again.
    pub(crate) fn widen(&self, node: usize) {
        tc(&format!("qdisc del dev to-{} root", self.name(node)));
    }

    /// How many packets were dropped by a counter's rule so far.
    pub(crate) fn dropped(&self, counter: &str) -> u64 {
        let listed = run("nft", &["-j", "list", "counter", "bridge", "faults", counter]);
        let listed: Value = serde_json::from_str(&listed).expect("nft prints JSON");
        let objects = listed["nftables"].as_array().expect("a list");
        let packets = |object: &Value| object["counter"]["packets"].as_u64();
        objects.iter().find_map(packets).expect("the counter has packets")
    }

    /// All ways between these nodes and the others.
    pub(crate) fn around(&self, nodes: &[usize]) -> BTreeSet<Way> {
        let all = (0..self.nodes).flat_map(|from| (0..self.nodes).map(move |to| (from, to)));
        all.filter(|(from, to)| nodes.contains(from) != nodes.contains(to)).collect()
    }
}

fn ip(command: &str) {
    run("ip", &command.split(' ').collect::<Vec<_>>());
}

fn tc(command: &str) {
    run("tc", &command.split(' ').collect::<Vec<_>>());
}
