//! Spans on their way to a collector: OTLP over HTTP, as JSON. Whoever ends a span never waits; what a
//! slow collector leaves behind is bounded, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{Attribute, Context, Recording};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::config::Traces;

/// How many spans wait, and how many go at once.
const MAXIMUM_WAITING: usize = 2_048;
const MAXIMUM_BATCH: usize = 512;
/// A failure of the collector that passes is tried again once, after this.
const PAUSE: Duration = Duration::from_secs(1);

enum Item {
    Span(String),
    /// Everything before it is to be sent now.
    Flush(oneshot::Sender<()>),
}

/// Sends spans.
#[derive(Debug)]
pub(super) struct Exporter {
    items: mpsc::Sender<Item>,
    lost: Arc<AtomicU64>,
}

impl Exporter {
    pub(super) fn start(traces: &Traces) -> Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(traces.timeout)
            .redirect(Policy::none())
            .default_headers(traces.headers.clone())
            .build()
            .map_err(|cause| {
                let message = "the exporter of traces cannot be set up";
                Error::new(ErrorKind::Configuration, message).with_source(cause)
            })?;
        let (items, taken) = mpsc::channel(MAXIMUM_WAITING);
        let lost = Arc::<AtomicU64>::default();
        let sending = Sending {
            client,
            url: traces.url.clone(),
            before: before(traces),
            delay: traces.delay,
            lost: Arc::clone(&lost),
            is_failing: AtomicBool::new(false),
        };
        tokio::spawn(sending.run(taken));
        Ok(Self { items, lost })
    }

    pub(super) fn take(&self, span: String) {
        if self.items.try_send(Item::Span(span)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) async fn flush(&self, limit: Duration) {
        let (done, waited) = oneshot::channel();
        let flushed = async {
            self.items.send(Item::Flush(done)).await.ok()?;
            waited.await.ok()
        };
        // A collector that does not answer holds nobody up.
        let _ = tokio::time::timeout(limit, flushed).await;
    }
}

struct Sending {
    client: reqwest::Client,
    url: url::Url,
    /// What stands before the spans.
    before: String,
    delay: Duration,
    lost: Arc<AtomicU64>,
    is_failing: AtomicBool,
}

impl Sending {
    async fn run(self, mut items: mpsc::Receiver<Item>) {
        let mut spans = Vec::new();
        let mut flushes = Vec::new();
        while let Some(first) = items.recv().await {
            let full = tokio::time::sleep(self.delay);
            tokio::pin!(full);
            let mut next = Some(first);
            while let Some(item) = next {
                match item {
                    Item::Span(span) => spans.push(span),
                    Item::Flush(done) => flushes.push(done),
                }
                if !flushes.is_empty() || spans.len() >= MAXIMUM_BATCH {
                    break;
                }
                next = tokio::select! {
                    item = items.recv() => item,
                    () = &mut full => None,
                };
            }
            if !spans.is_empty() {
                self.send(&spans).await;
                spans.clear();
            }
            for done in flushes.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
        }
    }

    async fn send(&self, spans: &[String]) {
        let body = format!("{}{}]}}]}}]}}", self.before, spans.join(","));
        let mut outcome = self.post(&body).await;
        if matches!(outcome, Err((_, true))) {
            tokio::time::sleep(PAUSE).await;
            outcome = self.post(&body).await;
        }
        match outcome {
            Ok(()) => self.is_failing.store(false, Ordering::Relaxed),
            Err((why, _)) => {
                let lost = self.lost.fetch_add(spans.len() as u64, Ordering::Relaxed);
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        target: "toolbridge::gateway", lost = lost + spans.len() as u64,
                        "spans did not reach the collector at {}: {why}",
                        self.url.origin().ascii_serialization()
                    );
                }
            }
        }
    }

    /// Why it did not arrive, and whether that may pass.
    async fn post(&self, body: &str) -> std::result::Result<(), (String, bool)> {
        let request = self.client.post(self.url.clone());
        let request = request.header(http::header::CONTENT_TYPE, "application/json");
        match request.body(body.to_owned()).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                let status = answer.status();
                let passes = matches!(status.as_u16(), 429 | 502 | 503 | 504);
                Err((format!("it answered {status}"), passes))
            }
            // The URL may hold a key.
            Err(failure) => Err((failure.without_url().to_string(), true)),
        }
    }
}

/// The resource and the scope of all spans.
fn before(traces: &Traces) -> String {
    let attributes = traces.resource.iter();
    let attributes: Vec<Value> = attributes
        .map(|(name, value)| json!({"key": name, "value": {"stringValue": value}}))
        .collect();
    let resource = json!({ "attributes": attributes });
    let scope = json!({"name": "toolbridge", "version": env!("CARGO_PKG_VERSION")});
    format!(
        r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{scope},"spans":["#
    )
}

/// A span as OTLP has it.
pub(super) fn text(
    recording: &Recording,
    context: &Context,
    began: Duration,
    ended: Duration,
) -> String {
    let attributes = recording.attributes.iter().map(|(name, value)| {
        let value = match value {
            Attribute::Text(text) => json!({ "stringValue": text }),
            // 64 bits are a text in the JSON of protobuf.
            Attribute::Number(number) => json!({ "intValue": number.to_string() }),
        };
        json!({"key": name, "value": value})
    });
    let attributes: Vec<Value> = attributes.collect();
    let mut span = json!({
        "traceId": format!("{:032x}", context.trace),
        "spanId": format!("{:016x}", context.span),
        "name": recording.name,
        "kind": recording.kind as u8,
        "startTimeUnixNano": began.as_nanos().to_string(),
        "endTimeUnixNano": ended.as_nanos().to_string(),
        "attributes": attributes,
        "flags": context.flags,
    });
    if let Some(parent) = recording.parent {
        span["parentSpanId"] = format!("{parent:016x}").into();
    }
    if let Some(state) = &context.state {
        span["traceState"] = state.as_str().into();
    }
    if let Some(failure) = &recording.failure {
        span["status"] = json!({"code": 2, "message": failure});
    }
    span.to_string()
}
