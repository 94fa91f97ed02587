//! Who is asked. Owns [`Model`], and [`Provider`], the completion call as one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::error::Result;
use crate::json::RawJson;
use crate::llm::chat_stream::ChatStream;
use crate::llm::client::{AnswerContext, ChatClient, ChatRequest};
use crate::llm::tool_results;
use crate::tools::result::chat::Room;

/// What answers a request for a chat completion.
pub trait Model: Send + Sync + fmt::Debug {
    /// Answers the request, whose body is OpenAI's; with a stream if `streams`. Dropping the future,
    /// or the stream, ends the request.
    fn ask(&self, body: Bytes, streams: bool) -> BoxFuture<'_, Result<Reply>>;

    /// What results of tools its messages have room for.
    fn room(&self) -> Room {
        Room::OPENAI
    }
}

/// What was answered.
#[derive(Debug)]
pub enum Reply {
    /// A chat completion, with what is known of the call where something is.
    Whole(RawJson, Option<Box<AnswerContext>>),
    /// A stream of its chunks.
    Stream(Box<dyn Chunks>, Option<Box<AnswerContext>>),
}

/// The chunks of a stream.
pub trait Chunks: Send + fmt::Debug {
    /// The next of them, each the text of one JSON object; none at the end.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<VecDeque<Bytes>>>>;
}

impl Chunks for ChatStream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<VecDeque<Bytes>>>> {
        self.next_chunks().boxed()
    }
}

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
                let context = Some(Box::new(answer.context));
                return Ok(Reply::Stream(Box::new(answer.stream), context));
            }
            let answer = self.client.complete(&request).await?;
            Ok(Reply::Whole(answer.body, Some(Box::new(answer.context))))
        }
        .boxed()
    }
}
