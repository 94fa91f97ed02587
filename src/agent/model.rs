//! Who is asked. Owns [`Model`], and what it answers with: [`Reply`], [`Chunks`] and [`Origin`].
//!
//! | module | owns |
//! |---|---|
//! | [`provider`] | the completion call as a model |
//! | [`fallbacks`] | other models where one fails |
//! | [`known`] | answers that are known before anybody is asked |
//! | [`checked`] | answers that have to fit a JSON Schema |
//! | [`watched`] | calls that somebody wants to know of |

pub mod checked;
pub mod fallbacks;
pub mod known;
pub mod provider;
pub mod watched;

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::error::{Error, Result};
use crate::json::RawJson;
use crate::llm::chat_stream::ChatStream;
use crate::llm::client::AnswerContext;
use crate::tools::result::chat::Room;

pub use checked::Checked;
pub use fallbacks::{Candidate, Fallbacks};
pub use known::Known;
pub use provider::Provider;
pub use watched::{Watched, Witness};

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
    /// A chat completion.
    Whole(RawJson, Origin),
    /// A stream of its chunks.
    Stream(Box<dyn Chunks>, Origin),
}

impl Reply {
    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        let (Self::Whole(_, origin) | Self::Stream(_, origin)) = self;
        origin
    }

    /// Where it comes from, to be changed.
    pub(super) fn origin_mut(&mut self) -> &mut Origin {
        let (Self::Whole(_, origin) | Self::Stream(_, origin)) = self;
        origin
    }
}

/// Where an answer comes from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// What is known of the call, where something is.
    pub context: Option<Box<AnswerContext>>,
    /// Which of several models gave it, as in [`Fallbacks`].
    pub place: usize,
    /// Those that were asked before it, and what they failed with.
    pub tried: Vec<(String, Error)>,
}

impl Origin {
    /// A call that this is known of.
    pub fn of(context: AnswerContext) -> Self {
        Self {
            context: Some(Box::new(context)),
            ..Self::default()
        }
    }
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
