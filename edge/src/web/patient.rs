//! A connection whose reader has to keep up: hyper waits for ever for one that does not.
//!
//! Waiting for the reader uses up an allowance, reading gives it back at a lowest rate; when none
//! is left the connection ends. So neither who does not read nor who reads a byte at a time keeps
//! a connection for long.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Time that a reader may stay behind.
const ALLOWANCE: Duration = Duration::from_secs(30);
/// What has to be read for a second of it, bytes.
const BYTES_PER_S: f64 = 4096.0;

/// See the module.
pub(crate) struct Patient<S> {
    stream: S,
    left: Duration,
    /// Since when a write waits, and when the allowance ends.
    waits: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            left: ALLOWANCE,
            waits: None,
        }
    }

    /// A write, or a flush, has to wait.
    fn waiting<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let left = self.left;
        let (_, end) = self
            .waits
            .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        ready!(end.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the reader does not keep up",
        )))
    }

    /// So many bytes went out.
    fn went(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waits.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        let earned = Duration::from_secs_f64(bytes as f64 / BYTES_PER_S);
        self.left = ALLOWANCE.min(self.left + earned);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.waiting(context),
            Poll::Ready(Ok(written)) => {
                self.went(written);
                Poll::Ready(Ok(written))
            }
            failed => failed,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.waiting(context),
            done => done,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.waiting(context),
            done => done,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, parts) {
            Poll::Pending => self.waiting(context),
            Poll::Ready(Ok(written)) => {
                self.went(written);
                Poll::Ready(Ok(written))
            }
            failed => failed,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_let_go() {
        let (ours, _theirs) = duplex(1024);
        let mut stream = Patient::new(ours);
        let begun = Instant::now();
        let error = stream.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // 1024 bytes fitted, and gave nothing since nothing was used up yet.
        assert_eq!(begun.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_a_byte_at_a_time_is_let_go_too() {
        let (ours, mut theirs) = duplex(1024);
        let reader = tokio::spawn(async move {
            let mut byte = [0];
            while theirs.read_exact(&mut byte).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let mut stream = Patient::new(ours);
        let begun = Instant::now();
        let error = stream.write_all(&[0; 1_000_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < 2 * ALLOWANCE, "{:?}", begun.elapsed());
        drop(stream);
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_but_steadily_or_pauses_in_between_is_served() {
        let (ours, mut theirs) = duplex(1024);
        let reader = tokio::spawn(async move {
            let mut read = 0;
            let mut some = [0; 1024];
            loop {
                match theirs.read(&mut some).await.unwrap() {
                    0 => return read,
                    n => read += n,
                }
                // 5 kB/s
                sleep(Duration::from_millis(200)).await;
            }
        });
        let mut stream = Patient::new(ours);
        // An hour in which there is nothing to say costs nothing.
        for _ in 0..3 {
            stream.write_all(&[0; 1_000_000]).await.unwrap();
            sleep(Duration::from_secs(3600)).await;
        }
        drop(stream);
        assert_eq!(reader.await.unwrap(), 3_000_000);
    }
}
