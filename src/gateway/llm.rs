//! The OpenAI side: chat completions and the lists of models. Owns [`Models`]; a request goes on as
//! it came but for what its deployment changes, and its answer comes back as it was given.
//!
//! | module | owns |
//! |---|---|
//! | `request` | the body of a request, in its limits |
//! | `answer` | answers, streams and failures as HTTP |
//! | `keep_alive` | what is said in a stream when there is nothing to say |
//! | `catalogue` | the lists of models |
//! | `tools` | tools of the type `mcp` in a request, which are called here |

mod answer;
mod catalogue;
mod keep_alive;
mod request;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::Shared;
use super::access::Caller;
use super::failure::Failure;
use super::trace::{self, Context, Kind, Trace};
use crate::error::{Error, nearest};
use crate::llm::router::{Deployment, Member, RequestBody, Routed, Router, RouterSettings};
use answer::CallId;
use keep_alive::KeepAlive;

pub(super) use catalogue::{info, model, models};

/// What ends the paths that name the model before it.
const CHAT_COMPLETIONS: &str = "/chat/completions";

/// The models of the configuration.
#[derive(Debug)]
pub(super) struct Models {
    router: Router,
    /// Whether traces end here.
    keeps_traces: bool,
    keep_alive: KeepAlive,
}

impl Models {
    pub(super) fn new(
        deployments: Vec<Deployment>,
        settings: RouterSettings,
        keeps_traces: bool,
        keep_alive: Option<Duration>,
    ) -> Self {
        Self {
            router: Router::new(deployments, settings),
            keeps_traces,
            keep_alive: KeepAlive::new(keep_alive),
        }
    }

    /// Those of another configuration, over the same connections.
    pub(super) fn reloaded(
        &self,
        deployments: Vec<Deployment>,
        settings: RouterSettings,
        keeps_traces: bool,
        keep_alive: Option<Duration>,
    ) -> Self {
        Self {
            router: self.router.successor(deployments, settings),
            keeps_traces,
            keep_alive: KeepAlive::new(keep_alive),
        }
    }

    /// The deployments.
    pub(super) fn members(&self) -> &[Arc<Member>] {
        self.router.members()
    }

    /// The names that models are shown by.
    pub(super) fn names(&self) -> &[String] {
        self.router.names()
    }

    /// The deployments that a name stands for.
    fn members_of(&self, model: &str) -> &[Arc<Member>] {
        self.router.members_of(model)
    }

    /// Asks a model, for a piece of work that stands there in a trace.
    pub(super) async fn ask(
        &self,
        model: &str,
        body: RequestBody,
        context: Option<&Context>,
    ) -> Result<Routed, Error> {
        let context = context.filter(|_| !self.keeps_traces);
        let body = match context {
            Some(context) => body.with_headers(trace::headers(context).collect()),
            None => body,
        };
        self.router.ask(model, &body).await
    }

    /// A model that a caller may not ask is as unknown as one that there is not.
    fn unknown(&self, name: &str, caller: &Caller) -> Failure {
        let known = self.router.names().iter().map(String::as_str);
        let known = known.filter(|name| caller.may_ask(name));
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "GET /v1/models lists those that do".to_owned(),
        };
        let message = format!("the model {name:?} does not exist; {hint}");
        Failure::new(StatusCode::NOT_FOUND, message)
            .with_code("model_not_found")
            .with_param("model")
    }
}

pub(super) async fn chat_completions(
    State(shared): State<Arc<Shared>>,
    Extension(trace): Extension<Trace>,
    caller: Result<Caller, Failure>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let id = CallId::of(&headers);
    let answered = complete(&shared, (caller, &trace), &headers, body, None, &id).await;
    answered.unwrap_or_else(|failure| answer::failed(failure, &id))
}

/// The paths of Azure and of the older API: the model stands before `/chat/completions`.
pub(super) async fn deployment(
    State(shared): State<Arc<Shared>>,
    Extension(trace): Extension<Trace>,
    caller: Result<Caller, Failure>,
    Path(rest): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let id = CallId::of(&headers);
    let Some(model) = rest.strip_suffix(CHAT_COMPLETIONS) else {
        let message =
            format!("of a model by its path, {CHAT_COMPLETIONS} is served and nothing else");
        return answer::failed(Failure::new(StatusCode::NOT_FOUND, message), &id);
    };
    let answered = complete(&shared, (caller, &trace), &headers, body, Some(model), &id).await;
    answered.unwrap_or_else(|failure| answer::failed(failure, &id))
}

async fn complete(
    shared: &Arc<Shared>,
    (caller, trace): (Result<Caller, Failure>, &Trace),
    headers: &HeaderMap,
    body: Body,
    model: Option<&str>,
    id: &CallId,
) -> Result<Response, Failure> {
    let caller = caller?;
    let models = &shared.models;
    let text = request::read(headers, body).await?;
    let body = RequestBody::read(text.clone()).map_err(|why| request::refused(&why))?;
    let Some(model) = model.or(body.model()).map(str::to_owned) else {
        let message = "you must provide a model: the body has no \"model\"";
        return Err(Failure::invalid(message).with_param("model"));
    };
    let model = model.as_str();
    if !caller.may_ask(model) || !models.router.serves(model) {
        return Err(models.unknown(model, &caller));
    }
    let fallbacks = body.wishes().fallbacks.iter().flatten();
    if let Some(name) = fallbacks
        .into_iter()
        .find(|name| !caller.may_ask(name) || models.router.members_of(name).is_empty())
    {
        return Err(models.unknown(name, &caller).with_param("fallbacks"));
    }
    if let Some(wanted) = tools::Wanted::of(&text)? {
        // A whole run of the tool loop: boxed, for what it needs is moved with every other request too.
        let answered = wanted.answer(shared, (&caller, trace), headers, model, id);
        return Box::pin(answered).await;
    }
    let span = trace.begin(Kind::Client, || format!("chat {model}"));
    let context = span.context().cloned();
    let mut chat = shared.metrics.chat(model).within(span);
    match models.ask(model, body, context.as_ref()).await {
        Ok(routed) => Ok(answer::given(routed, id, chat, models.keep_alive)),
        Err(error) => {
            let failure = Failure::from(error);
            chat.answered(failure.status());
            Err(failure)
        }
    }
}
