//! Anthropic's Messages API: <https://docs.anthropic.com/en/api/messages>. Also what Vertex AI speaks
//! for Claude.
//!
//! | module | owns |
//! |---|---|
//! | `request` | the request |
//! | `messages` | its messages |
//! | `model` | what differs between generations of Claude |
//! | `thinking` | how much Claude is to think |
//! | `answer` | a whole answer, and what it took |
//! | `stream` | the events of a stream |
//! | `vertex` | what differs on Vertex AI |

mod answer;
mod messages;
pub(super) mod model;
mod request;
mod stream;
pub(super) mod thinking;
mod vertex;

pub use vertex::OnVertex;

use serde_json::{Map, Value};

use super::{Conversion, Notes, Translator, Unreadable};
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::completion::Completion;
use crate::llm::types::fields::Unusable;

/// The conversion.
#[derive(Debug)]
pub struct Messages;

impl Conversion for Messages {
    fn request(
        &self,
        request: &mut ChatRequest,
        notes: &mut Notes,
    ) -> Result<Map<String, Value>, Unusable> {
        request::convert(request, notes, request::Structured::ByModel)
    }

    fn answer(&self, body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
        answer::convert(body, notes)
    }

    fn stream(&self, notes: &Notes) -> Box<dyn Translator> {
        Box::new(stream::Events::new(notes))
    }
}
