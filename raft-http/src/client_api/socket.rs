//! A client's socket, with three things that hyper leaves undone. It answers a head that it can't read by itself, with a
//! bare status line; the contract promises JSON and a leader in every answer, so such an answer is replaced on its way
//! out. And its time-out for heads also closes connections that merely rest between two requests; here the time runs
//! only while a head is under way. And a client that reads no answer is cut off.

use super::Api;
use http::StatusCode;
use socket2::SockRef;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// What the connection is at. The service says when it begins and ends, the socket sees the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// A head is awaited or half there: the first one, or one that has begun.
    Head,
    /// The service has the request.
    Serving,
    /// Its answer is being written.
    Answering,
    /// Between two requests.
    Resting,
}

/// A [`Phase`] that the service and the socket share.
#[derive(Clone)]
pub(super) struct SharedPhase(Arc<AtomicU8>);

impl SharedPhase {
    pub(super) fn new() -> SharedPhase {
        SharedPhase(Arc::new(AtomicU8::new(Phase::Head as u8)))
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.0.load(Ordering::Relaxed) == phase as u8
    }
}

/// The socket.
pub(super) struct Socket {
    stream: TcpStream,
    api: Arc<Api>,
    phase: SharedPhase,
    /// When the head must be there; set anew with each head, and slept for only if the head doesn't come at once.
    head_due: Instant,
    head_read: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What replaces a bare answer and how much of it is written.
    replacement: Option<(Vec<u8>, usize)>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, api: Arc<Api>, phase: SharedPhase) -> Socket {
        let head_read = api.limits.header_read;
        let head_due = Instant::now() + head_read;
        Socket { stream, api, phase, head_due, head_read, timer: None, stalled: None, replacement: None }
    }

    /// Waits for the head's time to be over, if a head is under way.
    fn poll_head_timer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.phase.is(Phase::Head) {
            self.timer = None;
            return Poll::Pending;
        }
        let due = self.head_due;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head of a request came too slowly")))
    }

    /// What writing came to; a client that has taken nothing for too long is an error.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.api.limits.answer_write;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(timer.as_mut().poll(context));
        // Or the system would keep what is in its buffers for as long as the client is there.
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }

    /// The status of an answer that the service knows nothing of.
    fn bare(&self, bytes: &[u8]) -> Option<StatusCode> {
        if self.phase.is(Phase::Answering) {
            return None;
        }
        let status =
            bytes.strip_prefix(b"HTTP/1.1 ").or(bytes.strip_prefix(b"HTTP/1.0 "))?.first_chunk::<3>()?;
        let whole = status[0] == b'4' && bytes.ends_with(b"\r\n\r\n");
        StatusCode::from_bytes(status).ok().filter(|_| whole)
    }

    fn replace(&mut self, status: StatusCode) {
        let (response, body) = self.api.unreadable(status);
        let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
        for (name, value) in response.headers() {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(
            format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes(),
        );
        bytes.extend_from_slice(&body);
        self.replacement = Some((bytes, 0));
    }

    fn write_replacement(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, written)) = &self.replacement {
            let rest = bytes.get(*written..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let taken = Pin::new(&mut self.stream).poll_write(context, rest);
            let taken = ready!(self.written(context, taken))?;
            if let Some((_, written)) = &mut self.replacement {
                *written += taken;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            if self.phase.is(Phase::Resting) && buffer.filled().len() > before {
                self.phase.enter(Phase::Head);
                self.head_due = Instant::now() + self.head_read;
                self.timer = None;
            }
            return Poll::Ready(read);
        }
        self.poll_head_timer(context)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replacement.is_none() {
            let Some(status) = self.bare(bytes) else {
                let written = Pin::new(&mut self.stream).poll_write(context, bytes);
                return self.written(context, written);
            };
            self.replace(status);
        }
        ready!(self.write_replacement(context))?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        if self.replacement.is_none() && first.is_none_or(|first| self.bare(first).is_none()) {
            let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
            return self.written(context, written);
        }
        first.map_or(Poll::Ready(Ok(0)), |first| self.poll_write(context, first))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // hyper flushes the socket when all that it had is written.
        if self.phase.is(Phase::Answering) {
            self.phase.enter(Phase::Resting);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
