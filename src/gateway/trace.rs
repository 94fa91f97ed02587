//! Where a request stands in a trace that many programs write together: W3C Trace Context as it comes
//! in, by headers or by the `_meta` of a message, and as it goes on to servers. Owns [`Trace`] and
//! [`Span`]; without an exporter nothing is recorded, and a trace of others passes through.
//!
//! | module | owns |
//! |---|---|
//! | `context` | the text of W3C Trace Context |
//! | `export` | spans on their way to a collector |

mod context;
mod export;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::config::Traces;
use crate::error::Result;
use crate::llm::retry::random_bits;
pub(super) use context::Context;
use export::Exporter;

pub(super) const PARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const STATE: HeaderName = HeaderName::from_static("tracestate");

/// Takes the spans.
#[derive(Debug)]
pub(super) struct Tracer {
    exporter: Exporter,
    /// Which share of the traces that begin here is recorded.
    share: f64,
    /// Whether what a caller decided for its trace holds here too.
    heeds_parent: bool,
}

impl Tracer {
    /// Must be called inside the runtime.
    pub(super) fn start(traces: &Traces) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            exporter: Exporter::start(traces)?,
            share: traces.share,
            heeds_parent: traces.heeds_parent,
        }))
    }

    /// Sends what has not been sent yet.
    pub(super) async fn flush(&self, limit: Duration) {
        self.exporter.flush(limit).await;
    }

    fn is_wanted(&self, parent: Option<&Context>, trace: u128) -> bool {
        match parent {
            Some(parent) if self.heeds_parent => parent.is_sampled(),
            _ => {
                // The part of an id that is random in every trace, as OpenTelemetry has it.
                #[expect(clippy::cast_precision_loss, reason = "a share needs no more bits")]
                let place = (trace & 0x00ff_ffff_ffff_ffff) as f64 / (1_u64 << 56) as f64;
                place < self.share
            }
        }
    }
}

/// Where a request stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    tracer: Option<Arc<Tracer>>,
    context: Option<Context>,
}

impl Trace {
    /// As the headers of a request have it.
    pub(super) fn of(tracer: Option<Arc<Tracer>>, headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let context = text(PARENT).and_then(|parent| Context::read(parent, text(STATE)));
        Self { tracer, context }
    }

    /// As a message has it that says so itself, which is nearer than the headers around it.
    pub(super) fn within(&self, context: Option<Context>) -> Self {
        Self {
            tracer: self.tracer.clone(),
            context: context.or_else(|| self.context.clone()),
        }
    }

    /// Begins a piece of work.
    pub(super) fn begin(&self, kind: Kind, name: impl FnOnce() -> String) -> Span {
        let parent = self.context.as_ref();
        let Some(tracer) = &self.tracer else {
            return Span {
                trace: self.clone(),
                recording: None,
            };
        };
        let trace = parent.map_or_else(new_trace, |parent| parent.trace);
        let is_wanted = tracer.is_wanted(parent, trace);
        let context = Context {
            trace,
            span: random_bits().max(1),
            flags: u8::from(is_wanted),
            state: parent.and_then(|parent| parent.state.clone()),
        };
        let recording = is_wanted.then(|| Recording {
            name: name(),
            kind,
            parent: parent.map(|parent| parent.span),
            since: SystemTime::now(),
            began: Instant::now(),
            attributes: Vec::new(),
            failure: None,
        });
        Span {
            trace: Self {
                tracer: Some(Arc::clone(tracer)),
                context: Some(context),
            },
            recording,
        }
    }
}

fn new_trace() -> u128 {
    (u128::from(random_bits()) << 64 | u128::from(random_bits())).max(1)
}

/// Whose work a span is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A caller's request.
    Server = 2,
    /// What somebody else is asked for it.
    Client = 3,
}

/// A value that a span has.
#[derive(Debug)]
pub(super) enum Attribute {
    Text(String),
    Number(u64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// What is told of a piece of work.
#[derive(Debug)]
struct Recording {
    name: String,
    kind: Kind,
    parent: Option<u64>,
    since: SystemTime,
    began: Instant,
    attributes: Vec<(&'static str, Attribute)>,
    failure: Option<String>,
}

/// A piece of work, until it is dropped.
#[must_use]
pub(super) struct Span {
    trace: Trace,
    recording: Option<Recording>,
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Span")
            .field("context", &self.trace.context)
            .finish_non_exhaustive()
    }
}

impl Span {
    /// Where what belongs to it stands.
    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What goes on to whoever is asked.
    pub(super) fn context(&self) -> Option<&Context> {
        self.trace.context.as_ref()
    }

    /// Whether somebody records the trace here, so that what goes on names this span.
    pub(super) fn is_own(&self) -> bool {
        self.trace.tracer.is_some()
    }

    pub(super) fn set(&mut self, name: &'static str, value: impl Into<Attribute>) {
        if let Some(recording) = &mut self.recording {
            recording.attributes.push((name, value.into()));
        }
    }

    /// It has not done what it was for.
    pub(super) fn failed(&mut self, why: impl FnOnce() -> String) {
        if let Some(recording) = &mut self.recording {
            recording.failure = Some(why());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let parts = (
            self.recording.take(),
            &self.trace.context,
            &self.trace.tracer,
        );
        if let (Some(recording), Some(context), Some(tracer)) = parts {
            let began = recording.since.duration_since(UNIX_EPOCH);
            let began = began.unwrap_or_default();
            let ended = began + recording.began.elapsed();
            tracer
                .exporter
                .take(export::text(&recording, context, began, ended));
        }
    }
}

/// The headers by which a trace goes on.
pub(super) fn headers(context: &Context) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let parent = HeaderValue::from_str(&context.to_string()).ok();
    let state = context.state.as_ref();
    let state = state.and_then(|state| HeaderValue::from_str(state).ok());
    let parent = parent.map(|value| (PARENT, value));
    parent.into_iter().chain(state.map(|value| (STATE, value)))
}
