//! What the gateway counts, in the text form of Prometheus. Owns [`Metrics`]; the state of sessions
//! and servers is looked up when somebody asks.

mod family;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use memchr::memmem;
use serde::Deserialize;

use crate::json::RawJson;
use crate::llm::answer::Usage;
use crate::llm::catalogue::cost::Cost;
use family::{Counters, Histograms, Sums};

use super::trace::Span;

pub(super) use family::{gauge, labels};

/// Everything that is counted since the start.
#[derive(Debug)]
pub(super) struct Metrics {
    in_flight: Arc<AtomicU64>,
    requests: Counters,
    request_seconds: Histograms,
    refused: Counters,
    tool_calls: Counters,
    tool_seconds: Histograms,
    chats: Counters,
    chat_seconds: Histograms,
    tokens: Counters,
    costs: Sums,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            in_flight: Arc::default(),
            requests: Counters::new(
                "toolbridge_http_requests_total",
                "Requests that were answered, by route, method and status.",
            ),
            request_seconds: Histograms::new(
                "toolbridge_http_request_duration_seconds",
                "How long answers took, to their last byte.",
            ),
            refused: Counters::new(
                "toolbridge_refused_requests_total",
                "Requests without a key, or with one that is not known.",
            ),
            tool_calls: Counters::new(
                "toolbridge_tool_calls_total",
                "Calls of tools, by server, tool and outcome.",
            ),
            tool_seconds: Histograms::new(
                "toolbridge_tool_call_duration_seconds",
                "How long calls of tools took.",
            ),
            chats: Counters::new(
                "toolbridge_chat_completions_total",
                "Chat completions, by model and status; 0 is an answer that nobody waited for.",
            ),
            chat_seconds: Histograms::new(
                "toolbridge_chat_completion_duration_seconds",
                "How long chat completions took, to their last byte.",
            ),
            tokens: Counters::new(
                "toolbridge_tokens_total",
                "Tokens, by model and kind, as far as providers tell.",
            ),
            costs: Sums::new(
                "toolbridge_cost_dollars_total",
                "What they cost, by model, as far as prices are known; US dollars.",
            ),
        }
    }
}

/// A request that is in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<AtomicU64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(super) fn begin(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.in_flight))
    }

    /// How many requests are in flight.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A request was answered.
    pub(super) fn request(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let method = match *method {
            Method::GET | Method::POST | Method::DELETE | Method::OPTIONS | Method::HEAD => {
                method.as_str()
            }
            _ => "other",
        };
        if status == StatusCode::UNAUTHORIZED {
            self.refused.add(&labels(&[("route", route)]), 1);
        }
        let labels_of = [
            ("route", route),
            ("method", method),
            ("status", status.as_str()),
        ];
        self.requests.add(&labels(&labels_of), 1);
        self.request_seconds
            .observe(&labels(&[("route", route)]), took);
    }

    /// A tool is called; its outcome is said to what this gives.
    pub(super) fn tool(self: &Arc<Self>, server: &str, tool: &str) -> ToolCall {
        ToolCall {
            metrics: Arc::clone(self),
            server: server.to_owned(),
            tool: tool.to_owned(),
            began: Instant::now(),
            outcome: "cancelled",
        }
    }

    /// A model is asked; what became of it is said to what this gives.
    pub(super) fn chat(self: &Arc<Self>, model: &str) -> Chat {
        Chat {
            metrics: Arc::clone(self),
            model: model.to_owned(),
            began: Instant::now(),
            status: 0,
            tokens: [0; 2],
            cost: None,
            span: None,
        }
    }

    /// All of it, as Prometheus reads it.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(8 << 10);
        gauge(
            &mut text,
            "toolbridge_http_requests_in_flight",
            "Requests whose answers have not ended.",
            &[(String::new(), self.in_flight())],
        );
        self.requests.write(&mut text);
        self.request_seconds.write(&mut text);
        self.refused.write(&mut text);
        self.tool_calls.write(&mut text);
        self.tool_seconds.write(&mut text);
        self.chats.write(&mut text);
        self.chat_seconds.write(&mut text);
        self.tokens.write(&mut text);
        self.costs.write(&mut text);
        text
    }
}

/// A tool that is called.
#[derive(Debug)]
pub(super) struct ToolCall {
    metrics: Arc<Metrics>,
    server: String,
    tool: String,
    began: Instant,
    outcome: &'static str,
}

impl ToolCall {
    /// The call has ended, with a result or without.
    pub(super) fn ended(mut self, result: Option<&RawJson>) {
        self.outcome = match result {
            None => "error",
            Some(result) if has_failed(result) => "tool_error",
            Some(_) => "ok",
        };
    }
}

impl Drop for ToolCall {
    fn drop(&mut self) {
        let who = [("server", self.server.as_str()), ("tool", &self.tool)];
        let [server, tool] = who;
        let outcome = ("outcome", self.outcome);
        let calls = &self.metrics.tool_calls;
        calls.add(&labels(&[server, tool, outcome]), 1);
        let seconds = &self.metrics.tool_seconds;
        seconds.observe(&labels(&who), self.began.elapsed());
    }
}

/// Whether a result says that its tool failed.
pub(super) fn has_failed(result: &RawJson) -> bool {
    #[derive(Deserialize)]
    struct Outcome {
        #[serde(default, rename = "isError")]
        is_error: bool,
    }
    // A long result is not read again for the few that say so.
    memmem::find(result.as_bytes(), b"\"isError\"").is_some()
        && serde_json::from_slice(result.as_bytes()).is_ok_and(|Outcome { is_error }| is_error)
}

/// A model that is asked.
#[derive(Debug)]
pub(super) struct Chat {
    metrics: Arc<Metrics>,
    model: String,
    began: Instant,
    status: u16,
    tokens: [u64; 2],
    /// In US dollars.
    cost: Option<f64>,
    span: Option<Span>,
}

impl Chat {
    /// It is a part of a trace.
    pub(super) fn within(mut self, mut span: Span) -> Self {
        span.set("gen_ai.operation.name", "chat");
        span.set("gen_ai.request.model", self.model.as_str());
        self.span = Some(span);
        self
    }

    /// The status of the answer.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    /// The answer has ended; it took these tokens, and they cost that.
    pub(super) fn ended(&mut self, status: StatusCode, usage: Option<Usage>, cost: Option<Cost>) {
        self.answered(status);
        self.cost = cost.map(Cost::total);
        if let Some(usage) = usage {
            self.tokens = [usage.prompt_tokens, usage.completion_tokens];
        }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let model = ("model", self.model.as_str());
        let status = self.status.to_string();
        let chats = &self.metrics.chats;
        chats.add(&labels(&[model, ("status", &status)]), 1);
        let seconds = &self.metrics.chat_seconds;
        seconds.observe(&labels(&[model]), self.began.elapsed());
        if let Some(span) = &mut self.span {
            let [input, output] = self.tokens;
            span.set("gen_ai.usage.input_tokens", input);
            span.set("gen_ai.usage.output_tokens", output);
            if self.status != StatusCode::OK.as_u16() {
                span.set("error.type", status.as_str());
                span.failed(|| status.clone());
            }
        }
        if let Some(cost) = self.cost.filter(|cost| *cost > 0.0) {
            self.metrics.costs.add(&labels(&[model]), cost);
        }
        for (kind, tokens) in ["prompt", "completion"].into_iter().zip(self.tokens) {
            if tokens > 0 {
                let tokens_of = &self.metrics.tokens;
                tokens_of.add(&labels(&[model, ("kind", kind)]), tokens);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_counted_by_who_and_how() {
        let metrics = Arc::new(Metrics::default());
        metrics
            .tool("time", "now")
            .ended(Some(&RawJson::trusted("{}")));
        metrics
            .tool("time", "now")
            .ended(Some(&RawJson::trusted("{}")));
        drop(metrics.tool("ti\"me", "now"));
        let failed = RawJson::trusted(r#"{"content":[],"isError":true}"#);
        metrics.tool("a", "b").ended(Some(&failed));
        metrics.tool("a", "b").ended(None);
        let mut chat = metrics.chat("gpt");
        let usage = Usage {
            prompt_tokens: 7,
            ..Usage::default()
        };
        let cost = Cost {
            prompt: 0.000_25,
            ..Cost::default()
        };
        chat.ended(StatusCode::OK, Some(usage), Some(cost));
        drop(chat);
        metrics.request(
            "/mcp",
            &Method::PATCH,
            StatusCode::UNAUTHORIZED,
            Duration::from_millis(3),
        );
        let _two = [metrics.begin(), metrics.begin()];
        let text = metrics.text();
        for line in [
            r#"toolbridge_tool_calls_total{server="time",tool="now",outcome="ok"} 2"#,
            r#"toolbridge_tool_calls_total{server="ti\"me",tool="now",outcome="cancelled"} 1"#,
            r#"toolbridge_tool_calls_total{server="a",tool="b",outcome="tool_error"} 1"#,
            r#"toolbridge_tool_calls_total{server="a",tool="b",outcome="error"} 1"#,
            r#"toolbridge_tool_call_duration_seconds_count{server="time",tool="now"} 2"#,
            r#"toolbridge_chat_completions_total{model="gpt",status="200"} 1"#,
            r#"toolbridge_tokens_total{model="gpt",kind="prompt"} 7"#,
            r#"toolbridge_cost_dollars_total{model="gpt"} 0.00025"#,
            r#"toolbridge_http_requests_total{route="/mcp",method="other",status="401"} 1"#,
            r#"toolbridge_http_request_duration_seconds_bucket{route="/mcp",le="0.0025"} 0"#,
            r#"toolbridge_http_request_duration_seconds_bucket{route="/mcp",le="0.005"} 1"#,
            r#"toolbridge_http_request_duration_seconds_bucket{route="/mcp",le="+Inf"} 1"#,
            r#"toolbridge_refused_requests_total{route="/mcp"} 1"#,
            "toolbridge_http_requests_in_flight 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("kind=\"completion\""), "{text}");
    }

    #[test]
    fn names_without_end_do_not_fill_the_memory() {
        let metrics = Arc::new(Metrics::default());
        for number in 0..3 * family::MAXIMUM_SERIES {
            metrics
                .tool("time", &number.to_string())
                .ended(Some(&RawJson::trusted("{}")));
        }
        let text = metrics.text();
        let series = text
            .lines()
            .filter(|line| line.starts_with("toolbridge_tool_calls_total{"));
        assert_eq!(series.count(), family::MAXIMUM_SERIES + 1);
        let rest = 2 * family::MAXIMUM_SERIES;
        let line = format!("toolbridge_tool_calls_total{{overflow=\"true\"}} {rest}");
        assert!(text.lines().any(|found| found == line), "{line}");
    }
}
