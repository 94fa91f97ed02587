//! Ollama's chat: <https://docs.ollama.com/api/chat>. Pictures are bytes, a stream is one JSON object
//! a line, and a tool call comes whole.
//!
//! | module | owns |
//! |---|---|
//! | `request` | the request |
//! | `messages` | its messages |
//! | `answer` | a whole answer, a line of a stream, and what it took |

mod answer;
mod messages;
mod request;

use serde_json::{Map, Value};

use super::{Conversion, Notes, Translator, Unreadable};
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::completion::Completion;
use crate::llm::types::content::{Part, PartKind};
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

    fn stream(&self, notes: &Notes) -> Box<dyn Translator> {
        Box::new(answer::Lines::new(notes))
    }

    fn needs_bytes(&self, part: &Part) -> bool {
        matches!(part.kind, PartKind::Image { .. })
    }
}
