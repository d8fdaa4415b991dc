//! A connection that ends by itself when nothing moves: no byte in either direction, or an answer that nobody reads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// Length of what a connection in HTTP/2 begins with. Until so much has come nobody knows which protocol is spoken, and no
/// other limit of time holds; every request in HTTP/1.1 is longer.
const PREFACE_BYTES: usize = 24;

/// Limits of time of one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stalls {
    /// Until the first [`PREFACE_BYTES`] are there.
    pub(super) opening: Duration,
    /// Without a byte in either direction while no request is at work; those have limits of their own.
    pub(super) idle: Duration,
    /// While an answer cannot be written on.
    pub(super) unread: Duration,
}

/// Requests of one connection that are at work; an answer may be longer in the making than a client may be silent.
#[derive(Debug, Clone, Default)]
pub(super) struct AtWork(Arc<AtomicUsize>);

impl AtWork {
    /// One more, until the returned value is dropped.
    pub(super) fn begin(&self) -> Busy {
        self.0.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// A request at work.
#[derive(Debug)]
pub(super) struct Busy(AtWork);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream with the limits.
pub(super) struct Watched {
    stream: TcpStream,
    limits: Stalls,
    at_work: AtWork,
    received: usize,
    silence: Pin<Box<Sleep>>,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, limits: Stalls, at_work: AtWork) -> Self {
        let silence = Box::pin(sleep(limits.opening));
        Self {
            stream,
            limits,
            at_work,
            received: 0,
            silence,
            stuck: None,
        }
    }

    fn received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
        self.moved();
    }

    /// Bytes moved: the limits begin anew.
    #[allow(clippy::disallowed_methods)] // a time-out of the machine's own clock
    fn moved(&mut self) {
        self.stuck = None;
        if self.received >= PREFACE_BYTES {
            self.silence
                .as_mut()
                .reset(Instant::now() + self.limits.idle);
        }
    }

    /// Silence counts from the last byte, and from the last look at which a request was at work.
    fn wait_for_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.silence.as_mut().poll(cx).is_ready() {
            if !self.at_work.any() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.moved();
        }
        Poll::Pending
    }

    /// The limit counts from the first write that had to wait, however long the answer was in the making.
    fn wait_for_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let limit = self.limits.unread;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(limit)));
        stuck
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn written(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match write {
            Poll::Ready(Ok(_)) => self.moved(),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => return self.wait_for_room(cx),
        }
        write
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match read {
            Poll::Ready(Ok(())) => self.received(buffer.filled().len() - before),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                return self.wait_for_bytes(cx);
            }
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
