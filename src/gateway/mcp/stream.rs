//! The events that one HTTP answer carries to a client: the messages that belong to a request and
//! its answer, or what belongs to no request. A stream of a session keeps what it sent for a while,
//! so that a client whose connection broke can take it up again. Owns [`Stream`] and [`Reader`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, header};
use tokio::sync::Notify;

use super::client::Outlet;

/// How much may wait for a client that does not read; more of it is lost, but for the answer.
const MAXIMUM_UNREAD_BYTES: usize = 8 << 20;
/// What of the events that were sent is kept for a client that comes back.
const KEPT_EVENTS: usize = 256;
const KEPT_BYTES: usize = 1 << 20;
/// How often a silent stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The events of one stream.
pub(super) struct Stream {
    /// What tells it from the other streams of its session; none if it cannot be taken up again.
    number: Option<u64>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// The number of the last event; 0 is the one without content.
    last: u64,
    /// The number of the next event that nobody has read.
    unread: u64,
    bytes: usize,
    unread_bytes: usize,
    ended: bool,
    /// Counts the readers; only the last one reads.
    readers: u64,
}

struct Event {
    number: u64,
    text: Bytes,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        formatter
            .debug_struct("Stream")
            .field("number", &self.number)
            .field("last", &state.last)
            .field("ended", &state.ended)
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// With a number it can be taken up again.
    pub(super) fn new(number: Option<u64>) -> Self {
        Self {
            number,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event without content, before all others: it tells the client where to take the stream up
    /// again.
    pub(super) fn priming(&self) -> Bytes {
        let event = Event {
            number: 0,
            text: Bytes::new(),
        };
        frame(self.number, &event)
    }

    /// Sends an answer.
    pub(super) fn answer(&self, message: Bytes) {
        self.push(message, true);
    }

    /// Sends the last message.
    pub(super) fn finish(&self, message: Bytes) {
        self.push(message, true);
        self.end();
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_waiters();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    fn push(&self, text: Bytes, is_answer: bool) -> bool {
        {
            let mut state = self.lock();
            if state.ended || (!is_answer && state.unread_bytes > MAXIMUM_UNREAD_BYTES) {
                return false;
            }
            state.last += 1;
            let number = state.last;
            state.bytes += text.len();
            state.unread_bytes += text.len();
            state.events.push_back(Event { number, text });
        }
        self.changed.notify_waiters();
        true
    }

    /// Whether there is a message.
    pub(super) fn has_begun(&self) -> bool {
        self.lock().last > 0
    }

    /// Waits for the first message.
    pub(super) async fn begun(&self) {
        loop {
            let changed = self.changed.notified();
            if self.lock().last > 0 {
                return;
            }
            changed.await;
        }
    }

    /// Somebody reads it from now on, whoever did before.
    pub(super) fn reader(self: &Arc<Self>, after: Option<u64>) -> Reader {
        let generation = {
            let mut state = self.lock();
            state.readers += 1;
            state.readers
        };
        self.changed.notify_waiters();
        Reader {
            stream: Arc::clone(self),
            next: after.map_or(0, |after| after.saturating_add(1)),
            generation,
        }
    }

    /// Waits until nobody has read for that long since the last reader went away.
    pub(super) async fn abandoned(&self, generation: u64, patience: Duration) -> bool {
        tokio::time::sleep(patience).await;
        self.lock().readers == generation
    }
}

impl Outlet for Stream {
    fn send(&self, message: Bytes) -> bool {
        self.push(message, false)
    }
}

/// Whoever reads a stream; a later one ends an earlier one.
pub(super) struct Reader {
    stream: Arc<Stream>,
    next: u64,
    generation: u64,
}

impl Reader {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The next event as it goes over the wire; none at the end.
    async fn event(&mut self) -> Option<Bytes> {
        loop {
            let changed = self.stream.changed.notified();
            {
                let mut state = self.stream.lock();
                if state.readers != self.generation {
                    return None;
                }
                if let Some(event) = state.take(self.next, self.stream.number.is_some()) {
                    self.next = event.number + 1;
                    return Some(frame(self.stream.number, &event));
                }
                if state.ended {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl State {
    /// The first event from a number on. What need not be kept is dropped.
    fn take(&mut self, from: u64, keeps: bool) -> Option<Event> {
        let place = self.events.iter().position(|event| event.number >= from)?;
        let event = Event {
            number: self.events[place].number,
            text: self.events[place].text.clone(),
        };
        if event.number >= self.unread {
            self.unread = event.number + 1;
            self.unread_bytes = self.unread_bytes.saturating_sub(event.text.len());
        }
        while let Some(first) = self.events.front()
            && first.number < self.unread
            && (!keeps || self.events.len() > KEPT_EVENTS || self.bytes > KEPT_BYTES)
        {
            self.bytes -= first.text.len();
            self.events.pop_front();
        }
        Some(event)
    }
}

/// Reads the id of an event: the number of its stream, and its own.
pub(super) fn read_event_id(id: &str) -> Option<(u64, u64)> {
    let (stream, event) = id.split_once('-')?;
    Some((stream.parse().ok()?, event.parse().ok()?))
}

fn frame(stream: Option<u64>, event: &Event) -> Bytes {
    let mut text = BytesMut::with_capacity(event.text.len() + 48);
    if let Some(stream) = stream {
        text.put_slice(format!("id: {stream}-{}\n", event.number).as_bytes());
    }
    if !event.text.is_empty() {
        text.put_slice(b"event: message\n");
    }
    // A server may have written its JSON over several lines.
    for line in event.text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        text.put_slice(b"data: ");
        text.put_slice(line);
        text.put_u8(b'\n');
    }
    text.put_u8(b'\n');
    text.freeze()
}

/// An answer whose body is what a reader reads, after `first`. `held` lives as long as the body.
pub(super) fn response<T: Send + 'static>(
    first: Option<Bytes>,
    reader: Reader,
    held: T,
) -> Response {
    let state = (first, reader, held);
    let events = futures_util::stream::unfold(state, |(first, mut reader, held)| async move {
        if let Some(first) = first {
            return Some((Ok(first), (None, reader, held)));
        }
        let event = match tokio::time::timeout(KEEP_ALIVE, reader.event()).await {
            Ok(event) => event?,
            Err(_) => Bytes::from_static(b": alive\n\n"),
        };
        Some((
            Ok::<_, std::convert::Infallible>(event),
            (None, reader, held),
        ))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE.as_str(), "text/event-stream"),
        (header::CACHE_CONTROL.as_str(), "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
