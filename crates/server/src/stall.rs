//! A connection that gives up on a peer who takes nothing any more, while there is something to send.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

pub(crate) struct Stall<S> {
    stream: S,
    patience: Patience,
    /// Since when a write waits, and when to look again.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// How long a peer may take nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) usual: Duration,
    /// When others wait for the memory that the peer's answer takes.
    pub(crate) short: Duration,
    pub(crate) is_short: fn() -> bool,
}

/// A caller who takes nothing for this long has gone; sooner when others wait for memory.
pub(crate) const STALL: Patience = Patience {
    usual: Duration::from_secs(120),
    short: Duration::from_secs(10),
    is_short: girih_engine::is_short_of_memory,
};

impl<S> Stall<S> {
    pub(crate) fn new(stream: S, patience: Patience) -> Self {
        Self { stream, patience, waiting: None }
    }

    /// What has become of a write, with an error in place of an all too long wait.
    fn watch<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let Patience { usual, short, is_short } = self.patience;
        let (since, alarm) = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + short)))
        });
        loop {
            ready!(alarm.as_mut().poll(cx));
            if since.elapsed() >= usual || is_short() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing any more")));
            }
            alarm.as_mut().reset((Instant::now() + short).min(*since + usual));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stall<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stall<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.watch(polled, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.watch(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.watch(polled, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.watch(polled, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn given_up(usual: Duration, is_short: fn() -> bool) {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut stalled = Stall::new(ours, Patience { usual, short: Duration::from_millis(20), is_short });
        stalled.write_all(&[0; 16]).await.unwrap();
        let error = stalled.write_all(&[0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_who_takes_nothing_is_given_up() {
        given_up(Duration::from_millis(50), || false).await;
        // Sooner than usual.
        given_up(Duration::from_secs(3600), || true).await;
    }
}
