//! A running stream that is passed on as it came: its events go through byte for byte, and what they
//! say is looked at on the way. Read by whoever polls it, without a task or a buffer of its own;
//! dropping it ends the request.

use std::fmt;
use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};

use crate::error::{Error, ErrorKind};

use super::answer::{self, Usage};
use super::chat_stream::DRAIN_TIME;
use super::framing::Framer;
use super::judge::{Judge, Judged, StreamSource};

/// The event that ends a stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

type Cause = Box<dyn std::error::Error + Send + Sync>;
type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Cause>> + Send>>;

/// A stream of chat completion chunks as the text of an event stream.
pub struct Passage {
    /// None when nothing more is read.
    body: Option<Pieces>,
    judge: Judge,
    framer: Framer,
    /// The beginning of an event that is not over: sent when it is, for an error may come first.
    held: BytesMut,
    /// What was read before anybody asked.
    first: Option<Bytes>,
    error: Option<Error>,
    usage: Option<Usage>,
    /// The chunk that said so.
    bill: Option<Bytes>,
}

impl fmt::Debug for Passage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Passage")
            .field("judge", &self.judge)
            .finish_non_exhaustive()
    }
}

impl Passage {
    /// Passes on `body`, the body of an answer with this status and these headers.
    pub fn new<S, E>(body: S, source: StreamSource) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Cause> + 'static,
    {
        Self {
            body: Some(Box::pin(body.map_err(Into::into))),
            framer: source.framer(),
            judge: Judge::new(source),
            held: BytesMut::new(),
            first: None,
            error: None,
            usage: None,
            bill: None,
        }
    }

    /// Waits for the first events, so that a stream that fails at once is known to have failed
    /// before anything of it is passed on.
    pub async fn begin(&mut self) -> Result<(), Error> {
        match self.next().await {
            Some(Ok(text)) => {
                self.first = Some(text);
                Ok(())
            }
            Some(Err(error)) => Err(error),
            None => Ok(()),
        }
    }

    /// The next events, whole ones, as soon as they have come. After an error nothing follows, and
    /// no `[DONE]` came before it. May be dropped at any time without a loss.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        loop {
            if let Some(error) = self.error.take() {
                self.body = None;
                return Some(Err(error));
            }
            let patience = self.judge.patience();
            let body = self.body.as_mut()?;
            let next = match body.next().now_or_never() {
                Some(next) => Ok(next),
                None => patience.wait(self.judge.count(), body.next()).await,
            };
            let next = match patience.is_over() {
                Some(late) => Err(late),
                None => next,
            };
            let text = match next {
                Ok(Some(Ok(piece))) => self.take(piece),
                Ok(Some(Err(cause))) => self.ended(Some(cause)),
                Ok(None) => self.ended(None),
                Err(late) => {
                    self.error = Some(self.judge.late(late));
                    continue;
                }
            };
            if !text.is_empty() {
                return Some(Ok(text));
            }
        }
    }

    /// How many chunks went through.
    pub fn chunks(&self) -> usize {
        self.judge.count()
    }

    /// What the stream said that it took.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The chunk that said so.
    pub fn bill(&self) -> Option<&Bytes> {
        self.bill.as_ref()
    }

    fn count(&mut self, chunk: &Bytes) {
        if let Some(usage) = answer::usage(chunk) {
            self.usage = Some(usage);
            self.bill = Some(chunk.clone());
        }
    }

    /// Looks at a piece; returns what of it can be passed on.
    fn take(&mut self, piece: Bytes) -> Bytes {
        let mut events = Vec::new();
        let fed = self.framer.feed(&piece, &mut events);
        let mut chunks = Vec::with_capacity(events.len());
        let mut is_as_it_came = !self.judge.translates();
        let mut is_done = false;
        for event in events {
            let came = event.data.as_ptr();
            let before = chunks.len();
            let judged = self.judge.event(event, &mut chunks);
            for chunk in &chunks[before..] {
                is_as_it_came &= chunk.as_ptr() == came;
                self.count(chunk);
            }
            match judged {
                Judged::More => {}
                Judged::Done => {
                    is_done = true;
                    break;
                }
                Judged::Failed(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        if let Err(cause) = fed
            && !is_done
        {
            self.error
                .get_or_insert_with(|| self.judge.unframed(&cause));
        }
        if is_done {
            self.drain();
        }
        if !is_as_it_came || self.error.is_some() {
            self.held.clear();
            let settled = self.framer.settled().min(piece.len());
            self.held.put_slice(&piece[settled..]);
            return framed(&chunks, is_done);
        }
        self.settle(piece)
    }

    /// What is settled of the piece that was fed last, with what was held back before it.
    fn settle(&mut self, mut piece: Bytes) -> Bytes {
        let settled = self.framer.settled().min(piece.len());
        let whole = piece.split_to(settled);
        if whole.is_empty() {
            self.held.put_slice(&piece);
            return whole;
        }
        let text = if self.held.is_empty() {
            whole
        } else {
            self.held.put_slice(&whole);
            self.held.split().freeze()
        };
        self.held.put_slice(&piece);
        text
    }

    /// Nothing more comes; returns what still has to be passed on.
    fn ended(&mut self, cause: Option<Cause>) -> Bytes {
        self.body = None;
        let last = self.framer.finish();
        let mut chunks = Vec::new();
        let error = match self.judge.rest(last, &mut chunks) {
            Judged::Done => None,
            Judged::Failed(error) => Some(error),
            Judged::More => self.judge.end(&mut chunks),
        };
        for chunk in &chunks {
            self.count(chunk);
        }
        let text = framed(&chunks, error.is_none());
        match (error, cause) {
            (None, _) => {}
            (Some(error), Some(cause)) if error.kind() == ErrorKind::Connection => {
                self.fail(error.with_source(cause));
            }
            (Some(error), _) => self.fail(error),
        }
        text
    }

    fn fail(&mut self, error: Error) {
        self.error = Some(error);
    }

    /// A body that is read to its end gives its connection back to the pool.
    fn drain(&mut self) {
        let Some(mut body) = self.body.take() else {
            return;
        };
        loop {
            match body.next().now_or_never() {
                Some(Some(Ok(_))) => {}
                Some(_) => return,
                None => break,
            }
        }
        let rest = async move { while let Some(Ok(_)) = body.next().await {} };
        tokio::spawn(async move { tokio::time::timeout(DRAIN_TIME, rest).await.ok() });
    }
}

/// Chunks as events.
fn framed(chunks: &[Bytes], is_done: bool) -> Bytes {
    let size: usize = chunks.iter().map(|chunk| chunk.len() + 8).sum();
    let mut text = BytesMut::with_capacity(size + DONE.len());
    for chunk in chunks {
        for line in chunk.split(|byte| *byte == b'\n') {
            text.put_slice(b"data: ");
            text.put_slice(line);
            text.put_u8(b'\n');
        }
        text.put_u8(b'\n');
    }
    if is_done {
        text.put_slice(DONE);
    }
    text.freeze()
}
