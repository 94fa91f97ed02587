//! Sessions of clients: of Streamable HTTP up to 2025-11-25, and of HTTP+SSE. Owns [`Sessions`] and
//! [`Session`].

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::scope::Scope;
use super::stream::Stream;
use crate::gateway::access::Caller;
use crate::json::RawJson;

/// How many sessions there may be at once.
const MAXIMUM_SESSIONS: usize = 10_000;
/// How many requests of one session may be under way.
const MAXIMUM_UNDER_WAY: usize = 1_000;
/// After how long without a sign of life a session is forgotten.
const IDLE: Duration = Duration::from_mins(30);
/// How many streams of a session are kept to be taken up again.
const MAXIMUM_STREAMS: usize = 64;

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
    under_way: Mutex<HashMap<RequestId, CancellationToken>>,
    seen: Mutex<Instant>,
    pub(super) ended: CancellationToken,
}

/// The id of a request, as its client wrote it.
type RequestId = Vec<u8>;

/// The sessions that there are.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Arc<Session>>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// Begins a session; none if there are too many.
    pub(super) fn begin(&self, kind: Kind, client: Arc<Client>) -> Option<Arc<Session>> {
        let mut random = [0; 24];
        rand::fill(&mut random).ok()?;
        let unasked = Arc::new(Stream::new((kind == Kind::Streamable).then_some(0)));
        client.listen(Arc::<Stream>::clone(&unasked));
        let session = Arc::new(Session {
            id: URL_SAFE_NO_PAD.encode(random),
            kind,
            client,
            unasked,
            streams: Mutex::default(),
            next_stream: AtomicU64::new(1),
            under_way: Mutex::default(),
            seen: Mutex::new(Instant::now()),
            ended: CancellationToken::new(),
        });
        let mut sessions = lock(&self.0);
        if sessions.len() >= MAXIMUM_SESSIONS {
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
        let session = lock(&self.0).get(id).cloned()?;
        let client = &session.client;
        let is_own = session.kind == kind && client.caller == *caller && client.scope.is_at(scope);
        if is_own {
            *lock(&session.seen) = Instant::now();
        }
        is_own.then_some(session)
    }

    /// Ends a session and everything that is under way in it.
    pub(super) fn end(&self, session: &Session) {
        lock(&self.0).remove(&session.id);
        session.end();
    }

    /// Ends the sessions that nobody uses.
    pub(super) fn sweep(&self) -> Vec<Arc<Session>> {
        let now = Instant::now();
        let mut idle = Vec::new();
        lock(&self.0).retain(|_, session| {
            let is_idle = session.kind == Kind::Streamable
                && lock(&session.under_way).is_empty()
                && now.duration_since(*lock(&session.seen)) > IDLE;
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
        lock(&self.0).values().cloned().collect()
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

    /// A stream for the answer of a request, which can be taken up again.
    pub(super) fn stream(&self) -> Arc<Stream> {
        let number = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::new(Stream::new(Some(number)));
        let mut streams = lock(&self.streams);
        if streams.len() >= MAXIMUM_STREAMS {
            let oldest = streams.iter().find(|(_, stream)| stream.has_ended());
            if let Some(oldest) = oldest.map(|(number, _)| *number) {
                streams.remove(&oldest);
            }
        }
        streams.insert(number, Arc::clone(&stream));
        stream
    }

    /// The stream of that number.
    pub(super) fn stream_of(&self, number: u64) -> Option<Arc<Stream>> {
        if number == 0 {
            return Some(Arc::clone(&self.unasked));
        }
        lock(&self.streams).get(&number).cloned()
    }

    /// Notes that a request is under way, so that the client can cancel it; none if there are too
    /// many.
    pub(super) fn begin(self: &Arc<Self>, id: &RawJson) -> Option<UnderWay> {
        let cancelled = self.ended.child_token();
        let key = id.as_bytes().to_vec();
        let mut under_way = lock(&self.under_way);
        if under_way.len() >= MAXIMUM_UNDER_WAY {
            return None;
        }
        under_way.insert(key.clone(), cancelled.clone());
        Some(UnderWay {
            session: Arc::clone(self),
            key,
            cancelled,
        })
    }

    /// The client no longer wants the answer to a request.
    pub(super) fn cancel(&self, id: &[u8]) {
        if let Some(cancelled) = lock(&self.under_way).remove(id) {
            cancelled.cancel();
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    session: Arc<Session>,
    key: RequestId,
    pub(super) cancelled: CancellationToken,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.session.under_way).remove(&self.key);
        *lock(&self.session.seen) = Instant::now();
    }
}
