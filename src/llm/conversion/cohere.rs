//! Cohere's chat, the second version: <https://docs.cohere.com/reference/chat>.
//!
//! | module | owns |
//! |---|---|
//! | `request` | the request |
//! | `messages` | its messages |
//! | `answer` | a whole answer, and what it took |
//! | `stream` | the events of a stream |

mod answer;
mod messages;
mod request;
mod stream;

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

    fn stream(&self, notes: &Notes) -> Box<dyn Translator> {
        Box::new(stream::Events::new(notes))
    }
}
