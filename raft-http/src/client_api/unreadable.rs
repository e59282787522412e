//! hyper answers a head that it can't read by itself, with a bare status line. The contract promises JSON and a leader
//! in every answer, so such an answer is replaced on its way to the socket.

use super::Api;
use http::StatusCode;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A client's connection. `answering`: the service has handed over a response, so what is written is that response,
/// until the next flush completes.
pub(super) struct Mending {
    stream: TcpStream,
    api: Arc<Api>,
    answering: Arc<AtomicBool>,
    /// What replaces a bare answer and how much of it is written.
    replacement: Option<(Vec<u8>, usize)>,
}

impl Mending {
    pub(super) fn new(stream: TcpStream, api: Arc<Api>, answering: Arc<AtomicBool>) -> Mending {
        Mending { stream, api, answering, replacement: None }
    }

    /// The status of an answer that the service knows nothing of.
    fn bare(&self, bytes: &[u8]) -> Option<StatusCode> {
        if self.answering.load(Ordering::Relaxed) {
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
        while let Some((bytes, written)) = &mut self.replacement {
            let rest = bytes.get(*written..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            *written += ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Mending {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Mending {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replacement.is_none() {
            let Some(status) = self.bare(bytes) else {
                return Pin::new(&mut self.stream).poll_write(context, bytes);
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
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        first.map_or(Poll::Ready(Ok(0)), |first| self.poll_write(context, first))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // hyper flushes the socket when all that it had is written.
        self.answering.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
