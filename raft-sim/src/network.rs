//! The network: it loses, delays, reorders, repeats, damages and cuts off; and it keeps old messages, to deliver them
//! once more when nobody expects them any longer.

use crate::choices::{Choices, MILLION, Purpose, Site};
use crate::facts::{Class, Time};
use crate::options;
use bytes::{Bytes, BytesMut};
use raft_core::{Body, Message, codec};

/// Nodes are numbered from 1; there are at most nine.
const NODES: usize = 10;
/// How many old messages are kept.
const ARCHIVE: usize = 384;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who sent it.
    pub from: usize,
    /// For whom it is.
    pub to: usize,
    /// What it says.
    pub message: Message,
    /// It came out of the archive, and is in no queue.
    pub replayed: bool,
}

crate::counts::counts! {
    /// How often what happened to messages.
    Counts {
        /// Messages lost, for whatever reason.
        lost,
        /// Messages delivered twice.
        duplicated,
        /// Frames damaged, each refused by the codec.
        damaged,
        /// Messages out of the archive.
        replayed,
        /// Cuts of any kind.
        cuts,
    }
}

/// The links between all nodes.
#[derive(Clone, Debug)]
pub struct Network {
    options: options::Network,
    /// `cut[from]` has a bit for every node that can't be reached from there.
    cut: [u16; NODES],
    under_way: [[u32; NODES]; NODES],
    /// When the newest message on a link arrives.
    newest: [[Time; NODES]; NODES],
    archive: Vec<(usize, usize, Message)>,
    /// How often what happened.
    pub counts: Counts,
}

impl Network {
    /// A whole network.
    pub fn new(options: options::Network) -> Network {
        Network {
            options,
            cut: [0; NODES],
            under_way: [[0; NODES]; NODES],
            newest: [[0; NODES]; NODES],
            archive: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// From now on the network is as good as networks are: at most this delay, and no loss.
    pub fn heal(&mut self, delay: Time) {
        self.cut = [0; NODES];
        self.options.delay = self.options.delay.min(delay / 2);
        self.options.jitter = self.options.jitter.min(delay / 2);
        self.options.loss = 0;
        self.options.duplicate = 0;
        self.options.corrupt = 0;
        self.options.slow = 0;
        self.options.queue = u32::MAX;
    }

    /// Ends all cuts.
    pub fn mend(&mut self) {
        self.cut = [0; NODES];
    }

    /// Whether no way is cut.
    pub fn is_whole(&self) -> bool {
        self.cut.iter().all(|cut| *cut == 0)
    }

    /// Cuts the way from one node to another.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut[from] |= 1 << to;
        self.counts.cuts += 1;
    }

    /// Opens the way from one node to another.
    pub fn open(&mut self, from: usize, to: usize) {
        self.cut[from] &= !(1 << to);
    }

    /// All cuts: from where to where.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let links = (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to)));
        links.filter(|(from, to)| self.is_cut(*from, *to))
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from] & (1 << to) != 0
    }

    /// A message leaves a process. What arrives of it, and when, is handed to `deliver`.
    ///
    /// # Errors
    /// If the codec changes a message, or takes a damaged frame.
    pub fn send(
        &mut self,
        now: Time,
        (from, to): (usize, usize),
        message: Message,
        choices: &mut impl Choices,
        mut deliver: impl FnMut(Time, Letter),
    ) -> Result<(), (Class, String)> {
        let options = self.options;
        let fate = choices.pick(Site::new(Purpose::Fate, from), MILLION);
        let mut rest = MILLION - 1 - fate;
        // Fates exclude each other, so that one draw decides. The archive keeps any message, whatever becomes of it.
        let mut falls = |share: u64| {
            let hit = rest < share;
            rest = rest.wrapping_sub(share);
            hit
        };
        let (lost, twice, damaged) = (falls(options.loss), falls(options.duplicate), falls(options.corrupt));
        let (slow, through) = (falls(options.slow), falls(options.codec));
        let kept = falls(options.archive) || (lost && options.archive > 0);
        if kept || (options.archive > 0 && is_rare(&message.body)) {
            self.keep(from, to, &message, choices);
        }
        let crowded = self.under_way[from][to] >= options.queue;
        if damaged {
            self.counts.damaged += 1;
            damage(&message, choices)?;
        }
        if lost || damaged || crowded || self.is_cut(from, to) {
            self.counts.lost += 1;
            return Ok(());
        }
        let message = if through { there_and_back(message)? } else { message };
        if twice {
            self.counts.duplicated += 1;
            let arrives = self.arrives(now, from, to, false, choices);
            deliver(arrives, Letter { from, to, message: message.clone(), replayed: false });
        }
        let arrives = self.arrives(now, from, to, slow, choices);
        deliver(arrives, Letter { from, to, message, replayed: false });
        Ok(())
    }

    fn arrives(&mut self, now: Time, from: usize, to: usize, slow: bool, choices: &mut impl Choices) -> Time {
        self.under_way[from][to] += 1;
        let site = Site::new(Purpose::Delay, from);
        let mut at = now + choices.range(site, self.options.delay, self.options.delay + self.options.jitter);
        if slow {
            at += choices.range(site, 0, self.options.tail);
        }
        if self.options.ordered {
            at = at.max(self.newest[from][to]);
            self.newest[from][to] = at;
        }
        at
    }

    /// A letter comes to its end. Whether it is delivered.
    pub fn arrived(&mut self, letter: &Letter) -> bool {
        if !letter.replayed {
            self.under_way[letter.from][letter.to] -= 1;
        }
        let passes = letter.replayed || !self.is_cut(letter.from, letter.to);
        self.counts.lost += u64::from(!passes);
        passes
    }

    fn keep(&mut self, from: usize, to: usize, message: &Message, choices: &mut impl Choices) {
        let old = (from, to, message.clone());
        if self.archive.len() < ARCHIVE {
            self.archive.push(old);
        } else {
            let at = choices.pick(Purpose::Archive.into(), ARCHIVE as u64) as usize;
            self.archive[at] = old;
        }
    }

    /// An old message, to be delivered again. It passes every cut: it was on its way before.
    pub fn replay(&mut self, choices: &mut impl Choices) -> Option<Letter> {
        let at = choices.pick(Purpose::Replays.into(), self.archive.len() as u64) as usize;
        let (from, to, message) = self.archive.get(at)?.clone();
        self.counts.replayed += 1;
        Some(Letter { from, to, message, replayed: true })
    }

    /// The same for an append of one node to another.
    pub fn old_append(&mut self, from: usize, to: usize, choices: &mut impl Choices) -> Option<Letter> {
        let fits = |old: &&(usize, usize, Message)| {
            (old.0, old.1) == (from, to) && matches!(old.2.body, Body::Append { .. })
        };
        // Older terms say nothing any more.
        let newest = self.archive.iter().filter(fits).map(|(.., message)| message.term).max()?;
        let old: Vec<_> = self.archive.iter().filter(fits).filter(|old| old.2.term == newest).collect();
        let (from, to, message) =
            old[choices.pick(Purpose::Echoes.into(), old.len() as u64) as usize].clone();
        self.counts.replayed += 1;
        Some(Letter { from, to, message, replayed: true })
    }
}

/// Few messages decide an election; they are always kept.
fn is_rare(body: &Body) -> bool {
    matches!(
        body,
        Body::Vote { .. }
            | Body::VoteReply { .. }
            | Body::TimeoutNow
            | Body::Conflict { .. }
            | Body::Removed { .. }
            | Body::HelloReply(_)
    )
}

fn frame(message: &Message) -> BytesMut {
    let mut chunks = Vec::new();
    codec::encode(message, &mut chunks);
    let mut frame = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    chunks.iter().for_each(|chunk| frame.extend_from_slice(chunk));
    frame
}

fn there_and_back(message: Message) -> Result<Message, (Class, String)> {
    match codec::decode(frame(&message).freeze()) {
        Ok(back) if back == message => Ok(back),
        other => Err((Class::Safety, format!("the codec makes of {message:?}: {other:?}"))),
    }
}

/// Flips a byte of the message's frame or cuts its end off: the codec must refuse it.
fn damage(message: &Message, choices: &mut impl Choices) -> Result<(), (Class, String)> {
    let site = Site::from(Purpose::Damage);
    let mut frame = frame(message);
    let at = choices.pick(site, frame.len() as u64) as usize;
    let flip = choices.pick(site, 256) as u8;
    match flip {
        0 => frame.truncate(at),
        _ => frame[at] ^= flip,
    }
    match codec::decode(frame.freeze()) {
        Err(_) => Ok(()),
        Ok(taken) => Err((
            Class::Safety,
            format!("a frame of {message:?} damaged at byte {at} by {flip:#04x} is taken for {taken:?}"),
        )),
    }
}
