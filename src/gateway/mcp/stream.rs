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
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::Outlet;

/// How much may wait for a client that does not read; more of it is lost, but for the answer.
const MAXIMUM_UNREAD_BYTES: usize = 8 << 20;
/// What of the events that were sent is kept for a client that comes back; and what belongs to no
/// request, for a client that does not listen.
const KEPT_EVENTS: usize = 256;
const KEPT_BYTES: usize = 1 << 20;
/// How long a client whose stream broke may take to come back for it.
pub(super) const RETURN: Duration = Duration::from_mins(1);
/// How long a client is asked to wait before it comes back.
const RETRY: Duration = Duration::from_secs(1);
/// How often a silent stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The number of the stream of what belongs to no request.
pub(super) const UNASKED: u64 = 0;

/// The events of one stream.
pub(super) struct Stream {
    /// What tells it from the other streams of its session; none if it cannot be taken up again.
    number: Option<u64>,
    state: Mutex<State>,
    changed: Notify,
    /// Nobody will read it any more.
    given_up: CancellationToken,
}

#[derive(Default)]
struct State {
    /// Their numbers have no gap.
    events: VecDeque<Event>,
    /// The number of the last event; 0 is the one without content.
    last: u64,
    /// The number of the last event that somebody has read, or that was dropped before.
    read: u64,
    bytes: usize,
    unread_bytes: usize,
    ended: Option<Instant>,
    /// Counts the readers; only the last one reads.
    readers: u64,
    /// Whether the last reader is still there.
    is_read: bool,
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
            .field("ended", &state.ended.is_some())
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
            given_up: CancellationToken::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.number
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
        self.lock().ended.get_or_insert_with(Instant::now);
        self.changed.notify_waiters();
    }

    /// Whether it ended so long ago that nobody comes back for it.
    pub(super) fn is_stale(&self) -> bool {
        let state = self.lock();
        !state.is_read && state.ended.is_some_and(|ended| ended.elapsed() > RETURN)
    }

    /// What it holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Whether somebody reads it now.
    pub(super) fn is_read(&self) -> bool {
        self.lock().is_read
    }

    /// Whether so much waits for the client that it cannot be reading.
    pub(super) fn is_full(&self) -> bool {
        self.lock().unread_bytes > MAXIMUM_UNREAD_BYTES
    }

    fn push(&self, text: Bytes, is_answer: bool) -> bool {
        {
            let mut state = self.lock();
            let has_room = is_answer || state.unread_bytes <= MAXIMUM_UNREAD_BYTES;
            if state.ended.is_some() || !has_room {
                return false;
            }
            state.last += 1;
            let number = state.last;
            state.bytes += text.len();
            state.unread_bytes += text.len();
            state.events.push_back(Event { number, text });
            if self.number == Some(UNASKED) && !state.is_read {
                state.drop_old(number - 1);
            }
        }
        self.changed.notify_waiters();
        true
    }

    /// Whether it has sent a message.
    pub(super) fn has_begun(&self) -> bool {
        self.lock().last > 0
    }

    /// Waits for the first message.
    pub(super) async fn begun(&self) {
        loop {
            let changed = self.changed.notified();
            if self.has_begun() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until nobody will read it any more.
    pub(super) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }

    /// Somebody reads it from now on, whoever did before: what nobody has read yet.
    pub(super) fn reader(self: &Arc<Self>) -> Reader {
        let after = self.lock().read;
        self.read_after(after, false)
    }

    /// Somebody takes it up again after an event; none if it has no such event, or does not have all
    /// of those that follow it any more.
    pub(super) fn resumed(self: &Arc<Self>, after: u64) -> Option<Reader> {
        let has_all = {
            let state = self.lock();
            let first = state
                .events
                .front()
                .map_or(state.last + 1, |event| event.number);
            after <= state.last && after + 1 >= first
        };
        has_all.then(|| self.read_after(after, true))
    }

    fn read_after(self: &Arc<Self>, after: u64, has_id: bool) -> Reader {
        let generation = {
            let mut state = self.lock();
            state.readers += 1;
            state.is_read = true;
            state.readers
        };
        self.changed.notify_waiters();
        Reader {
            stream: Arc::clone(self),
            after,
            generation,
            has_id,
        }
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
    /// The number of the last event that it has read.
    after: u64,
    generation: u64,
    /// Whether its client knows the id of an event.
    has_id: bool,
}

impl Reader {
    /// An event without content, before all others: it tells the client where to take the stream up
    /// again, and when.
    pub(super) fn priming(&mut self) -> Bytes {
        self.has_id = true;
        let number = self.stream.number.unwrap_or_default();
        format!(
            "id: {number}-{}\nretry: {}\ndata: \n\n",
            self.after,
            RETRY.as_millis()
        )
        .into()
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
                if let Some(event) = state.take(self.after, self.stream.number.is_some()) {
                    self.after = event.number;
                    return Some(frame(self.stream.number, &event));
                }
                if state.ended.is_some() {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl Drop for Reader {
    /// A client that has the id of an event may come back; another one is gone.
    fn drop(&mut self) {
        let may_return = {
            let mut state = self.stream.lock();
            if state.readers != self.generation {
                return;
            }
            state.is_read = false;
            if state.ended.is_some() || self.stream.number == Some(UNASKED) {
                return;
            }
            self.stream.number.is_some() && (self.has_id || self.after > 0)
        };
        let runtime = tokio::runtime::Handle::try_current();
        let (true, Ok(runtime)) = (may_return, runtime) else {
            self.stream.given_up.cancel();
            return;
        };
        let (stream, generation) = (Arc::clone(&self.stream), self.generation);
        runtime.spawn(async move {
            tokio::time::sleep(RETURN).await;
            if stream.lock().readers == generation {
                stream.given_up.cancel();
            }
        });
    }
}

impl State {
    /// The first event after a number. What need not be kept is dropped.
    fn take(&mut self, after: u64, keeps: bool) -> Option<Event> {
        let place = self.events.iter().position(|event| event.number > after)?;
        let event = Event {
            number: self.events[place].number,
            text: self.events[place].text.clone(),
        };
        if event.number > self.read {
            self.read = event.number;
            self.unread_bytes = self.unread_bytes.saturating_sub(event.text.len());
        }
        if keeps {
            self.drop_old(self.read);
        } else {
            while self
                .events
                .front()
                .is_some_and(|first| first.number <= self.read)
            {
                self.drop_first();
            }
        }
        Some(event)
    }

    /// Drops the oldest events until the rest is few enough to be kept, up to a number.
    fn drop_old(&mut self, up_to: u64) {
        while (self.events.len() > KEPT_EVENTS || self.bytes > KEPT_BYTES)
            && self
                .events
                .front()
                .is_some_and(|first| first.number <= up_to)
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some(first) = self.events.pop_front() else {
            return;
        };
        self.bytes -= first.text.len();
        if first.number > self.read {
            self.read = first.number;
            self.unread_bytes = self.unread_bytes.saturating_sub(first.text.len());
        }
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
    text.put_slice(b"event: message\n");
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    fn send(stream: &Stream, number: u64) {
        assert!(stream.send(format!("{{\"n\":{number}}}").into()));
    }

    /// The next event that is there: its number, as its id and as what it says.
    fn next(reader: &mut Reader) -> Option<u64> {
        let event = reader.event().now_or_never()??;
        let text = std::str::from_utf8(&event).unwrap();
        let (id, rest) = text.split_once('\n').unwrap();
        let (_, number) = read_event_id(id.strip_prefix("id: ").unwrap()).unwrap();
        assert_eq!(
            rest,
            format!("event: message\ndata: {{\"n\":{number}}}\n\n")
        );
        Some(number)
    }

    fn rest(reader: &mut Reader) -> Vec<u64> {
        std::iter::from_fn(|| next(reader)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_stream_that_breaks_anywhere_gives_every_event_once(
            steps in prop::collection::vec((0..40_u64, 0..40_usize, 0..40_usize), 1..12),
        ) {
            let stream = Arc::new(Stream::new(Some(7)));
            let mut sent = 0;
            let mut arrived: Vec<u64> = Vec::new();
            for (more, read, arrives) in steps {
                for _ in 0..more {
                    sent += 1;
                    send(&stream, sent);
                }
                let after = arrived.last().copied().unwrap_or_default();
                let mut reader = stream.resumed(after).unwrap();
                let read: Vec<_> = std::iter::from_fn(|| next(&mut reader)).take(read).collect();
                arrived.extend(read.iter().take(arrives));
            }
            stream.end();
            let after = arrived.last().copied().unwrap_or_default();
            arrived.extend(rest(&mut stream.resumed(after).unwrap()));
            prop_assert_eq!(arrived, (1..=sent).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_stream_is_not_taken_up_with_a_gap() {
        let stream = Arc::new(Stream::new(Some(7)));
        for number in 1..=300 {
            send(&stream, number);
        }
        assert_eq!(rest(&mut stream.reader()).len(), 300);
        assert!(stream.resumed(0).is_none());
        assert!(stream.resumed(43).is_none());
        assert_eq!(rest(&mut stream.resumed(44).unwrap()).len(), KEPT_EVENTS);
        assert!(rest(&mut stream.resumed(300).unwrap()).is_empty());
        assert!(stream.resumed(301).is_none());
    }

    #[test]
    fn who_listens_anew_hears_what_nobody_has_heard() {
        let stream = Arc::new(Stream::new(Some(UNASKED)));
        send(&stream, 1);
        send(&stream, 2);
        let mut first = stream.reader();
        assert_eq!(next(&mut first), Some(1));
        let mut second = stream.reader();
        assert_eq!(next(&mut first), None);
        assert_eq!(rest(&mut second), [2]);
    }

    #[test]
    fn what_nobody_listens_to_is_kept_within_bounds() {
        let stream = Arc::new(Stream::new(Some(UNASKED)));
        for number in 1..=10_000 {
            send(&stream, number);
        }
        assert_eq!(
            rest(&mut stream.reader()),
            (9_745..=10_000).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_client_that_does_not_read_loses_what_is_too_much_but_not_its_answer() {
        let stream = Arc::new(Stream::new(Some(7)));
        let mut reader = stream.reader();
        let large = Bytes::from(vec![b'1'; MAXIMUM_UNREAD_BYTES + 1]);
        assert!(stream.send(large));
        assert!(!stream.send(Bytes::from_static(b"2")));
        assert!(stream.is_full());
        stream.finish(Bytes::from_static(b"3"));
        assert!(reader.event().now_or_never().flatten().is_some());
        let last = reader.event().now_or_never().flatten().unwrap();
        assert_eq!(&last[..], b"id: 7-2\nevent: message\ndata: 3\n\n");
        assert_eq!(reader.event().now_or_never(), Some(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_an_id_may_come_back_for_a_while() {
        let begun = Instant::now();
        let single = Arc::new(Stream::new(None));
        drop(single.reader());
        single.given_up().await;
        let unknown = Arc::new(Stream::new(Some(7)));
        drop(unknown.reader());
        unknown.given_up().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);

        let stream = Arc::new(Stream::new(Some(7)));
        let mut reader = stream.reader();
        assert_eq!(reader.priming(), "id: 7-0\nretry: 1000\ndata: \n\n");
        drop(reader);
        tokio::time::sleep(RETURN / 2).await;
        let reader = stream.resumed(0);
        tokio::time::sleep(RETURN * 2).await;
        assert!(!stream.given_up.is_cancelled());
        drop(reader);
        stream.given_up().await;
        assert_eq!(begun.elapsed(), RETURN * 7 / 2);
    }
}
