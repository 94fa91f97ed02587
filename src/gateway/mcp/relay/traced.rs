//! A request of a client in its trace: where it stands, the span of what a server is asked for it, and
//! how the trace goes on to the server, by headers and by `_meta` (SEP-414). A request that no trace
//! was named for, while nobody records, goes on as it came.

use http::HeaderMap;

use super::Asked;
use super::splice::{member, text_member, with_member};
use crate::error::Error;
use crate::gateway::mcp::message::Request;
use crate::gateway::metrics::has_failed;
use crate::gateway::trace::{self, Context, Kind, Span, Trace};
use crate::json::RawJson;

/// Where a request stands: its own `_meta` is nearer than the headers around it.
pub(super) fn trace(request: &Request) -> Trace {
    let own = request.params.as_ref().and_then(context_of);
    request.trace.within(own)
}

fn context_of(params: &RawJson) -> Option<Context> {
    memchr::memmem::find(params.as_bytes(), b"\"traceparent\"")?;
    let meta = member(params.as_bytes(), "_meta")?.get().as_bytes();
    let parent = text_member(meta, trace::PARENT.as_str())?;
    let state = text_member(meta, trace::STATE.as_str());
    Context::read(&parent, state.as_deref())
}

/// A server is asked.
pub(super) fn begin(asked: &Asked<'_>, server: &str) -> Span {
    let named = || {
        let params = asked.params.as_ref()?;
        let key = match asked.method {
            "tools/call" | "prompts/get" => "name",
            _ => return None,
        };
        text_member(params.as_bytes(), key)
    };
    let mut name = None;
    let mut span = asked.trace.begin(Kind::Client, || {
        name = named();
        match &name {
            Some(name) => format!("{} {name}", asked.method),
            None => asked.method.to_owned(),
        }
    });
    span.set("mcp.method.name", asked.method);
    span.set("mcp.server.name", server);
    if let Some(name) = name {
        let key = match asked.method {
            "tools/call" => "gen_ai.tool.name",
            _ => "gen_ai.prompt.name",
        };
        span.set(key, name.as_str());
    }
    span
}

/// What goes to the server: the parameters, and headers where it is reached over HTTP.
pub(super) fn passed_on(span: &Span, params: Option<RawJson>) -> (Option<RawJson>, HeaderMap) {
    let Some(context) = span.context() else {
        return (params, HeaderMap::new());
    };
    let headers = trace::headers(context).collect();
    // What a client wrote stays as it wrote it, unless the server's work is part of a span of ours.
    let own = params.as_ref().and_then(context_of);
    if own.is_some() && !span.is_own() {
        return (params, headers);
    }
    let params = params.unwrap_or_else(|| RawJson::trusted("{}"));
    let meta = member(params.as_bytes(), "_meta").filter(|meta| meta.get().starts_with('{'));
    let meta = meta.map_or("{}", |meta| meta.get());
    let mut meta = RawJson::trusted(meta.to_owned());
    let fields = [
        (trace::PARENT, Some(context.to_string())),
        (trace::STATE, context.state.clone()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            let value = serde_json::Value::from(value).to_string();
            meta = with_member(&meta, name.as_str(), &value);
        }
    }
    let meta = String::from_utf8_lossy(meta.as_bytes());
    (Some(with_member(&params, "_meta", &meta)), headers)
}

/// The server has answered.
pub(super) fn end(span: &mut Span, answer: Result<&RawJson, &Error>) {
    match answer {
        Ok(result) if has_failed(result) => {
            span.set("error.type", "tool_error");
            span.failed(|| "the tool failed".to_owned());
        }
        Ok(_) => {}
        Err(error) => {
            let kind = format!("{:?}", error.kind());
            span.set("error.type", kind.as_str());
            // What a server says may hold what nobody else is to read.
            span.failed(|| kind);
        }
    }
}
