//! What both systems are asked to do: the same workload, one thread, a perfect network, instant disks.

/// A cluster in memory, whose first node leads at the start. Each call ends when nothing is on its way any more.
pub(crate) trait Cluster {
    type Node;

    /// A new cluster that has elected its first node.
    fn start(nodes: usize) -> Self;

    /// Proposes so many commands, each with a copy of the payload of its own, before anything is delivered.
    fn propose(&mut self, batch: u64, payload: &[u8]);

    /// Lets the log go where the system can.
    fn compact(&mut self);

    /// This node campaigns, asking before (pre-vote), and wins.
    fn elect(&mut self, node: usize);

    /// Asks for so many linearizable reads before anything is delivered.
    fn read(&mut self, batch: u64);

    /// Commands committed and handed out by the leader so far.
    fn committed(&self) -> u64;

    /// Reads confirmed so far.
    fn confirmed(&self) -> u64;

    /// Messages sent so far.
    fn messages(&self) -> u64;

    /// One node alone; the others are dropped.
    fn take(self, node: usize) -> Self::Node;

    /// A tick that nothing comes of.
    fn idle_tick(node: &mut Self::Node);

    /// The leader's round of heartbeats: how many messages leave.
    fn heartbeat(node: &mut Self::Node) -> usize;
}
