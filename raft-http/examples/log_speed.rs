//! The log beside a naive writer: the same bytes to the same places of one file that is there and filled with zeros, then
//! one `fdatasync`. They take turns, write by write. `log_speed DIRECTORY`, which must be new; bench/servers.py runs it.

use bytes::Bytes;
use raft_core::wal::{self, Layout, Op, Wal};
use raft_core::{Config, Input, Membership, Node, Output, Persisted, Recovered, RoleName, Ticket, Write};
use raft_http::config::{self, Given, GivenFrom};
use raft_http::data_dir::DataDir;
use raft_http::storage::{Storage, StorageOptions};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Syncs of each writer at each batch.
const SYNCS: usize = 600;

/// What a node of one writes when commands are proposed to it.
struct Leader {
    node: Node,
    tickets: u64,
}

impl Leader {
    fn writes(&mut self, inputs: impl IntoIterator<Item = Input>) -> Vec<Write> {
        let mut turn = self.node.turn();
        inputs.into_iter().for_each(|input| turn.input(input));
        let writes = turn.drain().filter_map(|output| match output {
            Output::Persist(write) => Some(write),
            _ => None,
        });
        writes.collect()
    }

    /// So many turns, each with so many proposals of 256 bytes.
    fn propose(&mut self, turns: u64, batch: u64) -> Vec<Write> {
        let mut writes = Vec::new();
        for _ in 0..turns {
            let tickets = self.tickets..self.tickets + batch;
            self.tickets = tickets.end;
            let command = || Bytes::from(vec![7; 256]);
            writes.extend(
                self.writes(
                    tickets.map(|ticket| Input::Propose { ticket: Ticket(ticket), command: command() }),
                ),
            );
        }
        writes
    }
}

/// The naive writer. What it puts where is the log's own doing, done before the clock starts.
struct Naive {
    wal: Wal,
    file: File,
}

impl Naive {
    fn new(path: &Path, wal: Wal, layout: Layout) -> Result<Naive> {
        let file = File::create(path)?;
        file.write_all_at(&vec![0; usize::try_from(layout.segment_bytes())?], 0)?;
        file.sync_all()?;
        Ok(Naive { wal, file })
    }

    /// The bytes of these writes, one piece for each stretch. The next segment's places are those of the last one, in the
    /// same file.
    fn pieces(&mut self, writes: &[Write]) -> Result<BTreeMap<u64, Vec<u8>>> {
        let (mut ops, mut last) = (Vec::new(), None);
        for write in writes {
            last = Some(self.wal.append(write.update(), &mut ops)?);
        }
        let puts = ops.into_iter().filter_map(|op| match op {
            Op::Put { segment, at, bytes } => Some((segment, at, bytes)),
            Op::Create { .. } => None,
        });
        let mut puts: Vec<(u64, u64, Bytes)> = puts.collect();
        puts.sort_by_key(|(segment, at, _)| (*segment, *at));
        let mut pieces: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut stretch = 0;
        for (_, at, bytes) in puts {
            match pieces.get_mut(&stretch) {
                Some(piece) if stretch + piece.len() as u64 == at => piece.extend(bytes),
                _ => {
                    stretch = at;
                    pieces.insert(at, bytes.to_vec());
                }
            }
        }
        // No file is deleted: there is one.
        drop(self.wal.synced(last.ok_or("there is nothing to write")?));
        Ok(pieces)
    }

    fn persist(&mut self, pieces: &BTreeMap<u64, Vec<u8>>) -> Result<Duration> {
        let began = Instant::now();
        for (at, piece) in pieces {
            self.file.write_all_at(piece, *at)?;
        }
        self.file.sync_data()?;
        Ok(began.elapsed())
    }
}

struct Contest {
    leader: Leader,
    ours: Storage,
    naive: Naive,
}

impl Contest {
    /// Both write the same, in turns whose first one changes. Their times.
    fn round(&mut self, writes: Vec<Write>, ours_first: bool) -> Result<[Duration; 2]> {
        let pieces = self.naive.pieces(&writes)?;
        let mut naive = Duration::ZERO;
        if !ours_first {
            naive = self.naive.persist(&pieces)?;
        }
        let began = Instant::now();
        let receipts = self.ours.persist(writes)?;
        let ours = began.elapsed();
        if ours_first {
            naive = self.naive.persist(&pieces)?;
        }
        self.receive(receipts)?;
        Ok([ours, naive])
    }

    fn receive(&mut self, receipts: Vec<Persisted>) -> Result<()> {
        let writes = self.leader.writes(receipts.into_iter().map(Input::Persisted));
        self.carry_out(writes)
    }

    /// Unmeasured.
    fn carry_out(&mut self, writes: Vec<Write>) -> Result<()> {
        if writes.is_empty() { Ok(()) } else { self.round(writes, true).map(drop) }
    }

    fn row(&mut self, name: &str, turns: u64, batch: u64) -> Result<()> {
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..SYNCS {
            let writes = self.leader.propose(turns, batch);
            let took = self.round(writes, round.is_multiple_of(2))?;
            times.iter_mut().zip(took).for_each(|(row, took)| row.push(took.as_secs_f64() * 1e6));
        }
        let means = times.each_ref().map(|row| row.iter().sum::<f64>() / row.len() as f64);
        let [ours, naive] = times.map(|mut row| {
            row.sort_by(f64::total_cmp);
            row[row.len() / 2]
        });
        println!(
            "| {name} | {ours:.0} | {naive:.0} | {:.2} | {:.0} | {:.0} | {:.2} |",
            naive / ours,
            means[0],
            means[1],
            means[1] / means[0]
        );
        Ok(())
    }
}

fn main() -> Result<()> {
    let argument = std::env::args().nth(1).ok_or("usage: log DIRECTORY")?;
    let directory = Path::new(&argument);
    std::fs::create_dir(directory)?;
    let given = |key: &str, value: &str| Given {
        from: GivenFrom::Flag,
        key: key.to_string(),
        value: serde_json::json!([value]),
    };
    let settings = [given("peers", "127.0.0.1:1"), given("apis", "127.0.0.1:2")];
    let data = DataDir::open(&directory.join("data"), &config::Config::new(0, &settings)?)?;
    let options = StorageOptions::default();
    let (ours, recovered) = Storage::open(&data, data.identity(), options)?;
    let wal = wal::recover(data.identity(), options.layout, Vec::new())?.wal;
    let naive = Naive::new(&directory.join("naive"), wal, options.layout)?;
    let mut contest = Contest { leader: Leader { node: node(&data, recovered)?, tickets: 0 }, ours, naive };
    for input in [None, Some(Input::Tick { elapsed: 100 }), Some(Input::Campaign)] {
        let writes = contest.leader.writes(input);
        contest.carry_out(writes)?;
    }
    if contest.leader.node.status().role != RoleName::Leader {
        return Err(format!("a node alone leads, but: {:?}", contest.leader.node.status()).into());
    }
    println!(
        "| batch | log: median us | naive | speed of the log : naive | log: mean us | naive | speed of the log : naive |"
    );
    println!("|---|---|---|---|---|---|---|");
    for batch in [1, 16, 256] {
        contest.row(&batch.to_string(), 1, batch)?;
    }
    contest.row("1 of each of 64 writers", 64, 1)
}

fn node(data: &DataDir, recovered: Recovered) -> Result<Node> {
    let founders = Membership::founders([data.node()]).ok_or("a node alone is a membership")?;
    let mut config = Config::new(data.node(), data.disk(), Some(founders), 1);
    (config.limits.snapshot_entries, config.limits.snapshot_bytes) = (u64::MAX, usize::MAX);
    Ok(Node::new(config, recovered)?)
}
