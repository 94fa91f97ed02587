//! Mistral's chat completions: OpenAI's, with differences in names, in the parts of messages, in the
//! ids of tool calls, and with thoughts among the content. <https://docs.mistral.ai/api>
//!
//! | module | owns |
//! |---|---|
//! | `request` | the request |
//! | `messages` | its messages |
//! | `answer` | a whole answer, and the chunks of a stream |

mod answer;
mod messages;
mod request;

use serde_json::{Map, Value};

use super::{Conversion, Notes, Translator, Unreadable};
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::completion::Completion;
use crate::llm::types::fields::Unusable;

/// The conversion.
#[derive(Debug)]
pub struct Chat;

impl Conversion for Chat {
    fn request(
        &self,
        request: &mut ChatRequest,
        _notes: &mut Notes,
    ) -> Result<Map<String, Value>, Unusable> {
        request::convert(request)
    }

    fn answer(&self, body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
        answer::convert(body, notes)
    }

    fn stream(&self, _notes: &Notes) -> Box<dyn Translator> {
        Box::new(answer::Chunks::default())
    }
}
