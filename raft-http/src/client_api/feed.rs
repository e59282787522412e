//! Streams of records. All of them are in the state, so a stream reads them at the pace of its client: nothing is buffered
//! for a slow one beyond the page that it is taking, and what broke off goes on from any index.

use super::answer::{Answer, Problem, ProblemCode};
use super::events::EVENT_STREAM;
use super::{Api, waits};
use crate::driver::Core;
use crate::machine::{Operation, Page, Record};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use raft_core::Index;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How many bytes of records are made at once, about.
const PAGE_BYTES: usize = 64 << 10;

/// How many records.
const PAGE: usize = 1000;

/// After so long without news an event says up to where there are none; a client whose network vanished is noticed by it.
const PROGRESS: Duration = Duration::from_secs(10);

/// For how long a client may take nothing of what is there for it. Then it is dropped, and may go on from where it was.
const SLOW: Duration = Duration::from_secs(30);

/// How a stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A JSON object a line, up to what is there.
    Lines,
    /// Server-Sent Events, without an end.
    Events,
}

impl Form {
    /// The form that the client accepts, if it is a stream.
    pub(super) fn accepted<B>(request: &Request<B>) -> Option<Form> {
        let accept = request.headers().get(header::ACCEPT)?.to_str().ok()?;
        let accepts =
            |form: &Form| accept.split(',').any(|media| media.trim().starts_with(form.media_type()));
        [Form::Lines, Form::Events].into_iter().find(accepts)
    }

    fn media_type(self) -> &'static str {
        match self {
            Form::Lines => "application/x-ndjson",
            Form::Events => EVENT_STREAM,
        }
    }

    /// `Last-Event-ID`: an earlier stream broke off behind this index.
    pub(super) fn resumed<B>(self, request: &Request<B>) -> Result<Option<Index>, Problem> {
        let Some(last) = request.headers().get("last-event-id").filter(|_| self == Form::Events) else {
            return Ok(None);
        };
        let bad = |detail: String| Problem::new(ProblemCode::BadRequest, detail);
        let last = last.to_str().ok().and_then(|last| last.parse().ok());
        let last = last.ok_or_else(|| bad("Last-Event-ID is an index".to_string()))?;
        waits::behind("Last-Event-ID", last).map(Some).map_err(bad)
    }
}

/// A stream that is asked for.
pub(super) struct Feed {
    /// From which index on.
    pub(super) from: Index,
    pub(super) form: Form,
    pub(super) wanted: Box<dyn Fn(&Operation) -> bool + Send + Sync>,
    /// The event that a record is.
    pub(super) event: fn(&Record) -> (&'static str, Map<String, Value>),
}

type Sender = mpsc::Sender<io::Result<Bytes>>;

impl Feed {
    /// Begins the stream.
    pub(super) fn start(self, api: &Api) -> Answer {
        // One piece on its way, one that waits.
        let (sender, stream) = mpsc::channel(1);
        let (core, closing, content_type) = (api.core.clone(), api.closing(), self.form.media_type());
        let applied = core.machine().applied();
        tokio::spawn(async move {
            let (gone, form) = (sender.clone(), self.form);
            let whole = tokio::select! {
                done = self.run(core, &sender) => done.is_some(),
                () = gone.closed() => return,
                () = closing => false,
            };
            // Half of the lines would look like all.
            if form == Form::Lines && !whole {
                let _ = timeout(SLOW, gone.send(Err(io::Error::other("not all of the lines")))).await;
            }
        });
        Answer { content_type, stream: Some(stream), ..Answer::empty(StatusCode::OK) }.at(applied)
    }

    /// Until all is written or, if it has no end, for ever; `None` if the client or the node is gone.
    async fn run(mut self, core: Core, sender: &Sender) -> Option<()> {
        let mut applied = core.applied.clone();
        // Lines end here, however much is written meanwhile.
        let last = core.machine().applied();
        self.progress(sender).await?;
        loop {
            let page = core.machine().select(self.from, PAGE, PAGE_BYTES, &self.wanted);
            if self.from < page.first {
                self.compacted(page.first, sender).await?;
            }
            let text = self.text(&page);
            self.from = page.next;
            if !text.is_empty() {
                send(sender, text).await?;
            }
            if self.form == Form::Lines && page.next > last {
                return Some(());
            }
            if page.next <= page.applied {
                // Others have a turn before the search goes on.
                tokio::task::yield_now().await;
            } else {
                let from = self.from;
                let news = applied.wait_for(|applied| *applied >= from);
                match timeout(PROGRESS, news).await.map(|news| news.is_ok()) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(_) => self.progress(sender).await?,
                }
            }
        }
    }

    /// Says up to where nothing is missing.
    async fn progress(&self, sender: &Sender) -> Option<()> {
        if self.form == Form::Lines {
            return Some(());
        }
        let index = self.from.0.saturating_sub(1);
        send(sender, format!("id: {index}\nevent: progress\ndata: {{\"index\":{index}}}\n\n")).await
    }

    /// Says that what was asked for is not kept up to here. Events go on from there: whoever needs what was before reads
    /// the state. Lines break off.
    async fn compacted(&self, first: Index, sender: &Sender) -> Option<()> {
        if self.form == Form::Lines {
            return None;
        }
        let before = first.0.saturating_sub(1);
        send(sender, format!("id: {before}\nevent: compacted\ndata: {{\"first_index\":{first}}}\n\n")).await
    }

    fn text(&self, page: &Page) -> String {
        let mut out = String::new();
        let mut records = page.records.iter().peekable();
        while let Some(record) = records.next() {
            let (kind, object) = (self.event)(record);
            let data = Value::from(object);
            let written = match self.form {
                Form::Lines => writeln!(out, "{data}"),
                Form::Events => {
                    // The last event of a command alone says that all of it is there: who goes on behind an index has
                    // seen every change at it.
                    let index = record.id.index;
                    if records.peek().is_none_or(|next| next.id.index != index) {
                        out.push_str(&format!("id: {index}\n"));
                    }
                    write!(out, "event: {kind}\ndata: {data}\n\n")
                }
            };
            written.expect("memory takes everything");
        }
        out
    }
}

/// `None` if the client is gone, or too slow.
async fn send(sender: &Sender, text: String) -> Option<()> {
    timeout(SLOW, sender.send(Ok(text.into()))).await.ok()?.ok()
}
