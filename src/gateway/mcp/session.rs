//! Sessions of clients: of Streamable HTTP up to 2025-11-25, and of HTTP+SSE. Owns [`Sessions`] and
//! [`Session`].

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::scope::Scope;
use super::stream::{Stream, UNASKED};
use crate::gateway::access::Caller;
use crate::gateway::config::Limits;
use crate::json::RawJson;

/// After how long without a sign of life a session is forgotten.
const IDLE: Duration = Duration::from_mins(30);
/// What of the streams of a session that have ended is kept to be taken up again.
const KEPT_STREAMS: usize = 64;
const KEPT_BYTES: usize = 4 << 20;

/// Which transport a session is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Streamable,
    Sse,
}

/// A session of a client.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) client: Arc<Client>,
    /// What belongs to no request; of HTTP+SSE, everything.
    pub(super) unasked: Arc<Stream>,
    streams: Mutex<BTreeMap<u64, Arc<Stream>>>,
    next_stream: AtomicU64,
    under_way: Mutex<BTreeMap<u64, (RequestId, CancellationToken)>>,
    next_request: AtomicU64,
    seen: Mutex<Instant>,
    pub(super) ended: CancellationToken,
    /// How many requests may be under way.
    maximum_under_way: usize,
    /// What has to be answered before the session may end.
    held: AtomicUsize,
    is_draining: AtomicBool,
}

/// The id of a request, as its client wrote it.
type RequestId = Vec<u8>;

/// The sessions that there are.
#[derive(Debug)]
pub(super) struct Sessions {
    all: Mutex<HashMap<String, Arc<Session>>>,
    maximum: AtomicUsize,
    maximum_under_way: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    pub(super) fn new(limits: &Limits) -> Self {
        let sessions = Self {
            all: Mutex::default(),
            maximum: AtomicUsize::new(0),
            maximum_under_way: AtomicUsize::new(0),
        };
        sessions.limit(limits);
        sessions
    }

    /// The limits of what begins from now on.
    pub(super) fn limit(&self, limits: &Limits) {
        self.maximum.store(limits.sessions, Ordering::Relaxed);
        self.maximum_under_way
            .store(limits.requests_per_session, Ordering::Relaxed);
    }

    /// Begins a session; none if there are too many.
    pub(super) fn begin(&self, kind: Kind, client: Arc<Client>) -> Option<Arc<Session>> {
        let mut random = [0; 24];
        rand::fill(&mut random).ok()?;
        let unasked = Arc::new(Stream::new((kind == Kind::Streamable).then_some(UNASKED)));
        client.listen(Arc::<Stream>::clone(&unasked));
        let session = Arc::new(Session {
            id: URL_SAFE_NO_PAD.encode(random),
            kind,
            client,
            unasked,
            streams: Mutex::default(),
            next_stream: AtomicU64::new(1),
            under_way: Mutex::default(),
            next_request: AtomicU64::new(1),
            seen: Mutex::new(Instant::now()),
            ended: CancellationToken::new(),
            maximum_under_way: self.maximum_under_way.load(Ordering::Relaxed),
            held: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
        });
        let mut sessions = lock(&self.all);
        if sessions.len() >= self.maximum.load(Ordering::Relaxed) {
            return None;
        }
        sessions.insert(session.id.clone(), Arc::clone(&session));
        Some(session)
    }

    /// The session of that id, if it is this caller's and of this place.
    pub(super) fn find(
        &self,
        id: &str,
        kind: Kind,
        caller: &Caller,
        scope: &Scope,
    ) -> Option<Arc<Session>> {
        let session = lock(&self.all).get(id).cloned()?;
        let client = &session.client;
        let is_own = session.kind == kind && client.caller == *caller && client.scope.is_at(scope);
        if is_own {
            *lock(&session.seen) = Instant::now();
        }
        is_own.then_some(session)
    }

    /// Ends a session and everything that is under way in it.
    pub(super) fn end(&self, session: &Session) {
        lock(&self.all).remove(&session.id);
        session.end();
    }

    /// Ends the sessions that nobody uses, and forgets the streams that nobody comes back for.
    pub(super) fn sweep(&self) -> Vec<Arc<Session>> {
        let mut idle = Vec::new();
        lock(&self.all).retain(|_, session| {
            lock(&session.streams).retain(|_, stream| !stream.is_stale());
            let is_idle = session.is_idle();
            if is_idle {
                idle.push(Arc::clone(session));
            }
            !is_idle
        });
        for session in &idle {
            session.end();
        }
        idle
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        lock(&self.all).values().cloned().collect()
    }
}

impl Session {
    fn end(&self) {
        self.ended.cancel();
        self.unasked.end();
        for stream in std::mem::take(&mut *lock(&self.streams)).values() {
            stream.end();
        }
    }

    /// Whether nobody has used it for long. Whoever listens uses it, and that of HTTP+SSE ends with
    /// its stream.
    fn is_idle(&self) -> bool {
        self.kind == Kind::Streamable
            && !self.unasked.is_read()
            && lock(&self.under_way).is_empty()
            && lock(&self.seen).elapsed() > IDLE
    }

    /// Ends the session as soon as nothing of it has to be answered.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
        if self.kind == Kind::Streamable {
            self.unasked.end();
        }
        if self.held.load(Ordering::SeqCst) == 0 {
            self.end();
        }
    }

    /// Something of the session has to be answered for as long as this lives.
    pub(super) fn hold(self: &Arc<Self>) -> Hold {
        self.held.fetch_add(1, Ordering::SeqCst);
        Hold(Arc::clone(self))
    }

    /// A stream for the answer of a request, which can be taken up again.
    pub(super) fn stream(self: &Arc<Self>) -> Lease {
        let number = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::new(Stream::new(Some(number)));
        let mut streams = lock(&self.streams);
        let ended: Vec<_> = streams
            .iter()
            .filter(|(_, stream)| stream.has_ended())
            .map(|(number, stream)| (*number, stream.held_bytes()))
            .collect();
        let mut bytes: usize = ended.iter().map(|(_, bytes)| bytes).sum();
        for (place, (number, held)) in ended.iter().enumerate() {
            if ended.len() - place < KEPT_STREAMS && bytes <= KEPT_BYTES {
                break;
            }
            streams.remove(number);
            bytes -= held;
        }
        streams.insert(number, Arc::clone(&stream));
        drop(streams);
        Lease {
            stream,
            session: Some(Arc::clone(self)),
        }
    }

    /// The stream of that number.
    pub(super) fn stream_of(&self, number: u64) -> Option<Arc<Stream>> {
        if number == UNASKED {
            return Some(Arc::clone(&self.unasked));
        }
        lock(&self.streams).get(&number).cloned()
    }

    /// Notes that a request is under way, so that the client can cancel it; none if there are too
    /// many. A client that gives two of them one id hears both answers, and cancels both.
    pub(super) fn begin(self: &Arc<Self>, id: &RawJson) -> Option<UnderWay> {
        let cancelled = self.ended.child_token();
        let key = self.next_request.fetch_add(1, Ordering::Relaxed);
        let mut under_way = lock(&self.under_way);
        if under_way.len() >= self.maximum_under_way {
            return None;
        }
        under_way.insert(key, (id.as_bytes().to_vec(), cancelled.clone()));
        Some(UnderWay {
            session: Arc::clone(self),
            key,
            cancelled,
        })
    }

    /// The client no longer wants the answer to a request.
    pub(super) fn cancel(&self, id: &[u8]) {
        for (known, cancelled) in lock(&self.under_way).values() {
            if known == id {
                cancelled.cancel();
            }
        }
    }
}

/// A stream for an answer; forgotten with this unless it is kept, for nobody knows of it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) stream: Arc<Stream>,
    session: Option<Arc<Session>>,
}

impl Lease {
    /// A stream of no session.
    pub(super) fn single() -> Self {
        Self {
            stream: Arc::new(Stream::new(None)),
            session: None,
        }
    }

    /// The client hears of the stream.
    pub(super) fn keep(mut self) -> Arc<Stream> {
        self.session = None;
        Arc::clone(&self.stream)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let number = self.stream.number();
        if let Some((session, number)) = self.session.as_ref().zip(number) {
            lock(&session.streams).remove(&number);
        }
    }
}

/// Something of a session that has to be answered.
#[derive(Debug)]
pub(super) struct Hold(Arc<Session>);

impl Drop for Hold {
    fn drop(&mut self) {
        let Self(session) = self;
        if session.held.fetch_sub(1, Ordering::SeqCst) == 1
            && session.is_draining.load(Ordering::SeqCst)
        {
            session.end();
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    session: Arc<Session>,
    key: u64,
    pub(super) cancelled: CancellationToken,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.session.under_way).remove(&self.key);
        *lock(&self.session.seen) = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::gateway::access::Access;
    use crate::gateway::config::AccessConfig;
    use crate::gateway::mcp::client::Described;
    use crate::gateway::mcp::stream::RETURN;

    fn begun(sessions: &Sessions) -> Arc<Session> {
        let access = Access::new(&AccessConfig::default(), "127.0.0.1").unwrap();
        let caller = access.check(&http::HeaderMap::new(), None).unwrap();
        let client = Arc::new(Client::new(caller, Scope::default(), Described::default()));
        sessions.begin(Kind::Streamable, client).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_nobody_uses_ends_and_one_that_is_listened_to_does_not() {
        let sessions = Sessions::new(&Limits::default());
        let (idle, heard, busy) = (begun(&sessions), begun(&sessions), begun(&sessions));
        let reader = heard.unasked.reader();
        let under_way = busy.begin(&RawJson::trusted("1")).unwrap();
        tokio::time::advance(IDLE).await;
        assert!(sessions.sweep().is_empty());
        tokio::time::advance(RETURN).await;
        let ended = sessions.sweep();
        assert!(ended.len() == 1 && Arc::ptr_eq(&ended[0], &idle));
        assert!(idle.ended.is_cancelled());
        drop((reader, under_way));
        tokio::time::advance(IDLE + RETURN).await;
        assert_eq!(sessions.sweep().len(), 2);
        assert!(sessions.all().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_streams_of_a_session_are_bounded_and_forgotten() {
        let sessions = Sessions::new(&Limits::default());
        let session = begun(&sessions);
        drop(session.stream());
        assert!(lock(&session.streams).is_empty());
        let open = session.stream().keep();
        for _ in 0..200 {
            let stream = session.stream().keep();
            stream.finish(Bytes::from(vec![b'1'; 100 << 10]));
        }
        let held: usize = lock(&session.streams)
            .values()
            .map(|one| one.held_bytes())
            .sum();
        assert!(held <= KEPT_BYTES + (100 << 10), "{held}");
        assert!(lock(&session.streams).len() <= KEPT_STREAMS + 1);
        tokio::time::advance(RETURN + RETURN).await;
        sessions.sweep();
        assert_eq!(lock(&session.streams).len(), 1);
        assert!(session.stream_of(open.number().unwrap()).is_some());
    }

    #[test]
    fn what_is_under_way_is_bounded_and_cancelled_by_its_id() {
        let sessions = Sessions::new(&Limits::default());
        let session = begun(&sessions);
        let id = RawJson::trusted("\"a\"");
        let twice = [session.begin(&id).unwrap(), session.begin(&id).unwrap()];
        let other = session.begin(&RawJson::trusted("1")).unwrap();
        session.cancel(id.as_bytes());
        assert!(twice.iter().all(|one| one.cancelled.is_cancelled()));
        assert!(!other.cancelled.is_cancelled());
        drop(twice);
        let again = session.begin(&id).unwrap();
        assert!(!again.cancelled.is_cancelled());
        let more: Vec<_> = (2..Limits::default().requests_per_session)
            .map(|id| session.begin(&RawJson::trusted(id.to_string())).unwrap())
            .collect();
        assert!(session.begin(&RawJson::trusted("0")).is_none());
        drop((again, more));
    }
}
