//! Other models where one fails. Owns [`Fallbacks`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Model, Reply};
use crate::agent::conversation::Head;
use crate::error::{Error, ErrorKind, Result, Tried};
use crate::tools::result::chat::Room;

/// One of the models that may be asked.
#[derive(Debug)]
pub struct Candidate {
    /// Its name, for what is told of it.
    pub name: String,
    /// What its requests begin with.
    pub head: Head,
    /// The model.
    pub model: Arc<dyn Model>,
}

/// A model, and those that are asked where it fails in a way that they may not.
///
/// A stream that has begun is the answer, whatever becomes of it: what was shown cannot be taken back.
#[derive(Debug)]
pub struct Fallbacks {
    /// The first is asked first.
    pub candidates: Vec<Candidate>,
    /// In this order after it: places of `candidates`.
    pub order: Vec<usize>,
    /// From the place of a model to that of the one for longer messages.
    pub wider: HashMap<usize, usize>,
}

/// What a request says beside its head.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    messages: &'a RawValue,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
}

impl Fallbacks {
    async fn first_answer(&self, body: Bytes, streams: bool) -> Result<Reply> {
        let mut waiting: VecDeque<usize> = self.order.iter().copied().collect();
        let mut widened = Vec::new();
        let mut before: Vec<(String, Error)> = Vec::new();
        let mut place = 0;
        loop {
            let candidate = &self.candidates[place];
            let body = if place == 0 {
                body.clone()
            } else {
                as_asked(&body, &candidate.head, streams)?
            };
            let error = match candidate.model.ask(body, streams).await {
                Ok(mut reply) => {
                    let origin = reply.origin_mut();
                    (origin.place, origin.tried) = (place, before);
                    return Ok(reply);
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::ContextWindowExceeded
                && let Some(wider) = self.wider.get(&place)
                && !widened.contains(wider)
            {
                widened.push(*wider);
                waiting.push_front(*wider);
            }
            let next = waiting.pop_front().filter(|_| others_may_help(&error));
            let name = candidate.name.clone();
            match next {
                Some(next) => {
                    before.push((name, error));
                    place = next;
                }
                None if before.is_empty() => return Err(error),
                None => {
                    let tried = Some(Arc::new(Tried { before, last: name }));
                    return Err(error.map_context(|context| context.tried = tried));
                }
            }
        }
    }
}

impl Model for Fallbacks {
    /// What the first has room for: the others stand in for it.
    fn room(&self) -> Room {
        self.candidates
            .first()
            .map_or(Room::OPENAI, |first| first.model.room())
    }

    fn ask(&self, body: Bytes, streams: bool) -> BoxFuture<'_, Result<Reply>> {
        self.first_answer(body, streams).boxed()
    }
}

/// The same request as it begins for another model.
fn as_asked(body: &[u8], head: &Head, streams: bool) -> Result<Bytes> {
    let said: Said<'_> = serde_json::from_slice(body).map_err(|cause| {
        let message = "the request of a run has no messages";
        Error::new(ErrorKind::Internal, message).with_source(cause)
    })?;
    let messages = said.messages.get().as_bytes();
    let tools = said.tools.map_or("[]", RawValue::get).as_bytes();
    Ok(head.body(messages, tools, streams))
}

/// Whether another model may succeed; what is wrong with the call itself stays wrong.
fn others_may_help(error: &Error) -> bool {
    match error.kind() {
        // What no provider said was found here, before anything was sent.
        ErrorKind::BadRequest => error.context().status.is_some(),
        ErrorKind::Connection
        | ErrorKind::Timeout
        | ErrorKind::ResponseValidation
        | ErrorKind::JsonSchemaValidation
        | ErrorKind::Api
        | ErrorKind::Status
        | ErrorKind::ContextWindowExceeded
        | ErrorKind::ContentPolicyViolation
        | ErrorKind::UnsupportedParams
        | ErrorKind::Authentication
        | ErrorKind::PaymentRequired
        | ErrorKind::PermissionDenied
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::UnprocessableEntity
        | ErrorKind::RateLimit
        | ErrorKind::InternalServer
        | ErrorKind::BadGateway
        | ErrorKind::ServiceUnavailable => true,
        _ => false,
    }
}
