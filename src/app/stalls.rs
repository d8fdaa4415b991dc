//! A connection that ends by itself when nothing moves: no byte in either direction, or an answer that nobody reads.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// A stream with the two limits.
pub(super) struct Watched {
    stream: TcpStream,
    idle: Deadline,
    unread: Deadline,
}

struct Deadline {
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            sleep: Box::pin(sleep(limit)),
        }
    }

    #[allow(clippy::disallowed_methods)] // a time-out of the machine's own clock
    fn renew(&mut self) {
        self.sleep.as_mut().reset(Instant::now() + self.limit);
    }

    fn passed(&mut self, cx: &mut Context<'_>) -> bool {
        self.sleep.as_mut().poll(cx).is_ready()
    }
}

impl Watched {
    pub(super) fn new(stream: TcpStream, idle: Duration, unread: Duration) -> Self {
        Self {
            stream,
            idle: Deadline::new(idle),
            unread: Deadline::new(unread),
        }
    }

    /// Bytes moved: both limits begin anew.
    fn moved<T>(&mut self, value: T) -> Poll<io::Result<T>> {
        self.idle.renew();
        self.unread.renew();
        Poll::Ready(Ok(value))
    }

    fn stuck<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match self.unread.passed(cx) {
            true => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            false => Poll::Pending,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => self.moved(()),
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending if self.idle.passed(cx) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // An answer may begin long after the last byte moved; the limit counts while somebody waits to write.
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(Ok(count)) => self.moved(count),
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => self.stuck(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, slices) {
            Poll::Ready(Ok(count)) => self.moved(count),
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => self.stuck(cx),
        }
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
