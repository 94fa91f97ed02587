//! A connection whose client has to go on: its first bytes come in time, and what it is sent is taken
//! from it in time. Owns [`Prompt`]; hyper's own limits begin with the first request, and end with it.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How many bytes there are before every client has said which version of HTTP it speaks.
const OPENING_BYTES: usize = 24;

/// A connection that ends with an error when its client does not go on.
#[derive(Debug)]
pub(super) struct Prompt<S> {
    inner: S,
    /// Until the first bytes are there; hyper reads them without a limit.
    opening: Option<Pin<Box<Sleep>>>,
    read: usize,
    patience: Duration,
    /// Begun when nothing more can be written.
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Prompt<S> {
    /// The first bytes have to come within `opening`, and no write waits longer than `patience`.
    pub(super) fn new(inner: S, opening: Duration, patience: Duration) -> Self {
        Self {
            inner,
            opening: Some(Box::pin(tokio::time::sleep(opening))),
            read: 0,
            patience,
            writing: None,
        }
    }

    /// Lets a write wait, but not for ever.
    fn wrote<T>(&mut self, context: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let patience = self.patience;
        let timer = self
            .writing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        timer.as_mut().poll(context).map(|()| {
            let seconds = patience.as_secs_f64();
            let message = format!("the client took nothing of its answer for {seconds} s");
            Err(Error::new(ErrorKind::TimedOut, message))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        let Some(timer) = &mut self.opening else {
            return read;
        };
        if read.is_pending() {
            return timer.as_mut().poll(context).map(|()| {
                let message = "the client said nothing, or too little, for too long";
                Err(Error::new(ErrorKind::TimedOut, message))
            });
        }
        self.read += buffer.filled().len() - before;
        if self.read >= OPENING_BYTES {
            self.opening = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.wrote(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.wrote(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.wrote(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(context);
        self.wrote(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    const OPENING: Duration = Duration::from_secs(30);
    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn the_first_bytes_have_to_come_in_time_and_the_next_ones_need_not() {
        let (mut client, ours) = duplex(64);
        let mut prompt = Prompt::new(ours, OPENING, PATIENCE);
        let begun = Instant::now();
        let mut said = [0; OPENING_BYTES];
        client.write_all(b"PRI").await.unwrap();
        let late = prompt.read_exact(&mut said).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), OPENING);
        let (mut client, ours) = duplex(64);
        let mut prompt = Prompt::new(ours, OPENING, PATIENCE);
        client.write_all(&[b'x'; OPENING_BYTES]).await.unwrap();
        prompt.read_exact(&mut said).await.unwrap();
        let waiting = prompt.read_exact(&mut said);
        assert!(tokio::time::timeout(OPENING * 9, waiting).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_ends_its_connection_and_a_slow_one_does_not() {
        let (mut client, ours) = duplex(64);
        let mut prompt = Prompt::new(ours, OPENING, PATIENCE);
        let slow = async {
            let mut taken = [0; 64];
            for _ in 0..4 {
                tokio::time::sleep(PATIENCE * 9 / 10).await;
                client.read_exact(&mut taken).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(prompt.write_all(&[b'x'; 256]), slow);
        written.unwrap();
        let begun = Instant::now();
        let late = prompt.write_all(&[b'x'; 256]).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), PATIENCE);
    }
}
