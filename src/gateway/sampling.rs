//! A server's wish for a completion, answered by a model of the configuration where the client has
//! none and `allow_sampling` says so. Owns [`Sampler`]; uses `llm` and `tools`.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use http::StatusCode;
use serde_json::Value;

use super::llm::Models;
use super::metrics::Metrics;
use super::trace::{self, Context};
use crate::error::Error;
use crate::json::RawJson;
use crate::llm::router::{Given, RequestBody};
use crate::mcp::{PeerAnswer, PeerError};
use crate::tools::sampling;

/// The request that asks for a completion.
pub(super) const METHOD: &str = "sampling/createMessage";

const INTERNAL_ERROR: i32 = -32_603;

/// Answers for clients that cannot.
pub(super) struct Sampler {
    /// None of them before the gateway has any.
    models: RwLock<Option<Arc<Models>>>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Sampler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sampler").finish_non_exhaustive()
    }
}

impl Sampler {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            models: RwLock::default(),
            metrics: Arc::clone(metrics),
        })
    }

    /// From now on these models answer.
    pub(super) fn use_models(&self, models: &Arc<Models>) {
        *self.models.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(models));
    }

    fn models(&self) -> Option<Arc<Models>> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models.clone()
    }

    /// Answers a request. Dropping the future gives it up.
    pub(super) fn answer(self: &Arc<Self>, params: Option<RawJson>) -> PeerAnswer {
        let sampler = Arc::clone(self);
        Box::pin(async move { sampler.complete(params).await })
    }

    async fn complete(&self, params: Option<RawJson>) -> Result<RawJson, PeerError> {
        let models = self.models();
        let models = models.filter(|models| !models.names().is_empty());
        let models = models.ok_or_else(|| PeerError::method_not_found(METHOD))?;
        let params = params.unwrap_or_else(|| RawJson::trusted("{}"));
        let asked = sampling::read(&params).map_err(PeerError::invalid_params)?;
        let context = asked.meta().and_then(traced);
        let model = chosen(models.names(), &asked.hints);
        let mut body = asked.chat_request().map_err(PeerError::invalid_params)?;
        body.insert("model".to_owned(), model.into());
        let body = RequestBody::read(Value::from(body).to_string().into())
            .map_err(|why| PeerError::invalid_params(why.to_string()))?;
        let mut chat = self.metrics.chat(model);
        let given = models.ask(model, body, context.as_ref()).await;
        let given = given.map(|routed| routed.given);
        let whole = match given {
            Ok(Given::Whole(whole)) => whole,
            Ok(Given::Stream(_)) => return Err(failed("the model answered with a stream")),
            Err(error) => {
                chat.answered(super::failure::Failure::from(shown(&error)).status());
                // What a provider said may be about keys; the kind of failure is not.
                let message = format!("the model {model:?} gave no answer ({:?})", error.kind());
                tracing::warn!(target: "toolbridge::gateway", "{METHOD}: {message}: {error}");
                return Err(failed(&message));
            }
        };
        chat.ended(StatusCode::OK, whole.usage, whole.cost);
        sampling::result(&whole.body, model).map_err(|why| failed(&why))
    }
}

/// Where the server's work stands in a trace, if it says so.
fn traced(meta: &Value) -> Option<Context> {
    let text = |name: &str| meta.get(name).and_then(Value::as_str);
    Context::read(text(trace::PARENT.as_str())?, text(trace::STATE.as_str()))
}

/// An error of the same kind, for its status.
fn shown(error: &Error) -> Error {
    Error::new(error.kind(), "")
}

fn failed(message: &str) -> PeerError {
    PeerError {
        code: INTERNAL_ERROR,
        message: message.to_owned(),
        data: None,
    }
}

/// The first model that a hint of the server stands for, or else the first one of the configuration.
fn chosen<'a>(names: &'a [String], hints: &[String]) -> &'a str {
    let exact = |hint: &String| names.iter().find(|name| *name == hint);
    let part = |hint: &String| {
        let hint = hint.to_lowercase();
        let mut names = names.iter();
        names.find(|name| !hint.is_empty() && name.to_lowercase().contains(&hint))
    };
    let hinted = hints
        .iter()
        .find_map(|hint| exact(hint).or_else(|| part(hint)));
    hinted.or_else(|| names.first()).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_stands_for_the_model_that_is_called_so_or_nearly() {
        let names = ["small", "claude-sonnet", "sonnet"].map(str::to_owned);
        for (hints, expected) in [
            (vec![], "small"),
            (vec!["sonnet"], "sonnet"),
            (vec!["Claude"], "claude-sonnet"),
            (vec!["gpt", "SONNET"], "claude-sonnet"),
            (vec!["gpt", ""], "small"),
        ] {
            let hints: Vec<String> = hints.into_iter().map(str::to_owned).collect();
            assert_eq!(chosen(&names, &hints), expected, "{hints:?}");
        }
    }
}
