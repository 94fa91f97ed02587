//! The completion call as a model. Owns [`Provider`].

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Model, Origin, Reply};
use crate::error::Result;
use crate::llm::client::{ChatClient, ChatRequest};
use crate::llm::tool_results;
use crate::tools::result::chat::Room;

/// A provider that is asked directly.
#[derive(Debug)]
pub struct Provider {
    client: Arc<ChatClient>,
    request: ChatRequest,
    room: Room,
}

impl Provider {
    /// One that is asked as `request` says; its body is not sent.
    pub fn new(client: Arc<ChatClient>, request: ChatRequest) -> Self {
        let room = tool_results::room(&request.model);
        Self {
            client,
            request,
            room,
        }
    }
}

impl Model for Provider {
    fn room(&self) -> Room {
        self.room
    }

    fn ask(&self, body: Bytes, streams: bool) -> BoxFuture<'_, Result<Reply>> {
        let request = ChatRequest {
            body,
            ..self.request.clone()
        };
        async move {
            if streams {
                let answer = self.client.stream(&request).await?;
                let origin = Origin::of(answer.context);
                return Ok(Reply::Stream(Box::new(answer.stream), origin));
            }
            let answer = self.client.complete(&request).await?;
            Ok(Reply::Whole(answer.body, Origin::of(answer.context)))
        }
        .boxed()
    }
}
