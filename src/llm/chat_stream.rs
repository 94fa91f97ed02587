//! A running stream: a task reads ahead up to a bound, the reader takes what is there.
//!
//! The reader takes chunks in batches and never waits while one is buffered; nothing is lost when
//! its wait is cancelled, because waiting and taking are two steps. Dropping the stream ends the
//! task and with it the request.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::error::{Error, ErrorKind};

use super::framing::Framer;
use super::judge::{Judge, Judged};
use super::stream::Event;

pub use super::judge::{StreamSource, Translation};

/// How much is read ahead of the reader.
const MAX_BUFFERED_BYTES: usize = 1024 * 1024;
/// How much is parsed before the reader hears of it.
const BATCH_BYTES: usize = 32 * 1024;
/// How long the connection may take to end after the last chunk, so that it can be used again.
pub(super) const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What [`ChatStream::take`] found.
#[derive(Debug)]
pub enum Taken {
    /// The chunks that have come, in order: each the text of one JSON object. Never empty.
    Chunks(VecDeque<Bytes>),
    /// Nothing yet: wait for [`ChatStream::ready`].
    Nothing,
    /// The stream is over. The error is given once.
    End(Option<Error>),
}

/// A stream of chat completion chunks.
#[derive(Debug)]
pub struct ChatStream {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    readable: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    ended: bool,
    error: Option<Error>,
}

impl ChatStream {
    /// Starts to read `body`, the body of an answer with this status and these headers. Has to be
    /// called inside a tokio runtime.
    pub fn start<S, E>(body: S, source: StreamSource) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(read_ahead(Arc::clone(&shared), body, source)).abort_handle();
        Self { shared, task }
    }

    /// Takes what is there, without waiting.
    pub fn take(&self) -> Taken {
        let mut state = self.shared.lock();
        if !state.chunks.is_empty() {
            state.bytes = 0;
            let chunks = std::mem::take(&mut state.chunks);
            drop(state);
            self.shared.room.notify_one();
            Taken::Chunks(chunks)
        } else if state.ended {
            Taken::End(state.error.take())
        } else {
            Taken::Nothing
        }
    }

    /// Waits until [`Self::take`] has something to give. May be dropped at any time.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move {
            loop {
                let notified = shared.readable.notified();
                let is_ready = {
                    let state = shared.lock();
                    state.ended || !state.chunks.is_empty()
                };
                if is_ready {
                    // Whoever else waits would miss the only notification.
                    shared.readable.notify_waiters();
                    return;
                }
                notified.await;
            }
        }
    }

    /// The next batch, or `None` at the end.
    pub async fn next_chunks(&self) -> Result<Option<VecDeque<Bytes>>, Error> {
        loop {
            match self.take() {
                Taken::Chunks(chunks) => return Ok(Some(chunks)),
                Taken::End(error) => return error.map_or(Ok(None), Err),
                Taken::Nothing => self.ready().await,
            }
        }
    }

    /// Ends the request. Chunks that have come can still be taken.
    pub fn close(&self) {
        self.task.abort();
        self.shared.end(None);
    }
}

impl Drop for ChatStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, chunks: &mut Vec<Bytes>) {
        if chunks.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.bytes += chunks.iter().map(Bytes::len).sum::<usize>();
        state.chunks.extend(chunks.drain(..));
        drop(state);
        self.readable.notify_one();
    }

    fn end(&self, error: Option<Error>) {
        let mut state = self.lock();
        if !state.ended {
            state.ended = true;
            state.error = error;
        }
        drop(state);
        self.readable.notify_one();
    }

    async fn wait_for_room(&self) {
        while self.lock().bytes >= MAX_BUFFERED_BYTES {
            self.room.notified().await;
        }
    }
}

async fn read_ahead<S, E>(shared: Arc<Shared>, body: S, source: StreamSource)
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let mut body = pin!(body);
    let patience = source.patience;
    let mut reading = Reading {
        framer: source.framer(),
        judge: Judge::new(source),
        events: Vec::new(),
        chunks: Vec::new(),
    };
    let mut unpublished = 0;
    loop {
        let next = if let Some(next) = body.next().now_or_never() {
            next
        } else {
            shared.publish(&mut reading.chunks);
            unpublished = 0;
            match patience.wait(reading.judge.count(), body.next()).await {
                Ok(next) => next,
                Err(late) => {
                    shared.end(Some(reading.judge.late(late)));
                    return;
                }
            }
        };
        if let Some(late) = patience.is_over() {
            shared.publish(&mut reading.chunks);
            shared.end(Some(reading.judge.late(late)));
            return;
        }
        let flow = match next {
            Some(Ok(bytes)) => {
                unpublished += bytes.len();
                reading.take(&bytes)
            }
            Some(Err(cause)) => reading.broken(cause.into()),
            None => reading.ended(),
        };
        match flow {
            Flow::More if unpublished < BATCH_BYTES => {}
            Flow::More => {
                shared.publish(&mut reading.chunks);
                unpublished = 0;
                shared.wait_for_room().await;
            }
            Flow::End(error) => {
                shared.publish(&mut reading.chunks);
                shared.end(error);
                break;
            }
        }
    }
    // A body that is read to its end gives its connection back to the pool.
    let drain = async { while let Some(Ok(_)) = body.next().await {} };
    tokio::time::timeout(DRAIN_TIME, drain).await.ok();
}

enum Flow {
    More,
    End(Option<Error>),
}

struct Reading {
    judge: Judge,
    framer: Framer,
    events: Vec<Event>,
    chunks: Vec<Bytes>,
}

impl Reading {
    fn take(&mut self, bytes: &Bytes) -> Flow {
        let fed = self.framer.feed(bytes, &mut self.events);
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match self.judge.event(event, &mut self.chunks) {
                Judged::More => {}
                Judged::Done => return Flow::End(None),
                Judged::Failed(error) => return Flow::End(Some(error)),
            }
        }
        self.events = events;
        match fed {
            Ok(()) => Flow::More,
            Err(cause) => Flow::End(Some(self.judge.unframed(&cause))),
        }
    }

    fn ended(&mut self) -> Flow {
        let last = self.framer.finish();
        match self.judge.rest(last, &mut self.chunks) {
            Judged::More => Flow::End(self.judge.end(&mut self.chunks)),
            Judged::Done => Flow::End(None),
            Judged::Failed(error) => Flow::End(Some(error)),
        }
    }

    fn broken(&mut self, cause: Box<dyn std::error::Error + Send + Sync>) -> Flow {
        // Whoever passed the stream on knows better what happened to it.
        let cause = match cause.downcast::<Error>() {
            Ok(error) => return Flow::End(Some(*error)),
            Err(cause) => cause,
        };
        match self.ended() {
            Flow::End(Some(error)) if error.kind() == ErrorKind::Connection => {
                Flow::End(Some(error.with_source(cause)))
            }
            flow => flow,
        }
    }
}
