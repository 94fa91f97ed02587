//! What is said about every request: its id, a line in the log, its share of the metrics. The layer
//! around every route. Nothing of a request is logged but its method, its path and who sent it: a
//! query may hold a session, headers hold keys, bodies are nobody's business.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::access::Caller;
use super::metrics::{InFlight, Metrics};
use super::trace::{Kind, Span, Trace};
use super::{Current, Shared};
use crate::llm::retry::random_bits;

const TARGET: &str = "toolbridge::access";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Where the id goes that a provider gave its answer.
const PROVIDER_REQUEST_ID: HeaderName = HeaderName::from_static("llm_provider-x-request-id");
const MAXIMUM_ID_BYTES: usize = 128;

/// Who sent a request, once that is known.
#[derive(Debug, Clone, Default)]
struct Sender(Arc<OnceLock<String>>);

/// Notes who sent a request.
pub(super) fn sent_by(parts: &Parts, caller: &Caller) {
    if let Some(Sender(name)) = parts.extensions.get() {
        // Whoever asks twice hears the same.
        let _ = name.set(caller.name().to_owned());
    }
}

/// The id that a client gave its request, if it is one.
fn given_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let given = headers.get(REQUEST_ID).filter(|id| {
        let id = id.as_bytes();
        (1..=MAXIMUM_ID_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
    });
    given.cloned()
}

fn new_id() -> HeaderValue {
    let id = format!("{:016x}{:016x}", random_bits(), random_bits());
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
}

/// The layer around every route.
pub(super) async fn layer<F: Future<Output = Response>>(
    current: Current,
    mut request: Request,
    inner: impl FnOnce(Request) -> F,
) -> Response {
    let shared = current.get();
    let metrics = Arc::clone(&shared.metrics);
    let sender = Sender::default();
    let given = given_id(request.headers());
    let is_given = given.is_some();
    let id = given.unwrap_or_else(new_id);
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let span = span(&shared, &request, &route);
    let trace = span.trace().clone();
    let mut done = Done {
        span,
        in_flight: metrics.begin(),
        began: Instant::now(),
        metrics,
        id: id.clone(),
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        route,
        from: from.map(|ConnectInfo(address)| *address),
        sender: sender.clone(),
        status: StatusCode::OK,
        is_whole: false,
        bytes: 0,
    };
    request.extensions_mut().insert(sender);
    request.extensions_mut().insert(trace);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let mut response = inner(request).await;
    done.status = response.status();
    let headers = response.headers_mut();
    match headers.get(REQUEST_ID) {
        // The id that a provider gave is worth more than one that nobody knows yet.
        Some(theirs) if !is_given => done.id = theirs.clone(),
        _ => {
            if let Some(theirs) = headers.insert(REQUEST_ID, id) {
                headers.insert(PROVIDER_REQUEST_ID, theirs);
            }
        }
    }
    response.map(|inner| Body::new(Counted { inner, done }))
}

/// The request in the trace of its caller.
fn span(shared: &Shared, request: &Request, route: &str) -> Span {
    // Whoever looks every few seconds whether it is alive wants no trace of that.
    let is_watched = !route.starts_with("/health") && !route.starts_with("/metrics");
    let tracer = shared.tracer.clone().filter(|_| is_watched);
    let trace = Trace::of(tracer, request.headers());
    let method = request.method();
    let mut span = trace.begin(Kind::Server, || format!("{method} {route}"));
    span.set("http.request.method", method.as_str());
    span.set("http.route", route);
    span
}

/// What is said once an answer has ended, however it did.
struct Done {
    span: Span,
    #[expect(dead_code, reason = "counts for as long as it lives")]
    in_flight: InFlight,
    began: Instant,
    metrics: Arc<Metrics>,
    id: HeaderValue,
    method: Method,
    path: String,
    route: String,
    from: Option<SocketAddr>,
    sender: Sender,
    status: StatusCode,
    is_whole: bool,
    bytes: u64,
}

impl Drop for Done {
    fn drop(&mut self) {
        let elapsed = self.began.elapsed();
        let status = self.status;
        self.span
            .set("http.response.status_code", u64::from(status.as_u16()));
        if status.is_server_error() {
            self.span.failed(|| status.to_string());
        }
        self.metrics
            .request(&self.route, &self.method, self.status, elapsed);
        macro_rules! say {
            ($level:ident) => {
                tracing::$level!(
                    target: TARGET,
                    request_id = self.id.to_str().unwrap_or_default(),
                    method = self.method.as_str(),
                    path = self.path.as_str(),
                    status = self.status.as_u16(),
                    milliseconds = elapsed.as_secs_f64() * 1000.0,
                    bytes = self.bytes,
                    caller = self.sender.0.get().map(String::as_str).unwrap_or_default(),
                    client = self.from.map(|from| from.ip().to_string()).unwrap_or_default(),
                    complete = self.is_whole,
                    "a request was answered"
                )
            };
        }
        // A line for each request that went well is for whoever asks for it.
        match self.status {
            status if status.is_server_error() => say!(warn),
            status if status.is_client_error() => say!(info),
            _ => say!(debug),
        }
    }
}

/// The body of an answer, until it has ended or nobody takes it any more.
struct Counted {
    inner: Body,
    done: Done,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.done.bytes += length as u64;
                self.done.is_whole = self.inner.is_end_stream();
            }
            Poll::Ready(None) => self.done.is_whole = true,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
