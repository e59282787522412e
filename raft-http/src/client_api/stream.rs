//! Bodies: whole ones, and those that are sent as they come into being.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::any::Any;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// The pieces of a body; the body ends when all senders are gone, and breaks off with an error.
pub(crate) type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// An answer's body.
pub(crate) enum Body {
    /// All of it.
    Whole(Full<Bytes>),
    /// What is there of it, as it comes; and what lives as long as it.
    Stream(Pieces, Option<Box<dyn Any + Send>>),
}

impl Body {
    /// Keeps something until the body has ended, if that takes longer than the answer itself.
    pub(crate) fn keep(&mut self, kept: impl Any + Send) {
        if let Body::Stream(_, place) = self {
            *place = Some(Box::new(kept));
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Body::Whole(whole) => {
                let frame = ready!(Pin::new(whole).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Body::Stream(pieces, _) => {
                let piece = ready!(pieces.poll_recv(context));
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(whole) => whole.is_end_stream(),
            Body::Stream(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(whole) => whole.size_hint(),
            Body::Stream(..) => SizeHint::default(),
        }
    }
}
