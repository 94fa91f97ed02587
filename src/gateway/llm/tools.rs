//! Tools of the type `mcp` in a request: the gateway's own servers, called here until the model is done.
//! Owns [`Wanted`]; the loop itself is in `agent`.
//!
//! ```json
//! {"type": "mcp", "server_url": "litellm_proxy/mcp/github", "allowed_tools": ["…"], "require_approval": "never"}
//! ```
//!
//! `litellm_proxy` and `toolbridge` stand for all servers that the caller may use, with `/mcp/` and names
//! behind it for those. What has another `server_url` is the provider's, and goes to it as it is: the
//! gateway opens no URL that a caller names.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode};
use memchr::memmem;
use serde_json::{Map, Value};

use super::answer::{self, CallId};
use super::keep_alive::{begun, kept_alive};
use crate::agent::completion::{Detail, stream, whole};
use crate::agent::model::Chunks;
use crate::agent::{
    Approver, Call, Choice, Conversation, Decision, Model, Origin, Reply, Run, Settings, Toolbox,
};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Shared;
use crate::gateway::access::Caller;
use crate::gateway::failure::{Failure, status_for};
use crate::gateway::mcp::toolbox::{CallersTools, Named};
use crate::gateway::metrics::Chat;
use crate::gateway::trace::{Kind, Trace};
use crate::json::RawJson;
use crate::llm::router::{Given, RequestBody, Streamed};
use crate::llm::stream::EventParser;
use crate::llm::tool_results;
use crate::tools::result::chat::Room;

/// What stands for the servers of this gateway.
const OWN: [&str; 2] = ["litellm_proxy", "toolbridge"];

/// A request with tools that are called here.
pub(super) struct Wanted {
    request: Map<String, Value>,
    messages: Vec<RawJson>,
    servers: Vec<Named>,
    /// Whether every call may be made without a word.
    is_approved: bool,
    others: Vec<Value>,
    settings: Settings,
    detail: Detail,
    streams: bool,
}

impl Wanted {
    /// Reads a request; none if it has no such tool. `text` is JSON.
    ///
    /// # Errors
    /// A tool of that type that cannot be used.
    pub(super) fn of(text: &Bytes) -> Result<Option<Self>, Failure> {
        if memmem::find(text, b"\"mcp\"").is_none() {
            return Ok(None);
        }
        let Ok(Value::Object(mut request)) = serde_json::from_slice::<Value>(text) else {
            return Ok(None);
        };
        let Some(Value::Array(tools)) = request.get("tools") else {
            return Ok(None);
        };
        let mut servers = Vec::new();
        let mut others = Vec::new();
        let mut is_approved = true;
        for tool in tools {
            let Some(named) = named(tool)? else {
                others.push(tool.clone());
                continue;
            };
            is_approved &= tool["require_approval"] == "never";
            servers.push(named);
        }
        if servers.is_empty() {
            return Ok(None);
        }
        let Some(Value::Array(messages)) = request.remove("messages") else {
            return Err(Failure::invalid("messages takes a list").with_param("messages"));
        };
        let messages = messages.iter().map(RawJson::from_serialize);
        let messages = messages.collect::<Result<_>>()?;
        let streams = request.get("stream") == Some(&Value::Bool(true));
        let mut settings = Settings::default();
        let mut detail = Detail::default();
        if let Some(count) = option(&mut request, "mcp_max_rounds", Value::as_u64, "a count")? {
            settings.max_rounds = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        }
        if let Some(count) = option(&mut request, "mcp_max_parallel", Value::as_u64, "a count")? {
            settings.max_parallel = usize::try_from(count.max(1)).unwrap_or(usize::MAX);
        }
        let seconds = |value: &Value| {
            let limit = Duration::try_from_secs_f64(value.as_f64()?).ok()?;
            (!limit.is_zero()).then_some(limit)
        };
        settings.tool_timeout = option(&mut request, "mcp_tool_timeout", seconds, "seconds")?;
        let shown = |value: &Value| match value.as_str()? {
            "final" => Some(Detail::Final),
            "answer" => Some(Detail::Answer),
            "everything" => Some(Detail::Everything),
            _ => None,
        };
        let accepted = "\"final\", \"answer\" or \"everything\"";
        if let Some(shown) = option(&mut request, "mcp_stream", shown, accepted)? {
            detail = shown;
        }
        Ok(Some(Self {
            request,
            messages,
            servers,
            is_approved,
            others,
            settings,
            detail,
            streams,
        }))
    }

    /// Runs until the model is done, and answers.
    pub(super) async fn answer(
        self,
        shared: &Arc<Shared>,
        (caller, trace): (&Caller, &Trace),
        headers: &HeaderMap,
        model: &str,
        id: &CallId,
    ) -> Result<Response, Failure> {
        let tools = CallersTools::new(&shared.mcp, caller, self.servers, headers, trace);
        let tools = tools.map_err(|names| {
            let message = format!(
                "the server_url of a tool names {names:?}, which no MCP server is that this key may use"
            );
            Failure::new(StatusCode::NOT_FOUND, message).with_param("tools")
        })?;
        let asked = Asked {
            shared: Arc::clone(shared),
            model: model.to_owned(),
            trace: trace.clone(),
        };
        let conversation = Conversation::new(self.request, self.messages)?;
        let choice = Choice {
            names: None,
            functions: self.others,
        };
        let tools: Arc<dyn Toolbox> = Arc::new(tools);
        let mut run =
            Run::new(Arc::new(asked), tools, conversation, self.settings).offering(choice);
        if !self.is_approved {
            run = run.approved_by(Arc::new(Nobody));
        }
        if !self.streams {
            let (answer, _) = whole(run).await?;
            return Ok(answer::whole(answer.into_bytes(), id));
        }
        // A failure before the first chunk is an answer of its own.
        let silence = shared.models.keep_alive.runs;
        let events = begun(Box::pin(stream(run, self.detail)), silence).await?;
        let events = events.map(|event| {
            let event = event.unwrap_or_else(|error| Failure::from(error).event().into());
            Ok::<_, std::convert::Infallible>(event)
        });
        let body = match silence {
            Some(silence) => Body::from_stream(kept_alive(events, silence)),
            None => Body::from_stream(events),
        };
        Ok(answer::events(body, id))
    }
}

/// Takes an option of the loop out of a request.
fn option<T>(
    request: &mut Map<String, Value>,
    name: &'static str,
    read: impl Fn(&Value) -> Option<T>,
    accepted: &str,
) -> Result<Option<T>, Failure> {
    let Some(value) = request.remove(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    if let Some(read) = read(&value) {
        return Ok(Some(read));
    }
    let message = format!("{name} is {value}; it takes {accepted}");
    Err(Failure::invalid(message).with_param(name))
}

/// The servers that a tool stands for; none if it is no tool of this gateway.
fn named(tool: &Value) -> Result<Option<Named>, Failure> {
    if tool["type"] != "mcp" {
        return Ok(None);
    }
    let url = tool["server_url"].as_str().unwrap_or_default();
    let Some(rest) = OWN.iter().find_map(|own| url.strip_prefix(own)) else {
        return Ok(None);
    };
    let servers = match rest.trim_end_matches('/') {
        "" | "/mcp" => None,
        rest => match rest.strip_prefix("/mcp/") {
            Some(names) => Some(names.to_owned()),
            None => return Ok(None),
        },
    };
    let allowed = match &tool["allowed_tools"] {
        Value::Null => None,
        Value::Object(filter) => filter.get("tool_names").cloned(),
        other => Some(other.clone()),
    };
    let allowed = match allowed {
        None => None,
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            let names = names.iter().filter_map(Value::as_str).map(str::to_owned);
            Some(names.collect())
        }
        Some(_) => {
            let message = "allowed_tools takes a list of names of tools";
            return Err(Failure::invalid(message).with_param("tools"));
        }
    };
    Ok(Some(Named { servers, allowed }))
}

/// Leaves every call to the caller, who said that calls need a word.
struct Nobody;

impl Approver for Nobody {
    fn decide(&self, _call: &Call) -> BoxFuture<'_, Result<Decision>> {
        async { Ok(Decision::Defer) }.boxed()
    }
}

/// A model of the configuration.
struct Asked {
    shared: Arc<Shared>,
    model: String,
    trace: Trace,
}

impl fmt::Debug for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Asked")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl Asked {
    async fn complete(&self, body: Bytes) -> Result<Reply> {
        let body = RequestBody::read(body)
            .map_err(|why| Error::new(ErrorKind::BadRequest, why.to_string()))?;
        let span = self
            .trace
            .begin(Kind::Client, || format!("chat {}", self.model));
        let context = span.context().cloned();
        let mut chat = self.shared.metrics.chat(&self.model).within(span);
        let models = &self.shared.models;
        match models.ask(&self.model, body, context.as_ref()).await {
            Ok(routed) => match routed.given {
                Given::Whole(whole) => {
                    chat.ended(StatusCode::OK, whole.usage, whole.cost);
                    Ok(Reply::Whole(
                        RawJson::trusted(whole.body),
                        Origin::default(),
                    ))
                }
                Given::Stream(streamed) => Ok(Reply::Stream(
                    Box::new(Events {
                        streamed,
                        chat,
                        parser: EventParser::default(),
                    }),
                    Origin::default(),
                )),
            },
            Err(error) => {
                chat.answered(status_for(&error));
                Err(error)
            }
        }
    }
}

impl Model for Asked {
    fn ask(&self, body: Bytes, _streams: bool) -> BoxFuture<'_, Result<Reply>> {
        self.complete(body).boxed()
    }

    /// What the first deployment has room for: those of one name are meant to be alike.
    fn room(&self) -> Room {
        let members = self.shared.models.members_of(&self.model);
        members.first().map_or(Room::OPENAI, |member| {
            tool_results::room(&member.deployment().model)
        })
    }
}

/// The chunks of a stream that is passed on.
#[derive(Debug)]
struct Events {
    streamed: Box<Streamed>,
    chat: Chat,
    parser: EventParser,
}

impl Events {
    async fn batch(&mut self) -> Result<Option<VecDeque<Bytes>>> {
        loop {
            let Some(text) = self.streamed.next().await else {
                let (usage, cost) = (self.streamed.usage(), self.streamed.cost());
                self.chat.ended(StatusCode::OK, usage, cost);
                return Ok(None);
            };
            let text = match text {
                Ok(text) => text,
                Err(error) => {
                    let (usage, cost) = (self.streamed.usage(), self.streamed.cost());
                    self.chat.ended(status_for(&error), usage, cost);
                    return Err(error);
                }
            };
            let mut events = Vec::new();
            self.parser
                .feed(&text, &mut events)
                .map_err(|cause| Error::new(ErrorKind::ResponseValidation, cause.to_string()))?;
            let chunks = events.into_iter().map(|event| event.data);
            let chunks: VecDeque<Bytes> = chunks.filter(|data| data.starts_with(b"{")).collect();
            if !chunks.is_empty() {
                return Ok(Some(chunks));
            }
        }
    }
}

impl Chunks for Events {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<VecDeque<Bytes>>>> {
        self.batch().boxed()
    }
}
